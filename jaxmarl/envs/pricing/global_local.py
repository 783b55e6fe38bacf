"""One decision maker with a state of its own, and many like local agents that it drives (Anand and Qu 2024).

The model of "Mean-field sampling for cooperative multi-agent reinforcement learning", arXiv 2403.00222.

The global state moves by itself under the global action, `s_g' ~ P_g(· | s_g, a)`; each local agent follows the global
state, `s_i' ~ P_l(· | s_i, s_g)`; the reward is `r_g(s_g, a)` plus the local agents' mean of `r_l(s_i, s_g)`. So only
the histogram of local states matters. A model is four tables, which environments and solvers both read.
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete

Params = TypeVar("Params")


class GlobalLocalTables(NamedTuple):
    """A model with `G` global states, `A` actions and `L` local states.

    Attributes:
        global_kernel: `[G, A, G]`, probabilities of the next global state.
        local_kernel: `[G, L, L]`, probabilities of a local agent's next state, by the global state.
        global_reward: `[G, A]`.
        local_reward: `[G, L]`, of a local agent in a global state.
    """

    global_kernel: Float[Array, "G A G"]
    local_kernel: Float[Array, "G L L"]
    global_reward: Float[Array, "G A"]
    local_reward: Float[Array, "G L"]


@struct.dataclass
class GlobalLocalState:
    """State of the system.

    Attributes:
        t: int32, steps made.
        shared: int32, the global state.
        local: int32 `[n]`, the local agents' states.
    """

    t: Int32[Array, ""]
    shared: Int32[Array, ""]
    local: Int32[Array, " n"]


@dataclass(frozen=True)
class GlobalLocal(Environment[GlobalLocalState, Params]):
    """A model of this kind as an environment of the one decision maker; its local agents do not decide.

    An observation is `[the global state's place in [0, 1], shares of local agents in each local state]`. First states
    are uniform. There is no end of its own: episodes are truncated after `num_steps` steps.

    `info`: `global_reward` and `local_reward`, the mean over all local agents; their sum is the reward.

    Attributes:
        num_locals: local agents `n`.
        num_steps: steps of an episode.
    """

    num_locals: int = 8
    num_steps: int = 200

    num_agents = 1

    def __post_init__(self):
        require_int("num_locals", self.num_locals, 1)
        require_int("num_steps", self.num_steps, 1)

    @property
    @abc.abstractmethod
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of global states, actions and local states, `(G, A, L)`."""

    @abc.abstractmethod
    def tables(self, params: Params) -> GlobalLocalTables:
        """The model."""

    @property
    def horizon(self) -> int:
        return self.num_steps

    def action_space(self, params: Params) -> Discrete:
        return Discrete(self.sizes[1])

    def observation_space(self, params: Params) -> Box:
        return Box(0.0, 1.0, (1 + self.sizes[2],))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Integers(self.sizes[0]), Integers(self.sizes[2], (self.num_locals,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform(), Uniform((self.num_locals,))

    def initial(self, chance, params: Params) -> GlobalLocalState:
        return GlobalLocalState(jnp.zeros((), jnp.int32), *chance)

    def transition(self, state: GlobalLocalState, action: Int32[Array, " 1"], chance, params: Params):
        model = self.tables(params)
        unit, units = chance
        shared = inverse(model.global_kernel[state.shared, action[0]], unit)
        local = inverse(model.local_kernel[state.shared, state.local], units)
        alone = model.global_reward[state.shared, action[0]]
        mean = jnp.mean(model.local_reward[state.shared, state.local])
        after = GlobalLocalState(state.t + 1, shared, local)
        info = {"global_reward": alone, "local_reward": mean}
        return after, (alone + mean)[None], jnp.zeros((), bool), info

    def truncated(self, state: GlobalLocalState, params: Params):
        return state.t >= self.num_steps

    def observe(self, state: GlobalLocalState, params: Params) -> Float[Array, "1 _"]:
        num_global, _, num_local = self.sizes
        shares = jnp.mean(state.local[:, None] == jnp.arange(num_local), axis=0, dtype=jnp.float32)
        place = state.shared.astype(jnp.float32) / max(num_global - 1, 1)
        return jnp.concatenate([place[None], shares])[None]


def inverse(probabilities: Float[Array, "*#batch K"], unit: Float[Array, "*#batch"]) -> Int32[Array, "*batch"]:
    """The outcome that a uniform number selects, never one of probability zero."""
    cumulative = jnp.cumsum(probabilities, axis=-1)
    return jnp.sum(cumulative <= unit[..., None] * cumulative[..., -1:], axis=-1, dtype=jnp.int32)

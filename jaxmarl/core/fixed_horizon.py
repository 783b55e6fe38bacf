"""Episodes of one length: an environment whose episodes may end early, made to last a fixed number of steps."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int32, PyTree

from jaxmarl.core.checks import require_int
from jaxmarl.core.wrappers import Wrapper, where_done


@struct.dataclass
class FixedHorizonState:
    """State of a `FixedHorizon` environment: the game's (its last, once it is over), whether it is, steps so far."""

    env: PyTree
    over: Bool[Array, ""]
    t: Int32[Array, ""]


@dataclass(frozen=True)
class FixedHorizon(Wrapper):
    """Plays exactly `steps` steps: after the end of an episode nothing happens and nothing is paid.

    What wants a batch of episodes of one length (PSRO with learned responses) can then play any environment, at the
    price of the idle steps. An episode that has not ended by then ends there. Agents see zeros once it is over.

    Attributes:
        env: environment to wrap.
        steps: of every episode.
    """

    steps: int = 100

    def __post_init__(self):
        super().__post_init__()
        require_int("steps", self.steps, 1)

    @property
    def horizon(self):
        return self.steps

    def inner_state(self, state):
        return state.env

    def benchmarks(self, params):
        return {}

    def initial(self, chance, params):
        return FixedHorizonState(self.env.initial(chance, params), jnp.zeros((), bool), jnp.zeros((), jnp.int32))

    def transition(self, state, action, chance, params):
        after, reward, ended, info = self.env.transition(state.env, action, chance, params)
        over = state.over | ended | self.env.truncated(after, params)
        after = where_done(state.over, state.env, after)
        reward = jnp.where(state.over, jnp.zeros_like(reward), reward)
        t = state.t + 1
        info = where_done(state.over, jax.tree.map(jnp.zeros_like, info), info)  # nothing is measured any more
        return FixedHorizonState(after, over, t), reward, t >= self.steps, info

    def observe(self, state, params):
        seen = self.env.observe(state.env, params)
        return jnp.where(state.over, jnp.zeros_like(seen), seen)

    def truncated(self, state, params):
        return jnp.zeros((), bool)

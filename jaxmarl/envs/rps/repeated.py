"""Repeated rock-paper-scissors, as in Lanctot et al., "Population-based Evaluation in Repeated RPS", TMLR 2023."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int8, Int32

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete

ROCK, PAPER, SCISSORS = range(3)
LAYOUTS = ("own_first", "open_spiel", "moves")


@struct.dataclass
class RPSParams:
    """Numbers of the stage game.

    Attributes:
        payoffs: `payoffs[own, other]`, reward of a throw; antisymmetric, each move beating the one before it.
    """

    payoffs: Float[Array, "3 3"]


@struct.dataclass
class RPSState:
    """State of a match.

    Attributes:
        t: int32, throws made.
        recent: int8 `[recall, 2]`, the last joint actions, newest first; -1 where there was none yet.
    """

    t: Int32[Array, ""]
    recent: Int8[Array, "recall 2"]


@register("repeated_rps")
@dataclass(frozen=True)
class RepeatedRPS(Environment[RPSState, RPSParams]):
    """Two players throw rock (0), paper (1) or scissors (2) at once, `num_throws` times.

    The reward of a throw is +1 for a win, -1 for a loss and 0 for a draw (`params.payoffs`); the episode terminates
    exactly after the last throw. There is no chance, and the undiscounted return lies in [-num_throws, num_throws].

    An observation shows the last `recall` throws, newest first, zeros (or -1) where there was none yet:

    | layout | one throw | dtype |
    |---|---|---|
    | `own_first` | one-hot of the own move, one-hot of the other's | float32 |
    | `open_spiel` | one-hot of player 0's move, of player 1's: both see the same | float32 |
    | `moves` | own move, the other's: integers, -1 for none; what the tournament bots take | int32 |

    Attributes:
        num_throws: length of a match, `K`.
        recall: throws visible in the observation, `R`.
        layout: observation layout, above.
        append_time: append `t / num_throws` to a float layout.
    """

    num_throws: int = 1000
    recall: int = 1
    layout: str = "own_first"
    append_time: bool = False

    zero_sum = True
    deterministic = True
    differentiable_params = ("payoffs",)

    def __post_init__(self):
        require_int("num_throws", self.num_throws, 1)
        require_int("recall", self.recall, 1, self.num_throws)
        require_choice("layout", self.layout, LAYOUTS)
        require(isinstance(self.append_time, bool), "append_time", self.append_time, "True or False")
        floats_only = not (self.append_time and self.layout == "moves")
        require(floats_only, "append_time", self.append_time, "False for the integer layout 'moves'")

    @property
    def num_agents(self) -> int:
        return 2

    @property
    def symmetric(self) -> bool:
        return self.layout != "open_spiel"

    @property
    def horizon(self) -> int:
        return self.num_throws

    @property
    def moves_view(self) -> "RepeatedRPS":
        """The same match as the bots see it: layout `moves`."""
        return replace(self, layout="moves", append_time=False)

    @property
    def default_params(self) -> RPSParams:
        return RPSParams(payoffs=jnp.asarray([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]))

    def action_space(self, params: RPSParams) -> Discrete:
        return Discrete(3)

    def observation_space(self, params: RPSParams) -> Box:
        if self.layout == "moves":
            return Box(-1, 2, (2 * self.recall,), jnp.int32)
        return Box(0.0, 1.0, (6 * self.recall + self.append_time,))

    def validate(self, params: RPSParams) -> None:
        payoffs = np.asarray(params.payoffs)
        require(payoffs.shape[-2:] == (3, 3), "payoffs", payoffs.shape, "of shape [3, 3]")
        finite = bool(np.isfinite(payoffs).all())
        require(finite and np.array_equal(payoffs, -payoffs.mT), "payoffs", payoffs.tolist(), "antisymmetric")
        wins = payoffs[..., [1, 2, 0], [0, 1, 2]]
        require(bool((wins > 0).all()), "payoffs", payoffs.tolist(), "positive where (own - other) % 3 == 1")

    def initial(self, chance, params: RPSParams) -> RPSState:
        return RPSState(jnp.zeros((), jnp.int32), jnp.full((self.recall, 2), -1, jnp.int8))

    def transition(self, state: RPSState, action: Int32[Array, " 2"], chance, params: RPSParams):
        reward = params.payoffs.reshape(9)[3 * action + action[::-1]]
        recent = jnp.concatenate([action.astype(jnp.int8)[None], state.recent[:-1]])
        state = RPSState(state.t + 1, recent)
        return state, reward, state.t >= self.num_throws, {}

    def observe(self, state: RPSState, params: RPSParams):
        swapped = state.recent[:, ::-1]
        both = jnp.stack([state.recent, state.recent if self.layout == "open_spiel" else swapped])
        if self.layout == "moves":
            return both.reshape(2, -1).astype(jnp.int32)
        obs = jax.nn.one_hot(both, 3).reshape(2, -1)  # -1 encodes as zeros
        if not self.append_time:
            return obs
        time = state.t.astype(jnp.float32) / self.num_throws
        return jnp.concatenate([obs, jnp.broadcast_to(time, (2, 1))], axis=1)

    def benchmarks(self, params: RPSParams):
        """`nash`: the equilibrium mixture of each throw (2,1-,0-wins weighted); `value`: of the match, zero."""
        wins = params.payoffs[jnp.array([2, 0, 1]), jnp.array([1, 2, 0])]
        return {"nash": wins / jnp.sum(wins), "value": jnp.zeros(2)}

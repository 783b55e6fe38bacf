"""Iterated matrix games of two players and two actions, and memory-one strategies as policies."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.games.iterated import EXCHANGED, MEMORY_ONE

COOPERATE, DEFECT = 0, 1

# the row player's payoffs after CC, CD, DC, DD, and whether the other's are their negative (else the transpose)
_GAMES = {
    "prisoners_dilemma": ((-1.0, -3.0, 0.0, -2.0), False),
    "axelrod": ((3.0, 0.0, 5.0, 1.0), False),
    "chicken": ((0.0, -1.0, 1.0, -100.0), False),
    "stag_hunt": ((4.0, 0.0, 3.0, 2.0), False),
    "matching_pennies": ((1.0, -1.0, -1.0, 1.0), True),
}


@struct.dataclass
class IteratedMatrixParams:
    """Numbers of the game.

    Attributes:
        payoffs: `[player, first's action, second's action]`.
    """

    payoffs: Float[Array, "2 2 2"]


@struct.dataclass
class IteratedMatrixState:
    """State of the game.

    Attributes:
        t: rounds played.
        last: the last round from the first player's side: 0 none yet, then CC, CD, DC, DD.
    """

    t: Int32[Array, ""]
    last: Int32[Array, ""]


@register("iterated_matrix")
@dataclass(frozen=True)
class IteratedMatrix(Environment[IteratedMatrixState, IteratedMatrixParams]):
    """Two players play a game of two actions again and again, and see the last round.

    Actions are 0 ("cooperate", stag, swerve, heads) and 1 ("defect", hare, go straight, tails). An observation is one
    of five: the start, CC, CD, DC, DD, one's own action first, as a one-hot vector. The game itself has no end (its
    horizon is a discount factor): episodes are truncated after `num_steps` rounds. Exact values of memory-one
    strategies are in `jaxmarl.games.iterated`.

    `info`: `cooperated`, bool `[2]`.

    Attributes:
        num_steps: rounds of an episode.
        game: of the default params: `"prisoners_dilemma"` (payoffs -1, -3, 0, -2 after CC, CD, DC, DD), `"axelrod"`
            (the same dilemma with 3, 0, 5, 1), `"chicken"`, `"stag_hunt"`, `"matching_pennies"`. What the environment
            declares about symmetry and zero sums holds for these.
    """

    num_steps: int = 100
    game: str = "prisoners_dilemma"

    num_agents = 2
    differentiable_params = ("payoffs",)

    def __post_init__(self):
        require_int("num_steps", self.num_steps, 1)
        require_choice("game", self.game, _GAMES)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def zero_sum(self) -> bool:
        return _GAMES[self.game][1]

    @property
    def symmetric(self) -> bool:
        return not self.zero_sum

    @property
    def default_params(self) -> IteratedMatrixParams:
        row, opposed = np.reshape(_GAMES[self.game][0], (2, 2)), _GAMES[self.game][1]
        return IteratedMatrixParams(jnp.asarray(np.stack([row, -row if opposed else row.T]), float))

    def validate(self, params: IteratedMatrixParams) -> None:
        payoffs = np.asarray(params.payoffs)
        fits = payoffs.shape[-3:] == (2, 2, 2) and bool(np.isfinite(payoffs).all())
        require(fits, "payoffs", payoffs.tolist(), "finite numbers [2, 2, 2]")

    def action_space(self, params: IteratedMatrixParams) -> Discrete:
        return Discrete(2)

    def observation_space(self, params: IteratedMatrixParams) -> Box:
        return Box(0.0, 1.0, (5,))

    def initial(self, chance, params: IteratedMatrixParams) -> IteratedMatrixState:
        return IteratedMatrixState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def transition(self, state: IteratedMatrixState, action: Int32[Array, " 2"], chance, params: Any):
        joint = 2 * action[0] + action[1]
        played = joint == jnp.arange(4)
        reward = jnp.sum(jnp.where(played, params.payoffs.reshape(2, 4), 0.0), axis=1)
        state = IteratedMatrixState(state.t + 1, (joint + 1).astype(jnp.int32))
        return state, reward, jnp.zeros((), bool), {"cooperated": action == COOPERATE}

    def truncated(self, state: IteratedMatrixState, params: IteratedMatrixParams):
        return state.t >= self.num_steps

    def observe(self, state: IteratedMatrixState, params: IteratedMatrixParams) -> Float[Array, "2 5"]:
        codes = np.array([range(5), EXCHANGED], np.int32)
        return (state.last == codes).astype(jnp.float32)

    def benchmarks(self, params: IteratedMatrixParams) -> dict[str, Any]:
        """`policies`: the named memory-one strategies, by name."""
        return {"policies": {name: memory_one_policy(name) for name in MEMORY_ONE}}


def memory_one_policy(strategy: str | None = None) -> Policy:
    """Cooperates with probability `p · obs`, for one-hot observations of `IteratedMatrix`.

    Args:
        strategy: a name in `jaxmarl.games.iterated.MEMORY_ONE`; None: params of the policy are `p [5]`, in the order
            start, CC, CD, DC, DD.

    Raises:
        ValueError: an unknown name.
    """
    if strategy is not None:
        require_choice("strategy", strategy, MEMORY_ONE)
    fixed = None if strategy is None else np.array(MEMORY_ONE[strategy], np.float32)

    def act(params, memory, obs, chance):
        p = params if fixed is None else fixed
        return (chance >= jnp.sum(p * obs)).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name=strategy or "memory_one")

"""Finite decision processes to play step by step, and three whose best laws of return are known exactly."""

import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int32

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require_int
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.distributional.mdp import TabularMDP, tabular_mdp
from jaxmarl.testing.probes.base import Probe


@struct.dataclass
class DecisionState:
    """State of `Decisions`: where in the table, and steps played."""

    index: Int32[Array, ""]
    t: Int32[Array, ""]


@dataclass(frozen=True)
class Decisions(Probe):
    """A `TabularMDP`, which is its params, played for `num_steps`: what a learner finds can be compared with the exact.

    Observations are one-hot, of the state and of the step; the end of the last step is the game's.

    Attributes:
        num_states: S.
        num_actions: A.
        num_steps: of an episode, at most.
        first: state where episodes start.
    """

    num_states: int = 2
    num_actions: int = 3
    num_steps: int = 2
    first: int = 0

    step_chance = Uniform()

    def __post_init__(self):
        for name in ("num_states", "num_actions", "num_steps"):
            require_int(name, getattr(self, name), 1)
        require_int("first", self.first, 0, self.num_states - 1)

    @property
    def default_params(self) -> TabularMDP:
        size = (self.num_states, self.num_actions, 1)
        return tabular_mdp(np.ones(size), np.arange(self.num_actions)[:, None], 0)

    def observation_space(self, params) -> Box:
        return Box(0.0, 1.0, (self.num_states + self.num_steps,))

    def action_space(self, params) -> Discrete:
        return Discrete(self.num_actions)

    def initial(self, chance, params) -> DecisionState:
        return DecisionState(jnp.full((), self.first, jnp.int32), jnp.zeros((), jnp.int32))

    def transition(self, state, action, chance, params):
        row = state.index, action[0]
        sums = jnp.cumsum(params.probabilities[row])
        outcome = jnp.sum(sums[:-1] <= chance * sums[-1])
        following = DecisionState(params.successors[row][outcome], state.t + 1)
        over = ~params.continues[row][outcome] | (following.t >= self.num_steps)
        return following, params.rewards[row][outcome].astype(jnp.float32)[None], over, {}

    def observe(self, state, params):
        place = jax.nn.one_hot(state.index, self.num_states)
        return jnp.concatenate([place, jax.nn.one_hot(state.t, self.num_steps)])[None]

    def benchmarks(self, params) -> dict[str, Any]:
        return {}


def decisions(mdp: TabularMDP, num_steps: int, first: int = 0) -> Decisions:
    """The environment of a process; `mdp` is its params."""
    return Decisions(mdp.num_states, mdp.num_actions, num_steps, first)


def two_steps() -> TabularMDP:
    """0 or 6 by a fair coin; then 2 for sure, -2 or 5 (3/4), or 0 or 20 (1/10): tails are best controlled by stock."""
    rewards = np.array([[[0, 6]] * 3, [[2, 2], [-2, 5], [0, 20]]], float)
    chances = np.array([[[0.5, 0.5]] * 3, [[1, 0], [0.25, 0.75], [0.9, 0.1]]])
    return tabular_mdp(chances, rewards, 1, np.array([True, False])[:, None, None])


def slippery_cliff(slip: float = 0.05) -> TabularMDP:
    """3 x 4 cells in rows; the start (8), two cells of cliff and the goal are the bottom row.

    Actions are up, right, down, left; a step slips to either side with probability `slip`, costs 1, and ends the
    episode with 10 more at the goal and 6 less in the cliff.
    """
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    rewards, successors, continues = np.zeros((12, 4, 3)), np.zeros((12, 4, 3), int), np.ones((12, 4, 3), bool)
    for cell, action, side in itertools.product(range(12), range(4), range(3)):
        step = moves[(action + (0, 1, -1)[side]) % 4]
        row, column = cell // 4 + step[0], cell % 4 + step[1]
        there = row * 4 + column if 0 <= row < 3 and 0 <= column < 4 else cell
        at = cell, action, side
        successors[at] = there
        rewards[at] = 9 if there == 11 else -7 if there in (9, 10) else -1
        continues[at] = there not in (9, 10, 11)
    return tabular_mdp(np.array([1 - 2 * slip, slip, slip]), rewards, successors, continues)


def two_bets() -> TabularMDP:
    """One state, discount 1/2: 1/2 for sure, or 0 or 2 by a fair coin, for ever."""
    return tabular_mdp([[[1, 0], [0.5, 0.5]]], [[[0.5, 0.5], [0, 2]]], 0, True, 0.5)

"""Any tabular Markov game as an environment: shapes are fields, the table is params."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markov.finite import FiniteEnvironment
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import DenseKernel

_SLACK = 1e-5  # rows that sum to 1 up to this never end the game (`MarkovGame.step`)


@struct.dataclass
class TabularState:
    """State of the game.

    Attributes:
        index: int32, state of the table.
        t: int32, steps played.
    """

    index: Int32[Array, ""]
    t: Int32[Array, ""]


@register("tabular_game")
@dataclass(frozen=True)
class TabularGame(FiniteEnvironment[TabularState, MarkovGame]):
    """A `MarkovGame` played step by step; its params are the table, so games of one shape stack and vmap.

    A step pays the table's (expected) rewards, undiscounted, and draws the next state. Features are the state, one-hot.
    A game with a horizon ends with it; others are truncated after `num_steps`. Players with fewer actions than others
    have them masked. `tabular_game` makes the environment of a given table; default params follow a formula.

    Attributes:
        num_states: S.
        num_actions: of each player, whose number is the number of agents.
        num_steps: steps of an episode.
        can_end: whether rows of the table may sum to less than 1; then episodes vary in length.
    """

    num_states: int = 4
    num_actions: tuple[int, ...] = (3, 3)
    num_steps: int = 100
    can_end: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_int("num_states", self.num_states, 1)
        require(len(self.num_actions) >= 1, "num_actions", self.num_actions, "a number for each player")
        for size in self.num_actions:
            require_int("num_actions", size, 1)
        require_int("num_steps", self.num_steps, 1)

    @property
    def num_agents(self) -> int:
        return len(self.num_actions)

    @property
    def horizon(self) -> int | None:
        return None if self.can_end else self.num_steps

    @property
    def default_params(self) -> MarkovGame:
        return _example(self.num_states, self.num_actions)

    def validate(self, params: MarkovGame) -> None:
        table, steps = (params.num_states, *params.num_actions), params.horizon
        require(table == (self.num_states, *self.num_actions), "params", table, "a table of the environment's shape")
        require(steps in (None, self.num_steps), "params", f"horizon {steps}", f"without horizon or {self.num_steps}")
        survival = _survival(params)
        require(self.can_end or survival >= 1 - _SLACK, "params", f"rows of sum {survival:g}", "1, unless can_end")

    def action_space(self, params: MarkovGame) -> Discrete:
        return Discrete(max(self.num_actions))

    def feature_space(self, params: MarkovGame) -> Box:
        return Box(0.0, 1.0, (self.num_states,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform()

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform()

    def initial(self, chance, params: MarkovGame) -> TabularState:
        cumulative = jnp.cumsum(params.initial)
        index = jnp.sum(chance * cumulative[-1] >= cumulative, dtype=jnp.int32)
        return TabularState(jnp.minimum(index, self.num_states - 1), jnp.zeros((), jnp.int32))

    def transition(self, state: TabularState, action: Int32[Array, " n"], chance, params: MarkovGame):
        following, rewards, ended = params.step(chance, state.index, action)
        after = TabularState(following.astype(jnp.int32), state.t + 1)
        if params.horizon is not None:
            ended = ended | (after.t >= params.horizon)
        return after, rewards, ended, {}

    def truncated(self, state: TabularState, params: MarkovGame) -> Bool[Array, ""]:
        return state.t >= self.num_steps if params.horizon is None else jnp.zeros((), bool)

    def action_mask(self, state: TabularState, params: MarkovGame) -> Bool[Array, "n A"]:
        most = max(self.num_actions)
        rows = [params.mask(i)[state.index] for i in range(self.num_agents)]
        return jnp.stack([jnp.pad(row, (0, most - row.shape[0])) for row in rows])

    def features(self, state: TabularState, params: MarkovGame) -> Float[Array, "n S"]:
        return jnp.broadcast_to(jax.nn.one_hot(state.index, self.num_states), (self.num_agents, self.num_states))

    def state_index(self, state: TabularState, params: MarkovGame) -> Int32[Array, ""]:
        return state.index

    def reset_outcomes(self, params: MarkovGame):
        return _middles(params.initial), params.initial

    def step_outcomes(self, state: TabularState, action: Int32[Array, " n"], params: MarkovGame):
        row = params.kernel.probabilities[(state.index, *action)]
        row = jnp.append(row, jnp.maximum(1 - row.sum(), 0) if self.can_end else 0)
        return _middles(row), row

    def essence(self, state: TabularState, params: MarkovGame):
        return state.index if params.horizon is None else state

    def all_states(self, params: MarkovGame) -> TabularState | None:
        if params.horizon is not None:
            return None
        return TabularState(jnp.arange(self.num_states, dtype=jnp.int32), jnp.zeros(self.num_states, jnp.int32))


def tabular_game(
    game: MarkovGame, num_steps: int = 100, *, observation: str = "features"
) -> tuple[TabularGame, MarkovGame]:
    """The environment of a table, and the table as its params.

    Args:
        game: one game, not a batch.
        num_steps: where a game without horizon is truncated.
        observation: see `FiniteEnvironment`.
    """
    can_end = _survival(game) < 1 - _SLACK
    steps = num_steps if game.horizon is None else game.horizon
    return TabularGame(game.num_states, game.num_actions, steps, can_end, observation=observation), game


def _survival(game: MarkovGame) -> float:
    return float(jnp.min(jnp.where(game.legal_profiles(), game.kernel.survival(), 1)))


def _middles(row: Float[Array, " k"]) -> Float[Array, " k"]:
    """For each outcome of a row, the middle of the interval of uniform numbers that draws it."""
    return jnp.cumsum(row) - row / 2


def _example(num_states: int, num_actions: tuple[int, ...]) -> MarkovGame:
    """Rewards and rows from a formula, in the manner of `markov_zoo.cosine_game`."""
    shape = (num_states, *num_actions)
    s, m, t = np.ogrid[:num_states, : int(np.prod(num_actions)), :num_states]
    rewards = np.sin(1 + 7 * s + 3 * m + 2 * np.arange(len(num_actions))).transpose(2, 0, 1)
    weights = 1.5 + np.cos(1 + s + 2 * m + 4 * t)
    rows = (weights / weights.sum(-1, keepdims=True)).reshape(*shape, num_states)
    return MarkovGame(
        jnp.asarray(rewards.reshape(-1, *shape), float),
        DenseKernel(jnp.asarray(rows, float)),
        discount=jnp.asarray(0.9, float),
    )

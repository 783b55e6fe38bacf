"""The 3 x 3 grid games of Hu and Wellman (2003)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Integers
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markov.finite import FiniteEnvironment
from jaxmarl.envs.picture import AGENTS, GOLD, WALL, Mark, agent_marks, draw_grid
from jaxmarl.games.markov_fixtures import GRID, GRID_GOALS, GRID_STARTS, grid_game_states
from jaxmarl.games.markov_rules import grid_game_step


@struct.dataclass
class GridGameParams:
    """Numbers of the game.

    Attributes:
        goal: reward of reaching the own goal.
        collision: lost by both players in a collision.
        discount: of the benchmarks; rewards are not discounted.
    """

    goal: Float[Array, ""]
    collision: Float[Array, ""]
    discount: Float[Array, ""]


@struct.dataclass
class GridGameState:
    """State of the game.

    Attributes:
        cells: int32, row and column of both players.
        t: int32, steps played.
    """

    cells: Int32[Array, "2 2"]
    t: Int32[Array, ""]


@register("grid_game")
@dataclass(frozen=True)
class GridGame(FiniteEnvironment[GridGameState, GridGameParams]):
    """Two players walk from the bottom corners of a 3 x 3 grid to their goals, and must not get in each other's way.

    Both choose among up, down, left and right at once; a move off the grid does nothing. Moves into one cell, into a
    cell where the other stays, or past each other are collisions: both stay and lose 1. Reaching the own goal pays 100
    and ends the game for both. Features are planes `[3, 3, 3]`: the own cell, the other's, the own goal.

    The table (`jaxmarl.games.markov_fixtures.grid_game`, states in its order) plays by the same rules. With
    `max_steps` the game is truncated there.

    `info`: `arrived [2]` and `collided`.

    Attributes:
        which: `"opposite"` (their first game): the goals are the top corner on the other side. `"common"` (their
            second): both goals are the middle of the top row, where both may arrive at once, and moving up from either
            bottom corner succeeds half the time.
        max_steps: where an episode is truncated, or None.
    """

    which: str = "opposite"
    max_steps: int | None = None

    num_agents = 2

    def __post_init__(self):
        super().__post_init__()
        require_choice("which", self.which, GRID_GOALS)
        if self.max_steps is not None:
            require_int("max_steps", self.max_steps, 1)

    @property
    def deterministic(self) -> bool:
        return self.which == "opposite"

    @property
    def num_states(self) -> int:
        return len(grid_game_states(self.which))

    @property
    def default_params(self) -> GridGameParams:
        return GridGameParams(*(jnp.asarray(x, float) for x in (100.0, 1.0, 0.99)))

    def validate(self, params: GridGameParams) -> None:
        for name in ("goal", "collision"):
            number = np.asarray(getattr(params, name))
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")
        discount = np.asarray(params.discount)
        require(bool(((discount >= 0) & (discount <= 1)).all()), "discount", discount.tolist(), "in [0, 1]")

    def action_space(self, params: GridGameParams) -> Discrete:
        return Discrete(4)

    def feature_space(self, params: GridGameParams) -> Box:
        return Box(0.0, 1.0, (3, *GRID))

    @property
    def step_chance(self) -> ChanceSpec:
        """Whom the barriers of the second game stop."""
        return () if self.which == "opposite" else Integers(2, (2,))

    def initial(self, chance, params: GridGameParams) -> GridGameState:
        return GridGameState(jnp.asarray(GRID_STARTS, jnp.int32), jnp.zeros((), jnp.int32))

    def transition(self, state: GridGameState, action: Int32[Array, " 2"], chance, params: GridGameParams):
        opposite = self.which == "opposite"
        stopped, barriers = (jnp.zeros(2, bool), ()) if opposite else (chance == 1, GRID_STARTS)
        move = grid_game_step(state.cells, action, stopped, GRID, GRID_GOALS[self.which], barriers)
        reward = params.goal * move.arrived - params.collision * move.collided
        after = GridGameState(move.cells.astype(jnp.int32), state.t + 1)
        info = {"arrived": move.arrived, "collided": move.collided}
        return after, reward, move.arrived.any(), info

    def truncated(self, state: GridGameState, params: GridGameParams) -> Bool[Array, ""]:
        return jnp.zeros((), bool) if self.max_steps is None else state.t >= self.max_steps

    def features(self, state: GridGameState, params: GridGameParams) -> Float[Array, "2 3 3 3"]:
        cells = jnp.concatenate([state.cells, jnp.asarray(GRID_GOALS[self.which], jnp.int32)])
        rows, columns = (jnp.arange(size) for size in GRID)
        planes = (cells[:, 0, None] == rows)[:, :, None] & (cells[:, 1, None] == columns)[:, None]
        return planes[np.array([[0, 1, 2], [1, 0, 3]])].astype(jnp.float32)

    def state_index(self, state: GridGameState, params: GridGameParams) -> Int32[Array, ""]:
        one, two = state.cells[:, 0] * GRID[1] + state.cells[:, 1]
        numbers = np.zeros((9, 9), np.int32)  # of states in which the game is on
        for i, (first, second) in enumerate(grid_game_states(self.which)):
            numbers[first[0] * GRID[1] + first[1], second[0] * GRID[1] + second[1]] = i
        return jnp.asarray(numbers)[one, two]

    def essence(self, state: GridGameState, params: GridGameParams):
        return state.cells

    def all_states(self, params: GridGameParams) -> GridGameState:
        cells = jnp.asarray(np.array(grid_game_states(self.which), np.int32))
        return GridGameState(cells, jnp.zeros(len(cells), jnp.int32))

    def benchmarks(self, params: GridGameParams) -> dict[str, Any]:
        """`equilibrium_values [2]` from the start, discounted: both on shortest paths that do not cross.

        In the second game one player goes round the barrier and the other tries it: half the time it arrives as well.
        (With the roles exchanged, it is another equilibrium.)
        """
        goal, discount = float(params.goal), float(params.discount)
        if self.which == "opposite":
            return {"equilibrium_values": np.full(2, goal * discount**3)}
        return {"equilibrium_values": goal * discount**2 * np.array([1.0, 0.5])}

    def render(self, state: GridGameState, params: GridGameParams) -> UInt8[np.ndarray, "H W 3"]:
        """RGB picture: players 1 and 2, their goals as squares of their colours (of gold where it is one)."""
        goals = GRID_GOALS[self.which]
        colours = AGENTS if self.which == "opposite" else (GOLD, GOLD)
        marks = [Mark(goal, colour, "tile", size=0.9) for goal, colour in zip(goals, colours, strict=False)]
        if self.which == "common":
            marks += [
                Mark(start, WALL, "tile", size=0.12, offset=(-0.42, x))
                for start in GRID_STARTS
                for x in (-0.36, -0.24, -0.12, 0.0, 0.12, 0.24, 0.36)
            ]
        return draw_grid(GRID, [*marks, *agent_marks(state.cells, ["1", "2"])])

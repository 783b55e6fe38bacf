"""Littman's soccer (1994), the zero-sum Markov game in which the best policies must be random."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markov.finite import FiniteEnvironment
from jaxmarl.envs.picture import AGENTS, GOLD, PITCH, Mark, agent_marks, draw_grid
from jaxmarl.games.markov_fixtures import soccer_states
from jaxmarl.games.markov_rules import Cell, soccer_step

HALF_TURN = (1, 0, 3, 2, 4)
"""North, south, east, west and stand as seen from the other side of the field."""
VALUE_WITH_THE_BALL = 0.2184844404
"""Value of the default game to the player that starts with the ball."""


@struct.dataclass
class SoccerParams:
    """Numbers of the game.

    Attributes:
        goal: reward of a goal to the scorer; the other loses as much.
        draw: probability that the game ends after a step, undecided. Littman's discount of 0.9 is a draw of 0.1.
    """

    goal: Float[Array, ""]
    draw: Float[Array, ""]


@struct.dataclass
class SoccerState:
    """State of the game.

    Attributes:
        cells: int32, row and column of both players.
        ball: int32, who has it, 0 or 1.
        t: int32, steps played.
    """

    cells: Int32[Array, "2 2"]
    ball: Int32[Array, ""]
    t: Int32[Array, ""]


@register("soccer")
@dataclass(frozen=True)
class Soccer(FiniteEnvironment[SoccerState, SoccerParams]):
    """Two players on a field; one has the ball, and each tries to carry it off the other's edge.

    Both choose among north, south, east, west and stand; their moves are made one after the other in an order drawn by
    a fair coin. A mover into the other's cell stays where it is, and the ball goes to (or stays with) the one that
    stood there. The first player scores by carrying the ball off the left edge in a goal row, the second off the right
    edge, which ends the game, as does a draw after each step with probability `params.draw`. Other moves off the field
    do nothing. Who has the ball at first is drawn. Features are planes `[4, rows, columns]`: the own cell, the other's,
    ones if the own side has the ball, ones if the other has it.

    The table (`jaxmarl.games.markov_fixtures.soccer`, states in its order) plays by the same rules. With `max_steps`
    the game is truncated there.

    `info`: `goal`, 1 if the first player scored, -1 if the second did, else 0.

    Attributes:
        num_rows: of the field.
        num_columns: of the field.
        goal_rows: in which the edges are goals.
        starts: cells of the two players.
        max_steps: where an episode is truncated, or None.
        turned: whether the second player sees the field, and names directions, from the other side: half a turn
            exchanges the players, so that one policy can then play both.
    """

    num_rows: int = 4
    num_columns: int = 5
    goal_rows: tuple[int, ...] = (1, 2)
    starts: tuple[Cell, Cell] = ((1, 3), (2, 1))
    max_steps: int | None = None
    turned: bool = False

    num_agents = 2
    zero_sum = True

    def __post_init__(self):
        super().__post_init__()
        require_int("num_rows", self.num_rows, 1)
        require_int("num_columns", self.num_columns, 2)
        rows = set(range(self.num_rows))
        require(bool(self.goal_rows) and set(self.goal_rows) <= rows, "goal_rows", self.goal_rows, f"some of {rows}")
        on_field = all(0 <= r < self.num_rows and 0 <= c < self.num_columns for r, c in self.starts)
        require(on_field and len(set(self.starts)) == 2, "starts", self.starts, "two different cells of the field")
        if self.max_steps is not None:
            require_int("max_steps", self.max_steps, 1)

    @property
    def field(self) -> Cell:
        """Rows and columns."""
        return self.num_rows, self.num_columns

    @property
    def num_states(self) -> int:
        cells = self.num_rows * self.num_columns
        return 2 * cells * (cells - 1)

    @property
    def default_params(self) -> SoccerParams:
        return SoccerParams(jnp.asarray(1.0, float), jnp.asarray(0.1, float))

    def validate(self, params: SoccerParams) -> None:
        goal, draw = np.asarray(params.goal), np.asarray(params.draw)
        require(bool(np.isfinite(goal).all()), "goal", goal.tolist(), "finite")
        require(bool(((draw >= 0) & (draw <= 1)).all()), "draw", draw.tolist(), "a probability")

    def action_space(self, params: SoccerParams) -> Discrete:
        return Discrete(5)

    def feature_space(self, params: SoccerParams) -> Box:
        return Box(0.0, 1.0, (4, *self.field))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Who has the ball."""
        return Integers(2)

    @property
    def step_chance(self) -> ChanceSpec:
        """Who moves first, and whether the game is drawn."""
        return Integers(2), Uniform()

    def initial(self, chance, params: SoccerParams) -> SoccerState:
        return SoccerState(jnp.asarray(self.starts, jnp.int32), chance, jnp.zeros((), jnp.int32))

    def transition(self, state: SoccerState, action: Int32[Array, " 2"], chance, params: SoccerParams):
        first, luck = chance
        if self.turned:
            action = action.at[1].set(jnp.asarray(HALF_TURN)[action[1]])
        move = soccer_step(state.cells, state.ball, action, first, self.field, self.goal_rows)
        goal = move.goal.astype(jnp.int32)
        reward = jnp.stack([goal, -goal]) * params.goal
        after = SoccerState(move.cells.astype(jnp.int32), move.ball.astype(jnp.int32), state.t + 1)
        return after, reward, (goal != 0) | (luck < params.draw), {"goal": goal}

    def truncated(self, state: SoccerState, params: SoccerParams) -> Bool[Array, ""]:
        return jnp.zeros((), bool) if self.max_steps is None else state.t >= self.max_steps

    def features(self, state: SoccerState, params: SoccerParams) -> Float[Array, "2 4 rows columns"]:
        rows, columns = (jnp.arange(size) for size in self.field)
        at = (state.cells[:, 0, None] == rows)[:, :, None] & (state.cells[:, 1, None] == columns)[:, None]
        has = jnp.broadcast_to((state.ball == jnp.arange(2))[:, None, None], at.shape)
        first = jnp.stack([at[0], at[1], has[0], has[1]])
        second = jnp.stack([at[1], at[0], has[1], has[0]])
        second = second[:, ::-1, ::-1] if self.turned else second
        return jnp.stack([first, second]).astype(jnp.float32)

    def state_index(self, state: SoccerState, params: SoccerParams) -> Int32[Array, ""]:
        one, two = state.cells[:, 0] * self.num_columns + state.cells[:, 1]
        pair = one * (self.num_rows * self.num_columns - 1) + two - (two > one)
        return 2 * pair + state.ball

    def step_outcomes(self, state: SoccerState, action: Int32[Array, " 2"], params: SoccerParams):
        drawn = jnp.array([False, False, True, True])
        chance = jnp.array([0, 1, 0, 1], jnp.int32), jnp.where(drawn, 0.0, 1.0)
        return chance, jnp.where(drawn, params.draw, 1 - params.draw) / 2

    def essence(self, state: SoccerState, params: SoccerParams):
        return state.cells, state.ball

    def all_states(self, params: SoccerParams) -> SoccerState:
        states = soccer_states(self.num_rows, self.num_columns)
        cells, ball = (jnp.asarray(np.array(x, np.int32)) for x in ([s[:2] for s in states], [s[2] for s in states]))
        return SoccerState(cells, ball, jnp.zeros(len(states), jnp.int32))

    def benchmarks(self, params: SoccerParams) -> dict[str, Any]:
        """`values`: of the start, to both players, by who has the ball: `[ball, player]`, for Littman's field."""
        known = self.field == (4, 5) and self.goal_rows == (1, 2) and self.starts == ((1, 3), (2, 1))
        if not known or self.max_steps is not None or not np.allclose(params.draw, 0.1):
            return {}
        value = float(params.goal) * VALUE_WITH_THE_BALL
        return {"values": np.array([[value, -value], [-value, value]])}

    def render(self, state: SoccerState, params: SoccerParams) -> UInt8[np.ndarray, "H W 3"]:
        """RGB picture: players A and B, the ball with one of them, goals at the edges in the scorer's colour."""
        goals = [Mark((row + 1, 0), AGENTS[0], "tile") for row in self.goal_rows]
        goals += [Mark((row + 1, self.num_columns + 1), AGENTS[1], "tile") for row in self.goal_rows]
        field = [Mark((r + 1, c + 1), PITCH, "tile", size=0.96) for r, c in np.ndindex(self.field)]
        cells = np.asarray(state.cells) + 1
        ball = Mark(cells[int(state.ball)], GOLD, size=0.3, offset=(0.28, 0.28))
        shape = self.num_rows + 2, self.num_columns + 2
        return draw_grid(shape, [*field, *goals, *agent_marks(cells, ["A", "B"]), ball])

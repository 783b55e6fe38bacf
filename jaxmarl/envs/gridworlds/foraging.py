"""Level-based foraging (Albrecht and Ramamoorthy 2013; Papoudakis et al. 2021), with the rules of `lbforaging` 2.0."""

import re
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.grid import deal_cells, distance, free_cell, occupied, same_cell
from jaxmarl.envs.gridworlds.foraging_heuristics import HEURISTICS, heuristic
from jaxmarl.envs.picture import GREEN, Mark, agent_marks, draw_grid

NONE, NORTH, SOUTH, WEST, EAST, LOAD = range(6)
STEPS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
"""(row, column) steps of the actions none, north, south, west, east, load."""

_NAME = re.compile(r"Foraging(?:-(\d+)s)?-(\d+)x(\d+)-(\d+)p-(\d+)f(-coop)?(?:-v\d)?")


@struct.dataclass
class ForagingParams:
    """Numbers of the game.

    Attributes:
        penalty: lost by an agent that loads a food in vain.
    """

    penalty: Float[Array, ""]


@struct.dataclass
class ForagingState:
    """State of the game.

    Attributes:
        t: steps played.
        agents: `[N, 2]`, positions.
        levels: `[N]`, of the agents.
        foods: `[F, 2]`, positions.
        food_levels: `[F]`, 0 once eaten.
        spawned: sum of food levels at the start.
    """

    t: Int32[Array, ""]
    agents: Int32[Array, "N 2"]
    levels: Int32[Array, " N"]
    foods: Int32[Array, "F 2"]
    food_levels: Int32[Array, " F"]
    spawned: Int32[Array, ""]


@register("foraging")
@dataclass(frozen=True)
class Foraging(Environment[ForagingState, ForagingParams]):
    """Agents of different levels load food; food of a level takes neighbours whose levels add up to it.

    Actions are none, north, south, west, east, load. Off the grid and into food there is no way; where several agents
    go to (or stay in) one cell, none of them goes there. Agents next to a food that load it in the same step get it
    where their levels add up to its level: agent i then receives `food level · l_i / sum of their levels`, divided by
    the levels of all food of the episode (so that all of it is worth 1) unless `normalised` is off. Loading in vain
    costs `penalty`. The episode ends when all food is gone, and is truncated after `num_steps` steps.

    Agents' levels are uniform on `1, …, max_level`, food levels on `1, …,` the sum of the three lowest agents' levels;
    with `coop` all are that sum. Food is never on the border, nor within a king's move or two straight steps of food.

    An observation is `(row, column, level)` of each food in view in reading order, then of oneself, then of each agent
    in view; `(-1, -1, 0)` stands for what is not. Positions count from the top left corner of what is in view, which
    is `sight` cells each way, cut at the border.

    `info`: `loaded [F]`, foods loaded in this step.

    Attributes:
        num_agents: N.
        num_foods: F.
        size: rows and columns.
        sight: cells that agents see each way (everything where None).
        coop: whether all food takes the three lowest agents (or all, where there are fewer).
        max_level: highest level of an agent.
        num_steps: after which an episode is truncated.
        normalised: whether all food of an episode is worth 1.
    """

    num_agents: int = 2
    num_foods: int = 3
    size: int = 8
    sight: int | None = None
    coop: bool = False
    max_level: int = 2
    num_steps: int = 50
    normalised: bool = True

    def __post_init__(self):
        require_int("size", self.size, 3)
        require_int("num_agents", self.num_agents, 1, self.size**2)
        require_int("num_foods", self.num_foods, 1)
        if self.sight is not None:
            require_int("sight", self.sight, 1)
        require_int("max_level", self.max_level, 1)
        require_int("num_steps", self.num_steps, 1)

    @classmethod
    def from_name(cls, name: str, **fields: Any) -> "Foraging":
        """The environment that `lbforaging` calls, for instance, `Foraging-2s-8x8-3p-2f-coop-v3`.

        Raises:
            ValueError: a name of another form, or a grid that is not square.
        """
        match = _NAME.fullmatch(name)
        require(match is not None, "name", name, "like Foraging-8x8-2p-3f, Foraging-2s-8x8-2p-3f-coop-v3")
        assert match is not None
        sight, rows, columns, agents, foods = (None if x is None else int(x) for x in match.groups()[:5])
        require(rows == columns, "name", name, "of a square grid")
        return cls(agents, foods, rows, sight, match[6] is not None, **fields)  # type: ignore[arg-type]

    @property
    def symmetric(self) -> bool:
        return self.num_agents == 2  # more agents are listed in a fixed order

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size, self.size

    @property
    def default_params(self) -> ForagingParams:
        return ForagingParams(jnp.zeros((), float))

    def validate(self, params: ForagingParams) -> None:
        penalty = np.asarray(params.penalty)
        require(bool((np.isfinite(penalty) & (penalty >= 0)).all()), "penalty", penalty.tolist(), "at least 0")

    def action_space(self, params: ForagingParams) -> Discrete:
        return Discrete(6)

    def observation_space(self, params: ForagingParams) -> Box:
        highest = max(self.size - 1, self.max_level * min(self.num_agents, 3))
        return Box(-1.0, float(highest), (3 * (self.num_foods + self.num_agents),))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Cells and levels of agents and of foods."""
        n, foods = self.num_agents, self.num_foods
        agents = {"cells": Uniform((1, n)), "lots": Uniform((n,)), "levels": Uniform((n,))}
        return {"agents": agents, "foods": {"cells": Uniform((1, foods)), "levels": Uniform((1, foods))}}

    def initial(self, chance, params: ForagingParams) -> ForagingState:
        drawn = chance["agents"]
        agents, _ = deal_cells(drawn["cells"][0], drawn["lots"], jnp.ones(self.shape, bool))
        levels = 1 + (drawn["levels"] * self.max_level).astype(jnp.int32)
        lowest = jnp.sum(jnp.sort(levels)[:3], dtype=jnp.int32)
        units = chance["foods"]["levels"][0]
        wanted = jnp.full(units.shape, lowest) if self.coop else 1 + (units * lowest).astype(jnp.int32)
        foods, fits = self._food_cells(chance["foods"]["cells"][0], agents)
        food_levels = jnp.where(fits, wanted, 0)
        spawned = jnp.sum(food_levels, dtype=jnp.int32)
        return ForagingState(jnp.zeros((), jnp.int32), agents, levels, foods, food_levels, spawned)

    def _food_cells(self, units: Array, agents: Array) -> tuple[Int32[Array, "F 2"], Bool[Array, " F"]]:
        """Cells of the foods one after another, and which of them found room."""
        rows, columns = (jnp.arange(n, dtype=jnp.int32) for n in self.shape)
        inside = (rows > 0) & (rows < self.size - 1)
        free = inside[:, None] & inside & ~occupied(agents, self.shape)

        def place(free, unit):
            cell = free_cell(unit, free)
            down, right = jnp.abs(rows - cell[0])[:, None], jnp.abs(columns - cell[1])
            near = (jnp.maximum(down, right) <= 1) | ((down + right == 2) & (jnp.minimum(down, right) == 0))
            return free & ~near, (cell, jnp.any(free))

        return jax.lax.scan(place, free, units)[1]

    def action_mask(self, state: ForagingState, params: ForagingParams) -> Bool[Array, "N 6"]:
        targets = state.agents[:, None] + jnp.asarray(STEPS, jnp.int32)
        inside = jnp.all((targets >= 0) & (targets < self.size), axis=-1)
        there = (state.food_levels > 0) & same_cell(targets[:, :, None], state.foods)
        loads = jnp.any(self._beside(state), axis=1)
        legal = inside & ~jnp.any(there, axis=-1)
        return legal.at[:, NONE].set(True).at[:, LOAD].set(loads)

    def _beside(self, state: ForagingState) -> Bool[Array, "N F"]:
        """Who stands next to which food; nobody stands next to two."""
        return (distance(state.agents[:, None], state.foods) == 1) & (state.food_levels > 0)

    def transition(self, state: ForagingState, action: Int32[Array, " N"], chance, params: ForagingParams):
        legal = jnp.any(self.action_mask(state, params) & (action[:, None] == jnp.arange(6)), axis=1)
        action = jnp.where(legal, action, NONE)
        targets = state.agents + jnp.asarray(STEPS, jnp.int32)[action]
        # whoever is alone in wanting a cell goes there, even if its holder is then kept from leaving: the peer's rule
        alone = jnp.sum(same_cell(targets[:, None], targets), axis=1) == 1
        agents = jnp.where(alone[:, None], targets, state.agents)

        loading = self._beside(replace(state, agents=agents)) & (action == LOAD)[:, None]
        force = jnp.sum(jnp.where(loading, state.levels[:, None], 0), axis=0, dtype=jnp.int32)
        loaded = jnp.any(loading, axis=0) & (force >= state.food_levels)
        total = jnp.maximum(force, 1) * jnp.maximum(state.spawned, 1) if self.normalised else jnp.ones_like(force)
        share = state.levels[:, None] * state.food_levels / total.astype(jnp.float32)
        reward = jnp.sum(jnp.where(loading, jnp.where(loaded, share, -params.penalty), 0.0), axis=1)
        food_levels = jnp.where(loaded, 0, state.food_levels)
        state = ForagingState(state.t + 1, agents, state.levels, state.foods, food_levels, state.spawned)
        return state, reward.astype(jnp.float32), ~jnp.any(food_levels > 0), {"loaded": loaded}

    def truncated(self, state: ForagingState, params: ForagingParams):
        return state.t >= self.num_steps

    def observe(self, state: ForagingState, params: ForagingParams) -> Float[Array, "N obs"]:
        sight = self.size if self.sight is None else self.sight
        foods, eaten = state.foods, state.food_levels == 0
        corner = jnp.maximum(state.agents - sight, 0)[:, None]
        away = jnp.max(jnp.abs(foods - state.agents[:, None]), axis=-1)
        hidden = (away > sight) | eaten
        order = jnp.where(hidden, self.size**2, foods[:, 0] * self.size + foods[:, 1])
        seen_foods = _in_order(foods - corner, jnp.broadcast_to(state.food_levels, hidden.shape), hidden, order)

        index = jnp.arange(self.num_agents)
        places = state.agents - corner
        # as in the peer: near the border agents are seen a little farther than food
        hidden = jnp.any((places < 0) | (places > 2 * sight), axis=-1)
        order = jnp.where(index[:, None] == index, -1, jnp.where(hidden, self.num_agents, index))
        seen_agents = _in_order(places, jnp.broadcast_to(state.levels, hidden.shape), hidden, order)
        return jnp.concatenate([seen_foods, seen_agents], axis=1).astype(jnp.float32)

    def benchmarks(self, params: ForagingParams) -> dict[str, Any]:
        """Policies `H1`, `H2`, `H3`, `H4` (see `foraging_heuristics`), which are masked; and `most`, the largest sum of
        all agents' returns.
        """
        most = {"most": 1.0} if self.normalised else {}
        return {**most, **{name: heuristic(name, self.num_foods) for name in HEURISTICS}}

    def render(self, state: ForagingState, params: ForagingParams) -> UInt8[np.ndarray, "H W 3"]:
        """A picture: foods green, agents as discs, all with their levels."""
        left = [(cell, level) for cell, level in zip(*map(np.asarray, (state.foods, state.food_levels)), strict=True)]
        marks = [Mark(cell, GREEN, "tile", str(level), size=0.8) for cell, level in left if level > 0]
        return draw_grid(self.shape, [*marks, *agent_marks(state.agents, [str(x) for x in np.asarray(state.levels)])])


def _in_order(places: Array, levels: Array, hidden: Array, order: Array) -> Int32[Array, "N m"]:
    """Rows `(row, column, level)` of each agent's view sorted by `order [N, K]`, blanked where hidden, flattened."""
    rows = jnp.concatenate([places, levels[..., None]], axis=-1)
    rows = jnp.where(hidden[..., None], jnp.asarray([-1, -1, 0], jnp.int32), rows)
    rows = jnp.take_along_axis(rows, jnp.argsort(order, axis=1)[..., None], axis=1)
    return rows.reshape(rows.shape[0], -1)

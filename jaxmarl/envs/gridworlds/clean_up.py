"""Clean-up: apples grow while somebody keeps the river clean (Hughes et al. 2018), simplified."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Discrete
from jaxmarl.envs.grid import LEFT, MOVES, RIGHT, free_cell, occupied, same_cell
from jaxmarl.envs.gridworlds.commons import (
    BEAM,
    PLANES,
    Commons,
    CommonsState,
    check_shares,
    freeze,
    in_beam,
    walk,
    wanderer,
)
from jaxmarl.envs.picture import BROWN, GREEN, WATER, discs, draw_grid, tiles

CLEAN = BEAM + 1


@struct.dataclass
class CleanUpParams:
    """Numbers of the game.

    Attributes:
        growth: probability that an apple grows in a step on an empty cell of the orchard beside a clean river.
        threshold: share of waste in the river from which none grows; growth falls linearly up to it.
        waste_growth: probability that a clean cell of the river becomes dirty in a step (one of them, at random).
        initial_waste: probability that a cell of the river is dirty at the start.
        freeze_steps: steps for which a beam freezes an agent.
    """

    growth: Float[Array, ""]
    threshold: Float[Array, ""]
    waste_growth: Float[Array, ""]
    initial_waste: Float[Array, ""]
    freeze_steps: Int32[Array, ""]


@register("clean_up")
@dataclass(frozen=True)
class CleanUp(Commons[CleanUpParams]):
    """Agents pick apples on the right, which grow only if some of them clean the river on the left.

    Actions are up, down, left, right, stay, a beam that freezes (all as in `Harvest`), and cleaning, which removes the
    waste in the own cell and in `beam_length` cells straight ahead. Whoever stands on an apple picks it, for a reward
    of 1. Then, with d the share of the river's cells that are dirty, apples grow on each empty cell of the orchard
    where nobody stands with probability `growth · max(0, 1 - d / threshold)`, and with probability `waste_growth` one
    clean cell of the river becomes dirty. An episode is truncated after `num_steps` steps.

    An observation is `[2 view + 1, 2 view + 1, 7]` around the agent: apples, other agents, frozen agents, the cell
    ahead of it, cells outside the grid, waste, river.

    `info`: `apples` (left), `waste` (share of the river that is dirty), `cleaned [N]`, cells cleaned by each agent.

    Attributes:
        rows: of the grid.
        river_columns: columns of river, on the left.
        ground_columns: columns of ground between river and orchard.
        orchard_columns: columns of orchard, on the right.
    """

    rows: int = 9
    river_columns: int = 3
    ground_columns: int = 4
    orchard_columns: int = 3

    extra_planes = 2

    def __post_init__(self):
        for name in ("rows", "river_columns", "ground_columns", "orchard_columns"):
            require_int(name, getattr(self, name), 1, 10_000)
        super().__post_init__()

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.river_columns + self.ground_columns + self.orchard_columns

    @property
    def river(self) -> Bool[np.ndarray, "rows columns"]:
        """Cells of the river."""
        return np.broadcast_to(np.arange(self.shape[1]) < self.river_columns, self.shape)

    @property
    def orchard(self) -> Bool[np.ndarray, "rows columns"]:
        return np.broadcast_to(np.arange(self.shape[1]) >= self.shape[1] - self.orchard_columns, self.shape)

    @property
    def default_params(self) -> CleanUpParams:
        growth, threshold, waste_growth, initial_waste = (jnp.asarray(x, float) for x in (0.05, 0.4, 0.5, 0.5))
        return CleanUpParams(growth, threshold, waste_growth, initial_waste, jnp.asarray(25, jnp.int32))

    def validate(self, params: CleanUpParams) -> None:
        for name in ("growth", "waste_growth", "initial_waste"):
            check_shares(**{name: getattr(params, name)})
        threshold, steps = np.asarray(params.threshold), np.asarray(params.freeze_steps)
        require(bool((threshold > 0).all()), "threshold", threshold.tolist(), "positive")
        require(bool((steps >= 0).all()), "freeze_steps", steps.tolist(), "at least 0")

    def action_space(self, params: CleanUpParams) -> Discrete:
        return Discrete(CLEAN + 1)

    @property
    def step_chance(self) -> ChanceSpec:
        """For every cell, whether an apple grows; whether and where waste appears."""
        return {"grid": Uniform((1, *self.shape)), "waste": Uniform((1, 2))}

    def initial(self, chance, params: CleanUpParams) -> CommonsState:
        waste = jnp.asarray(self.river) & (chance["grid"][0] < params.initial_waste)
        return CommonsState(jnp.zeros((), jnp.int32), self._start(chance), jnp.zeros(self.shape, bool), waste)

    def transition(self, state: CommonsState, action: Int32[Array, " N"], chance, params: CleanUpParams):
        walked = walk(state.agents, action, self.shape)
        agents = freeze(walked, action, self.beam_length, params.freeze_steps)
        reward = state.apples[agents.cells[:, 0], agents.cells[:, 1]].astype(jnp.float32)
        here = occupied(agents.cells, self.shape)

        cleans = ((action == CLEAN) & (walked.frozen == 0))[:, None, None]
        cells = jnp.stack(jnp.meshgrid(*(jnp.arange(n, dtype=jnp.int32) for n in self.shape), indexing="ij"), axis=-1)
        own = same_cell(agents.cells[:, None, None], cells)
        cleaned = (own | in_beam(agents, cells, self.beam_length)) & cleans & state.waste
        waste = state.waste & ~jnp.any(cleaned, axis=0)
        share = jnp.sum(waste) / np.float32(self.river.sum())
        rate = params.growth * jnp.maximum(0.0, 1 - share / params.threshold)
        grows = (chance["grid"][0] < rate) & jnp.asarray(self.orchard) & ~here
        apples = (state.apples & ~here) | grows

        clean = jnp.asarray(self.river) & ~waste
        fresh = occupied(free_cell(chance["waste"][0, 1], clean)[None], self.shape) & clean
        waste |= fresh & (chance["waste"][0, 0] < params.waste_growth)
        info = {
            "apples": jnp.sum(apples, dtype=jnp.int32),
            "waste": jnp.sum(waste) / np.float32(self.river.sum()),
            "cleaned": jnp.sum(cleaned, axis=(1, 2), dtype=jnp.int32),
        }
        return CommonsState(state.t + 1, agents, apples, waste), reward, jnp.zeros((), bool), info

    def _extra_planes(self, state: CommonsState) -> tuple[Array, ...]:
        return state.waste, jnp.asarray(self.river)

    def benchmarks(self, params: CleanUpParams) -> dict[str, Any]:
        """Policies: `gatherer` picks the nearest apple it sees, else goes right; `cleaner` cleans the nearest waste it
        sees, else goes left.
        """
        gatherer = wanderer("gatherer", self.view, lambda obs: obs[..., PLANES.index("apples")] > 0, RIGHT)
        return {"gatherer": gatherer, "cleaner": cleaner(self.view, self.beam_length)}

    def render(self, state: CommonsState, params: CleanUpParams) -> UInt8[np.ndarray, "H W 3"]:
        """A picture: river blue, waste brown, orchard shaded, apples green, agents as in `Harvest`."""
        ground = [*tiles(self.river, WATER), *tiles(self.orchard, (236, 240, 228))]
        things = [*tiles(state.waste, BROWN, 0.7), *discs(state.apples, GREEN)]
        return draw_grid(self.shape, [*ground, *things, *self._marks(state)], tile=32)


def cleaner(view: int, beam_length: int) -> Policy:
    """Cleans waste ahead or underfoot; else walks to the nearest waste it sees, and left where it sees none."""
    walker = wanderer("cleaner", view, _waste, LEFT)
    reach = np.arange(1, min(view, beam_length) + 1)
    line = np.array([[(view + down * k, view + right * k) for k in reach] for down, right in MOVES[:4]])

    def act(params, memory, obs, chance):
        ahead = [obs[view + down, view + right, PLANES.index("ahead")] for down, right in MOVES[:4]]
        dirty = jnp.any(_waste(obs)[line[..., 0], line[..., 1]], axis=1)
        step, memory = walker.act(params, memory, obs, chance)
        cleans = jnp.any((jnp.stack(ahead) > 0) & dirty) | _waste(obs)[view, view]
        return jnp.where(cleans, CLEAN, step), memory

    return Policy(walker.init, act, act_chance=walker.act_chance, name="cleaner")


def _waste(obs: Array) -> Bool[Array, "side side"]:
    return obs[..., len(PLANES)] > 0

"""Harvest: apples that regrow only beside apples (Pérolat et al. 2017), simplified."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Discrete
from jaxmarl.envs.grid import occupied
from jaxmarl.envs.gridworlds.commons import BEAM, PLANES, Commons, CommonsState, check_shares, freeze, walk, wanderer
from jaxmarl.envs.picture import GREEN, discs, draw_grid, tiles


@struct.dataclass
class HarvestParams:
    """Numbers of the game.

    Attributes:
        regrowth: `[4]`, probability that an apple grows in a step on an empty cell of the orchard with no, 1 to 2, 3 to
            4, and more apples within distance 2.
        freeze_steps: steps for which a beam freezes an agent.
    """

    regrowth: Float[Array, " 4"]
    freeze_steps: Int32[Array, ""]


@register("harvest")
@dataclass(frozen=True)
class Harvest(Commons[HarvestParams]):
    """Agents pick apples in patches that never recover once the last apple is gone.

    Actions are up, down, left, right, stay and a beam. A move turns the agent that way, and leads there unless somebody
    holds the cell or wants it as well. The beam freezes the agents in `beam_length` cells straight ahead for
    `freeze_steps` steps, in which they stay and do nothing. Whoever stands on an apple picks it, for a reward of 1.
    Then apples regrow on empty cells of the orchard where nobody stands, the likelier the more apples there are within
    (Euclidean) distance 2. Patches are diamonds of radius `patch_radius`, too far from each other to help. An episode
    is truncated after `num_steps` steps.

    An observation is `[2 view + 1, 2 view + 1, 5]` around the agent: apples, other agents, frozen agents, the cell
    ahead of it, cells outside the grid.

    `info`: `apples` (left), `hits` (agents frozen by a beam in this step).

    Attributes:
        patch_rows: rows of patches.
        patch_columns: columns of patches.
        patch_radius: of a patch.
    """

    patch_rows: int = 2
    patch_columns: int = 2
    patch_radius: int = 2

    def __post_init__(self):
        for name in ("patch_rows", "patch_columns", "patch_radius"):
            require_int(name, getattr(self, name), 1, 100)
        super().__post_init__()

    @property
    def shape(self) -> tuple[int, int]:
        block = 2 * self.patch_radius + 3
        return self.patch_rows * block, self.patch_columns * block

    @property
    def orchard(self) -> Bool[np.ndarray, "rows columns"]:
        away = np.abs(np.arange(2 * self.patch_radius + 3) - self.patch_radius - 1)
        return np.tile(np.add.outer(away, away) <= self.patch_radius, (self.patch_rows, self.patch_columns))

    @property
    def default_params(self) -> HarvestParams:
        return HarvestParams(jnp.asarray([0.0, 0.01, 0.05, 0.1], float), jnp.asarray(25, jnp.int32))

    def validate(self, params: HarvestParams) -> None:
        check_shares(regrowth=params.regrowth)
        steps = np.asarray(params.freeze_steps)
        require(bool((steps >= 0).all()), "freeze_steps", steps.tolist(), "at least 0")

    def action_space(self, params: HarvestParams) -> Discrete:
        return Discrete(BEAM + 1)

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((1, *self.shape))

    def initial(self, chance, params: HarvestParams) -> CommonsState:
        none = jnp.zeros(self.shape, bool)
        return CommonsState(jnp.zeros((), jnp.int32), self._start(chance), jnp.asarray(self.orchard), none)

    def transition(self, state: CommonsState, action: Int32[Array, " N"], chance, params: HarvestParams):
        walked = walk(state.agents, action, self.shape)
        agents = freeze(walked, action, self.beam_length, params.freeze_steps)
        reward = state.apples[agents.cells[:, 0], agents.cells[:, 1]].astype(jnp.float32)
        here = occupied(agents.cells, self.shape)
        left = state.apples & ~here
        grows = (chance[0] < self._rate(left, params)) & jnp.asarray(self.orchard) & ~here
        apples = left | grows
        hits = jnp.sum(agents.frozen > walked.frozen, dtype=jnp.int32)
        info = {"apples": jnp.sum(apples, dtype=jnp.int32), "hits": hits}
        return CommonsState(state.t + 1, agents, apples, state.waste), reward, jnp.zeros((), bool), info

    def _rate(self, apples: Array, params: HarvestParams) -> Float[Array, "rows columns"]:
        """Probability of regrowth of each cell."""
        near = apples_near(apples)
        few = jnp.where(near == 0, params.regrowth[0], params.regrowth[1])
        return jnp.where(near > 4, params.regrowth[3], jnp.where(near > 2, params.regrowth[2], few))

    def benchmarks(self, params: HarvestParams) -> dict[str, Any]:
        """Policies: `greedy` picks the nearest apple it sees, `restrained` only one with more than 4 others near it."""

        def spared(obs):
            return (obs[..., 0] > 0) & (apples_near(obs[..., 0] > 0) > 4)

        policies = {"greedy": lambda obs: obs[..., PLANES.index("apples")] > 0, "restrained": spared}
        return {name: wanderer(name, self.view, goals) for name, goals in policies.items()}

    def render(self, state: CommonsState, params: HarvestParams) -> UInt8[np.ndarray, "H W 3"]:
        """A picture: orchards shaded, apples green, agents numbered (grey while frozen) with a dot where they look."""
        marks = [*tiles(self.orchard, (236, 240, 228)), *discs(state.apples, GREEN)]
        return draw_grid(self.shape, [*marks, *self._marks(state)], tile=28)


def apples_near(apples: Bool[Array, "rows columns"]) -> Int32[Array, "rows columns"]:
    """Number of apples within Euclidean distance 2 of each cell, itself excluded."""
    padded, (rows, columns) = jnp.pad(apples.astype(jnp.int32), 2), apples.shape
    shifts = [(i, j) for i in range(5) for j in range(5) if 0 < (i - 2) ** 2 + (j - 2) ** 2 <= 4]
    return jnp.stack([padded[i : i + rows, j : j + columns] for i, j in shifts]).sum(axis=0, dtype=jnp.int32)

"""Commons on a grid: walking without sharing cells, beams that freeze, what agents see, and measures of a society."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.spaces import Box
from jaxmarl.envs.grid import MOVES, deal_cells, move, occupied, same_cell
from jaxmarl.envs.gridworlds.steering import step_towards
from jaxmarl.envs.picture import GREY, INK, Mark, agent_marks

BEAM = 5
PLANES = ("apples", "others", "frozen", "ahead", "outside")
"""What every commons shows, in order; an environment may add planes of its own."""

Params = TypeVar("Params")


@struct.dataclass
class Walkers:
    """The agents.

    Attributes:
        cells: `[N, 2]`, positions.
        facing: `[N]`, direction of the last move, index into `MOVES`.
        frozen: `[N]`, steps for which an agent may not act.
    """

    cells: Int32[Array, "N 2"]
    facing: Int32[Array, " N"]
    frozen: Int32[Array, " N"]


@struct.dataclass
class CommonsState:
    """State of a commons.

    Attributes:
        t: steps played.
        agents: where they are.
        apples: `[rows, columns]`.
        waste: `[rows, columns]`, of a river (none in `Harvest`).
    """

    t: Int32[Array, ""]
    agents: Walkers
    apples: Bool[Array, "rows columns"]
    waste: Bool[Array, "rows columns"]


def walk(agents: Walkers, action: Int32[Array, " N"], shape: tuple[int, int]) -> Walkers:
    """Agents after their moves; frozen ones, and those whose action is no move, stay and look where they looked.

    Nobody enters a cell that another agent holds before the step or wants as well, so that no two share one.
    """
    action = jnp.where((agents.frozen > 0) | (action > 4), 4, action)
    targets = move(agents.cells, action, shape)
    others = ~np.eye(len(agents.facing), dtype=bool)
    held = same_cell(targets[:, None], agents.cells) & others
    wanted = same_cell(targets[:, None], targets) & others
    blocked = jnp.any(held | wanted, axis=1)
    facing = jnp.where(action < 4, action, agents.facing)
    return Walkers(jnp.where(blocked[:, None], agents.cells, targets), facing, agents.frozen)


def in_beam(agents: Walkers, cells: Int32[Array, "*batch 2"], length: int) -> Bool[Array, "N *batch"]:
    """Whether each agent has each cell in the straight line of `length` cells before it."""
    way = jnp.asarray(MOVES, jnp.int32)[agents.facing]
    extra = (1,) * (cells.ndim - 1)
    away = cells - agents.cells.reshape(-1, *extra, 2)
    way = way.reshape(-1, *extra, 2)
    along = jnp.sum(away * way, axis=-1)
    across = jnp.abs(away[..., 0] * way[..., 1]) + jnp.abs(away[..., 1] * way[..., 0])
    return (along >= 1) & (along <= length) & (across == 0)


def freeze(agents: Walkers, action: Int32[Array, " N"], length: int, steps: Int32[Array, ""]) -> Walkers:
    """Agents after beams of `length` cells have frozen whom they hit for `steps` steps, and time has passed."""
    fires = (action == BEAM) & (agents.frozen == 0)
    hit = jnp.any(in_beam(agents, agents.cells, length) & fires[:, None], axis=0)
    left = jnp.maximum(agents.frozen - 1, 0)
    return agents.replace(frozen=jnp.where(hit & (agents.frozen == 0), steps, left))  # type: ignore[attr-defined]


def equality(returns: Any) -> np.ndarray:
    """1 - Gini coefficient of agents' returns `[..., N]`: 1 where all earn alike (or nothing), 1 / N where one has all.

    `1 - Σ_i Σ_j |R_i - R_j| / (2 N Σ_i R_i)` (Pérolat et al. 2017).
    """
    returns = np.asarray(returns, np.float64)
    total = returns.sum(axis=-1)
    apart = np.abs(returns[..., :, None] - returns[..., None, :]).sum(axis=(-1, -2))
    return np.asarray(1 - apart / np.where(total > 0, 2 * returns.shape[-1] * total, np.inf))


def sustainability(rewards: Any) -> np.ndarray:
    """Mean time at which rewards are collected, over agents: `[T, ..., N] -> [...]`; agents without any do not count.

    Times are counted from 1; NaN where nobody collects anything (Pérolat et al. 2017).
    """
    collected = np.asarray(rewards) > 0
    times = np.arange(1, len(collected) + 1).reshape(-1, *(1,) * (collected.ndim - 1))
    counts = collected.sum(axis=0)
    mean = (times * collected).sum(axis=0) / np.maximum(counts, 1)
    collectors = (counts > 0).sum(axis=-1)
    return np.asarray(np.where(collectors > 0, mean.sum(axis=-1) / np.maximum(collectors, 1), np.nan))


@dataclass(frozen=True)
class Commons(Environment[CommonsState, Params], Generic[Params]):
    """What commons share: agents that walk, freeze each other and see a square around them.

    Attributes:
        num_agents: N.
        num_steps: steps of an episode.
        view: cells that an agent sees each way.
        beam_length: cells that a beam reaches.
    """

    num_agents: int = 4
    num_steps: int = 500
    view: int = 4
    beam_length: int = 4

    symmetric = True
    extra_planes = 0

    def __post_init__(self):
        rows, columns = self.shape
        require_int("num_agents", self.num_agents, 1, int((~self.orchard).sum()))
        require_int("num_steps", self.num_steps, 1)
        require_int("view", self.view, 1, max(rows, columns))
        require_int("beam_length", self.beam_length, 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        raise NotImplementedError

    @property
    def orchard(self) -> Bool[np.ndarray, "rows columns"]:
        """Cells where apples grow."""
        raise NotImplementedError

    @property
    def horizon(self) -> int:
        return self.num_steps

    def observation_space(self, params: Params) -> Box:
        side = 2 * self.view + 1
        return Box(0.0, 1.0, (side, side, len(PLANES) + self.extra_planes))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Cells of the agents, where they look, and a number for every cell."""
        agents = {"cells": Uniform((1, self.num_agents)), "lots": Uniform((self.num_agents,))}
        return {**agents, "facing": Integers(4, (self.num_agents,)), "grid": Uniform((1, *self.shape))}

    def _start(self, chance) -> Walkers:
        """Agents on distinct cells off the orchard."""
        cells, _ = deal_cells(chance["cells"][0], chance["lots"], jnp.asarray(~self.orchard))
        return Walkers(cells, chance["facing"], jnp.zeros(self.num_agents, jnp.int32))

    def truncated(self, state: CommonsState, params: Params):
        return state.t >= self.num_steps

    def observe(self, state: CommonsState, params: Params) -> Float[Array, "N side side planes"]:
        v, agents = self.view, state.agents
        frozen = occupied(jnp.where(agents.frozen[:, None] > 0, agents.cells, -1), self.shape)
        nothing = jnp.zeros(self.shape, bool)
        planes = state.apples, occupied(agents.cells, self.shape), frozen, nothing, nothing, *self._extra_planes(state)
        # a bit a plane, so that cutting out an agent's view is one small gather
        bits = np.arange(len(planes))
        packed = sum(plane.astype(jnp.int32) << k for k, plane in enumerate(planes))
        packed = jnp.pad(packed, v, constant_values=1 << PLANES.index("outside"))
        side = 2 * v + 1
        cut = jax.vmap(lambda cell: jax.lax.dynamic_slice(packed, (cell[0], cell[1]), (side, side)))
        seen = cut(agents.cells)[..., None] >> bits & 1
        here = np.arange(side) == v
        itself = np.outer(here, here)[..., None] & (bits == PLANES.index("others"))
        seen = jnp.where(itself, 0, seen)
        ahead = np.zeros((4, side, side, 1), bool)
        for k, (down, right) in enumerate(MOVES[:4]):
            ahead[k, v + down, v + right] = True
        looks = jnp.asarray(ahead)[agents.facing] & (bits == PLANES.index("ahead"))
        return jnp.where(looks, 1, seen).astype(jnp.float32)

    def _extra_planes(self, state: CommonsState) -> tuple[Array, ...]:
        """Planes `[rows, columns]` that an environment shows beyond `PLANES`."""
        return ()

    def _marks(self, state: CommonsState) -> list[Mark]:
        """Agents, grey while frozen, with a dot where they look."""
        agents = jax.tree.map(np.asarray, state.agents)
        marks = []
        for mark, facing, frozen in zip(agent_marks(agents.cells), agents.facing, agents.frozen, strict=True):
            down, right = MOVES[int(facing)]
            marks.append(mark._replace(colour=GREY) if frozen else mark)
            marks.append(Mark(mark.position, INK, size=0.16, offset=(0.42 * down, 0.42 * right)))
        return marks


def wanderer(name: str, view: int, goals, default: int | None = None) -> Policy:
    """A policy that goes to the nearest of its goals, around others.

    Args:
        name: of the policy.
        view: of the environment.
        goals: obs -> `[side, side]` bool.
        default: the move it makes where it sees no goal and is not held up; a random one where None.
    """

    def act(params, memory, obs, chance):
        wanted = goals(obs)
        free = (obs[..., PLANES.index("others")] == 0) & (obs[..., PLANES.index("outside")] == 0)
        centre = jnp.full(2, view, jnp.int32)
        step = step_towards(centre, wanted, chance, free)
        if default is not None:
            down, right = MOVES[default]
            step = jnp.where(jnp.any(wanted) | ~free[view + down, view + right], step, default)
        return step, memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name=name)


def check_shares(**shares: Any) -> None:
    """Refuses numbers that are no probabilities, by name."""
    for name, share in shares.items():
        share = np.asarray(share)
        require(bool(((share >= 0) & (share <= 1)).all()), name, share.tolist(), "in [0, 1]")

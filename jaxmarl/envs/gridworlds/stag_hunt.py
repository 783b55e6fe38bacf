"""A stag hunt in space: the trust dilemma between a catch that takes two and plants that take one."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.grid import MOVES, deal_cells, distance, free_cells, move, occupied, same_cell
from jaxmarl.envs.gridworlds.steering import pick, step_towards
from jaxmarl.envs.picture import BROWN, GREEN, Mark, agent_marks, draw_grid


@struct.dataclass
class StagHuntParams:
    """Numbers of the game.

    Attributes:
        catch_reward: to each hunter for a stag caught by both.
        gore_penalty: g, lost by a hunter who meets the stag alone.
        plant_reward: for a plant.
        mobility: probability that the stag moves in a step.
    """

    catch_reward: Float[Array, ""]
    gore_penalty: Float[Array, ""]
    plant_reward: Float[Array, ""]
    mobility: Float[Array, ""]


@struct.dataclass
class StagHuntState:
    """State of the game.

    Attributes:
        t: steps played.
        agents: `[2, 2]`, positions.
        stag: position.
        plants: `[P, 2]`, positions.
    """

    t: Int32[Array, ""]
    agents: Int32[Array, "2 2"]
    stag: Int32[Array, " 2"]
    plants: Int32[Array, "P 2"]


@register("markov_stag_hunt")
@dataclass(frozen=True)
class MarkovStagHunt(Environment[StagHuntState, StagHuntParams]):
    """Two hunters, a stag and some plants on a square grid; the Markov stag hunt, or trust dilemma.

    Actions are up, down, left, right, stay; both move at once, the border stops a move, and they may share a cell.
    Then whoever stands on a plant gets `plant_reward` (both, where both do), and the plant regrows elsewhere. Both on
    the stag get `catch_reward` each and another stag appears; one alone on it loses `gore_penalty`, and the stag does
    not move in this step. Otherwise it moves with probability `mobility`: if it `charges`, along the longer way towards
    the nearest hunter, else in a random direction (off the grid: not at all). What appears does so on a random free
    cell. An episode is truncated after `num_steps` steps.

    An observation is `[rows, columns, 4]`, one-hot: oneself, the other hunter, the stag, the plants.

    `info`: `catches` (1 when the stag was caught), `maulings` (1 when a hunter was gored), `gored [2]` (which one),
    `plants [2]` eaten by each.

    Attributes:
        size: rows and columns.
        num_plants: P.
        num_steps: steps of an episode.
        charges: whether the stag goes for hunters.
    """

    size: int = 5
    num_plants: int = 2
    num_steps: int = 50
    charges: bool = True

    num_agents = 2
    symmetric = True

    def __post_init__(self):
        require_int("size", self.size, 3)
        require_int("num_plants", self.num_plants, 1, (self.size**2 - 5) // 2)
        require_int("num_steps", self.num_steps, 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size, self.size

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> StagHuntParams:
        return StagHuntParams(*(jnp.asarray(x, float) for x in (5.0, 5.0, 1.0, 1.0)))

    def validate(self, params: StagHuntParams) -> None:
        for name in ("catch_reward", "gore_penalty", "plant_reward"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number >= 0)).all()), name, number.tolist(), "at least 0 and finite")
        mobility = np.asarray(params.mobility)
        require(bool(((mobility >= 0) & (mobility <= 1)).all()), "mobility", mobility.tolist(), "in [0, 1]")

    def action_space(self, params: StagHuntParams) -> Discrete:
        return Discrete(len(MOVES))

    def observation_space(self, params: StagHuntParams) -> Box:
        return Box(0.0, 1.0, (*self.shape, 4))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Cells of hunters, stag and plants, and which hunter gets which."""
        return {"cells": Uniform((3 + self.num_plants,)), "lots": Uniform((2,))}

    @property
    def step_chance(self) -> ChanceSpec:
        """Whether and where the stag moves, and where it and each plant appear."""
        return {"stag": Uniform((1, 2)), "cells": Uniform((1 + self.num_plants,))}

    def initial(self, chance, params: StagHuntParams) -> StagHuntState:
        agents, others = deal_cells(chance["cells"], chance["lots"], jnp.ones(self.shape, bool))
        return StagHuntState(jnp.zeros((), jnp.int32), agents, others[0], others[1:])

    def transition(self, state: StagHuntState, action: Int32[Array, " 2"], chance, params: StagHuntParams):
        agents = move(state.agents, action, self.shape)
        meets = same_cell(agents, state.stag)
        caught, gored = jnp.all(meets), jnp.sum(meets) == 1
        eats = same_cell(agents[:, None], state.plants)
        eaten = jnp.sum(eats, axis=1, dtype=jnp.int32)
        reward = jnp.where(meets, jnp.where(caught, params.catch_reward, -params.gore_penalty), 0.0)
        reward = reward + params.plant_reward * eaten

        walks = ~jnp.any(meets) & (chance["stag"][0, 0] < params.mobility)
        walked = jnp.where(walks, self._stag_step(agents, state.stag, chance["stag"][0, 1]), state.stag)
        taken = occupied(jnp.concatenate([agents, state.plants, state.stag[None], walked[None]]), self.shape)
        fresh = free_cells(chance["cells"], ~taken)
        stag = jnp.where(caught, fresh[0], walked)
        plants = jnp.where(jnp.any(eats, axis=0)[:, None], fresh[1:], state.plants)
        state = StagHuntState(state.t + 1, agents, stag, plants)
        info = {"catches": caught.astype(jnp.int32), "maulings": gored.astype(jnp.int32)}
        info |= {"gored": (meets & gored).astype(jnp.int32), "plants": eaten}
        return state, reward.astype(jnp.float32), jnp.zeros((), bool), info

    def _stag_step(self, agents: Array, stag: Array, unit: Array) -> Int32[Array, " 2"]:
        """Where the stag goes, if it does."""
        steps = jnp.asarray(MOVES[:4], jnp.int32)
        if not self.charges:
            return move(stag, (unit * 4).astype(jnp.int32), self.shape)
        away = agents - stag
        apart = jnp.sum(jnp.abs(away), axis=1)
        along = away @ steps.T  # [2, 4], cells gained towards each hunter's row or column
        longest = along == jnp.max(jnp.abs(away), axis=1)[:, None]
        chosen = pick(jnp.any(longest & (apart == jnp.min(apart))[:, None], axis=0), unit)
        return stag + steps[chosen]

    def truncated(self, state: StagHuntState, params: StagHuntParams):
        return state.t >= self.num_steps

    def observe(self, state: StagHuntState, params: StagHuntParams) -> Float[Array, "2 rows columns 4"]:
        first, second = (occupied(cell[None], self.shape) for cell in state.agents)
        rest = occupied(state.stag[None], self.shape), occupied(state.plants, self.shape)
        views = [jnp.stack([*pair, *rest], axis=-1) for pair in ((first, second), (second, first))]
        return jnp.stack(views).astype(jnp.float32)

    def benchmarks(self, params: StagHuntParams) -> dict[str, Any]:
        """What is known of the stage game of stag or plant, and scripted policies.

        `stage_game [2, 2]`: payoff of stag and plant (rows) against both; `indifference`: the other's probability of
        stag at which both pay the same; `stag_is_risk_dominant`: whether that is below one half. Policies: `gatherer`
        walks to plants and keeps off the stag, `hunter` walks to the stag and stays on it, `wary_hunter` waits beside
        the stag until the other hunter is there, too.
        """
        catch, gore, plant = (float(x) for x in (params.catch_reward, params.gore_penalty, params.plant_reward))
        known = {"gatherer": gatherer(), "hunter": hunter(), "wary_hunter": wary_hunter()}
        if catch + gore == 0:
            return known
        indifference = (plant + gore) / (catch + gore)
        return {
            "stage_game": np.array([[catch, -gore], [plant, plant]]),
            "indifference": indifference,
            "stag_is_risk_dominant": indifference < 0.5,
            **known,
        }

    def render(self, state: StagHuntState, params: StagHuntParams) -> UInt8[np.ndarray, "H W 3"]:
        """A picture: hunters numbered, the stag brown (S), plants green."""
        marks = [Mark(cell, GREEN, "tile", size=0.6) for cell in np.asarray(state.plants)]
        marks.append(Mark(np.asarray(state.stag), BROWN, "tile", "S", size=0.86))
        return draw_grid(self.shape, [*marks, *agent_marks(state.agents)])


def _cell(plane: Array) -> Int32[Array, " 2"]:
    """The position of a one-hot plane's one."""
    flat = jnp.argmax(plane.reshape(-1)).astype(jnp.int32)
    return jnp.stack([flat // plane.shape[1], flat % plane.shape[1]])


def _walker(name: str, goals_and_allowed) -> Policy:
    """A policy that steps towards goals: `obs -> (goals, allowed cells)`."""

    def act(params, memory, obs, chance):
        goals, allowed = goals_and_allowed(obs)
        return step_towards(_cell(obs[..., 0]), goals, chance, allowed), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name=name)


def gatherer() -> Policy:
    """Walks to the nearest plant and never enters the stag's cell, so that it is never gored."""
    return _walker("gatherer", lambda obs: ((obs[..., 3] > 0) & (obs[..., 2] == 0), obs[..., 2] == 0))


def hunter() -> Policy:
    """Walks to the stag and stays on it."""
    return _walker("hunter", lambda obs: (obs[..., 2] > 0, None))


def wary_hunter() -> Policy:
    """Walks next to the stag, and onto it once the other hunter is next to it or on it."""

    def goals_and_allowed(obs) -> tuple[Bool[Array, "rows columns"], Bool[Array, "rows columns"]]:
        stag = obs[..., 2] > 0
        together = distance(_cell(obs[..., 1]), _cell(stag)) <= 1
        return stag, together | ~stag

    return _walker("wary_hunter", goals_and_allowed)

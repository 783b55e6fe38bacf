"""Predators that catch a prey on a torus: the pursuit domain (Benda et al. 1985; Stone and Veloso 2000)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.grid import MOVES, STAY, distance, free_cells, move, same_cell
from jaxmarl.envs.picture import GOLD, Mark, agent_marks, draw_grid


@struct.dataclass
class PursuitParams:
    """Numbers of the game.

    Attributes:
        capture: reward of each predator for the capture.
        step_cost: lost by each predator at every step.
    """

    capture: Float[Array, ""]
    step_cost: Float[Array, ""]


@struct.dataclass
class PursuitState:
    """State of the game.

    Attributes:
        predators: int32, row and column of each.
        prey: int32, row and column.
        t: int32, steps played.
    """

    predators: Int32[Array, "N 2"]
    prey: Int32[Array, " 2"]
    t: Int32[Array, ""]


@register("pursuit")
@dataclass(frozen=True)
class Pursuit(Environment[PursuitState, PursuitParams]):
    """Predators share the reward of catching a prey that moves after them.

    All move up, down, left, right or stay. Predators move in the order of their numbers, each unless its target is
    occupied at that moment: of two that want one cell the lower number gets it. Then the prey is caught, and the game
    over, if each of its four neighbours holds a predator (`"surround"`) or if a predator is on its cell (`"contact"`;
    in `"surround"` that cell is closed to them). Otherwise the prey moves to a cell without predator: any of those in
    reach with equal probability (`"random"`), or one as far as possible from the nearest predator (`"flee"`). All start
    on different random cells. Features are planes `[2, size, size]` centred on the own cell: the other predators, and
    the prey. Episodes are truncated after `max_steps`.

    `info`: `captured`, and `distance`, moves from the nearest predator to the prey.

    Attributes:
        num_agents: predators; at least four to surround.
        size: rows and columns of the torus.
        prey: `"random"` or `"flee"`.
        capture: `"surround"` or `"contact"`.
        max_steps: of an episode.
    """

    num_agents: int = 4
    size: int = 7
    prey: str = "random"
    capture: str = "surround"
    max_steps: int = 100

    def __post_init__(self):
        require_choice("prey", self.prey, ("random", "flee"))
        require_choice("capture", self.capture, ("surround", "contact"))
        require_int("size", self.size, 3)
        least = 4 if self.capture == "surround" else 1
        require_int("num_agents", self.num_agents, least, self.size**2 - 1)
        require_int("max_steps", self.max_steps, 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size, self.size

    @property
    def default_params(self) -> PursuitParams:
        return PursuitParams(jnp.asarray(1.0, float), jnp.asarray(0.01, float))

    def validate(self, params: PursuitParams) -> None:
        for name in ("capture", "step_cost"):
            number = np.asarray(getattr(params, name))
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")

    def action_space(self, params: PursuitParams) -> Discrete:
        return Discrete(len(MOVES))

    def observation_space(self, params: PursuitParams) -> Box:
        return Box(0.0, 1.0, (2, *self.shape))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents + 1,))

    @property
    def step_chance(self) -> ChanceSpec:
        """Which of its equally good cells the prey takes."""
        return Uniform()

    def initial(self, chance, params: PursuitParams) -> PursuitState:
        cells = free_cells(chance, jnp.ones(self.shape, bool))
        return PursuitState(cells[:-1], cells[-1], jnp.zeros((), jnp.int32))

    def transition(self, state: PursuitState, action: Int32[Array, " N"], chance, params: PursuitParams):
        predators = self._advance(state.predators, state.prey, action)
        captured = self._captured(predators, state.prey)
        prey = jnp.where(captured, state.prey, self._flight(predators, state.prey, chance))
        reward = jnp.full(self.num_agents, captured * params.capture - params.step_cost)
        nearest = jnp.min(distance(predators, prey, self.shape))
        after = PursuitState(predators, prey, state.t + 1)
        return after, reward, captured, {"captured": captured, "distance": nearest}

    def truncated(self, state: PursuitState, params: PursuitParams) -> Bool[Array, ""]:
        return state.t >= self.max_steps

    def observe(self, state: PursuitState, params: PursuitParams) -> Float[Array, "N 2 L L"]:
        cells = jnp.concatenate([state.predators, state.prey[None]])
        # [seer, seen]: where each is when the seer is in the middle
        middle, every = self.size // 2, jnp.arange(self.size**2)
        places = (cells[None] - state.predators[:, None] + middle) % self.size
        planes = (places[..., 0] * self.size + places[..., 1])[..., None] == every
        others = jnp.sum(planes[:, :-1], axis=1, dtype=jnp.float32) - (every == middle * (self.size + 1))
        seen = jnp.stack([others, planes[:, -1].astype(jnp.float32)], axis=1)
        return seen.reshape(self.num_agents, 2, *self.shape)

    def render(self, state: PursuitState, params: PursuitParams) -> UInt8[np.ndarray, "H W 3"]:
        """RGB picture: numbered predators and the prey, P."""
        prey = Mark(np.asarray(state.prey), GOLD, "tile", label="P", size=0.7)
        return draw_grid(self.shape, [prey, *agent_marks(state.predators)])

    def _advance(self, predators: Array, prey: Array, action: Array) -> Int32[Array, "N 2"]:
        targets = move(predators, action, self.shape, wrap=True)
        closed = same_cell(targets, prey) if self.capture == "surround" else jnp.zeros(self.num_agents, bool)

        for number in range(self.num_agents):  # a scan is compiled anew at every call outside jit
            stays = closed[number] | jnp.any(same_cell(predators, targets[number]))
            predators = predators.at[number].set(jnp.where(stays, predators[number], targets[number]))
        return predators

    def _captured(self, predators: Array, prey: Array) -> Bool[Array, ""]:
        if self.capture == "contact":
            return jnp.any(same_cell(predators, prey))
        around = self._reach(prey)[:STAY]
        return jnp.all(jnp.any(same_cell(around[:, None], predators), axis=1))

    def _reach(self, cell: Array) -> Int32[Array, "moves 2"]:
        moves = len(MOVES)
        return move(jnp.broadcast_to(cell, (moves, 2)), jnp.arange(moves), self.shape, wrap=True)

    def _flight(self, predators: Array, prey: Array, unit: Array) -> Int32[Array, " 2"]:
        reach = self._reach(prey)
        nearest = jnp.min(distance(reach[:, None], predators, self.shape), axis=1)
        free = nearest > 0  # staying always is, unless caught
        good = free if self.prey == "random" else free & (nearest == jnp.max(nearest))
        return reach[categorical(jnp.where(good, 0.0, -jnp.inf), unit)]


def chase_policy(size: int) -> Policy:
    """A predator that steps towards the prey, along the longer way of the two; at random where both are equal.

    Args:
        size: of the torus, as in the environment.
    """
    middle = size // 2

    def act(params: Any, memory: Any, obs: Array, chance: Array) -> tuple[Array, Any]:
        flat = jnp.argmax(obs[1].reshape(-1))
        down, right = flat // size - middle, flat % size - middle
        further = jnp.abs(down) - jnp.abs(right)
        vertical = (further > 0) | ((further == 0) & (chance < 0.5))
        action = jnp.where(vertical, jnp.where(down < 0, 0, 1), jnp.where(right < 0, 2, 3))
        return action.astype(jnp.int32), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name="chase")

"""Cars on straight lanes: how they move, who drives into whom, and what the driving games share.

A car's position is its distance in metres beyond the point where the lanes meet, negative before it.
"""

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
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.picture import AGENTS, RED, WATER, Mark, draw_grid

BRAKE, HOLD, ACCELERATE = range(3)
METRES = 2.0  # of road, in a cell of a picture


@struct.dataclass
class DrivingParams:
    """Numbers of a driving game.

    Attributes:
        acceleration: m/s², `[3]`, of the actions brake, hold, accelerate.
        time_step: s.
        max_speed: m/s.
        start: m, `[2]`, range of first positions.
        start_speed: m/s, `[2]`, range of first speeds.
        spacing: m, by which a car starts behind the one before it in its lane.
        headway: m, below which cars in one lane crash.
        progress_reward: for a metre.
        time_cost: of a step.
        exit_reward: for leaving.
        crash_cost: to each car that crashes.
    """

    acceleration: Float[Array, " 3"]
    time_step: Float[Array, ""]
    max_speed: Float[Array, ""]
    start: Float[Array, " 2"]
    start_speed: Float[Array, " 2"]
    spacing: Float[Array, ""]
    headway: Float[Array, ""]
    progress_reward: Float[Array, ""]
    time_cost: Float[Array, ""]
    exit_reward: Float[Array, ""]
    crash_cost: Float[Array, ""]


@struct.dataclass
class DrivingState:
    """Where the cars are.

    Attributes:
        t: steps played.
        position: `[N]`, m.
        speed: `[N]`, m/s.
        alive: `[N]`, whether a car is still on the road.
        crashed: `[N]`, whether it has crashed.
    """

    t: Int32[Array, ""]
    position: Float[Array, " N"]
    speed: Float[Array, " N"]
    alive: Bool[Array, " N"]
    crashed: Bool[Array, " N"]


def advance(
    position: Float[Array, "*batch"],
    speed: Float[Array, "*batch"],
    acceleration: Float[Array, "*batch"],
    time_step: Float[Array, ""] | float,
    max_speed: Float[Array, ""] | float,
    min_speed: Float[Array, ""] | float = 0.0,
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Position and speed after a step: speed stays within its limits, and its mean over the step is driven."""
    after = jnp.clip(speed + acceleration * time_step, min_speed, max_speed)
    return position + 0.5 * (speed + after) * time_step, after


def in_zone(
    before: Float[Array, " N"], after: Float[Array, " N"], length: float | Float[Array, ""]
) -> Bool[Array, " N"]:
    """Whether a car was in the first `length` metres beyond the meeting point at some moment of a step."""
    return (after >= 0) & (before < length)


def too_close(
    before: Float[Array, " N"], after: Float[Array, " N"], headway: float | Float[Array, ""]
) -> Bool[Array, "N N"]:
    """Pairs that a step leaves less than `headway` apart or in another order, as if they shared a lane."""
    gap_before, gap = (x[:, None] - x[None, :] for x in (before, after))
    close = (jnp.abs(gap) < headway) | (jnp.sign(gap) * jnp.sign(gap_before) < 0)
    return close & ~jnp.eye(len(after), dtype=bool)


@dataclass(frozen=True)
class Driving(Environment[DrivingState, DrivingParams]):
    """What games of cars that meet have in common; they differ in `exit` and `_crashes`.

    Attributes:
        num_agents: N, cars; car i drives in lane `i % num_lanes`.
        num_lanes: straight lanes that meet.
        num_steps: after which an episode is truncated.
    """

    num_agents: int = 2
    num_lanes: int = 2
    num_steps: int = 40

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("num_lanes", self.num_lanes, 2)
        require_int("num_steps", self.num_steps, 1)

    @property
    def exit(self) -> float:
        """Metres beyond the meeting point at which a car has left."""
        raise NotImplementedError

    def _crashes(self, before: Array, after: Array, params: DrivingParams) -> Bool[Array, "N N"]:
        """Pairs of cars that meet in a step, if both are on the road."""
        raise NotImplementedError

    @property
    def symmetric(self) -> bool:
        return self.num_agents == 2  # more cars start in rows and are listed in a fixed order

    @property
    def lanes(self) -> np.ndarray:
        """`[N]`, lane of each car."""
        return np.arange(self.num_agents) % self.num_lanes

    @property
    def default_params(self) -> DrivingParams:
        numbers = ([-3.0, 0.0, 2.0], 0.5, 15.0, [-40.0, -25.0], [7.0, 12.0], 20.0, 4.0, 0.1, 0.05, 1.0, 20.0)
        return DrivingParams(*(jnp.asarray(x, float) for x in numbers))

    def validate(self, params: DrivingParams) -> None:
        for name in ("time_step", "max_speed", "headway"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number > 0)).all()), name, number.tolist(), "positive")
        for name in ("spacing", "progress_reward", "time_cost", "exit_reward", "crash_cost"):
            number = np.asarray(getattr(params, name))
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")
        start, speed = np.asarray(params.start), np.asarray(params.start_speed)
        fine = np.isfinite(start[..., 0]) & (start[..., 0] <= start[..., 1]) & (start[..., 1] < 0)
        require(bool(fine.all()), "start", start.tolist(), "a range [low, high] below 0")
        fine = (speed[..., 0] <= speed[..., 1]) & (speed[..., 0] >= 0) & (speed[..., 1] <= params.max_speed)
        require(bool(fine.all()), "start_speed", speed.tolist(), "a range [low, high] from 0 to max_speed")

    def action_space(self, params: DrivingParams) -> Discrete:
        return Discrete(3)

    def observation_space(self, params: DrivingParams) -> Box:
        return Box(-np.inf, np.inf, (4 * self.num_agents,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Of each car's position and speed."""
        return {"position": Uniform((self.num_agents,)), "speed": Uniform((self.num_agents,))}

    def initial(self, chance, params: DrivingParams) -> DrivingState:
        def between(unit, bounds):
            return bounds[0] + unit * (bounds[1] - bounds[0])

        rank = np.arange(self.num_agents) // self.num_lanes
        position = between(chance["position"], params.start) - params.spacing * rank
        speed, alive = between(chance["speed"], params.start_speed), jnp.ones(self.num_agents, bool)
        return DrivingState(jnp.zeros((), jnp.int32), position, speed, alive, ~alive)

    def transition(self, state: DrivingState, action: Int32[Array, " N"], chance, params: DrivingParams):
        change = params.acceleration[action]
        position, speed = advance(state.position, state.speed, change, params.time_step, params.max_speed)
        both = state.alive[:, None] & state.alive[None, :]
        crashed = jnp.any(self._crashes(state.position, position, params) & both, axis=1)
        cleared = state.alive & ~crashed & (position >= self.exit)
        driven = position - state.position
        reward = params.progress_reward * driven - params.time_cost
        reward = reward + params.exit_reward * cleared - params.crash_cost * crashed
        reward = jnp.where(state.alive, reward, 0.0).astype(jnp.float32)
        position = jnp.where(state.alive, position, state.position)
        alive = state.alive & ~cleared
        state = DrivingState(state.t + 1, position, jnp.where(state.alive, speed, state.speed), alive, crashed)
        return state, reward, jnp.any(crashed) | ~jnp.any(alive), {"crashed": crashed, "cleared": cleared}

    def truncated(self, state: DrivingState, params: DrivingParams):
        return state.t >= self.num_steps

    def observe(self, state: DrivingState, params: DrivingParams) -> Float[Array, "N obs"]:
        n = self.num_agents
        order = (np.arange(n)[:, None] + np.arange(n)) % n
        same = (self.lanes[order] == self.lanes[:, None]).astype(np.float32)
        position, speed = state.position / 10, state.speed / 10
        views = [jnp.where(state.alive, x, 0.0)[order] for x in (position, speed, 1.0)]
        return jnp.stack([*views, jnp.asarray(same)], axis=-1).reshape(n, 4 * n).astype(jnp.float32)

    def benchmarks(self, params: DrivingParams) -> dict[str, Any]:
        """Policies `hold` and `accelerate`, which always do that, and `yield`, which gives way (see `giving_way`)."""
        steady = {name: _always(name, action) for name, action in (("hold", HOLD), ("accelerate", ACCELERATE))}
        return {**steady, "yield": giving_way(self.give_way_gap)}

    @property
    def give_way_gap(self) -> float:
        """Metres behind a car with right of way at which the other one need not brake any more."""
        return float("inf")

    def render(self, state: DrivingState, params: DrivingParams) -> UInt8[np.ndarray, "H W 3"]:
        """A picture: a row a lane, cars drive right, crashed ones red with a mark, the stretch they share is blue."""
        first, last = -44.0, self.exit + 4.0
        columns = round((last - first) / METRES)
        zone = range(round(-first / METRES), round((self.exit - first) / METRES))
        marks = [Mark((lane, column), WATER, "tile", size=1.0) for lane in range(self.num_lanes) for column in zone]
        for i in np.flatnonzero(np.asarray(state.alive)):
            cell = (float(state.position[i]) - first) / METRES
            colour, label = (RED, f"{i}!") if state.crashed[i] else (AGENTS[i % len(AGENTS)], str(i))
            position = int(self.lanes[i]), int(np.floor(cell))
            marks.append(Mark(position, colour, label=label, size=0.9, offset=(0.0, cell % 1 - 0.5)))
        return draw_grid((self.num_lanes, columns), marks, tile=24)


def _always(name: str, action: int) -> Policy:
    def act(params, memory, obs, chance):
        return jnp.asarray(action, jnp.int32), memory

    return Policy(lambda chance: (), act, name=name)


def giving_way(gap: float) -> Policy:
    """Brakes for cars that will be at the meeting point before it and are not `gap` metres ahead yet; else accelerates.

    When a car will be there is its distance over its speed; a car beyond the point has been there.
    """

    def act(params, memory, obs, chance):
        position, speed, alive = obs.reshape(-1, 4)[:, :3].T
        arrival = -position / jnp.maximum(speed, 0.01)
        first = (alive[1:] > 0) & (arrival[1:] < arrival[0])
        braking = jnp.any(first & (10 * (position[1:] - position[0]) < gap))
        return jnp.where(braking, BRAKE, ACCELERATE).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, name="yield")

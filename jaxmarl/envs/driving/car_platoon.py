"""A platoon of cars on one lane: each follows the one before it, as closely as it dares."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete

SPEEDS = tuple(range(-8, 21, 2))  # metres a step
ACCELERATIONS = (-2, 0, 2)


def next_speed(speed: Any, action: Any) -> Any:
    """Index in `SPEEDS` after an action (index in `ACCELERATIONS`), kept within the range; NumPy or JAX integers."""
    return (speed + action - 1).clip(0, len(SPEEDS) - 1)


@struct.dataclass
class CarPlatoonParams:
    """Numbers of the task.

    Attributes:
        crash_cost: taken in every step from a car that is closer than a metre to the one before it.
        cruise_speed: of the leader, which loses a hundredth for each metre a step that it is off.
    """

    crash_cost: Float[Array, ""]
    cruise_speed: Float[Array, ""]


@struct.dataclass
class CarPlatoonState:
    """State of the road.

    Attributes:
        t: int32, steps so far.
        speed: int32 `[N]`, indices in `SPEEDS`, the leader's first.
        gap: int32 `[N - 1]`, metres to the car before; 0 where they touch.
    """

    t: Int32[Array, ""]
    speed: Int32[Array, " N"]
    gap: Int32[Array, " gaps"]


@register("car_platoon")
@dataclass(frozen=True)
class CarPlatoon(Environment[CarPlatoonState, CarPlatoonParams]):
    """Cars in a line brake, roll or accelerate by 2 m a step; speeds are even numbers from -8 to 20 m a step.

    `gap' = gap + speed' of the car before - own speed'`. A gap below 1 m is a crash: it costs, and play goes on with
    bumpers touching. The leader is paid to drive at a cruising speed, the others `- gap / max_gap`. The specification
    to keep is `gap >= 1` for every car; `jaxmarl.solvers.markov.platoon_shields` enforces it by action masks. First
    gaps are uniform in `start_gap, ..., start_gap + 15`, cars stand still. An observation is `[gap / max_gap (1 for the
    leader), speed of the car before (own, for the leader), own speed]`, with speeds divided by 20.

    `info`: `violations`, int32, crashes in this step.

    Attributes:
        num_agents: cars.
        num_steps: of an episode.
        max_gap: in metres; larger gaps are seen as this.
        start_gap: the least first gap.
    """

    num_agents: int = 4
    num_steps: int = 100
    max_gap: int = 100
    start_gap: int = 30

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("num_steps", self.num_steps, 1)
        require_int("max_gap", self.max_gap, 1)
        require_int("start_gap", self.start_gap, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> CarPlatoonParams:
        return CarPlatoonParams(jnp.asarray(10.0, float), jnp.asarray(10.0, float))

    def validate(self, params: CarPlatoonParams) -> None:
        cost, speed = np.asarray(params.crash_cost), np.asarray(params.cruise_speed)
        require(bool((np.isfinite(cost) & (cost >= 0)).all()), "crash_cost", cost.tolist(), "at least 0 and finite")
        require(bool(np.isfinite(speed).all()), "cruise_speed", speed.tolist(), "finite")

    def action_space(self, params: CarPlatoonParams) -> Discrete:
        return Discrete(len(ACCELERATIONS))

    def observation_space(self, params: CarPlatoonParams) -> Box:
        return Box(-1.0, 1.0, (3,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Integers(16, (self.num_agents - 1,))

    def initial(self, chance, params: CarPlatoonParams) -> CarPlatoonState:
        still = jnp.full(self.num_agents, SPEEDS.index(0), jnp.int32)
        return CarPlatoonState(jnp.zeros((), jnp.int32), still, chance + jnp.int32(self.start_gap))

    def transition(self, state: CarPlatoonState, action: Int32[Array, " N"], chance, params: CarPlatoonParams):
        speed = next_speed(state.speed, action).astype(jnp.int32)
        metres = speed * 2 + SPEEDS[0]
        gap = jnp.maximum(state.gap + metres[:-1] - metres[1:], 0)
        crashed = gap < 1
        seen = jnp.minimum(gap, self.max_gap) / self.max_gap
        leader = -jnp.abs(metres[:1] - params.cruise_speed) / 100
        reward = jnp.concatenate([leader, -seen - params.crash_cost * crashed])
        after = CarPlatoonState(state.t + 1, speed, gap)
        info = {"violations": jnp.sum(crashed, dtype=jnp.int32)}
        return after, reward, after.t >= self.num_steps, info

    def observe(self, state: CarPlatoonState, params: CarPlatoonParams) -> Float[Array, "N 3"]:
        speed = (state.speed * 2 + SPEEDS[0]) / jnp.float32(20)
        front = jnp.concatenate([speed[:1], speed[:-1]])
        gap = jnp.minimum(state.gap, self.max_gap) / jnp.float32(self.max_gap)
        return jnp.stack([jnp.concatenate([jnp.ones(1, jnp.float32), gap]), front, speed], axis=1)

"""Two cars on a road of two lanes, coming from its ends, each behind a slow one that it may overtake."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.driving.kinematics import advance

KEEP, FASTER, SLOWER, CHANGE = range(4)
LANE_CHANGE = 2  # steps


@struct.dataclass
class OvertakingParams:
    """Numbers of the game.

    Attributes:
        road: m, its length.
        lead: m, by which the slow car is ahead at the start.
        lead_speed: m/s, of the slow cars.
        acceleration: m/s², `[4]`, of the actions keep, accelerate, brake, change lane.
        time_step: s.
        speed: m/s, `[2]`, least and largest.
        start_speed: m/s, `[2]`, range of first speeds.
        headway: m, below which cars in one lane crash.
        slip: probability that a car's action is replaced by one drawn uniformly.
        speed_reward: of a step at full speed; a step at the least speed gives nothing.
        arrival_reward: for the other end of the road.
        crash_cost: to each car that crashes.
    """

    road: Float[Array, ""]
    lead: Float[Array, ""]
    lead_speed: Float[Array, ""]
    acceleration: Float[Array, " 4"]
    time_step: Float[Array, ""]
    speed: Float[Array, " 2"]
    start_speed: Float[Array, " 2"]
    headway: Float[Array, ""]
    slip: Float[Array, ""]
    speed_reward: Float[Array, ""]
    arrival_reward: Float[Array, ""]
    crash_cost: Float[Array, ""]


@struct.dataclass
class OvertakingState:
    """Where the cars are; car i measures from its own end of the road.

    Attributes:
        t: steps played.
        position: `[2]`, m driven.
        speed: `[2]`, m/s.
        lane: `[2]`, 0 for its own, 1 for that of the oncoming traffic.
        changing: `[2]`, steps that a lane change still takes; meanwhile a car is in both lanes.
        active: `[2]`, whether a car is on the road and the game goes on.
    """

    t: Int32[Array, ""]
    position: Float[Array, " 2"]
    speed: Float[Array, " 2"]
    lane: Int32[Array, " 2"]
    changing: Int32[Array, " 2"]
    active: Bool[Array, " 2"]


@register("overtaking")
@dataclass(frozen=True)
class Overtaking(Environment[OvertakingState, OvertakingParams]):
    """Two cars drive towards each other, each behind a slow car; overtaking takes it into the other's lane.

    Actions are keep, accelerate (2 m/s²), brake (-4 m/s²) and change lane, for half a second; a change takes two
    steps, in which the car is in both lanes and further changes are not heard. Speeds stay between 5 and 25 m/s.
    Whatever a car does is replaced by a random action with probability 0.02 a step. The road is 200 m long; slow cars
    start 30 m ahead at 8 m/s, stay in their lane and do not react. Cars that share a lane and come closer than 5 m, or
    pass through each other, crash: each of the two players' cars in a crash loses 10 (if not `crash_shared`, one that
    was in its own lane only loses nothing in a crash with the other), and the game is over. A step gives
    `0.1 * (speed - 5) / 20`, the end of the road 1. Every episode lasts `num_steps` steps; cars that have arrived, and
    all after a crash, get nothing and see zeros.

    An observation is, from the own end: position / 200 m, lane, lane change under way / 2, speed / 25 m/s, distance to
    the slow car ahead / 50 m (at least -1; 1 if it has left), whether the oncoming car is there, distance to it
    / 200 m, whether it is in its own lane (my other one), its lane change under way, its speed, distance to the
    oncoming slow car / 200 m, time left / `num_steps`.

    `info`: `crashed [2]` and `arrived [2]`, whether a car did in this step.

    Attributes:
        num_steps: of an episode.
        crash_shared: whether both cars pay for a crash with each other, whoever was in the wrong lane.
    """

    num_steps: int = 60
    crash_shared: bool = True

    num_agents = 2
    symmetric = True

    def __post_init__(self):
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> OvertakingParams:
        road, accelerations = (200.0, 30.0, 8.0), [0.0, 2.0, -4.0, 0.0]
        numbers = (*road, accelerations, 0.5, [5.0, 25.0], [8.0, 15.0], 5.0, 0.02, 0.1, 1.0, 10.0)
        return OvertakingParams(*(jnp.asarray(x, float) for x in numbers))

    def validate(self, params: OvertakingParams) -> None:
        for name in ("road", "time_step", "headway"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number > 0)).all()), name, number.tolist(), "positive")
        slip = np.asarray(params.slip)
        require(bool(((slip >= 0) & (slip <= 1)).all()), "slip", slip.tolist(), "in [0, 1]")
        speed, start = np.asarray(params.speed), np.asarray(params.start_speed)
        fine = (speed[..., 0] >= 0) & (speed[..., 0] < speed[..., 1])
        require(bool(fine.all()), "speed", speed.tolist(), "a range [low, high] from 0")
        fine = (start[..., 0] <= start[..., 1]) & (start[..., 0] >= speed[..., 0]) & (start[..., 1] <= speed[..., 1])
        require(bool(fine.all()), "start_speed", start.tolist(), "a range [low, high] within speed")

    def action_space(self, params: OvertakingParams) -> Discrete:
        return Discrete(4)

    def observation_space(self, params: OvertakingParams) -> Box:
        return Box(-np.inf, np.inf, (12,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """First speeds."""
        return Uniform((2,))

    @property
    def step_chance(self) -> ChanceSpec:
        """For each car whether its action is replaced, and by which."""
        return Uniform((2, 2))

    def initial(self, chance, params: OvertakingParams) -> OvertakingState:
        low, high = params.start_speed
        zero, none = jnp.zeros(2, jnp.int32), jnp.zeros((), jnp.int32)
        speed = low + (high - low) * chance
        return OvertakingState(none, jnp.zeros_like(speed), speed, zero, zero, jnp.ones(2, bool))

    def transition(self, state: OvertakingState, action: Int32[Array, " 2"], chance, params: OvertakingParams):
        drawn = jnp.minimum((4 * chance[:, 1]).astype(jnp.int32), 3)
        action = jnp.where(chance[:, 0] < params.slip, drawn, action)
        low, high = params.speed
        position, speed = advance(state.position, state.speed, params.acceleration[action], params.time_step, high, low)
        starts = (action == CHANGE) & (state.changing == 0)
        changing = jnp.where(starts, LANE_CHANGE, state.changing)
        in_lane = [(state.lane == lane) | (changing > 0) for lane in (0, 1)]  # own, other
        crashed = self._crashed(state, position, in_lane, params)
        arrived = state.active & ~jnp.any(crashed) & (position >= params.road)
        paid = crashed if self.crash_shared else crashed & ~(in_lane[0] & ~in_lane[1] & jnp.all(crashed))
        reward = params.speed_reward * (speed - low) / (high - low) + params.arrival_reward * arrived
        reward = jnp.where(state.active, reward - params.crash_cost * paid, 0.0)

        changing = jnp.maximum(changing - 1, 0)
        finished = (changing == 0) & (starts | (state.changing > 0))
        lane = jnp.where(finished, 1 - state.lane, state.lane)
        active = state.active & ~arrived & ~jnp.any(crashed)
        state = OvertakingState(state.t + 1, position, speed, lane, changing, active)
        return state, reward.astype(jnp.float32), jnp.zeros((), bool), {"crashed": crashed, "arrived": arrived}

    def _crashed(
        self, state: OvertakingState, position: Array, in_lane: list[Array], params: OvertakingParams
    ) -> Bool[Array, " 2"]:
        """Which cars crash in a step: into the slow car ahead, the oncoming slow car or each other."""
        slow_before, slow = (self._slow(state.t + i, params) for i in (0, 1))

        def meets(gap_before: Array, gap: Array) -> Array:
            return (jnp.abs(gap) < params.headway) | (gap_before * gap < 0)

        ahead = in_lane[0] & meets(slow_before - state.position, slow - position)
        oncoming = in_lane[1] & meets(params.road - slow_before - state.position, params.road - slow - position)
        with_slow = (ahead | oncoming) & (slow_before < params.road)
        together = (in_lane[0][0] & in_lane[1][1]) | (in_lane[1][0] & in_lane[0][1])
        each = together & meets(params.road - jnp.sum(state.position), params.road - jnp.sum(position))
        return state.active & (with_slow | (each & jnp.all(state.active)))

    def _slow(self, t: Array, params: OvertakingParams) -> Float[Array, ""]:
        """Where the slow cars are, from their own end."""
        return params.lead + params.lead_speed * params.time_step * t

    def truncated(self, state: OvertakingState, params: OvertakingParams):
        return state.t >= self.num_steps

    def observe(self, state: OvertakingState, params: OvertakingParams) -> Float[Array, "2 12"]:
        slow = self._slow(state.t, params)
        here = slow < params.road
        ahead = jnp.where(here, jnp.maximum((slow - state.position) / 50, -1.0), 1.0)
        other = state.active[::-1]
        columns = [
            state.position / 200,
            state.lane,
            state.changing / LANE_CHANGE,
            state.speed / 25,
            ahead,
            other,
            jnp.where(other, (params.road - jnp.sum(state.position)) / 200, 0.0),
            other & (state.lane[::-1] == 0),
            jnp.where(other, state.changing[::-1] / LANE_CHANGE, 0.0),
            jnp.where(other, state.speed[::-1] / 25, 0.0),
            jnp.where(here, (params.road - slow - state.position) / 200, -1.0),
            jnp.broadcast_to(1 - state.t / self.num_steps, (2,)),
        ]
        table = jnp.stack([jnp.asarray(column, jnp.float32) for column in columns], axis=1)
        return jnp.where(state.active[:, None], table, 0.0)

    def benchmarks(self, params: OvertakingParams) -> dict[str, Any]:
        """Policies `follow`, which stays behind the slow car, and `overtake`, which passes it at once."""
        return {"follow": _driver("follow", overtakes=False), "overtake": _driver("overtake", overtakes=True)}


def _driver(name: str, overtakes: bool) -> Policy:
    """Keeps its distance to the slow car and its lane; or passes it: out within 35 m, back once 12 m before it."""

    def act(params, memory, obs, chance):
        own_lane, steady = obs[1] == 0, obs[2] == 0
        gap, speed = 50 * obs[4], 25 * obs[3]
        close = (gap > 0) & (gap < 10 + 2 * (speed - 8)) & own_lane
        out = own_lane & (gap > 8) & (gap < 35) & overtakes
        back = ~own_lane & ((gap < -12) | ((gap > 8) & (not overtakes)))
        staying = jnp.where(own_lane & steady & close, SLOWER, FASTER)
        action = jnp.where((out | back) & steady, CHANGE, staying)
        return action.astype(jnp.int32), memory

    return Policy(lambda chance: (), act, name=name)

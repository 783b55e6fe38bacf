"""One service rate for many queues: a dispatcher pays for speed, and like queues with places for few fill and empty."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Float64

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.envs.pricing.global_local import GlobalLocal, GlobalLocalTables


@struct.dataclass
class ServiceRateParams:
    """Numbers of the queues.

    Attributes:
        arrival: probability that a customer comes to a queue in a step.
        speed: of each level of service: level s serves a waiting customer with probability `min(1, speed s)`.
        speed_cost: of a step at level s, `speed_cost s²`.
        waiting_cost: of a queue with one customer in a step; a mean over queues is paid.
        overflow_cost: of a customer who is sent away.
    """

    arrival: Float[Array, ""]
    speed: Float[Array, ""]
    speed_cost: Float[Array, ""]
    waiting_cost: Float[Array, ""]
    overflow_cost: Float[Array, ""]


@register("service_rate")
@dataclass(frozen=True)
class ServiceRate(GlobalLocal[ServiceRateParams]):
    """The action is the next step's level of service, 0 for level 1; a local state is a queue's length.

    In a step a customer comes to a queue or not, and one who waited already is served or not. A full queue sends a
    newcomer away unless it serves; the expected cost of that is paid.

    Attributes:
        levels: of service.
        capacity: of a queue.
    """

    levels: int = 4
    capacity: int = 10

    differentiable_params = ("speed_cost", "waiting_cost", "overflow_cost")

    def __post_init__(self):
        super().__post_init__()
        require_int("levels", self.levels, 2)
        require_int("capacity", self.capacity, 1)

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.levels, self.levels, self.capacity + 1

    @property
    def default_params(self) -> ServiceRateParams:
        return ServiceRateParams(*(jnp.full((), x, float) for x in (0.4, 0.2, 0.05, 0.1, 2.0)))

    def validate(self, params: ServiceRateParams) -> None:
        for name, value in vars(params).items():
            number, chance = np.asarray(value), name in ("arrival", "speed")
            good = np.isfinite(number) & (number >= 0) & (number <= (1 if chance else np.inf))
            require(bool(good.all()), name, number.tolist(), "in [0, 1]" if chance else "at least 0, and finite")

    def tables(self, params: ServiceRateParams) -> GlobalLocalTables:
        level = jnp.arange(1, self.levels + 1, dtype=params.arrival.dtype)
        length = jnp.arange(self.capacity + 1)
        served = jnp.where(length > 0, jnp.minimum(params.speed * level, 1.0)[:, None], 0.0)
        up, down = params.arrival * (1 - served), served * (1 - params.arrival)
        sent_away = jnp.where(length == self.capacity, up, 0.0)
        up = jnp.where(length == self.capacity, 0.0, up)
        eye = np.eye(self.capacity + 1)
        above, below = jnp.asarray(np.roll(eye, 1, axis=1), up.dtype), jnp.asarray(np.roll(eye, -1, axis=1), up.dtype)
        stays = (1 - up - down)[..., None] * jnp.asarray(eye, up.dtype)
        kernel = up[..., None] * above + down[..., None] * below + stays
        chosen = jnp.broadcast_to(jnp.eye(self.levels, dtype=up.dtype), (self.levels, self.levels, self.levels))
        paid = jnp.broadcast_to(-params.speed_cost * level[:, None] ** 2, (self.levels, self.levels))
        local = -params.waiting_cost * length.astype(up.dtype) - params.overflow_cost * sent_away
        return GlobalLocalTables(chosen, kernel, paid, local)

    def benchmarks(self, params: ServiceRateParams) -> dict[str, Any]:
        """`lengths [G, L]`: long-run law of a queue at each level kept for ever; `mean_reward [G]` a step then."""
        lengths = queue_law(self, params)
        model = self.tables(params)
        alone, local = (np.asarray(x, np.float64) for x in (model.global_reward[:, 0], model.local_reward))
        return {"lengths": lengths, "mean_reward": alone + np.sum(lengths * local, axis=1)}


def queue_law(env: ServiceRate, params: ServiceRateParams) -> Float64[np.ndarray, "G L"]:
    """Stationary laws of a queue's length: `π_1 / π_0 = p / (μ (1 - p))`, then geometric, on the host."""
    arrival, speed = float(params.arrival), float(params.speed)
    served = np.minimum(speed * np.arange(1, env.levels + 1), 1.0)[:, None]
    down = served * (1 - arrival)
    ratio = np.where(np.arange(env.capacity) == 0, arrival, arrival * (1 - served)) / down
    weight = np.concatenate([np.ones((env.levels, 1)), np.cumprod(ratio, axis=1)], axis=1)
    return weight / weight.sum(1, keepdims=True)

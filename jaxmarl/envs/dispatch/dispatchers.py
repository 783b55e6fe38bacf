"""Scripted scores of vehicles: with a rule of matching they make the usual dispatchers. Params are those of the city.

The nearest vehicle first is `nearest` with the rule `"greedy"`; the myopic optimum is `earnings` with `"optimal"`.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.policy import Policy
from jaxmarl.envs.dispatch.ride_hailing import RideHailing, vehicle_view


def nearest(env: RideHailing) -> Policy:
    """The nearer the passenger, the higher the score."""

    def act(params, memory, obs: Array, chance):
        seen = vehicle_view(obs)
        return jnp.where(seen.there > 0, 1 - 0.9 * seen.pickup, -1.0), memory

    return Policy(lambda chance: (), act, name="nearest")


def earnings(env: RideHailing) -> Policy:
    """What the vehicle would earn, as a share of the highest fare."""

    def act(params, memory, obs: Array, chance):
        seen = vehicle_view(obs)
        highest = jnp.maximum(params.base_fare + params.fare_per_cell * env.longest, 1e-9)
        earned = seen.fare - params.pickup_cost * seen.pickup * env.longest / highest
        return jnp.where(seen.there > 0, jnp.clip(earned, -1.0, 1.0), -1.0).astype(jnp.float32), memory

    return Policy(lambda chance: (), act, name="earnings")

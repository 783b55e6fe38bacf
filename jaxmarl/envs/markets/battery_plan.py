"""The best plan of a battery that knows the model of prices but not the prices; numpy on the host.

Profit is linear in the price of a step, which is seen after the action: given the imbalance's deviation it enters a
plan through its expectation. The plan is a Markov decision process over time, charge, cycles left and that deviation,
whose AR(1) is a chain with the same conditional means and variances (Rouwenhorst 1995).
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.envs.markets.battery_optimum import ChargeMoves

if TYPE_CHECKING:
    from jaxmarl.envs.markets.battery import BatteryParams


class BatteryPlan(NamedTuple):
    """Where to move from where.

    Attributes:
        value: expected profit of the day, in the chain.
        moves: `[T, D, budget + 1, levels + 1]`, levels of charge to move by.
        deviations: `[D]`, of the imbalance, MW.
        battery: the grid of charge.
    """

    value: float
    moves: Int[np.ndarray, "T D C L"]
    deviations: Float64[np.ndarray, " D"]
    battery: ChargeMoves


def rouwenhorst(persistence: float, std: float, num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Points `[D]` and transition matrix `[D, D]` of a chain like an AR(1) with this autocorrelation and deviation.

    Conditional means and variances are exact at every point, whatever their number.

    Raises:
        ValueError: fewer than 2 points, or a persistence outside [0, 1).
    """
    require_int("num_points", num_points, 2)
    require(0 <= persistence < 1, "persistence", persistence, "in [0, 1)")
    stay, matrix = (1 + persistence) / 2, np.ones((1, 1))
    for size in range(2, num_points + 1):
        wider = np.zeros((size, size))
        wider[:-1, :-1] += stay * matrix
        wider[:-1, 1:] += (1 - stay) * matrix
        wider[1:, :-1] += (1 - stay) * matrix
        wider[1:, 1:] += stay * matrix
        wider[1:-1] /= 2
        matrix = wider
    return np.linspace(-1, 1, num_points) * std * math.sqrt(num_points - 1), matrix


def plan(params: "BatteryParams", num_steps: int, num_levels: int = 76, num_deviations: int = 15) -> BatteryPlan:
    """Dynamic programming over the day. Jumps of prices have mean zero; that clipping moves a mean is neglected.

    Args:
        params: of a battery whose prices the model draws.
        num_steps: T.
        num_levels: of charge; with 76, full power of the default battery is a whole number of levels both ways.
        num_deviations: points of the imbalance's chain.
    """
    battery, model = ChargeMoves.of(params, num_levels, num_steps), params.model
    persistence, std = float(model.persistence), float(model.imbalance_std)
    deviations, matrix = rouwenhorst(persistence, std, num_deviations)
    value = np.broadcast_to(battery.nothing_left(), (num_deviations, *battery.nothing_left().shape)).copy()
    moves = []
    for step in reversed(range(num_steps)):
        course = math.sin(2 * math.pi * step / num_steps)
        imbalance = float(model.profile) * course + persistence * deviations
        price = float(model.level) + float(model.swing) * course - float(model.slope) * imbalance
        value, move = battery.best(np.tensordot(matrix, value, 1), price[:, None, None])
        moves.append(move)
    weights = np.array([math.comb(num_deviations - 1, k) for k in range(num_deviations)], float)
    stationary = weights / weights.sum()
    return BatteryPlan(float(stationary @ value[:, *battery.start]), np.stack(moves[::-1]), deviations, battery)


def plan_policy(found: BatteryPlan, params: "BatteryParams", num_steps: int) -> Policy:
    """The plan as a policy on the observations of `ImbalanceBattery` with continuous actions; nearest grid points."""
    battery, model = found.battery, params.model
    table, spacing = jnp.asarray(found.moves), max(float(found.deviations[1] - found.deviations[0]), 1e-9)
    persistence, std, profile = (float(x) for x in (model.persistence, model.imbalance_std, model.profile))
    energy, budget = float(params.power) * float(params.step_hours), battery.budget or 0

    def act(_, memory, obs, chance) -> tuple[Array, tuple]:
        step = jnp.round(jnp.arctan2(obs[2], obs[3]) / (2 * math.pi) * num_steps).astype(jnp.int32) % num_steps
        charge = jnp.clip(jnp.round(obs[0] * battery.num_levels), 0, battery.num_levels).astype(jnp.int32)
        cycles = jnp.clip(jnp.round(obs[1] * budget), 0, budget).astype(jnp.int32)
        deviation = (obs[8] * std - profile * obs[2]) / max(persistence, 1e-6)
        place = jnp.round((deviation - found.deviations[0]) / spacing).astype(jnp.int32)
        move = table[step, jnp.clip(place, 0, len(found.deviations) - 1), cycles, charge]
        bought = jnp.where(move > 0, move / battery.way, move * battery.way) * battery.unit
        return jnp.clip(-bought / energy, -1.0, 1.0), memory  # discharging is positive

    return Policy(lambda chance: (), act, name="best_plan")

"""What households save and how wealth is then spread: endogenous grids, lotteries, stationary laws (pure; jit them).

A household with `cash = gross b + income` buys b' at a price each and consumes the rest. Consumption that satisfies
`price u'(c) = β gross E u'(c')` is found without root finding from what is bought (Carroll 2006). A histogram on the
grid moves by splitting what is bought between its two neighbours, which keeps means (Young 2010).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require, require_int


@struct.dataclass
class Households:
    """Preferences and shocks of all households.

    Attributes:
        discount: β.
        aversion: σ.
        incomes: `[E]`, or endowments of labour.
        transition: `[E, E]`.
    """

    discount: Float[Array, ""]
    aversion: Float[Array, ""]
    incomes: Float[Array, " E"]
    transition: Float[Array, "E E"]


class Saving(NamedTuple):
    """A stationary policy on a grid of assets.

    Attributes:
        consumption: `[E, n]`.
        savings: `[E, n]`, assets bought.
        change: largest relative change of consumption in the last iteration.
    """

    consumption: Float[Array, "E n"]
    savings: Float[Array, "E n"]
    change: Float[Array, ""]


def asset_grid(low: float, high: float, size: int, power: float = 3.0) -> Float[np.ndarray, " size"]:
    """A grid from `low` to `high` that is denser below: `low + (high - low) x^power` for even x."""
    require(high > low, "high", high, f"above low ({low})")
    require_int("size", size, 3)
    return low + (high - low) * np.linspace(0, 1, size) ** power


def endogenous_grid(
    marginal: Float[Array, "*rows n"],
    grid: Float[Array, " n"],
    cash: Float[Array, "*rows n"],
    price: Float[Array, "*rows 1"] | Float[Array, ""] | float,
    aversion: Float[Array, ""],
) -> tuple[Float[Array, "*rows n"], Float[Array, "*rows n"]]:
    """Consumption and purchases, given what a unit bought is worth.

    Args:
        marginal: discounted expected marginal utility of each amount of the grid, for each unit of its price.
        grid: amounts that may be bought, ascending; the first is the limit.
        cash: in hand.
        price: of a unit.
        aversion: σ.
    """
    needed = marginal ** (-1 / aversion) + price * grid
    rows = needed.reshape(-1, needed.shape[-1]), cash.reshape(-1, cash.shape[-1])
    bought = jax.vmap(lambda have, known: jnp.interp(have, known, grid))(rows[1], rows[0]).reshape(cash.shape)
    return cash - price * bought, bought


def best_saving(
    households: Households,
    grid: Float[Array, " n"],
    gross: Float[Array, ""],
    price: Float[Array, ""],
    wage: Float[Array, ""],
    start: Float[Array, "E n"] | None = None,
    *,
    tolerance: Float[Array, ""] | float = 1e-6,
    max_steps: int = 5000,
) -> Saving:
    """The stationary policy under constant prices, by iterating `endogenous_grid`.

    Args:
        households: who they are.
        grid: of assets.
        gross: what a unit pays.
        price: of a unit.
        wage: multiplies incomes.
        start: consumption to start from.
        tolerance: relative change of consumption at which to stop.
        max_steps: at most.
    """
    income, sigma = wage * households.incomes[:, None], households.aversion
    cash = gross * grid + income

    def step(carry):
        consumption, _, _, count = carry
        expected = households.transition @ consumption**-sigma
        updated, bought = endogenous_grid(households.discount * gross / price * expected, grid, cash, price, sigma)
        return updated, bought, jnp.max(jnp.abs(updated / consumption - 1)), count + 1

    def going(carry):
        return (carry[2] > tolerance) & (carry[3] < max_steps)

    first = jnp.maximum(cash - price * grid, 0.05 * cash + 0.05) if start is None else start
    first = jnp.maximum(first, 1e-6)
    carry = first, jnp.zeros_like(first), jnp.full((), jnp.inf, first.dtype), jnp.zeros((), jnp.int32)
    consumption, bought, change, _ = jax.lax.while_loop(going, step, carry)
    return Saving(consumption, bought, change)


def lottery(bought: Float[Array, "*any"], grid: Float[Array, " m"]) -> tuple[Int[Array, "*any"], Float[Array, "*any"]]:
    """The lower neighbour of each amount on the grid, and the probability of the upper one that keeps the mean."""
    low = jnp.clip(jnp.searchsorted(grid, bought, side="right") - 1, 0, grid.shape[0] - 2)
    return low, jnp.clip((bought - grid[low]) / (grid[low + 1] - grid[low]), 0.0, 1.0)


def move_mass(mass: Float[Array, "E n"], low: Int[Array, "E n"], upper: Float[Array, "E n"]) -> Float[Array, "E n"]:
    """The histogram after purchases, before incomes change."""
    size = mass.shape[-1]
    rows = np.arange(mass.shape[0])[:, None] * size
    places = jnp.stack([rows + low, rows + low + 1])
    parts = jnp.stack([mass * (1 - upper), mass * upper])
    return jnp.zeros(mass.size, mass.dtype).at[places.ravel()].add(parts.ravel()).reshape(mass.shape)


def stationary_mass(
    households: Households,
    grid: Float[Array, " n"],
    savings: Float[Array, "E n"],
    start: Float[Array, "E n"],
    *,
    tolerance: Float[Array, ""] | float = 1e-7,
    max_steps: int = 20_000,
) -> Float[Array, "E n"]:
    """The histogram of incomes and assets that a policy leaves as it is, by iterating it from `start`.

    It stops where the sum of absolute changes of one step falls below the tolerance.
    """
    low, upper = lottery(savings, grid)

    def step(carry):
        mass, _, count = carry
        moved = households.transition.T @ move_mass(mass, low, upper)
        return moved, jnp.sum(jnp.abs(moved - mass)), count + 1

    def going(carry):
        return (carry[1] > tolerance) & (carry[2] < max_steps)

    carry = start, jnp.full((), jnp.inf, start.dtype), jnp.zeros((), jnp.int32)
    mass = jax.lax.while_loop(going, step, carry)[0]
    return mass / jnp.sum(mass)


def histogram_gini(grid: Float[Array, " n"], mass: Float[Array, "E n"]) -> Float[Array, ""]:
    """Gini coefficient of assets on an ascending grid."""
    shares = jnp.sum(mass, axis=0)
    mean = shares @ grid
    # twice the area under the Lorenz curve
    wealth = jnp.concatenate([jnp.zeros(1, grid.dtype), jnp.cumsum(shares * grid) / mean])
    return 1 - jnp.sum(shares * (wealth[1:] + wealth[:-1]))

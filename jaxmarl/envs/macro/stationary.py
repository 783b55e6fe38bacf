"""Stationary equilibria of economies whose households insure themselves by saving (Huggett 1993, Aiyagari 1994)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.envs.macro.household import Households, best_saving, stationary_mass


@struct.dataclass
class Production:
    """Firms with `Y = z K^α L^(1-α)`.

    Attributes:
        share: α, of capital.
        depreciation: δ.
    """

    share: Float[Array, ""]
    depreciation: Float[Array, ""]

    def prices(
        self, capital: Float[Array, "*#any"], labour: Float[Array, "*#any"], productivity: Float[Array, "*#any"]
    ) -> tuple[Array, Array]:
        """Interest rate, after depreciation, and wage of an hour."""
        ratio = capital / labour
        rate = self.share * productivity * ratio ** (self.share - 1) - self.depreciation
        return rate, (1 - self.share) * productivity * ratio**self.share

    def capital(self, rate: Float[Array, ""], labour: Float[Array, ""]) -> Float[Array, ""]:
        """What firms want at a rate, with productivity 1."""
        return labour * ((rate + self.depreciation) / self.share) ** (1 / (self.share - 1))


class StationaryEquilibrium(NamedTuple):
    """Prices at which the market for assets clears, and how households live with them.

    Attributes:
        rate: interest rate, of a period.
        wage: of a unit of labour.
        assets: mean assets of households.
        excess: assets minus the demand for them.
        consumption: `[E, n]`.
        savings: `[E, n]`.
        mass: `[E, n]`, sums to 1.
    """

    rate: Float[Array, ""]
    wage: Float[Array, ""]
    assets: Float[Array, ""]
    excess: Float[Array, ""]
    consumption: Float[Array, "E n"]
    savings: Float[Array, "E n"]
    mass: Float[Array, "E n"]


def stationary_equilibrium(
    households: Households,
    grid: Float[Array, " n"],
    bounds: tuple[Float[Array, ""] | float, Float[Array, ""] | float],
    production: Production | None = None,
    *,
    discount_bonds: bool = False,
    halvings: int = 30,
    tolerance: Float[Array, ""] | float = 1e-6,
) -> StationaryEquilibrium:
    """The interest rate at which households want the assets there are, by bisection (pure; jit it).

    Each step solves the households' problem and the stationary histogram, from those of the step before.

    Args:
        households: who they are; their incomes are labour where there is production.
        grid: of assets; its first is the limit of debts.
        bounds: of the rate; above, households want more than there is, and `discount (1 + rate) < 1`.
        production: whose capital the assets are; None where they are claims of households on each other, which add to
            zero.
        discount_bonds: whether a unit costs `1 / (1 + rate)` and pays 1 (Huggett 1993), or costs 1 and pays `1 + rate`.
        halvings: of the interval.
        tolerance: of the households' problem; the histogram's is a tenth.
    """
    dtype = grid.dtype
    law = _income_law(households.transition)
    labour = law @ households.incomes
    price_of = (
        (lambda rate: (jnp.ones((), dtype), 1 / (1 + rate)))
        if discount_bonds
        else (lambda rate: (1 + rate, jnp.ones((), dtype)))
    )

    def at(rate, consumption, mass):
        if production is None:
            wage, demand = jnp.ones((), dtype), jnp.zeros((), dtype)
        else:
            demand = production.capital(rate, labour)
            wage = production.prices(demand, labour, jnp.ones((), dtype))[1]
        gross, price = price_of(rate)
        saving = best_saving(households, grid, gross, price, wage, consumption, tolerance=tolerance)
        mass = stationary_mass(households, grid, saving.savings, mass, tolerance=tolerance / 10)
        assets = jnp.sum(mass * grid)
        return StationaryEquilibrium(rate, wage, assets, assets - demand, saving.consumption, saving.savings, mass)

    def halve(_, carry):
        low, high, consumption, mass = carry
        found = at((low + high) / 2, consumption, mass)
        above = found.excess > 0
        return jnp.where(above, low, found.rate), jnp.where(above, found.rate, high), found.consumption, found.mass

    low, high = (jnp.asarray(bound, dtype) for bound in bounds)
    start = jnp.maximum(0.05 * (grid - grid[0]) + 0.5 * households.incomes[:, None], 1e-3)
    even = jnp.broadcast_to(law[:, None] / grid.shape[0], start.shape)
    low, high, consumption, mass = jax.lax.fori_loop(0, halvings, halve, (low, high, start, even))
    return at((low + high) / 2, consumption, mass)


solve_stationary = jax.jit(stationary_equilibrium, static_argnames=("discount_bonds", "halvings"))


def complete_markets(households: Households, production: Production) -> tuple[Array, Array]:
    """Rate and capital where all risks are shared: `β (1 + rate) = 1`."""
    rate = 1 / households.discount - 1
    return rate, production.capital(rate, _income_law(households.transition) @ households.incomes)


def _income_law(transition: Float[Array, "E E"]) -> Float[Array, " E"]:
    """Stationary probabilities, by squaring the transition."""
    powers = jax.lax.fori_loop(0, 14, lambda _, p: p @ p / jnp.sum(p @ p, axis=1, keepdims=True), transition)
    return powers[0]

"""Equilibria of multi-unit auctions that have a closed form."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.envs.auctions import equilibria
from jaxmarl.envs.auctions.one_shot import common_law
from jaxmarl.envs.auctions.priors import Marginal, Uniform

if TYPE_CHECKING:
    from jaxmarl.envs.auctions.multi_unit import MultiUnitAuction, MultiUnitParams


def known_answers(env: "MultiUnitAuction", params: "MultiUnitParams") -> dict[str, Any]:
    """The entries of `MultiUnitAuction.benchmarks` for concrete params."""
    active = np.flatnonzero(params.active)
    (demand,), units = env.bids_shape, env.num_units
    truthful = env.payment == "vickrey" or (env.payment == "uniform" and demand == 1)
    neutral = bool((np.asarray(params.risk)[active] == 1).all())
    n, law = len(active), common_law(params.prior, active)
    if law is None or not neutral:
        return {"bid": _value} if truthful else {}
    reserve = jnp.clip(jnp.asarray(params.reserve), law.low, law.high)
    flat = env.marginal_values == "constant" and demand == units
    if truthful:
        if demand > 1 and not flat:
            return {"bid": _value}
        # flat demand for all units is for one item of their number's worth, unit demand for one place of many
        size, places = (units, None) if flat else (1, jnp.ones(units))
        return {"bid": _value} | _outcome(law, n, reserve, size, places, params, active)
    if env.payment == "discriminatory" and (flat or units == 1):

        def bid(values: Float[Array, "*batch N D"]) -> Float[Array, "*batch N D"]:
            return equilibria.first_price_bid(values, law, n, reserve=params.reserve)

        return {"bid": bid} | _outcome(law, n, reserve, units, None, params, active)
    standard = type(law) is Uniform and float(law.low) == 0 and n == 2 and float(params.reserve) == 0
    if env.payment == "uniform" and standard and demand == 2 and env.marginal_values == "sorted":
        return _uniform_price_pair(units, law, params, active)
    return {}


def _value(values: Float[Array, "*batch N D"]) -> Float[Array, "*batch N D"]:
    """Bids that are the marginal values."""
    return values


def _outcome(
    law: Marginal, n: int, reserve: Array, size: int, places: Array | None, params: Any, active: np.ndarray
) -> dict[str, Any]:
    """Revenue and utilities where the highest values win: `size` items sold together, or a unit to each of `places`."""
    revenue = size * equilibria.expected_revenue(law, n, reserve, places)
    utility = size * equilibria.expected_utility(law, n, reserve, places)
    return {"revenue": revenue, "utility": jnp.zeros(params.active.shape).at[active].set(utility)}


def _uniform_price_pair(units: int, law: Uniform, params: Any, active: np.ndarray) -> dict[str, Any]:
    """Two bidders with two sorted uniform marginal values, without a reserve: second bids are shaded.

    For two units down to 0, so that nothing is paid; for three units to the square of the second value; for more
    there is no scarcity.
    """

    def bid(values: Float[Array, "*batch N 2"]) -> Float[Array, "*batch N 2"]:
        second = values[..., 1] ** 2 / law.high if units == 3 else jnp.zeros_like(values[..., 1])
        return jnp.stack([values[..., 0], second], axis=-1)

    price, utility = (1 / 15, 4 / 5) if units == 3 else (0.0, 2 / 3 if units == 2 else 1.0)
    scale = jnp.asarray(law.high)
    return {
        "bid": bid,
        "price": price * scale,
        "revenue": units * price * scale,
        "utility": jnp.zeros(params.active.shape).at[active].set(utility * scale),
    }

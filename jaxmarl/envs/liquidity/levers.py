"""Quotes of dealers, and what a regulator's levers make of them."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmarl.envs.liquidity.market_types import Levers, Regulation


@struct.dataclass
class Quotes:
    """What dealers show: columns are bid and ask.

    Attributes:
        half_spreads: `[N, 2]`, distances from the mid price.
        parcels: `[N, 2]`, quoted; 0 where there is no quote.
        orders: `[N]`, signed whole orders to other dealers (0 where they do not trade among themselves).
    """

    half_spreads: Float[Array, "N 2"]
    parcels: Float[Array, "N 2"]
    orders: Float[Array, " N"]

    @property
    def quoting(self) -> Bool[Array, "N 2"]:
        """Where there is a quote."""
        return self.parcels > 0


def regulated_quotes(
    half_spreads: Float[Array, "N 2"],
    size_shares: Float[Array, "N 2"],
    orders: Float[Array, " N"],
    full_size: Float[Array, " N"],
    inventory: Float[Array, " N"],
    limit: Float[Array, " N"],
    levers: Levers,
) -> Quotes:
    """Quotes after the cap on spreads and the obligation to quote, without those that could breach a position limit."""
    parcels = jnp.maximum(size_shares, levers.min_size) * full_size[:, None]
    room = jnp.stack([limit - inventory, limit + inventory], axis=1)
    return Quotes(
        half_spreads=jnp.minimum(half_spreads, levers.max_spread),
        parcels=jnp.where(parcels <= room, parcels, 0.0),
        orders=orders,
    )


def backstop_purchases(
    inventory: Float[Array, " N"], interdealer_volume: Float[Array, ""], backstop: Float[Array, ""]
) -> Float[Array, " N"]:
    """Signed parcels that the authority takes off each dealer: `min(b, |q|)` where dealers traded less than b."""
    taken = jnp.sign(inventory) * jnp.minimum(backstop, jnp.abs(inventory))
    return jnp.where(interdealer_volume < backstop, taken, 0.0)


def regulator_levers(settings: Float[Array, " four"], regulation: Regulation, widest: float) -> Levers:
    """Levers of a regulator's settings in [0, 1]: tax, cap on half-spreads, least size, backstop; 0 is neutral.

    Args:
        settings: at least four numbers; the rest is not read.
        regulation: what the highest settings mean.
        widest: largest half-spread that can be quoted, where a cap changes nothing.
    """
    tax, cap, size, backstop = settings[:4]
    return Levers(
        tax=tax * regulation.most_tax,
        max_spread=widest - cap * (widest - jnp.minimum(regulation.least_max_spread, widest)),
        min_size=size,
        backstop=backstop * regulation.most_backstop,
        capital_charge=regulation.levers.capital_charge,
    )

"""The reflexive liquidity pool: clients come where there was liquidity, and dealers' depth makes it.

With a depth of 1 and an exponent of 2 the index has, beside 0, the fixed points `(V_0 ± sqrt(V_0² - 4)) / 2`: the upper
one is stable, the lower one is the tipping point from which liquidity dies out, and below `V_0 = 2` neither exists.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.envs.liquidity.market_types import Pool

FLOOR, CEILING = 1e-3, 10.0


def posted_depth(
    half_spreads: Float[Array, "N 2"],
    parcels: Float[Array, "N 2"],
    full_size: Float[Array, " N"],
    reference_half_spread: Float[Array, ""],
) -> Float[Array, ""]:
    """Parcels quoted, discounted by `exp(-mean half-spread)`, relative to full quotes at the reference half-spread."""
    discount = jnp.exp(-jnp.mean(half_spreads, axis=1))
    reference = 2 * jnp.sum(full_size) * jnp.exp(-reference_half_spread)
    return jnp.sum(jnp.sum(parcels, axis=1) * discount) / reference


def initial_liquidity(pool: Pool) -> Float[Array, ""]:
    """The index at the start: 1 where the pool is switched off."""
    return jnp.where(pool.exponent > 0, jnp.clip(pool.start, FLOOR, CEILING), jnp.ones_like(pool.start))


def next_liquidity(liquidity: Float[Array, ""], depth: Float[Array, ""], pool: Pool) -> Float[Array, ""]:
    """`(1 - ρ) L + ρ D V_0 L^ψ / (1 + L^ψ)`, between 0.001, which stands for 0, and 10."""
    drawn = liquidity**pool.exponent
    target = pool.level * drawn / (1 + drawn) * depth
    moved = jnp.clip((1 - pool.speed) * liquidity + pool.speed * target, FLOOR, CEILING)
    return jnp.where(pool.exponent > 0, moved, jnp.ones_like(moved))


def tipping_level(exponent: Float[Array, ""] | float) -> Float[Array, ""]:
    """The least V_0 with which liquidity can last, at a depth of 1: `ψ / (ψ - 1)^((ψ - 1) / ψ)`, 2 for ψ = 2.

    Args:
        exponent: ψ > 1.
    """
    exponent = jnp.asarray(exponent, float)
    return exponent / (exponent - 1) ** ((exponent - 1) / exponent)


def fixed_points(level: Float[Array, "*batch"]) -> Float[Array, "*batch two"]:
    """The tipping point and the lasting liquidity at a depth of 1 and ψ = 2; NaN where liquidity cannot last."""
    root = jnp.sqrt(jnp.square(level) - 4)
    return jnp.stack([level - root, level + root], axis=-1) / 2

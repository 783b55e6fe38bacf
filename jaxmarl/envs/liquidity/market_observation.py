"""What dealers, and the regulator, see of a dealer market."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.envs.liquidity.market_types import DealerMarketParams, DealerMarketState

OWN, PUBLIC, LEVERS = 8, 6, 4


def observation_width(num_dealers: int, disclose: bool, regulator: bool) -> int:
    """Numbers in an observation."""
    return OWN + PUBLIC + LEVERS * regulator + num_dealers * disclose


def dealer_limits(state: DealerMarketState, params: DealerMarketParams) -> Float[Array, " N"]:
    """Position limit of each dealer."""
    return jnp.where(state.large, params.dealers.limits[1], params.dealers.limits[0])


def own_part(state: DealerMarketState, params: DealerMarketParams, num_steps: int) -> Float[Array, "N own"]:
    """Each dealer's time, position, wealth, type, last quotes and last fills."""
    shape = state.inventory.shape
    time = jnp.broadcast_to(state.step / num_steps, shape)
    columns = [time, state.inventory / dealer_limits(state, params), state.wealth / 100, state.large]
    scalars = jnp.stack(columns, axis=1, dtype=state.inventory.dtype)
    return jnp.concatenate([scalars, state.half_spreads, state.fills], axis=1)


def public_part(
    state: DealerMarketState, params: DealerMarketParams, num_steps: int, disclose: bool, regulator: bool, widest: float
) -> Float[Array, " public"]:
    """Liquidity, price, volume, best quotes, imbalance; the levers, where they change; positions, where disclosed."""
    scale = params.volatility * jnp.sqrt(num_steps * params.dt)
    price = state.mid / jnp.where(scale > 0, scale, 1.0)
    best = jnp.min(state.half_spreads, axis=0)
    parts = [jnp.stack([state.liquidity, price, state.volume]), best, state.imbalance[None]]
    if regulator:
        levers = state.levers
        cap = jnp.minimum(levers.max_spread, widest) / widest
        parts.append(jnp.stack([levers.tax, cap, levers.min_size, levers.backstop]))
    if disclose:
        parts.append(state.inventory / dealer_limits(state, params))
    return jnp.concatenate(parts).astype(state.inventory.dtype)

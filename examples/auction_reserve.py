"""The revenue of a second-price auction by its reserve, and the best reserve by gradients through the auction.

python examples/auction_reserve.py
"""

import jax
import jax.numpy as jnp

import jaxmarl
from jaxmarl.solvers.auctions import optimal_reserve


def main() -> None:
    """Three bidders with uniform values: theory says 1/2, whatever their number."""
    auction, params = jaxmarl.make("second_price_auction", num_agents=3)

    @jax.jit
    @jax.vmap
    def revenue(reserve):
        numbers = params.replace(reserve=reserve)
        keys = jax.random.split(jax.random.key(0), 20_000)  # the same values at every reserve
        state = jax.vmap(auction.reset, (0, None))(keys, numbers)[1]
        truthful = state.signals
        info = jax.vmap(auction.step, (0, 0, 0, None))(keys, state, truthful, numbers)[-1]
        return jnp.mean(info["revenue"])

    reserves = jnp.linspace(0.0, 0.9, 10)
    for reserve, mean in zip(reserves, revenue(reserves), strict=True):
        print(f"reserve {reserve:.1f}  revenue {mean:.4f}")
    found = optimal_reserve(auction, params, key=jax.random.key(1))
    print(f"by gradient: reserve {float(found.reserve):.3f}, revenue {float(found.revenue):.4f} (theory: 0.5, 0.53125)")


if __name__ == "__main__":
    main()

"""The shared search for profitable lies, on auctions whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.envs.mechanisms import best_misreports, is_truthful, misreport_gain


def sealed_bids(values, second_price):
    def utilities(bids):
        wins = jnp.arange(bids.size) == jnp.argmax(bids)
        rivals = jnp.where(jnp.eye(bids.size, dtype=bool), -jnp.inf, bids)
        return jnp.where(wins, values - (rivals.max(axis=1) if second_price else bids), 0.0)

    return utilities


CANDIDATES = np.linspace(0, 1, 21, dtype=np.float32)


def test_a_second_price_auction_is_truthful_and_a_first_price_one_is_not():
    profiles = jax.random.uniform(jax.random.key(0), (50, 3))

    def gains(second_price):
        return jax.vmap(lambda v: misreport_gain(sealed_bids(v, second_price), v, jnp.asarray(CANDIDATES)))(profiles)

    assert is_truthful(gains(True))
    assert not is_truthful(gains(False))


def test_the_best_lie_is_found_for_each_agent():
    """Values .8, .5, .2 at first price: the winner shades to just above .5; nobody else gains."""
    values = jnp.array([0.8, 0.5, 0.2])
    best = best_misreports(sealed_bids(values, False), values, jnp.asarray(CANDIDATES))
    np.testing.assert_allclose(best.report[0], 0.5, atol=1e-6)  # ties go to the first bidder
    np.testing.assert_allclose(best.gain, [0.3, 0, 0], atol=1e-6)

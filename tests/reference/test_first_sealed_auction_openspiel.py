"""The discrete first-price auction equals OpenSpiel's `first_sealed_auction` on every profile of values and bids."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.envs.auctions import SealedBidState

pyspiel = pytest.importorskip("pyspiel")


@pytest.fixture(scope="module")
def profiles():
    """Values, bids and expected payoffs `[55 * 55, 2]`: values 1 to 10, bids below values, fair draws of ties."""
    game = pyspiel.load_game("first_sealed_auction(players=2,max_value=10)")
    values_and_bids, payoffs = [], []
    for values in itertools.product(range(1, 11), repeat=2):
        for bids in itertools.product(range(values[0]), range(values[1])):
            state = game.new_initial_state()
            for action in (*values, *bids):
                state.apply_action(action)
            ends = [(state, 1.0)] if not state.is_chance_node() else []
            if not ends:
                ends = [(state.child(action), probability) for action, probability in state.chance_outcomes()]
            values_and_bids.append((values, bids))
            payoffs.append(sum(p * np.asarray(end.returns()) for end, p in ends))
    values, bids = (np.asarray(x) for x in zip(*values_and_bids, strict=True))
    return values.astype(np.float32), bids.astype(np.int32), np.asarray(payoffs)


@pytest.mark.parametrize("tie_rule", ["split", "random"])
def test_payoffs_are_equal(profiles, tie_rule):
    values, bids, wanted = profiles
    env, params = make("first_price_auction", num_bid_levels=10, max_bid=9.0, tie_rule=tie_rule)

    @jax.jit
    @jax.vmap
    def payoffs(values, bids):
        state = SealedBidState(values, values)
        if tie_rule == "split":
            return env.transition(state, bids, (), params)[1]
        lots = jnp.asarray([[0.2, 0.7], [0.7, 0.2]])  # either wins the draw
        return jnp.mean(jax.vmap(lambda lot: env.transition(state, bids, lot, params)[1])(lots), axis=0)

    assert len(values) == 55**2
    np.testing.assert_array_equal(payoffs(values, bids), wanted)

"""What a bidder could gain by other bids: nothing in equilibrium, and known amounts elsewhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.auctions import FirstPriceAuction, SealedBidAuction
from jaxmarl.envs.auctions.asymmetric import kaplan_zamir_preempting, kaplan_zamir_prior, kaplan_zamir_sharing
from jaxmarl.envs.auctions.interdependent_bids import mineral_rights_naive
from jaxmarl.solvers.auctions.bayes_nash import best_response_loss, discretise, soda

loss_of = functools.partial(best_response_loss, num_signals=64, num_samples=512, num_bids=64)
KEY = jax.random.key(0)


def share(slope, signals):
    return slope * signals


def of_slope(slope):
    """One compiled program for all slopes."""
    return jax.tree_util.Partial(share, jnp.asarray(slope))


def test_uniform_first_price():
    env = FirstPriceAuction()
    params = env.default_params
    exact = loss_of(env, params, of_slope(0.5), KEY, bidders=(0,))
    np.testing.assert_allclose(exact.utilities, 1 / 6, rtol=0.03)
    assert exact.relative_losses[0] < 0.003
    # against bids of v / 4: the best bid is v / 2, at most 1 / 4, of which it wins all; its utility is
    # int_0^.5 v^2 dv + int_.5^1 (v - 1/4) dv = 1/24 + 1/4, the other's own 1/4
    low = loss_of(env, params, of_slope(0.25), KEY, bidders=(0,))
    np.testing.assert_allclose(low.utilities, 1 / 4, rtol=0.03)
    np.testing.assert_allclose(low.best_utilities, 7 / 24, rtol=0.03)
    np.testing.assert_allclose(low.relative_losses, 1 / 7, rtol=0.05)
    truthful = loss_of(env, params, of_slope(1.0), KEY, bidders=(0,))
    np.testing.assert_allclose(truthful.utilities, 0, atol=1e-6)
    np.testing.assert_allclose(truthful.best_utilities, 1 / 12, rtol=0.03)
    # where, and how much: bidding v / 2 against v earns v^2 / 4
    np.testing.assert_allclose(truthful.gains[0], truthful.signals[0] ** 2 / 4, atol=2e-3)


def test_a_best_response_is_not_counted_as_a_loss_of_rounding():
    env = SealedBidAuction("second_price", 2)
    found = loss_of(env, env.default_params, of_slope(1.0), KEY)
    assert found.losses.shape == (2,)
    assert (found.losses >= 0).all()
    assert (found.losses < 1e-6).all()


def test_several_equilibria_of_one_auction_and_a_mixture_that_is_none():
    env = SealedBidAuction("first_price", 2, max_bid=8.0)
    params = env.default_params.replace(prior=kaplan_zamir_prior())
    sharing = loss_of(env, params, kaplan_zamir_sharing, KEY)
    preempting = loss_of(env, params, kaplan_zamir_preempting, KEY)
    assert (sharing.relative_losses < 0.005).all()
    assert (preempting.relative_losses < 0.005).all()
    assert sharing.utilities[1] > preempting.utilities[1] + 0.3  # they differ a lot
    assert preempting.utilities[0] == 0

    def mixed(values):
        return jnp.stack([kaplan_zamir_sharing(values)[..., 0], kaplan_zamir_preempting(values)[..., 1]], axis=-1)

    assert loss_of(env, params, mixed, KEY).relative_losses[1] > 0.2


def test_the_winners_curse():
    env = SealedBidAuction("second_price", 3, "mineral_rights")
    params = env.default_params
    judge = functools.partial(loss_of, env, params, key=KEY, bidders=(0,))
    exact, naive = (
        judge(env.benchmarks(params)["bid"]),
        judge(lambda signals: mineral_rights_naive(signals, params.prior)),
    )
    np.testing.assert_allclose(exact.utilities, 0.0452, atol=0.004)
    assert naive.utilities[0] < 0.01
    # the noise of 512 draws is worth up to 5 % of the small utility
    assert exact.relative_losses[0] < 0.06
    assert naive.losses[0] > 0.015


@pytest.mark.slow
@pytest.mark.parametrize(("payment", "prior"), [("first_price", "affiliated"), ("second_price", "wallet")])
def test_interdependent_equilibria(payment, prior):
    env = SealedBidAuction(payment, 2, prior, max_bid=4.0)
    params = env.default_params
    exact = env.benchmarks(params)["bid"]
    assert loss_of(env, params, exact, KEY, bidders=(0,)).relative_losses[0] < 0.02
    assert loss_of(env, params, lambda x: 1.3 * exact(x), KEY, bidders=(0,)).relative_losses[0] > 0.04


@pytest.mark.slow
def test_learned_bids_are_judged_in_the_continuous_auction():
    env = SealedBidAuction("first_price", 2, tie_rule="lose")
    params = env.default_params
    auction = discretise(env, params, num_types=32, max_bid=1.0)
    bid = auction.bid_function(soda(auction).strategies)
    assert loss_of(env, params, bid, KEY, bidders=(1,)).relative_losses[0] < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_signals": 0}, "num_signals must be an integer >= 1, got 0"),
        ({"bidders": (2,)}, "bidders must be indices of bidders, got"),
        ({"chunk_size": 0}, "chunk_size must be an integer >= 1, got 0"),
    ],
)
def test_refusals(options, message):
    env = FirstPriceAuction()
    with pytest.raises(ValueError, match=message):
        best_response_loss(env, env.default_params, of_slope(0.5), KEY, **options)

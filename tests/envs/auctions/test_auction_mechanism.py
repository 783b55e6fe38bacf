import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.envs.auctions import SealedBidAuction, SealedBidState
from jaxmarl.envs.auctions.mechanism import (
    PAYMENT_RULES,
    award,
    crra,
    entrants,
    expected_utility,
    highest,
    kth_highest_of_others,
    others,
    places,
    smooth_award,
)

ONE = np.ones(1, np.float32)


def allocate(bids, tie_rule, weights=ONE, competing=None, lots=None):
    bids = jnp.asarray(bids, jnp.float32)
    competing = jnp.ones(len(bids), bool) if competing is None else jnp.asarray(competing)
    return np.asarray(award(places(bids, competing, tie_rule, lots), competing, jnp.asarray(weights)))


@pytest.mark.parametrize("seed", range(4))
def test_without_ties_every_rule_gives_the_places_of_a_sort(seed):
    rng = np.random.default_rng(seed)
    bids, weights = rng.permutation(7) / 7, np.float32([1, 0.6, 0.3])
    wanted = np.zeros(7)
    wanted[np.argsort(-bids)[:3]] = weights
    for rule in ("split", "random", "lose"):
        np.testing.assert_allclose(allocate(bids, rule, weights, lots=jnp.asarray(rng.random(7))), wanted, rtol=1e-6)


def test_ties_split_what_they_fill_together_or_lose_it():
    bids, weights = [3, 5, 3, 3, 1], np.float32([1.0, 0.6, 0.3])
    np.testing.assert_allclose(allocate(bids, "split", weights), [0.3, 1, 0.3, 0.3, 0], rtol=1e-6)
    np.testing.assert_allclose(allocate(bids, "lose", weights), [0, 1, 0, 0, 0])
    # equal bids that all win do not compete with each other
    np.testing.assert_allclose(allocate([2, 2, 1], "lose", np.ones(2, np.float32)), [1, 1, 0])
    np.testing.assert_allclose(allocate([2, 2, 1], "lose"), 0)


def test_drawn_ties_favour_nobody():
    """Each of three equal bids wins a third of 65536 draws (4 standard errors), and always exactly one does."""
    lots = jax.random.uniform(jax.random.key(0), (2**16, 4))
    bids, competing = jnp.asarray([2.0, 2.0, 1.0, 2.0]), jnp.ones(4, bool)
    shares = jax.vmap(lambda lot: award(places(bids, competing, "random", lot), competing, jnp.ones(1)))(lots)
    assert (np.asarray(shares).sum(axis=1) == 1).all()
    error = 4 * np.sqrt(2 / 9 / 2**16)
    np.testing.assert_allclose(np.asarray(shares).mean(axis=0), [1 / 3, 1 / 3, 0, 1 / 3], atol=error)
    # even where two lots are equal too
    assert allocate([1, 1], "random", lots=jnp.ones(2)).sum() == 1


def test_a_random_rule_needs_lots():
    with pytest.raises(ValueError, match="lots must be given"):
        places(jnp.ones(2), jnp.ones(2, bool), "random")


def test_who_does_not_compete_gets_nothing_and_stands_in_nobodys_way():
    got = allocate([9, 1, 5, 1], "split", np.float32([1, 0.5]), competing=[False, True, False, True])
    np.testing.assert_allclose(got, [0, 0.75, 0, 0.75])
    assert not allocate([9, 1], "split", competing=[False, False]).any()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_kth_highest_of_the_others_is_that_of_a_sort(k):
    rng = np.random.default_rng(k)
    bids, competing = rng.integers(0, 4, (50, 5)).astype(np.float32), rng.random((50, 5)) < 0.8
    got = jax.vmap(lambda b, c: kth_highest_of_others(b[:, None], c[:, None], k, 0.5))(
        jnp.asarray(bids), jnp.asarray(competing)
    )
    if k == 1:
        first = jax.vmap(lambda b, c: highest(b, others(c), 0.5))(jnp.asarray(bids), jnp.asarray(competing))
        np.testing.assert_array_equal(first, got)
    for row, mask, prices in zip(bids, competing, np.asarray(got), strict=True):
        for i in range(5):
            rest = sorted((row[j] for j in range(5) if j != i and mask[j]), reverse=True)
            assert prices[i] == max(rest[k - 1] if len(rest) >= k else 0.5, 0.5)


def test_bids_of_one_owner_do_not_set_its_own_price():
    bids, competing = jnp.asarray([[5.0, 3.0], [2.0, 4.0], [1.0, 6.0]]), jnp.ones((3, 2), bool).at[2, 1].set(False)
    for k, wanted in ((1, [4, 5, 5]), (2, [2, 3, 4]), (3, [1, 1, 3]), (4, [0, 0, 2])):
        np.testing.assert_array_equal(kth_highest_of_others(bids, competing, k), wanted)


def test_payments_by_rule():
    bids, competing = jnp.asarray([4.0, 9.0, 7.0, 1.0]), jnp.asarray([True, True, True, False])
    wanted = {
        "first_price": (9, 0),
        "second_price": (7, 0),
        "third_price": (4, 0),
        "all_pay": (9, 7),
        "war_of_attrition": (7, 7),
    }
    for name, (winner, loser) in wanted.items():
        if_win, if_lose = PAYMENT_RULES[name](bids, competing, 2.0)
        assert (float(if_win[1]), float(if_lose[2]), float(if_lose[3])) == (winner, loser, 0), name


@pytest.mark.parametrize("name", ["first_price", "second_price", "third_price", "all_pay", "war_of_attrition"])
def test_a_single_bidder_pays_the_reserve_or_its_bid(name):
    for active, n in ((jnp.asarray([True, False]), 2), (jnp.ones(1, bool), 1)):
        env = SealedBidAuction(name, n)
        params = env.default_params.replace(active=active, reserve=jnp.asarray(0.25))
        state = SealedBidState(jnp.full(n, 0.8), jnp.full(n, 0.8))
        _, reward, _, info = env.transition(state, jnp.full(n, 0.6), (), params)
        price = 0.6 if name in ("first_price", "all_pay") else 0.25
        np.testing.assert_allclose(info["price"], price, rtol=1e-6)
        np.testing.assert_allclose(reward[0], 0.8 - price, rtol=1e-6)
        _, reward, _, info = env.transition(state, jnp.full(n, 0.2), (), params)
        assert not np.asarray(reward).any()
        assert (int(info["winner"]), float(info["revenue"]), float(info["price"])) == (-1, 0, 0)


def test_who_enters_pays_the_fee_and_a_zero_bid_stays_out():
    env, params = make("second_price_auction", num_agents=3)
    params = params.replace(entry_fee=jnp.asarray(0.1))
    state = SealedBidState(jnp.asarray([0.9, 0.5, 0.7]), jnp.asarray([0.9, 0.5, 0.7]))
    _, reward, _, info = env.transition(state, jnp.asarray([0.9, 0.5, 0.0]), (), params)
    np.testing.assert_allclose(reward, [0.3, -0.1, 0], atol=1e-6)
    np.testing.assert_allclose(info["payments"], [0.6, 0.1, 0], atol=1e-6)
    np.testing.assert_allclose(info["revenue"], 0.7, rtol=1e-6)
    free = params.replace(entry_fee=jnp.zeros(()))
    assert entrants(jnp.zeros(2), jnp.ones(2, bool), 0.0, 0.0).all()
    assert float(env.transition(state, jnp.zeros(3), (), free)[3]["welfare"]) == pytest.approx(0.7)


def test_welfare_counts_values_and_its_best_is_the_highest_active_value():
    env, params = make("first_price_auction", num_agents=3)
    params = params.replace(active=jnp.asarray([True, True, False]))
    state = SealedBidState(jnp.asarray([0.4, 0.6, 0.9]), jnp.asarray([0.4, 0.6, 0.9]))
    info = env.transition(state, jnp.asarray([0.3, 0.2, 0.8]), (), params)[3]
    np.testing.assert_allclose([info["welfare"], info["efficient_welfare"], info["revenue"]], [0.4, 0.6, 0.3])


def test_split_rewards_are_the_mean_of_drawn_ones_under_risk_aversion():
    """The same tie drawn 65536 times, all-pay with square-root utility: within 4 standard errors."""
    static = {"payment": "all_pay", "num_agents": 3}
    split, drawn = SealedBidAuction(**static), SealedBidAuction(**static, tie_rule="random")
    params = split.default_params.replace(risk=jnp.full(3, 0.5))
    state = SealedBidState(jnp.asarray([0.9, 0.8, 0.7]), jnp.asarray([0.9, 0.8, 0.7]))
    bids = jnp.asarray([0.3, 0.3, 0.3])
    wanted = np.asarray(split.transition(state, bids, (), params)[1])
    lots = jax.random.uniform(jax.random.key(1), (2**16, 3))
    rewards = np.asarray(jax.vmap(lambda lot: drawn.transition(state, bids, lot, params)[1])(lots))
    error = rewards.std(axis=0) / 2**8
    assert (np.abs(rewards.mean(axis=0) - wanted) < 4 * error).all()


def test_crra_is_finite_with_finite_gradients_everywhere():
    gains = jnp.asarray([-2.0, -1e-20, 0.0, 1e-20, 1e-6, 4.0])
    for risk in (1.0, 0.5, 0.01):
        slopes = jax.vmap(jax.grad(crra), (0, None))(gains, risk)
        in_risk = jax.vmap(jax.grad(crra, 1), (0, None))(gains, risk)
        assert np.isfinite(crra(gains, risk)).all()
        assert np.isfinite(slopes).all()
        assert np.isfinite(in_risk).all()
    np.testing.assert_array_equal(crra(gains, 1.0), gains)
    np.testing.assert_allclose(crra(jnp.asarray([4.0, -4.0]), 0.5), [2, -2])
    np.testing.assert_array_equal(jax.vmap(jax.grad(crra), (0, None))(gains, 1.0), 1)


def test_gradients_of_rewards_are_finite_where_gains_vanish_and_nobody_sells():
    env, params = make("second_price_auction", num_agents=3, prior="power")
    params = params.replace(risk=jnp.full(3, 0.3), active=jnp.asarray([True, True, False]))
    state = SealedBidState(jnp.asarray([0.5, 0.5, 0.1]), jnp.asarray([0.5, 0.5, 0.1]))
    for reserve in (0.0, 0.5, 2.0):

        def total(bids, risk, reserve, values):
            changed = params.replace(risk=risk, reserve=reserve)
            return jnp.sum(env.transition(state.replace(values=values), bids, (), changed)[1])

        slopes = jax.grad(total, (0, 1, 2, 3))(jnp.asarray([0.5, 0.5, 0.0]), params.risk, reserve, state.values)
        assert all(np.isfinite(slope).all() for slope in slopes)


def test_smooth_allocation_tends_to_the_hard_one_and_leaves_the_seller_its_part():
    bids, competing = jnp.asarray([0.3, 0.8, 0.6, 0.9]), jnp.asarray([True, True, True, False])
    soft = smooth_award(bids, competing, 0.1, 0.01)
    np.testing.assert_allclose(soft, [0, 1, 0, 0], atol=1e-6)
    kept = smooth_award(bids, competing, 0.8, 0.01)
    np.testing.assert_allclose(kept, [0, 0.5, 0, 0], atol=1e-6)
    assert not np.asarray(smooth_award(bids, jnp.zeros(4, bool), 0.0, 0.01)).any()
    reference = np.exp(np.float64([0.3, 0.8, 0.6]) / 0.3)
    wanted = reference / (reference.sum() + np.exp(0.2 / 0.3))
    np.testing.assert_allclose(smooth_award(bids, competing, 0.2, 0.3)[:3], wanted, rtol=1e-5)


def test_expected_utility_is_the_lottery_over_both_outcomes():
    got = expected_utility(jnp.asarray([0.25]), jnp.asarray([1.0]), jnp.asarray([0.36]), jnp.asarray([0.04]), 0.5)
    np.testing.assert_allclose(got, 0.25 * 0.8 - 0.75 * 0.2, rtol=1e-5)

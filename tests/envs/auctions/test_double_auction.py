import jax.numpy as jnp
import numpy as np
import pytest
from one_shot_play import even, gains_of_deviations, means, play

from jaxmarl.core import make
from jaxmarl.envs.auctions import PrivateValues
from jaxmarl.envs.auctions.double_auction import linear_bids
from jaxmarl.testing import check_env

LINEAR = {  # k: probability of trade, utility of buyer and seller, tolerance of the figures
    0.5: (9 / 32, 9 / 128, 9 / 128, 1e-6),
    0.0: (1 / 4, 1 / 24, 1 / 12, 1e-6),
    1.0: (1 / 4, 1 / 12, 1 / 24, 1e-6),
    0.3: (0.27628, 0.05986, 0.07828, 1e-4),
}


def auction(rule="k_price", buyers=1, sellers=1, k=0.5, **static):
    env, params = make("double_auction", rule=rule, num_buyers=buyers, num_sellers=sellers, **static)
    return env, params.replace(price_weight=jnp.full((), k, float))


def outcome(env, params, values, bids):
    _, rewards, _, info = env.transition(PrivateValues(jnp.asarray(values)), jnp.asarray(bids), (), params)
    return np.asarray(rewards), {name: np.asarray(x) for name, x in info.items()}


@pytest.mark.parametrize("k", LINEAR)
def test_linear_equilibrium_of_bilateral_trade(k):
    chance, bought, sold, tolerance = LINEAR[k]
    env, params = auction(k=k)
    known, values = env.benchmarks(params), even(2, 18)
    np.testing.assert_allclose([known["trades"], *known["utility"]], [chance, bought, sold], atol=tolerance)
    np.testing.assert_allclose(known["welfare"], bought + sold, atol=2 * tolerance)
    rewards, info = play(env, params, values, known["bid"](values))
    got = means(info)
    np.testing.assert_allclose(np.asarray(rewards, np.float64).mean(axis=0), known["utility"], atol=1e-4)
    np.testing.assert_allclose(got["trades"], known["trades"], atol=4e-4)
    np.testing.assert_allclose(got["welfare"], known["welfare"], atol=1e-4)
    np.testing.assert_allclose(got["efficient_welfare"], 1 / 6, atol=1e-4)
    assert not np.asarray(info["revenue"]).any()


def test_the_middle_price_in_numbers():
    """Bids 2 v / 3 + 1 / 12 and 2 c / 3 + 1 / 4; trade from a quarter of difference on."""
    values = jnp.asarray([[0.6, 0.3], [0.6, 0.36], [0.9, 0.05]])
    bids = linear_bids(values, 0.5)
    np.testing.assert_allclose(bids[:, 0], 2 * values[:, 0] / 3 + 1 / 12, rtol=1e-6)
    np.testing.assert_allclose(bids[:, 1], 2 * values[:, 1] / 3 + 1 / 4, rtol=1e-6)
    env, params = auction()
    _, info = play(env, params, values, bids)
    np.testing.assert_array_equal(info["trades"], [1, 0, 1])


@pytest.mark.parametrize("k", [0.5, 0.3])
def test_no_deviation_from_the_linear_equilibrium_gains(k):
    """81 bids, 5 values of each side, on average over 1024 even draws of the other side."""
    env, params = auction(k=k)
    bid = env.benchmarks(params)["bid"]
    grid = jnp.linspace(0, 1.2, 81)
    other = (jnp.arange(1024) + 0.5) / 1024
    for side in (0, 1):
        for own in np.linspace(0.05, 0.95, 5):
            mine = jnp.full_like(other, own)
            values = jnp.stack([mine, other] if side == 0 else [other, mine], axis=1)
            gains = gains_of_deviations(env, params, side, values, bid(values), jnp.broadcast_to(grid, (1024, 81)))
            mean = np.asarray(gains).mean(axis=0)
            assert mean.max() < 1e-3


def test_other_intervals_scale_the_equilibrium():
    env, params = auction(k=0.3)
    other = params.replace(prior=params.prior.replace(low=jnp.full(2, 10.0), high=jnp.full(2, 14.0)))
    one, scaled = env.benchmarks(params), env.benchmarks(other)
    values = jnp.asarray([[0.6, 0.3], [0.2, 0.9]])
    np.testing.assert_allclose(scaled["bid"](10 + 4 * values), 10 + 4 * one["bid"](values), rtol=1e-6)
    np.testing.assert_allclose(scaled["utility"], 4 * one["utility"], rtol=1e-6)
    np.testing.assert_allclose(scaled["trades"], one["trades"])


def test_vcg_trades_all_gains_at_a_deficit_of_a_sixth():
    env, params = auction("vcg")
    known, values = env.benchmarks(params), even(2, 16)
    rewards, info = play(env, params, values, known["bid"](values))
    np.testing.assert_allclose([known["revenue"], known["trades"]], [-1 / 6, 0.5], rtol=1e-6)
    np.testing.assert_allclose(means(info)["revenue"], -1 / 6, atol=2e-4)
    np.testing.assert_allclose(np.asarray(rewards).mean(axis=0), known["utility"], atol=2e-4)
    # the buyer pays the cost, the seller gets the value
    _, info = outcome(env, params, [0.9, 0.4], [0.9, 0.4])
    np.testing.assert_allclose(info["payments"], [0.4, -0.9])


def test_mcafee_between_two_posts_a_price_of_one_half():
    env, params = auction("mcafee")
    known, values = env.benchmarks(params), even(2, 16)
    rewards, info = play(env, params, values, known["bid"](values))
    np.testing.assert_allclose([*known["utility"], known["trades"]], [1 / 16, 1 / 16, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(rewards).mean(axis=0), known["utility"], atol=2e-4)
    assert not np.asarray(info["revenue"]).any()


BIDS = [0.9, 0.3, 0.8, 0.6]  # buyers
ASKS = [0.5, 0.1, 0.2]  # sellers: three pairs gain, 0.9 - 0.1, 0.8 - 0.2 and 0.6 - 0.5


@pytest.mark.parametrize(
    ("rule", "k", "asks", "trades", "pays", "gets"),
    [
        ("k_price", 0.5, ASKS, 3, 0.55, 0.55),
        ("k_price", 0.2, ASKS, 3, 0.52, 0.52),
        # the next bid 0.3 and, for the missing ask, 1: the price 0.65 is above the last bid
        ("mcafee", 0.5, ASKS, 2, 0.6, 0.5),
        # the next bid is 0.6 and the next ask 0.7: both of the last pair accept 0.65
        ("mcafee", 0.5, [0.7, 0.1, 0.2], 2, 0.65, 0.65),
        ("vcg", 0.5, ASKS, 3, 0.5, 0.6),
        ("vcg", 0.5, [0.7, 0.1, 0.2], 2, 0.6, 0.7),
    ],
)
def test_call_auction_by_hand(rule, k, asks, trades, pays, gets):
    env, params = auction(rule, 4, 3, k)
    values = np.asarray(BIDS + asks, np.float32)
    rewards, info = outcome(env, params, values, values)
    assert float(info["trades"]) == trades
    buys = np.asarray(BIDS) >= sorted(BIDS)[-trades]
    sells = np.asarray(asks) <= sorted(asks)[trades - 1]
    np.testing.assert_array_equal(info["allocation"], np.concatenate([buys, sells]))
    np.testing.assert_allclose(info["payments"], np.concatenate([pays * buys, -gets * sells]), rtol=1e-6)
    np.testing.assert_allclose(rewards[:4], buys * (values[:4] - pays), atol=1e-6)
    np.testing.assert_allclose(rewards[4:], sells * (gets - values[4:]), atol=1e-6)
    np.testing.assert_allclose(info["revenue"], trades * (pays - gets), atol=1e-6)
    full = 0.8 + 0.6 + max(0.6 - sorted(asks)[2], 0)
    np.testing.assert_allclose(info["efficient_welfare"], full, rtol=1e-6)
    np.testing.assert_allclose(rewards.sum() + info["revenue"], info["welfare"], rtol=1e-5)


@pytest.mark.parametrize("rule", ["mcafee", "vcg"])
@pytest.mark.parametrize("bidder", [0, 4])
def test_truth_is_dominant(rule, bidder):
    """No other bid of a buyer or of a seller gains in any of 1024 auctions, whatever the others bid."""
    env, params = auction(rule, 3, 3)
    values = even(6, 10)
    bids = values[::-1].at[:, bidder].set(values[:, bidder])
    gains = gains_of_deviations(env, params, bidder, values, bids, jnp.broadcast_to(jnp.linspace(0, 1, 41), (1024, 41)))
    assert gains.max() < 1e-6
    assert gains.min() < -0.1
    assert env.benchmarks(params)["bid"](values) is values


def test_truth_is_not_dominant_at_a_k_price():
    env, params = auction("k_price", 3, 3)
    values = even(6, 8)
    grid = jnp.broadcast_to(jnp.linspace(0, 1, 41), (256, 41))
    assert gains_of_deviations(env, params, 0, values, values, grid).max() > 0.05


@pytest.mark.parametrize("rule", ["k_price", "mcafee", "vcg"])
def test_budgets_participation_and_gains(rule):
    """Random bids, some bidders inactive: units balance, nobody truthful loses, and the surplus has its sign."""
    env, params = auction(rule, 4, 3)
    params = params.replace(active=jnp.asarray([True, True, False, True, True, False, True]))
    values = even(7, 10)
    rewards, info = play(env, params, values, values)
    allocation, revenue = np.asarray(info["allocation"]), np.asarray(info["revenue"])
    np.testing.assert_array_equal(allocation[:, :4].sum(axis=1), allocation[:, 4:].sum(axis=1))
    np.testing.assert_array_equal(allocation[:, :4].sum(axis=1), info["trades"])
    assert rewards.min() > -1e-6
    assert not allocation[:, [2, 5]].any()
    if rule == "k_price":
        np.testing.assert_allclose(revenue, 0, atol=1e-6)
    assert (revenue > -1e-6).all() if rule == "mcafee" else (revenue < 1e-6).all()
    # McAfee gives up the least gainful pair, the others none
    lost = np.asarray(info["efficient_welfare"] - info["welfare"])
    pairs = -np.sort(-np.asarray(values)[:, [0, 1, 3]], axis=1)[:, :2] - np.sort(np.asarray(values)[:, [4, 6]], axis=1)
    least = np.where(pairs > 0, pairs, np.inf).min(axis=1)
    reduced = lost > 1e-6
    assert reduced.any() == (rule == "mcafee")
    np.testing.assert_allclose(lost[reduced], least[reduced], atol=1e-6)


def test_nobody_trades_where_a_side_is_missing():
    for rule in ("k_price", "mcafee", "vcg"):
        env, params = auction(rule, 2, 2)
        params = params.replace(active=jnp.asarray([True, True, False, False]))
        rewards, info = outcome(env, params, [0.9, 0.8, 0.1, 0.2], [0.9, 0.8, 0.1, 0.2])
        assert not rewards.any()
        assert all(not np.any(x) for x in info.values())


def test_equal_bids_share_the_last_unit_and_an_equal_ask_trades():
    env, params = auction("k_price", 3, 2)
    _, info = outcome(env, params, [1.0, 1, 1, 0, 0], [0.5, 0.9, 0.5, 0.1, 0.5])
    np.testing.assert_allclose(info["allocation"], [0.5, 1, 0.5, 1, 1])
    np.testing.assert_allclose(info["payments"], [0.25, 0.5, 0.25, -0.5, -0.5])


def test_benchmarks_are_absent_where_theory_is_silent():
    env, params = auction()
    assert env.benchmarks(params.replace(risk=jnp.asarray([1.0, 0.5]))) == {}
    assert env.benchmarks(params.replace(prior=params.prior.replace(high=jnp.asarray([1.0, 2.0])))) == {}
    env, params = auction("k_price", 2, 2)
    assert env.benchmarks(params) == {}
    env, params = auction("vcg", prior="power")
    assert set(env.benchmarks(params)) == {"bid"}


@pytest.mark.slow
def test_drawn_ties_of_discrete_bids_keep_the_contract():
    env, params = auction("mcafee", 3, 2, tie_rule="random", num_bid_levels=5)
    check_env(env, params)


@pytest.mark.parametrize(
    ("name", "number"), [("price_weight", 1.5), ("risk", jnp.zeros(2)), ("active", jnp.ones(3, bool)), ("prior", None)]
)
def test_bad_numbers_are_refused(name, number):
    env, params = auction()
    with pytest.raises(ValueError, match=f"^{name} must be"):
        env.validate(params.replace(**{name: number}))


def test_bad_fields_are_refused():
    for static in ({"rule": "k"}, {"num_buyers": 0}, {"num_sellers": 0}, {"tie_rule": "lose"}, {"prior": "wallet"}):
        with pytest.raises(ValueError, match=f"^{next(iter(static))} must be"):
            make("double_auction", **static)

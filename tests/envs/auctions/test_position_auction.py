import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_shot_play import even, gains_of_deviations, means, play

from jaxmarl.core import make
from jaxmarl.envs.auctions import PrivateValues, SealedBidAuction, SealedBidState
from jaxmarl.testing import check_env


def market(payment, click_rates, num_agents, *, max_bid=100.0, tie_rule="split", **numbers):
    env, params = make(
        "position_auction",
        payment=payment,
        num_agents=num_agents,
        num_slots=len(click_rates),
        max_bid=max_bid,
        tie_rule=tie_rule,
    )
    return env, params.replace(click_rates=jnp.asarray(click_rates, float), **numbers)


def outcome(env, params, values, bids):
    _, rewards, _, info = env.transition(PrivateValues(jnp.asarray(values)), jnp.asarray(bids), (), params)
    return np.asarray(rewards), {name: np.asarray(x) for name, x in info.items()}


@pytest.mark.parametrize(
    ("payment", "bids", "totals"),
    [("gsp", [10.0, 4, 2], [800, 200, 0]), ("gsp", [10.0, 3, 2], [600, 200, 0]), ("vcg", [10.0, 4, 2], [600, 200, 0])],
)
def test_the_example_of_edelman_ostrovsky_and_schwarz(payment, bids, totals):
    """Click rates 200 and 100, values 10, 4 and 2: truthful bids, the lowest envy-free ones, and VCG."""
    env, params = market(payment, [200, 100], 3)
    rewards, info = outcome(env, params, [10.0, 4, 2], bids)
    np.testing.assert_allclose(info["payments"], totals)
    np.testing.assert_allclose(info["allocation"], [200, 100, 0])
    np.testing.assert_allclose(rewards, np.asarray([2000, 400, 0]) - totals)
    assert (float(info["revenue"]), float(info["efficient_welfare"])) == (sum(totals), 2400)


def test_quality_ranks_scores_and_divides_prices():
    """Scores 6, 5, 4 and 3; envy-free bids are 6, 4.5, 4 and 3 of them: 4.5 and 8 a click."""
    quality = jnp.asarray([1.0, 0.5, 1, 2])
    env, params = market("gsp", [1, 0.5], 4, quality=quality)
    rewards, info = outcome(env, params, [6.0, 10, 4, 1.5], jnp.asarray([6, 4.5, 4, 3]) / quality)
    np.testing.assert_allclose(info["payments"], [4.5, 2.0, 0, 0])
    np.testing.assert_allclose(info["allocation"], [1, 0.25, 0, 0])
    np.testing.assert_allclose(info["payments"][:2] / info["allocation"][:2], [4.5, 8.0])
    np.testing.assert_allclose(rewards, [1.5, 0.5, 0, 0])


def test_reserve_on_scores():
    """Scores 6, 5 and 2 against a reserve of 3: two slots sold, the second at the reserve, the third not at all."""
    quality = jnp.asarray([1.0, 0.5, 1])
    bids = [6.0, 10, 2]
    for payment, wanted in (("gsp", [5, 1.5, 0]), ("vcg", [0.5 * 5 + 0.3 * 3 + 0.2 * 3, 0.5 * 3, 0])):
        env, params = market(payment, [1, 0.5, 0.2], 3, quality=quality, reserve=jnp.asarray(3.0))
        info = outcome(env, params, bids, bids)[1]
        np.testing.assert_allclose(info["payments"], wanted, rtol=1e-6)
        np.testing.assert_allclose(info["allocation"], [1, 0.25, 0])
    env, params = market("first_price", [1, 0.5, 0.2], 3, quality=quality)
    np.testing.assert_allclose(outcome(env, params, bids, bids)[1]["payments"], [6, 2.5, 0.4], rtol=1e-6)


def best_welfare(worth, rates):
    """Welfare of the best assignment, by trying every order of the bidders."""
    slots = np.append(rates, np.zeros(len(worth)))[: max(len(worth), len(rates))]
    orders = itertools.permutations(range(len(slots)), len(worth))
    return max(sum(w * slots[s] for w, s in zip(worth, order, strict=True)) for order in orders)


def test_vcg_payments_are_what_the_others_lose():
    """Against the definition: random values, qualities and click rates."""
    rng = np.random.default_rng(0)
    env, params = market("vcg", [1.0, 0.5, 0.2], 4)
    values, quality = rng.random((20, 4)), 0.5 + rng.random((20, 4))
    rates = -np.sort(-rng.random((20, 3)), axis=1)

    @jax.jit
    @jax.vmap
    def info_of(v, e, x):
        return env.transition(PrivateValues(v), v, (), params.replace(quality=e, click_rates=x))[3]

    info = {
        name: np.asarray(x) for name, x in info_of(*(jnp.asarray(x, float) for x in (values, quality, rates))).items()
    }
    for t, (worth, x) in enumerate(zip(values * quality, rates, strict=True)):
        total = best_welfare(worth, x)
        assert info["welfare"][t] == pytest.approx(total, rel=1e-5)
        for i in range(4):
            harm = best_welfare(np.delete(worth, i), x) - (total - info["allocation"][t, i] * values[t, i])
            assert info["payments"][t, i] == pytest.approx(harm, abs=1e-5)


@pytest.mark.parametrize("reserve", [0.0, 0.5])
def test_truth_is_dominant_with_vcg_and_not_with_gsp(reserve):
    numbers = {"quality": jnp.asarray([1.0, 0.7, 1.2, 0.5]), "reserve": jnp.asarray(reserve)}
    env, params = market("vcg", [1.0, 0.6, 0.3], 4, **numbers)
    values = even(4, 9)
    bids = (1.5 * values[::-1]).at[:, 1].set(values[:, 1])
    own = jnp.broadcast_to(jnp.linspace(0, 1.6, 33), (len(values), 33))
    gains = gains_of_deviations(env, params, 1, values, bids, own)
    assert gains.max() < 1e-6
    assert gains.min() < -0.1
    gsp, params = market("gsp", [1.0, 0.6, 0.3], 4, **numbers)
    assert gains_of_deviations(gsp, params, 1, values, bids, own).max() > 0.01


@pytest.mark.parametrize(("payment", "single"), [("gsp", "second_price"), ("first_price", "first_price")])
def test_one_slot_is_the_single_item_auction(payment, single):
    env, params = market(payment, [1.0], 3)
    numbers = {"reserve": jnp.asarray(0.3), "active": jnp.asarray([True, False, True])}
    item = SealedBidAuction(single, 3, max_bid=100.0)
    values = even(3, 7)
    bids = jnp.round(values[::-1] * 5) / 5

    def one(v, b):
        return item.transition(SealedBidState(v, v), b, (), item.default_params.replace(**numbers))[1::2]

    rewards, info = play(env, params.replace(**numbers), values, bids)
    wanted, measured = jax.vmap(one)(values, bids)
    np.testing.assert_allclose(rewards, wanted, atol=1e-6)
    for name in ("revenue", "welfare", "allocation", "payments", "efficient_welfare"):
        np.testing.assert_allclose(info[name], measured[name], atol=1e-6)


@pytest.mark.parametrize("payment", ["gsp", "vcg"])
def test_split_ties_are_the_mean_of_drawn_ones(payment):
    """Three equal bids for the second and third of three slots; every order of the lots once."""
    bids = jnp.asarray([2.0, 5.0, 2.0, 2.0, 1.0])
    values = jnp.asarray([3.0, 6.0, 4.0, 5.0, 1.0])
    env, params = market(payment, [1.0, 0.6, 0.3], 5)
    wanted, measured = outcome(env, params, values, bids)
    drawn, _ = market(payment, [1.0, 0.6, 0.3], 5, tie_rule="random")
    orders = jnp.asarray(list(itertools.permutations([0.2, 0.4, 0.6, 0.8, 0.9])))
    state = PrivateValues(values)
    rewards, info = jax.vmap(lambda lots: drawn.transition(state, bids, lots, params)[1::2])(orders)
    np.testing.assert_allclose(np.asarray(rewards).mean(axis=0), wanted, rtol=1e-5, atol=1e-6)
    for name in ("payments", "allocation"):
        np.testing.assert_allclose(np.asarray(info[name]).mean(axis=0), measured[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reserve", [0.0, 0.4])
def test_expected_revenue_and_utility_of_vcg(reserve):
    """Closed integrals against 16384 even draws, with fewer bidders than slots and a common quality."""
    for n, quality in ((4, 1.0), (2, 2.0)):
        numbers = {"active": jnp.arange(4) < n, "reserve": jnp.asarray(reserve * quality)}
        env, params = market("vcg", [1.0, 0.6, 0.3], 4, quality=jnp.full(4, quality), **numbers)
        known, values = env.benchmarks(params), even(4)
        rewards, info = play(env, params, values, known["bid"](values))
        np.testing.assert_allclose(means(info)["revenue"], known["revenue"], atol=1e-3)
        np.testing.assert_allclose(np.asarray(rewards).mean(axis=0), known["utility"], atol=1e-3)
    # by hand: 0.4 E[second of two] and so on, from the order statistics i / 5 of four values
    env, params = market("vcg", [1.0, 0.6, 0.3], 4)
    by_hand = 0.4 * 3 / 5 + 2 * 0.3 * 2 / 5 + 3 * 0.3 * 1 / 5
    np.testing.assert_allclose(env.benchmarks(params)["revenue"], by_hand, rtol=1e-5)


def test_benchmarks_name_what_they_are():
    env, params = market("gsp", [1.0, 0.5], 3)
    assert set(env.benchmarks(params)) == {"envy_free_revenue", "envy_free_utility"}
    assert env.benchmarks(params.replace(quality=jnp.asarray([1.0, 1.0, 2.0]))) == {}
    env, params = market("gsp", [1.0], 3)
    assert set(env.benchmarks(params)) == {"bid", "revenue", "utility"}
    env, params = market("first_price", [1.0], 3)
    assert env.benchmarks(params) == {}


@pytest.mark.slow
def test_discrete_bids_and_more_slots_than_bidders_keep_the_contract():
    static = {"payment": "vcg", "num_agents": 3, "num_slots": 5, "tie_rule": "random", "num_bid_levels": 4}
    env, params = make("position_auction", **static)
    check_env(env, params, corners=[params.replace(active=jnp.zeros(3, bool))])


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("click_rates", jnp.asarray([0.5, 1.0])),
        ("click_rates", jnp.ones(3)),
        ("quality", jnp.asarray([1.0, 0.0, 1.0])),
        ("reserve", -1.0),
        ("active", jnp.ones(2, bool)),
        ("prior", None),
    ],
)
def test_bad_numbers_are_refused(name, number):
    env, params = market("gsp", [1.0, 0.5], 3)
    with pytest.raises(ValueError, match=f"^{name} must be"):
        env.validate(params.replace(**{name: number}))


def test_bad_fields_are_refused():
    for static in ({"payment": "vickrey"}, {"num_slots": 0}, {"num_agents": 0}, {"tie_rule": "lose"}):
        with pytest.raises(ValueError, match=f"^{next(iter(static))} must be"):
            make("position_auction", **static)

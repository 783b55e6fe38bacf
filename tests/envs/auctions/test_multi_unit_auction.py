import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_shot_play import even, gains_of_deviations, means, play

from jaxmarl.core import make
from jaxmarl.envs.auctions import PrivateValues, SealedBidAuction, SealedBidState
from jaxmarl.envs.auctions.mechanism import units
from jaxmarl.testing import check_env

EQUILIBRIA = {  # static fields, then revenue, price and utility of each
    "uniform price, two units": ({}, 0.0, 0.0, 2 / 3),
    "uniform price, three units": ({"num_units": 3, "demand": 2}, 1 / 5, 1 / 15, 4 / 5),
    "uniform price, four units": ({"num_units": 4, "demand": 2}, 0.0, 0.0, 1.0),
    "uniform price, one unit each": ({"num_agents": 4, "demand": 1}, 4 / 5, 2 / 5, 0.15),
    "discriminatory, flat": ({"payment": "discriminatory", "marginal_values": "constant"}, 2 / 3, None, 1 / 3),
    "vickrey, flat": ({"payment": "vickrey", "marginal_values": "constant"}, 2 / 3, None, 1 / 3),
    "vickrey, one unit each": ({"payment": "vickrey", "num_agents": 4, "demand": 1}, 4 / 5, None, 0.15),
}


def at_equilibrium(static, log2_size=14, **numbers):
    """Environment, params, benchmarks, values and equilibrium bids at even draws."""
    env, params = make("multi_unit_auction", **static)
    params = params.replace(**numbers)
    draws = env.reset_chance.shape
    chance = even(int(np.prod(draws)), log2_size).reshape(-1, *draws)
    values = jax.vmap(lambda x: env.initial(x, params).values)(chance)
    known = env.benchmarks(params)
    return env, params, known, values, known["bid"](values)


@pytest.mark.parametrize("case", EQUILIBRIA)
def test_revenue_and_utility_in_equilibrium(case):
    static, revenue, price, utility = EQUILIBRIA[case]
    env, params, known, values, bids = at_equilibrium(static)
    rewards, info = play(env, params, values, bids)
    got = means(info)
    np.testing.assert_allclose(known["revenue"], revenue, atol=1e-6)
    np.testing.assert_allclose(known["utility"], utility, atol=1e-6)
    np.testing.assert_allclose(got["revenue"], revenue, atol=3e-4)
    np.testing.assert_allclose(np.asarray(rewards, np.float64).mean(axis=0), utility, atol=3e-4)
    if price is not None:
        np.testing.assert_allclose(got["price"], price, atol=3e-4)
    np.testing.assert_allclose(got["welfare"], got["revenue"] + rewards.sum(axis=1).mean(), rtol=1e-5)


def test_a_second_equilibrium_of_the_uniform_price_also_earns_nothing():
    env, params, _, values, _ = at_equilibrium({})
    info = play(env, params, values, jnp.broadcast_to(jnp.asarray([1.0, 0.0]), values.shape))[1]
    assert not np.asarray(info["revenue"]).any()


PAIRS = np.asarray([pair for pair in itertools.product(np.linspace(0, 1.2, 13), repeat=2) if pair[0] >= pair[1]])


@pytest.mark.parametrize("case", [*list(EQUILIBRIA)[:2], "discriminatory, flat"])
def test_no_pair_of_bids_gains_on_average(case):
    """91 pairs of bids for 5 pairs of values against 1024 even draws of the other bidder."""
    env, params, known, values, _ = at_equilibrium(EQUILIBRIA[case][0], 10)
    pairs = jnp.broadcast_to(jnp.asarray(PAIRS, jnp.float32), (len(values), *PAIRS.shape))
    for own in ((0.9, 0.8), (0.9, 0.2), (0.5, 0.4), (0.3, 0.1), (0.6, 0.6)):
        own = own if env.marginal_values == "sorted" else (own[0], own[0])
        mine = values.at[:, 0].set(jnp.asarray(own))
        gains = np.asarray(gains_of_deviations(env, params, 0, mine, known["bid"](mine), pairs)).mean(axis=0)
        assert gains.max() < 2e-3
        assert gains.min() < -0.01  # bids matter


@pytest.mark.parametrize("reserve", [0.0, 0.4])
def test_truth_is_dominant_with_vickrey_payments(reserve):
    """No bids, whatever the others do: random bids of three bidders for four units, also above values."""
    env, params = make("multi_unit_auction", payment="vickrey", num_agents=3, num_units=4, demand=3)
    params = params.replace(reserve=jnp.asarray(reserve))
    draws = even(9, 8).reshape(-1, 3, 3)
    values, own = -jnp.sort(-draws, axis=2), 1.3 * even(3, 8)
    truthful = (1.3 * draws[::-1]).at[:, 1].set(values[:, 1])
    gains = gains_of_deviations(env, params, 1, values, truthful, jnp.broadcast_to(own, (len(own), *own.shape)))
    assert gains.max() < 1e-6
    assert gains.min() < -0.1
    assert env.benchmarks(params)["bid"](values) is values


def best_welfare(bids, num_units):
    return np.sort(bids.ravel())[::-1][:num_units].sum()


def test_vickrey_payments_are_what_the_others_lose():
    """Against the definition: the others' best without a bidder, less what they get with it."""
    rng = np.random.default_rng(0)
    env, params = make("multi_unit_auction", payment="vickrey", num_agents=3, num_units=4, demand=3)
    bids = -np.sort(-rng.random((200, 3, 3)).astype(np.float32), axis=2)
    info = play(env, params, jnp.asarray(bids), jnp.asarray(bids))[1]
    for b, paid, units_won in zip(bids, np.asarray(info["payments"]), np.asarray(info["allocation"]), strict=True):
        for i in range(3):
            own = b[i][: round(units_won[i])].sum()
            harm = best_welfare(np.delete(b, i, axis=0), 4) - (best_welfare(b, 4) - own)
            assert paid[i] == pytest.approx(harm, abs=1e-5)


@pytest.mark.parametrize(
    ("payment", "wanted"), [("discriminatory", [16, 7, 0]), ("uniform", [10, 5, 0]), ("vickrey", [9, 4, 0])]
)
def test_payments_by_hand(payment, wanted):
    """Bids 9 7 2, 7 5 1 and 4 3 0 for three units: the first bidder wins two, whatever the order of its bids."""
    env, params = make("multi_unit_auction", payment=payment, num_agents=3, num_units=3, max_bid=10.0)
    bids = jnp.asarray([[7.0, 2.0, 9.0], [7.0, 5.0, 1.0], [4.0, 3.0, 0.0]])
    values = jnp.asarray([[20.0, 10.0, 1.0], [12.0, 6.0, 1.0], [9.0, 9.0, 9.0]])
    _, rewards, _, info = env.transition(PrivateValues(values), bids, (), params)
    np.testing.assert_allclose(info["payments"], wanted)
    np.testing.assert_allclose(rewards, np.asarray([30, 12, 0]) - wanted)
    np.testing.assert_allclose(info["allocation"], [2, 1, 0])
    assert (float(info["price"]), float(info["welfare"]), float(info["efficient_welfare"])) == (5, 42, 42)


@pytest.mark.parametrize(("payment", "single"), [("discriminatory", "first_price"), ("vickrey", "second_price")])
def test_one_unit_is_the_single_item_auction(payment, single):
    """Same rewards and revenue, with a reserve, inactive bidders, risk aversion and ties."""
    env, params = make("multi_unit_auction", payment=payment, num_agents=4, num_units=1)
    numbers = {"reserve": jnp.asarray(0.3), "active": jnp.asarray([True, True, False, True]), "risk": jnp.full(4, 0.5)}
    item = SealedBidAuction(single, 4)
    values = even(4, 8)
    bids = jnp.round(even(4, 8)[::-1] * 10) / 10
    rewards, info = play(env, params.replace(**numbers), values[..., None], bids[..., None])

    def one(v, b):
        return item.transition(SealedBidState(v, v), b, (), item.default_params.replace(**numbers))[1::2]

    wanted, measured = jax.vmap(one)(values, bids)
    untied = np.isin(np.asarray(info["allocation"]).max(axis=1), (0, 1))  # a lottery is not a share under risk aversion
    np.testing.assert_allclose(np.asarray(rewards)[untied], np.asarray(wanted)[untied], atol=1e-6)
    for name in ("revenue", "welfare", "allocation", "payments", "efficient_welfare"):
        np.testing.assert_allclose(info[name], measured[name], atol=1e-6)


@pytest.mark.parametrize("payment", ["discriminatory", "vickrey"])
def test_rationed_payments_are_the_mean_of_drawn_ones(payment):
    """Four bids of 3 share two units behind a bid of 5; 16384 draws, 4 standard errors."""
    static = {"payment": payment, "num_agents": 3, "num_units": 3, "demand": 2, "max_bid": 9.0}
    split, drawn = (make("multi_unit_auction", **static, tie_rule=rule) for rule in ("split", "random"))
    bids = jnp.asarray([[3.0, 3.0], [5.0, 3.0], [3.0, 1.0]])
    state = PrivateValues(bids)
    wanted = split[0].transition(state, bids, (), split[1])[3]
    np.testing.assert_allclose(wanted["allocation"], [1, 1.5, 0.5], rtol=1e-6)
    lots = jax.random.uniform(jax.random.key(0), (2**14, 3, 2))
    got = jax.jit(jax.vmap(lambda lot: drawn[0].transition(state, bids, lot, drawn[1])[3]))(lots)
    for name in ("allocation", "payments"):
        samples = np.asarray(got[name])
        error = 4 * samples.std(axis=0) / 2**7 + 1e-5
        assert (np.abs(samples.mean(axis=0) - wanted[name]) < error).all(), name
    np.testing.assert_array_equal(np.asarray(got["allocation"]).sum(axis=1), 3)


def test_shares_fill_first_units_first():
    np.testing.assert_allclose(units(jnp.asarray([[0.5, 0.5, 0.0], [0.0, 1.0, 0.75]])), [[1, 0, 0], [1, 0.75, 0]])


@pytest.mark.parametrize(
    ("static", "reserve"),
    [
        ({"payment": "uniform", "num_agents": 4, "demand": 1}, 0.5),
        ({"payment": "discriminatory", "marginal_values": "constant", "num_agents": 3}, 0.5),
    ],
)
def test_revenue_with_a_reserve(static, reserve):
    env, params, known, values, bids = at_equilibrium(static, reserve=jnp.asarray(reserve))
    rewards, info = play(env, params, values, bids)
    np.testing.assert_allclose(means(info)["revenue"], known["revenue"], atol=2e-3)
    np.testing.assert_allclose(np.asarray(rewards).mean(axis=0), known["utility"], atol=1e-3)


def test_values_are_sorted_or_flat():
    env, params = make("multi_unit_auction", num_agents=3, num_units=5, prior="power")
    chance = jax.random.uniform(jax.random.key(0), (64, 3, 5))
    values = np.asarray(jax.vmap(lambda x: env.initial(x, params).values)(chance))
    np.testing.assert_allclose(values, -np.sort(-np.sqrt(chance), axis=2), rtol=1e-6)
    flat, params = make("multi_unit_auction", num_agents=3, num_units=4, demand=2, marginal_values="constant")
    assert flat.initial(chance[0, :, :1], params).values.shape == (3, 2)


def test_benchmarks_are_absent_where_theory_is_silent():
    for static in ({"num_agents": 3}, {"payment": "discriminatory"}, {"prior": "power"}, {"num_units": 3}):
        env, params = make("multi_unit_auction", **static)
        assert env.benchmarks(params) == {}
    env, params = make("multi_unit_auction")
    assert env.benchmarks(params.replace(reserve=jnp.asarray(0.1))) == {}
    assert env.benchmarks(params.replace(risk=jnp.full(2, 0.5))) == {}
    double = params.replace(prior=params.prior.replace(high=jnp.full(2, 2.0)))
    np.testing.assert_allclose(env.benchmarks(double)["utility"], 4 / 3, rtol=1e-6)


@pytest.mark.slow
def test_drawn_ties_and_few_bidders_keep_the_contract():
    static = {"payment": "vickrey", "num_agents": 3, "num_units": 3, "demand": 2, "tie_rule": "random"}
    env, params = make("multi_unit_auction", **static)
    check_env(env, params, corners=[params.replace(active=jnp.asarray([True, False, False]))])


@pytest.mark.parametrize(
    "static",
    [
        {"payment": "first_price"},
        {"num_units": 0},
        {"demand": 3},
        {"marginal_values": "increasing"},
        {"tie_rule": "lose"},
        {"max_bid": -1.0},
        {"prior": "wallet"},
    ],
)
def test_bad_fields_are_refused(static):
    with pytest.raises(ValueError, match=f"^{next(iter(static))} must be"):
        make("multi_unit_auction", **static)


def test_bad_numbers_are_refused():
    env, params = make("multi_unit_auction")
    for name, number in {"reserve": -1.0, "risk": jnp.zeros(2), "active": jnp.ones(3, bool), "prior": None}.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            env.validate(params.replace(**{name: number}))

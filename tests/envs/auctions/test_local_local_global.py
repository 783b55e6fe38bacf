import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_shot_play import even, gains_of_deviations, means, play

from jaxmarl.core import make
from jaxmarl.envs.auctions import PrivateValues
from jaxmarl.envs.auctions.local_local_global import (
    CORE_RULES,
    LOCAL_PAYMENTS,
    equilibrium_outcome,
    local_bid,
    vcg_payments,
)
from jaxmarl.testing import check_registered

RULES = ("nearest_vcg", "nearest_zero", "nearest_bid")
BIDS = {  # bids at values .3, .6 and 1
    ("nearest_vcg", 0.0): (0.128427, 0.428427, 0.828427),
    ("nearest_zero", 0.0): (0.0, 0.489174, 1.0),
    ("nearest_bid", 0.0): (0.162519, 0.356675, 0.693147),
    ("nearest_vcg", 0.5): (0.172864, 0.412864, 0.732864),
    ("nearest_zero", 0.5): (0.138434, 0.553713, 1.0),
    ("nearest_bid", 0.5): (0.155923, 0.325038, 0.575364),
    ("nearest_vcg", 1.0): (0.2, 0.4, 2 / 3),
    ("nearest_zero", 1.0): (0.3, 0.6, 1.0),
    ("nearest_bid", 1.0): (0.15, 0.3, 0.5),
}
OUTCOMES = {  # utility of a local and of the global bidder, revenue, welfare, chance that the locals win
    ("nearest_vcg", 0.0): (0.133166, 0.467341, 0.53266, 1.26630, 0.3431),
    ("nearest_zero", 0.0): (0.133993, 0.464034, 0.53597, 1.26797, 0.3678),
    ("nearest_bid", 0.0): (0.125002, 0.499997, 0.50000, 1.25000, 0.3069),
    ("vcg", 0.0): (0.20833, 0.29167, 0.58333, 31 / 24, 0.5000),
    ("nearest_vcg", 0.5): (0.141256, 0.479807, 0.52019, 1.28252, 0.3357),
    ("nearest_zero", 0.5): (0.151980, 0.414781, 0.58522, 1.30395, 0.4261),
    ("nearest_bid", 0.5): (0.125001, 0.547814, 0.45219, 1.24998, 0.2739),
}


def auction(payment, correlation=0.0, **static):
    env, params = make("local_local_global_auction", payment=payment, **static)
    law = params.local_value.replace(correlation=jnp.full((), correlation, float))
    return env, params.replace(local_value=law)


def at_even_values(env, params, log2_size=14, first=None):
    """Values at Sobol points: two of the locals, a shared one, a coin, the global bidder's; `first` of local 1."""
    points = even(5, log2_size)
    if first is not None:
        points = points.at[:, 0].set(first).at[:, 2].set(first)
    chance = (points[:, :2], points[:, 2], points[:, 3]), points[:, 4]
    return jax.vmap(lambda x: env.initial(x, params).values)(chance)


@pytest.mark.parametrize(("rule", "correlation"), BIDS)
def test_local_bids(rule, correlation):
    got = local_bid(jnp.asarray([0.3, 0.6, 1.0]), rule, correlation)
    np.testing.assert_allclose(got, BIDS[rule, correlation], atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_local_bids_are_continuous_where_values_become_equal(rule):
    values = jnp.linspace(0, 1, 11)
    limit = np.asarray(local_bid(values, rule, 1.0))
    for apart in (1e-2, 1e-4, 1e-6):
        np.testing.assert_allclose(local_bid(values, rule, 1 - apart), limit, atol=apart)
    slope = jax.grad(lambda x: jnp.sum(local_bid(values, rule, x)))
    assert np.isfinite([slope(0.0), slope(0.5), slope(1.0)]).all()


@pytest.mark.parametrize(("rule", "correlation"), OUTCOMES)
def test_outcomes_by_quadrature(rule, correlation):
    """Published utilities to 2e-5 (simulated, in five digits), Sobol means of the others to 1e-4; and the identity."""
    local, one, revenue, welfare, chance = OUTCOMES[rule, correlation]
    got = equilibrium_outcome(rule, correlation)
    np.testing.assert_allclose(got["utility"], [local, local, one], atol=2e-5)
    np.testing.assert_allclose(
        [got["revenue"], got["welfare"], got["locals_win"]], [revenue, welfare, chance], atol=1e-4
    )
    np.testing.assert_allclose(np.sum(got["utility"]) + got["revenue"], got["welfare"], rtol=1e-6)


@pytest.mark.parametrize(("rule", "correlation"), [(rule, 0.5) for rule in (*RULES, "vcg")])
def test_the_environment_plays_these_outcomes(rule, correlation):
    env, params = auction(rule, correlation)
    known, values = env.benchmarks(params), at_even_values(env, params, 18)
    rewards, info = play(env, params, values, known["bid"](values))
    got = means(info)
    for name in ("revenue", "welfare", "locals_win"):
        np.testing.assert_allclose(got[name], known[name], atol=4e-4, err_msg=name)
    np.testing.assert_allclose(np.asarray(rewards, np.float64).mean(axis=0), known["utility"], atol=4e-4)
    np.testing.assert_allclose(rewards.sum(axis=1) + info["revenue"], info["welfare"], atol=1e-5)


@pytest.mark.parametrize("rule", CORE_RULES)
def test_payments_are_in_the_core_and_nearest_to_the_reference(rule):
    """Random bids for which the locals win, against 1001 points of the core segment."""
    local_bids, one = even(2, 9), 2 * even(3, 9)[:, 2]
    wins = np.asarray(local_bids.sum(axis=1) > one)
    local_bids, one = local_bids[wins], one[wins]
    got = np.asarray(jax.vmap(LOCAL_PAYMENTS[rule])(local_bids, one))
    vcg = np.asarray(jax.vmap(vcg_payments)(local_bids, one))
    reference = {"nearest_vcg": vcg, "nearest_zero": 0 * vcg, "nearest_bid": np.asarray(local_bids)}[rule]
    np.testing.assert_allclose(got.sum(axis=1), one, atol=1e-6)
    assert (got >= vcg - 1e-6).all()
    assert (got <= np.minimum(local_bids, one[:, None]) + 1e-6).all()
    least, most = vcg[:, :1], np.minimum(local_bids[:, :1], one[:, None])
    first = least + (most - least) * np.linspace(0, 1, 1001)
    distance = np.stack([first, one[:, None] - first], axis=-1) - reference[:, None]
    nearest = np.linalg.norm(distance, axis=-1).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(got - reference, axis=1), nearest, atol=1e-3)


def test_rules_by_hand():
    """Bids .9 and .5 against 1: VCG payments .5 and .1, and a core from (.5, .5) to (.9, .1)."""
    state = PrivateValues(jnp.asarray([1.0, 0.6, 1.5]))
    bids = jnp.asarray([0.9, 0.5, 1.0])
    wanted = {"nearest_vcg": (0.7, 0.3), "nearest_zero": (0.5, 0.5), "nearest_bid": (0.7, 0.3), "vcg": (0.5, 0.1)}
    for rule in LOCAL_PAYMENTS:
        env, params = auction(rule)
        _, reward, _, info = env.transition(state, bids, (), params)
        paid = np.asarray([*wanted.get(rule, (0.9, 0.5)), 0])
        np.testing.assert_allclose(info["payments"], paid, atol=1e-6)
        np.testing.assert_allclose(reward, np.asarray([1, 0.6, 0]) - paid, atol=1e-6)
        assert float(info["efficient_welfare"]) == pytest.approx(1.6)
        _, reward, _, info = env.transition(state, bids.at[2].set(1.5), (), params)
        price = 1.5 if rule == "first_price" else 1.4
        np.testing.assert_allclose(info["payments"], [0, 0, price], atol=1e-6)
        np.testing.assert_allclose(reward, [0, 0, 1.5 - price], atol=1e-6)


@pytest.mark.parametrize(("rule", "correlation"), [("nearest_vcg", 0.0), ("nearest_zero", 0.5), ("nearest_bid", 0.5)])
def test_no_deviation_gains(rule, correlation):
    """A local's 41 other bids, for 5 values, on average; the global bidder's in every single auction."""
    env, params = auction(rule, correlation)
    known, values = env.benchmarks(params), at_even_values(env, params, 12)
    grid = jnp.broadcast_to(jnp.linspace(0, 1.2, 41), (len(values), 41))
    for own in (0.1, 0.3, 0.5, 0.7, 0.95):
        mine = at_even_values(env, params, 12, own)
        gains = np.asarray(gains_of_deviations(env, params, 0, mine, known["bid"](mine), grid)).mean(axis=0)
        assert gains.max() < 1e-3
        assert gains.min() < -0.005
    gains = gains_of_deviations(env, params, 2, values, known["bid"](values), 2 * grid)
    assert gains.max() < 1e-6


def test_other_units_scale_the_equilibrium():
    env, params = auction("nearest_vcg", 0.5)
    ten = params.replace(
        local_value=params.local_value.replace(high=jnp.full((), 10.0)),
        global_value=params.global_value.replace(high=jnp.full((), 20.0)),
    )
    one, more = env.benchmarks(params), env.benchmarks(ten)
    values = jnp.asarray([[0.3, 0.6, 1.7], [0.9, 0.1, 0.2]])
    np.testing.assert_allclose(more["bid"](10 * values), 10 * one["bid"](values), rtol=1e-5)
    np.testing.assert_allclose(more["utility"], 10 * one["utility"], rtol=1e-5)
    np.testing.assert_allclose(more["locals_win"], one["locals_win"])
    np.testing.assert_allclose(one["bid"](values)[:, 2], values[:, 2])


def test_benchmarks_are_absent_where_theory_is_silent():
    env, params = auction("first_price")
    assert env.benchmarks(params) == {}
    env, params = auction("nearest_bid")
    assert env.benchmarks(params.replace(risk=jnp.full(3, 0.5))) == {}
    assert env.benchmarks(params.replace(global_value=params.global_value.replace(high=jnp.ones(())))) == {}
    env, params = auction("vcg")
    assert list(env.benchmarks(params.replace(risk=jnp.full(3, 0.5)))) == ["bid"]


def test_ties_are_split_or_drawn():
    state, bids = PrivateValues(jnp.ones(3)), jnp.asarray([0.5, 0.25, 0.75])
    env, params = auction("vcg")
    np.testing.assert_allclose(env.transition(state, bids, (), params)[3]["allocation"], 0.5)
    env, params = auction("vcg", tie_rule="random")
    for lots, locals_win in (([0.1, 0.9, 0.3], 1), ([0.9, 0.1, 0.3], 0)):
        allocation = env.transition(state, bids, jnp.asarray(lots), params)[3]["allocation"]
        np.testing.assert_array_equal(allocation, [locals_win, locals_win, 1 - locals_win])


@pytest.mark.slow
def test_discrete_bids_keep_the_contract():
    check_registered("local_local_global_auction", payment="first_price", num_bid_levels=5, tie_rule="random")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("risk", lambda p: p.replace(risk=jnp.ones(2))),
        ("correlation", lambda p: p.replace(local_value=p.local_value.replace(correlation=jnp.asarray(2.0)))),
        ("high", lambda p: p.replace(global_value=p.global_value.replace(high=jnp.zeros(())))),
        ("local_value", lambda p: p.replace(local_value=p.global_value)),
    ],
)
def test_bad_numbers_are_refused(name, change):
    env, params = auction("vcg")
    with pytest.raises(ValueError, match=f"^{name} must be"):
        env.validate(change(params))


def test_bad_fields_are_refused():
    for static in ({"payment": "nearest"}, {"tie_rule": "lose"}, {"num_bid_levels": 1}):
        with pytest.raises(ValueError, match=f"^{next(iter(static))} must be"):
            make("local_local_global_auction", **static)

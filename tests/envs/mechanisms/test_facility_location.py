"""Facility location: the sheet of known locations, ratios, and who gains by lying to which rule."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.mechanisms import (
    FACILITY_RULES,
    STRATEGYPROOF_FACILITY_RULES,
    FacilityLocation,
    FacilityState,
    expected_utilities,
    geometric_mean,
    gini,
    is_truthful,
    location_utilities,
    most_equal_location,
    nash_location,
    optimal_facilities,
    optimal_locations,
    order_statistic,
)

STREET = np.array([0, 0.1, 0.2, 0.9, 1])


@pytest.mark.parametrize(
    ("rule", "location", "welfare", "least", "product", "inequality"),
    [
        ("nash", 0.409377, 2.990623, 0.409377, 0.582823, 0.126226),
        ("median", 0.2, 3.2, 0.2, 0.533454, 0.275),
        ("midpoint", 0.5, 2.9, 0.5, 0.575265, 0.068966),
        ("mid_or_nearest", 0.5, 2.9, 0.5, 0.575265, 0.068966),
        ("mean", 0.44, 2.96, 0.44, 0.58194, 0.102703),
    ],
)
def test_five_people_on_a_street(rule, location, welfare, least, product, inequality):
    env, params = make("facility_location", rule=rule)
    state = FacilityState(jnp.int32(0), jnp.asarray(STREET, jnp.float32))
    _, reward, over, info = jax.jit(env.transition)(state, state.positions[:, None], (), params)
    assert bool(over)
    np.testing.assert_allclose(float(reward.sum()), welfare, atol=2e-6)
    got = [float(info[name]) for name in ("location", "welfare", "least", "geometric_mean", "gini")]
    np.testing.assert_allclose(got, [location, welfare, least, product, inequality], atol=2e-6)


def test_nash_location_of_a_symmetric_street():
    x = jnp.array([0.05, 0.3, 0.35, 0.6])
    y = nash_location(x)
    assert float(y) == pytest.approx(0.325, abs=2e-6)
    assert float(geometric_mean(location_utilities(y, x))) == pytest.approx(0.840759, abs=1e-6)


@pytest.fixture(scope="module")
def streets():
    return np.random.default_rng(0).random((60, 4))


def test_optimal_locations_against_a_grid(streets):
    """No point of a fine grid is better than the exact optimum of each objective."""
    grid = np.linspace(0, 1, 1001)
    exact = jax.device_get(jax.jit(jax.vmap(optimal_locations))(jnp.asarray(streets, jnp.float32)))
    for i, x in enumerate(streets):
        points = np.concatenate([grid, [float(exact[name][i]) for name in ("welfare", "egalitarian", "nash", "gini")]])
        utilities = 1 - np.abs(points[:, None] - x)
        pairs = np.abs(utilities[:, :, None] - utilities[:, None]).mean(axis=(1, 2))
        scores = (
            utilities.sum(axis=1),
            utilities.min(axis=1),
            np.log(utilities).sum(axis=1),
            -pairs / (2 * utilities.mean(axis=1)),
        )
        for j, score in enumerate(scores):
            assert score[1001 + j] >= score[:1001].max() - 1e-6


def test_order_statistics_sort(streets):
    rows = np.concatenate([streets, [[0.5, 0.2, 0.5, 0.2]]]).astype(np.float32)  # the last has ties
    found = jax.jit(jax.vmap(lambda x: jnp.stack([order_statistic(x, k) for k in range(4)])))(jnp.asarray(rows))
    np.testing.assert_array_equal(found, np.sort(rows, axis=1))


@pytest.mark.parametrize("objective", ["welfare", "egalitarian", "nash"])
def test_several_facilities_against_all_groupings(objective, streets):
    """The table against every assignment of five agents to two facilities, contiguous or not, placed on a fine grid."""
    grid = np.linspace(0, 1, 51)
    x = np.round(np.concatenate([streets[0], streets[1][:1]]) * 50) / 50
    pairs = np.array(list(itertools.combinations_with_replacement(grid, 2)))
    utilities = 1 - np.abs(pairs[:, :, None] - x).min(axis=1)
    value = {"welfare": utilities.sum(1), "egalitarian": utilities.min(1), "nash": np.log(utilities).sum(1)}[objective]
    found = optimal_facilities(x, 2, objective)
    reached = 1 - np.abs(found.locations[:, None] - x).min(axis=0)
    own = {"welfare": reached.sum(), "egalitarian": reached.min(), "nash": np.log(reached).sum()}[objective]
    assert found.value == pytest.approx(own, abs=1e-12)
    assert value.max() - 1e-9 <= found.value <= value.max() + 0.05
    everywhere = optimal_facilities(x, 5, objective)
    np.testing.assert_allclose(everywhere.value, {"welfare": 5, "egalitarian": 1, "nash": 0}[objective], atol=1e-12)
    one = optimal_facilities(STREET, 1, "nash")
    np.testing.assert_allclose([one.locations[0], np.exp(one.value / 5)], [0.409377, 0.582823], atol=5e-7)


def _gains(rule, num_agents, count):
    env, params = make("facility_location", num_agents=num_agents, rule=rule)
    types = jax.random.uniform(jax.random.key(7), (count, num_agents, 1))
    return np.asarray(jax.jit(env.misreport_gain)(types, params))


@pytest.mark.parametrize("rule", sorted(FACILITY_RULES))
def test_nobody_gains_by_lying_to_a_strategyproof_rule_and_somebody_does_to_the_others(rule):
    """201 lies of each of three agents at random positions."""
    env, params = make("facility_location", rule=rule)
    gains = _gains(rule, 3, 300 if rule in STRATEGYPROOF_FACILITY_RULES else 10)
    assert is_truthful(gains) == (rule in STRATEGYPROOF_FACILITY_RULES) == env.benchmarks(params)["strategyproof"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", sorted(STRATEGYPROOF_FACILITY_RULES))
def test_nobody_gains_by_lying_on_ten_thousand_profiles(rule):
    env, params = make("facility_location", rule=rule)
    gains = jax.jit(env.misreport_gain)
    profiles = jax.random.uniform(jax.random.key(8), (20, 500, 5, 1))  # in pieces, to need little memory
    assert all(is_truthful(np.asarray(gains(types, params))) for types in profiles)


def test_ratios_of_nash_products():
    """The median's is unbounded; mid-or-nearest leaves everybody ½, hence a ratio of geometric means of at most 2."""
    median, nearest = FACILITY_RULES["median"], FACILITY_RULES["mid_or_nearest"]
    apart = jnp.array([0.0, 0, 0, 0, 1])

    @jax.jit
    def means(x):
        utilities = [expected_utilities(rule(x), x) for rule in (median, nearest)]
        best = location_utilities(nash_location(x), x)
        return [geometric_mean(u) for u in (*utilities, best)]

    assert float(means(apart)[0]) == 0
    assert float(means(apart)[1]) == pytest.approx(0.5)
    for n in (3, 5):
        _, reached, best = means(jnp.asarray([0.0] * (n - 1) + [0.5]))
        assert float(best / reached) ** n == pytest.approx(2 ** (n - 2), rel=1e-4)
        assert float(best / reached) <= 2
    x = np.random.default_rng(1).random((200, 5))
    assert (1 - np.abs(np.clip(0.5, x.min(1), x.max(1))[:, None] - x)).min() >= 0.5


def test_ratios_of_the_largest_distance(streets):
    """Against the midpoint: at most 2 for the median, 3/2 for the lottery, both reached by two people far apart."""

    def ratio(rule, x):
        lottery = FACILITY_RULES[rule](x)
        far = lottery.weights @ jnp.max(jnp.abs(lottery.locations[:, None] - x), axis=1)
        return far / ((jnp.max(x) - jnp.min(x)) / 2)

    many = jnp.asarray(streets, jnp.float32)
    for rule, bound in (("median", 2.0), ("left_right_middle", 1.5)):
        assert float(jax.jit(jax.vmap(lambda x, rule=rule: ratio(rule, x)))(many).max()) <= bound + 1e-5
        assert float(ratio(rule, jnp.array([0.0, 1.0]))) == pytest.approx(bound)


def test_no_strategyproof_rule_bounds_the_ratio_of_gini_coefficients():
    """Two people are always equal at their midpoint; every strategyproof rule makes some two of them unequal."""
    profiles = [jnp.array(x) for x in ([0.0, 1.0], [0.1, 0.3])]
    for x in profiles:
        assert float(gini(location_utilities(most_equal_location(x), x))) == pytest.approx(0, abs=1e-6)
    for name, rule in STRATEGYPROOF_FACILITY_RULES.items():
        if name != "left_right_middle":  # equal on average, unequal once it is drawn
            assert max(float(gini(expected_utilities(rule(x), x))) for x in profiles) > 0.01
    drawn = STRATEGYPROOF_FACILITY_RULES["left_right_middle"](profiles[0]).locations
    assert float(gini(location_utilities(drawn, profiles[0])).max()) == pytest.approx(0.5)


def test_what_is_wrong_is_named():
    env, params = make("facility_location")
    with pytest.raises(ValueError, match="rule must be one of"):
        FacilityLocation(rule="mode")
    with pytest.raises(ValueError, match="high must be"):
        env.validate(params.replace(high=jnp.asarray(1.5)))
    with pytest.raises(ValueError, match="num_facilities must be"):
        optimal_facilities(STREET, 6, "welfare")

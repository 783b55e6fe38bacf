"""Pacing in repeated second-price auctions: closed forms, fixed points, simulated paths, what coalitions promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import qmc

from jaxmarl.envs.auctions.budget_closed_forms import PACING_RULES, symmetric_uniform_pacing
from jaxmarl.solvers.auctions.pacing import pacing_dynamics, second_price
from jaxmarl.solvers.auctions.pacing_fixed_points import pacing_fixed_point

CLOSED_FORMS = [  # budget, then pace and utility of independent and of coordinated pacing
    (0.02, 0.346410, 0.0666025, 0.400000, 0.0800000),
    (0.06, 0.600000, 0.0900000, 0.692820, 0.113205),
    (0.10, 0.774597, 0.0936492, 0.894427, 0.123607),
]
FIXED_POINTS = {  # budgets, then per rule: paces; utilities
    (0.10, 0.02): ((0.725, 0.442, 0.1272, 0.0477), (0.800, 0.505, 0.1495, 0.0594), (0.798, 0.514, 0.1503, 0.0582)),
    (0.20, 0.05): ((1, 0.672, 0.1163, 0.0619), (1, 0.739, 0.1494, 0.0857), (1, 0.775, 0.1536, 0.0794)),
    (1, 0.01): ((1, 0.393, 0.1455, 0.0282), (1, 0.431, 0.1629, 0.0364), (1, 0.451, 0.1637, 0.0342)),
}
PATHS = {  # the same, of one path of 1e5 rounds
    (0.06, 0.06): ((0.611, 0.610, 0.0861, 0.0873), (0.699, 0.700, 0.1099, 0.1111), (0.698, 0.700, 0.1100, 0.1110)),
    (0.10, 0.02): ((0.744, 0.524, 0.1291, 0.0419), (0.794, 0.563, 0.1475, 0.0544), (0.793, 0.568, 0.1480, 0.0537)),
    (0.20, 0.05): ((0.993, 0.677, 0.1169, 0.0612), (0.999, 0.744, 0.1483, 0.0853), (0.998, 0.781, 0.1524, 0.0793)),
}
SHADOWS = {(0.06, 0.06): (0.603, 0.602), (0.10, 0.02): (0.738, 0.484), (0.20, 0.05): (0.993, 0.671)}


def uniform_auctions(seed, rounds, members=2):
    draws = jax.random.uniform(jax.random.key(seed), (rounds, members + 1))
    return draws[:, :members], draws[:, members]


@pytest.fixture(scope="module")
def sample():
    """Sobol's points: spend is good to about 1e-3 of itself, where as many random ones would give 1e-2."""
    points = jnp.asarray(qmc.Sobol(3, scramble=False).random_base2(17), jnp.float32)
    return points[:, :2], points[:, 2]


@pytest.mark.parametrize(("budget", "alone", "alone_utility", "together", "together_utility"), CLOSED_FORMS)
def test_symmetric_closed_forms(budget, alone, alone_utility, together, together_utility):
    assert symmetric_uniform_pacing(budget, 2) == pytest.approx((alone, alone_utility), abs=1e-6)
    for rule in ("coordinated", "hybrid"):
        assert symmetric_uniform_pacing(budget, 2, rule) == pytest.approx((together, together_utility), abs=1e-6)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("rule", PACING_RULES)
def test_closed_forms_of_other_coalitions_against_sampled_fixed_points(members, rule):
    values, outside = uniform_auctions(7, 50_000, members)
    pace, utility = symmetric_uniform_pacing(0.03, members, rule)
    point = pacing_fixed_point(values, outside, jnp.full(members, 0.03), rule=rule, num_iterations=150)
    np.testing.assert_allclose(point.pace, pace, atol=0.01)
    np.testing.assert_allclose(point.utilities, utility, atol=0.003)


@pytest.mark.parametrize("rates", FIXED_POINTS)
@pytest.mark.parametrize("rule", PACING_RULES)
def test_asymmetric_fixed_points(sample, rates, rule):
    point = pacing_fixed_point(*sample, jnp.array(rates), rule=rule)
    expected = FIXED_POINTS[rates][PACING_RULES.index(rule)]
    np.testing.assert_allclose(jnp.concatenate([point.pace, point.utilities]), expected, atol=0.003)
    assert point.residual < 1e-3


@pytest.mark.parametrize("rates", [(0.20, 0.05), (1, 0.01)])
def test_fixed_points_with_one_unpaced_member_in_closed_form(sample, rates):
    """Member 2 spends `c³ / 6` alone and `c³ / 8` coordinated; `a c² / 8` where she is elected by the pace `a`."""
    alone, together = (6 * rates[1]) ** (1 / 3), (8 * rates[1]) ** (1 / 3)
    expected = {"independent": alone, "coordinated": together, "hybrid": (8 * rates[1] / alone) ** 0.5}
    for rule, pace in expected.items():
        point = pacing_fixed_point(*sample, jnp.array(rates), rule=rule)
        np.testing.assert_allclose(point.pace, [1, pace], atol=1e-3)


@pytest.fixture(scope="module")
def paths():
    values, outside = uniform_auctions(3, 100_000)
    budgets = jnp.array(list(PATHS)) * len(outside)
    return {
        rule: jax.vmap(lambda b, r=rule: pacing_dynamics(values, outside, b, rule=r, max_multiplier=20.0))(budgets)
        for rule in PACING_RULES
    }


@pytest.mark.parametrize("rates", PATHS)
@pytest.mark.parametrize("rule", PACING_RULES)
def test_simulated_paths(paths, rates, rule):
    run = jax.tree.map(lambda leaf: leaf[list(PATHS).index(rates)], paths[rule])
    expected = np.array(PATHS[rates][PACING_RULES.index(rule)])
    paced = np.array(rates) >= 0.05
    np.testing.assert_allclose(run.pace[paced], expected[:2][paced], atol=0.03)
    np.testing.assert_allclose(run.utilities, expected[2:], rtol=0.05)
    if rates in FIXED_POINTS:
        limit = FIXED_POINTS[rates][PACING_RULES.index(rule)]
        np.testing.assert_allclose(run.utilities, limit[2:], rtol=0.15)
    if rule == "hybrid":
        np.testing.assert_allclose(run.shadow_pace[paced], np.array(SHADOWS[rates])[paced], atol=0.03)
    assert np.all(np.asarray(run.spend) <= np.array(rates) * (1 + 1e-6))


def test_coalitions_gain_along_the_paths(paths):
    for rule in ("coordinated", "hybrid"):
        assert np.all(paths[rule].utilities > paths["independent"].utilities)


def random_markets(count, symmetric, samples=4000, members=3):
    """Values are powers of uniforms times a scale, of each member's own or of all."""
    keys = jax.random.split(jax.random.key(11 + symmetric), 5)
    shape = (count, 1, 1 if symmetric else members)
    power = jax.random.uniform(keys[0], shape, minval=0.5, maxval=2.5)
    scale = jax.random.uniform(keys[1], shape, minval=0.4, maxval=1.0)
    values = scale * jax.random.uniform(keys[2], (count, samples, members)) ** power
    outside = jax.random.uniform(keys[3], (count, samples))
    rates = jax.random.uniform(keys[4], shape[:1] + shape[2:], minval=0.01, maxval=0.1)
    return values, outside, jnp.broadcast_to(rates, (count, members))


@pytest.mark.parametrize("symmetric", [False, True])
def test_no_member_loses_by_joining_a_coalition(symmetric):
    markets = random_markets(100, symmetric, samples=2000)
    points = {
        r: jax.vmap(lambda *m, r=r: pacing_fixed_point(*m, rule=r, num_iterations=150))(*markets) for r in PACING_RULES
    }
    alone = points["independent"].utilities
    assert np.all(points["hybrid"].utilities >= alone - 1e-6)
    assert np.all(points["coordinated"].utilities.sum(axis=1) >= alone.sum(axis=1))
    assert np.all(points["coordinated"].utilities >= alone)
    assert np.median(points["independent"].residual) < 0.01


@pytest.mark.parametrize("rule", PACING_RULES)
def test_invariants_round_by_round(rule):
    values, outside, rates = random_markets(20, False, samples=1000)
    # Little room and large steps: budgets do run out.
    run = jax.vmap(
        lambda v, d, r: pacing_dynamics(v, d, 1000 * r, rule=rule, step_size=0.05, max_multiplier=2.0, record=True)
    )(values, outside, rates)
    rounds = jax.tree.map(lambda leaf: np.asarray(leaf, leaf.dtype if leaf.dtype == bool else np.float64), run.rounds)
    paid = rounds.payments.sum(axis=1)
    budgets = 1000 * np.asarray(rates, np.float64)
    assert np.all(paid <= budgets * (1 + 1e-6))
    assert (paid > 0.999 * budgets).any()
    np.testing.assert_allclose(run.spend * 1000, paid, rtol=1e-5)
    assert np.all(rounds.multipliers <= rounds.shadow)
    assert np.all(rounds.won.sum(axis=2) <= 1)
    assert np.all((rounds.payments > 0) <= rounds.won)
    assert np.all(rounds.payments <= np.asarray(values) + 1e-6)
    assert np.all(
        rounds.payments[rounds.won] >= np.broadcast_to(outside[..., None], rounds.won.shape)[rounds.won] - 1e-6
    )


def test_one_member_is_the_same_under_every_rule():
    values, outside = uniform_auctions(5, 2000, 1)
    runs = [pacing_dynamics(values, outside, jnp.array([100.0]), rule=rule) for rule in PACING_RULES]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.utilities, runs[0].utilities)


def test_second_price():
    bids = jnp.array([[0.5, 0.3], [0.5, 0.3], [0.5, 0.3]])
    won, paid = second_price(bids, jnp.array([0.1, 0.4, 0.6]))
    np.testing.assert_array_equal(won, [[True, False], [True, False], [False, False]])
    np.testing.assert_allclose(paid, [[0.3, 0], [0.4, 0], [0, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": jnp.array([1.0, 0.0])}, "budgets must be"),
        ({"outside": jnp.full(4, jnp.inf)}, "outside must be"),
        ({"values": -jnp.ones((4, 2))}, "values must be"),
    ],
)
def test_refusals(change, message):
    arguments = {"values": jnp.ones((4, 2)), "outside": jnp.ones(4), "budgets": jnp.ones(2), "rule": "hybrid", **change}
    with pytest.raises(ValueError, match=message):
        pacing_dynamics(**arguments)

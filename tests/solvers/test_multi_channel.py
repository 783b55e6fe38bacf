"""Several channels: optima, levers, and a learner of budgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.auctions.channels import budget_response, multi_channel_optimum, roi_response
from jaxmarl.solvers.auctions.sgd_ucb import sgd_ucb

VALUES = jnp.array([[4.0, 3, 2, 1], [3, 3, 2, 0]])
COSTS = jnp.array([[1.0, 1.5, 2, 2], [0.5, 2, 3, 0]])
OPTIMA = [  # target, budget, value, channel spend, duals
    (1, 4, 11.5, (2.5, 1.5), (0, 1.5)),
    (2, 8, 15.5, (4.5, 3.25), (0.5, 0)),
    (2.5, 6, 13.333333, (2.833333, 2.5), (0.666667, 0)),
    (3, 8, 11.0, (2.5, 1.166667), (1, 0)),
]


@pytest.mark.parametrize(("roi", "budget", "value", "spend", "duals"), OPTIMA)
def test_optima_and_the_budgets_that_reach_them(roi, budget, value, spend, duals):
    best = multi_channel_optimum(VALUES, COSTS, roi=float(roi), budget=float(budget))
    assert best.value == pytest.approx(value, abs=1e-5)
    np.testing.assert_allclose(best.channel_spend, spend, atol=1e-5)
    np.testing.assert_allclose((best.roi_dual, best.budget_dual), duals, atol=1e-5)
    reached, spent = jax.vmap(budget_response)(VALUES, COSTS, jnp.asarray(best.channel_spend, jnp.float32))
    assert float(reached.sum()) == pytest.approx(value, abs=1e-5)
    np.testing.assert_allclose(spent, spend, atol=1e-5)
    assert float(reached.sum()) >= roi * float(spent.sum()) - 1e-4


@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_targets_alone_can_be_arbitrarily_bad(epsilon):
    values, costs = jnp.array([[epsilon], [2.0]]), jnp.array([[0.0], [2 * (1 + epsilon)]])
    best = multi_channel_optimum(values, costs, roi=1.0)
    assert best.value == pytest.approx(1 + epsilon, rel=1e-6)
    # Each channel meets whatever target it is given; of all targets, those that keep to the global one reach epsilon.
    responses = jax.vmap(jax.vmap(roi_response, in_axes=(0, 0, None)), in_axes=(None, None, 0))
    value, spend = (np.sum(x, axis=1) for x in responses(values, costs, jnp.linspace(0, 2, 401)))
    feasible = value[value >= spend - 1e-6]
    assert max(feasible) == pytest.approx(epsilon, rel=1e-5)
    bought, _ = jax.vmap(budget_response)(values, costs, jnp.array([0, 1 + epsilon]))
    assert float(bought.sum()) == pytest.approx(1 + epsilon, rel=1e-6)


def test_responses_against_linear_programs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, costs = (jnp.asarray(rng.uniform(0, 1, (1, 6)), jnp.float32) for _ in range(2))
        budget, roi = float(rng.uniform(0, 3)), float(rng.uniform(0.5, 2))
        value, spend = budget_response(values[0], costs[0], budget)
        assert float(value) == pytest.approx(multi_channel_optimum(values, costs, budget=budget).value, abs=1e-5)
        assert float(spend) == pytest.approx(min(budget, float(costs.sum())), abs=1e-5)
        value, spend = roi_response(values[0], costs[0], roi)
        assert float(value) == pytest.approx(multi_channel_optimum(values, costs, roi=roi).value, abs=1e-5)


def test_the_budget_response_is_concave_and_increasing():
    budgets = jnp.linspace(0, 7, 141)
    value, _ = jax.vmap(budget_response, in_axes=(None, None, 0))(VALUES[0], COSTS[0], budgets)
    steps = np.diff(value)
    assert np.all(steps >= -1e-5)
    assert np.all(np.diff(steps) <= 1e-5)
    assert float(value[-1]) == pytest.approx(10)


@pytest.fixture(scope="module")
def learned():
    """Two targets with budgets, at two lengths, values and costs drawn around the known market."""
    runs = {}
    for periods in (1000, 16000):
        noise = jax.random.uniform(jax.random.key(4), (2, periods, *VALUES.shape), minval=0.8, maxval=1.2)
        market = (VALUES * noise[0], COSTS * noise[1])
        for roi, budget, *_ in OPTIMA[:2]:
            runs[roi, periods] = sgd_ucb(
                *market,
                jnp.array([6.5, 5.5]),
                jnp.array([10.0, 8.0]),
                roi=float(roi),
                budget=float(budget),
                bonus_scale=0.2,
            )
    return runs


@pytest.mark.parametrize(("roi", "budget", "value"), [row[:3] for row in OPTIMA[:2]])
def test_sgd_ucb_learns_budgets(learned, roi, budget, value):
    short, long = learned[roi, 1000], learned[roi, 16000]
    for run in (short, long):
        assert float(run.spend.sum()) <= budget * len(run.spend) * (1 + 1e-5)
        assert float(run.pulls.min()) >= 1
    # A shortfall of the return on investment counts against the learner, at no less than its optimal dual.
    regrets = [
        value - float(run.values.mean()) + max(roi * float(run.spend.mean()) - float(run.values.mean()), 0)
        for run in (short, long)
    ]
    assert regrets[1] < 0.6 * regrets[0]
    assert regrets[1] < 0.05 * value


def test_refusals():
    with pytest.raises(ValueError, match="costs must be"):
        multi_channel_optimum(VALUES, COSTS[:1])
    with pytest.raises(ValueError, match="roi must be"):
        multi_channel_optimum(VALUES, COSTS, roi=-1.0)
    with pytest.raises(ValueError, match="budget must be"):
        sgd_ucb(VALUES[None], COSTS[None], jnp.ones(2), jnp.ones(2), roi=1.0, budget=0.0)

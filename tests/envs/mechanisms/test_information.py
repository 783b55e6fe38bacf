"""Information from agents who may shirk and lie: scoring rules, least payments, the environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.mechanisms import is_truthful
from jaxmarl.envs.mechanisms.information import individual_pay
from jaxmarl.envs.mechanisms.information_optimum import optimal_information
from jaxmarl.envs.mechanisms.information_rules import independent_looks, plan_utilities
from jaxmarl.envs.mechanisms.scoring_rules import (
    expected_score,
    log_score,
    quadratic_pay,
    quadratic_score,
    spherical_score,
)

ACCURACIES, COSTS = (0.5, 0.7, 0.9), (0.0, 0.02, 0.08)
ONE = independent_looks(ACCURACIES, COSTS, 1)


@pytest.mark.parametrize(("effort", "payment", "pay"), [(1, 0.07, 0.1), (2, 0.27, 0.3)])
def test_least_payment_for_an_effort(effort, payment, pay):
    """What the program finds, and that paying for correct reports attains it: nothing is gained by any other plan."""
    found = optimal_information(ONE, [effort])
    assert found.payment == pytest.approx(payment, abs=1e-9)
    assert found.gap < 1e-9
    env, params = make("information_acquisition", num_agents=1)
    params = params.replace(
        recommended=jnp.array([effort], jnp.int32), payments=jnp.asarray(individual_pay(np.array([pay])), float)
    )
    gain = jax.jit(env.misreport_gain)
    assert is_truthful(gain(params))
    assert pay * ACCURACIES[effort] == pytest.approx(payment)
    less = params.replace(payments=params.payments * 0.97)
    assert not is_truthful(gain(less), 1e-4)


def test_an_effort_for_nothing_needs_no_payment():
    found = optimal_information(ONE, [0])
    assert found.payment == pytest.approx(0, abs=1e-9)
    assert found.utility == pytest.approx(0.5)


def test_the_best_effort_of_one_agent():
    """Worth .5, .7 - .07 and .9 - .27: the second and third are equal, .63."""
    found = optimal_information(ONE)
    assert found.utility == pytest.approx(0.63, abs=1e-9)
    assert found.recommendation[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("accuracy", [0.7, 0.9])
def test_a_quadratic_rule_at_the_scale_that_just_pays(accuracy):
    cost = dict(zip(ACCURACIES, COSTS, strict=True))[accuracy]
    scale = quadratic_pay(cost, accuracy)
    assert scale == pytest.approx(0.5)

    def net(q):
        report = jnp.array([q, 1 - q])
        return scale * float(expected_score(quadratic_score, report, report))

    assert net(accuracy) - net(0.5) == pytest.approx(cost, abs=1e-6)


@pytest.mark.parametrize("rule", [quadratic_score, log_score, spherical_score])
def test_rules_are_strictly_proper(rule):
    belief = jnp.array([0.2, 0.3, 0.5])
    others = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(3), 200), jnp.float32)
    scores = jax.jit(jax.vmap(lambda report: expected_score(rule, report, belief)))(
        jnp.concatenate([belief[None], others])
    )
    assert np.all(np.asarray(scores[1:]) < float(scores[0]))


@pytest.fixture(scope="module")
def two():
    return independent_looks(ACCURACIES, COSTS, 2)


def test_two_agents_with_independent_signals_can_be_paid_alone(two):
    """Payments by one's own report alone are one way, so the least is at most the sum for each alone."""
    found = optimal_information(two, [1, 1])
    assert found.payment <= 0.14 + 1e-9
    assert found.gap < 1e-9


def test_joint_recommendations_are_at_least_as_good_as_any_profile(two):
    best = optimal_information(two)
    for profile in ((0, 0), (1, 0), (1, 1), (2, 0)):
        assert best.utility >= optimal_information(two, profile).utility - 1e-9
    assert best.recommendation.sum() == pytest.approx(1)
    assert best.gap < 1e-8


def test_optimal_payments_make_the_environment_truthful(two):
    env, params = make("information_acquisition")
    found = optimal_information(two, [1, 1], margin=1e-3)
    paid = params.replace(payments=jnp.asarray(found.payments[1, 1], float))
    gain = jax.jit(env.misreport_gain)
    assert is_truthful(gain(paid), 1e-6)
    assert not is_truthful(gain(params.replace(payments=params.payments * 0)), 1e-3)


def test_play_pays_what_plans_are_worth():
    env, params = make("information_acquisition", num_steps=5000)
    known = env.benchmarks(params)
    obs = env.observe(env.initial((), params), params)
    plans = jnp.stack([known["truthful"].act((), (), own, ())[0] for own in obs])
    np.testing.assert_array_equal(plans, [5, 5])
    lying = plans.at[1].set(2 * env.num_maps + 2)  # great effort, both signals swapped

    @jax.jit
    def play(plans, units):
        def step(state, chance):
            state, reward, _, info = env.transition(state, plans, chance, params)
            return state, (reward, info)

        return jax.lax.scan(step, env.initial((), params), units)[1]

    units = jax.random.uniform(jax.random.key(1), (5000, 2))
    for chosen in (plans, lying):
        rewards = np.asarray(play(chosen, units)[0])
        wanted = np.asarray(plan_utilities(params.problem, params.payments, chosen))
        assert np.all(np.abs(rewards.mean(axis=0) - wanted) < 4 * rewards.std(axis=0) / 5000**0.5)
    info = play(plans, units)[1]
    right = np.asarray(info["decision"] == info["world"])
    assert known["decision_utility"] == pytest.approx(0.7, abs=1e-6)
    assert abs(right.mean() - 0.7) < 4 * (0.21 / 5000) ** 0.5


def test_what_is_wrong_is_named():
    env, params = make("information_acquisition")
    with pytest.raises(ValueError, match="signals must be"):
        env.validate(params.replace(problem=params.problem.replace(signals=params.problem.signals * 2)))
    with pytest.raises(ValueError, match="efforts must be"):
        optimal_information(ONE, [3])
    with pytest.raises(ValueError, match="num_agents must be"):
        make("information_acquisition", num_agents=0)

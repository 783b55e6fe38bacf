"""Hidden-action contracts: closed forms, the linear programs, and the environments that play them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.mechanisms import (
    ContractGame,
    HiddenAction,
    HiddenActionContract,
    agent_utilities,
    best_linear_contract,
    best_response,
    contract_grid,
    contract_utility,
    first_best,
    four_efforts,
    optimal_contract,
    principal_utilities,
    random_hidden_action,
)

PROBLEM = jax.tree.map(lambda x: jnp.asarray(x, float), four_efforts())


def test_welfare_of_each_action():
    welfare = np.asarray(PROBLEM.laws @ PROBLEM.rewards - PROBLEM.costs)
    np.testing.assert_allclose(welfare, [0, 0.34, 0.55, 0.67], atol=1e-6)
    assert float(first_best(PROBLEM)) == pytest.approx(0.67, abs=1e-6)


def test_cheapest_contract_of_each_action():
    found = optimal_contract(four_efforts())
    np.testing.assert_allclose(found.payments, [0, 0.05, 0.225, 0.525], atol=1e-9)
    np.testing.assert_allclose(found.contracts[1:], [[0, 0.125, 0], [0, 0, 0.75], [0, 0, 0.75]], atol=1e-9)
    np.testing.assert_allclose(found.utilities, [0, 0.34, 0.525, 0.645], atol=1e-9)
    assert found.action == 3
    assert found.utility == pytest.approx(0.645, abs=1e-9)
    assert found.gap < 1e-9


def test_the_optimum_leaves_the_agent_indifferent_and_ties_go_to_the_principal():
    contract = jnp.array([0, 0, 0.75])
    np.testing.assert_allclose(agent_utilities(PROBLEM, contract), [0, 0.025, 0.025, 0.025], atol=1e-6)
    assert int(best_response(PROBLEM, contract)) == 3
    assert float(contract_utility(PROBLEM, contract)) == pytest.approx(0.645, abs=1e-6)


def test_a_margin_makes_the_choice_strict_and_costs_little():
    found = optimal_contract(four_efforts(), margin=1e-4)
    utilities = np.asarray(agent_utilities(four_efforts(), found.contract))
    assert utilities[3] - np.delete(utilities, 3).max() == pytest.approx(1e-4, abs=2e-7)
    assert 0.645 - 1e-3 < found.utility < 0.645


def test_a_cap_is_respected_and_costs_what_it_must():
    found = optimal_contract(four_efforts(), cap=0.5)
    assert np.nanmax(found.contracts) <= 0.5
    assert found.gap < 1e-9
    grid = contract_grid(3, 21, 0.5)
    on_grid = float(contract_utility(PROBLEM, jnp.asarray(grid)).max())
    assert on_grid - 1e-5 <= found.utility < 0.645


def test_best_linear_contract():
    linear = best_linear_contract(PROBLEM)
    assert float(linear.share) == pytest.approx(0.15 / 0.36, abs=1e-6)
    assert int(linear.action) == 2
    assert float(linear.utility) == pytest.approx(0.4375, abs=1e-6)
    shares = jnp.linspace(0, 1, 2001)[:, None]
    fine = contract_utility(PROBLEM, shares * PROBLEM.rewards)
    assert float(linear.utility) - 1e-3 < float(fine.max()) <= float(linear.utility) + 1e-6


@pytest.mark.parametrize(("levels", "best", "contract"), [(11, 0.61, [0, 0, 0.8]), (21, 0.645, [0, 0, 0.75])])
def test_best_contract_of_a_product_grid(levels, best, contract):
    grid = contract_grid(3, levels, 1.0)
    values = np.asarray(contract_utility(PROBLEM, jnp.asarray(grid)))
    assert values.max() == pytest.approx(best, abs=1e-6)
    np.testing.assert_allclose(grid[values.argmax()], contract, atol=1e-9)


@pytest.fixture(scope="module")
def problems():
    batch = jax.jit(jax.vmap(lambda key: random_hidden_action(key, 5, 4)))(jax.random.split(jax.random.key(1), 24))
    linear = jax.jit(jax.vmap(best_linear_contract))(batch)
    host = [jax.tree.map(lambda x, i=i: np.asarray(x[i], float), batch) for i in range(24)]
    return host, np.asarray(linear.utility), [optimal_contract(problem) for problem in host]


def test_random_problems_are_as_described(problems):
    for problem in problems[0]:
        welfare = problem.laws @ problem.rewards - problem.costs
        assert np.all(np.diff(welfare) > -1e-6)
        assert problem.costs[0] == 0
        np.testing.assert_array_equal(problem.laws[0], [1, 0, 0, 0])


def test_the_optimum_lies_between_the_best_linear_contract_and_the_first_best(problems):
    for problem, linear, found in zip(*problems, strict=True):
        assert linear - 2e-5 <= found.utility <= float(first_best(problem)) + 1e-6
        assert found.gap < 1e-8


def test_certified_contracts_induce_their_actions_in_float64(problems):
    """No other action is better for the agent, beyond rounding; so what the LP says is what the principal gets."""
    for problem, _, found in zip(*problems, strict=True):
        utilities = problem.laws @ found.contract - problem.costs
        assert utilities.max() - utilities[found.action] < 1e-8
        assert problem.laws[found.action] @ (problem.rewards - found.contract) == pytest.approx(found.utility, abs=1e-9)


def test_scaling_rewards_and_costs_scales_the_optimum(problems):
    problem, found = problems[0][0], problems[2][0]
    scaled = HiddenAction(problem.laws, 3 * problem.costs, 3 * problem.rewards)
    assert optimal_contract(scaled).utility == pytest.approx(3 * found.utility, abs=1e-8)


@pytest.mark.slow
def test_against_cvxpy():
    """A thousand random problems by another modelling language and another solver, to 1e-6."""
    cvxpy = pytest.importorskip("cvxpy")
    laws, costs, pay = cvxpy.Parameter((3, 3)), cvxpy.Parameter(3), cvxpy.Variable(3, nonneg=True)
    law, cost = cvxpy.Parameter(3), cvxpy.Parameter()
    program = cvxpy.Problem(cvxpy.Minimize(law @ pay), [law @ pay - cost >= laws @ pay - costs])
    batch = jax.vmap(lambda key: random_hidden_action(key, 3, 3))(jax.random.split(jax.random.key(2), 1000))
    for i in range(1000):
        problem = jax.tree.map(lambda x, i=i: np.asarray(x[i], float), batch)
        found, best = optimal_contract(problem), -np.inf
        laws.value, costs.value = problem.laws, problem.costs
        for a in range(3):
            law.value, cost.value = problem.laws[a], problem.costs[a]
            program.solve(solver=cvxpy.CLARABEL)
            if program.status.startswith("optimal"):
                best = max(best, problem.laws[a] @ problem.rewards - program.value)
        assert found.utility == pytest.approx(best, abs=1e-6)


def test_what_is_wrong_is_named():
    env, params = make("hidden_action_contract")
    with pytest.raises(ValueError, match="agent must be one of"):
        HiddenActionContract(agent="lazy")
    with pytest.raises(ValueError, match="laws must be"):
        env.validate(dataclasses.replace(params, problem=params.problem.replace(laws=params.problem.laws * 2)))
    with pytest.raises(ValueError, match="costs must be"):
        env.validate(dataclasses.replace(params, problem=params.problem.replace(costs=params.problem.costs + 1)))
    with pytest.raises(ValueError, match="margin must be"):
        optimal_contract(four_efforts(), margin=-1.0)


@pytest.fixture(scope="module")
def rounds():
    """Plays one contract for many rounds, from given uniform numbers."""
    env, params = make("hidden_action_contract", num_steps=4000)
    learning = dataclasses.replace(env, agent="learning")

    def play(env, contract, units):
        def step(state, chance):
            state, reward, _, info = env.transition(state, contract[None], chance, params)
            return state, (reward[0], info)

        return jax.lax.scan(step, env.initial((), params), units)[1]

    units = jax.random.uniform(jax.random.key(3), (4000, 3))
    return {e.agent: jax.jit(lambda contract, e=e: play(e, contract, units)) for e in (env, learning)}


def test_the_environment_pays_the_expected_utility_of_the_optimal_contract(rounds):
    found = optimal_contract(four_efforts(), cap=1.0, margin=1e-4)
    rewards, info = jax.device_get(rounds["informed"](jnp.asarray(found.contract, jnp.float32)))
    assert set(info["agent_action"].tolist()) == {3}
    np.testing.assert_allclose(info["utility"], found.utility, atol=1e-5)
    assert abs(rewards.mean() - found.utility) < 4 * rewards.std() / 4000**0.5


def test_a_learning_agent_finds_its_best_response_and_goes_on_exploring(rounds):
    _, info = jax.device_get(rounds["learning"](jnp.array([0.0, 0.0, 0.9])))
    late = info["agent_action"][2000:]
    share = np.mean(late == int(best_response(PROBLEM, jnp.array([0.0, 0.0, 0.9]))))
    assert abs(share - (0.9 + 0.1 / 4)) < 4 * (0.075 * 0.925 / 2000) ** 0.5


def test_no_agent_gains_by_disobeying_the_optimal_contract():
    env, params = make("hidden_action_contract")
    found = env.optimal(params, margin=1e-4)
    gains = env.misreport_gain(jnp.asarray(found.contract, jnp.float32), params)
    assert float(gains[found.action]) == 0
    assert np.all(np.delete(np.asarray(gains), found.action) > 5e-5)


def test_turns_of_the_contract_game():
    """The best offer of eleven, α = .5 (the grid's first above .41667), and the agent's best response to it."""
    env, params = make("contract_game")
    known = env.benchmarks(params)
    obs, state = env.reset(jax.random.key(0), params)
    np.testing.assert_array_equal(env.action_mask(state, params).sum(axis=1), [11, 1])
    offer, _ = known["offer"].act((), (), obs[0], ())
    state, reward, *_ = env.transition(state, jnp.array([offer, 0]), jnp.float32(0.5), params)
    np.testing.assert_array_equal(reward, [0, 0])
    np.testing.assert_array_equal(env.action_mask(state, params).sum(axis=1), [1, 4])
    answer, _ = known["best_response"].act(params, (), env.observe(state, params)[1], ())
    state, reward, _, info = env.transition(state, jnp.array([0, answer]), jnp.float32(0.6), params)
    assert int(offer) == 5
    assert int(answer) == 2
    assert int(info["outcome"]) == 1
    np.testing.assert_allclose(reward, [0.3, 0.1], atol=1e-6)
    assert float(info["utility"]) == pytest.approx(0.375, abs=1e-6)
    assert known["offer_utility"] == pytest.approx(0.375, abs=1e-6)
    assert isinstance(env, ContractGame)
    np.testing.assert_allclose(principal_utilities(params.problem, params.menu[5])[2], 0.375, atol=1e-6)

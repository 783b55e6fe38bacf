"""Control of whole return distributions on processes small enough to enumerate."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.distributional import risk
from jaxmarl.distributional.categorical import Categorical
from jaxmarl.distributional.law import Law, mean, variance
from jaxmarl.distributional.stock import (
    cvar_from_solution,
    first_best,
    solve_cvar,
    stock_laws,
    stock_policy_iteration,
    stock_value_iteration,
)
from jaxmarl.distributional.utility import (
    distance,
    exponential,
    linear,
    reaching,
    shortfall,
    squared_distance,
    surplus,
)
from jaxmarl.testing.probes import slippery_cliff, two_bets, two_steps


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


# --- two steps: 0 or 6 by a fair coin, then S (2), R (-2 or 5) or L (0 or 20) -----------------------------------------

LATER = {"S": ([2, 2], [1, 0]), "R": ([-2, 5], [0.25, 0.75]), "L": ([0, 20], [0.9, 0.1])}


def laws_of(policies):
    """Laws of the return when the first letter is played after 0, the second after 6."""
    atoms = [
        [first + last for first, name in zip((0, 6), names, strict=True) for last in LATER[name][0]]
        for names in policies
    ]
    chances = [[p / 2 for name in names for p in LATER[name][1]] for names in policies]
    return Law(jnp.asarray(np.array(atoms, float)), jnp.asarray(np.array(chances)))


@jax.jit
def table(laws):
    lower = [risk.cvar(laws, level) for level in (0.25, 0.5, 0.75)]
    upper = [risk.cvar(laws, level, "upper") for level in (0.25, 0.5)]
    missed = [risk.expected_utility(laws, f) for f in (lambda x: -jnp.abs(x - 8), lambda x: -((x - 8) ** 2))]
    return jnp.stack([mean(laws), variance(laws), *lower, *upper, *missed], -1)


def test_policies_of_two_steps_and_what_the_stock_adds():
    found = np.asarray(table(laws_of(["SS", "RR", "LL", "RS", "LR"])))
    expected = [
        [5, 9, 2, 2, 4, 8, 8, -3, -18],
        [6.25, 18.1875, 1, 3, 14 / 3, 11, 9.5, -4, -21.25],
        [5, 45, 0, 0.6, 2.4, 12.8, 9.4, -6, -54],
        [5.625, 10.234375, 1.5, 3.25, 29 / 6, 8, 8, -2.375, -15.875],
        [5.625, 35.734375, 0, 0.4, 97 / 30, 12.8, 10.85, -5.825, -41.375],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.fixture(scope="module")
def two_step_solutions():
    """Every deterministic policy's row, and the solutions on a lattice of thirteenths."""
    rows = np.asarray(table(laws_of(["".join(pair) for pair in itertools.product("SRL", repeat=2)])))
    stocks = jnp.asarray(np.arange(-30 * 13, 34 * 13 + 1) / 13)
    solve = {f.__name__: stock_value_iteration(two_steps(), f(), stocks, 2) for f in (shortfall, surplus, distance)}
    solve["squares"] = stock_value_iteration(two_steps(), squared_distance(), stocks, 2)
    return rows, jax.tree.map(np.asarray, solve)


def test_lower_tails_of_two_steps(two_step_solutions):
    rows, solutions = two_step_solutions
    expected = {0.1: (2, -2), 0.25: (2, -2), 0.5: (3.25, None), 0.75: (29 / 6, -8)}
    for level, (value, stock) in expected.items():
        found = cvar_from_solution(solutions["shortfall"], level, 0)
        np.testing.assert_allclose(found.value, value, atol=1e-9)
        assert float(found.error_bound) == 0
        if stock is None:
            assert -8 - 1e-9 <= float(found.stock) <= -5 + 1e-9  # all first stocks there do
        else:
            np.testing.assert_allclose(found.stock, stock, atol=1e-9)
    for column, level in zip((2, 3, 4), (0.25, 0.5, 0.75), strict=True):  # no policy does better
        best = cvar_from_solution(solutions["shortfall"], level, 0).value
        np.testing.assert_allclose(best, rows[:, column].max(), atol=1e-9)
    assert rows[[0, 4, 8], 3].max() == 3  # without the stock, the second step cannot know the first


@pytest.mark.slow
def test_a_grid_between_the_returns_says_so(two_step_solutions):
    _, solutions = two_step_solutions
    assert solutions["shortfall"].lattice
    coarse = jnp.asarray(np.arange(-30 * 13, 34 * 13 + 1) / 12)
    found = solve_cvar(two_steps().replace(rewards=two_steps().rewards + 0.05), 0.75, 0, coarse, 2)
    assert not found.solution.lattice
    assert 0 < 29 / 6 + 0.1 - found.value <= found.error_bound


def test_upper_tails_of_two_steps_may_need_a_mixture(two_step_solutions):
    rows, solutions = two_step_solutions
    for level, value in ((0.1, 23), (0.5, 10.85)):
        np.testing.assert_allclose(cvar_from_solution(solutions["surplus"], level, 0, "upper").value, value, atol=1e-9)
    found = cvar_from_solution(solutions["surplus"], 0.25, 0, "upper")
    np.testing.assert_allclose(found.value, 14.41538, atol=5e-6)
    np.testing.assert_allclose(found.stock, -8 - 9 / 13, atol=1e-9)
    assert rows[:, 5].max() == pytest.approx(12.8)
    one, other = (jax.tree.map(np.asarray, laws_of([names])) for names in ("LR", "LL"))
    atoms, weights = np.hstack([one.atoms, other.atoms]), np.hstack([6 * one.weights, 7 * other.weights]) / 13
    mixed = Law(jnp.asarray(atoms), jnp.asarray(weights))
    np.testing.assert_allclose(jax.jit(risk.cvar, static_argnums=(1, 2))(mixed, 0.25, "upper"), found.value, atol=1e-9)


def test_targets_of_two_steps(two_step_solutions):
    rows, solutions = two_step_solutions
    for name, column, value in (("distance", 7, -2.375), ("squares", 8, -15.875)):
        np.testing.assert_allclose(solutions[name].value(0, -8.0), value, atol=1e-9)
        assert rows[:, column].max() == pytest.approx(value)


# --- a slippery grid beside a cliff, 12 steps ------------------------------------------------------------------------

STEPS, START = 12, 8
STOCKS = np.arange(-60, 37) / 2
RETURNS = np.arange(-20, 11)


@pytest.fixture(scope="module")
def solved():
    """Solutions of the grid by utility, made when asked for."""
    made = {}

    def solve(utility, *arguments, slip=0.05):
        name = (utility.__name__, *arguments, slip)
        if name not in made:
            solution = stock_value_iteration(slippery_cliff(slip), utility(*arguments), jnp.asarray(STOCKS), STEPS)
            made[name] = jax.tree.map(np.asarray, solution)
        return made[name]

    return solve


@jax.jit
def summary(law):
    return mean(law), variance(law), jnp.stack([risk.cvar(law, level) for level in (0.05, 0.1, 0.25, 0.5, 0.75)])


def law_from(solution, stock, slip=0.05):
    """Law of the return when the solution's policy is followed from the start with a first stock."""
    laws = stock_laws(slippery_cliff(slip), *map(jnp.asarray, (solution.policy, STOCKS, RETURNS.astype(float))))
    return Categorical(laws.atoms, np.asarray(laws.probs)[START, np.searchsorted(STOCKS, stock)])


def path(solution, stock):
    """Actions from the start where no step slips."""
    mdp, cell, taken = jax.tree.map(np.asarray, slippery_cliff()), START, []
    policy = np.asarray(solution.policy)
    for time in range(STEPS):
        action = policy[time, cell, np.searchsorted(STOCKS, stock)]
        taken.append("URDL"[action])
        stock += float(mdp.rewards[cell, action, 0])
        if not mdp.continues[cell, action, 0]:
            break
        cell = int(mdp.successors[cell, action, 0])
    return "".join(taken)


def test_mean_optimum_on_the_cliff(solved):
    solution = solved(linear)
    np.testing.assert_allclose(solution.value(START, 0.0), 2.441385712, atol=5e-10)
    assert float(solution.error_bound) == 0
    law = law_from(solution, 0)
    known = {5: 0.59049, 3: 0.14614628, 4: 0.059049, -7: 0.05, -9: 0.042875, -10: 0.03870625}
    np.testing.assert_allclose(law.probs[np.array(list(known)) + 20], list(known.values()), atol=1e-8)
    average, spread, tails = summary(law)
    np.testing.assert_allclose(average, 2.441385712, atol=5e-10)
    np.testing.assert_allclose(spread, 22.585359, atol=5e-7)
    np.testing.assert_allclose(tails[:4], [-10.345121, -9.531593, -4.194573, -0.117229], atol=5e-7)
    assert path(solution, 0) == "URRRD"


def test_shortfalls_on_the_cliff(solved):
    known = {
        -10: -7.55861429, -5: -2.55861429, -4: -2.14910429, -3: -1.30400716, -1: -0.66051294, 0: -0.52352062,
        0.5: -0.47760606, 3: -0.30158701, 6: -0.11776168, 7: -0.01013910, 8: -0.00300326, 12: 0,
    }  # fmt: skip
    row = np.asarray(solved(shortfall).first()[START])
    np.testing.assert_allclose(row[np.searchsorted(STOCKS, list(known))], list(known.values()), atol=5e-9)
    surpluses = np.asarray(solved(surplus).first()[START])
    np.testing.assert_allclose(
        surpluses[np.searchsorted(STOCKS, [-3, 0, 3])], [1.240029, 3.70818494, 6.27135153], atol=5e-9
    )


TAILS = {  # level: value, first stock, mean of the law, where known
    0.05: (-7.202782052, 7, None),
    0.1: (-5.235206223, 0, 1.518918),
    0.25: (-1.642051747, -1, 1.548664),
    0.5: (0.391985689, -3, 1.729253),
    0.75: (1.588514283, -5, None),
}


def test_tails_on_the_cliff_and_of_the_executed_laws(solved):
    solution = solved(shortfall)
    laws = stock_laws(slippery_cliff(), *map(jnp.asarray, (solution.policy, STOCKS, RETURNS.astype(float))))
    for index, (level, (value, stock, average)) in enumerate(TAILS.items()):
        found = cvar_from_solution(solution, level, START)
        np.testing.assert_allclose(found.value, value, atol=5e-9, err_msg=str(level))
        assert float(found.stock) == stock
        law = Categorical(laws.atoms, np.asarray(laws.probs)[START, np.searchsorted(STOCKS, stock)])
        executed, _, tails = summary(law)
        np.testing.assert_allclose(tails[index], value, atol=5e-9, err_msg=str(level))
        if average is not None:
            np.testing.assert_allclose(executed, average, atol=5e-7)
    np.testing.assert_allclose(cvar_from_solution(solution, 1.0, START).value, 2.441385712, atol=5e-9)
    assert path(solution, 7) == "R"  # a sure -7 beats the tail
    assert path(solution, 0) == "UURRRDD"


def test_tails_on_a_more_slippery_cliff(solved):
    np.testing.assert_allclose(solved(linear, slip=0.1).value(START, 0.0), -0.033205943, atol=5e-10)
    known = {
        0.05: (-8.877451609, 8), 0.1: (-8.022242082, 7), 0.25: (-6.679977587, 1),
        0.5: (-3.078447072, -1), 0.75: (-1.288074543, -3),
    }  # fmt: skip
    for level, (value, stock) in known.items():
        found = cvar_from_solution(solved(shortfall, slip=0.1), level, START)
        np.testing.assert_allclose(found.value, value, atol=5e-9)
        assert float(found.stock) == stock


def test_targets_and_probabilities_on_the_cliff(solved):
    def row(solution, targets):
        return np.asarray(solution.first()[START])[np.searchsorted(STOCKS, -np.array(targets))]

    found = row(solved(distance), [-12, -7, 0, 3, 5])
    np.testing.assert_allclose(found, [0, -0.1692725, -0.9032551, -1.31054544, -2.55861429], atol=5e-8)
    found = row(solved(squared_distance), [-7, 0, 3, 5])
    np.testing.assert_allclose(found, [-0.3465025, -5.83154074, -9.4984906, -19.20813165], atol=5e-8)
    assert float(solved(squared_distance).error_bound) == np.inf
    np.testing.assert_allclose(
        row(solved(reaching), [0, 3, 4, 5]), [0.915702527, 0.795685275, 0.649539, 0.59049], atol=5e-9
    )


@pytest.mark.parametrize(("aversion", "value"), [(0.1, 1.081992583), (0.5, -4.666630109), (1, -7.161162324)])
def test_certainty_equivalents_on_the_cliff(solved, aversion, value):
    solution = solved(exponential, aversion)
    np.testing.assert_allclose(-np.log(-solution.value(START, 0.0)) / aversion, value, atol=5e-9)
    if aversion == 1:
        assert path(solution, 0) == "R"


# --- one state, discount 1/2: a sure 1/2, or 0 or 2 by a fair coin ---------------------------------------------------

SWEEPS = 40
FINE = np.arange(-64, 17) / 8


@pytest.fixture(scope="module")
def bets():
    def solve(utility):
        return jax.tree.map(np.asarray, stock_value_iteration(two_bets(), utility, jnp.asarray(FINE), SWEEPS))

    return {utility: solve(utility()) for utility in (shortfall, distance)}


def at(values, stocks):
    return np.asarray(values)[..., 0, np.searchsorted(FINE, stocks)]


def test_discounted_shortfalls_and_their_error(bets):
    found = bets[shortfall]
    stocks = [-1, -1.25, -1.5, -2, -2.5, -3, -3.5, -4]
    limit = [0, -0.125, -0.25, -0.5, -0.75, -1.125, -1.53125, -2]
    np.testing.assert_allclose(at(found.first(), stocks), limit, atol=1e-10)
    iterates = np.asarray(found.values)[::-1]  # n steps to go
    # by hand: V_n(-3/2) = -1/4 - 2^-n, from V_n(-4) = -2 - 2^(1-n) and V_n(-2) = -1/2 - 2^-n
    np.testing.assert_allclose(at(iterates[[1, 2, 5, 13]], -1.5), [-0.75, -0.5, -0.28125, -0.25012207], atol=5e-9)
    np.testing.assert_allclose(at(iterates[1:20], -1.5), -0.25 - 0.5 ** np.arange(1, 20), atol=1e-12)
    within = (FINE >= -8) & (FINE <= 0)
    errors = np.abs(iterates[:20] - np.asarray(found.first()))[:, 0, within].max(1)
    np.testing.assert_allclose(errors[1:], 2 * 0.5 ** np.arange(1, 20), atol=1e-11)  # the bound is met at stock -4
    np.testing.assert_allclose(found.error_bound, 2 * 0.5**SWEEPS, rtol=1e-9)


def test_single_bets_are_worse_than_betting_by_stock(bets):
    stocks = np.array([-1.5, -2.5, -3.5])
    sure, coin = stocks + 1, -(stocks**2) / 8
    assert np.all(at(bets[shortfall].first(), stocks) >= np.maximum(sure, coin) - 1e-9)
    assert at(bets[shortfall].first(), -2.5) > max(sure[1], coin[1]) + 0.03


def test_discounted_tails(bets):
    known = {0.25: 1, 0.5: 1, 0.6: 1.25, 0.75: 1.5, 0.9: 1.8020833, 1.0: 2}
    for level, value in known.items():
        found = cvar_from_solution(bets[shortfall], level, 0)
        np.testing.assert_allclose(found.value, value, atol=5e-8)
    assert float(cvar_from_solution(bets[shortfall], 0.6, 0).stock) == -2.5
    assert float(cvar_from_solution(bets[shortfall], 0.9, 0).stock) == -3.625


def test_discounted_targets(bets):
    found = at(bets[distance].first(), [-1, -1.5, -2, -2.5, -3])
    np.testing.assert_allclose(found, [0, -2 / 7, -4 / 7, -3 / 4, -8 / 7], atol=1e-9)


def test_float32_finds_the_same_values(bets):
    with jax.enable_x64(False):
        found = stock_value_iteration(two_bets(), shortfall(), jnp.asarray(FINE), SWEEPS, keep_steps=False)
        assert found.values.shape == found.policy.shape == (1, FINE.size)
        np.testing.assert_allclose(found.first(), np.asarray(bets[shortfall].first()), atol=1e-6)
        assert found.values.dtype == jnp.float32


def test_policy_iteration_climbs_to_the_same_values(bets):
    found = stock_policy_iteration(two_bets(), shortfall(), jnp.asarray(FINE), SWEEPS, 5)
    trace = np.asarray(found.trace)
    assert np.all(np.diff(trace, axis=0) >= -1e-10)
    np.testing.assert_allclose(trace[0, 0], np.minimum(FINE + 1, 0), atol=1e-10)  # always the sure bet
    np.testing.assert_allclose(trace[-1], bets[shortfall].first(), atol=1e-10)


def test_a_grid_that_rewards_miss_stays_within_its_bound(bets):
    stocks = np.linspace(-8.07, 2.2, FINE.size)
    found = stock_value_iteration(two_bets(), shortfall(), jnp.asarray(stocks), SWEEPS)
    exact = np.interp(stocks, FINE, np.asarray(bets[shortfall].first())[0])
    error = np.abs(np.asarray(found.first())[0] - exact)[stocks >= -8].max()
    assert 1e-6 < error <= float(found.error_bound) < 0.1


def test_iteration_never_sees_a_probability_reached_in_the_limit():
    ones = two_bets().replace(rewards=jnp.ones((1, 2, 2)))  # G = 2 for certain
    found = stock_value_iteration(ones, reaching(), jnp.asarray(FINE), SWEEPS)
    assert np.all(at(found.values, -2) == 0)
    assert float(found.error_bound) == np.inf


def test_ties_go_to_the_lowest_action():
    scores = jnp.asarray(np.array([[1.0, 1.0 + 1e-14, 0.5], [0, -1, 0]]))
    np.testing.assert_array_equal(jax.jit(first_best)(scores), [0, 0])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: stock_value_iteration(two_bets(), exponential(1.0), jnp.asarray(FINE), 2), "discount"),
        (lambda: stock_value_iteration(two_bets(), linear(), jnp.array([1.0, 0.0]), 2), "stocks"),
        (lambda: stock_value_iteration(two_bets(), linear(), jnp.asarray(FINE), 0), "num_steps"),
        (lambda: solve_cvar(two_bets(), 0.5, 0, jnp.asarray(FINE), 2, "middle"), "tail"),
        (lambda: solve_cvar(two_bets(), 0.0, 0, jnp.asarray(FINE), SWEEPS), "level"),
        (lambda: exponential(0.0), "aversion"),
        (lambda: stock_laws(two_bets(), jnp.zeros((1, 2), jnp.int32), jnp.arange(2.0), jnp.arange(2.0)), "policy"),
    ],
)
def test_wrong_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()

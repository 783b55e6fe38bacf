"""Shapley values: closed forms, estimators' budgets, errors and their order, agreement with shapiq."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.evaluation.shapley import (
    coalition_table,
    coalition_weights,
    estimate_shapley,
    exact_shapley,
    mean_squared_errors,
    shapley_of_table,
)
from jaxmarl.evaluation.shapley_sampling import StratifiedSampling
from jaxmarl.games.coalitional import (
    airport_game,
    airport_shapley,
    all_coalitions,
    coalition_number,
    glove_game,
    table_game,
    unanimity_game,
    unanimity_shapley,
    voting_game,
)

METHODS = ("permutation", "svarm", "stratified_svarm")
FIVE, TEN = (1, 2, 3, 5, 8), (1, 1, 2, 3, 5, 6, 8, 9, 12, 15)
OF_TEN = [0.1, 0.1, 0.225, 0.367857, 0.701190, 0.901190, 1.401190, 1.734524, 3.234524, 6.234524]


@pytest.mark.parametrize(
    ("game", "size", "values"),
    [
        (airport_game(FIVE), 5, [0.2, 0.45, 0.783333, 1.783333, 4.783333]),
        (airport_game(TEN), 10, OF_TEN),
        (voting_game(6, (4, 3, 2, 1)), 4, [5 / 12, 1 / 4, 1 / 4, 1 / 12]),
        (glove_game(1, 2), 3, [2 / 3, 1 / 6, 1 / 6]),
        (glove_game(3, 3), 6, [0.5] * 6),
    ],
    ids=["airport5", "airport10", "voting", "glove", "shoe"],
)
def test_exact_values(game, size, values):
    np.testing.assert_allclose(exact_shapley(game, size), values, atol=1e-6)


def test_closed_forms_agree_with_the_definition():
    np.testing.assert_allclose(airport_shapley(TEN), OF_TEN, atol=1e-6)
    np.testing.assert_allclose(airport_shapley((8, 1, 5, 3, 2)), airport_shapley(FIVE)[[4, 0, 3, 2, 1]])
    rng = np.random.default_rng(0)
    needed, worth = rng.random((6, 7)) < 0.4, rng.normal(size=6)
    needed[:, 0] |= ~needed.any(axis=1)
    exact = exact_shapley(unanimity_game(needed, worth), 7, batch_size=50)
    np.testing.assert_allclose(exact, unanimity_shapley(needed, worth), atol=1e-6)


def test_weights_are_those_of_the_formula():
    for n in (1, 4, 9):
        wanted = [math.factorial(s) * math.factorial(n - 1 - s) / math.factorial(n) for s in range(n)]
        np.testing.assert_allclose(coalition_weights(n), wanted, rtol=1e-12)


def test_two_agents():
    """v = (0, 1, 2, 5): what the second of two adds, averaged over both orders."""
    np.testing.assert_allclose(shapley_of_table(np.array([0.0, 1, 2, 5])), [2, 3])


def test_axioms_on_a_random_table():
    """Efficiency; a dummy gets 0; exchanging players exchanges values; a constant changes nothing."""
    masks, rng = all_coalitions(6), np.random.default_rng(1)
    table = rng.normal(size=64)
    values = shapley_of_table(table)
    assert values.sum() == pytest.approx(table[-1] - table[0])
    np.testing.assert_allclose(shapley_of_table(table + 7), values)
    exchanged = table[np.asarray(coalition_number(jnp.asarray(masks[:, [1, 0, 2, 3, 4, 5]])))]
    np.testing.assert_allclose(shapley_of_table(exchanged), values[[1, 0, 2, 3, 4, 5]])
    without = table[np.arange(64) & ~(1 << 3)]
    assert shapley_of_table(without)[3] == pytest.approx(0, abs=1e-12)


class Counted:
    """A game on the host that counts what it is asked."""

    def __init__(self, game):
        self.game, self.asked, self.calls = game, 0, []

    def __call__(self, masks):
        self.asked += len(masks)
        self.calls.append(len(masks))
        return np.asarray(self.game(masks))


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_is_kept_and_counted(method):
    game = Counted(airport_game(FIVE))
    for options in ({"empty_value": 0.0}, {"efficient": True}):
        game.asked = 0
        found = estimate_shapley(game, 5, 61, jax.random.key(0), method, batch_size=16, **options)
        assert game.asked == found.num_evals <= 61
        assert found.num_evals > 61 - (5 - 1)  # less than one more order is left
        if "efficient" in options:
            assert float(found.values.sum()) == pytest.approx(8, abs=1e-4)
    assert max(game.calls) <= 16


@pytest.mark.parametrize(("method", "least"), [("permutation", 6), ("svarm", 11), ("stratified_svarm", 12)])
def test_too_small_a_budget_is_refused(method, least):
    game = airport_game(FIVE)
    estimate_shapley(game, 5, least, jax.random.key(0), method)
    with pytest.raises(ValueError, match=f"budget must be at least {least}"):
        estimate_shapley(game, 5, least - 1, jax.random.key(0), method)


@pytest.mark.parametrize("size", [2, 3])
def test_stratified_sampling_of_few_players_is_exact(size):
    table = np.random.default_rng(size).normal(size=2**size)
    found = estimate_shapley(table_game(table), size, 2**size, jax.random.key(0))
    np.testing.assert_allclose(found.values, shapley_of_table(table), atol=1e-6)
    np.testing.assert_array_equal(found.standard_errors, 0)
    assert found.num_evals == 2**size


@pytest.mark.parametrize("size", [4, 5, 6, 7, 10, 13, 30])
def test_size_law_sums_to_one_and_is_symmetric(size):
    law = StratifiedSampling(size).size_law()
    assert law.sum() == pytest.approx(1)
    np.testing.assert_allclose(law[2 : size - 1], law[2 : size - 1][::-1])
    assert law[:2].sum() == 0 == law[size - 1]


def runs_of(budget):
    """Estimates and standard errors on the airport game of ten, 1000 runs of each method."""
    keys, game = jax.random.split(jax.random.key(4), 1000), airport_game(TEN)
    found = {}
    for method in METHODS:
        one = functools.partial(lambda method, key: estimate_shapley(game, 10, budget + 1, key, method)[:2], method)
        run = jax.jit(functools.partial(jax.lax.map, one))
        found[method] = tuple(np.asarray(x, float) for x in run(keys))
    return found


def squared_errors(runs):
    return np.mean((runs[0] - OF_TEN) ** 2, axis=1)


@pytest.fixture(scope="module")
def runs():
    return runs_of(100)


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_unbiased_with_honest_standard_errors(runs, method):
    """Empty strata, of which the method knows nothing, are what is left of a bias: allowed a tenth of the error."""
    values, errors = runs[method]
    spread = values.std(axis=0, ddof=1)
    allowed = 0.1 * spread if method == "stratified_svarm" else 0
    assert np.all(np.abs(values.mean(axis=0) - OF_TEN) < 4 * spread / 1000**0.5 + allowed)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), spread, rtol=0.15)


# permutations were measured with n evaluations an order, 10 and 50 of them; with n - 1 the budgets pay for 11 and 55
MEASURED = {
    100: {"permutation": 0.638 * 10 / 11, "svarm": 2.80, "stratified_svarm": 0.329},
    500: {"permutation": 0.121 * 10 / 11, "svarm": 0.506, "stratified_svarm": 0.0403},
}


@pytest.mark.parametrize("method", METHODS)
def test_mean_squared_errors_are_as_measured_elsewhere(runs, method):
    assert squared_errors(runs[method]).mean() == pytest.approx(MEASURED[100][method], rel=0.15)


@pytest.mark.slow
def test_mean_squared_errors_of_a_larger_budget():
    for method, found in runs_of(500).items():
        assert squared_errors(found).mean() == pytest.approx(MEASURED[500][method], rel=0.15)


def test_order_of_errors_at_equal_budget(runs):
    each = {method: squared_errors(found) for method, found in runs.items()}
    low, high = ({method: x.mean() + side * x.std() / 1000**0.5 for method, x in each.items()} for side in (-4, 4))
    assert high["stratified_svarm"] < low["permutation"]
    assert high["permutation"] < low["svarm"]


def test_a_large_game_with_known_values():
    """Sixty players, a sum of unanimity games: estimates within the errors that they state."""
    rng = np.random.default_rng(5)
    needed = np.zeros((30, 60), bool)
    for row in needed:
        row[rng.choice(60, rng.integers(1, 4), replace=False)] = True
    worth = rng.random(30)
    truth = unanimity_shapley(needed, worth)
    found = estimate_shapley(unanimity_game(needed, worth), 60, 6000, jax.random.key(6), paired=True, empty_value=0.0)
    distance = np.abs(np.asarray(found.values) - truth)
    assert np.sqrt(np.mean((distance / np.asarray(found.standard_errors)) ** 2)) < 1.5
    assert distance.max() < 0.25


def test_what_is_wrong_is_named():
    game = airport_game(FIVE)
    with pytest.raises(ValueError, match="method must be one of"):
        estimate_shapley(game, 5, 100, jax.random.key(0), "kernel")
    with pytest.raises(ValueError, match="paired must be"):
        estimate_shapley(game, 5, 100, jax.random.key(0), "svarm", paired=True)
    with pytest.raises(ValueError, match="num_players must be"):
        exact_shapley(game, 21)
    with pytest.raises(ValueError, match="table must be"):
        shapley_of_table(np.zeros(6))


def test_agreement_with_shapiq():
    """Exact values of a random game; and stratified estimates at one budget have errors of the same size."""
    shapiq = pytest.importorskip("shapiq")
    table = np.random.default_rng(7).normal(size=2**7)
    table -= table[0]
    ours = shapley_of_table(table)

    def game(masks):
        return table[np.atleast_2d(masks) @ (1 << np.arange(7))]

    computer = shapiq.ExactComputer(game, n_players=7)
    np.testing.assert_allclose(computer("SV").get_n_order_values(1), ours, atol=1e-9)
    np.testing.assert_allclose(coalition_table(table_game(table), 7), table, rtol=1e-6)
    theirs = [
        shapiq.PermutationSamplingSV(7, random_state=i).approximate(120, game).get_n_order_values(1) for i in range(40)
    ]
    their_error = np.mean((np.array(theirs) - ours) ** 2, axis=1)
    keys = jax.random.split(jax.random.key(8), 40)
    error = np.asarray(mean_squared_errors(table_game(table), ours, 120, keys, "permutation", empty_value=0.0))
    spread = np.hypot(error.std(ddof=1), their_error.std(ddof=1)) / 40**0.5
    assert abs(error.mean() - their_error.mean()) < 4 * spread

"""Meta-solvers: what is missing from a population has no weight and no influence."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, zero_sum_game
from jaxmarl.solvers.psro import Estimates, meta_solver, meta_solver_names, sample_estimates
from jaxmarl.solvers.psro.meta_solvers import marginals_of

SIZES, CAPACITY = (3, 2), 4
MATRIX = np.array([[0.0, -1.0], [1.0, 0.25], [-0.5, 1.0]], np.float32)


def padded(garbage):
    table = np.full((2, CAPACITY, CAPACITY), garbage, np.float32)
    table[:, : SIZES[0], : SIZES[1]] = MATRIX, -MATRIX
    return NormalFormGame(table, [np.arange(CAPACITY) < size for size in SIZES])


def solved(name, game, **options):
    solver = meta_solver(name, 2, True, **options)
    return np.asarray(solver.solve(game, jnp.zeros_like(game.payoffs)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniform", {}),
        ("uniform_biased", {}),
        ("last", {}),
        ("nash_lp", {}),
        ("mwcce", {}),
        pytest.param("prd", {"num_iterations": 300}, marks=pytest.mark.slow),
        pytest.param("nash", {}, marks=pytest.mark.slow),
        pytest.param("alpharank", {}, marks=pytest.mark.slow),
        pytest.param("mgcce", {}, marks=pytest.mark.slow),
        pytest.param("mgce", {}, marks=pytest.mark.slow),
        pytest.param("rm", {"num_iterations": 1000}, marks=pytest.mark.slow),
        pytest.param("prm+", {"num_iterations": 100}, marks=pytest.mark.slow),
        pytest.param("mmd", {"num_iterations": 100}, marks=pytest.mark.slow),
        pytest.param("qre", {}, marks=pytest.mark.slow),
    ],
)
def test_missing_strategies_are_neither_played_nor_seen(name, options):
    joint = solved(name, padded(1e6), **options)
    outside = np.ones(joint.shape, bool)
    outside[: SIZES[0], : SIZES[1]] = False
    assert np.all(joint[outside] == 0)
    assert joint.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(joint, solved(name, padded(-3.0), **options))
    # the game of those that are there, without padding
    np.testing.assert_allclose(joint[: SIZES[0], : SIZES[1]], solved(name, zero_sum_game(MATRIX), **options), atol=2e-5)


def test_simple_mixtures():
    first, second = (
        np.asarray(mixture) for mixture in marginals_of(jnp.asarray(solved("uniform_biased", padded(0.0))))
    )
    np.testing.assert_allclose(first[:3], np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), atol=1e-6)
    np.testing.assert_allclose(second[:2], np.exp([0, 1]) / np.exp([0, 1]).sum(), atol=1e-6)
    assert np.argwhere(solved("last", padded(0.0))).tolist() == [[2, 1]]


def test_registered_solvers_are_known_and_variances_reach_those_that_ask(monkeypatch):
    from jaxmarl.solvers import registry
    from jaxmarl.solvers.solution import nash_solution

    seen = []

    def careful(game, *, variances=None, gamma=1.0):
        """Records what it is given."""
        seen.append((variances.shape, gamma))
        return nash_solution(game, game.uniform_strategies())

    entry = registry.SolverEntry("careful", careful, "any", "nash_conv", None, False)
    monkeypatch.setitem(registry._SOLVERS, "careful", entry)
    assert {"careful", "prd", "nash", "mgcce"} <= set(meta_solver_names())
    joint = solved("careful", padded(0.0), gamma=2.0)
    assert seen == [((2, CAPACITY, CAPACITY), 2.0)]
    np.testing.assert_allclose(joint[:3, :2], 1 / 6, atol=1e-6)
    with pytest.raises(ValueError, match="meta_options must be one of variances, gamma"):
        meta_solver("careful", 2, True, delta=1)


def test_estimates_of_returns():
    returns = np.random.default_rng(0).normal(size=(50, 2, 3, 4)).astype(np.float32)
    estimates = sample_estimates(jnp.asarray(returns))
    np.testing.assert_allclose(estimates.variance, returns.var(axis=0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(estimates.standard_error, returns.std(axis=0, ddof=1) / np.sqrt(50), rtol=1e-5)
    exact = Estimates(jnp.ones((2, 3)), jnp.zeros((2, 3)), jnp.ones(3))
    assert float(jnp.max(exact.standard_error)) == 0


def test_risk_averse_mixtures_shun_noisy_episodes():
    """Two strategies that earn alike: the one whose episodes vary is not played by who dislikes risk."""
    game = NormalFormGame(jnp.zeros((2, 2, 2)))
    noisy = jnp.zeros((2, 2, 2)).at[0, 0].set(1.0)  # for the first player, when it plays its first strategy
    joint = meta_solver("rae", 2, True, risk_aversion=1.0).solve(game, noisy)
    assert float(joint[0].sum()) < 1e-4
    assert float(joint[:, 0].sum()) == pytest.approx(0.5, abs=1e-4)  # the other one does not care

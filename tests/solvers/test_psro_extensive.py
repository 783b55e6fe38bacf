"""PSRO on extensive-form games: exact double oracle and fictitious play on poker, general-sum and three players."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.extensive_metrics import extensive_best_response, extensive_nash_conv
from jaxmarl.games.extensive_zoo import goofspiel, kuhn_poker, leduc_poker
from jaxmarl.solvers.psro import Psro, PsroSettings
from jaxmarl.solvers.psro.extensive import ExtensivePsro

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def kuhn():
    return ExtensivePsro(kuhn_poker())


@pytest.fixture(scope="module")
def double_oracle(kuhn):
    return Psro(kuhn, PsroSettings(capacity=12, meta_solver="nash_lp", tolerance=1e-5)).run(KEY)


def test_double_oracle_solves_kuhn_poker(double_oracle):
    rows = double_oracle.rows()
    reference = [0.91666667, 0.83333333, 0.33333333, 0.2, 0.16666667, 0.06410256, 0]
    np.testing.assert_allclose(rows["nash_conv"], reference, atol=5e-6)
    assert rows["value"][-1, 0] == pytest.approx(-1 / 18, abs=1e-6)
    assert bool(double_oracle.done)


def test_certificates_are_of_the_equivalent_behaviour_strategies(kuhn, double_oracle):
    @jax.jit
    def recomputed(populations, mixtures):
        policies = kuhn.mixed_policies(populations, mixtures)
        profile = (populations[0][1], populations[1][1])
        return extensive_nash_conv(kuhn.game, policies), kuhn.payoffs(policies), kuhn.payoffs(profile)

    gap, value, payoffs = recomputed(double_oracle.populations, double_oracle.mixtures)
    assert float(gap) == pytest.approx(0, abs=1e-5)
    assert float(value[0]) == pytest.approx(-1 / 18, abs=1e-6)
    np.testing.assert_allclose(double_oracle.empirical.cells.mean[:, 1, 1], payoffs, atol=1e-6)


def test_fictitious_play_on_kuhn_poker(kuhn):
    rows = Psro(kuhn, PsroSettings(capacity=30, meta_solver="uniform")).run(KEY).rows()
    assert rows["size"][9].tolist() == [10, 10]
    assert rows["nash_conv"][9] == pytest.approx(0.18333, abs=1e-5)
    assert rows["nash_conv"][29] == pytest.approx(0.09166667, abs=1e-6)


def test_three_players_meet_independent_and_correlated_mixtures():
    psro, seat = ExtensivePsro(kuhn_poker(3)), 1
    rng = np.random.default_rng(0)
    populations = tuple(jnp.asarray(rng.dirichlet([1, 1], (2, size)), jnp.float32) for size in (16, 16, 16))
    weights = np.array([[0.3, 0.7], [0.5, 0.5], [0.6, 0.4]], np.float32)

    @jax.jit
    def respond(others):
        response = psro.best_response(seat, populations, others, KEY)
        return response, psro.payoff_row(seat, response, populations, KEY).mean

    @jax.jit
    def reference(weights, response):
        policies = psro.mixed_policies(populations, weights)
        first = (populations[0][0], response, populations[2][1])
        return extensive_best_response(psro.game, seat, policies)[1], psro.payoffs(first)

    response, row = respond(np.outer(weights[0], weights[2]))
    value, payoffs = reference(weights, response)
    assert float(np.sum(np.outer(weights[0], weights[2]) * row[seat])) == pytest.approx(float(value), abs=1e-6)
    np.testing.assert_allclose(row[:, 0, 1], payoffs, atol=1e-6)
    # those who move together cannot be told apart by marginals, nor answered as well as if they could be
    correlated = np.diag([0.5, 0.5]).astype(np.float32)
    best = float(np.sum(correlated * respond(correlated)[1][seat]))
    assert best >= float(np.sum(correlated * row[seat])) - 1e-6
    known = [float(respond(np.diag(np.eye(2, dtype=np.float32)[k]))[1][seat, k, k]) for k in range(2)]
    assert best <= np.mean(known) + 1e-6


@pytest.mark.slow
def test_double_oracle_on_leduc_poker():
    psro = ExtensivePsro(leduc_poker())
    state = Psro(psro, PsroSettings(capacity=30, meta_solver="nash_lp")).run(KEY)
    rows = state.rows()
    np.testing.assert_allclose(rows["nash_conv"][:2], [4.74722, 6.83333], atol=1e-5)
    assert rows["nash_conv"][-1] < 2


def test_responses_are_sensible_where_the_mixture_never_leads():
    """`psro_v2` takes 8 iterations; with the first legal bid wherever the mixture never leads it would be 36."""
    psro = Psro(ExtensivePsro(goofspiel(4)), PsroSettings(capacity=12, meta_solver="nash_lp", tolerance=1e-5))
    rows = psro.run(KEY).rows()
    assert len(rows["nash_conv"]) <= 8
    assert rows["nash_conv"][-1] < 1e-5


@pytest.mark.slow
def test_responses_found_again_count_twice_where_the_start_matters(kuhn):
    """Without that the run would end at 0.040 after 8 iterations; `psro_v2` is at 0.029 after 20."""
    rows = Psro(kuhn, PsroSettings(capacity=20, meta_solver="prd", tolerance=1e-5)).run(KEY).rows()
    assert len(rows["nash_conv"]) == 20
    assert rows["nash_conv"][-1] < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("meta", ["mgcce", "nash"])
def test_other_equilibria_take_kuhn_poker_along_the_same_path(kuhn, meta):
    rows = Psro(kuhn, PsroSettings(capacity=12, meta_solver=meta, tolerance=1e-4)).run(KEY).rows()
    np.testing.assert_allclose(rows["nash_conv"][:4], [0.91666667, 0.83333333, 0.33333333, 0.2], atol=1e-3)
    assert len(rows["nash_conv"]) <= 8
    assert rows["nash_conv"][-1] < 1e-3


@pytest.mark.slow
def test_double_oracle_on_goofspiel():
    psro = ExtensivePsro(goofspiel(3, points_order="random"))
    state = Psro(psro, PsroSettings(capacity=30, meta_solver="nash_lp", tolerance=1e-5)).run(KEY)
    assert state.rows()["nash_conv"][-1] < 1e-5
    assert state.rows()["value"][-1] == pytest.approx([0, 0], abs=1e-5)

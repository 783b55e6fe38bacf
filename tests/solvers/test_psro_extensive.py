"""PSRO on extensive-form games: exact double oracle and fictitious play on poker, general-sum and three players."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.extensive_metrics import extensive_deviation_gains, extensive_nash_conv
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
    np.testing.assert_allclose(rows["nash_conv"][:2], [11 / 12, 5 / 6], atol=1e-6)  # later ones depend on ties
    assert len(rows["nash_conv"]) <= 12
    assert rows["nash_conv"][-1] < 1e-5
    assert rows["value"][-1, 0] == pytest.approx(-1 / 18, abs=1e-6)
    assert bool(double_oracle.done)


def test_certificates_are_of_the_equivalent_behaviour_strategies(kuhn, double_oracle):
    policies = kuhn.mixed_policies(double_oracle.populations, double_oracle.mixtures)
    assert float(extensive_nash_conv(kuhn.game, policies)) == pytest.approx(0, abs=1e-5)
    first, second = (population[1] for population in double_oracle.populations)
    payoffs = kuhn.payoffs((first, second))
    np.testing.assert_allclose(double_oracle.empirical.cells.mean[:, 1, 1], payoffs, atol=1e-6)


def test_fictitious_play_on_kuhn_poker(kuhn):
    rows = Psro(kuhn, PsroSettings(capacity=30, meta_solver="uniform")).run(KEY).rows()
    assert rows["size"][9].tolist() == [10, 10]
    assert rows["nash_conv"][9] == pytest.approx(0.18333, abs=1e-5)
    assert rows["nash_conv"][29] == pytest.approx(0.09166667, abs=1e-6)


def test_three_players(kuhn):
    """A coarse correlated equilibrium: its certificate is recomputed for the mixture of each player's own policies."""
    psro = ExtensivePsro(kuhn_poker(3))
    state = Psro(psro, PsroSettings(capacity=4, meta_solver="uniform")).run(KEY)
    policies = psro.mixed_policies(state.populations, state.mixtures)
    gains = extensive_deviation_gains(psro.game, policies)
    np.testing.assert_allclose(state.rows()["gain"][-1], gains, atol=1e-6)
    assert float(jnp.sum(gains)) > 0


@pytest.mark.slow
def test_double_oracle_on_leduc_poker():
    psro = ExtensivePsro(leduc_poker())
    state = Psro(psro, PsroSettings(capacity=30, meta_solver="nash_lp")).run(KEY)
    rows = state.rows()
    np.testing.assert_allclose(rows["nash_conv"][:2], [4.74722, 6.83333], atol=1e-5)
    assert rows["nash_conv"][-1] < 2


@pytest.mark.slow
def test_double_oracle_on_goofspiel():
    psro = ExtensivePsro(goofspiel(3, points_order="random"))
    state = Psro(psro, PsroSettings(capacity=30, meta_solver="nash_lp", tolerance=1e-5)).run(KEY)
    assert state.rows()["nash_conv"][-1] < 1e-5
    assert state.rows()["value"][-1] == pytest.approx([0, 0], abs=1e-5)

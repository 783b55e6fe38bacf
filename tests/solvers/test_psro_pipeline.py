"""Pipeline PSRO: levels respond to those below them, so that less is left to do once one is fixed."""

import jax
import numpy as np
import pytest

from jaxmarl.games import nash_conv, zero_sum_game
from jaxmarl.solvers.psro import NormalFormPsro, Psro, PsroSettings
from jaxmarl.solvers.psro.pipeline import Pipeline, PipelineSettings, gradual_responses, mixed_strategies
from jaxmarl.solvers.psro.saved import run_saved

RPS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], np.float32)
ROCK, PAPER, SCISSORS = np.eye(3)
KEY = jax.random.key(0)


def pipeline(matrix, levels, rate=0.4, **settings):
    game = NormalFormPsro(zero_sum_game(matrix), zero_sum=True, symmetric=False)
    return Pipeline(game, gradual_responses(game, rate), PipelineSettings(levels=levels, **settings))


@pytest.fixture(scope="module")
def rps():
    return pipeline(RPS, 2, capacity=8)


@pytest.fixture(scope="module")
def rps_states(rps):
    states = []
    rps.run(KEY, states.append)
    return states


def test_a_level_responds_to_those_below_it_as_they_are_now(rps_states):
    """Rock is fixed, paper beats it; above it scissors train as soon as there is enough paper to beat."""
    last = next(state for state in reversed(rps_states) if int(state.iteration) and int(state.fixed) == 1)
    for population in last.populations:
        np.testing.assert_allclose(population[0], ROCK)
        np.testing.assert_allclose(population[1], PAPER, atol=0.05)
        assert np.argmax(population[2]) == 2  # one that started when paper was fixed would still be rock
    after = next(state for state in rps_states if int(state.fixed) == 2)
    np.testing.assert_allclose(after.populations[0][2], last.populations[0][2], atol=0.5)
    assert np.argmax(after.populations[0][2]) == 2


def test_payoffs_of_active_strategies_follow_them(rps_states):
    for state in rps_states[::4]:
        first, second = (np.asarray(population) for population in state.populations)
        np.testing.assert_allclose(state.empirical.cells.mean[0], first @ RPS @ second.T, atol=1e-6)
        assert int(state.empirical.sizes[0]) == int(state.fixed) + 2
        assert float(np.asarray(state.mixtures)[:, int(state.fixed) :].max()) == 0  # none of them is in the mixture


def test_it_ends_in_an_equilibrium_that_is_certified(rps, rps_states):
    state = rps_states[-1]
    gap = float(nash_conv(rps.game.game, mixed_strategies(state)))
    assert state.rows()["nash_conv"][-1] == pytest.approx(gap, abs=1e-5)
    assert gap < 0.05


def test_more_levels_take_fewer_steps():
    matrix = np.random.default_rng(0).uniform(-1, 1, (9, 9)).astype(np.float32)
    steps = []
    for levels in (1, 3):
        rows = pipeline(matrix, levels, capacity=30, iterations=120).run(KEY).rows()
        steps.append(int(np.argmax(rows["nash_conv"] < 0.05)))
        assert steps[-1] > 0
    assert steps[1] < 0.8 * steps[0]


def test_with_one_level_and_exact_responses_it_is_psro():
    matrix = np.random.default_rng(1).uniform(-1, 1, (8, 8)).astype(np.float32)
    rows = pipeline(matrix, 1, rate=1.0, capacity=16, patience=1, improvement=np.inf).run(KEY).rows()
    game = NormalFormPsro(zero_sum_game(matrix), zero_sum=True, symmetric=False)
    plain = Psro(game, PsroSettings(capacity=16, meta_solver="nash_lp", tolerance=1e-4)).run(KEY).rows()
    np.testing.assert_allclose(rows["nash_conv"], plain["nash_conv"], atol=1e-5)


def test_runs_are_saved_and_resumed(rps, tmp_path):
    class Stop(Exception):
        pass

    def stop(state):
        if int(state.iteration) == 5:
            raise Stop

    whole = run_saved(rps, tmp_path / "whole")
    with pytest.raises(Stop):
        run_saved(rps, tmp_path / "half", on_iteration=stop)
    resumed = run_saved(rps, tmp_path / "half", resume=True)
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        if not jax.numpy.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(one, two)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="capacity"):
        PipelineSettings(levels=4, capacity=4)
    with pytest.raises(ValueError, match="rate must be in"):
        gradual_responses(NormalFormPsro(zero_sum_game(RPS)), 0.0)

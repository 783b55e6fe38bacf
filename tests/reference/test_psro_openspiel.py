"""NashConv by iteration beside OpenSpiel's `psro_v2`, run here: the same oracle, meta-solver and start."""

import itertools

import jax
import numpy as np
import pytest

from jaxmarl.games import zero_sum_game
from jaxmarl.games.extensive_zoo import kuhn_poker
from jaxmarl.interop.open_spiel_psro import psro_v2_iterations
from jaxmarl.solvers.psro import ExtensivePsro, NormalFormPsro, Psro, PsroSettings

pyspiel = pytest.importorskip("pyspiel")
pytest.importorskip("cvxpy")

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
SOLVED = 1e-5


def peer(game, count, meta="nash", **options):
    return [row.nash_conv for row in itertools.islice(psro_v2_iterations(game, meta, **options), count)]


def peer_of_matrix(matrix, count, meta="nash", **options):
    game = pyspiel.convert_to_turn_based(pyspiel.create_matrix_game(matrix.tolist(), (-matrix).tolist()))
    return peer(game, count, meta, first_action=0, episodes=1, **options)


def ours(game, meta, capacity):
    settings = PsroSettings(capacity=capacity, meta_solver=meta, shared=False, tolerance=SOLVED)
    return Psro(game, settings).run(jax.random.key(0)).rows()["nash_conv"]


@pytest.fixture(scope="module")
def matrices():
    """Ours on both, in one shape: the second is rock-paper-scissors among actions that lose to everything."""
    random = np.random.default_rng(0).uniform(-1, 1, (9, 9))
    padded = np.zeros((9, 9))
    padded[:3, 3:], padded[3:, :3], padded[:3, :3] = 2, -2, RPS
    curves = [
        ours(NormalFormPsro(zero_sum_game(m.astype(np.float32)), True, False), "nash_lp", 9) for m in (random, padded)
    ]
    return (random, padded), curves


def test_without_ties_the_curves_are_equal(matrices):
    games, curves = matrices
    for matrix, curve in zip(games, curves, strict=True):
        np.testing.assert_allclose(peer_of_matrix(matrix, len(curve)), curve, atol=1e-5)
        assert curve[-1] < SOLVED


@pytest.mark.slow
def test_projected_replicator_dynamics_as_meta_solver(matrices):
    matrix = matrices[0][0]
    curve = ours(NormalFormPsro(zero_sum_game(matrix.astype(np.float32)), True, False), "prd", 5)
    options = {"prd_iterations": 5000, "prd_gamma": 1e-6}
    found = peer_of_matrix(matrix, 5, "prd", prd_dt=1e-2 / np.ptp(matrix), **options)
    # the peer's step is in units of payoffs, ours of the range of the population's payoffs
    np.testing.assert_allclose(curve, found, atol=0.05)
    assert curve[-1] < found[-1] + 0.01


def test_kuhn_poker_goes_the_same_way():
    curve, reference = ours(ExtensivePsro(kuhn_poker()), "nash_lp", 12), peer(pyspiel.load_game("kuhn_poker"), 8)
    np.testing.assert_allclose(curve, reference[: len(curve)], atol=1e-5)
    assert np.argmax(curve < SOLVED) == np.argmax(np.array(reference) < SOLVED)


def test_iterations_of_the_peer_count_time_and_strategies():
    rows = list(itertools.islice(psro_v2_iterations(pyspiel.load_game("kuhn_poker"), "uniform"), 4))
    assert [row.size for row in rows] == [1, 2, 3, 4]
    assert all(earlier.seconds < later.seconds for earlier, later in itertools.pairwise(rows))

"""Double oracle and joint PSRO on normal-form games: reference runs, certificates, variants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, bimatrix_game, nash_conv, zero_sum_game
from jaxmarl.games.metrics import cce_gap, swap_gap
from jaxmarl.solvers.psro import (
    NormalFormPsro,
    Psro,
    PsroSettings,
    double_oracle,
    effective_diversity,
    expected_cardinality,
    mix,
    run_inside_jit,
)

RPS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
SIZE = 50
KEY = 0


def uniform_matrix(seed, size):
    return np.random.default_rng(seed).uniform(-1, 1, (size, size))


def padded(matrix):
    """The game among 50 actions, most of them illegal: every zero-sum test runs the same compiled iteration."""
    rows, columns = matrix.shape
    table = np.full((2, SIZE, SIZE), 7.0, np.float32)
    table[:, :rows, :columns] = matrix, -matrix
    return NormalFormGame(table, [np.arange(SIZE) < rows, np.arange(SIZE) < columns])


def run(matrix):
    game = padded(matrix)
    psro = Psro(NormalFormPsro(game, zero_sum=True, symmetric=False), PsroSettings(capacity=SIZE))
    state = psro.run(jax.random.key(KEY))
    strategies = tuple(mix(w, pop) for w, pop in zip(state.mixtures, state.populations, strict=True))
    return game, state, strategies


def statistics(states):
    """Mean iterations, number of times NashConv rose, mean size of the support of the row player's mixture."""
    iterations = np.mean([int(state.iteration) for state in states])
    rises = sum(int(np.sum(np.diff(state.rows()["nash_conv"]) > 0)) for state in states)
    return iterations, rises, np.mean([int(np.sum(np.asarray(state.mixtures[0]) > 1e-6)) for state in states])


@pytest.fixture(scope="module")
def twenty():
    return [run(uniform_matrix(seed, 20)) for seed in range(10)]


def test_double_oracle_takes_the_iterations_of_the_reference_runs(twenty):
    assert [int(state.iteration) for _, state, _ in twenty] == [14, 16, 17, 20, 14, 18, 16, 16, 18, 13]
    supports = [int(np.sum(np.asarray(state.mixtures[0]) > 1e-6)) for _, state, _ in twenty]
    assert np.mean(supports) == pytest.approx(10.7)


def test_nash_conv_along_a_run_is_exact_and_not_monotone(twenty):
    rises = sum(int(np.sum(np.diff(state.rows()["nash_conv"]) > 0)) for _, state, _ in twenty)
    assert rises == 45
    for game, state, strategies in twenty:
        rows = state.rows()
        assert rows["nash_conv"][-1] < 1e-6
        assert np.max(rows["meta_gap"]) < 1e-6
        assert float(nash_conv(game, strategies)) < 2e-6


def test_reference_runs_of_fifty_actions():
    states = [run(uniform_matrix(seed, SIZE))[1] for seed in range(10)]
    values = [float(state.rows()["value"][-1, 0]) for state in states[:3]]
    np.testing.assert_allclose(values, [-0.00923148, -0.01191396, -0.00367701], atol=2e-7)
    iterations, rises, support = statistics(states)
    assert (iterations, rises, support) == (pytest.approx(35.0), 113, pytest.approx(26.2))


def test_populations_hold_no_more_than_is_needed():
    assert run(RPS)[1].rows()["size"][-1].tolist() == [3, 3]
    assert run(PENNIES)[1].rows()["size"][-1].tolist() == [2, 2]


def test_payoffs_of_a_population_are_those_of_its_strategies(twenty):
    game, state, _ = twenty[0]
    sizes = state.empirical.sizes
    for i, j in [(0, 0), (3, 5), (int(sizes[0]) - 1, int(sizes[1]) - 1)]:
        expected = game.expected_payoffs((state.populations[0][i], state.populations[1][j]))
        np.testing.assert_allclose(state.empirical.cells.mean[:, i, j], expected, atol=1e-6)
    missing = ~np.asarray(state.empirical.masks[0])
    assert np.all(np.asarray(state.empirical.cells.mean)[:, missing] == 0)
    assert np.all(np.asarray(state.joint)[missing] == 0)


@pytest.mark.slow
def test_double_oracle_reference_runs_of_a_hundred_actions():
    """By linear programs, as interior points in float32 leave 1e-4 on two strategies that are not played exactly."""
    settings = PsroSettings(capacity=100, meta_solver="nash_lp")
    states = []
    for seed in range(10):
        game = NormalFormPsro(zero_sum_game(uniform_matrix(seed, 100)))
        states.append(Psro(game, settings).run(jax.random.key(KEY)))
    iterations, rises, support = statistics(states)
    assert (iterations, rises, support) == (pytest.approx(66.5), 249, pytest.approx(50.9))


def test_uniform_meta_solver_is_fictitious_play_and_a_run_fits_into_jit():
    settings = PsroSettings(capacity=12, meta_solver="uniform")
    games = jax.vmap(lambda matrix: zero_sum_game(matrix))(jnp.asarray([uniform_matrix(s, 4) for s in range(3)]))

    def whole(game):
        return run_inside_jit(NormalFormPsro(game, zero_sum=True, symmetric=False), settings, jax.random.key(KEY))

    states = jax.jit(jax.vmap(whole))(games)
    for seed in range(3):
        counts, matrix, gaps = np.eye(2, 4)[[0, 0]], uniform_matrix(seed, 4), []
        for _ in range(12):
            x, y = counts[0] / counts[0].sum(), counts[1] / counts[1].sum()
            gaps.append(np.max(matrix @ y) - np.min(x @ matrix))
            counts[0, np.argmax(matrix @ y)] += 1
            counts[1, np.argmin(x @ matrix)] += 1
        np.testing.assert_allclose(states.nash_conv[seed], gaps, atol=1e-6)


def test_symmetric_games_share_a_population():
    rng = np.random.default_rng(5)
    matrix = rng.uniform(-1, 1, (9, 9))
    matrix = matrix - matrix.T
    game = zero_sum_game(matrix)
    psro = Psro(NormalFormPsro(game), PsroSettings(capacity=9, meta_solver="nash_lp"))
    iterations = []
    state = psro.run(jax.random.key(KEY), lambda state: iterations.append(int(state.iteration)))
    assert iterations == list(range(1, len(iterations) + 1))
    first, second = (np.asarray(population) for population in state.populations)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(state.empirical.cells.mean[0], first @ matrix @ first.T, atol=1e-6)
    np.testing.assert_allclose(state.empirical.cells.mean[1], -(first @ matrix @ first.T), atol=1e-6)
    assert float(nash_conv(game, tuple(mix(w, first) for w in state.mixtures))) < 2e-6


@pytest.mark.slow
def test_three_symmetric_players_share_a_population():
    base = np.random.default_rng(3).uniform(-1, 1, (3, 3, 3))
    own = (base + base.transpose(0, 2, 1)) / 2  # what the first gets does not depend on which other does what
    game = NormalFormGame(np.stack([own, own.transpose(1, 0, 2), own.transpose(2, 1, 0)]).astype(np.float32))
    assert bool(game.is_symmetric())
    psro = Psro(NormalFormPsro(game), PsroSettings(capacity=3, meta_solver="cce_max_welfare"))
    state = psro.run(jax.random.key(KEY))
    population = np.asarray(state.populations[0])
    exact = np.einsum("nabc,ia,jb,kc->nijk", game.payoffs, population, population, population)
    np.testing.assert_allclose(state.empirical.cells.mean, exact, atol=1e-6)
    assert state.rows()["nash_conv"][-1] < 1e-5


@pytest.mark.slow
def test_joint_psro_of_three_players_reaches_a_coarse_correlated_equilibrium_of_the_game():
    game = NormalFormGame(np.random.default_rng(1).uniform(-1, 1, (3, 4, 4, 4)).astype(np.float32))
    solution = double_oracle(game, PsroSettings(capacity=4, meta_solver="mgcce", tolerance=1e-3))
    assert float(solution.gap) == pytest.approx(float(cce_gap(game, solution.joint)))
    assert float(solution.gap) < 1e-3
    assert solution.trace["nash_conv"][0] > 0.1


@pytest.mark.slow
def test_responses_to_recommendations_reach_a_correlated_equilibrium():
    shapley = bimatrix_game([[0.0, 2, 1], [1, 0, 2], [2, 1, 0]], [[0.0, 1, 2], [2, 0, 1], [1, 2, 0]])
    solution = double_oracle(shapley, PsroSettings(capacity=3, meta_solver="mwce"))
    assert solution.gap_kind == "ce_gap"
    assert float(swap_gap(shapley, solution.joint)) < 1e-5
    assert float(solution.payoffs.sum()) == pytest.approx(3, abs=1e-5)


@pytest.mark.slow
def test_anytime_mixtures_are_never_more_exploitable_than_before():
    settings = PsroSettings(capacity=12, variant="anytime")
    for seed in range(3):
        game = zero_sum_game(uniform_matrix(seed, 12))
        state = Psro(NormalFormPsro(game, symmetric=False), settings).run(jax.random.key(KEY))
        gaps = state.rows()["nash_conv"]
        assert len(gaps) > 3
        assert np.all(np.diff(gaps) <= 1e-6)
        assert gaps[-1] < 1e-5


@pytest.mark.slow
def test_mixed_strategies_of_self_play_take_fewer_iterations():
    for seed in range(3):
        game = NormalFormPsro(zero_sum_game(uniform_matrix(seed, 20)), symmetric=False)
        plain, helped = (
            Psro(game, PsroSettings(capacity=40, self_play=self_play)).run(jax.random.key(KEY))
            for self_play in (False, True)
        )
        assert int(helped.iteration) < int(plain.iteration)
        assert helped.rows()["nash_conv"][-1] < 1e-5


@pytest.mark.slow
def test_rectified_and_diverse_responses_end_in_an_equilibrium():
    matrix = uniform_matrix(2, 8)
    game = zero_sum_game(matrix - matrix.T)
    rectified = PsroSettings(capacity=8, variant="rectified", meta_solver="nash_lp")
    diverse = PsroSettings(capacity=8, iterations=30, diversity=0.15, meta_solver="nash_lp")
    for settings in (rectified, diverse):
        state = Psro(NormalFormPsro(game), settings).run(jax.random.key(KEY))
        population = state.populations[0]
        # the certificate is of best responses, whatever was added
        exact = nash_conv(game, tuple(mix(w, population) for w in state.mixtures))
        assert state.rows()["nash_conv"][-1] == pytest.approx(float(exact), abs=2e-6)
    assert float(exact) < 2e-6


@pytest.mark.parametrize("variant", ["standard", "preference"])
def test_preferred_responses_find_what_wins_by_little(variant):
    """Muller et al. (2020): the last action beats all others by little; best responses to alpha-rank never find it."""
    phi, little = 10.0, 0.5
    upper = np.zeros((5, 5))
    upper[0, 1:] = -phi, 1, phi, -little
    upper[1, 2:] = -(phi**2), 1, -little
    upper[2, 3:] = -phi, -little
    upper[3, 4] = -little
    game = NormalFormPsro(zero_sum_game(upper - upper.T), symmetric=False)
    psro = Psro(game, PsroSettings(capacity=5, iterations=12, meta_solver="alpharank", variant=variant))
    state = psro.run(jax.random.key(KEY))
    assert state.rows()["size"][-1, 0] >= 3
    played = np.asarray(mix(state.mixtures[0], state.populations[0]))
    assert played[4] == pytest.approx(float(variant == "preference"), abs=1e-3)


def test_diversity_of_rock_paper_scissors():
    assert float(expected_cardinality(jnp.asarray(RPS))) == pytest.approx(1.5, abs=1e-6)
    assert float(effective_diversity(jnp.asarray(RPS), jnp.full(3, 1 / 3))) == pytest.approx(1 / 3, abs=1e-6)
    copies = jnp.asarray(RPS)[jnp.array([0, 0, 1, 2])]
    assert float(expected_cardinality(copies)) < 2
    masked = expected_cardinality(jnp.concatenate([jnp.asarray(RPS), jnp.full((2, 3), 9.0)]), jnp.arange(5) < 3)
    assert float(masked) == pytest.approx(1.5, abs=1e-6)


class Watched(NormalFormPsro):
    """Keeps what its oracle is asked."""

    pure = False

    def best_response(self, seat, populations, others, key):
        asked.append((seat, np.asarray(others)))
        return super().best_response(seat, populations, others, key)


asked = []


def test_responses_expect_trembles_and_one_seat_may_respond_alone():
    game = NormalFormGame(jnp.asarray(np.stack([RPS + 1, (RPS + 1).T]), jnp.float32))
    settings = PsroSettings(capacity=3, meta_solver="last", tremble=0.3, single_oracle=True)
    asked.clear()
    state = Psro(Watched(game, zero_sum=False), settings).run(jax.random.key(0))
    assert [seat for seat, _ in asked] == [0, 0, 0]
    expected = [[1, 0, 0], [0.15, 0.85, 0], [0.1, 0.1, 0.8]]  # rock, paper, scissors, each the newest in turn
    np.testing.assert_allclose([others for _, others in asked], expected, atol=1e-6)
    rows = state.rows()
    np.testing.assert_allclose(rows["mixture"][:, 0], np.eye(3), atol=1e-6)
    # the response to the tremble, but its gain against the mixture itself
    np.testing.assert_allclose(rows["gain"], np.ones((3, 2)), atol=1e-6)
    asked.clear()
    Psro(Watched(game, zero_sum=False), PsroSettings(capacity=3, meta_solver="last")).run(jax.random.key(0))
    assert [seat for seat, _ in asked[:2]] == [0, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 0}, "capacity"),
        ({"variant": "rectifed"}, "did you mean 'rectified'"),
        ({"shared": True}, "not symmetric"),
        ({"single_oracle": True}, "single_oracle"),
        ({"tremble": 1.0}, "tremble"),
        ({"variant": "anytime"}, "variant"),
        ({"self_play": True}, "self_play"),
        ({"meta_solver": "nsh"}, "unknown meta-solver 'nsh'"),
        ({"meta_options": (("alpha", 1),)}, "meta_options"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(settings, message):
    game = bimatrix_game(uniform_matrix(0, 3), uniform_matrix(1, 3))
    with pytest.raises(ValueError, match=message) as error:
        Psro(NormalFormPsro(game), PsroSettings(**settings))
    assert "\n" not in str(error.value)

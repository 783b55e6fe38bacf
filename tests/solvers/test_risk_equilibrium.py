"""Risk-averse equilibria: the tables of 2 x 2 and 3 x 3 games, selection by trembles, the solvers, invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, bimatrix_game, symmetric_game, zero_sum_game
from jaxmarl.solvers.polish import indifferent_point
from jaxmarl.solvers.risk import (
    LowerPartialMoment,
    rae_damped,
    rae_extragradient,
    rae_fictitious_play,
    risk_averse_players,
    risk_report,
)

AVERSIONS = (0.0, 0.02, 0.1, 0.5, 1.0)
# payoffs a, b, c, d of [[a, b], [c, d]]: probability of the first action in the interior symmetric equilibrium
SYMMETRIC = {
    (4.0, 1.0, 3.0, 2.0): (0.5, 0.52037359, 0.60562848, 0.84781038, 0.91964338),
    (4.0, 0.0, 3.0, 3.0): (0.75, 0.77175119, 0.84023471, 0.94535238, 0.97072046),
    (10.0, 0.0, 7.0, 7.0): (0.7, 0.75579824, 0.88274233, 0.97124558, 0.98530605),
    (0.0, -1.0, 1.0, -10.0): (0.9, 0.90655493, 0.92449980, 0.95768033, 0.97141392),
    (-1.0, 4.0, 0.0, 2.0): (0.66666667, 0.63040135, 0.49278511, 0.21674509, 0.12924247),
}
SEXES = ([[3.0, 0], [0, 2]], [[2.0, 0], [0, 3]])
SEXES_INTERIOR = {  # risk aversion: probability of the first action, of each player
    0.0: (0.6, 0.4),
    0.05: (0.57826306, 0.42173694),
    0.1: (0.56046941, 0.43953059),
    0.2: (0.53353354, 0.46646646),
    0.5: (0.48891318, 0.51108682),
}
ROW = [[0.0, 3, -1], [-1, 0, 4], [2, -1, 0]]
COLUMN = [[0.0, -1, 2], [3, 0, -1], [-1, 3, 0]]
# (risk aversion, tremble): both strategies, then mean and variance of each player
MIXED = {
    (0.0, 0.0): (
        (0.40625, 0.28125, 0.3125),
        (0.44736842, 0.28947368, 0.26315789),
        (0.6052632, 0.0602087, 0.5312500, 0.1233742),
    ),
    (0.05, 0.0): (
        (0.39427371, 0.29587479, 0.30985150),
        (0.43484861, 0.29723843, 0.26791296),
        (0.6117401, 0.0647694, 0.5423431, 0.1109313),
    ),
    (0.1, 0.0): (
        (0.38315310, 0.30822332, 0.30862358),
        (0.42123081, 0.30289553, 0.27587366),
        (0.6192767, 0.0700676, 0.5502575, 0.0950373),
    ),
    (0.25, 0.0): (
        (0.36190292, 0.32672115, 0.31137593),
        (0.38091014, 0.30949118, 0.30959867),
        (0.6449754, 0.0794244, 0.5547834, 0.0470668),
    ),
    (1.0, 0.0): (
        (0.34816601, 0.28923748, 0.36259652),
        (0.31166732, 0.30680452, 0.38152815),
        (0.6536574, 0.0241971, 0.5396660, 0.0042080),
    ),
    (0.25, 0.1): (
        (0.36418416, 0.32824381, 0.30757203),
        (0.38421064, 0.30844974, 0.30733962),
        (0.6469181, 0.0833100, 0.5563045, 0.0501090),
    ),
}


def _interior(payoffs, gamma, tremble, start):
    """The equilibrium in which everything is played, by Newton's method from nearby, and its report."""
    game = NormalFormGame(payoffs)
    players, sizes = risk_averse_players(game, gamma, tremble, None), np.array(game.num_actions)

    def gradients(flat):
        return jnp.concatenate(players.gradients(flat.reshape(2, -1)))

    solved = indifferent_point(gradients, np.repeat(np.arange(2), sizes), jnp.ones(sizes.sum(), bool), start.ravel())
    strategies = tuple(solved.reshape(2, -1))
    return solved.reshape(2, -1), players.report(strategies)


@pytest.fixture(scope="module")
def interior():
    return jax.jit(jax.vmap(_interior))


def test_interior_equilibria_of_2x2_games(interior):
    cases = []
    for (a, b, c, d), probabilities in SYMMETRIC.items():
        payoffs = symmetric_game([[a, b], [c, d]]).payoffs
        cases += [(payoffs, gamma, (q, q)) for gamma, q in zip(AVERSIONS, probabilities, strict=True)]
    cases += [(bimatrix_game(*SEXES).payoffs, gamma, both) for gamma, both in SEXES_INTERIOR.items()]
    with jax.enable_x64(True):
        payoffs, gammas, exact = (np.asarray(column, np.float64) for column in zip(*cases, strict=True))
        near = np.round(exact, 2)
        found, report = interior(payoffs, gammas, np.zeros(len(cases)), np.stack([near, 1 - near], 2))
        np.testing.assert_allclose(found[:, :, 0], exact, atol=6e-9)
        assert float(report.gap.max()) < 1e-9


def test_the_fully_mixed_equilibria_of_a_3x3_game(interior):
    rows, columns, numbers = (np.array(column) for column in zip(*MIXED.values(), strict=True))
    exact, keys = np.stack([rows, columns], 1), np.array([*MIXED])
    with jax.enable_x64(True):
        payoffs = np.broadcast_to(np.array([ROW, COLUMN]), (len(MIXED), 2, 3, 3))
        found, report = interior(payoffs, keys[:, 0], keys[:, 1], np.round(exact, 2))
    np.testing.assert_allclose(found, exact, atol=6e-9)
    moments = np.stack([report.mean, report.variance], 2).reshape(-1, 4)
    np.testing.assert_allclose(moments, numbers, atol=6e-8)
    assert float(report.gap.max()) < 1e-12


@pytest.fixture(scope="module")
def mixed():
    """What the solvers find for all rows of the table in the 3 x 3 game, by name, and the exact strategies."""
    game, keys = bimatrix_game(ROW, COLUMN), jnp.array([*MIXED])

    def extragradient(key):
        return rae_extragradient(game, risk_aversion=key[0], tremble=key[1], iterations=300)

    def damped(key):
        return rae_damped(game, risk_aversion=key[0], tremble=key[1], iterations=600, step_size=0.03, half_life=300.0)

    found = {f.__name__: jax.jit(jax.vmap(f))(keys) for f in (extragradient, damped)}
    return found, np.array([x for x, _, _ in MIXED.values()])


def test_extragradient_finds_them_and_says_where_it_does_not(mixed):
    solution, rows = mixed[0]["extragradient"], mixed[1]
    np.testing.assert_allclose(solution.strategies[0][1:], rows[1:], atol=3e-6)
    assert float(solution.risk.gap[1:].max()) < 2e-6
    assert float(solution.risk.gap[0].max()) > 0.1  # without risk aversion it cycles in this game
    assert float(solution.gap[4]) > 1e-2  # what the risk-averse play is no Nash equilibrium


def test_damped_responses_converge_with_much_risk_aversion_and_cycle_with_little(mixed):
    solution, rows = mixed[0]["damped"], mixed[1]
    error = np.abs(np.asarray(solution.strategies[0]) - rows).max(1)
    assert (error[3:] < 1e-4).all()
    assert error[1] > 1e-3


def test_a_completely_mixed_equilibrium_of_a_zero_sum_game_is_without_risk():
    game = zero_sum_game([[2.0, -1], [-1, 1]])
    strategies = (jnp.array([0.4, 0.6]), jnp.array([0.4, 0.6]))
    judge = jax.jit(jax.vmap(lambda gamma: risk_report(game, strategies, risk_aversion=gamma, tremble=0.0)))
    report = judge(jnp.array([0.1, 1.0, 10.0]))
    np.testing.assert_allclose(report.gap, 0, atol=1e-6)
    np.testing.assert_allclose(report.variance, 0, atol=1e-12)
    assert float(report.total_variance.min()) > 0.1


def test_without_trembles_every_pure_nash_equilibrium_is_one_for_the_risk_averse():
    """Nobody can vary, so there is no risk; and no other pure profile is an equilibrium either."""
    profiles = jnp.asarray(np.indices((3, 2, 3)).reshape(3, -1).T)
    gammas = jnp.array([0.0, 0.3, 30.0])

    @jax.jit
    @jax.vmap
    def judge(payoffs):
        game = NormalFormGame(payoffs)

        def of(profile):
            strategies = tuple(jax.nn.one_hot(profile[i], size) for i, size in enumerate((3, 2, 3)))
            at = [jnp.moveaxis(payoffs[i], i, 0)[(slice(None), *jnp.delete(profile, i))] for i in range(3)]
            gain = jnp.stack([rows.max() - rows[profile[i]] for i, rows in enumerate(at)])
            report = jax.vmap(lambda gamma: risk_report(game, strategies, risk_aversion=gamma, tremble=0.0))(gammas)
            return gain, report.gap, report.variance

        return jax.vmap(of)(profiles)

    payoffs = np.random.default_rng(0).uniform(-1, 1, (16, 3, 3, 2, 3)).astype(np.float32)
    gain, gap, variance = judge(payoffs)
    nash = np.asarray(gain).max(-1) == 0
    assert 5 < nash.sum() < nash.size / 2
    np.testing.assert_allclose(np.asarray(gap)[nash], 0, atol=1e-6)
    assert (np.asarray(gap).max(-1)[~nash] > 1e-6).all()
    np.testing.assert_allclose(variance, 0, atol=1e-10)


@pytest.mark.parametrize(("gamma", "least", "printed"), [(0.1, 0.85128131, 0.29743738), (1.0, 0.97150016, 0.05699969)])
def test_trembles_decide_whether_hunting_the_stag_is_an_equilibrium(gamma, least, printed):
    """The stag is hunted with probability q = 1 - tremble / 2, and stays best while `4q - 3 >= 32 gamma q (1 - q)`."""
    q = np.roots([32 * gamma, 4 - 32 * gamma, -3]).max()
    assert q == pytest.approx(least, abs=2e-7)
    threshold = 2 * (1 - q)
    assert threshold == pytest.approx(printed, abs=3e-7)
    with jax.enable_x64(True):
        game = symmetric_game(np.array([[4.0, 0], [3, 3]]))

        def bound(tremble):
            players = risk_averse_players(game, gamma, tremble, None)
            return float(players.bound(jnp.array([[1.0, 0.0]] * 2)))

        assert bound(threshold - 1e-9) == 0
        assert bound(threshold + 1e-9) > 0


def test_risk_aversion_leads_learners_to_the_safe_equilibrium():
    game = symmetric_game([[4.0, 0], [3, 3]])
    start = (jnp.array([0.83, 0.17]),) * 2  # above 3/4, where the stag is worth more on average, below 0.84023

    def play(gamma):
        return rae_fictitious_play(
            game, risk_aversion=gamma, tremble=0.0, temperature=0.0, initial=start, iterations=2000, record_every=1000
        )

    solution = jax.jit(jax.vmap(play))(jnp.array([0.0, 0.02, 0.1]))
    np.testing.assert_allclose(solution.strategies[0][:, 0], [1, 1, 0], atol=2e-3)
    bounds = solution.trace["risk_bound"]
    assert (bounds[:, 1] < bounds[:, 0]).all()


def test_shifts_scales_and_order_of_payoffs():
    game = NormalFormGame(np.random.default_rng(3).uniform(-1, 1, (3, 2, 3, 2)))
    solve = jax.jit(lambda game, gamma: rae_extragradient(game, risk_aversion=gamma, iterations=300))
    base = solve(game, 1.0)
    assert float(base.risk.gap.max()) < 1e-5
    scaled = solve(NormalFormGame(8 * game.payoffs + 4), 1 / 8)
    for one, other in zip(base.strategies, scaled.strategies, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    order = np.array([1, 0])
    swapped = solve(NormalFormGame(game.payoffs[:, order]), 1.0)
    np.testing.assert_allclose(swapped.strategies[0], base.strategies[0][order], atol=2e-4)


def test_downside_risk_has_equilibria_too():
    game = bimatrix_game([[3.0, 1], [0, 2]], [[1.0, 2], [3, 0]])

    def solve(game):
        return rae_extragradient(game, risk_aversion=0.4, measure=LowerPartialMoment(2.0), iterations=500, polish=False)

    solution = jax.jit(solve)(game)
    assert float(solution.risk.gap.max()) < 1e-5
    assert float(solution.strategies[0].min()) > 0.01


def test_variances_move_means_and_not_risks():
    """The variance of outcomes within the profiles of an empirical game."""
    game = symmetric_game([[1.0, 0], [0, 1]])
    noisy = jnp.zeros((2, 2, 2)).at[:, 0, 0].set(3.0)
    strategies = (jnp.array([0.5, 0.5]),) * 2
    plain, charged = (risk_report(game, strategies, risk_aversion=0.2, tremble=0.0, variances=p) for p in (None, noisy))
    np.testing.assert_allclose(plain.utility - charged.utility, 0.2 * 3 / 4, rtol=1e-5)
    np.testing.assert_allclose(plain.variance, charged.variance)


def test_bad_arguments_are_refused():
    game = symmetric_game(np.eye(2))
    with pytest.raises(ValueError, match=r"^risk_aversion must be at least 0 and finite, got -0.1$"):
        rae_extragradient(game, risk_aversion=-0.1)
    with pytest.raises(ValueError, match=r"^tremble must be in \[0, 1\), got 1.0$"):
        rae_extragradient(game, tremble=1.0)
    with pytest.raises(ValueError, match=r"^risk_aversion must be a scalar or \[2\], got \(3,\)$"):
        risk_report(game, game.uniform_strategies(), risk_aversion=np.ones(3))
    with pytest.raises(ValueError, match=r"^step_size must be in \(0, 1\], got 0.0$"):
        rae_damped(game, step_size=0.0)

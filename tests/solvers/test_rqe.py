"""Risk-averse quantal response equilibria: thirteen games with human frequencies, and the limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, bimatrix_game
from jaxmarl.solvers import logit_residual
from jaxmarl.solvers.risk import risk_averse_quantal_response

# payoffs of the row player and of the column player, eps, tau; what people play; the equilibrium
GAMES = {
    "matching pennies": ([[200, 160], [370, 10]], [[160, 10], [200, 370]], (170, 110), (0.001, 0.06)),
    "game 1": ([[10, 0], [9, 10]], [[10, 18], [9, 8]], (0.21, 0.555), (0.1, 100)),
    "game 2": ([[9, 0], [6, 8]], [[4, 13], [7, 5]], (0.68, 10), (0.08, 2)),
    "game 3": ([[8, 0], [7, 10]], [[6, 14], [7, 4]], (0.216, 0.837), (0.1, 56)),
    "game 4": ([[7, 0], [5, 9]], [[4, 11], [6, 2]], (0.35, 1.64), (0.1, 30)),
    "game 5": ([[7, 0], [4, 8]], [[2, 9], [5, 1]], (0.38, 2.7), (0.1, 10)),
    "game 6": ([[7, 1], [3, 8]], [[1, 7], [5, 0]], (0.92, 3.8), (0.1, 6)),
    "game 7": ([[10, 4], [9, 14]], [[12, 22], [9, 8]], (0.49, 1.88), (0.1, 11)),
    "game 8": ([[9, 3], [6, 11]], [[7, 16], [7, 5]], (0.36, 2.8), (0.1, 10)),
    "game 9": ([[8, 3], [7, 13]], [[9, 17], [7, 4]], (0.179, 0.65), (0.1, 90)),
    "game 10": ([[7, 2], [5, 11]], [[6, 13], [6, 2]], (0.1, 2.11), (0.3, 20)),
    "game 11": ([[7, 2], [4, 10]], [[4, 11], [5, 1]], (0.172, 2.97), (0.1, 25)),
}
MAXIMIN = ([[4, 0], [1, 2]], [[1, 3], [2, 0]], (2e-3, 2e-3), (2e3, 2e3))
EXACT = [
    (0.4680181, 0.6541985),
    (0.0810489, 0.6920107),
    (0.2142338, 0.5245092),
    (0.1636058, 0.7935740),
    (0.2880579, 0.7366065),
    (0.3282335, 0.6648296),
    (0.4596058, 0.6104831),
    (0.1419538, 0.5653534),
    (0.2498874, 0.5866069),
    (0.2598951, 0.8282594),
    (0.3663106, 0.6993124),
    (0.3325756, 0.6526571),
]
HUMANS = [
    (0.47, 0.65),
    (0.079, 0.690),
    (0.217, 0.527),
    (0.163, 0.793),
    (0.286, 0.736),
    (0.327, 0.664),
    (0.445, 0.596),
    (0.141, 0.564),
    (0.250, 0.586),
    (0.254, 0.827),
    (0.366, 0.699),
    (0.331, 0.652),
]


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "float64"])
def solved(request):
    with jax.enable_x64(request.param):
        payoffs, costs, aversions = (
            jnp.asarray([column(*game) for game in (*GAMES.values(), MAXIMIN)], float)
            for column in (lambda r, c, e, t: (r, c), lambda r, c, e, t: e, lambda r, c, e, t: t)
        )
        solve = jax.jit(
            jax.vmap(
                lambda p, eps, tau: risk_averse_quantal_response(
                    NormalFormGame(p), rationality_cost=eps, risk_aversion=tau
                )
            )
        )
        return request.param, jax.tree.map(np.asarray, solve(payoffs, costs, aversions))


def test_the_exact_equilibria(solved):
    x64, solution = solved
    found = np.stack([strategies[:, 0] for strategies in solution.strategies], 1)
    np.testing.assert_allclose(found[:-1], EXACT, atol=6e-8 if x64 else 2e-6)
    scale = np.array([np.max(game[:2]) for game in GAMES.values()])[:, None]
    assert (solution.risk.gap[:-1] < (1e-12 if x64 else 2e-6) * scale).all()


def test_they_are_near_what_people_play(solved):
    found = np.stack([strategies[:, 0] for strategies in solved[1].strategies], 1)
    np.testing.assert_allclose(found[:-1], HUMANS, atol=0.016)


def test_the_very_averse_and_rational_secure_their_maximin(solved):
    strategies = [strategies[-1, 0] for strategies in solved[1].strategies]
    # 4x + (1 - x) = 2 (1 - x), and y + 3 (1 - y) = 2y
    np.testing.assert_allclose(strategies, [0.2, 0.75], atol=5e-3)


def test_the_risk_neutral_limit_is_a_logit_equilibrium():
    game = bimatrix_game([[3.0, 0], [0, 2]], [[1.0, 0], [0, 4]])
    neutral = jax.jit(
        lambda game: risk_averse_quantal_response(
            game, risk_aversion=1e-6, rationality_cost=2.0, regulariser="negative_entropy"
        )
    )(game)
    assert float(logit_residual(game, neutral.strategies, 0.5)) < 2e-6
    assert float(neutral.risk.gap.max()) < 1e-5


def test_three_players_and_illegal_actions():
    masks = [np.array([True, True, False]), np.array([True] * 3), np.array([True, True, False])]
    inside = np.random.default_rng(0).uniform(-1, 1, (3, 2, 3, 2))
    solve, found = jax.jit(risk_averse_quantal_response), []
    for filler in (40.0, -7.0):
        payoffs = np.full((3, 3, 3, 3), filler)
        payoffs[:, :2, :, :2] = inside
        found.append(solve(NormalFormGame(payoffs, masks)))
    assert float(found[0].risk.gap.max()) < 1e-5
    for one, other, mask in zip(found[0].strategies, found[1].strategies, masks, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
        assert not one[~mask].any()
        assert one[mask].min() > 0


def test_bad_arguments_are_refused():
    game = bimatrix_game(np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match=r"^risk_aversion must be positive and finite, got 0.0$"):
        risk_averse_quantal_response(game, risk_aversion=0.0)
    with pytest.raises(ValueError, match="regulariser must be one of log_barrier, negative_entropy"):
        risk_averse_quantal_response(game, regulariser="entropy")

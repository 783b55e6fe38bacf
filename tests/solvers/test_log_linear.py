"""Log-linear learning: the Gibbs law of potential games, masks, two actions by hand, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, make_game, stack_games, symmetric_game
from jaxmarl.solvers import log_linear_learning


def test_one_player_chooses_by_logit():
    game = NormalFormGame(jnp.array([[0.0, 1.0, 3.0]]))
    law = log_linear_learning(game, temperature=2.0).joint
    np.testing.assert_allclose(law, jax.nn.softmax(game.payoffs[0] / 2), rtol=1e-5)


def test_a_potential_game_has_the_gibbs_law_at_any_temperature():
    game = symmetric_game([[2.0, 0.0], [0.0, 1.0]])
    potential = np.array([[2.0, 0.0], [0.0, 1.0]])
    solve = jax.jit(lambda t: log_linear_learning(game, temperature=t).joint)
    for temperature in (1.0, 0.1, 0.02):
        gibbs = np.exp((potential - 2) / temperature)
        np.testing.assert_allclose(solve(temperature), gibbs / gibbs.sum(), rtol=2e-4, atol=1e-37)


def test_padded_games_of_a_batch_are_solved_as_alone():
    games = [make_game("liquidity_provision", capacities=c) for c in ((1, 1), (2, 2))]
    batch = jax.jit(jax.vmap(lambda game: log_linear_learning(game, temperature=0.2).joint))(stack_games(games))
    for padded, game in zip(batch, games, strict=True):
        alone = np.asarray(log_linear_learning(game, temperature=0.2).joint)
        rows, columns = alone.shape
        np.testing.assert_allclose(padded[:rows, :columns], alone, atol=1e-6)
        assert float(padded.sum()) == pytest.approx(float(padded[:rows, :columns].sum()))


def test_a_game_without_potential_keeps_cycling():
    law = log_linear_learning(make_game("matching_pennies"), temperature=0.05).joint
    np.testing.assert_allclose(law, 0.25, atol=1e-6)


def test_bad_arguments_are_refused():
    game = make_game("matching_pennies")
    with pytest.raises(ValueError, match=r"^temperature must be positive, got 0.0$"):
        log_linear_learning(game, temperature=0.0)
    with pytest.raises(ValueError, match=r"^game must be of at most 512 profiles, got '10000 profiles'$"):
        log_linear_learning(make_game("liquidity_provision", capacities=(9,) * 4))

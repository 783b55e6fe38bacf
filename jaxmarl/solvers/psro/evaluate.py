"""How good a finished population is: against another population, and against responses trained anew."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.games.normal_form import zero_sum_game
from jaxmarl.solvers.psro.empirical import weighted_error
from jaxmarl.solvers.psro.game import PsroGame, member
from jaxmarl.solvers.psro.state import PsroState
from jaxmarl.solvers.zero_sum import zero_sum_lp


def cross_payoffs(
    game: PsroGame, first: PsroState, second: PsroState, key: Array
) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
    """Payoffs of one population's strategies in seat 0 against another's in seat 1, and their standard errors.

    Args:
        game: two players; the one both populations were grown in.
        first: whose strategies of seat 0 play.
        second: whose strategies of seat 1 play.
        key: of matches, if there are any.
    """
    require(game.num_players == 2, "game", f"{game.num_players} players", "of two players")
    populations = first.populations[0], second.populations[1]
    rows, columns = int(first.empirical.sizes[0]), int(second.empirical.sizes[1])
    found = [
        game.payoff_row(0, member(populations[0], i), populations, jax.random.fold_in(key, i)) for i in range(rows)
    ]
    means = np.stack([np.asarray(row.mean[0])[:columns] for row in found])
    return means, np.stack([np.asarray(row.standard_error[0])[:columns] for row in found])


def relative_population_value(game: PsroGame, first: PsroState, second: PsroState, key: Array) -> float:
    """What the first population earns when both mix as well as they can against each other (Balduzzi et al. 2019).

    The value of the zero-sum game between them, averaged over who takes which seat; exchanging the populations changes
    its sign. A population that can play a Nash equilibrium of the whole game earns at least the mean of its values.

    Args:
        game: zero-sum, of two players, whose values of the seats add to 0.
        first: a run on it.
        second: another one.
        key: of matches, if there are any.
    """
    require(game.zero_sum, "game", "not zero-sum", "zero-sum")
    keys = jax.random.split(key)
    tables = cross_payoffs(game, first, second, keys[0])[0], cross_payoffs(game, second, first, keys[1])[0]
    ours, theirs = (float(zero_sum_lp(zero_sum_game(table)).payoffs[0]) for table in tables)
    return (ours - theirs) / 2


def retrained_gains(
    game: PsroGame, state: PsroState, runs: int, key: Array
) -> tuple[Float[np.ndarray, " num_players"], Float[np.ndarray, " num_players"]]:
    """What responses trained anew, several a seat, gain over the mixture: a bound on its exploitability from below.

    The best of the runs is chosen by one set of matches and judged by another, so that choosing does not flatter it.

    Args:
        game: of the run.
        state: whose mixture is answered.
        runs: responses of each seat, with fresh keys.
        key: of all of them.

    Returns:
        Gains of the seats and their standard errors (0 for exact games, whose gains add to the NashConv).
    """
    require_int("runs", runs, 1)
    cells, gains, errors = state.empirical.cells, [], []
    for seat in range(game.num_players):
        others, own_key = jnp.sum(state.joint, axis=seat), jax.random.fold_in(key, seat)
        tried = []
        for run_key in jax.random.split(own_key, runs):
            train_key, choose_key, judge_key = jax.random.split(run_key, 3)
            strategy = game.best_response(seat, state.populations, others, train_key)
            chosen_by = game.payoff_row(seat, strategy, state.populations, choose_key)
            tried.append((float(jnp.sum(others * chosen_by.mean[seat])), strategy, judge_key))
        _, best, judge_key = max(tried, key=lambda run: run[0])
        row = game.payoff_row(seat, best, state.populations, judge_key)
        gains.append(jnp.sum(others * row.mean[seat]) - jnp.sum(state.joint * cells.mean[seat]))
        own_error = weighted_error(others, row.standard_error)[seat]
        errors.append(jnp.hypot(own_error, state.empirical.value_errors(state.joint)[seat]))
    return np.asarray(jnp.stack(gains)), np.asarray(jnp.stack(errors))

"""Whatever solver is registered keeps its promise: no list to keep by hand, no exemption."""

import inspect
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl.solvers
from jaxmarl.games import NormalFormGame, kuhn_poker, symmetric_game, zero_sum_game
from jaxmarl.solvers import list_solvers, nash_solution, registry, solver_entry
from jaxmarl.testing.solvers import check_solver, solver_games


@pytest.mark.parametrize("name", list_solvers())
def test_solver(name):
    check_solver(name)


def test_every_solver_says_what_it_does():
    for name in list_solvers():
        assert 20 < len(solver_entry(name).summary) < 300, name


class Broken(NamedTuple):
    solve: object
    message: str
    games: str = "zero_sum"
    on_host: bool = False


def _uniform(game):
    return nash_solution(game, game.uniform_strategies())


def _with(game, **changes):
    from dataclasses import replace

    return replace(_uniform(game), **changes)


def _on_illegal_actions(game):
    return nash_solution(game, tuple(jnp.full(size, 1 / size) for size in game.num_actions))


def _refusing_nothing_on_host(game):
    return _uniform(game)


BROKEN = {
    "believes in itself": Broken(lambda game: _with(game, gap=jnp.zeros(())), "gap_is_recomputed"),
    "payoffs of another game": Broken(lambda game: _with(game, payoffs=jnp.ones(2)), "gap_is_recomputed"),
    "does not solve": Broken(_uniform, "keeps_its_tolerance"),
    "ignores masks": Broken(_on_illegal_actions, "strategies_are_distributions"),
    "host solver in disguise": Broken(_refusing_nothing_on_host, "keeps_precision", "symmetric", True),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_solver_is_caught(case, monkeypatch):
    broken = BROKEN[case]
    entry = registry.SolverEntry("broken", broken.solve, broken.games, "nash_conv", 1e-6, broken.on_host)
    if case == "host solver in disguise":
        entry = registry.SolverEntry("broken", broken.solve, broken.games, "nash_conv", None, True)
    monkeypatch.setitem(registry._SOLVERS, "broken", entry)
    with pytest.raises(AssertionError, match=broken.message) as error:
        check_solver("broken")
    assert "\n" not in str(error.value)


def test_games_of_a_class_belong_to_it():
    assert all(game.is_zero_sum() for game in solver_games("zero_sum").values())
    assert all(game.is_symmetric() for game in solver_games("symmetric").values())
    assert {game.num_players for game in solver_games("any").values()} == {2, 3}


def test_solve_refuses_in_one_line():
    game = symmetric_game([[6.0, 2], [7, 0]])
    with pytest.raises(ValueError, match="unknown solver 'zero_sum_lq'; did you mean 'zero_sum_lp'"):
        jaxmarl.solvers.solve(game, "zero_sum_lq")
    with pytest.raises(ValueError, match="game must be zero-sum for solver zero_sum_lp"):
        jaxmarl.solvers.solve(game, "zero_sum_lp")
    with pytest.raises(ValueError, match="has no option 'iteration'; did you mean"):
        jaxmarl.solvers.solve(game, "regret_matching", iteration=3)
    with pytest.raises(ValueError, match="not registered yet"):
        registry.register_solver("zero_sum_lp", games="zero_sum")(_uniform)


def test_solve_takes_games_in_normal_form_and_chooses_a_solver():
    function = inspect.unwrap(jaxmarl.solvers.solve)
    with pytest.raises(ValueError, match=r"game must be a NormalFormGame .*, got 'ExtensiveGame'"):
        function(kuhn_poker())
    game = symmetric_game([[6.0, 2], [7, 0]])
    chosen, named = jaxmarl.solvers.solve(game), jaxmarl.solvers.solve(game, "lemke_howson")
    np.testing.assert_array_equal(chosen.strategies[0], named.strategies[0])


def test_the_default_solver_suits_the_game():
    assert jaxmarl.solvers.default_solver(zero_sum_game(np.eye(2))) == "zero_sum_lp"
    assert jaxmarl.solvers.default_solver(symmetric_game([[6.0, 2], [7, 0]])) == "lemke_howson"
    assert jaxmarl.solvers.default_solver(NormalFormGame(np.ones((3, 2, 2, 2)))) == "logit_limit"

"""The registry of games: every entry builds and is what it says; refusals name the nearest."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, nash_conv, zoo
from jaxmarl.games.zoo import game_entry, game_factory, list_games, make_game, registry

FIXED = [name for name in list_games() if not game_entry(name).random]

# an equilibrium of each named game at its defaults: actions, or mixed strategies
EQUILIBRIA = {
    "all_pay": None,
    "asymmetric_matching_pennies": ([0.5, 0.5], [0.1, 0.9]),
    "battle_of_the_sexes": ([0.6, 0.4], [0.4, 0.6]),
    "bertrand": (2, 2),
    "biased_rps": ([1 / 4, 5 / 12, 1 / 3], [1 / 3, 5 / 12, 1 / 4]),
    "blotto": None,
    "braess": (2, 2, 2, 2),
    "chicken": ([2 / 3, 1 / 3],) * 2,
    "coordination": ([0.5, 0.5],) * 2,
    "cournot": (4, 4),
    "deadlock": (1, 1),
    "dispersion": (0, 1, 2),
    "el_farol": (1, 1, 0, 1, 0),
    "first_price": (9, 9),
    "guess": (0, 0),
    "hawk_dove": ([2 / 3, 1 / 3],) * 2,
    "liquidity_matrix": (0, 4),
    "liquidity_proposer": (1, 1),
    "liquidity_provision": (2, 2),
    "liquidity_provision_bayesian": (5, 5),
    "matching_pennies": ([0.5, 0.5],) * 2,
    "min_effort": (6, 6, 6),
    "ordinal_2x2": (0, 0),
    "parallel_links": (0, 0, 1),
    "pigou": (0, 0, 0, 1),
    "prisoners_dilemma": (1, 1),
    "public_goods": (0, 0, 0),
    "rps": ([1 / 3] * 3,) * 2,
    "second_price": (10, 10),
    "shapley": ([1 / 3] * 3,) * 2,
    "stag_hunt": (0, 0),
    "travelers": (0, 0),
    "war_of_attrition": (0, 5),
    "weighted_rps": ([1 / 2, 1 / 3, 1 / 6],) * 2,
    "zero_sum_3x4": ([0.5, 0.5, 0], [1 / 6, 0, 5 / 6, 0]),
}


def is_potential(payoffs):
    """Whether the mixed differences of every two players' payoffs agree (Monderer and Shapley 1996, theorem 4.5)."""
    payoffs = np.asarray(payoffs, float)
    pairs = itertools.combinations(range(payoffs.ndim - 1), 2)
    worst = max(np.abs(np.diff(np.diff(payoffs[i] - payoffs[j], axis=i), axis=j)).max(initial=0) for i, j in pairs)
    return worst <= 1e-5 * np.ptp(payoffs)


@pytest.mark.parametrize("name", list_games())
def test_every_game_builds_and_is_what_it_says(name):
    entry, game = game_entry(name), make_game(name)
    assert bool(jnp.isfinite(game.payoffs).all())
    assert game.payoffs.dtype == jnp.float32
    assert (bool(game.is_zero_sum()), bool(game.is_symmetric())) == (entry.zero_sum, entry.symmetric)
    assert is_potential(game.payoffs) == entry.potential
    assert len(entry.summary) > 20
    assert game_factory(name) is getattr(zoo, name)
    assert name in zoo.__all__


def test_every_game_of_the_zoo_is_registered():
    functions = {name: getattr(zoo, name) for name in zoo.__all__ if inspect.isfunction(getattr(zoo, name))}
    games = {name for name, function in functions.items() if function.__annotations__.get("return") is NormalFormGame}
    assert games - {"congestion_game", "robinson_goforth", "make_game"} == set(list_games())


def test_no_equilibrium_is_missing_from_the_table():
    assert sorted(EQUILIBRIA) == FIXED


@pytest.mark.parametrize("name", [name for name in FIXED if EQUILIBRIA[name] is not None])
def test_known_equilibria(name):
    game = make_game(name)
    strategies = tuple(
        jnp.asarray(np.eye(size)[own] if isinstance(own, int) else own, jnp.float32)
        for own, size in zip(EQUILIBRIA[name], game.num_actions, strict=True)
    )
    assert float(nash_conv(game, strategies)) <= 1e-6 * float(game.payoff_range().max())


def test_make_game_passes_parameters():
    assert make_game("travelers", hi=10).num_actions == (9, 9)
    assert make_game("random_general_sum", seed=1, num_actions=[2, 3]).num_actions == (2, 3)


def test_seeds_stand_for_keys():
    drawn = make_game("random_zero_sum", seed=3).payoffs
    np.testing.assert_array_equal(drawn, zoo.random_zero_sum(jax.random.key(3)).payoffs)
    np.testing.assert_array_equal(make_game("random_ties").payoffs, make_game("random_ties", seed=0).payoffs)
    assert not np.array_equal(drawn, make_game("random_zero_sum", seed=4).payoffs)


def test_params_show_what_make_game_takes():
    assert game_entry("travelers").params == {"lo": 2, "hi": 100, "reward": 2}
    assert list(game_entry("random_zero_sum").params) == ["seed", "num_actions", "distribution"]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("traveler", {}, r"unknown game 'traveler'; did you mean 'travelers'\? \(known: all_pay, .*zero_sum_3x4\)"),
        ("travelers", {"high": 3}, r"travelers has no parameter 'high'; did you mean 'hi'\? \(parameters: lo, hi, rew"),
        ("travelers", {"seed": 3}, r"travelers has no parameter 'seed'"),
        ("biased_rps", {"seed": 3}, r"biased_rps has no parameter 'seed' \(parameters: none\)"),
        (
            "random_zero_sum",
            {"key": 3},
            r"random_zero_sum has no parameter 'key' \(parameters: seed, num_actions, dist",
        ),
        ("random_zero_sum", {"seed": -1}, r"seed must be an integer >= 0, got -1"),
        ("travelers", {"lo": 5, "hi": 4}, r"hi must be an integer >= 5, got 4"),
        ("rps", {"num_actions": 4}, r"num_actions must be an odd integer >= 3, got 4"),
        ("ordinal_2x2", {"index": 144}, r"index must be an integer in \[0, 143\], got 144"),
        ("el_farol", {"capacity": 9}, r"capacity must be an integer in \[0, 5\], got 9"),
        ("guess", {"factor": -1.0}, r"factor must be positive, got -1.0"),
        ("blotto", {"mode": "field"}, r"mode must be one of fields, majority; got 'field'; did you mean 'fields'\?"),
        ("coordination", {"values": (1, 2, 3)}, r"values must be a scalar or of shape \(2,\), got 'shape \(3,\)'"),
        ("cournot", {"cost": (1, 2, 3)}, r"cost must be a scalar or of shape \(2,\)"),
        ("parallel_links", {"slopes": (1, 2)}, r"slopes and constants must be vectors with a number for each resource"),
        ("min_effort", {"num_players": 9, "num_efforts": 9}, r"num_actions must be a game of at most 67108864 payoffs"),
    ],
)
def test_refusals_are_one_line(name, params, message):
    with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
        make_game(name, **params)


def test_a_second_entry_of_a_name_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "_GAMES", {})
    registry.register_game("pennies")(zoo.matching_pennies)
    with pytest.raises(ValueError, match=r"^game 'pennies' is already registered by matching_pennies$"):
        registry.register_game("pennies")(zoo.rps)
    assert list_games() == ["pennies"]
    assert make_game("pennies", num_players=3).num_players == 3

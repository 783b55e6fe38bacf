"""Policies and bots of OpenSpiel as behaviour strategies: they keep their NashConv, play, and come back unchanged."""

import numpy as np
import pytest

from jaxmarl.envs.trees import (
    KuhnPoker,
    behaviour_strategies,
    kuhn_equilibrium,
    strategy_policy,
    strategy_table,
    tree_game,
)
from jaxmarl.games import extensive_nash_conv
from jaxmarl.games.extensive import extensive_game
from jaxmarl.interop import (
    behaviour_strategies_from_open_spiel,
    behaviour_strategies_to_open_spiel,
    extensive_game_from_open_spiel,
    extensive_game_to_open_spiel,
)

pyspiel = pytest.importorskip("pyspiel")
bots = pytest.importorskip("open_spiel.python.bots.policy")
uniform_random = pytest.importorskip("open_spiel.python.bots.uniform_random")
policies = pytest.importorskip("open_spiel.python.policy")
exploitability = pytest.importorskip("open_spiel.python.algorithms.exploitability")


@pytest.fixture(scope="module")
def kuhn():
    """Their game, and the same as ours."""
    spiel = pyspiel.load_game("kuhn_poker")
    return spiel, extensive_game_from_open_spiel(spiel)


@pytest.fixture(scope="module")
def average(kuhn):
    """CFR's average policy, of which no row is uniform or pure by accident."""
    solver = pyspiel.CFRSolver(kuhn[0])
    for _ in range(200):
        solver.evaluate_and_update_policy()
    return solver.tabular_average_policy()  # the other one dies with its solver


def assert_same(tables, wanted):
    assert len(tables) == len(wanted)
    for table, each in zip(tables, wanted, strict=True):
        np.testing.assert_allclose(table, each, atol=1e-6)


def test_average_policy_of_cfr_keeps_its_nash_conv(kuhn, average):
    spiel, game = kuhn
    strategies = behaviour_strategies_from_open_spiel(game, spiel, average)
    theirs = pyspiel.nash_conv(spiel, average, True)
    assert 1e-4 < theirs < 0.05
    assert float(extensive_nash_conv(game, strategies)) == pytest.approx(theirs, abs=1e-6)
    back = behaviour_strategies_to_open_spiel(game, "kuhn_poker", strategies)
    assert exploitability.nash_conv(spiel, back, use_cpp_br=True) == pytest.approx(theirs, abs=1e-6)
    assert_same(behaviour_strategies_from_open_spiel(game, "kuhn_poker", back), strategies)


def test_bots_say_the_policies_they_play(kuhn, average):
    spiel, game = kuhn
    strategies = behaviour_strategies_from_open_spiel(game, spiel, average)
    native = pyspiel.make_policy_bot(spiel, 0, 1, average)
    table = behaviour_strategies_to_open_spiel(game, spiel, strategies)
    in_python = bots.PolicyBot(1, np.random.RandomState(0), table)
    assert_same(behaviour_strategies_from_open_spiel(game, spiel, [native, in_python]), strategies)
    assert_same(behaviour_strategies_from_open_spiel(game, spiel, [average, in_python]), strategies)


def test_uniform_bots_are_uniform(kuhn):
    spiel, game = kuhn
    python = [uniform_random.UniformRandomBot(player, np.random.RandomState(0)) for player in range(2)]
    native = [pyspiel.make_uniform_random_bot(0, 1), pyspiel.make_stateful_random_bot(spiel, 1, 1)]
    for pair in (python, native):
        assert_same(behaviour_strategies_from_open_spiel(game, spiel, pair), game.uniform_policies())


def test_policy_made_of_them_plays_them(kuhn, average):
    spiel, game = kuhn
    env, _ = tree_game(game)
    strategies = behaviour_strategies_from_open_spiel(env, spiel, average)
    policy = strategy_policy(strategy_table(strategies))
    assert_same(behaviour_strategies(env, policy, ()), strategies)


def test_ours_go_there_and_back(kuhn):
    game, strategies = KuhnPoker().game, kuhn_equilibrium(0.2)
    spiel = extensive_game_to_open_spiel(game)
    there = behaviour_strategies_to_open_spiel(game, spiel, strategies)
    assert_same(behaviour_strategies_from_open_spiel(game, spiel, there), strategies)
    assert exploitability.nash_conv(spiel, there) == pytest.approx(0.0, abs=1e-6)
    there = behaviour_strategies_to_open_spiel(KuhnPoker(), "kuhn_poker", strategies)  # the same tree
    assert exploitability.nash_conv(kuhn[0], there, use_cpp_br=True) == pytest.approx(0.0, abs=1e-6)


def pennies(second_sees):
    """Matching pennies in turn; the second player may see what the first did."""
    known = [0, 0, int(second_sees), 0, 0, 0, 0]
    payoffs = np.array([0, 0, 0, 1, -1, -1, 1.0])
    parent, branch, player = [-1, 0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 1, 0, 1], [0, 1, 1, -2, -2, -2, -2]
    return extensive_game(parent, branch, player, known, np.ones(7), np.stack([payoffs, -payoffs]))


def test_strategies_that_see_more_than_a_game_tells_are_refused():
    open_hands, closed = pennies(True), pennies(False)
    matching = (np.array([[0.5, 0.5]]), np.eye(2))
    theirs_open, theirs_closed = (extensive_game_to_open_spiel(game) for game in (open_hands, closed))
    with pytest.raises(ValueError, match="does not tell apart"):
        behaviour_strategies_to_open_spiel(open_hands, theirs_closed, matching)
    answer = behaviour_strategies_to_open_spiel(open_hands, theirs_open, matching)
    with pytest.raises(ValueError, match="same at all histories"):
        behaviour_strategies_from_open_spiel(closed, theirs_open, answer)
    assert_same(behaviour_strategies_from_open_spiel(open_hands, theirs_open, answer), matching)


class OfHistory(policies.Policy):
    """Bets by the card that the other player holds."""

    def action_probabilities(self, state, player_id=None):
        share = state.history()[1] / 4
        return {0: share, 1: 1 - share}


class Silent(pyspiel.Bot):
    """Plays, and does not say how."""

    def step(self, state):
        return 0


class Forgetful(Silent):
    """Says its policy, but cannot be set to a state."""

    def provides_policy(self):
        return True

    def get_policy(self, state):
        return [(0, 1.0)]


def test_what_is_no_behaviour_strategy_is_refused(kuhn, average):
    spiel, game = kuhn
    read = behaviour_strategies_from_open_spiel
    with pytest.raises(ValueError, match="same at all histories"):
        read(game, spiel, OfHistory(spiel, [0, 1]))
    with pytest.raises(ValueError, match="bots that say theirs"):
        read(game, spiel, [Silent(), Silent()])
    with pytest.raises(ValueError, match="restart at any state"):
        read(game, spiel, [Forgetful(), average])
    with pytest.raises(ValueError, match="legal actions"):
        read(game, spiel, pyspiel.TabularPolicy({}))
    with pytest.raises(ValueError, match="one a player, 2"):
        read(game, spiel, [average])
    with pytest.raises(ValueError, match="of policies or bots"):
        read(game, spiel, "uniform")
    with pytest.raises(ValueError, match="of the same tree"):
        read(KuhnPoker(3), spiel, average)
    with pytest.raises(ValueError, match="of shapes"):
        behaviour_strategies_to_open_spiel(game, spiel, game.uniform_policies()[:1])

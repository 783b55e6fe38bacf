"""Sequential games of OpenSpiel as ours and back: values, best responses and NashConv of random policies are theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.extensive_metrics import extensive_deviation_gains
from jaxmarl.games.extensive_zoo import goofspiel, kuhn_poker
from jaxmarl.interop import extensive_game_from_open_spiel, extensive_game_to_open_spiel

pyspiel = pytest.importorskip("pyspiel")


@jax.jit
def judged(game, policies):
    return game.expected_payoffs(policies), jnp.sum(extensive_deviation_gains(game, policies))


def random_policies(game, spiel):
    """Random behaviour strategies of our tree, and the same for open_spiel's, which is walked along with it."""
    rng, rows = np.random.default_rng(1), {}
    tables = [np.zeros(mask.shape) for mask in game.masks]
    parent, branch, player, known = (
        np.asarray(leaf).tolist() for leaf in (game.parent, game.branch, game.player, game.info_state)
    )
    states = [spiel.new_initial_state()]
    for node in range(game.num_nodes):
        if node:
            states.append(states[parent[node]].child(branch[node]))
        if player[node] < 0:
            continue
        state = states[node]
        legal = state.legal_actions()
        text = state.information_state_string()
        row = rows.setdefault(text, list(zip(legal, rng.dirichlet(np.ones(len(legal))).tolist(), strict=True)))
        tables[player[node]][known[node], legal] = [share for _, share in row]
    return tuple(jnp.asarray(table, jnp.result_type(float)) for table in tables), pyspiel.TabularPolicy(rows)


@pytest.mark.parametrize("name", ["kuhn_poker(players=3)", "leduc_poker", "tiny_hanabi"])
def test_their_games_keep_their_values(name):
    spiel = pyspiel.load_game(name)
    game = extensive_game_from_open_spiel(name)
    ours, theirs = random_policies(game, spiel)
    payoffs, gap = judged(game, ours)
    wanted = pyspiel.expected_returns(spiel.new_initial_state(), theirs, -1, True)
    np.testing.assert_allclose(payoffs, wanted, atol=2e-5)
    if spiel.get_type().utility == pyspiel.GameType.Utility.ZERO_SUM:
        assert float(gap) == pytest.approx(pyspiel.nash_conv(spiel, theirs, True), abs=4e-5)


@pytest.mark.parametrize("build", [kuhn_poker, lambda: goofspiel(3, points_order="random")])
def test_our_games_keep_their_values_there(build):
    game = build()
    spiel = extensive_game_to_open_spiel(game)
    ours, theirs = random_policies(game, spiel)
    payoffs, gap = judged(game, ours)
    root = spiel.new_initial_state()
    np.testing.assert_allclose(payoffs, pyspiel.expected_returns(root, theirs, -1, True), atol=2e-5)
    assert float(gap) == pytest.approx(pyspiel.nash_conv(spiel, theirs, True), abs=4e-5)
    back = extensive_game_from_open_spiel(spiel)
    assert back.num_info_states == game.num_info_states
    for name in ("parent", "branch", "player"):
        np.testing.assert_array_equal(getattr(back, name), getattr(game, name))
    np.testing.assert_allclose(back.terminal_payoffs, game.terminal_payoffs, atol=1e-6)


def test_open_spiel_s_own_test():
    spiel = extensive_game_to_open_spiel(kuhn_poker())
    pyspiel.random_sim_test(spiel, num_sims=20, serialize=False, verbose=False)


def test_other_kinds_of_games_are_refused():
    with pytest.raises(ValueError, match="players move in turn"):
        extensive_game_from_open_spiel("matrix_rps")
    with pytest.raises(ValueError, match="more than 50 nodes"):
        extensive_game_from_open_spiel("kuhn_poker", max_nodes=50)

import re

import jax
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, bimatrix_game, nash_conv, stack_games, zero_sum_game
from jaxmarl.interop import (
    load_game,
    normal_form_from_open_spiel,
    normal_form_to_open_spiel,
    read_nfg,
    save_game,
    write_nfg,
)

OUTCOMES = """NFG 1 R "Selten (IJGT, 75), Figure 2" { "Player 1" "Player \\"2\\"" }
{ { "T" "B" } { "l" "m" "r" } }
"a comment"
{ { "first" 1, 2 } { "second" 1/2 -3e-1 } { "third" .5 4 } }
1 2 3 0 1 1
"""
PAYOFFS = """NFG 1 R "by payoffs" { "A" "B" } { 2 3 }

1 1 0 2 0 2
1 1 0 3 2 0"""


def test_payoff_format_lists_the_first_players_actions_fastest(tmp_path):
    (tmp_path / "game.nfg").write_text(PAYOFFS)
    file = read_nfg(tmp_path / "game.nfg")
    assert (file.title, file.players, file.actions) == ("by payoffs", ("A", "B"), (("1", "2"), ("1", "2", "3")))
    np.testing.assert_array_equal(file.game.payoffs[0], [[1, 0, 0], [0, 1, 2]])
    np.testing.assert_array_equal(file.game.payoffs[1], [[1, 2, 3], [2, 1, 0]])


def test_outcome_format_with_names_fractions_and_a_comment(tmp_path):
    (tmp_path / "game.nfg").write_text(OUTCOMES)
    file = read_nfg(tmp_path / "game.nfg")
    assert file.players == ("Player 1", 'Player "2"')
    assert file.actions == (("T", "B"), ("l", "m", "r"))
    np.testing.assert_allclose(file.game.payoffs[0], [[1, 0.5, 1], [0.5, 0, 1]])
    np.testing.assert_allclose(file.game.payoffs[1], [[2, 4, 2], [-0.3, 0, 2]])


@pytest.mark.parametrize("num_actions", [(3,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("suffix", [".nfg", ".npz", ".npy"])
def test_games_come_back_bit_for_bit(tmp_path, num_actions, suffix):
    payoffs = np.random.default_rng(0).normal(size=(len(num_actions), *num_actions)).astype(np.float32)
    payoffs.flat[0] = 1e-30
    game = NormalFormGame(payoffs)
    path = save_game(game, tmp_path / f"game{suffix}")
    np.testing.assert_array_equal(load_game(path).payoffs, game.payoffs)


def test_masks_come_back_from_npz_and_are_left_out_of_nfg(tmp_path):
    small = zero_sum_game([[1.0, 2, 3], [4, 5, 6]])
    padded = jax.tree.map(lambda leaf: leaf[0], stack_games([small, zero_sum_game(np.ones((4, 4)))]))
    loaded = load_game(save_game(padded, tmp_path / "game.npz"))
    np.testing.assert_array_equal(loaded.masks[1], [True, True, True, False])
    np.testing.assert_array_equal(load_game(save_game(padded, tmp_path / "g.nfg")).payoffs, small.payoffs)
    with pytest.raises(ValueError, match=r"must be a \.npz file"):
        save_game(padded, tmp_path / "game.npy")


def test_a_matrix_is_a_zero_sum_game(tmp_path):
    np.save(tmp_path / "matrix.npy", np.arange(6.0).reshape(2, 3))
    game = load_game(tmp_path / "matrix.npy")
    assert game.num_actions == (2, 3)
    assert game.is_zero_sum()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nfg", "EFG 2 R", "expected 'NFG', got 'EFG'"),
        ("a.nfg", "", "ends too early"),
        ("a.nfg", 'NFG 1 R "t" { "A" "B" } { 2 2 } 1 2 3', "expected 8 numbers, got 3"),
        ("a.nfg", 'NFG 1 R "t" { "A" } { 2 2 } 1 2 3 4', "1 players but 2 sets"),
        ("a.nfg", 'NFG 1 R "t" { "A" } { 2 } 1 x', "could not convert string to float"),
        ("a.nfg", 'NFG 1 R "t" { "A" } { 2 } 1 1/0', "division by zero"),
        ("a.nfg", 'NFG 1 R "t" { "A" } { 2 } { { "" 1 } } 1 2', "numbered 0 to 1"),
        ("a.npz", "no archive", "is not a game"),
        ("a.txt", "", "path's suffix must be one of"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_game(tmp_path / name)
    assert "\n" not in str(error.value)


def test_an_archive_without_payoffs_and_nan_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", matrix=np.ones(3))
    with pytest.raises(ValueError, match="payoffs, and possibly mask_0"):
        load_game(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match="is not a game: payoffs must be finite"):
        load_game(tmp_path / "a.npy")


@pytest.mark.parametrize("num_actions", [(2, 3), (2, 3, 2)])
def test_gambit_reads_what_we_write_and_we_what_it_writes(tmp_path, num_actions):
    gambit = pytest.importorskip("pygambit")
    payoffs = np.random.default_rng(1).integers(-9, 9, size=(len(num_actions), *num_actions)).astype(float)
    game = NormalFormGame(payoffs)
    theirs = gambit.read_nfg(str(write_nfg(game, tmp_path / "ours.nfg", title='a "title"')))
    assert theirs.title == 'a "title"'
    for i, tensor in enumerate(theirs.to_arrays(dtype=float)):
        np.testing.assert_array_equal(tensor, payoffs[i])
    (tmp_path / "theirs.nfg").write_text(theirs.to_nfg())
    np.testing.assert_array_equal(load_game(tmp_path / "theirs.nfg").payoffs, payoffs)


@pytest.mark.parametrize("num_actions", [(2, 3), (2, 3, 2)])
def test_open_spiel_and_back(num_actions):
    pytest.importorskip("pyspiel")
    game = NormalFormGame(np.random.default_rng(2).normal(size=(len(num_actions), *num_actions)))
    there = normal_form_to_open_spiel(game)
    np.testing.assert_array_equal(normal_form_from_open_spiel(there).payoffs, game.payoffs)


def test_open_spiel_games_by_name():
    pytest.importorskip("pyspiel")
    game = normal_form_from_open_spiel("matrix_rps")
    assert game.is_zero_sum()
    assert float(nash_conv(game, game.uniform_strategies())) == pytest.approx(0, abs=1e-6)
    blotto = normal_form_from_open_spiel("blotto(coins=3,fields=2,players=3)")
    assert blotto.num_actions == (4, 4, 4)
    with pytest.raises(ValueError, match="players move simultaneously"):
        normal_form_from_open_spiel("kuhn_poker")
    with pytest.raises(ValueError, match="over after one joint move"):
        normal_form_from_open_spiel("oshi_zumo(coins=3,size=1)")


def test_a_game_from_open_spiel_solves_like_ours():
    pyspiel = pytest.importorskip("pyspiel")
    chicken = pyspiel.create_matrix_game([[6, 2], [7, 0]], [[6, 7], [2, 0]])
    np.testing.assert_array_equal(
        normal_form_from_open_spiel(chicken).payoffs, bimatrix_game([[6, 2], [7, 0]], [[6, 7], [2, 0]]).payoffs
    )

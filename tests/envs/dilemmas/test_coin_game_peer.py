"""Our Coin Game with two coins is JaxMARL's, step by step over 10^4 recorded transitions of random play.

Recorded by `scripts/reproduce/record_coin_game_peer.py` with JaxMARL 0.2. Coins that the record says were not taken are
offered a wrong new cell, so that renewing one too many would show.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.dilemmas import CoinGame, CoinGameState

RECORD = Path(__file__).parents[2] / "data" / "coin_game_peer.npz"


@pytest.fixture(scope="module")
def record():
    with np.load(RECORD) as file:
        rows = {name: file[name] for name in file.files}
    for name in ("obs", "egocentric_obs"):
        rows[name] = np.unpackbits(rows[name], axis=1)[:, :72].reshape(-1, 2, 36)
    return rows


@pytest.mark.parametrize("egocentric", [False, True])
def test_every_recorded_step(record, egocentric):
    env = CoinGame("two_coins", num_steps=10, num_rounds=5, egocentric=egocentric, zero_last=True)
    cells, after = record["cells"].astype(np.int32), record["next_cells"].astype(np.int32)
    renewed = record["taken"] | record["round_ended"][:, None]
    offered = np.where(renewed, after[:, 2:], (after[:, 2:] + 1) % 9)
    placed = np.where(record["round_ended"][:, None], after[:, :2], (after[:, :2] + 1) % 9)

    @jax.jit
    @jax.vmap
    def step(t, cells, action, players, coins):
        state = CoinGameState(t, cells[:2], cells[2:])
        state, reward, terminated, info = env.transition(state, action, (players, coins, ()), env.default_params)
        over = terminated | env.truncated(state, env.default_params)
        return state, env.observe(state, env.default_params), reward, over, info

    assert len(cells) == 10_000
    state, obs, reward, over, info = step(
        jnp.asarray(record["t"], jnp.int32), cells, jnp.asarray(record["action"], jnp.int32), placed, offered
    )
    np.testing.assert_array_equal(state.players, after[:, :2])
    np.testing.assert_array_equal(state.coins, after[:, 2:])
    np.testing.assert_array_equal(reward, record["reward"])
    np.testing.assert_array_equal(obs, record["egocentric_obs" if egocentric else "obs"])
    np.testing.assert_array_equal(over, record["done"])
    np.testing.assert_array_equal(info["round_ended"], record["round_ended"])
    np.testing.assert_array_equal(info["own"] | info["other"][:, ::-1], record["taken"])


def test_the_record_has_every_kind_of_step(record):
    assert record["version"] == "0.2.0"
    assert record["done"].sum() == 200
    assert record["round_ended"].sum() == 1000
    both = (record["next_cells"][:, :1] == record["next_cells"][:, 1:2])[:, 0] & record["taken"].any(1)
    assert both.sum() > 50
    assert {tuple(x) for x in record["reward"].tolist()} >= {(0, 0), (1, 0), (1, -2), (-1, 1), (1, 1)}

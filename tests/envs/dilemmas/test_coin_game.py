"""The Coin Game: rules, exact values of scripted players by enumeration, both versions, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from coin_chain import Chain

import jaxmarl
from jaxmarl.core import Discrete
from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.envs.dilemmas import CoinGame, CoinGameState, coin_policy
from jaxmarl.testing import check_env, check_policy

DISCOUNT = 0.96


def place(players, coins, t=0):
    return CoinGameState(*(jnp.asarray(x, jnp.int32) for x in (t, players, coins)))


def play(env, state, action, chance):
    return env.transition(state, jnp.asarray(action, jnp.int32), chance, env.default_params)


def test_rules_of_the_alternating_coin():
    env = CoinGame()
    # player 0 goes right from cell 0 to the coin of player 1 in cell 1; player 1 wraps upwards from 2 to 8
    state, reward, terminated, info = play(env, place([0, 2], [-1, 1]), [1, 2], ((), jnp.int32(3), ()))
    assert reward.tolist() == [1, -2]
    assert state.players.tolist() == [1, 8]
    assert state.coins.tolist() == [4, -1]  # owner changed; free cells are 0 2 3 4 5 6 7
    assert info["other"].tolist() == [True, False]
    assert info["own"].tolist() == [False, False]
    assert not terminated
    # both take it: both are paid, and the owner loses too
    state, reward, _, info = play(env, place([0, 2], [-1, 1]), [1, 0], ((), jnp.int32(8), ()))
    assert reward.tolist() == [1, -1]
    assert state.coins.tolist() == [0, -1]  # rank 8 mod 8 of the cells but 1
    assert [info[k].tolist() for k in ("own", "other")] == [[False, True], [True, False]]
    state, reward, _, _ = play(env, place([0, 2], [8, -1]), [0, 3], ((), jnp.int32(3), ()))
    assert reward.tolist() == [0, 0]
    assert state.coins.tolist() == [8, -1]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_new_coins_are_uniform_over_free_cells(size):
    env = CoinGame(size=size, num_steps=1)
    cells = size**2
    words = jnp.arange((cells - 1) * (cells - 2), dtype=jnp.int32)
    for players in ([0, 0], [1, 0], [1, cells - 1], [cells - 1, cells - 1]):
        placed = jax.vmap(env._free_cell, (None, 0))(jnp.asarray(players, jnp.int32), words)
        counts = np.bincount(np.asarray(placed), minlength=cells)
        free = np.setdiff1d(np.arange(cells), players)
        assert (counts[free] == len(words) // len(free)).all()
        assert counts.sum() == counts[free].sum()


def test_balance_is_shown():
    env, plain = CoinGame(show_balance=True, num_steps=2, num_rounds=2), CoinGame(num_steps=2, num_rounds=2)
    state = place([0, 2], [-1, 1]).replace(balance=jnp.int32(0))
    chance = (jnp.asarray([4, 5], jnp.int32), jnp.int32(3), jnp.asarray([0.2, 0.6]))

    def shown(state):
        obs, params = env.observe(state, env.default_params), env.default_params
        np.testing.assert_array_equal(obs[:, :36], plain.observe(state.replace(balance=None), params))
        return obs[:, 36:].tolist()

    even = [0, 0, 1, 0, 0]
    assert shown(state) == [even, even]
    state, *_ = play(env, state, [1, 2], chance)  # the first takes the other's coin
    assert int(state.balance) == 1
    assert shown(state) == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]
    assert shown(state.replace(balance=jnp.int32(-7))) == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    state, *_ = play(env, state, [0, 0], chance)
    assert shown(state) == [even, even]  # of the new round
    check_env(env)
    check_policy(coin_policy(env, "defect"), env.observe(state, env.default_params)[0], action_space=Discrete(4))
    with pytest.raises(ValueError, match="show_balance"):
        CoinGame(flat=False, show_balance=True)


def test_rules_of_two_coins():
    env = CoinGame("two_coins", zero_last=True, num_steps=2, num_rounds=2)
    fresh = jnp.array([7, 8]), jnp.array([5, 6]), ()
    # player 0 stays under its coin, player 1 takes the same coin by going right from 8 to 6 over the edge
    state, reward, _, info = play(env, place([6, 8], [6, 0]), [4, 0], fresh)
    assert reward.tolist() == [-1, 1]
    assert state.players.tolist() == [6, 6]
    assert state.coins.tolist() == [5, 0]
    assert not info["round_ended"]
    # the last step of a round pays nothing here, and everything is placed anew
    state, reward, _, info = play(env, state, [0, 1], fresh)
    assert reward.tolist() == [0, 0]
    assert info["round_ended"]
    assert state.players.tolist() == [7, 8]
    assert state.coins.tolist() == [5, 6]
    assert not env.truncated(state, env.default_params)
    paying = CoinGame("two_coins", num_steps=1)
    _, reward, _, _ = play(paying, place([0, 8], [1, 7]), [0, 1], ((), fresh[1], ()))
    assert reward.tolist() == [1, 1]


def test_views():
    env = CoinGame()
    state = place([4, 2], [-1, 8])
    obs = np.asarray(env.observe(state, env.default_params)).reshape(2, 9, 4)
    for player, cells in enumerate(([4, 2, None, 8], [2, 4, 8, None])):
        for channel, cell in enumerate(cells):
            assert np.flatnonzero(obs[player, :, channel]).tolist() == ([] if cell is None else [cell])
    centred = CoinGame(egocentric=True, flat=False)
    obs = np.asarray(centred.observe(state, env.default_params))
    assert obs.shape == (2, 3, 3, 4)
    # seen from cell 2: cell 4 lies one down and one left, cell 8 two down, which is one up
    assert [np.argwhere(obs[1, :, :, k]).tolist() for k in range(4)] == [[[1, 1]], [[2, 0]], [[0, 1]], []]


@pytest.fixture(scope="module")
def alternating():
    chain = Chain(CoinGame())
    players = {
        kind: [chain.policy(coin_policy(chain.env, kind), i) for i in (0, 1)] for kind in ("cooperate", "defect")
    }
    players["random"] = [np.full((1152, 4), 0.25)] * 2
    return chain, players


# rewards a step over 50 steps, (1 - γ) Σ γ^t r_t over them, and a step in the long run
ALTERNATING = {
    "cooperate-cooperate": ((0.334437, 0.334437), (0.289676, 0.289676), (0.335580, 0.335580)),
    "defect-cooperate": ((0.623427, -0.260217), (0.540472, -0.226124), (0.625135, -0.260473)),
    "defect-defect": ((0, 0), (0, 0), (0, 0)),
    "random-random": ((0, 0), (0, 0), (0, 0)),
    "defect-random": ((0.531121, -0.531121), (0.459582, -0.459582), (0.533333, -0.533333)),
}


@pytest.mark.parametrize("pair", ALTERNATING)
def test_exact_values_of_the_alternating_coin(alternating, pair):
    chain, players = alternating
    assert chain.states.shape == (1152, 4)
    first, second = pair.split("-")
    rewards = chain.rewards(chain.joint(players[first][0], players[second][1]), 1000)
    discounted = (1 - DISCOUNT) * DISCOUNT ** np.arange(50) @ rewards[:50]
    found = rewards[:50].mean(0), discounted, rewards[800:].mean(0)
    np.testing.assert_allclose(found, ALTERNATING[pair], atol=6e-7)


def test_planner_and_best_responses(alternating):
    chain, players = alternating
    rewards = chain.rewards(chain.plan(chain.reward.sum(2), DISCOUNT), 1000)
    discounted = (1 - DISCOUNT) * DISCOUNT ** np.arange(50) @ rewards[:50]
    np.testing.assert_allclose(rewards[:50].mean(0), 0.348600, atol=6e-7)
    np.testing.assert_allclose(discounted, 0.301706, atol=6e-7)
    np.testing.assert_allclose(rewards[800:].mean(0), 0.35, atol=1e-9)
    for rival, short, long in (("cooperate", (0.632872, -0.264095), 0.634694), ("defect", (0.0, 0.0), 0.0)):
        rewards = chain.rewards(chain.plan(chain.reward[:, :, 0], DISCOUNT, players[rival][1]), 1000)
        np.testing.assert_allclose(rewards[:50].mean(0), short, atol=6e-7)
        np.testing.assert_allclose(rewards[800:, 0].mean(), long, atol=6e-7)


def test_exact_values_of_two_coins():
    """Up to shifts of the torus, which change neither rewards nor what the players do: 729 of 6561 states."""
    chain = Chain(CoinGame("two_coins"), fixed_player=True)
    good, bad = ([chain.policy(coin_policy(chain.env, kind), i) for i in (0, 1)] for kind in ("cooperate", "defect"))
    random = np.full((729, 5), 0.2)
    for first, second, nine, long in (
        (good[0], good[1], (5.404493, 5.404493), (0.609417, 0.609417)),
        (good[0], bad[1], (-1.460514, 6.462908), (-0.150868, 0.715493)),
        (bad[0], bad[1], (0, 0), (0, 0)),
        (bad[0], random, (6.229675, -6.229675), (0.699679, -0.699679)),
    ):
        rewards = chain.rewards(chain.joint(first, second), 400)
        np.testing.assert_allclose(rewards[:9].sum(0), nine, atol=6e-7)
        np.testing.assert_allclose(rewards[300:].mean(0), long, atol=6e-7)
    rewards = chain.rewards(chain.plan(chain.reward.sum(2), DISCOUNT), 400)
    np.testing.assert_allclose(rewards[300:].mean(), 0.6110, atol=6e-5)


def test_play_against_exact_values():
    """Sampled play has the mean that enumeration says."""
    env, num = CoinGame(), 2000
    acts = [jax.vmap(coin_policy(env, kind).act, (None, None, 0, 0)) for kind in ("defect", "cooperate")]

    @jax.jit
    def sample(key):
        starts, chances, units = draw((env.reset_chance, *repeat((env.step_chance, Uniform((2,))), 50)), key, (num,))

        def step(state, x):
            chance, unit = x
            obs = jax.vmap(env.observe, (0, None))(state, env.default_params)
            action = jnp.stack([acts[i]((), (), obs[:, i], unit[:, i])[0] for i in (0, 1)], axis=1)
            state, reward, _, _ = jax.vmap(env.transition, (0, 0, 0, None))(state, action, chance, env.default_params)
            return state, reward

        state = jax.vmap(env.initial, (0, None))(starts, env.default_params)
        xs = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (chances, units))
        return jax.lax.scan(step, state, xs)[1].mean(0)

    means = np.asarray(sample(jax.random.key(0)), np.float64)
    error = means.std(0) / num**0.5
    assert (np.abs(means.mean(0) - ALTERNATING["defect-cooperate"][0]) < 4 * error).all()


@pytest.mark.slow
def test_contract_of_two_coins():
    check_env(CoinGame("two_coins", num_steps=5, num_rounds=2, egocentric=True, zero_last=True), num_steps=64)


def test_coin_policies_keep_the_contract():
    env, params = jaxmarl.make("coin_game", size=4, flat=False)
    obs, _ = env.reset(jax.random.key(0), params)
    check_policy(coin_policy(env, "cooperate"), obs[0], action_space=Discrete(4))


def test_picture_of_the_coin_game():
    env, params = jaxmarl.make("coin_game", version="two_coins")
    image = env.render(place([0, 0], [4, 8]), params)
    assert image.shape[2] == 3
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 4


def test_refusals_of_the_coin_game():
    with pytest.raises(ValueError, match="did you mean 'two_coins'"):
        CoinGame("two_coin")
    with pytest.raises(ValueError, match="size"):
        CoinGame(size=17)
    with pytest.raises(ValueError, match="zero_last"):
        CoinGame(zero_last=1)
    with pytest.raises(ValueError, match="kind"):
        coin_policy(CoinGame(), "nice")
    env, params = jaxmarl.make("coin_game")
    with pytest.raises(ValueError, match="payoff"):
        env.validate(params.replace(payoff=params.payoff * jnp.inf))

"""Iterated matrix games: what players see and earn, and strategies played against their exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core import Discrete
from jaxmarl.envs.dilemmas import IteratedMatrix, memory_one_policy
from jaxmarl.games.iterated import MEMORY_ONE, memory_one_values
from jaxmarl.testing import check_policy


def test_views_and_payoffs():
    env, params = jaxmarl.make("iterated_matrix", num_steps=4)
    state = env.initial((), params)
    assert env.observe(state, params).argmax(1).tolist() == [0, 0]
    for action, seen, paid in (
        ((0, 0), [1, 1], [-1, -1]),
        ((0, 1), [2, 3], [-3, 0]),
        ((1, 0), [3, 2], [0, -3]),
        ((1, 1), [4, 4], [-2, -2]),
    ):
        state, reward, terminated, info = env.transition(state, jnp.array(action), (), params)
        obs = env.observe(state, params)
        assert obs.argmax(1).tolist() == seen
        assert obs.sum(1).tolist() == [1, 1]
        assert reward.tolist() == paid
        assert info["cooperated"].tolist() == [a == 0 for a in action]
        assert not terminated
    assert env.truncated(state, params)


@pytest.mark.parametrize(
    ("game", "row", "column"),
    [
        ("axelrod", [[3, 0], [5, 1]], [[3, 5], [0, 1]]),
        ("chicken", [[0, -1], [1, -100]], [[0, 1], [-1, -100]]),
        ("stag_hunt", [[4, 0], [3, 2]], [[4, 3], [0, 2]]),
        ("matching_pennies", [[1, -1], [-1, 1]], [[-1, 1], [1, -1]]),
    ],
)
def test_games(game, row, column):
    env, params = jaxmarl.make("iterated_matrix", game=game)
    assert params.payoffs.tolist() == [row, column]
    assert env.zero_sum == (game == "matching_pennies")
    assert env.symmetric != env.zero_sum


def test_stag_hunt_mixes_at_two_thirds_and_hare_is_risk_dominant():
    (stag, alone), (safe, both_hares) = IteratedMatrix(game="stag_hunt").default_params.payoffs[0].tolist()
    indifferent = (both_hares - alone) / (stag - alone + both_hares - safe)
    assert indifferent == pytest.approx(2 / 3)
    assert indifferent > 0.5


def test_play_of_all_pairs_against_exact_values():
    """All 81 ordered pairs of named strategies, 50 episodes of 200 rounds each."""
    env, params = jaxmarl.make("iterated_matrix", num_steps=200)
    copies, rounds, discount = 50, 200, 0.96
    table = jnp.asarray(list(MEMORY_ONE.values()), jnp.float32)
    pairs = np.stack(np.meshgrid(np.arange(9), np.arange(9), indexing="ij"), -1).reshape(-1, 2)
    players = table[np.repeat(pairs, copies, axis=0)]  # [matches, 2, 5]
    matches, act = len(players), jax.vmap(jax.vmap(memory_one_policy().act, (0, None, 0, 0)), (0, None, 0, 0))

    @jax.jit
    def play(key):
        def step(state, key):
            obs = jax.vmap(env.observe, (0, None))(state, params)
            action, _ = act(players, (), obs, jax.random.uniform(key, (matches, 2)))
            state, reward, _, _ = jax.vmap(env.transition, (0, 0, None, None))(state, action, (), params)
            return state, reward

        state = jax.tree.map(lambda x: jnp.broadcast_to(x, (matches,)), env.initial((), params))
        reward = jax.lax.scan(step, state, jax.random.split(key, rounds))[1]
        weights = (1 - discount) * discount ** jnp.arange(rounds)
        return jnp.einsum("t,tbi->bi", weights, reward).reshape(len(pairs), copies, 2)

    found = np.asarray(play(jax.random.key(0)), np.float64)
    exact = jax.vmap(memory_one_values, (0, 0, None, None))(*table[pairs.T], params.payoffs, discount)
    error = found.std(1) / copies**0.5
    # rounds that are not played are worth at most 3 γ^200
    assert (np.abs(found.mean(1) - exact) < 4 * error + 3 * discount**rounds + 1e-5).all()


@pytest.mark.parametrize("name", MEMORY_ONE)
def test_named_policies(name):
    policy = memory_one_policy(name)
    for i, p in enumerate(MEMORY_ONE[name]):
        obs = jnp.eye(5)[i]
        plays = [int(policy.act((), (), obs, jnp.float32(u))[0]) for u in (0.0, 0.999)]
        assert plays == [0 if p > 0 else 1, 0 if p == 1 else 1]


def test_policy_contract():
    check_policy(memory_one_policy("generous_tit_for_tat"), jnp.eye(5)[2], action_space=Discrete(2))
    check_policy(memory_one_policy(), jnp.eye(5)[0], jnp.full(5, 0.5), action_space=Discrete(2))


def test_refusals_of_iterated_games():
    with pytest.raises(ValueError, match="did you mean 'chicken'"):
        IteratedMatrix(game="chiken")
    with pytest.raises(ValueError, match="num_steps"):
        IteratedMatrix(num_steps=0)
    with pytest.raises(ValueError, match="strategy"):
        memory_one_policy("tit_for_two_tats")
    env, params = jaxmarl.make("iterated_matrix")
    with pytest.raises(ValueError, match="payoffs"):
        env.validate(params.replace(payoffs=params.payoffs.at[0].set(jnp.nan)))

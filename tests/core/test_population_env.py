"""`PopulationEnv` plays each member as `AgainstPolicies` does, all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DRAWN, OBEDIENT, ROTATE, Tagged, beat_last, constant

from jaxmarl.core import AgainstPolicies, Player, PopulationEnv
from jaxmarl.envs.rps import RepeatedRPS

RPS = RepeatedRPS(num_throws=8)
POLICIES = (ROTATE, constant(2), beat_last(RPS))
PLAYERS = tuple(Player(policy, view=RPS.moves_view) for policy in POLICIES)
MEMBERS = Player(OBEDIENT, jnp.arange(3), members=3)
MOVES = np.random.default_rng(0).integers(0, 3, (8, 6)).astype(np.int32)


def play(env, params, moves, seed=0):
    """Observations, rewards and ends when the agent plays `moves` `[T, B]`, with `begin` before each episode."""
    _, state = env.reset(jax.random.key(seed), params)
    obs, state = env.begin(jax.random.key(seed + 1), state, params)

    def step(state, x):
        obs, state, reward, terminated, _, _ = env.step(x[0], state, x[1][:, None], params)
        return state, (obs, reward, terminated)

    keys = jax.random.split(jax.random.key(seed + 2), len(moves))
    state, (later, reward, terminated) = jax.jit(lambda s: jax.lax.scan(step, s, (keys, moves)))(state)
    return np.concatenate([obs[None], later]), np.asarray(reward), np.asarray(terminated), state


@pytest.mark.parametrize("seat", [0, 1])
def test_it_equals_each_pair_played_alone(seat):
    env = PopulationEnv(RPS, PLAYERS, matches=2, seat=seat)
    obs, reward, terminated, _ = play(env, env.default_params, jnp.asarray(MOVES))
    assert obs.shape == (9, 6, 1, 6)
    assert reward.shape == (8, 6, 1)
    for b, label in enumerate(np.asarray(env.labels)):
        alone = AgainstPolicies(RPS, (POLICIES[label],), seat=seat, view=RPS.moves_view)
        params = alone.default_params
        seen, state = alone.reset(jax.random.key(0), params)
        np.testing.assert_array_equal(obs[0, b], seen)
        for t in range(8):
            step = jax.jit(alone.step)
            seen, state, r, over, *_ = step(jax.random.key(t), state, jnp.asarray(MOVES[t, b : b + 1]), params)
            np.testing.assert_array_equal(obs[t + 1, b], seen)
            np.testing.assert_array_equal(reward[t, b], r)
            assert bool(terminated[t, b]) == bool(over) == (t == 7)


def test_labels_name_the_opponent_of_each_match():
    env = PopulationEnv(RPS, (MEMBERS, Player(constant(1))), matches=2)
    np.testing.assert_array_equal(env.labels, [0, 0, 1, 1, 2, 2, 3, 3])
    assert env.num_labels == 4
    assert env.num_envs == 8
    assert env.num_agents == 1
    _, reward, _, _ = play(env, env.default_params, jnp.zeros((2, 8), jnp.int32))
    np.testing.assert_array_equal(reward[1, :, 0], [0, 0, -1, -1, 1, 1, -1, -1])


def test_params_of_the_opponents_are_the_callers():
    env = PopulationEnv(RPS, (MEMBERS,), matches=1)
    game, _ = env.default_params
    _, reward, _, _ = play(env, (game, (jnp.asarray([1, 1, 2]),)), jnp.zeros((1, 3), jnp.int32))
    np.testing.assert_array_equal(reward[0, :, 0], [-1, -1, 1])


def test_begin_restarts_memories_and_matches_together_at_the_horizon():
    env = PopulationEnv(RPS, (Player(ROTATE),), matches=2)
    params = env.default_params
    _, _, _, state = play(env, params, jnp.zeros((8, 2), jnp.int32))
    np.testing.assert_array_equal(state.memories[0], [[8, 8]])
    obs, state = env.begin(jax.random.key(9), state, params)
    np.testing.assert_array_equal(state.memories[0], [[0, 0]])
    assert not obs.any()
    assert int(state.vector.elapsed) == 0


def test_begin_within_a_match_changes_nothing():
    env = PopulationEnv(RPS, (Player(DRAWN),), matches=3)
    params = env.default_params
    _, _, _, state = play(env, params, jnp.zeros((4, 3), jnp.int32))
    obs, begun = env.begin(jax.random.key(9), state, params)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), begun, state))
    np.testing.assert_array_equal(obs, env.observe(state, params))


def test_matches_without_a_horizon_restart_one_by_one_with_their_memories():
    env = PopulationEnv(Tagged(), (Player(ROTATE),), matches=3)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    _, state = env.begin(jax.random.key(1), state, params)
    tags, pool = np.asarray(state.vector.env.tag), np.asarray(state.vector.starts.tag)
    # ROTATE plays 0 first, then 1, which ends the match: end match 1 by hand before that
    action = jnp.asarray([[0], [2], [0]], jnp.int32)
    obs, state, _, terminated, truncated, info = env.step(jax.random.key(2), state, action, params)
    np.testing.assert_array_equal(truncated, [False, True, False])
    assert not terminated.any()
    np.testing.assert_array_equal(state.memories[0], [[1, 0, 1]])
    np.testing.assert_array_equal(obs[:, 0, 0], [tags[0], pool[0], tags[2]])
    np.testing.assert_array_equal(info["final_observation"][:, 0, 0], tags)
    assert info["final_observation"].shape == obs.shape
    _, state, _, terminated, _, _ = env.step(jax.random.key(3), state, jnp.zeros((3, 1), jnp.int32), params)
    np.testing.assert_array_equal(terminated, [True, False, True])
    np.testing.assert_array_equal(state.memories[0], [[0, 1, 0]])
    np.testing.assert_array_equal(state.vector.env.tag, [pool[1], pool[0], pool[2]])


def test_opponents_draw_apart():
    env = PopulationEnv(RepeatedRPS(num_throws=30), (Player(DRAWN),), matches=50)
    obs, *_ = play(env, env.default_params, jnp.zeros((30, 50), jnp.int32))
    moves = obs[1:, :, 0, 3:].argmax(axis=-1)
    assert len(np.unique(moves, axis=1).T) == 50
    np.testing.assert_allclose(np.bincount(moves.reshape(-1), minlength=3) / 1500, 1 / 3, atol=0.06)


def test_refusals():
    with pytest.raises(ValueError, match="opponents"):
        PopulationEnv(RPS, (), matches=1)
    with pytest.raises(ValueError, match="matches"):
        PopulationEnv(RPS, PLAYERS, matches=0)
    with pytest.raises(ValueError, match=r"seat must be an integer in \[0, 1\]"):
        PopulationEnv(RPS, PLAYERS, matches=1, seat=2)

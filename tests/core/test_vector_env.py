"""`VectorEnv`: pooled starts, common resets, stacked params."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Bonus, Tagged

from jaxmarl.core import AutoReset, VectorEnv, draw
from jaxmarl.testing.probes import DelayedReward, Recall

B = 8
VECTOR = VectorEnv(Tagged(), B)
PARAMS = Tagged().default_params


def joint(moves) -> jnp.ndarray:
    """Joint actions in which agent 0 plays `moves`."""
    return jnp.stack([jnp.asarray(moves, jnp.int32), jnp.zeros(B, jnp.int32)], axis=1)


@pytest.fixture
def begun():
    _, state = VECTOR.reset(jax.random.key(0), PARAMS)
    return VECTOR.begin(jax.random.key(1), state, PARAMS)


def test_each_ended_instance_takes_the_next_start_and_none_twice(begun):
    _, state = begun
    pool, tags = np.asarray(state.starts.tag), np.asarray(state.env.tag)
    assert len(set(pool) | set(tags)) == 2 * B
    taken = []
    for moves in ([0, 1, 0, 2, 0, 0, 0, 1], [0] * B, [1, 1, 0, 0, 0, 0, 0, 2]):
        ended = np.asarray(moves) > 0
        obs, state, reward, terminated, truncated, info = VECTOR.step(jax.random.key(2), state, joint(moves), PARAMS)
        np.testing.assert_array_equal(terminated, np.asarray(moves) == 1)
        np.testing.assert_array_equal(truncated, np.asarray(moves) == 2)
        np.testing.assert_array_equal(reward[:, 0], tags)  # the ended episode's reward
        np.testing.assert_array_equal(info["final_observation"][:, 0, 0], tags)
        wanted = tags.copy()
        wanted[ended] = pool[len(taken) : len(taken) + ended.sum()]
        taken += list(wanted[ended])
        np.testing.assert_array_equal(obs[:, 0, 0], wanted)
        np.testing.assert_array_equal(np.asarray(obs[:, 0, 1]) == 0, ended)
        tags = wanted
    assert taken == list(pool[:6])
    assert int(state.next_start) == 6


def test_an_empty_pool_starts_over_and_begin_draws_a_new_one(begun):
    _, state = begun
    pool = np.asarray(state.starts.tag)
    for _ in range(3):
        _, state, *_ = VECTOR.step(jax.random.key(2), state, joint([1, 1, 1, 0, 0, 0, 0, 0]), PARAMS)
    np.testing.assert_array_equal(state.env.tag[:3], pool[[6, 7, 0]])
    running = np.asarray(state.env.tag)
    obs, state = VECTOR.begin(jax.random.key(3), state, PARAMS)
    np.testing.assert_array_equal(obs[:, 0, 0], running)  # episodes go on
    assert not set(np.asarray(state.starts.tag)) & set(pool)
    assert int(state.next_start) == 0


def test_instances_end_independently_under_jit_and_scan(begun):
    def step(state, key):
        moves = jax.random.randint(key, (B,), 0, 3)
        obs, state, _, terminated, truncated, _ = VECTOR.step(key, state, joint(moves), PARAMS)
        return state, (obs[:, 0, 1], terminated | truncated)

    _, (clock, done) = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(jax.random.key(5), 50)))(begun[1])
    elapsed = np.zeros(B, int)
    for t in range(50):
        elapsed = np.where(done[t], 0, elapsed + 1)
        np.testing.assert_array_equal(clock[t], elapsed)


def test_stacked_params_give_each_instance_its_market_and_its_own_starts():
    vector = VectorEnv(Tagged(), B, stacked_params=True)
    params = Bonus(jnp.arange(B, dtype=jnp.float32) / 16)
    _, state = vector.reset(jax.random.key(0), params)
    tags, own = np.asarray(state.env.tag), np.asarray(state.starts.tag)
    _, state, reward, *_ = vector.step(jax.random.key(1), state, joint([0, 1] * 4), params)
    np.testing.assert_allclose(reward[:, 0], tags + np.arange(B) / 16, rtol=1e-6)
    np.testing.assert_array_equal(state.env.tag, np.where(np.arange(B) % 2, own, tags))
    assert vector.observation_space(params) == Tagged().observation_space(PARAMS)


def test_a_fixed_horizon_resets_together_at_begin_and_not_before():
    vector = VectorEnv(Recall(length=2, num_cues=1000), B)
    obs, state = vector.reset(jax.random.key(0), ())
    first = obs
    action = jnp.zeros((B, 1), jnp.int32)
    assert state.starts == ()
    for t in range(2):
        obs, state = vector.begin(jax.random.key(10 + t), state, ())
        assert bool((obs == first).all()) is (t == 0)
        obs, state, _, terminated, _, info = vector.step(jax.random.key(t), state, action, ())
        assert bool(terminated.all()) is (t == 1)
        assert int(state.elapsed) == t + 1
        assert "final_observation" not in info
    obs, state = vector.begin(jax.random.key(20), state, ())
    assert int(state.elapsed) == 0
    assert bool((obs.sum(axis=(1, 2)) == 1).all())
    assert not bool((obs == first).all())


def test_instances_draw_their_own_chance():
    obs, _ = VectorEnv(DelayedReward(), 200).reset(jax.random.key(0), DelayedReward().default_params)
    assert 60 < int((obs[:, 0, 0] > 0).sum()) < 140
    assert VectorEnv(Tagged(), 3).step_chance == ()
    assert draw(VectorEnv(DelayedReward(), 3).step_chance, jax.random.key(0)) == ()


def test_shapes_and_labels():
    assert VECTOR.num_agents == 2
    assert VECTOR.horizon is None
    assert VECTOR.num_labels == 1
    assert VECTOR.labels.shape == (B,)
    _, state = VECTOR.reset(jax.random.key(0), PARAMS)
    assert VECTOR.action_mask(state, PARAMS).shape == (B, 2, 3)


def test_refusals():
    with pytest.raises(ValueError, match="num_envs must be an integer >= 1"):
        VectorEnv(Tagged(), 0)
    with pytest.raises(ValueError, match=r"^env must be an environment that does not reset itself"):
        VectorEnv(AutoReset(Tagged()), 3)

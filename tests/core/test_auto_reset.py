"""`AutoReset`: what comes back when an episode ends, in each mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import AutoReset
from jaxmarl.testing.probes import Recall, TimeLimited

MODES = ("fresh", "pooled", "fixed")
ENV = Recall(length=3, num_cues=64)


def play(env, num_steps, action=0, seed=0):
    """Observations `[T + 1, …]`, and what each step returned."""
    obs, state = env.reset(jax.random.key(seed), env.default_params)
    step = jax.jit(env.step)
    seen, steps = [obs], []
    for t in range(num_steps):
        obs, state, *rest = step(jax.random.key(100 + t), state, jnp.full(1, action, jnp.int32), env.default_params)
        seen.append(obs)
        steps.append(rest)
    reward, terminated, truncated, info = (jax.tree.map(lambda *x: np.stack(x), *x) for x in zip(*steps, strict=True))
    return np.stack(seen)[:, 0], reward, terminated, truncated, info["final_observation"][:, 0]


def cues(obs) -> np.ndarray:
    """The cue that each first observation shows, -1 for other observations."""
    shown = obs[:, :-1]
    return np.where(shown.any(axis=1), shown.argmax(axis=1), -1)


@pytest.mark.parametrize("mode", MODES)
def test_the_step_that_ends_an_episode_returns_the_next_ones_start(mode):
    obs, _, terminated, truncated, final = play(AutoReset(ENV, mode=mode, pool_size=4), 9)
    np.testing.assert_array_equal(terminated, [t % 3 == 2 for t in range(9)])
    assert not truncated.any()
    first = cues(obs) >= 0
    np.testing.assert_array_equal(first, [t % 3 == 0 for t in range(10)])
    # the observation that ended it is no start; within an episode it is the one returned
    assert (cues(final) < 0).all()
    np.testing.assert_array_equal(final[~terminated], obs[1:][~terminated])


def test_fixed_always_returns_to_the_first_start():
    shown = cues(play(AutoReset(ENV, mode="fixed"), 12)[0])[::3]
    assert len(set(shown)) == 1


def test_pooled_takes_the_starts_in_turn_and_wraps():
    env = AutoReset(ENV, mode="pooled", pool_size=3)
    _, state = env.reset(jax.random.key(0), ())
    pool = np.asarray(state.starts.cue)
    shown = cues(play(env, 18)[0])[::3]
    np.testing.assert_array_equal(shown, pool[np.arange(7) % 3])
    assert len(set(pool)) == 3


def test_fresh_draws_a_start_each_time():
    shown = cues(play(AutoReset(ENV, mode="fresh"), 30)[0])[::3]
    assert len(set(shown)) > 7


@pytest.mark.parametrize("mode", MODES)
def test_truncation_is_reported_in_its_step_and_not_after(mode):
    env = AutoReset(TimeLimited(limit=3), mode=mode)
    _, _, terminated, truncated, _ = play(env, 8)
    assert not terminated.any()
    np.testing.assert_array_equal(truncated, [t % 3 == 2 for t in range(8)])


@pytest.mark.parametrize("mode", MODES)
def test_the_reward_is_the_ended_episodes(mode):
    env = AutoReset(Recall(length=2, num_cues=2), mode=mode)
    obs, reward, *_ = play(env, 12, action=1)
    np.testing.assert_array_equal(reward[1::2, 0], cues(obs)[:-1:2] == 1)
    assert not reward[::2].any()


def test_it_has_no_horizon_and_keeps_the_declarations():
    env = AutoReset(TimeLimited(limit=3, declared=True))
    assert env.horizon is None
    assert env.symmetric
    assert env.deterministic


def test_refusals():
    with pytest.raises(
        ValueError, match=r"mode must be one of fresh, pooled, fixed; got 'pool'; did you mean 'pooled'"
    ):
        AutoReset(ENV, mode="pool")
    with pytest.raises(ValueError, match="pool_size"):
        AutoReset(ENV, pool_size=0)
    with pytest.raises(ValueError, match="env must be an Environment"):
        AutoReset(3)

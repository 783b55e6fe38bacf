"""Advantage estimates against hand-computed numbers, brute force and their definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.learners.returns import gae

REWARD = np.array([1.0, 0.0, -1.0, 2.0, 0.5], np.float32)
VALUE = np.array([0.5, 0.2, -0.3, 1.0, 0.4], np.float32)
NEXT = np.array([0.2, -0.3, 1.0, 0.4, 0.7], np.float32)
ENDS = np.array([False, False, True, False, False])
NEVER = np.zeros(5, bool)


def test_published_numbers():
    advantage = gae(REWARD, VALUE, NEXT, jnp.asarray(ENDS), jnp.asarray(NEVER), 0.99, 0.95)
    np.testing.assert_allclose(advantage, [-0.388607, -1.155350, -0.7, 2.141816, 0.793], atol=1e-6)


def brute_force(reward, value, next_value, terminated, truncated, discount, trace):
    """The defining sum of discounted temporal differences, up to the episode's end."""
    out = np.zeros(len(reward))
    for t in range(len(reward)):
        weight = 1.0
        for k in range(t, len(reward)):
            out[t] += weight * (reward[k] + discount * (0 if terminated[k] else next_value[k]) - value[k])
            if terminated[k] or truncated[k]:
                break
            weight *= discount * trace
    return out


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_both_ends_against_the_definition(trace):
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 40)).astype(np.float32)
    terminated = rng.random(40) < 0.15
    truncated = ~terminated & (rng.random(40) < 0.15)
    ours = gae(reward, value, next_value, jnp.asarray(terminated), jnp.asarray(truncated), 0.9, trace)
    expected = brute_force(reward, value, next_value, terminated, truncated, 0.9, trace)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_batches_are_independent():
    stacked = gae(*(jnp.stack([x, x[::-1]], 1) for x in (REWARD, VALUE, NEXT, ENDS, NEVER)), 0.99, 0.95)
    for column, order in enumerate([slice(None), slice(None, None, -1)]):
        single = gae(*(jnp.asarray(x[order]) for x in (REWARD, VALUE, NEXT, ENDS, NEVER)), 0.99, 0.95)
        np.testing.assert_allclose(stacked[:, column], single, atol=1e-6)

"""`step` refuses joint actions that broadcasting would let pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl

KEY = jax.random.key(0)


def refusal(env, params, action, step=None) -> str:
    state = env.reset(KEY, params)[1]
    with pytest.raises(ValueError, match="action") as caught:
        (step or env.step)(KEY, state, action, params)
    return str(caught.value)


@pytest.mark.parametrize("action", [np.float32(0.3), np.full(1, 0.3), np.full(3, 0.3), np.full((2, 1), 0.3)])
def test_a_joint_action_of_another_shape_is_refused(action):
    env, params = jaxmarl.make("cournot")
    expected = f"shape of action must be (2,), with a row for each agent, got {np.shape(action)}"
    action = jnp.asarray(action)
    assert refusal(env, params, action) == expected
    assert refusal(env, params, action, jax.jit(env.step)) == expected


def test_actions_of_fractions_are_refused_where_they_are_discrete():
    env, params = jaxmarl.make("repeated_rps", num_throws=3)
    assert refusal(env, params, jnp.array([0.5, 1.0])) == "action must be integers below 3, got 'float32'"
    assert refusal(jaxmarl.AutoReset(env), params, jnp.array(1)) == (
        "shape of action must be (2,), with a row for each agent, got ()"
    )


def test_integers_are_taken_for_real_numbers():
    env, params = jaxmarl.make("cournot")
    state = env.reset(KEY, params)[1]
    assert env.step(KEY, state, jnp.array([1, 0]), params)[2].shape == (2,)

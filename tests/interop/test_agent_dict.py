"""The interface of the public JaxMARL package, on our environments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.interop import AgentDictEnv
from jaxmarl.testing.probes import MaskedChoice, TimeLimited


def test_a_match_in_dictionaries_equals_the_arrays():
    env, params = jaxmarl.make("repeated_rps", num_throws=4)
    wrapped = AgentDictEnv(env, params)
    assert wrapped.agents == ["agent_0", "agent_1"]
    assert wrapped.action_space("agent_1").n == 3
    assert wrapped.observation_space("agent_0").shape == (6,)
    obs, state = wrapped.reset(jax.random.key(0))
    own_obs, own_state = env.reset(jax.random.key(0), params)
    step = jax.jit(wrapped.step)
    for t, (a, b) in enumerate([(0, 1), (1, 1), (2, 1), (1, 0)]):
        obs, state, rewards, dones, _ = step(jax.random.key(t), state, {"agent_0": a, "agent_1": b})
        own_obs, own_state, reward, terminated, *_ = env.step(jax.random.key(t), own_state, jnp.array([a, b]), params)
        assert [float(rewards[name]) for name in wrapped.agents] == reward.tolist()
        assert bool(dones["__all__"]) == bool(terminated) == (t == 3)
        if t < 3:
            np.testing.assert_array_equal(jnp.stack([obs[name] for name in wrapped.agents]), own_obs)
    np.testing.assert_array_equal(obs["agent_0"], 0)  # a new match has begun


def test_a_time_limit_is_an_end_like_any_other():
    env = AgentDictEnv(TimeLimited(limit=2))
    _, state = env.reset(jax.random.key(0))
    ends = []
    for t in range(4):
        _, state, _, dones, _ = env.step(jax.random.key(t), state, {"agent_0": 0})
        ends.append(bool(dones["agent_0"]))
    assert ends == [False, True, False, True]


def test_legal_actions_by_agent():
    env = AgentDictEnv(MaskedChoice(num_actions=4))
    _, state = env.reset(jax.random.key(0))
    legal = env.get_avail_actions(state)
    np.testing.assert_array_equal(legal["agent_0"], ~legal["agent_1"])


def test_an_unknown_agent_is_refused():
    env = AgentDictEnv(jaxmarl.make("repeated_rps")[0])
    with pytest.raises(ValueError, match="agent must be one of agent_0, agent_1; got 'alice'"):
        env.action_space("alice")


def test_an_action_that_is_missing_is_refused():
    env = AgentDictEnv(jaxmarl.make("repeated_rps")[0])
    _, state = env.reset(jax.random.key(0))
    with pytest.raises(ValueError, match=r"^actions must be of every agent \(agent_0, agent_1\), got \['agent_0'\]$"):
        env.step(jax.random.key(1), state, {"agent_0": jnp.int32(0)})

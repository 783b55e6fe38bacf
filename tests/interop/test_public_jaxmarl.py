"""A script written for the public JaxMARL package learns on our environments without a change."""

import runpy
import sys

import jax
import numpy as np
import pytest

import jaxmarl
from jaxmarl.interop import AgentDictEnv
from jaxmarl.interop.public_jaxmarl import LogWrapper, MPELogWrapper, stand_in

# the conventions of the public baselines: names of agents, instances by vmap of keys, actions with an axis of size 1,
# infos and rewards reshaped to [num_actors]
SCRIPT = """
import jax
import jax.numpy as jnp
import jaxmarl
from jaxmarl.wrappers.baselines import LogWrapper

NUM_ENVS, NUM_STEPS, NUM_UPDATES = 16, 16, 40


def make_train(name, **kwargs):
    env = LogWrapper(jaxmarl.make(name, **kwargs))
    num_actors = env.num_agents * NUM_ENVS
    num_actions = env.action_space(env.agents[0]).n

    def batchify(x):
        return jnp.stack([x[a] for a in env.agents]).reshape((num_actors, -1))

    def unbatchify(x):
        x = x.reshape((env.num_agents, NUM_ENVS, -1))
        return {a: x[i] for i, a in enumerate(env.agents)}

    def train(rng):
        weights = jnp.zeros((env.observation_space(env.agents[0]).shape[-1], num_actions))
        rng, sub = jax.random.split(rng)
        obs, state = jax.vmap(env.reset)(jax.random.split(sub, NUM_ENVS))

        def update(carry, _):
            def step(carry, _):
                weights, obs, state, rng = carry
                rng, act, sub = jax.random.split(rng, 3)
                x = batchify(obs)
                action = jax.random.categorical(act, x @ weights)
                keys = jax.random.split(sub, NUM_ENVS)
                obs, state, reward, done, info = jax.vmap(env.step)(keys, state, unbatchify(action))
                info = jax.tree.map(lambda leaf: leaf.reshape((num_actors)), info)
                return (weights, obs, state, rng), (x, action, batchify(reward).squeeze(), info)

            (weights, obs, state, rng), (x, action, reward, info) = jax.lax.scan(step, carry, None, NUM_STEPS)

            def loss(weights):
                log_prob = jax.nn.log_softmax(x @ weights)
                chosen = jnp.take_along_axis(log_prob, action[..., None], -1)[..., 0]
                return -jnp.mean(chosen * (reward - reward.mean()))

            return (weights - jax.grad(loss)(weights), obs, state, rng), info["returned_episode_returns"].mean()

        return jax.lax.scan(update, (weights, obs, state, rng), None, NUM_UPDATES)[1]

    return train


if __name__ == "__main__":
    returns = jax.jit(make_train("repeated_rps_versus", bot="rockbot", num_throws=8))(jax.random.PRNGKey(0))
"""


def test_a_baseline_script_learns(tmp_path):
    path = tmp_path / "baseline.py"
    path.write_text(SCRIPT)
    before = sys.modules["jaxmarl"], sys.modules["jaxmarl.core"]
    with stand_in():
        names = runpy.run_path(str(path), run_name="__main__")
    assert (sys.modules["jaxmarl"], sys.modules["jaxmarl.core"]) == before
    returns = np.asarray(names["returns"])
    assert returns[:3].mean() < 3
    assert returns[-1] > 6  # paper beats rock: 8 is the most


@pytest.mark.parametrize(("wrapper", "scale"), [(LogWrapper, 1), (MPELogWrapper, 2)])
def test_returns_are_logged_when_an_episode_ends(wrapper, scale):
    env = wrapper(AgentDictEnv(*jaxmarl.make("repeated_rps", num_throws=2)))
    _, state = env.reset(jax.random.key(0))
    step = jax.jit(env.step)
    for moves, logged, length in [((1, 0), 0, 0), ((1, 0), 2, 2), ((0, 1), 2, 2), ((0, 1), -2, 2)]:
        actions = {agent: np.array([move], np.int32) for agent, move in zip(env.agents, moves, strict=True)}
        _, state, _, dones, infos = step(jax.random.key(1), state, actions)
        assert infos["returned_episode_returns"].tolist() == [scale * logged, -scale * logged]
        assert infos["returned_episode_lengths"].tolist() == [length, length]
        assert infos["returned_episode"].tolist() == [bool(dones["__all__"])] * 2


def test_infos_have_one_number_for_each_agent():
    env = AgentDictEnv(*jaxmarl.make("cournot"))
    _, state = env.reset(jax.random.key(0))
    _, _, _, _, infos = env.step(jax.random.key(1), state, dict.fromkeys(env.agents, np.float32(0.5)))
    assert all(np.shape(entry) == (2,) for entry in infos.values())
    assert "final_observation" not in infos

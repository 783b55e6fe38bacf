"""Environments with the public JaxMARL's interface as ours, and its package imported beside this one."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.dilemmas import CoinGame
from jaxmarl.envs.rps.repeated import RepeatedRPS
from jaxmarl.interop import AgentDictEnvironment, import_public
from jaxmarl.testing import check_env


class Dictionaries:
    """One of our environments with the other interface, without its automatic reset."""

    def __init__(self, env):
        self.env, self.agents = env, list(env.agent_names)

    @property
    def params(self):
        return self.env.default_params

    def observation_space(self, agent):
        return self.env.observation_space(self.params)

    def action_space(self, agent):
        return self.env.action_space(self.params)

    def reset(self, key):
        obs, state = self.env.reset(key, self.params)
        return dict(zip(self.agents, obs, strict=True)), state

    def step_env(self, key, state, actions):
        joint = jnp.stack([actions[agent] for agent in self.agents])
        obs, state, reward, terminated, truncated, _ = self.env.step(key, state, joint, self.params)
        done = terminated | truncated
        told = [dict(zip(self.agents, x, strict=True)) for x in (obs, reward)]
        return told[0], state, told[1], {**dict.fromkeys(self.agents, done), "__all__": done}, {}


@pytest.fixture(scope="module")
def env():
    return AgentDictEnvironment(Dictionaries(CoinGame(num_steps=5)))


def test_it_plays_as_what_it_wraps(env):
    inner = env.wrapped.env

    @jax.jit
    def both(key):
        state, (obs, other) = env.initial(key, ()), inner.reset(key, inner.default_params)
        rows = [(env.observe(state, ()) - obs, jnp.zeros(2), jnp.bool_(True))]
        for k in jax.random.split(key, 5):
            action = jax.random.randint(k, (2,), 0, 4)
            state, reward, over, _ = env.transition(state, action, k, ())
            obs, other, paid, terminated, truncated, _ = inner.step(k, other, action, inner.default_params)
            rows.append((env.observe(state, ()) - obs, reward - paid, over == (terminated | truncated)))
        return rows, over

    rows, over = both(jax.random.key(0))
    for obs, reward, ended in rows:
        assert not np.any(obs)
        assert not np.any(reward)
        assert np.all(ended)
    assert bool(over)


def test_it_passes_the_check():
    check_env(AgentDictEnvironment(Dictionaries(RepeatedRPS(num_throws=3)), steps=3))


def test_agents_must_be_alike():
    other = Dictionaries(RepeatedRPS(num_throws=3))
    other.action_space = lambda agent: jaxmarl.Discrete(2 if agent == "agent_0" else 3)
    with pytest.raises(ValueError, match="wrapped must be agents alike, got 'action_spaces that differ'"):
        AgentDictEnvironment(other)


def test_a_package_of_our_name_is_imported_beside_ours(tmp_path, env):
    package = tmp_path / "jaxmarl"
    package.mkdir()
    (package / "__init__.py").write_text("from jaxmarl.games import NAME\n")
    (package / "games.py").write_text("NAME = 'theirs'\n")
    before = dict(sys.modules)
    assert import_public(tmp_path, "jaxmarl.games").NAME == "theirs"
    assert sys.modules["jaxmarl"] is jaxmarl
    assert sys.modules == before
    assert str(tmp_path) not in sys.path
    with pytest.raises(ModuleNotFoundError):
        import_public(tmp_path, "jaxmarl.nothing")
    assert sys.modules == before
    with pytest.raises(ValueError, match="folder must be a folder with the package jaxmarl"):
        import_public(tmp_path / "jaxmarl", "jaxmarl")
    assert VectorEnv(env, 2).num_envs == 2

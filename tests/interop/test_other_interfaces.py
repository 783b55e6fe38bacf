"""Environments under other libraries' interfaces pass those libraries' own checks, and give the same numbers."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core import AgainstPolicies
from jaxmarl.envs.rps import BOTS, RepeatedRPS
from jaxmarl.testing.probes import BoxMarket, MaskedChoice, OneStep

RPS = RepeatedRPS(num_throws=5, layout="moves")
AGAINST_ROTATION = AgainstPolicies(RPS, (BOTS["rotatebot"].policy,))


def played(step, moves):
    """Rewards of moves until the episode ends."""
    rewards = []
    for move in moves:
        _, reward, terminated, truncated, _ = step(move)
        rewards.append(reward)
        if terminated or truncated:
            break
    return rewards


@pytest.mark.parametrize("env", [RPS, MaskedChoice(), BoxMarket()], ids=lambda env: type(env).__name__)
def test_pettingzoo_s_own_test(env, capsys):
    pytest.importorskip("pettingzoo")
    from pettingzoo.test import parallel_api_test

    from jaxmarl.interop.pettingzoo import PettingZooEnv

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        parallel_api_test(PettingZooEnv(env), num_cycles=30)


def test_pettingzoo_rewards_masks_and_seeds():
    pytest.importorskip("pettingzoo")
    from jaxmarl.interop.pettingzoo import PettingZooEnv

    env = PettingZooEnv(RPS)
    env.reset(seed=0)
    _, rewards, ended, cut, infos = env.step({"agent_0": 1, "agent_1": 0})
    assert rewards == {"agent_0": 1.0, "agent_1": -1.0}
    assert not any(ended.values())
    assert not any(cut.values())
    assert infos["agent_0"]["action_mask"].tolist() == [1, 1, 1]
    for _ in range(4):
        _, _, ended, _, _ = env.step({"agent_0": 1, "agent_1": 0})
    assert all(ended.values())
    assert env.agents == []

    market = PettingZooEnv(*jaxmarl.make("kyle"))
    first, again, other = (market.reset(seed=seed)[0] for seed in (3, 3, 4))
    name = market.possible_agents[0]
    np.testing.assert_array_equal(first[name], again[name])
    assert (first[name] != other[name]).any()


def test_pettingzoo_refuses_what_it_cannot_play():
    pytest.importorskip("pettingzoo")
    from jaxmarl.interop.pettingzoo import PettingZooEnv

    env = PettingZooEnv(RPS)
    with pytest.raises(ValueError, match="step must be called after reset"):
        env.step({"agent_0": 0, "agent_1": 1})
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must be of every agent \(agent_0, agent_1\), got \['agent_0'\]"):
        env.step({"agent_0": 0})
    with pytest.raises(ValueError, match=r"action of agent_1 must be in Discrete\(3\), got \[0, 1\]"):
        env.step({"agent_0": 0, "agent_1": [0, 1]})
    with pytest.raises(ValueError, match=r"action of agent_0 must be in Discrete\(3\), got 3"):
        env.step({"agent_0": 3, "agent_1": 0})


def test_gymnasium_refuses_what_it_cannot_play():
    pytest.importorskip("gymnasium")
    from jaxmarl.interop.gymnasium import GymnasiumEnv, GymnasiumVectorEnv, array_of

    one, many = GymnasiumEnv(AGAINST_ROTATION), GymnasiumVectorEnv(AGAINST_ROTATION, 2)
    for env in (one, many):
        with pytest.raises(ValueError, match="step must be called after reset, got 'no running episode'"):
            env.step(0)
        env.reset(seed=0)
    for action in (3, -1, 0.5, [0]):
        with pytest.raises(ValueError, match=r"action must be in Discrete\(3\), got"):
            one.step(action)
    for actions in ([0, 3], [0], 0, [0.0, 1.0]):
        with pytest.raises(ValueError, match=r"actions must be in Discrete\(3\), for each of 2, got"):
            many.step(actions)
    assert array_of([1, 2], one.action_space, (2,)).dtype == one.action_space.dtype


@pytest.mark.parametrize("env", [AGAINST_ROTATION, OneStep()], ids=lambda env: type(env).__name__)
def test_gymnasium_s_own_check(env):
    pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    from jaxmarl.interop.gymnasium import GymnasiumEnv

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(Box|observation space|reset with|spec|render).*")
        check_env(GymnasiumEnv(env), skip_render_check=True)


def test_gymnasium_plays_the_game():
    pytest.importorskip("gymnasium")
    from jaxmarl.interop.gymnasium import GymnasiumEnv

    env = GymnasiumEnv(AGAINST_ROTATION)
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1, 1]
    assert played(env.step, [1, 2, 0, 1, 2, 0]) == [1.0] * 5  # one ahead of 0, 1, 2, 0, 1; then the episode is over
    with pytest.raises(ValueError, match=r"^env must be .* 1 agent .*AgainstPolicies.*, got 'RepeatedRPS with 2'$"):
        GymnasiumEnv(RPS)


def test_gymnasium_vector_resets_in_the_same_step():
    pytest.importorskip("gymnasium")
    from jaxmarl.interop.gymnasium import GymnasiumVectorEnv

    envs = GymnasiumVectorEnv(AGAINST_ROTATION, 3)
    start, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(start)
    totals = np.zeros(3)
    for t in range(5):
        obs, reward, ended, cut, info = envs.step(np.full(3, (t + 1) % 3))
        totals += reward
    assert totals.tolist() == [5.0] * 3
    assert ended.all()
    assert not cut.any()
    assert info["_final_obs"].all()
    np.testing.assert_array_equal(obs, start)
    assert (info["final_obs"] != obs).any()
    assert envs.step(np.full(3, 1))[1].tolist() == [1.0] * 3


def test_gymnax_rollout():
    pytest.importorskip("gymnax")
    from jaxmarl.interop.gymnax_view import GymnaxView

    view = GymnaxView(AGAINST_ROTATION)
    assert view == GymnaxView(AGAINST_ROTATION)
    assert hash(view) == hash(GymnaxView(AGAINST_ROTATION))
    assert view.num_actions == 3

    @jax.jit
    def rollout(key, params):
        obs, state = view.reset(key, params)

        def step(carry, t):
            obs, state = carry
            obs, state, reward, terminated, truncated, _ = view.step(key, state, (t + 1) % 3, params)
            return (obs, state), (reward, terminated, truncated, obs)

        return obs, jax.lax.scan(step, (obs, state), jnp.arange(5))[1]

    start, (rewards, terminated, truncated, obs) = rollout(jax.random.key(0), view.default_params)
    assert rewards.tolist() == [1.0] * 5
    assert terminated.tolist() == [False] * 4 + [True]
    assert not truncated.any()
    np.testing.assert_array_equal(obs[-1], start)
    assert bool(view.observation_space().contains(start))
    assert bool(view.action_space().contains(view.action_space().sample(jax.random.key(1))))

"""Two conventions: what a joint flow keeps of them, what independent agents do, and which one values choose."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.chance import Normal, Uniform
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.rollout import actor_from_group_policy
from jaxmarl.envs.dilemmas import TwoStepGame
from jaxmarl.envs.pricing import LinearBertrand
from jaxmarl.learners.offline import (
    MACFlowConfig,
    arrays_of,
    collect,
    flow_policy,
    mac_flow,
    member_student,
    steps_from,
)
from jaxmarl.learners.team.targets import TeamStep

QUICK = {"xla_backend_optimization_level": 0}  # compiling takes longer than running
ENV = VectorEnv(LinearBertrand(), 1024)
CONFIG = MACFlowConfig(
    hidden=(32, 32), layer_norm=False, alpha=0.1, updates=400, anneal_steps=400, batch=128, learning_rate=1e-2
)


class Played(NamedTuple):
    """Joint actions `[4000, 2]` in units of [-1, 1], of the same noise."""

    flow: np.ndarray
    students: np.ndarray
    member: np.ndarray  # the second student alone


def learner_of(config: MACFlowConfig):
    """What an update finds in steps `[1, 1024]` of two agents that see nothing."""
    learner, alone = mac_flow(ENV, config), member_student(ENV, config, 1)
    policies = flow_policy(ENV, config), learner.policy

    @partial(jax.jit, compiler_options=QUICK)
    def found(steps):
        key = jax.random.key(0)
        params = learner.params(learner.update(learner.init(key), steps)[0])
        noise, obs = jax.random.normal(key, (4000, 2, 1)), jnp.zeros((2, 2))
        joint = [jax.vmap(lambda x, p=p: p.act(params, (), obs, x)[0])(noise) for p in policies]
        member = jax.vmap(lambda x: alone.act(params, (), obs[1], x)[0])(noise[:, 1])
        return Played(*(2 * x - 1 for x in (*joint, member)))

    return lambda steps: jax.tree.map(np.asarray, found(steps))


@pytest.fixture(scope="module")
def learn():
    return learner_of(CONFIG)


def record(action: np.ndarray, reward: np.ndarray) -> TeamStep:
    """Steps `[1, 1024]` of a game of one step, from actions `[1024, 2]` in [-1, 1] and rewards of the team."""
    lanes = (1, 1024)
    obs, mask, ended = np.zeros((*lanes, 2, 2), np.float32), np.ones((*lanes, 2, 1), bool), np.ones(lanes, bool)
    actions = np.clip((action[None] + 1) / 2, 0, 1).astype(np.float32)
    rewards = np.repeat(reward[None, :, None] / 2, 2, -1).astype(np.float32)
    return TeamStep(obs, actions, rewards, MaskedObs(obs, mask), ended, ended, mask, ended, ())


def conventions(high: float, low: float) -> TeamStep:
    """Half of the time both agents play about 0.8 and get `high`, otherwise about -0.8 and get `low`."""
    mode = np.arange(1024) % 2
    spread = 0.04 * np.random.default_rng(0).normal(size=(1024, 2))
    return record(np.where(mode, 0.8, -0.8)[:, None] + spread, np.where(mode, high, low))


def near(action: np.ndarray) -> np.ndarray:
    """Whether a joint action is one that the data show."""
    return (np.abs(np.abs(action) - 0.8) < 0.2).all(1) & (np.sign(action[:, 0]) == np.sign(action[:, 1]))


def test_the_flow_keeps_two_conventions_and_values_choose_one(learn):
    steps = conventions(1.0, 0.5)
    found = learn(steps)
    assert np.mean(near(found.flow)) > 0.9
    assert np.mean(np.sign(found.flow[:, 0]) == np.sign(found.flow[:, 1])) > 0.99
    assert abs(np.mean(found.flow[:, 0] > 0) - 0.5) < 0.04
    # the best normal policies of independent agents, by likelihood, miss both conventions
    shown = 2 * np.asarray(steps.action[0]) - 1
    normal = shown.mean(0) + shown.std(0) * np.random.default_rng(1).normal(size=(4000, 2))
    assert np.mean(near(normal)) < 0.1
    assert abs(np.mean(np.sign(normal[:, 0]) == np.sign(normal[:, 1])) - 0.5) < 4 * 0.5 / np.sqrt(4000)
    assert np.mean((found.students > 0).all(1)) > 0.97
    assert np.all(found.students.mean(0) > 0.6)
    np.testing.assert_allclose(found.member, found.students[:, 1], atol=1e-5)
    # with the other convention the better one
    other = learn(conventions(0.5, 1.0))
    assert np.mean((other.students < 0).all(1)) > 0.97
    assert abs(np.mean(other.flow[:, 0] > 0) - 0.5) < 0.04


def test_firms_recorded_at_competitive_and_cartel_prices_choose_the_cartel(learn):
    env, params = ENV.env, ENV.default_params
    known = env.benchmarks(params)
    prices = np.array([np.mean(known["nash"]), np.mean(known["cartel"])]) / float(params.largest)

    def act(params, memory, obs, chance):
        coin, noise = chance
        return jnp.clip(jnp.where(coin < 0.5, *prices) + 0.08 * noise, 0, 1), memory

    behaviour = Policy(lambda chance: (), act, act_chance=(Uniform(), Normal((2,))), name="conventions")
    actor = actor_from_group_policy(behaviour, 1024)
    steps = jax.jit(lambda key: collect(ENV, actor, (), key, 1), compiler_options=QUICK)(jax.random.key(3))
    again = steps_from(arrays_of(steps))
    assert again.action.shape == (1, 1024, 2)
    assert again.mask.shape == (1, 1024, 2, 1)
    students = (learn(again).students + 1) / 2
    assert np.all(np.abs(students.mean(0) - prices[1]) < 0.05)
    share = students * float(params.largest)
    profit = np.sum(share * (1 - share + 0.5 * share[:, ::-1]), axis=1).mean()
    assert profit > 0.97 * 1.0 > float(np.sum(steps.reward, -1).mean()) + 0.03  # the cartel's is 1


def after_ten_steps(deviation: float) -> float:
    """What ten Euler steps of the exact flow to a normal number of this standard deviation make of a standard one."""
    times = np.arange(10) / 10
    slope = (times * deviation**2 - (1 - times)) / ((1 - times) ** 2 + (times * deviation) ** 2)
    return float(np.prod(1 + slope / 10))


@pytest.mark.slow
def test_far_from_values_students_clone_what_agents_do_independently():
    learn = learner_of(replace(CONFIG, alpha=100.0, updates=3000, anneal_steps=3000))
    draws = np.random.default_rng(2)
    shown = np.clip([-0.4, 0.4] + [0.1, 0.2] * draws.normal(size=(1024, 2)), -1, 1)
    found = learn(record(shown, 2 + shown.sum(1)))
    np.testing.assert_allclose(found.students.mean(0), shown.mean(0), atol=0.03)
    for played in (found.students, found.flow):
        np.testing.assert_allclose(played.std(0), [after_ten_steps(x) for x in shown.std(0)], atol=0.02)
    # agents whose noise is their own cannot keep a convention: they play the mean over the others' noise
    found = learn(conventions(1.0, 0.5))
    assert np.corrcoef(found.flow.T)[0, 1] > 0.95
    assert abs(np.corrcoef(found.students.T)[0, 1]) < 4 / np.sqrt(4000)
    assert np.mean((found.students - found.flow) ** 2) < 0.9 * np.mean(found.flow**2)
    assert np.abs(found.students).mean() < 0.7


@pytest.mark.parametrize(
    ("wrong", "name"), [({"alpha": -1.0}, "alpha"), ({"flow_steps": 0}, "flow_steps"), ({"reward": "own"}, "reward")]
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        MACFlowConfig(**wrong)


def test_actions_that_are_no_bounded_box_are_refused():
    with pytest.raises(ValueError, match="action_space"):
        mac_flow(VectorEnv(TwoStepGame(), 4), CONFIG)
    with pytest.raises(ValueError, match="agent"):
        member_student(ENV, CONFIG, 2)

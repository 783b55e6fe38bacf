"""Inverse Q-learning by experts whose policies and rewards are known, and by its limit, behaviour cloning."""

import itertools
import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.chance import Uniform
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.rollout import actor_from_group_policy
from jaxmarl.envs.markov.tabular import TabularGame
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import DenseKernel
from jaxmarl.games.markov_zoo import cosine_chicken
from jaxmarl.learners.offline import MAMQLConfig, collect, inverse_network, mamql
from jaxmarl.learners.offline.mamql import _MAMQL
from jaxmarl.learners.team.targets import TeamStep
from jaxmarl.solvers.quantal_response import logit_residual

QUICK = {"xla_backend_optimization_level": 0}  # compiling takes longer than running
CONFIG = MAMQLConfig(
    hidden=(32,),
    batch=128,
    updates=800,
    anneal_steps=800,
    learning_rate=5e-3,
    discount=0.9,
    alpha=400.0,
    temperature=2.0,
)


class Experts(NamedTuple):
    """Soft policies of a game in which each is the logit response to the others, and what they respond to."""

    policies: list[np.ndarray]  # [S, A]
    values: np.ndarray  # [N, S]
    rewards: list[np.ndarray]  # [S, A], means over the others
    kernels: list[np.ndarray]  # [S, A, S], means over the others


def experts(game: MarkovGame, temperature: float) -> Experts:
    """By damped iteration of `π_i = softmax(Q̄_i / τ)`, `V_i = τ logsumexp(Q̄_i / τ)` from uniform play."""
    rewards, rows = np.asarray(game.rewards, float), np.asarray(game.kernel.probabilities, float)
    num, size = rewards.shape[:2]
    policies = [np.full((size, a), 1 / a) for a in game.num_actions]
    values = np.zeros((num, size))
    for _ in range(300):
        kept = []
        for i in range(num):
            own, kernel = (others_mean(x, policies, i) for x in (rewards[i], rows))
            marginal = (own + float(game.discount) * kernel @ values[i]) / temperature
            top = marginal.max(1, keepdims=True)
            soft = np.exp(marginal - top)
            values[i] = temperature * (top[:, 0] + np.log(soft.sum(1)))
            policies[i] = 0.5 * policies[i] + 0.5 * soft / soft.sum(1, keepdims=True)
            kept.append((own, kernel))
    return Experts(policies, values, [x for x, _ in kept], [x for _, x in kept])


def others_mean(table: np.ndarray, policies: list[np.ndarray], player: int) -> np.ndarray:
    """`[S, A_1, ..., A_n, ...]` to `[S, A_i, ...]`."""
    for j in reversed(range(len(policies))):
        if j != player:
            table = np.einsum("sa,sa...->s...", policies[j], np.moveaxis(table, 1 + j, 1))
    return table


def demonstrations(game: MarkovGame, policies: list[np.ndarray], count: int) -> TeamStep:
    """Steps `[count, 16]` from uniform states, each on its own, as two players in four states with three actions.

    States, actions and players that the game has not are never visited, illegal, and without a choice.
    """
    lanes, rows = (count, 16), np.asarray(game.kernel.probabilities, float)
    # an additive recurrence (Roberts 2018) in place of random numbers: frequencies are then near their expectations
    steps = 1 / 1.1673039782614187 ** np.arange(1, 5)  # x^5 = x + 1
    units = (np.arange(16 * count)[:, None] * steps % 1).reshape(*lanes, 4)
    pick = lambda i, chances: (units[..., i, None] > chances.cumsum(-1)[..., :-1]).sum(-1)  # noqa: E731
    state = (units[..., 0] * game.num_states).astype(int)
    action = [pick(1 + i, policy[state]) for i, policy in enumerate(policies)]
    after = pick(3, rows[(state, *action)])
    seen = lambda s: np.repeat(np.eye(4, dtype=np.float32)[s][:, :, None], 2, 2)  # noqa: E731
    legal = np.arange(3) < np.array([*game.num_actions, 1][:2])[:, None]
    mask, never = np.broadcast_to(legal, (*lanes, 2, 3)), np.zeros(lanes, bool)
    actions = np.stack([*action, np.zeros_like(state)][:2], -1).astype(np.int32)
    unknown = np.full((*lanes, 2), np.nan, np.float32)  # rewards are not read
    return TeamStep(seen(state), actions, unknown, MaskedObs(seen(after), mask), never, never, mask, ~never, ())


class Recovered(NamedTuple):
    """What is learned, in every state."""

    policies: np.ndarray  # [S, N, A]
    rewards: np.ndarray  # [S, N, A]
    values: np.ndarray  # [S, N]
    joint: np.ndarray  # [A, A, S, N, A], of joint actions
    expected: np.ndarray  # [S, N, A], over the others' policies
    sampled: np.ndarray  # the same, of 4000 samples


@pytest.fixture(scope="module")
def learn():
    """What one update finds in demonstrations `[2048, 16]`."""
    env = VectorEnv(TabularGame(4, (3, 3)), 16)
    learner, network = mamql(env, CONFIG), inverse_network(env, CONFIG)
    sampling = replace(network, exact=0, samples=4000)
    obs = np.repeat(np.eye(4, dtype=np.float32)[:, None], 2, 1)
    profiles = np.stack(np.meshgrid(*[np.arange(3)] * 2, [0] * 4, indexing="ij")[:2], -1)

    @partial(jax.jit, compiler_options=QUICK)
    def found(steps: TeamStep) -> Recovered:
        key, mask = jax.random.key(0), steps.mask[0, :1]
        params = learner.params(learner.update(learner.init(key), steps)[0])
        never = jnp.zeros(4, bool)
        critic, reward = (network.team.step(params[name], (), obs, never)[1] for name in ("critic", "reward"))
        logits, state = network.logits(critic, mask), network.team.state_of(obs)
        joint = network.critic.apply(params["joint"], jnp.broadcast_to(state, (3, 3, *state.shape)), profiles)
        means = [x.over_others(params["joint"], state, logits, key) for x in (network, sampling)]
        return Recovered(jax.nn.softmax(logits), reward, network.soft_value(critic, mask), joint, *means)

    return lambda steps: jax.tree.map(np.asarray, found(steps))


def correlation(found: np.ndarray, truth: np.ndarray, kernel: np.ndarray, discount: float) -> float:
    """Of rewards `[S, A]`, without what potential-based shaping `c(s) - γ E[c(s')]` can change."""
    size = len(found)
    shaping = np.eye(size)[:, None] - discount * kernel
    basis, _ = np.linalg.qr(shaping.reshape(-1, size))
    left, right = (x.ravel() - basis @ (basis.T @ x.ravel()) for x in (found, truth))
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    """Total variation in the worst state."""
    return float(np.abs(found - truth).sum(-1).max() / 2)


def random_game(num_players: int) -> MarkovGame:
    """Four states with three actions each."""
    draws, table = np.random.default_rng(3), (4, *[3] * num_players)
    rows = draws.dirichlet(np.ones(4), size=table).astype(np.float32)
    rewards = 2 * draws.normal(size=(num_players, *table)).astype(np.float32)
    return MarkovGame(rewards, DenseKernel(jnp.asarray(rows)), discount=0.9)


def test_one_expert_of_a_decision_process(learn):
    game = random_game(1)
    expert = experts(game, CONFIG.temperature)
    found = learn(demonstrations(game, expert.policies, 2048))
    assert distance(found.policies[:, 0], expert.policies[0]) < 0.02
    assert correlation(found.rewards[:, 0], expert.rewards[0], expert.kernels[0], 0.9) > 0.95


@pytest.mark.parametrize("kind", ["f2", pytest.param("random", marks=pytest.mark.slow)])
def test_two_experts_at_a_logit_equilibrium(learn, kind):
    game = cosine_chicken(0.9) if kind == "f2" else random_game(2)
    size, num = game.num_states, game.num_actions[0]
    expert = experts(game, CONFIG.temperature)
    residuals = jax.jit(lambda v, *x: jax.vmap(lambda g, *p: logit_residual(g, p, 0.5))(game.stage_game(v), *x))
    assert float(np.max(residuals(expert.values, *expert.policies))) < 1e-5
    found = learn(demonstrations(game, expert.policies, 2048))
    for i in range(2):
        assert distance(found.policies[:size, i, :num], expert.policies[i]) < 0.02
        rewards = found.rewards[:size, i, :num]
        assert correlation(rewards, expert.rewards[i], expert.kernels[i], 0.9) > 0.95
        # the joint critic: a reward for the own action, and what follows the joint one
        following = np.einsum("sabt,t->abs", np.asarray(game.kernel.probabilities), found.values[:size, i])
        for profile in itertools.product(range(num), repeat=2):
            joint = found.joint[(*profile, slice(size), i, profile[i])]
            np.testing.assert_allclose(joint, rewards[:, profile[i]] + 0.9 * following[profile], atol=0.3)
        # its expectations, of which the critic of the own action is one
        other, joint = found.policies[:, 1 - i, :num], found.joint[:num, :num, :, i]
        joint = (joint if i else np.swapaxes(joint, 0, 1))[:, 0]  # own action of a profile is not read
        mean = np.einsum("sb,bsk->sk", other, joint)
        np.testing.assert_allclose(found.expected[:, i], mean, rtol=1e-4, atol=1e-4)
        deviation = np.ptp(joint, axis=0) / 2
        assert np.all(np.abs(found.sampled[:, i] - mean) < 4 * deviation / np.sqrt(4000) + 1e-4)


def regularised(expert: np.ndarray, alpha: float) -> np.ndarray:
    """The optimum of one state without a future: `Q = 2 α (1 - π / π_E)` where `π = softmax(Q)`, by damped steps."""
    policy = expert.copy()
    for _ in range(5000):
        value = 2 * alpha * (1 - policy / expert)
        soft = np.exp(value - value.max())
        policy = policy + 0.02 * (soft / soft.sum() - policy)
    return 2 * alpha * (1 - policy / expert)


def test_the_penalty_moves_policies_and_without_it_demonstrations_are_cloned():
    batch, expert = VectorEnv(TabularGame(1, (2,)), 1), np.array([0.9, 0.1])
    action = jnp.asarray([0] * 9 + [1], jnp.int32)[None, :, None]
    ended, mask = jnp.ones((1, 10), bool), jnp.ones((1, 10, 1, 2), bool)
    obs = jnp.ones((1, 10, 1, 1))
    steps = TeamStep(obs, action, jnp.zeros((1, 10, 1)), MaskedObs(obs, mask), ended, ended, mask, ended, ())
    config = replace(CONFIG, hidden=(2,), consistency=0.0, temperature=1.0)

    def gradient(params, alpha):
        """Of the inverse objective, by the marginal critic of the one state."""
        algorithm = mamql_of(batch, replace(config, alpha=alpha))
        zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(algorithm.network.init, jax.random.key(0)))
        zero["critic"]["agents"]["params"]["outputs"]["bias"] = params
        grads = jax.grad(lambda p: algorithm.loss(p, steps, None, jax.random.key(0))[0])(zero)
        return grads["critic"]["agents"]["params"]["outputs"]["bias"]

    def cloning(params):
        return jax.grad(lambda q: -jnp.mean(jax.nn.log_softmax(q)[action]))(params)

    optimum = regularised(expert, 0.5)
    tried = jnp.asarray(optimum, jnp.float32), jnp.asarray([0.3, -0.8])
    gradients = jax.jit(lambda x, y: (gradient(x, 0.5), gradient(y, math.inf), cloning(y)), compiler_options=QUICK)
    at_best, plain, cloned = gradients(*tried)
    np.testing.assert_allclose(at_best, 0, atol=1e-5)
    np.testing.assert_allclose(plain, cloned, atol=1e-6)
    assert distance(np.asarray(jax.nn.softmax(tried[0])), expert) > 0.1  # α = ½ does not recover a noisy expert


def mamql_of(env, config):
    return _MAMQL(env, config, env.default_params, inverse_network(env, config))


def test_memory_and_play_keep_the_state():
    config = replace(CONFIG, recurrent=True, sequence=4, burn_in=2, interact=True)
    learner = mamql(VectorEnv(TabularGame(4, (3, 3)), 16), config)
    steps = demonstrations(cosine_chicken(0.9), [np.full((2, 2), 0.5)] * 2, 8)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    after, metrics = jax.eval_shape(learner.update, state, steps)
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
    assert shapes(after) == shapes(state)
    assert {x.shape for x in metrics.values()} == {()}


@pytest.mark.slow
def test_with_play_experts_are_found_too():
    game = random_game(2)
    expert = experts(game, CONFIG.temperature)
    env = VectorEnv(TabularGame(4, (3, 3)), 64)
    chances = jnp.log(jnp.asarray(np.stack(expert.policies, 1), jnp.float32))  # [S, N, A]

    def act(params, memory, seen, unit):
        return categorical(jnp.einsum("ns,sna->na", seen.obs, chances), unit), memory

    policy = Policy(lambda chance: (), act, act_chance=Uniform((2,)), masked=True)
    actor = actor_from_group_policy(policy, 64)
    steps = jax.jit(lambda key: collect(env, actor, (), key, 100, game))(jax.random.key(1))
    config = replace(CONFIG, interact=True, collect=20, updates=200, anneal_steps=2000, alpha=20.0)
    learner = mamql(env, config, game)
    state, update = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.update)
    for _ in range(10):
        state, _ = update(state, steps)
    obs = np.repeat(np.eye(4, dtype=np.float32)[:, None], 2, 1)
    network = inverse_network(env, config, game)
    logits = network.team.step(learner.params(state)["critic"], (), obs, jnp.zeros(4, bool))[1] / config.temperature
    found = np.asarray(jax.nn.softmax(logits))
    for i in range(2):
        assert distance(found[:, i], expert.policies[i]) < 0.06


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"temperature": -1.0}, "temperature"),
        ({"mixer": "sum"}, "mixer"),
        ({"samples": 0}, "samples"),
    ],
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        MAMQLConfig(**wrong)

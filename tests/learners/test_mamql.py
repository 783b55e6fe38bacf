"""Inverse Q-learning by experts whose policies and rewards are known, and by its limit, behaviour cloning."""

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.markov.tabular import tabular_game
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import DenseKernel
from jaxmarl.games.markov_zoo import cosine_chicken
from jaxmarl.learners.offline import MAMQLConfig, inverse_network, mamql
from jaxmarl.learners.offline.mamql import _MAMQL
from jaxmarl.learners.team.targets import TeamStep
from jaxmarl.solvers.quantal_response import logit_residual

CONFIG = MAMQLConfig(
    hidden=(32,), batch=256, updates=800, anneal_steps=800, learning_rate=1e-2, discount=0.9, alpha=100.0
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
    """Steps `[count, 16]` from uniform states, each on its own."""
    draws, size, rows = np.random.default_rng(0), game.num_states, np.asarray(game.kernel.probabilities, float)
    lanes = (count, 16)
    state = draws.integers(0, size, lanes)
    pick = lambda chances: (draws.random(lanes)[..., None] > chances.cumsum(-1)[..., :-1]).sum(-1)  # noqa: E731
    action = [pick(policy[state]) for policy in policies]
    after = pick(rows[(state, *action)])
    seen = lambda s: np.repeat(np.eye(size, dtype=np.float32)[s][:, :, None], len(policies), 2)  # noqa: E731
    mask, never = np.ones((*lanes, len(policies), max(game.num_actions)), bool), np.zeros(lanes, bool)
    unknown = np.full((*lanes, len(policies)), np.nan, np.float32)  # rewards are not read
    actions = np.stack(action, -1).astype(np.int32)
    return TeamStep(seen(state), actions, unknown, MaskedObs(seen(after), mask), never, never, mask, ~never, ())


class Recovered(NamedTuple):
    """What is learned, in every state."""

    policies: np.ndarray  # [S, N, A]
    rewards: np.ndarray  # [S, N, A]
    values: np.ndarray  # [S, N]
    joint: np.ndarray  # [A, A, S, N, A], of joint actions
    expected: np.ndarray  # [S, N, A], over the others' policies
    sampled: np.ndarray  # the same, of 4000 samples


def recovered(game: MarkovGame, config: MAMQLConfig, steps: TeamStep) -> Recovered:
    """Policies, rewards and values after one update."""
    env, params = tabular_game(game)
    batch, (size, *actions) = VectorEnv(env, 16), game.rewards.shape[1:]
    learner, network = mamql(batch, config, params), inverse_network(batch, config, params)
    sampling = replace(network, exact=0, samples=4000)
    obs, mask = np.repeat(np.eye(size, dtype=np.float32)[:, None], game.num_players, 1), steps.mask[0, :1]
    profiles = np.stack(np.meshgrid(*map(np.arange, actions), indexing="ij"), -1)[..., None, :]

    @jax.jit
    def learn(key, steps):
        found = learner.params(learner.update(learner.init(key), steps)[0])
        critic, reward = (network.team.step(found[x], (), obs, jnp.zeros(size, bool))[1] for x in ("critic", "reward"))
        logits, state = network.logits(critic, mask), network.team.state_of(obs)
        where = jnp.broadcast_to(profiles, (*profiles.shape[:-2], size, len(actions)))
        around = jnp.broadcast_to(state, (*where.shape[:-1], state.shape[-1]))
        joint = network.critic.apply(found["joint"], around, where)
        means = [x.over_others(found["joint"], state, logits, key) for x in (network, sampling)]
        return Recovered(jax.nn.softmax(logits), reward, network.soft_value(critic, mask), joint, *means)

    return jax.tree.map(np.asarray, learn(jax.random.key(0), steps))


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


def test_one_expert_of_a_decision_process():
    draws = np.random.default_rng(3)
    rows = draws.dirichlet(np.ones(4), size=(4, 3)).astype(np.float32)
    game = MarkovGame(draws.normal(size=(1, 4, 3)).astype(np.float32), DenseKernel(jnp.asarray(rows)), discount=0.9)
    expert = experts(game, 1.0)
    found = recovered(game, CONFIG, demonstrations(game, expert.policies, 2048))
    assert distance(found.policies[:, 0], expert.policies[0]) < 0.02
    assert correlation(found.rewards[:, 0], expert.rewards[0], rows, 0.9) > 0.95


def test_two_experts_at_a_logit_equilibrium_of_f2():
    game, config = cosine_chicken(0.9), replace(CONFIG, temperature=2.0)
    expert = experts(game, 2.0)
    residuals = jax.jit(lambda v, *x: jax.vmap(lambda g, *p: logit_residual(g, p, 0.5))(game.stage_game(v), *x))
    assert float(np.max(residuals(expert.values, *expert.policies))) < 1e-5
    found = recovered(game, config, demonstrations(game, expert.policies, 2048))
    for i in range(2):
        assert distance(found.policies[:, i], expert.policies[i]) < 0.02
        assert correlation(found.rewards[:, i], expert.rewards[i], expert.kernels[i], 0.9) > 0.98
    # the joint critic: the marginal reward and what follows the joint action; the others' actions count equally to it
    following = np.einsum("sabt,ti->abis", np.asarray(game.kernel.probabilities), found.values)
    for i, a, b in itertools.product(range(2), range(2), range(2)):
        own = (a, b)[i]
        wanted = found.rewards[:, i, own] + 0.9 * following[a, b, i]
        np.testing.assert_allclose(found.joint[a, b, :, i, own], wanted, atol=0.2)
    for i in range(2):
        other = found.policies[:, 1 - i]
        joint = found.joint[:, :, :, i] if i else np.swapaxes(found.joint[:, :, :, i], 0, 1)
        mean = np.einsum("sb,bsk->sk", other, joint[:, 0])  # own action of a profile is not read
        np.testing.assert_allclose(found.expected[:, i], mean, rtol=1e-4)
        deviation = np.abs(joint[0, 0] - joint[1, 0]) / 2
        assert np.all(np.abs(found.sampled[:, i] - mean) < 4 * deviation / np.sqrt(4000) + 1e-5)


def regularised(expert: np.ndarray, alpha: float) -> np.ndarray:
    """The optimum of one state without a future: `Q = 2 α (1 - π / π_E)` where `π = softmax(Q)`, by damped steps."""
    policy = expert.copy()
    for _ in range(5000):
        value = 2 * alpha * (1 - policy / expert)
        soft = np.exp(value - value.max())
        policy = policy + 0.02 * (soft / soft.sum() - policy)
    return 2 * alpha * (1 - policy / expert)


def test_the_penalty_moves_policies_and_without_it_demonstrations_are_cloned():
    env, _ = tabular_game(MarkovGame(jnp.zeros((1, 1, 2)), DenseKernel(jnp.ones((1, 2, 1))), discount=0.9))
    batch, expert = VectorEnv(env, 1), np.array([0.9, 0.1])
    action = jnp.asarray([0] * 9 + [1], jnp.int32)[None, :, None]
    ended, mask = jnp.ones((1, 10), bool), jnp.ones((1, 10, 1, 2), bool)
    obs = jnp.ones((1, 10, 1, 1))
    steps = TeamStep(obs, action, jnp.zeros((1, 10, 1)), MaskedObs(obs, mask), ended, ended, mask, ended, ())
    config = replace(CONFIG, hidden=(2,), consistency=0.0)

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
    at_best, plain, cloned = jax.jit(lambda x, y: (gradient(x, 0.5), gradient(y, math.inf), cloning(y)))(*tried)
    np.testing.assert_allclose(at_best, 0, atol=1e-5)
    np.testing.assert_allclose(plain, cloned, atol=1e-6)
    assert distance(np.asarray(jax.nn.softmax(tried[0])), expert) > 0.1  # α = ½ does not recover a noisy expert


def mamql_of(env, config):
    return _MAMQL(env, config, env.default_params, inverse_network(env, config))


@pytest.mark.parametrize("settings", [{"recurrent": True, "sequence": 4, "burn_in": 2}, {"interact": True}])
def test_memory_and_play_keep_the_state(settings):
    env, params = tabular_game(cosine_chicken(0.9))
    learner = mamql(VectorEnv(env, 16), replace(CONFIG, **settings), params)
    steps = demonstrations(params, [np.full((2, 2), 0.5)] * 2, 8)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    after, metrics = jax.eval_shape(learner.update, state, steps)
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
    assert shapes(after) == shapes(state)
    assert {x.shape for x in metrics.values()} == {()}


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

"""Deep value learners on probes with known values; every head runs in the same loop."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import MaskedObs, PopulationEnv, VectorEnv
from jaxmarl.distributional import risk, tabular_mdp
from jaxmarl.envs.rps import RepeatedRPS, bot_players
from jaxmarl.learners import over_seeds
from jaxmarl.learners.value import (
    CategoricalHead,
    FractionHead,
    HistogramHead,
    ImplicitQuantileHead,
    MappedHead,
    MeanHead,
    PQNConfig,
    QuantileHead,
    ValueConfig,
    deep_q,
    pqn,
    risk_neutral,
)
from jaxmarl.learners.value.acting import value_network
from jaxmarl.testing.probes import DelayedReward, RandomStop, TimeLimited, decisions
from jaxmarl.training import run

SETTINGS = {
    "hidden": (32,),
    "collect": 2,
    "gradient_steps": 4,
    "rounds": 200,
    "discount": 0.8,
    "learning_rate": 5e-3,
    "capacity": 2000,
    "warmup": 100,
    "target_every": 20,
    "epsilon_end": 0.2,
    "epsilon_steps": 1000,
    "anneal_steps": 3200,
}
HEADS = {
    "mean": MeanHead(),
    "dueling": MeanHead(dueling=True),
    "categorical": CategoricalHead(-2.0, 2.0, 41),
    "quantile": QuantileHead(11, kappa=0.1),
    "hl-gauss": HistogramHead(-2.0, 2.0, 41),
    "two-hot": HistogramHead(-2.0, 2.0, 41, ratio=0.0),
    "implicit": ImplicitQuantileHead(kappa=0.1),
    "fraction": FractionHead(8, kappa=0.1),
    "mapped": MappedHead(most=5.0, step=0.5),
}


@cache
def trained(env, name, num_seeds=0, **settings):
    """A learner, its state after one update and the metrics of it."""
    learner = deep_q(VectorEnv(env, 8), HEADS[name], ValueConfig(**{**SETTINGS, **settings}))
    runs = over_seeds(learner, num_seeds) if num_seeds else learner
    state, metrics = jax.jit(lambda key: runs.update(runs.init(key)))(jax.random.key(0))
    return learner, state, metrics


def values(env, head, params, obs):
    network = value_network(VectorEnv(env, 8), env.default_params, head, SETTINGS["hidden"], False)
    return np.asarray(risk_neutral(head.law(network.apply(params, obs), obs)))


def check_delayed(name, atol, **settings):
    _, state, metrics = trained(DelayedReward(), name, **settings)
    found = values(DelayedReward(), HEADS[name], state.params, jnp.array([[1.0, 0], [-1, 0], [1, 1], [-1, 1]]))
    expected = np.array([[0.8, 0.8], [-0.8, -0.8], [1, 1], [-1, -1]])
    np.testing.assert_allclose(found, expected, atol=atol)
    assert abs(float(metrics["episode_return"])) < 0.2


def test_dqn_learns_a_delayed_reward():
    check_delayed("mean", 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_every_head_learns_a_delayed_reward(name):
    check_delayed(name, 0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"n_step": 2}, {"priority": 0.6}, {"double": False}, {"target_rate": 0.05, "target_every": 1}], ids=str
)
def test_options_of_the_loop_learn_a_delayed_reward(settings):
    check_delayed("mean", 0.05, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "value"), [(TimeLimited(), 5.0), (TimeLimited(4, declared=True), 5.0), (RandomStop(), 2.5)]
)
@pytest.mark.parametrize("n_step", [1, 3])
def test_limits_are_bootstrapped_and_ends_are_not(env, value, n_step):
    _, state, _ = trained(env, "mean", n_step=n_step)
    np.testing.assert_allclose(values(env, MeanHead(), state.params, jnp.ones((1, 1))), value, atol=0.3)


@pytest.mark.slow
def test_seeds_are_independent_and_alike_to_single_runs():
    _, many, _ = trained(DelayedReward(), "mean", num_seeds=2)
    learner, _, _ = trained(DelayedReward(), "mean")
    keys = jax.random.split(jax.random.key(0), 2)
    single, _ = jax.jit(lambda key: learner.update(learner.init(key)))(keys[1])
    for stacked, alone in zip(jax.tree.leaves(many.params), jax.tree.leaves(single.params), strict=True):
        assert float(jnp.abs(stacked[0] - stacked[1]).max()) > 1e-3 or stacked.ndim == 2
        np.testing.assert_allclose(stacked[1], alone, atol=2e-2)


@pytest.mark.slow
def test_risk_is_a_hook_of_acting_and_of_targets():
    """1 for sure, or 0 or 4 by a fair coin: the mean takes the bet, the lower half does not."""
    bets = tabular_mdp([[[1, 0], [0.5, 0.5]]], [[[1, 1], [0, 4]]], 0, False)
    env, head = VectorEnv(decisions(bets, 1), 8), QuantileHead(16, kappa=0.1)
    config = ValueConfig(**{**SETTINGS, "collect": 4})
    for functional, best in ((risk_neutral, 1), (partial(risk.cvar, level=0.5), 0)):
        learner = deep_q(env, head, config, bets, behaviour=functional, target=functional)
        state, metrics = jax.jit(lambda key, learner=learner: learner.update(learner.init(key)))(jax.random.key(0))
        seen = MaskedObs(jnp.array([1.0, 1.0]), jnp.ones(2, bool))
        assert int(learner.policy.sample(jax.random.key(0), state.params, (), seen)[0]) == best
        assert float(metrics["reward"]) == pytest.approx(1.7 if best else 1.3, abs=0.2)


@pytest.mark.slow
def test_one_agent_learns_against_a_population():
    """Against one who always throws rock, and one who turns; each is told by what it threw last."""
    env = RepeatedRPS(num_throws=20)
    batch = PopulationEnv(env, bot_players(env, ["rockbot", "rotatebot"]), matches=4)
    learner = deep_q(batch, MeanHead(), ValueConfig(**{**SETTINGS, "collect": 20, "gradient_steps": 20, "rounds": 60}))
    _, metrics = jax.jit(lambda key: learner.update(learner.init(key)))(jax.random.key(0))
    assert float(metrics["reward"]) > 0.5


@pytest.mark.slow
def test_the_host_loop_runs_and_resumes_it(tmp_path):
    config = ValueConfig(**{**SETTINGS, "rounds": 5, "priority": 0.6})
    learner = deep_q(VectorEnv(DelayedReward(), 8), MeanHead(), config)
    whole = run(learner, tmp_path / "whole", num_updates=4, updates_per_chunk=2, show_progress=False)
    run(learner, tmp_path / "cut", num_updates=2, updates_per_chunk=2, show_progress=False)
    cut = run(learner, tmp_path / "cut", num_updates=4, updates_per_chunk=2, show_progress=False, resume=True)
    jax.tree.map(np.testing.assert_array_equal, whole.state.params, cut.state.params)
    assert whole.agent_steps == 4 * 5 * 16


def pqn_trained(env, collect):
    config = PQNConfig(
        hidden=(32,),
        collect=collect,
        minibatches=4,
        discount=0.8,
        learning_rate=5e-3,
        epsilon_steps=2000,
        anneal_steps=16_000,
    )
    learner = pqn(VectorEnv(env, 16), config)
    run = jax.jit(lambda key: jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), length=1000 // collect))
    state, _ = run(jax.random.key(0))
    network = value_network(VectorEnv(env, 16), env.default_params, MeanHead(), (32,), True)
    return lambda obs: np.asarray(network.apply(state.params, obs))


@pytest.mark.slow
def test_pqn_bootstraps_limits_and_not_ends():
    np.testing.assert_allclose(pqn_trained(TimeLimited(), 8)(jnp.ones((1, 1))), 5.0, atol=0.25)
    np.testing.assert_allclose(pqn_trained(RandomStop(), 8)(jnp.ones((1, 1))), 2.5, atol=0.3)
    found = pqn_trained(DelayedReward(), 2)(jnp.array([[1.0, 0], [-1, 0]]))
    np.testing.assert_allclose(found, [[0.8, 0.8], [-0.8, -0.8]], atol=0.05)

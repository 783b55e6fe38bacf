"""Soft actor-critic of continuous actions, against probes whose best action is known."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.chance import Normal
from jaxmarl.core.spaces import Box
from jaxmarl.distributional import mean_variance
from jaxmarl.learners.actions import GaussianActions
from jaxmarl.learners.value import (
    EntropicHead,
    GaussianHead,
    QuantileHead,
    Transition,
    ValueConfig,
    box_soft_actor_critic,
)
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.soft_box import BoxSoftLearning, BoxSoftNetwork, box_policy
from jaxmarl.testing.probes import BoxMarket, RandomStop
from jaxmarl.testing.probes.base import Probe


@dataclass(frozen=True)
class Stake(Probe):
    """One step: a stake in [0, 2] earns it times N(1, 1); the best for the mean less half the variance is 1."""

    horizon = 1
    step_chance = Normal()
    default_params = ()

    def action_space(self, params):
        return Box(0.0, 2.0, (1,))

    def transition(self, state, action, chance, params):
        return state, action[:, 0] * (1 + chance), jnp.ones((), bool), {}


QUANTILES = QuantileHead(32, kappa=0.1)


def trained(env, head=QUANTILES, **options):
    config = ValueConfig(
        hidden=(32,),
        collect=env.horizon,
        gradient_steps=4,
        rounds=600,
        batch=128,
        capacity=10_000,
        warmup=500,
        learning_rate=3e-3,
        anneal_steps=600 * 16 * env.horizon * env.num_agents,
        target_every=1,
        target_rate=0.02,
    )
    learner = box_soft_actor_critic(VectorEnv(env, 16), config, head=head, entropy=-2.0, **options)
    state, _ = jax.jit(lambda key: learner.update(learner.init(key)))(jax.random.key(0))
    space = env.action_space(env.default_params)
    actions = GaussianActions(space.shape, float(space.low), float(space.high), spread="state")
    return BoxSoftNetwork(head, actions, (1,), (32,)), state.params


def test_losses_are_what_the_formulas_say():
    """One certain action, so that nothing is drawn: the target is reward + discount * (critic - T log density)."""
    env = Stake()
    actions = GaussianActions((1,), 0.0, 2.0, spread="state")
    network = BoxSoftNetwork(QuantileHead(1, kappa=0.0), actions, (1,), (4,), temperature=0.5)
    learning = BoxSoftLearning(VectorEnv(env, 1), ValueConfig(collect=1), (), network, risk_neutral, risk_neutral, -1.0)
    one = jnp.ones((1, 1))
    obs = jnp.ones((1, 1, 1))
    params = network.init(jax.random.key(0), obs)
    batch = Transition(obs, jnp.full((1, 1, 1), 1.5), one, 0.5 * one, 0.5 * one, _after(obs))
    parts = learning.parts(params, params, batch, jax.random.key(1))
    after, log_prob = learning._drawn(params, obs, jax.random.split(jax.random.key(1))[1])
    critics = network.apply(params, obs, after, method="critics")
    soft = float(jnp.minimum(*critics)[0, 0, 0]) - 0.5 * float(log_prob[0, 0])
    np.testing.assert_allclose(parts.following.atoms[0, 0], [soft], rtol=1e-5)
    predicted = network.apply(params, obs, batch.action, method="critics")
    regression = sum(0.5 * abs(1 + 0.5 * soft - float(q[0, 0, 0])) for q in predicted)
    action, now = learning._drawn(params, obs, jax.random.split(jax.random.key(1))[0])
    judged = float(jnp.minimum(*network.apply(params, obs, action, method="critics"))[0, 0, 0])
    improvement = 0.5 * float(now[0, 0]) - judged
    temperature = 0.5 * (-float(now[0, 0]) + 1.0)  # aimed: -1 nat, the half-width is 1
    found = learning.losses(params, params, batch, jax.random.key(1))
    np.testing.assert_allclose(float(found[0, 0]), regression + improvement + temperature, rtol=1e-4)


def test_the_policy_learns_from_what_critics_judge_and_critics_do_not():
    network = BoxSoftNetwork(QuantileHead(2), GaussianActions((1,), 0.0, 2.0, spread="state"), (1,), (4,))
    config = ValueConfig(collect=1)
    learning = BoxSoftLearning(VectorEnv(Stake(), 1), config, (), network, risk_neutral, risk_neutral, -1.0)
    obs, one = jnp.ones((4, 1, 1)), jnp.ones((4, 1))
    params = network.init(jax.random.key(0), obs)
    batch = Transition(obs, jnp.ones((4, 1, 1)), one, one, one, _after(obs))

    def improvement(params):
        return jnp.sum(learning.parts(params, params, batch, jax.random.key(1)).improvement)

    slopes = jax.grad(improvement)(params)["params"]
    moved = {name: float(sum(jnp.abs(x).sum() for x in jax.tree.leaves(tree))) for name, tree in slopes.items()}
    assert moved["policy"] > 0
    assert moved["outputs"] > 0
    assert all(size == 0 for name, size in moved.items() if "critic" in name or "temperature" in name)


def _after(obs):
    from jaxmarl.core import MaskedObs

    return MaskedObs(obs, jnp.ones((*obs.shape[:2], 1), bool))


def test_wrong_arguments_are_named():
    config = ValueConfig(collect=1)
    with pytest.raises(ValueError, match="action_space"):
        box_soft_actor_critic(VectorEnv(RandomStop(), 2), config)
    with pytest.raises(ValueError, match="head"):
        box_soft_actor_critic(VectorEnv(Stake(), 2), config, head=EntropicHead(1.0))
    with pytest.raises(ValueError, match="temperature"):
        box_soft_actor_critic(VectorEnv(Stake(), 2), config, temperature=0.0)


@pytest.mark.slow
def test_the_best_stake_depends_on_what_variance_costs():
    """Mean only: all of 2; mean less half the variance: 1."""
    for functional, best in ((risk_neutral, 2.0), (partial(mean_variance, aversion=0.5), 1.0)):
        network, params = trained(Stake(), behaviour=functional)
        stake = box_policy(network, greedy=True).act(params, (), jnp.ones(1), None)[0]
        assert float(stake[0]) == pytest.approx(best, abs=0.15), functional


@pytest.mark.slow
def test_normal_laws_serve_as_well():
    """As published (DSAC-T): critics say N(1, 1) times the stake, and the mean less half the variance is best at 1."""
    head = GaussianHead()
    network, params = trained(Stake(), head, behaviour=partial(mean_variance, aversion=0.5))
    stake = box_policy(network, greedy=True).act(params, (), jnp.ones(1), None)[0]
    assert float(stake[0]) == pytest.approx(1.0, abs=0.15)
    for critic in network.apply(params, jnp.ones(1), jnp.ones(1), method="critics"):
        assert float(critic[0]) == pytest.approx(1.0, abs=0.15)
        assert float(jnp.exp(critic[1])) == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow
def test_critics_know_the_law_of_a_stake():
    """Of a stake of 1: quantiles of N(1, 1) at levels between 0.05 and 0.95, to 0.15."""
    network, params = trained(Stake())
    levels = (np.arange(32) + 0.5) / 32
    inside = (levels > 0.05) & (levels < 0.95)
    known = 1 + np.asarray(jax.scipy.special.ndtri(levels))
    for critic in network.apply(params, jnp.ones(1), jnp.full(1, 1.5), method="critics"):
        found = np.sort(np.asarray(critic))
        np.testing.assert_allclose(found[inside], (1.5 * known)[inside], atol=0.3)


@pytest.mark.slow
def test_two_agents_find_a_target_through_noise():
    """Squared distance to 0.5 in [-2, 2]; what is observed is noise."""
    network, params = trained(BoxMarket())
    seen = jnp.linspace(-1.5, 1.5, 7)[:, None]
    act = jax.vmap(lambda obs: box_policy(network, greedy=True).act(params, (), obs, None)[0])
    np.testing.assert_allclose(act(seen)[:, 0], 0.5, atol=0.1)

"""Soft actor-critic on laws, against values of entropy-regularised probes computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import MaskedObs, VectorEnv
from jaxmarl.distributional import tabular_mdp
from jaxmarl.learners.value import QuantileHead, SoftNetwork, Transition, ValueConfig, soft_actor_critic
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.soft import DiscreteSoftLearning, SoftOutputs, soft_policy
from jaxmarl.testing.probes import RandomStop, decisions


def test_the_law_that_follows_is_that_of_all_next_actions_and_their_entropy():
    """A loss whose target is computed by hand: three actions, one illegal, two critics of one quantile."""
    head = QuantileHead(1, kappa=0.0)
    critics = jnp.array([[[5.0], [1.0], [9.0]]]), jnp.array([[[4.0], [2.0], [-9.0]]])
    logits = jnp.array([[0.0, jnp.log(3.0), 50.0]])

    class Fixed:
        """In place of a network: the same outputs of every observation."""

        def __init__(self):
            self.head = head

        def apply(self, params, obs):
            return SoftOutputs(logits[None], tuple(c[None] for c in critics), params)

    seen = MaskedObs(jnp.zeros((1, 1, 2)), jnp.array([[[True, True, False]]]))
    one = jnp.ones((1, 1))
    batch = Transition(seen, jnp.zeros((1, 1), jnp.int32), one, 0.5 * one, 0.5 * one, seen)
    env = VectorEnv(RandomStop(), 1)
    learning = DiscreteSoftLearning(env, ValueConfig(), None, Fixed(), risk_neutral, risk_neutral, 0.5)
    found = learning.losses(jnp.log(0.2), jnp.log(0.2), batch, None)
    policy = np.array([0.25, 0.75])
    soft = 1 + 0.5 * (np.array([4.0, 1.0]) - 0.2 * np.log(policy))  # the lower critic of each legal action
    regression = sum(0.5 * policy @ np.abs(soft - q) for q in (5.0, 4.0))
    entropy = -policy @ np.log(policy)
    improvement = -0.2 * entropy - policy @ [4.0, 1.0]
    temperature = 0.2 * (entropy - 0.5 * np.log(2))
    np.testing.assert_allclose(float(found[0, 0]), regression + improvement + temperature, rtol=1e-5)


def trained(env, params=None, **settings):
    config = ValueConfig(
        **{
            "hidden": (32,),
            "collect": 4,
            "gradient_steps": 4,
            "rounds": 500,
            "batch": 64,
            "learning_rate": 3e-3,
            "capacity": 2000,
            "warmup": 200,
            "target_every": 1,
            "target_rate": 0.02,
            **settings,
        }
    )
    learner = soft_actor_critic(VectorEnv(env, 8), config, params, head=QuantileHead(16, kappa=0.1), entropy=0.3)
    state, metrics = jax.jit(lambda key: learner.update(learner.init(key)))(jax.random.key(0))
    return learner, state, metrics


@pytest.mark.slow
def test_entropy_settles_where_it_is_aimed_and_critics_know_the_law():
    """1 for sure, or 0 or 4 by a fair coin, and the end."""
    bets = tabular_mdp([[[1, 0], [0.5, 0.5]]], [[[1, 1], [0, 4]]], 0, False)
    env = decisions(bets, 1)
    _, state, _ = trained(env, bets)
    network = SoftNetwork(QuantileHead(16, kappa=0.1), 2, (2,), (32,))
    outputs = network.apply(state.params, jnp.array([1.0, 1.0]))
    for critic in outputs.critics:
        np.testing.assert_allclose(critic[0], 1.0, atol=0.2)
        np.testing.assert_allclose(np.sort(critic[1]), [0.0] * 8 + [4.0] * 8, atol=0.4)
    # the bet is worth 1 more, and the aimed entropy 0.3 log 2 is that of 5 % for the other
    policy = np.asarray(jax.nn.softmax(outputs.logits))
    assert -policy @ np.log(policy) == pytest.approx(0.3 * np.log(2), abs=0.05)
    assert policy[1] > 0.9


@pytest.mark.slow
def test_the_better_of_two_steps_is_found():
    """Two steps of 0 or 1: the second is taken mostly, as the aimed entropy allows."""
    chain = tabular_mdp(np.ones((1, 2, 1)), np.array([[[0.0], [1.0]]]), 0)
    env = decisions(chain, 4)
    learner, _, metrics = trained(env, chain, discount=0.9)
    assert float(metrics["reward"]) > 0.8
    assert learner.policy.name == "soft_actor_critic"


def test_illegal_actions_are_never_drawn():
    network = SoftNetwork(QuantileHead(2), 3, (1,), (4,))
    params = network.init(jax.random.key(0), jnp.ones(1))
    policy, mask = soft_policy(network), jnp.array([True, False, True])
    act = jax.jit(jax.vmap(lambda u: policy.act(params, (), MaskedObs(jnp.ones(1), mask), u)[0]))
    assert set(np.unique(act(jnp.linspace(0, 0.999, 64)))) == {0, 2}


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="entropy"):
        soft_actor_critic(VectorEnv(RandomStop(), 2), ValueConfig(), entropy=1.5)
    with pytest.raises(ValueError, match="temperature"):
        soft_actor_critic(VectorEnv(RandomStop(), 2), ValueConfig(), temperature=0.0)

"""Certainty equivalents learned by the Itakura-Saito loss, against the exact optimum of a two-step process."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.distributional import Law, entropic, exponential, stock_value_iteration
from jaxmarl.learners.value import EntropicHead, MeanHead, SoftNetwork, ValueConfig, deep_q, entropic_actor_critic
from jaxmarl.testing.probes import RandomStop, decisions, two_steps

STEPS = 2
AVERSIONS = (0.1, 0.5)


def exact(aversion):
    """`[A]` certainty equivalents of the second step's bets, and the optimum from the start."""
    mdp = two_steps()
    bets = np.asarray(entropic(Law(mdp.rewards[1], mdp.probabilities[1]), aversion))
    first = float(entropic(Law(mdp.rewards[0, 0], mdp.probabilities[0, 0]), aversion))
    return bets, first + bets.max()


@pytest.mark.parametrize("aversion", AVERSIONS)
def test_the_optimum_is_that_of_dynamic_programming(aversion):
    """Exponential utility needs no stock: the sum of certainty equivalents is what the whole return is worth."""
    solution = stock_value_iteration(two_steps(), exponential(aversion), jnp.arange(-4.0, 30.0), STEPS)
    found = -np.log(-float(solution.value(0, 0.0))) / aversion
    assert found == pytest.approx(exact(aversion)[1], abs=1e-4)
    bets = {0.1: [2.0, 2.7410, 0.9046], 0.5: [2.0, 0.5985, 0.2106]}[aversion]  # the best bet changes
    np.testing.assert_allclose(exact(aversion)[0], bets, atol=2e-3)


@pytest.mark.parametrize("aversion", [-0.5, 0.1, 1.0])
def test_the_loss_against_a_law_is_least_at_its_certainty_equivalent(aversion):
    head = EntropicHead(aversion)
    law = Law(jnp.array([[2.0, -3.0, 0.0]]), jnp.array([[0.3, 0.2, 0.5]]))
    best = entropic(law.law(), aversion)
    slope = jax.grad(lambda x: head.against(x, law).sum())
    np.testing.assert_allclose(slope(best), 0.0, atol=1e-5)
    assert float(slope(best + 0.1)[0]) > 0 > float(slope(best - 0.1)[0])
    np.testing.assert_allclose(head.target(jnp.array(2.0), 1.0, 0.5), 2.0)


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="aversion"):
        EntropicHead(0.0)
    with pytest.raises(ValueError, match="limit"):
        EntropicHead(1.0, -1.0)
    with pytest.raises(NotImplementedError, match="MeanHead"):
        MeanHead().against(jnp.zeros(3), Law(jnp.zeros((3, 1)), jnp.ones((3, 1))))
    with pytest.raises(ValueError, match="aversion"):
        entropic_actor_critic(VectorEnv(RandomStop(), 2), ValueConfig(), aversion=0.0)


CONFIG = {
    "hidden": (64,),
    "collect": 4,
    "gradient_steps": 4,
    "rounds": 800,
    "batch": 128,
    "discount": 1.0,
    "learning_rate": 3e-3,
    "capacity": 20_000,
    "warmup": 1000,
    "target_every": 1,
    "target_rate": 0.02,
    "anneal_steps": 800 * 64,
}
SEEN = jnp.array([[1.0, 0, 1, 0], [0, 1.0, 0, 1]])  # the start, and the bets


@pytest.mark.slow
@pytest.mark.parametrize("aversion", AVERSIONS)
def test_an_actor_critic_finds_the_entropic_optimum(aversion):
    """Play is worth 98 % of the optimum, its own randomness counted; critics know it to 0.1, and so the better bet."""
    mdp, (bets, optimum) = two_steps(), exact(aversion)
    env = VectorEnv(decisions(mdp, STEPS), 16)
    learner = entropic_actor_critic(env, ValueConfig(**CONFIG), mdp, aversion=aversion, entropy=0.05)
    state, _ = jax.jit(lambda key: learner.update(learner.init(key)))(jax.random.key(0))
    outputs = SoftNetwork(EntropicHead(aversion), 3, (4,), (64,)).apply(state.params, SEEN)
    policy = np.asarray(jax.nn.softmax(outputs.logits[1]))
    assert policy.argmax() == bets.argmax()
    played = -np.log(policy @ np.exp(-aversion * bets)) / aversion + optimum - bets.max()
    assert played >= 0.98 * optimum
    for critic in outputs.critics:
        np.testing.assert_allclose(critic[1, bets.argmax()], bets.max(), atol=0.1)
        np.testing.assert_allclose(np.max(critic[0]), played, atol=0.2)


@pytest.mark.slow
def test_greedy_learning_of_certainty_equivalents():
    """The same by Q-learning, of both aversions."""
    mdp = two_steps()
    for aversion in AVERSIONS:
        bets, optimum = exact(aversion)
        env = VectorEnv(decisions(mdp, STEPS), 16)
        config = ValueConfig(**CONFIG, epsilon_end=0.5)
        learner = deep_q(env, EntropicHead(aversion), config, mdp)
        state, _ = jax.jit(lambda key, learner=learner: learner.update(learner.init(key)))(jax.random.key(0))
        seen = jax.jit(learner.policy.act)(state.params, (), _all_legal(SEEN), None)[0]
        assert int(seen[1]) == bets.argmax()
        network = _network(aversion)
        values = network.apply(state.params, SEEN)
        np.testing.assert_allclose(values[1], bets, atol=0.25)
        assert float(jnp.max(values[0])) == pytest.approx(optimum, abs=0.2)


def _all_legal(obs):
    from jaxmarl.core import MaskedObs

    return MaskedObs(obs, jnp.ones((obs.shape[0], 3), bool))


def _network(aversion):
    from jaxmarl.learners.value.acting import ValueNetwork

    return ValueNetwork(EntropicHead(aversion), 3, (4,), (64,))

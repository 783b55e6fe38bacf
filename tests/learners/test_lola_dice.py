"""LOLA and naive policy gradient: derivatives of DiCE against exact ones, and what is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.dilemmas import IteratedMatrix
from jaxmarl.games.iterated import memory_one_values
from jaxmarl.learners import over_seeds
from jaxmarl.learners.lola_dice import _LOLA, LOLAConfig, dice_values, lola_dice


def learned(env, config, updates, seeds=3):
    """Probabilities `[seeds, 2, 5]` and mean payoffs a round by update `[updates, seeds]`."""
    learner = over_seeds(lola_dice(env, config), seeds)

    @jax.jit
    def run(key):
        state, metrics = jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), length=updates)
        return learner.params(state), metrics["reward"]

    return run(jax.random.key(0))


def test_dice_value_is_the_return_whatever_the_baseline():
    log_prob, reward, baseline = jax.random.normal(jax.random.key(0), (3, 7, 4, 2))
    wanted = np.mean(np.tensordot(0.9 ** np.arange(7), reward, 1), axis=0)
    np.testing.assert_allclose(dice_values(log_prob, reward, baseline, 0.9), wanted, rtol=1e-5)


def test_derivatives_of_dice_estimate_the_exact_ones():
    """First derivatives, and those of the opponent's gradient in one's own logits, which LOLA needs."""
    env, config = IteratedMatrix(num_steps=40), LOLAConfig(discount=0.8, num_envs=2000)
    algorithm = _LOLA(env, config, env.default_params)
    state = algorithm.init(jax.random.key(3))
    logits = jnp.array([[0.5, 0.2, -0.3, 0.1, -0.4], [0.0, 0.4, -0.2, 0.3, 0.6]])
    state = state.replace(logits=logits, baseline=jnp.full((2, 5), -7.0))
    exact = _LOLA(env, LOLAConfig(discount=0.8, exact=True), env.default_params)

    def derivatives(algorithm, key):
        values, _ = algorithm._values(state)
        own = jax.grad(lambda x: values(x, logits[1], key)[0])(logits[0])
        theirs = jax.grad(lambda x, y: values(x, y, key)[1], argnums=1)
        return jnp.concatenate([own[None], jax.jacrev(theirs)(logits[0], logits[1])])

    keys = jax.random.split(jax.random.key(1), 16)
    sampled = np.asarray(jax.jit(lambda keys: jax.lax.map(lambda key: derivatives(algorithm, key), keys))(keys))
    wanted = np.asarray(jax.jit(lambda key: derivatives(exact, key))(keys[0]))
    error = sampled.std(0, ddof=1) / 4
    # 30 numbers, 15 degrees of freedom: Student's t passes 5 once in 200 such tests
    assert (np.abs(sampled.mean(0) - wanted) < 5 * error + 1e-3).all()
    assert np.abs(wanted[1:]).max() > 5 * error[1:].max()


def test_naive_learners_defect_and_lola_cooperates():
    env = IteratedMatrix()
    naive, reward = learned(env, LOLAConfig(exact=True, lookaheads=0), 200)
    assert reward[-1].max() < -1.9
    assert np.asarray(naive)[:, :, 4].max() < 0.1  # after DD
    aware, reward = learned(env, LOLAConfig(exact=True), 200)
    assert reward[-1].min() > -1.05
    assert np.asarray(aware)[:, :, 1].min() > 0.9  # after CC
    assert np.asarray(aware)[:, :, 4].max() < 0.2


@pytest.mark.slow
def test_lola_mixes_in_matching_pennies():
    env = IteratedMatrix(game="matching_pennies")
    mixed, _ = learned(env, LOLAConfig(exact=True, optimiser="sgd"), 300)
    np.testing.assert_allclose(np.asarray(mixed)[:, :, 1:].mean(-1), 0.5, atol=0.05)
    assert (
        np.abs(np.asarray(memory_one_values(mixed[0, 0], mixed[0, 1], env.default_params.payoffs, 0.96))).max() < 0.05
    )


@pytest.mark.slow
def test_sampled_lola_cooperates():
    """1024 episodes of 150 rounds an estimate, step sizes 0.2 (Adam) and 0.3; naive gradients earn less than -1.9."""
    _, reward = learned(IteratedMatrix(num_steps=150), LOLAConfig(), 120, seeds=2)
    assert reward[-1].min() > -1.1


def test_refusals_of_lola():
    with pytest.raises(ValueError, match="lookaheads"):
        LOLAConfig(lookaheads=-1)
    with pytest.raises(ValueError, match="discount"):
        LOLAConfig(discount=1.0)
    with pytest.raises(ValueError, match="optimiser"):
        LOLAConfig(optimiser="rmsprop")

"""Price competition in turns: two Markov-perfect equilibria, checked by deviations, and played in the environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.envs.pricing import SequentialPricing
from jaxmarl.envs.pricing.alternating_equilibrium import (
    alternating_values,
    edgeworth_cycle,
    focal_price,
    period_profits,
)


def test_edgeworth_cycle():
    reactions = edgeworth_cycle(0.95)
    values = alternating_values(reactions, 0.95)
    np.testing.assert_allclose(reactions[1, [0, 5]], [0.8070520843, 1 - 0.8070520843], atol=6e-11)
    wanted = [1.440337, 1.440337, 1.491348, 1.522126, 1.595941, 1.595941, 1.595941]
    np.testing.assert_allclose(values.mover, wanted, atol=6e-7)
    np.testing.assert_allclose(values.standing, [0.1390, *[0.1722] * 5, 0.0], atol=6e-5)
    np.testing.assert_allclose(values.average_profit, 0.0740592, atol=6e-8)
    assert values.deviation_gain < 2e-14


def test_focal_price():
    reactions = focal_price(0.95)
    values = alternating_values(reactions, 0.95)
    np.testing.assert_allclose(reactions[1, [1, 3]], [0.4622256749, 1 - 0.4622256749], atol=6e-11)
    np.testing.assert_allclose(values.mover, [2.375, 2.375, 2.444444, 2.5, 2.625, 2.625, 2.625], atol=6e-7)
    np.testing.assert_allclose(values.average_profit, 0.125, rtol=1e-12)
    assert values.deviation_gain < 2e-14


def test_values_by_walking():
    """Of a strategy that is no equilibrium; somebody gains by deviating."""
    rng = np.random.default_rng(0)
    reactions, profits, discount = rng.dirichlet(np.ones(5), 5), period_profits(5), 0.8
    values = alternating_values(reactions, discount)
    for start in range(5):
        # joint law of (mover's price, rival's price) as the two take turns
        rival, total = np.eye(5)[start], 0.0
        law = np.diag(rival) @ reactions  # [rival, own]
        for t in range(0, 200, 2):
            total += discount**t * np.sum(law.T * profits)
            answered = law.sum(0)[:, None] * reactions  # [own, rival]
            total += discount ** (t + 1) * np.sum(answered * profits)
            law = answered.sum(0)[:, None] * reactions
        np.testing.assert_allclose(values.mover[start], total, rtol=1e-10)
    assert values.deviation_gain > 0.01


def test_equilibria_played_in_the_environment():
    env, params = jaxmarl.make("sequential_pricing", num_steps=2000)
    known = env.benchmarks(params)
    np.testing.assert_allclose(known["monopoly_profit"], 0.125)
    assert period_profits(7)[1, 1] == pytest.approx(0.0694444, abs=6e-8)

    @jax.jit
    @jax.vmap
    def mean_profit(key, reactions):
        def step(state, key):
            law = reactions[state.standing[::-1]]
            action = jax.random.categorical(key, jnp.log(law), axis=-1)
            state, reward, _, _ = env.transition(state, action, (), params)
            return state, reward.mean()

        state = env.initial(jnp.array([3, 3]), params)
        return jax.lax.scan(step, state, jax.random.split(key, 2000))[1].mean()

    for name in ("edgeworth_cycle", "focal_price"):
        reactions = jnp.asarray(np.stack([known[name]] * 100), jnp.float32)
        means = mean_profit(jax.random.split(jax.random.key(0), 100), reactions)
        error = float(means.std() / 10)
        # the first cycle starts high, which is worth less than 0.5 in all
        assert abs(float(means.mean()) - known[f"{name}_profit"]) < 4 * error + 0.5 / 2000


def test_turns():
    env = SequentialPricing(num_prices=5, num_steps=2)
    params = env.default_params
    state = env.initial(jnp.array([4, 2]), params)
    assert env.observe(state, params).tolist() == [[0.5, 1.0, 1.0], [1.0, 0.5, 0.0]]
    assert env.action_mask(state, params).tolist() == [[True] * 5, [False, False, True, False, False]]
    state, reward, _, _ = env.transition(state, jnp.array([2, 0]), (), params)
    np.testing.assert_allclose(reward, [0.125, 0.125])  # the second firm's move is ignored
    state, reward, _, _ = env.transition(state, jnp.array([0, 1]), (), params)
    np.testing.assert_allclose(reward, [0.0, 0.1875])
    assert state.standing.tolist() == [2, 1]
    assert env.truncated(state, params)


def test_refusals_of_turns():
    with pytest.raises(ValueError, match="num_prices"):
        SequentialPricing(num_prices=1)
    env, params = jaxmarl.make("sequential_pricing")
    with pytest.raises(ValueError, match="discount"):
        env.validate(params.replace(discount=jnp.float32(1.0)))
    with pytest.raises(ValueError, match="discount"):
        focal_price(0.1)  # the future is not worth the monopoly price

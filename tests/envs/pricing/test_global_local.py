"""Demand response and queues with one service rate: dynamics by their formulas, tables, long-run laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core.chance import draw
from jaxmarl.envs.pricing import DemandResponse, ServiceRate
from jaxmarl.envs.pricing.global_local import inverse


def test_consumers_move_as_published():
    env, params = jaxmarl.make("demand_response")
    kernel = np.asarray(env.tables(params).local_kernel)
    wanted = np.zeros((5, 25, 5, 5))
    for supply, use, wish in itertools.product(range(1, 6), repeat=3):
        for coin, new_wish in itertools.product((0, 1), range(1, 6)):
            met = wish <= supply
            new_use = wish if met else int(np.clip(wish + (supply - use) * coin, 1, 5))
            wanted[supply - 1, 5 * (use - 1) + wish - 1, new_use - 1, new_wish - 1] += 1 / 10
    np.testing.assert_allclose(kernel, wanted.reshape(5, 25, 25), atol=1e-7)


def test_rewards_of_the_operator():
    env, params = jaxmarl.make("demand_response", num_locals=3)
    consumers = jnp.array([5 * 0 + 2, 5 * 3 + 0, 5 * 4 + 4])  # they consume 1, 4 and 5
    transition = jax.jit(env.transition)
    state = env.initial((jnp.int32(2), consumers), params)  # of a supply of 3
    for action, supply, gain in [(0, 1, 15 / 3 - 1), (1, 2, 5), (2, 3, 5)]:
        after, reward, _, info = transition(state, jnp.array([action]), (jnp.float32(0.5), jnp.zeros(3)), params)
        assert after.shared == supply
        np.testing.assert_allclose(reward, [gain + (1 + (4 - 0.5) + (5 - 0.5)) / 3], rtol=1e-6)
        np.testing.assert_allclose(info["global_reward"] + info["local_reward"], reward[0], rtol=1e-6)
    lowest = env.initial((jnp.int32(0), consumers), params)
    after, reward, _, _ = transition(lowest, jnp.array([0]), (jnp.float32(0.5), jnp.zeros(3)), params)
    assert after.shared == 0
    obs = env.observe(state, params)[0]
    assert obs.shape == (26,)
    np.testing.assert_allclose(obs[jnp.array([0, 3, 16, 25])], [0.5, 1 / 3, 1 / 3, 1 / 3])


def test_tables_are_what_the_environment_does():
    """Frequencies of what follows one state, within four standard errors."""
    for name in ("demand_response", "service_rate"):
        env, params = jaxmarl.make(name, num_locals=4)
        model, local = env.tables(params), jnp.array([0, 3, 7, 10])
        state = env.initial((jnp.int32(1), local), params)
        chances = draw(env.step_chance, jax.random.key(0), (4000,))
        step = jax.jit(jax.vmap(lambda c, e=env, p=params, s=state: e.transition(s, jnp.array([2]), c, p)))
        after, _, _, _ = step(chances)
        expected = np.asarray(model.local_kernel[1, local])
        found = np.mean(np.asarray(after.local)[:, :, None] == np.arange(expected.shape[1]), axis=0)
        assert (np.abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / 4000) + 1e-9).all()
        assert (after.shared == 2).all()


def test_long_run_lengths_of_queues():
    env, params = jaxmarl.make("service_rate")
    lengths = env.benchmarks(params)["lengths"]
    np.testing.assert_allclose(lengths.sum(1), 1.0)
    kernel = np.asarray(env.tables(params).local_kernel, np.float64)
    for law, step in zip(lengths, kernel, strict=True):
        np.testing.assert_allclose(law @ step, law, atol=1e-7)
    # level 3 serves with probability 0.6: births 0.4 * 0.4, deaths 0.6 * 0.6
    np.testing.assert_allclose(lengths[2, 2:] / lengths[2, 1:-1], (0.4 * 0.4) / (0.6 * 0.6), rtol=1e-6)
    np.testing.assert_allclose(lengths[2, 1] / lengths[2, 0], 0.4 / (0.6 * 0.6), rtol=1e-6)


def test_costs_of_queues():
    env, params = jaxmarl.make("service_rate")
    model = env.tables(params)
    np.testing.assert_allclose(model.global_reward[:, 0], [-0.05, -0.2, -0.45, -0.8], rtol=1e-6)
    np.testing.assert_allclose(model.local_reward[1, [0, 4, 9]], [0, -0.4, -0.9], rtol=1e-6)
    np.testing.assert_allclose(model.local_reward[1, 10], -1 - 2 * 0.4 * 0.6, rtol=1e-6)
    np.testing.assert_allclose(model.local_kernel[1, 10, 9:], [0.4 * 0.6, 1 - 0.4 * 0.6], rtol=1e-6)


def test_outcomes_of_probability_zero_are_not_drawn():
    probabilities = jnp.array([0.0, 0.5, 0.0, 0.5, 0.0])
    units = jnp.array([0.0, 0.4999, 0.5, np.float32(1 - 2**-24)])
    assert inverse(jnp.broadcast_to(probabilities, (4, 5)), units).tolist() == [1, 1, 3, 3]


def test_refusals_of_global_and_local():
    with pytest.raises(ValueError, match="levels"):
        DemandResponse(levels=1)
    with pytest.raises(ValueError, match="num_locals"):
        ServiceRate(num_locals=0)
    env, params = jaxmarl.make("service_rate")
    with pytest.raises(ValueError, match="arrival"):
        env.validate(params.replace(arrival=jnp.float32(1.5)))
    env, params = jaxmarl.make("demand_response")
    with pytest.raises(ValueError, match="excess_cost"):
        env.validate(params.replace(excess_cost=jnp.float32(np.nan)))

"""Firms with stocks and a deadline: one firm is the known optimum, several play the equilibrium that is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core.chance import draw
from jaxmarl.envs.pricing import DynamicPricing, InventoryCompetition, LogitMarket, bertrand_nash, joint_monopoly
from jaxmarl.envs.pricing.inventory_equilibrium import inventory_equilibrium, joint_values
from jaxmarl.envs.pricing.logit_equilibrium import outcome

MARKET = LogitMarket(np.array([1.0, 1.4]), np.array([0.0, 0.1]), 0.2, 0.5)


def many_customers(params, customers):
    """One firm to whom `20 exp(-p)` units would be sold in the season, nearly."""
    number = jnp.float32(customers)
    quality = jnp.log(20.0 / number)[None]
    return params.replace(customers=number, quality=quality, differentiation=jnp.float32(1.0))


def test_one_firm_is_the_known_optimum():
    env, params = jaxmarl.make("inventory_competition", num_agents=1, stock=10, num_steps=200)
    market = LogitMarket(np.log([20.0 / 1e9]), np.zeros(1), 0.0, 1.0)
    found = inventory_equilibrium(market, 1e9, 10, 200)
    np.testing.assert_allclose(found.values[[5, 10], 0], [6.015042, 7.231098], atol=1e-6)
    np.testing.assert_allclose(joint_values(market, 1e9, 10, 200), found.values[:, 0], rtol=1e-9)
    known = env.benchmarks(many_customers(params, 1e6))
    np.testing.assert_allclose(known["joint_value"], 7.231098, atol=1e-3)


def test_one_firm_moves_as_in_dynamic_pricing():
    env, params = jaxmarl.make("inventory_competition", num_agents=1, stock=3, num_steps=50)
    single = DynamicPricing(stock=3, num_steps=50)
    params, single_params = many_customers(params, 1e6), single.default_params

    @jax.jit
    def both(shares, chances):
        def step(states, x):
            share, chance = x
            one, reward, ended, _ = env.transition(states[0], share[None], chance, params)
            two, reward_two, ended_two, _ = single.transition(states[1], share[None], chance, single_params)
            seen = env.observe(one, params), single.observe(two, single_params)
            return (one, two), (*seen, reward, reward_two, ended, ended_two)

        start = env.initial((), params), single.initial((), single_params)
        return jax.lax.scan(step, start, (shares, chances))[1]

    rng = np.random.default_rng(0)
    obs, obs_two, reward, reward_two, ended, ended_two = both(rng.uniform(0, 0.5, 50), rng.random(50))
    assert reward.sum() > 1
    np.testing.assert_allclose(obs, obs_two)
    np.testing.assert_allclose(reward, reward_two)
    assert ended.tolist() == ended_two.tolist()


def test_prices_of_the_last_step():
    """With plenty of stock and one step left, a stock is worth nothing more: the stage game's equilibrium."""
    found = inventory_equilibrium(MARKET, 0.5, 2, 1)
    nash = bertrand_nash(MARKET)
    np.testing.assert_allclose(found.prices[0, 2, 2], nash.prices, rtol=1e-10)
    np.testing.assert_allclose(found.values[2, 1], 0.5 * nash.profits, rtol=1e-10)
    alone = bertrand_nash(LogitMarket(np.array([1.4]), np.array([0.1]), 0.2, 0.5))
    np.testing.assert_allclose(found.prices[0, 0, 2, 1], alone.prices[0], rtol=1e-10)
    np.testing.assert_allclose(found.values[0, 2], [0, 0.5 * alone.profits[0]], rtol=1e-10)
    np.testing.assert_allclose(joint_values(MARKET, 0.5, 1, 1)[1, 1], 0.5 * joint_monopoly(MARKET).profits.sum())


def test_nobody_gains_by_another_price():
    """One-step deviations by definition: what happens if this step's price is another one."""
    customers, steps, stocks = 12.0, 20, (2, 3)
    later = inventory_equilibrium(MARKET, customers * (steps - 1) / steps, 3, steps - 1).values
    found, rate = inventory_equilibrium(MARKET, customers, 3, steps), customers / steps

    def worth(prices):
        shares = outcome(MARKET, prices).shares
        sold = [later[stocks[0] - 1, stocks[1]], later[stocks[0], stocks[1] - 1]]
        earned = rate * shares * (prices - MARKET.cost)
        return earned + later[stocks] + rate * sum(q * (v - later[stocks]) for q, v in zip(shares, sold, strict=True))

    prices = found.prices[-1][stocks]
    np.testing.assert_allclose(worth(prices), found.values[stocks], rtol=1e-12)
    for firm in range(2):
        for change in (-0.3, -0.01, 0.01, 0.3):
            other = prices + change * np.eye(2)[firm]
            assert worth(other)[firm] < worth(prices)[firm]
    # scarcer stocks are dearer, and one owner earns more than rivals do
    assert (np.diff(found.prices[-1][1:, 3, 0]) < 0).all()
    assert joint_values(MARKET, customers, 3, steps)[stocks] > found.values[stocks].sum()


def test_revenues_of_seasons_in_equilibrium():
    env, params = jaxmarl.make("inventory_competition", stock=3, num_steps=40)
    params = params.replace(quality=jnp.array([1.0, 1.3]), customers=jnp.float32(15.0))
    known = env.benchmarks(params)

    @jax.jit
    @jax.vmap
    def season(chances):
        def step(state, chance):
            obs = env.observe(state, params)
            shares = [p.act(params, (), obs[i], ())[0] for i, p in enumerate(known["policies"])]
            state, reward, _, _ = env.transition(state, jnp.stack(shares), chance, params)
            return state, reward

        state, rewards = jax.lax.scan(step, env.initial((), params), chances)
        return rewards.sum(0), state.stock

    revenue, stock = season(draw(env.step_chance, jax.random.key(0), (8000, 40)))
    errors = np.asarray(revenue.std(0)) / 8000**0.5
    assert (np.abs(revenue.mean(0) - known["values"]) < 4 * errors).all()
    assert (stock >= 0).all()
    assert known["joint_value"] > known["values"].sum()


def test_who_sells_and_what_is_seen():
    env, params = jaxmarl.make("inventory_competition", num_agents=3, stock=2, num_steps=4)
    params = params.replace(customers=jnp.float32(4.0), quality=jnp.zeros(3), differentiation=jnp.float32(1.0))
    state = env.initial((), params).replace(stock=jnp.array([2, 0, 1]))
    action, transition = jnp.array([0.0, 0.1, 0.0]), jax.jit(env.transition)
    # one customer a step; each of two firms with stock and the outside good attracts a third
    for chance, firm in [(0.3, 0), (0.35, 2), (0.7, None)]:
        after, reward, _, info = transition(state, action, jnp.float32(chance), params)
        assert info["sales"].tolist() == [float(i == firm) for i in range(3)]
        assert reward.tolist() == [0.0] * 3  # they give it away
    after, reward, _, _ = transition(state, jnp.array([0.5, 0.1, 0.5]), jnp.float32(0.02), params)
    assert reward.tolist() == [3.0, 0.0, 0.0]
    half, tenth = 0.5, np.float32(0.1)
    wanted = [[0.5, 0.0, 0.5, 0.25, half, tenth, half, 1, 0, 0], [0.5, 0.5, 0.0, 0.25, half, half, tenth, 0, 1, 0]]
    np.testing.assert_allclose(env.observe(after, params)[jnp.array([0, 2])], wanted)


def test_refusals_of_inventories():
    with pytest.raises(ValueError, match="stock"):
        InventoryCompetition(stock=0)
    env, params = jaxmarl.make("inventory_competition")
    with pytest.raises(ValueError, match="customers"):
        env.validate(params.replace(customers=jnp.float32(0.0)))
    with pytest.raises(ValueError, match="quality"):
        env.validate(params.replace(quality=jnp.zeros(3)))
    assert InventoryCompetition(num_agents=6).benchmarks(InventoryCompetition(num_agents=6).default_params) == {}

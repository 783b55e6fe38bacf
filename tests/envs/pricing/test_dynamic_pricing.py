"""Pricing a stock before a deadline: the known optimum, bounds, the discretised optimum, and a season's revenue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core.chance import draw
from jaxmarl.envs.pricing import DynamicPricing
from jaxmarl.envs.pricing.dynamic_pricing import (
    best_fixed_price,
    discrete_value,
    fixed_price_value,
    optimal_prices,
    optimal_values,
)

UNITS = np.array([1, 2, 5, 10, 20, 25])
VALUES = {
    20.0: [2.123170, 3.567408, 6.000400, 7.223107, 7.357559, 7.357589],
    40.0: [2.754627, 4.820148, 9.031026, 12.697616, 14.640860, 14.710271],
}
PRICES = {
    20.0: [3.123170, 2.444238, 1.589149, 1.098123, 1.000057, 1.000000],
    40.0: [3.754627, 3.065521, 2.164413, 1.512868, 1.041664, 1.004129],
}


@pytest.mark.parametrize("demand", VALUES)
def test_values_and_prices(demand):
    np.testing.assert_allclose(optimal_values(jnp.float32(demand), 25)[UNITS], VALUES[demand], rtol=2e-6)
    np.testing.assert_allclose(optimal_prices(jnp.float32(demand), 25)[UNITS - 1], PRICES[demand], rtol=3e-6)


def test_values_at_extremes():
    values_and_slope = jax.jit(
        lambda demand: (optimal_values(demand, 5), jax.grad(lambda x: optimal_values(x, 5)[-1])(demand))
    )
    values, slope = values_and_slope(jnp.float32(0.0))
    assert values.tolist() == [0] * 6
    assert np.isfinite(slope)
    assert np.isfinite(values_and_slope(jnp.float32(1e30))[0]).all()
    # more demand is worth the sales at the optimal price, each for 1 more than the unit's own value
    values, slope = values_and_slope(jnp.float32(20.0))
    np.testing.assert_allclose(slope, jnp.exp(-(1 + values[5] - values[4])), rtol=1e-5)


def test_bounds_and_fixed_prices():
    for stock, bound, price, fixed, revenue, naive in [
        (5, 6.931472, np.log(4), 1.536997, 5.794273, 5.715225),
        (10, 7.357589, 1.0, 1.119719, 7.161071, 7.088959),
    ]:
        env, params = jaxmarl.make("dynamic_pricing", stock=stock, num_steps=10)
        known = env.benchmarks(params)
        np.testing.assert_allclose([known["bound"], known["bound_price"]], [bound, price], atol=6e-7)
        np.testing.assert_allclose(best_fixed_price(20.0, stock), (fixed, revenue), atol=2e-6)
        np.testing.assert_allclose(fixed_price_value(known["bound_price"], 20.0, stock), naive, atol=1e-6)
        assert known["fixed_value"] < known["value"] < known["bound"]


def test_optimum_of_the_discretised_season():
    np.testing.assert_allclose([discrete_value(20.0, n, 200) for n in (5, 10)], [6.015042, 7.231098], atol=6e-7)
    np.testing.assert_allclose(discrete_value(20.0, 5, 20_000), 6.000545, atol=6e-7)


def test_revenue_of_seasons_under_the_optimal_policy():
    env, params = jaxmarl.make("dynamic_pricing", stock=5)
    policy = env.benchmarks(params)["policy"]

    def season(drawn):
        def step(state, chance):
            action, _ = policy.act(params, (), env.observe(state, params)[0], ())
            state, reward, ended, _ = env.transition(state, action[None], chance, params)
            return state, (reward[0], ended)

        state, (rewards, ended) = jax.lax.scan(step, env.initial((), params), drawn)
        return rewards.sum(), ended, state.stock

    drawn = draw(env.step_chance, jax.random.key(0), (4000, 200))
    revenue, ended, stock = jax.jit(jax.vmap(season))(drawn)
    error = float(revenue.std() / 4000**0.5)
    # optimal in continuous time, it is within 0.002 of the discretised optimum
    assert abs(float(revenue.mean()) - discrete_value(20.0, 5, 200)) < 4 * error + 0.002
    assert (stock >= 0).all()
    assert ended[:, -1].all()
    assert not ended[:, :-1].any()


def test_no_stock_no_sale():
    env, params = jaxmarl.make("dynamic_pricing", stock=1, num_steps=1)
    state = env.initial((), params)
    state, reward, _, info = env.transition(state, jnp.array([0.25]), jnp.float32(0.5), params)
    assert (float(reward[0]), int(state.stock), float(info["sale"])) == (1.5, 0, 1.0)
    state, reward, _, info = env.transition(state, jnp.array([0.25]), jnp.float32(0.0), params)
    assert (float(reward[0]), int(state.stock), float(info["sale"])) == (0.0, 0, 0.0)


def test_refusals_of_seasons():
    with pytest.raises(ValueError, match="stock"):
        DynamicPricing(stock=0)
    env, params = jaxmarl.make("dynamic_pricing")
    with pytest.raises(ValueError, match="demand"):
        env.validate(params.replace(demand=jnp.float32(0.0)))

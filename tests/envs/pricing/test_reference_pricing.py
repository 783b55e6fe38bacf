"""Reference prices: the linear-quadratic optimum, its steady state in the environment, and loss aversion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.envs.pricing import ReferencePricing
from jaxmarl.envs.pricing.reference_pricing import linear_quadratic_optimum, steady_price


@pytest.fixture(scope="module")
def market():
    env, params = jaxmarl.make("reference_pricing", num_steps=300)
    return env, params, env.benchmarks(params)


def play(env, params, policy, reference):
    """Prices and rewards of an episode."""

    def step(state, _):
        action, _ = policy.act(params, (), env.observe(state, params)[0], ())
        state, reward, _, info = env.transition(state, action[None], (), params)
        return state, (info["price"], reward[0])

    start = env.initial(jnp.float32(reference / 10), params)
    return jax.jit(lambda start: jax.lax.scan(step, start, length=env.num_steps)[1])(start)


def test_optimum(market):
    numbers = {"intercept": 10.0, "slope": 1.0, "cost": 2.0, "gain": 1.0, "memory": 0.7, "discount": 0.95}
    optimum = linear_quadratic_optimum(numbers)
    np.testing.assert_allclose(optimum.policy, [4.10211839, 0.28312494], atol=6e-9)
    np.testing.assert_allclose(optimum.value, [264.57348, 7.72189008, 0.29614553], rtol=2e-8)
    np.testing.assert_allclose([optimum.steady_price, steady_price(numbers, 1.0)], 5.72222222, atol=6e-9)
    np.testing.assert_allclose(np.polyval(optimum.value[::-1], 6.0), 321.566061, atol=6e-7)
    for got, wanted in zip(market[2]["optimum"], optimum, strict=True):  # 0.7 and 0.95 are float32 in params
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_allclose(market[2]["steady_prices"], optimum.steady_price, rtol=1e-6)


def test_the_optimal_policy_earns_its_value_and_settles(market):
    env, params, known = market
    prices, rewards = play(env, params, known["policy"], 6.0)
    np.testing.assert_allclose(prices[0], 4.10211839 + 0.28312494 * 6, rtol=1e-6)
    np.testing.assert_allclose(prices[-1], 5.72222222, rtol=1e-5)
    np.testing.assert_allclose(np.sum(0.95 ** np.arange(300) * np.asarray(rewards)), 321.566, rtol=1e-5)


def test_no_other_constant_or_linear_price_earns_more(market):
    env, params, _ = market

    def discounted(rule):
        def step(carry, weight):
            state, total = carry
            action = jnp.clip(rule[0] + rule[1] * env.observe(state, params)[0], 0, 1)
            state, reward, _, _ = env.transition(state, action, (), params)
            return (state, total + weight * reward[0]), None

        start = env.initial(jnp.float32(0.6), params), jnp.zeros(())
        return jax.lax.scan(step, start, 0.95 ** jnp.arange(300))[0][1]

    rules = jnp.stack(jnp.meshgrid(jnp.linspace(0.3, 0.6, 13), jnp.linspace(0, 0.5, 11)), -1).reshape(-1, 2)
    earned = jax.jit(jax.vmap(discounted))(rules)
    assert float(earned.max()) < 321.5661
    assert float(earned.max()) > 321.0
    # without regard for the reference, (a + b c) / 2 = 6 is best in a period at r = p
    assert float(discounted(jnp.array([0.6, 0.0]))) < 321.0


def test_gains_and_losses(market):
    env, params, _ = market
    averse = params.replace(loss=jnp.float32(3.0), gain=jnp.float32(0.5))
    low, high = env.benchmarks(averse)["steady_prices"]
    kappa = {eta: eta * 0.05 / (1 - 0.7 * 0.95) for eta in (3.0, 0.5)}
    np.testing.assert_allclose([low, high], [(10 + 2 * (1 + kappa[e])) / (2 + kappa[e]) for e in (3.0, 0.5)], rtol=1e-6)
    assert "optimum" not in env.benchmarks(averse)
    state = env.initial(jnp.float32(0.5), averse)
    for price, sales in [(4.0, 10 - 4 + 0.5), (6.0, 10 - 6 - 3.0), (9.0, 0.0)]:
        after, reward, _, info = env.transition(state, jnp.array([price / 10]), (), averse)
        np.testing.assert_allclose([info["sales"], reward[0]], [sales, sales * (price - 2)], atol=1e-5)
        np.testing.assert_allclose(after.reference, 0.7 * 5 + 0.3 * price, rtol=1e-6)


def test_optimal_prices_stay_between_the_steady_ones_under_loss_aversion():
    """Dynamic programming on a grid: from below and above, prices end where they may be steady."""
    env = ReferencePricing()
    params = env.default_params.replace(loss=jnp.float32(3.0), gain=jnp.float32(0.5))
    low, high = env.benchmarks(params)["steady_prices"]
    grid = np.linspace(4, 8, 401)
    sales = 10 - grid[None] + np.where(grid[:, None] > grid, 0.5, 3.0) * (grid[:, None] - grid)
    reward, following = (grid - 2) * np.maximum(sales, 0), 0.7 * grid[:, None] + 0.3 * grid
    value = np.zeros(401)
    for _ in range(300):
        total = reward + 0.95 * np.interp(following, grid, value)
        value = total.max(1)
    policy = grid[total.argmax(1)]
    for reference in (4.5, 7.5):
        for _ in range(60):
            price = np.interp(reference, grid, policy)
            reference = 0.7 * reference + 0.3 * price
        assert low - 0.02 <= reference <= high + 0.02
    assert high - low > 0.1


def test_refusals_of_reference_pricing():
    env, params = jaxmarl.make("reference_pricing")
    for name, number in [("memory", 1.0), ("slope", 0.0), ("loss", -1.0), ("cost", jnp.nan)]:
        with pytest.raises(ValueError, match=name):
            env.validate(params.replace(**{name: jnp.float32(number)}))
    with pytest.raises(ValueError, match="num_steps"):
        ReferencePricing(num_steps=0)

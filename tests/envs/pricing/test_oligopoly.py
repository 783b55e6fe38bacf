"""Cournot, Stackelberg, cartels and Bertrand: closed forms, no profitable deviation in the environments, mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.envs.pricing import CapacityBertrand, Cournot, oligopoly
from jaxmarl.games import NormalFormGame
from jaxmarl.games.metrics import nash_conv


def profits_of(env, params):
    """Jitted: choices `[..., N]` to profits `[..., N]`."""
    return jax.jit(jnp.vectorize(lambda choice: env.market(choice, params)[0], signature="(n)->(n)"))


def best_gain(env, params, choice, grid=2001):
    """Most that a firm gains by another choice on a fine grid from 0 to the largest one."""
    profits = profits_of(env, params)
    choice, gains = jnp.asarray(choice, jnp.float32), []
    for i in range(len(choice)):
        others = jnp.tile(choice, (grid, 1)).at[:, i].set(jnp.linspace(0, params.largest, grid))
        gains.append(float(profits(others)[:, i].max() - profits(choice)[i]))
    return max(gains)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize(("a", "b", "c"), [(1.0, 1.0, 0.0), (10.0, 2.0, 3.0)])
def test_symmetric_quantities(n, a, b, c):
    d, cost = a - c, np.full(n, c)
    nash, joint = oligopoly.cournot(a, b, cost), oligopoly.cartel(a, b, cost)
    np.testing.assert_allclose(nash.quantities, d / (b * (n + 1)), rtol=1e-12)
    np.testing.assert_allclose(nash.price, (a + n * c) / (n + 1), rtol=1e-12)
    np.testing.assert_allclose(nash.profits, d**2 / (b * (n + 1) ** 2), rtol=1e-12)
    np.testing.assert_allclose(joint.quantities, d / (2 * b * n), rtol=1e-12)
    np.testing.assert_allclose(
        [joint.price, *joint.profits], [(a + c) / 2, *np.full(n, d**2 / (4 * b * n))], rtol=1e-12
    )
    lead, m = oligopoly.stackelberg(a, b, cost), n - 1
    np.testing.assert_allclose(lead.quantities, [d / (2 * b), *np.full(m, d / (2 * b * n))], rtol=1e-12)
    np.testing.assert_allclose(lead.price, c + d / (2 * n), rtol=1e-12)
    np.testing.assert_allclose(lead.profits, [d**2 / (4 * b * n), *np.full(m, d**2 / (4 * b * n**2))], rtol=1e-12)


def test_the_unit_duopoly():
    env, params = jaxmarl.make("stackelberg")
    known = env.benchmarks(params)
    np.testing.assert_allclose(known["cournot"].profits, 1 / 9, rtol=1e-12)
    np.testing.assert_allclose(known["stackelberg"].quantities, [1 / 2, 1 / 4])
    np.testing.assert_allclose(known["stackelberg"].profits, [1 / 8, 1 / 16])
    np.testing.assert_allclose(known["grim_trigger"], 0.529412, atol=6e-7)
    np.testing.assert_allclose(oligopoly.grim_trigger_threshold(3), 0.571429, atol=6e-7)


def test_grim_trigger_threshold_is_where_the_deviation_is_worth_it():
    for n in (2, 3, 6):
        cost, delta = np.zeros(n), oligopoly.grim_trigger_threshold(n)
        joint, nash = oligopoly.cartel(1.0, 1.0, cost), oligopoly.cournot(1.0, 1.0, cost)
        reply = oligopoly.cournot_best_responses(joint.quantities, 1.0, 1.0, cost)
        cheat = oligopoly.outcome_of([reply[0], *joint.quantities[1:]], 1.0, 1.0, cost).profits[0]
        np.testing.assert_allclose(joint.profits[0], (1 - delta) * cheat + delta * nash.profits[0], rtol=1e-12)


def test_unlike_costs_and_firms_that_stay_out():
    cost = np.array([0.1, 0.3, 0.2])
    nash = oligopoly.cournot(1.0, 0.5, cost)
    np.testing.assert_allclose(nash.quantities, (1 - 4 * cost + cost.sum()) / 2, rtol=1e-12)
    np.testing.assert_allclose(nash.profits, 0.5 * nash.quantities**2, rtol=1e-12)
    out = oligopoly.cournot(1.0, 1.0, [0.0, 0.9, 0.1])
    assert out.quantities[1] == 0
    np.testing.assert_allclose(out.quantities[[0, 2]], [(1 + 0.1) / 3, (1 - 0.2) / 3], rtol=1e-12)
    for found, costs in [(nash, cost), (out, [0.0, 0.9, 0.1])]:
        slope = 0.5 if found is nash else 1.0
        np.testing.assert_allclose(
            oligopoly.cournot_best_responses(found.quantities, 1.0, slope, costs), found.quantities
        )


@pytest.mark.parametrize(("n", "behaviour"), [(2, "converges"), (3, "cycles"), (4, "diverges")])
def test_simultaneous_best_replies(n, behaviour):
    cost, start = np.zeros(n), np.full(n, 1 / (n + 1)) + 1e-6
    q, distance = start, []
    for _ in range(12):
        q = oligopoly.cournot_best_responses(q, 1.0, 1.0, cost)
        distance.append(np.abs(q - 1 / (n + 1)).max())
    ratio = distance[-1] / distance[0]
    assert {"converges": ratio < 1e-3, "cycles": abs(ratio - 1) < 1e-6, "diverges": ratio > 50}[behaviour]


def test_environment_of_quantities_agrees_with_the_closed_forms():
    env = Cournot(num_agents=3)
    params = env.default_params.replace(cost=jnp.array([0.0, 0.1, 0.2]), slope=jnp.float32(0.8))
    nash = env.benchmarks(params)["cournot"]
    assert -1e-6 < best_gain(env, params, nash.quantities) < 1e-6
    quantities = jnp.asarray(nash.quantities, jnp.float32)
    _, reward, ended, info = env.transition(env.initial((), params), quantities, (), params)
    np.testing.assert_allclose(reward, nash.profits, rtol=1e-5)
    np.testing.assert_allclose(info["price"], nash.price, rtol=1e-5)
    np.testing.assert_allclose(info["consumer_surplus"], 0.8 * nash.quantities.sum() ** 2 / 2, rtol=1e-5)
    assert ended


def test_followers_see_the_leader_and_pay_is_at_the_end():
    env, params = jaxmarl.make("stackelberg", num_agents=3, num_steps=2)
    q = jnp.asarray(env.benchmarks(params)["stackelberg"].quantities, jnp.float32)
    state, rewards, ends, seen = env.initial((), params), [], [], []
    for _ in range(4):
        seen.append(env.observe(state, params)[2].tolist())
        state, reward, ended, _ = env.transition(state, q, (), params)
        rewards.append(reward)
        ends.append(bool(ended))
    np.testing.assert_allclose(seen, [[0, 0], [0.5, 1], [0, 0], [0.5, 1]], atol=1e-6)
    np.testing.assert_allclose(rewards, [[0, 0, 0], [1 / 12, 1 / 36, 1 / 36]] * 2, atol=1e-6)
    assert ends == [False, False, False, True]


def test_differentiated_prices():
    env, params = jaxmarl.make("linear_bertrand", num_agents=3)
    params = params.replace(cost=jnp.array([0.0, 0.2, 0.4]), substitution=jnp.float32(0.6))
    prices = env.benchmarks(params)["nash"]
    assert -1e-6 < best_gain(env, params, prices) < 1e-6
    for g, c in [(0.0, 0.3), (0.5, 0.0), (0.9, 0.2)]:
        np.testing.assert_allclose(oligopoly.linear_bertrand(1.0, g, np.full(2, c)), (1 + c) / (2 - g), rtol=1e-12)
    joint = jnp.linspace(0, 2, 4001)
    equal = params.replace(cost=jnp.full(3, 0.1))
    best = joint[profits_of(env, equal)(joint[:, None] * jnp.ones(3)).sum(-1).argmax()]
    np.testing.assert_allclose(env.benchmarks(equal)["cartel"], best, atol=1e-3)


def test_mixture_under_capacities():
    mixture = oligopoly.capacity_bertrand(0.5)
    np.testing.assert_allclose(mixture[:3], [0.125, 0.25, 0.0625], rtol=1e-12)
    np.testing.assert_allclose(mixture.mean, (1 - np.log(2)) / 2, rtol=1e-7)
    np.testing.assert_allclose(mixture.mean, 0.1534264, atol=1e-7)
    np.testing.assert_allclose(mixture.cdf([0.1, 0.125, 0.25, 0.3]), [0, 0, 1, 1], atol=1e-12)
    pure, competitive = oligopoly.capacity_bertrand(0.3), oligopoly.capacity_bertrand(1.2)
    np.testing.assert_allclose(pure[:4], [0.4, 0.4, 0.12, 0.4], rtol=1e-12)
    assert competitive[:4] == (0, 0, 0, 0)
    wide = oligopoly.capacity_bertrand(2.0, 4.0)  # the same market in other units
    np.testing.assert_allclose(wide[:4], [0.5, 1.0, 1.0, 4 * mixture.mean], rtol=1e-12)
    np.testing.assert_allclose(wide.cdf(0.8), mixture.cdf(0.2), rtol=1e-12)


@pytest.mark.parametrize("capacity", [0.4, 0.5, 0.8])
def test_every_price_of_the_mixture_earns_the_same(capacity):
    """Against a fine sample of the mixture, in the environment; no other price earns more."""
    env = CapacityBertrand()
    params = env.default_params.replace(capacity=jnp.full(2, capacity))
    mixture = env.benchmarks(params)["nash"]
    grid = np.linspace(mixture.low, mixture.high, 20_001)
    rival = np.interp((np.arange(4000) + 0.5) / 4000, mixture.cdf(grid), grid)
    own = np.concatenate([np.linspace(mixture.low, mixture.high, 9), [mixture.low / 2, 0.9]])
    pairs = jnp.stack(jnp.meshgrid(jnp.asarray(own), jnp.asarray(rival), indexing="ij"), -1)
    earned = np.asarray(profits_of(env, params)(pairs)[..., 0].mean(-1))
    np.testing.assert_allclose(earned[:9], mixture.profit, rtol=3e-3)
    assert (earned[9:] < mixture.profit).all()


def test_a_grid_of_prices_under_capacities_has_nearly_the_same_equilibrium():
    env = CapacityBertrand(num_levels=101)
    params = env.default_params
    prices = jnp.linspace(0, 1, 101)
    payoffs = jnp.moveaxis(profits_of(env, params)(jnp.stack(jnp.meshgrid(prices, prices, indexing="ij"), -1)), -1, 0)
    mixture = env.benchmarks(params)["nash"]
    weights = np.diff(mixture.cdf(np.arange(102) / 100 - 0.005))
    strategy = jnp.asarray(weights / weights.sum(), jnp.float32)
    game = NormalFormGame(payoffs)
    values = jnp.einsum("iab,a,b->i", payoffs, strategy, strategy)
    np.testing.assert_allclose(values, 0.0625, atol=0.002)
    assert nash_conv(game, (strategy, strategy)) < 0.01


def test_rationing_and_ties():
    env = CapacityBertrand(num_agents=3)
    params = env.default_params.replace(capacity=jnp.array([0.3, 0.2, 0.4]))
    _, info = env.market(jnp.array([0.2, 0.1, 0.3]), params)
    np.testing.assert_allclose(info["quantities"], [0.3, 0.2, 0.2], atol=1e-6)  # 1 - 0.3 - 0.5 is left
    _, info = env.market(jnp.array([0.5, 0.1, 0.5]), params)
    np.testing.assert_allclose(info["quantities"], [0.3 * 3 / 7, 0.2, 0.3 * 4 / 7], atol=1e-6)


def test_refusals_of_oligopolies():
    env, params = jaxmarl.make("cournot")
    for name, number in [("slope", 0.0), ("cost", jnp.array([0.1])), ("cost", jnp.array([-0.1, 0.0]))]:
        with pytest.raises(ValueError, match=name):
            env.validate(params.replace(**{name: jnp.asarray(number)}))
    env, params = jaxmarl.make("linear_bertrand")
    with pytest.raises(ValueError, match="substitution"):
        env.validate(params.replace(substitution=jnp.float32(1.0)))
    with pytest.raises(ValueError, match="cost"):
        oligopoly.stackelberg(1.0, 1.0, [0.0, 0.9])
    with pytest.raises(ValueError, match="num_agents"):
        Cournot(num_agents=1)

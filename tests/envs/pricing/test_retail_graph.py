"""The retailer's catalogue: demand, benchmarks, counts, and the reader of transactions."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import poisson

from jaxmarl.core import draw
from jaxmarl.envs.arrivals import poisson_count
from jaxmarl.envs.pricing import RetailGraph, jain_index, read_online_retail, synthetic_catalogue
from jaxmarl.envs.pricing.retail_optimum import (
    cross_matrix,
    joint_prices,
    price_bounds,
    profit_function,
    weekly_profits,
)

ENV = RetailGraph(num_agents=10, poisson=False)


@cache
def catalogue(linked=True, noise=0.0):
    """Ten products without penalties, with or without cross effects."""
    params = synthetic_catalogue(10)
    zero = jnp.zeros(())
    params = replace(params, noise=jnp.asarray(noise, float), volatility_weight=zero, fairness_weight=zero)
    return params if linked else replace(params, cross=jnp.zeros_like(params.cross))


@cache
def known(linked=True):
    return ENV.benchmarks(catalogue(linked))


@partial(jax.jit, static_argnames="env")
def year(env, target, params, key):
    """Moves prices towards `target` for a year: the last state, and rewards and info of every week."""

    def week(state, chance):
        action = env.towards(state, target, params)
        state, reward, _, info = env.transition(state, action, chance, params)
        return state, (reward, info)

    return jax.lax.scan(week, env.initial((), params), draw(env.step_chance, key, (52,)))


def test_static_prices_are_the_closed_form():
    params = catalogue(linked=False)
    params = replace(
        params,
        elasticity=jnp.full(10, -2.0).at[0].set(-3.0).at[1].set(-1.2),
        base_price=2.0 * params.cost,
    )
    static = ENV.benchmarks(params)["static_prices"] / np.asarray(params.cost)
    np.testing.assert_allclose(static[0], 1.5, rtol=1e-6)
    np.testing.assert_allclose(static[2:], 2.0, rtol=1e-6)
    np.testing.assert_allclose(static[1], 5.0, rtol=1e-6, err_msg="6 is above the ceiling of 2.5 base prices")


@pytest.mark.parametrize("linked", [False, True])
def test_no_optimiser_finds_a_better_joint_price(linked):
    """From many starts; without cross effects the joint optimum is the static one."""
    params = catalogue(linked)
    low, high = price_bounds(params)
    starts = np.random.default_rng(0).uniform(np.log(low), np.log(high), (10, 10))

    profits = profit_function(params)

    def loss(logs):
        return -profits(np.exp(logs)).sum() / 100

    def slope(logs):
        moved = logs + 1e-5 * np.concatenate([np.eye(10), -np.eye(10)])
        up, down = np.split(profits(np.exp(moved)).sum(axis=1), 2)
        return -(up - down) / 2e-5 / 100

    bounds = list(zip(np.log(low), np.log(high), strict=True))
    best = min(
        (minimize(loss, x, jac=slope, method="L-BFGS-B", bounds=bounds) for x in starts), key=lambda found: found.fun
    )
    mine = known(linked)
    assert mine["joint_profit"] >= -100 * best.fun * (1 - 1e-6)
    assert mine["joint_profit"] <= -100 * best.fun * (1 + 1e-4)
    if not linked:
        np.testing.assert_allclose(mine["joint_prices"], mine["static_prices"], rtol=1e-5)


def test_static_prices_are_a_nash_equilibrium_of_independent_firms_whatever_others_do():
    params = catalogue()
    low, high = price_bounds(params)
    rng = np.random.default_rng(1)
    for others in (known()["nash_prices"], rng.uniform(low, high), rng.uniform(low, high)):
        for i in (0, 4, 7):
            trials = np.linspace(low[i], high[i], 2001)
            prices = np.repeat(others[None], len(trials), axis=0)
            prices[:, i] = trials
            earned = weekly_profits(prices, params)[:, i]
            step = trials[1] - trials[0]
            assert abs(trials[int(np.argmax(earned))] - known()["nash_prices"][i]) <= step


def test_substitutes_are_dearer_under_one_owner_and_complements_cheaper():
    params = catalogue()
    for sign in (1.0, -1.0):
        cross = sign * 0.1 * jnp.sign(jnp.abs(params.cross))
        changed = replace(params, cross=cross, elasticity=jnp.full(10, -2.5), base_price=2 * params.cost)
        nash, joint = (ENV.benchmarks(changed)[name] for name in ("nash_prices", "joint_prices"))
        linked = np.asarray(changed.linked).any(axis=1)
        assert linked.any()
        assert (sign * (joint - nash))[linked].min() > 1e-4
        np.testing.assert_allclose(joint[~linked], nash[~linked], rtol=1e-5)
    assert known()["joint_profit"] > known()["nash_profit"]


def test_only_the_bounds_keep_the_joint_profit_of_substitutes_finite():
    """The condition `|ε| > 1 + Σ γ` bounds profits when all prices rise, not when a single one does."""
    params = catalogue()
    i = int(np.argmax(np.where(cross_matrix(params) > 0, 1, 0).sum(axis=0)))
    assert (np.abs(params.elasticity) > 1 + np.maximum(params.cross, 0).sum(axis=1)).all()
    totals = []
    for factor in (1e2, 1e6, 1e12):
        prices = known()["nash_prices"].copy()
        prices[i] *= factor
        totals.append(weekly_profits(prices, params).sum())
    assert totals[2] > totals[1] > totals[0]
    assert totals[2] > 2 * known()["joint_profit"]


def test_a_policy_reaches_the_static_optimum_from_what_it_sees():
    """Without cross effects, noise and penalties the last weeks' profit is the static one to a thousandth."""
    params, policy = catalogue(linked=False), known(False)["policy"]

    def week(state, _):
        action = jax.vmap(lambda obs: policy.act(params, (), obs, ())[0])(ENV.observe(state, params))
        state, reward, _, info = ENV.transition(state, action, jnp.zeros((1, 10)), params)
        return state, (reward, info)

    _, (reward, info) = jax.jit(lambda: jax.lax.scan(week, ENV.initial((), params), length=104))()
    last = np.asarray(info["profit"])[52:].sum(axis=1).mean()  # all seasons once
    np.testing.assert_allclose(last, known(False)["static_profit"], rtol=1e-3)
    np.testing.assert_allclose(info["prices"][-1], known(False)["static_prices"], rtol=0.011)
    scale = float((params.base_demand * params.base_price).sum())
    np.testing.assert_allclose(reward[:, 0], np.asarray(info["profit"]).sum(axis=1) / scale, rtol=1e-5)


@pytest.mark.parametrize("name", ["static", "joint"])
def test_expected_profits_are_what_a_year_of_noise_and_counts_earns(name):
    env, params = replace(ENV, poisson=True), catalogue(noise=0.1)
    target = jnp.asarray(known()[f"{name}_prices"], jnp.float32)
    params = replace(params, base_price=target, base_demand=params.base_demand * 1.0)  # no way to go, then

    def played(key):
        return year(env, target, params, key)[1][1]["profit"].sum(axis=1)

    profits = np.asarray(jax.vmap(played)(jax.random.split(jax.random.key(0), 64))).mean(axis=1)
    expected = weekly_profits(np.asarray(target), params).sum()
    error = profits.std() / 8
    assert abs(profits.mean() - expected) < 4 * error
    assert error < 2e-3 * expected, "the test has teeth"


def test_demand_is_the_equation_of_the_paper():
    params, noise = catalogue(noise=0.1), np.random.default_rng(2).normal(size=10)
    x = np.random.default_rng(3).normal(size=10) / 5
    got = ENV.demand(jnp.asarray(x, jnp.float32), jnp.asarray(7), jnp.asarray(noise, jnp.float32), params)
    logs = np.log(params.base_demand) + np.asarray(params.elasticity) * x + cross_matrix(params) @ x
    logs += 0.2 * np.sin(2 * np.pi * (7 + np.asarray(params.phase)) / 52) + 0.1 * noise
    np.testing.assert_allclose(got, np.exp(logs), rtol=1e-5)
    clipped = ENV.demand(jnp.full(10, -50.0), jnp.asarray(0), jnp.zeros(10), params)
    np.testing.assert_allclose(clipped.max(), np.exp(10.0), rtol=1e-5)


def test_prices_stay_between_floor_and_ceiling():
    params = catalogue()
    for target, bound in ((1e-3, 0), (1e6, 1)):
        _, (_, info) = year(ENV, jnp.full(10, target), params, jax.random.key(0))
        np.testing.assert_allclose(info["prices"][-1], price_bounds(params)[bound], rtol=1e-5)


def test_jain_is_one_for_equals_and_a_share_for_one_alone():
    np.testing.assert_allclose(jain_index(jnp.full(8, 0.3)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(jain_index(jnp.eye(8)[2]), 1 / 8, rtol=1e-6)
    np.testing.assert_allclose(jain_index(jnp.zeros(8)), 1.0)
    np.testing.assert_allclose(jain_index(jnp.asarray([1.0, 2.0, 3.0])), 36 / 42, rtol=1e-6)


def test_rewards_of_the_team_and_of_each_product():
    """The mean over agents is the same; penalties are the stated ones."""
    params = replace(catalogue(), volatility_weight=jnp.asarray(0.1), fairness_weight=jnp.asarray(0.05))
    action, still = jnp.arange(10) % 7, jnp.zeros((1, 10))
    own = replace(ENV, goal="own")
    _, team_reward, _, info = ENV.transition(ENV.initial((), params), action, still, params)
    _, own_reward, _, _ = own.transition(own.initial((), params), action, still, params)
    profit = np.asarray(info["profit"])
    scale = float((params.base_demand * params.base_price).sum())
    moved = np.abs(np.log1p(np.array([-0.1, -0.05, -0.02, 0, 0.02, 0.05, 0.1])))[np.arange(10) % 7]
    expected = profit.sum() / scale - 0.1 * moved.mean() - 0.05 * (1 - float(info["jain"]))
    np.testing.assert_allclose(team_reward, expected, rtol=1e-4)
    np.testing.assert_allclose(own_reward.mean(), expected, rtol=1e-4)
    np.testing.assert_allclose(info["volatility"], moved.mean(), rtol=1e-5)
    np.testing.assert_allclose(info["jain"], jain_index(jnp.asarray(profit) / ENV._static_profits(params)), rtol=1e-5)
    assert np.ptp(own_reward) > 0.1


def test_continuous_actions_change_prices_by_up_to_a_tenth():
    env, params = replace(ENV, actions="continuous"), catalogue()
    action = jnp.linspace(-2, 2, 10)[:, None]
    _, _, _, info = env.transition(env.initial((), params), action, jnp.zeros((1, 10)), params)
    low, high = price_bounds(params)
    expected = np.clip(np.asarray(params.base_price) * (1 + 0.1 * np.clip(np.linspace(-2, 2, 10), -1, 1)), low, high)
    np.testing.assert_allclose(info["prices"], expected, rtol=1e-5)
    state = env.initial((), params)
    back = env.towards(state, info["prices"], params)
    np.testing.assert_allclose(
        back[:, 0], np.asarray(info["prices"]) / np.asarray(params.base_price) * 10 - 10, atol=1e-4
    )


@pytest.mark.parametrize("rate", [1e-4, 0.3, 4.0, 9.9, 10.1, 40.0, 700.0, 22026.0])
def test_counts_are_poisson_quantiles(rate):
    """Of the probability of the normal draw; above 10, all but few, and moments are those of the distribution."""
    normal = np.linspace(-4.0, 4.0, 4001)
    got = np.asarray(jax.jit(poisson_count)(jnp.full(4001, rate, jnp.float32), jnp.asarray(normal, jnp.float32)))
    from scipy.special import ndtr

    wanted = poisson.ppf(ndtr(normal), rate)
    assert np.abs(got - wanted).max() <= 1
    weights = np.exp(-(normal**2) / 2)
    assert ((got != wanted) * weights).sum() / weights.sum() < 0.02
    np.testing.assert_allclose((got * weights).sum() / weights.sum(), rate, rtol=3e-3, atol=2e-3)


def test_catalogues_keep_their_promises():
    for num, seed in ((10, 0), (50, 1), (100, 2)):
        params = synthetic_catalogue(num, seed=seed)
        RetailGraph(num_agents=num).validate(params)
        linked = cross_matrix(replace(params, cross=params.linked.astype(float))) > 0
        assert (linked == linked.T).all()
        assert not linked.diagonal().any()
        assert linked.sum(axis=1).max() <= 8
        gained = np.maximum(cross_matrix(params), 0).sum(axis=1)
        assert (gained < np.abs(params.elasticity) - 1).all()
    same = jax.tree.leaves(synthetic_catalogue(10)), jax.tree.leaves(synthetic_catalogue(10))
    assert all((a == b).all() for a, b in zip(*same, strict=True))


HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"


def transactions(path):
    """Ten weeks of three products: A's elasticity is -2, B is always bought with A, C never; and lines to drop."""
    lines = []
    for week in range(10):
        date = f"2010-{1 + (7 * week) // 28:02d}-{1 + (7 * week) % 28:02d} 08:26:00"
        price = 2.0 if week % 2 else 4.0
        lines.append(f"{100 + week},A,lamp,{1600 / price**2:g},{date},{price},1,UK")
        lines.append(f"{100 + week},B,bulb,10,{date},3.0,1,UK")
        lines.append(f"{200 + week},C,cup,5,{date},2.0,1,UK")
        lines.append(f"C{300 + week},A,lamp,-1000,{date},4.0,1,UK")
        lines.append(f"{400 + week},A,lamp,7,{date},0.0,1,UK")
        lines.append(f"{500 + week},D,rare,1,{date},0.1,1,UK")
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


def test_a_catalogue_from_transactions(tmp_path):
    params = read_online_retail(transactions(tmp_path / "sales.csv"), num_products=3, num_neighbours=2)
    RetailGraph(num_agents=3, num_neighbours=2).validate(params)
    np.testing.assert_allclose(params.base_demand, [250.0, 10.0, 5.0], rtol=1e-6)
    np.testing.assert_allclose(params.base_price, [6000 / 2500, 3.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(params.elasticity, [-2.0, -2.0, -2.0], rtol=1e-5)
    np.testing.assert_allclose(params.cost, np.asarray(params.base_price) / 1.5, rtol=1e-6)
    np.testing.assert_allclose(cross_matrix(params), [[0, -0.1, 0], [-0.1, 0, 0], [0, 0, 0]], atol=1e-7)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", "path must be a file with the column Invoice"),
        (HEADER + "1,A,x,two,2010-01-01 08:00:00,1.0,1,UK\n", "path must be a file of numbers, got 'two'"),
        (HEADER + "1,A,x,2,yesterday,1.0,1,UK\n", "path must be a file of dates"),
        (HEADER + "1,A\n", "path must be a file of 8 columns, got '2 in line 2'"),
        (HEADER + "1,A,x,2,2010-01-01 08:00:00,1.0,1,UK\n", "a file that has 20 of them"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match="must be") as error:
        read_online_retail(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RetailGraph(num_agents=0), "num_agents must be an integer >= 1, got 0"),
        (lambda: RetailGraph(goal="teem"), "did you mean 'team'?"),
        (lambda: RetailGraph(actions="box"), "actions must be one of discrete, continuous"),
        (lambda: ENV.validate(replace(catalogue(), cost=-jnp.ones(10))), "cost must be positive"),
        (lambda: ENV.validate(replace(catalogue(), elasticity=jnp.full(10, -1.0))), "elasticity must be below -1"),
        (lambda: ENV.validate(synthetic_catalogue(5)), "cost must be of 10 products"),
        (lambda: synthetic_catalogue(0), "num_products must be an integer >= 1"),
    ],
)
def test_wrong_numbers_are_refused(make, words):
    with pytest.raises(ValueError, match="must be") as error:
        make()
    assert words in str(error.value)


def test_joint_prices_satisfy_the_first_order_conditions():
    """Inside the bounds the slope is 0, at a bound it points outwards."""
    params, prices = catalogue(), joint_prices(catalogue())
    low, high = price_bounds(params)
    for i in range(10):
        step = np.eye(10)[i] * 1e-4
        up, down = (weekly_profits(prices * np.exp(sign * step), params).sum() for sign in (1, -1))
        slope = (up - down) / 2e-4 / known()["joint_profit"]
        if low[i] * 1.0001 < prices[i] < high[i] * 0.9999:
            assert abs(slope) < 1e-5
        else:
            assert slope * (1 if prices[i] >= high[i] * 0.9999 else -1) > -1e-5

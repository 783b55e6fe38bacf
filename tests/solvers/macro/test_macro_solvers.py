"""The law of motion of Krusell and Smith, and structural learning with prices as states."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.macro import asset_grid, huggett_1993, krusell_smith_1998, stationary_law
from jaxmarl.solvers.macro import (
    BondMarket,
    CapitalMarket,
    Crowd,
    iterate_rule,
    krusell_smith_forecast,
    simulate_crowd,
    structural_policy_gradient,
)

PUBLISHED = np.array([[0.085, 0.965], [0.095, 0.962]])  # bad times, good times


@functools.cache
def classic():
    grid, capital = (jnp.asarray(x, float) for x in (asset_grid(0.0, 150.0, 80), np.linspace(9.5, 13.5, 4)))
    solve = jax.jit(functools.partial(krusell_smith_forecast, num_periods=600, num_rounds=20, num_steps=30))
    return solve(krusell_smith_1998(), grid, capital, jax.random.key(0))


def test_the_law_of_motion_is_near_the_published_one():
    found = classic()
    for capital in (11.0, 11.6, 12.2):
        mine, theirs = (
            np.exp(rule[:, 0] + rule[:, 1] * np.log(capital)) for rule in (np.asarray(found.rule), PUBLISHED)
        )
        np.testing.assert_allclose(mine, theirs, rtol=2e-3)
    assert np.all(found.r_squared > 0.9999)
    assert np.all(found.error < 3e-4)
    assert float(found.drift) < 0.02
    assert float(found.change) < 1e-4
    assert float(found.mass.sum()) == pytest.approx(1, abs=1e-5)
    assert float(found.mass[0].sum()) == pytest.approx((0.10, 0.04)[int(found.productivity[-1])], abs=1e-5)


def test_a_rule_is_iterated():
    rule, path = jnp.asarray(PUBLISHED, float), jnp.array([1, 0, 0])
    found = iterate_rule(rule, jnp.asarray(11.0), path)
    after = np.exp(0.095 + 0.962 * np.log(11.0))
    np.testing.assert_allclose(found, [11.0, after, np.exp(0.085 + 0.965 * np.log(after))], rtol=1e-5)


@pytest.mark.slow
def test_the_law_of_motion_at_full_length():
    """Eleven thousand periods in float64, as published: `.095 + .962 ln K` and `.085 + .965 ln K`, R² .999998."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), krusell_smith_1998())
        grid, capital = (jnp.asarray(x) for x in (asset_grid(0.0, 250.0, 250), np.linspace(9.0, 14.5, 12)))
        solve = jax.jit(functools.partial(krusell_smith_forecast, num_periods=11_000, burn_in=1000, num_rounds=30))
        found = solve(params, grid, capital, jax.random.key(1))
    np.testing.assert_allclose(found.rule[:, 1], PUBLISHED[:, 1], atol=2e-3)
    np.testing.assert_allclose(found.rule[:, 0], PUBLISHED[:, 0], atol=5e-3)
    assert np.all(found.r_squared > 0.99999)
    assert float(found.drift) < 0.01


def capital_market(size: int):
    env, params = make("krusell_smith", num_productivities=1)
    grid, rates = (jnp.asarray(x, float) for x in (asset_grid(0.0, 40.0, size), np.linspace(0.02, 0.07, 8)))
    law = jnp.asarray(stationary_law(np.asarray(params.individual[0, 0])), float)
    mass = law[:, None] * (jnp.arange(size) == int(np.searchsorted(grid, 5.3)))
    return env, params, CapitalMarket(params, grid, rates), Crowd(mass, jnp.asarray(0.04, float))


def utility_at_given_rates(params, grid, rates, share, mass, path):
    """Lifetime utility of the same share in all states, in plain NumPy, where rates do not answer to it."""
    income, who = np.asarray(params.endowments)[:, None], np.asarray(params.individual)[0, 0]
    total = 0.0
    for t, rate in enumerate(path):
        wage = 0.64 * ((rate + 0.08) / 0.36) ** (0.36 / (0.36 - 1))
        cash = (1 + rate) * grid + wage * income
        bought = share * (cash - 1e-3)
        total += 0.95**t * float((mass * ((cash - bought) ** -2 - 1) / -2).sum())
        moved = np.zeros_like(mass)
        for (e, i), amount in np.ndenumerate(bought):
            low = int(np.clip(np.searchsorted(grid, amount, side="right") - 1, 0, len(grid) - 2))
            upper = np.clip((amount - grid[low]) / (grid[low + 1] - grid[low]), 0, 1)
            moved[e, low] += mass[e, i] * (1 - upper)
            moved[e, low + 1] += mass[e, i] * upper
        mass = who.T @ moved
    return total


def test_prices_are_given_to_a_household():
    """The slope of lifetime utility is that of a household whose own saving moves no price."""
    with jax.enable_x64(True):
        _, params, market, start = capital_market(12)
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
        grid, rates = (jnp.asarray(x, jnp.float64) for x in (market.grid, market.rates))
        market = CapitalMarket(params, grid, rates)
        start = Crowd(*(jnp.asarray(x, jnp.float64) for x in start))
        path, weights = jnp.zeros(13, jnp.int32), params.discount ** jnp.arange(12)

        @jax.jit
        def lifetime(share):
            shares = jnp.full((1, 8, 3, 12), share)
            value, _, (seen, _) = simulate_crowd(market, grid, shares, start, path, weights)
            return value, seen

        share, step = jnp.asarray(0.8), 1e-5
        slope, seen = (
            float(x) if i == 0 else np.asarray(x) for i, x in enumerate(jax.grad(lifetime, has_aux=True)(share))
        )
        whole = float(lifetime(share + step)[0] - lifetime(share - step)[0]) / (2 * step)
        value = float(lifetime(share)[0])
    given = functools.partial(utility_at_given_rates, params, np.asarray(grid), np.asarray(rates))
    mass = np.asarray(start.mass)
    assert given(0.8, mass, seen) == pytest.approx(value, rel=1e-6)
    alone = (given(0.8 + step, mass, seen) - given(0.8 - step, mass, seen)) / (2 * step)
    assert slope == pytest.approx(alone, rel=1e-5)
    assert abs(whole - alone) > 1e-3 * abs(alone)  # if all save more, prices change, and with them utility


@pytest.mark.slow
def test_structural_learning_finds_the_stationary_rate_of_capital():
    _, _, market, start = capital_market(80)
    options = {"num_updates": 600, "num_paths": 1, "learning_rate": 0.1}
    found = jax.jit(functools.partial(structural_policy_gradient, market, **options))(start, jax.random.key(0))
    assert float(found.path_rates[-1, 0]) == pytest.approx(0.04383, abs=5e-4)  # 90 periods are not all
    assert float(found.crowd.mass.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_structural_learning_finds_the_stationary_rate_of_bonds():
    """From schedules that hardly rise in the rate; the market clears while they are learned."""
    _, params = make("huggett", num_productivities=1)
    grid = jnp.asarray(asset_grid(-1.0, 20.0, 80), float)
    mass = params.income_law[:, None] * (jnp.arange(80) == int(np.searchsorted(grid, 0.0)))
    start = Crowd(mass, jnp.asarray(0.02, float))
    options = {"num_updates": 600, "num_paths": 1, "num_periods": 170, "initial_share": 0.5, "initial_tilt": 0.1}
    learn = functools.partial(structural_policy_gradient, BondMarket(params, grid), **options)
    found = jax.jit(learn)(start, jax.random.key(0))
    assert float(found.path_rates[-1, 0]) == pytest.approx(0.014325, abs=1e-3)
    assert float(found.path_assets[-1, 0]) == pytest.approx(0, abs=1e-3)


def test_options_are_checked():
    _, _, market, start = capital_market(12)
    with pytest.raises(ValueError, match="initial_share must be in"):
        structural_policy_gradient(market, start, jax.random.key(0), initial_share=1.0)
    with pytest.raises(ValueError, match="damping must be in"):
        krusell_smith_forecast(krusell_smith_1998(), market.grid, market.rates, jax.random.key(0), damping=0.0)
    assert huggett_1993()[1].transition.sum() == pytest.approx(2)

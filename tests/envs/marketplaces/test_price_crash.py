"""The price crash: income flows, ruin by undercutting, survival of stabilisers, and one-day Nash prices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxmarl
from jaxmarl.core.matches import play_steps
from jaxmarl.core.seating import Player, Seating
from jaxmarl.envs.arrivals import capped_poisson, capped_poisson_mean
from jaxmarl.envs.marketplaces import PriceCrash, fixed_markup, stabiliser, undercutter
from jaxmarl.envs.marketplaces.price_crash import ces_spending, ces_utility, polled_firms

MATCHES = 4  # of each mix of firms
MIXES = {"markups": (1, 1, 1, 1, 1), "undercutters": (0, 0, 0, 0, 0), "stabilisers": (2, 0, 2, 0, 0)}
SHOCK_STEP = 100


@pytest.fixture(scope="module")
def plays():
    """Totals, final states and info of each mix, without a shock of the unit cost and with one, all in one program."""
    env = PriceCrash()
    players = tuple(Player(make(env)) for make in (undercutter, fixed_markup, stabiliser))
    seating = Seating(env, players, np.repeat(np.array(list(MIXES.values())), MATCHES, axis=0))
    one = jnp.ones(())
    params = env.default_params.replace(lowest_cost=one, highest_cost=one, shock_step=jnp.array(SHOCK_STEP))
    both = jax.tree.map(lambda x: jnp.stack([x, x]), params).replace(shock=jnp.array([1.0, 2.0]))
    run = jax.jit(
        lambda p: play_steps(
            seating, seating.params, jax.random.key(0), p, env.num_steps, lambda matches, reward, info: info
        )
    )
    matches, info = jax.tree.map(np.asarray, jax.vmap(run)(both))
    total, state = matches.returns, matches.states
    found = {}
    for i, name in enumerate(MIXES):
        rows = slice(i * MATCHES, (i + 1) * MATCHES)
        for shock in (False, True):
            kept = {field: x[int(shock), :, rows] for field, x in info.items()}
            last = jax.tree.map(lambda x, at=(int(shock), rows): x[at], state)
            found[name, shock] = total[int(shock), rows], last, kept
    return env, params, found


def test_the_reward_is_the_change_in_cash(plays):
    _, params, found = plays
    for total, state, _ in found.values():
        np.testing.assert_allclose(total, state.cash - float(params.cash), rtol=1e-4, atol=0.02)
        assert min(state.cash.min(), state.stock.min()) >= 0


def test_fixed_markups_share_the_income(plays):
    env, params, found = plays
    _, state, info = found["markups", False]
    assert state.alive.all()
    income = float(params.income) * info["arrivals"]
    np.testing.assert_allclose(info["revenue"].sum(-1), income, rtol=1e-5, err_msg="income is spent whatever the price")
    np.testing.assert_allclose(info["prices"], 1.5, rtol=1e-5)
    known = env.benchmarks(params)
    profit = (info["revenue"] - info["sold"]).sum(-1)
    error = profit.std() / np.sqrt(profit.size)
    assert abs(profit.mean() - known["income_flow"] / 3) < 4 * error
    # of every polled set, income over the price index
    np.testing.assert_allclose(info["utility"], income / 1.5 * 3 ** (1 / 4), rtol=1e-4)
    np.testing.assert_allclose(info["utility"], info["best_utility"] / 1.5, rtol=1e-4)


def test_fixed_markups_follow_a_shock(plays):
    _, _, found = plays
    _, state, info = found["markups", True]
    np.testing.assert_allclose(info["unit_cost"][[SHOCK_STEP - 1, SHOCK_STEP], 0], [1.0, 2.0])
    assert state.alive.all()
    np.testing.assert_allclose(info["prices"][SHOCK_STEP + 10 :], 3.0, rtol=0.011, err_msg="half of the finest step")


def test_undercutters_ruin_themselves(plays):
    _, params, found = plays
    _, state, info = found["undercutters", False]
    assert not state.alive.any()
    alive, prices = info["alive"], info["prices"]
    day = int((prices <= 1.0).all((1, 2)).argmax())
    assert 0 < day < 30, "ln 1.5 / 0.02 = 21 days"
    # from there on nobody earns on a sale, and every day in business costs the overhead
    wealth = params.cash + np.sum(info["revenue"][:day] - info["sold"][:day], axis=0)  # more than anyone has left
    bound = day + np.max(np.asarray(wealth)) / float(params.overhead)
    lifetime = alive.sum(0)
    assert lifetime.max() <= bound
    assert lifetime.max() <= day + 250, "with what the first days brought taxed away"
    ruined = ~alive
    assert (info["revenue"][1:][ruined[:-1]] == 0).all(), "who is out of business stays out"


@pytest.mark.parametrize("shock", [False, True])
def test_stabilisers_survive(plays, shock):
    _, _, found = plays
    _, state, info = found["stabilisers", shock]
    np.testing.assert_array_equal(state.alive, np.tile([True, False, True, False, False], (MATCHES, 1)))
    floor = 1.25 * info["unit_cost"][:, :, None]
    calm = info["unit_cost"][:, 0] == np.roll(info["unit_cost"][:, 0], 10)  # not just after the shock
    assert (info["prices"][calm][:, :, [0, 2]] >= floor[calm] * np.exp(-0.011)).all()


def test_one_day_nash_prices():
    """No other price earns more, where the others play the benchmark's and a consumer asks random firms."""
    env, params = jaxmarl.make("price_crash", num_polled=3)
    known = env.benchmarks(params)
    asked = jnp.asarray([[True, *(i in pair for i in range(4))] for pair in itertools.combinations(range(4), 2)])
    price = 1 + known["nash_markup"]

    @jax.jit
    @jax.vmap
    def profit(own):
        logs = jnp.log(jnp.stack([own, *[jnp.asarray(price, jnp.float32)] * 4]))
        return jnp.mean(ces_spending(logs, asked, params.elasticity)[:, 0]) * (1 - 1 / own)

    grid = price * np.linspace(0.8, 1.25, 181)
    earned = np.asarray(profit(jnp.asarray(grid, jnp.float32)))
    assert abs(grid[earned.argmax()] / price - 1) < 0.01
    # a firm is asked by a share m / N of those who arrive
    np.testing.assert_allclose(earned.max() * known["income_flow"] * 3 / 5, known["nash_profit"], rtol=1e-4)
    assert PriceCrash(num_polled=5).benchmarks(params)["nash_markup"] == pytest.approx(1 / 3.2)
    assert PriceCrash(num_polled=1).benchmarks(params)["nash_markup"] == np.inf


def test_ces_demand():
    rng = np.random.default_rng(0)
    price, sigma = rng.uniform(0.5, 2.0, 4), 3.5
    asked = np.array([[True, True, False, True], [False, False, True, False], [False] * 4])
    share = np.asarray(jax.jit(ces_spending)(np.log(price), asked, sigma))
    power = np.where(asked, price ** (1 - sigma), 0.0)
    np.testing.assert_allclose(share[:2], power[:2] / power[:2].sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(share[2], 0.0)
    index = power.sum(1)[:2] ** (1 / (1 - sigma))
    utility = jax.jit(ces_utility)(10 * share / price, sigma)
    np.testing.assert_allclose(utility, [*(10 / index), 0.0], rtol=1e-4)


def test_polls_are_fair():
    alive = np.array([True, False, True, True, True])
    ask = jax.jit(polled_firms, static_argnums=2)
    polled = np.asarray(ask(np.random.default_rng(1).random((8000, 5)), alive, 2))
    np.testing.assert_array_equal(polled.sum(1), 2)
    np.testing.assert_allclose(polled.mean(0), alive / 2, atol=4 * 0.5 / np.sqrt(8000))
    few = np.array([True, False, False, False, False])
    assert (np.asarray(ask(np.random.default_rng(2).random((8000, 5)), few, 2)).sum(1) == 1).all()


def test_capped_poisson():
    unit = (np.arange(4000) + 0.5) / 4000
    draw = jax.jit(jax.vmap(lambda u, rate: capped_poisson(u, rate, 40), (0, None)))
    drawn = np.asarray(draw(unit, 30.0))
    expected = np.minimum(stats.poisson(30).ppf(unit), 40)
    assert (drawn != expected).mean() < 1e-3, "up to rounding of the distribution function"
    count = np.arange(200)
    mean = np.sum(stats.poisson(30).pmf(count) * np.minimum(count, 40))
    np.testing.assert_allclose(jax.jit(capped_poisson_mean, static_argnums=1)(30.0, 40), mean, rtol=1e-5)
    assert np.asarray(draw(unit, 0.0)).max() == 0


def test_bad_input_is_named():
    env, params = jaxmarl.make("price_crash")
    with pytest.raises(ValueError, match="num_polled"):
        PriceCrash(num_polled=6)
    with pytest.raises(ValueError, match="price_steps"):
        PriceCrash(price_steps=(-0.1, 0.1))
    with pytest.raises(ValueError, match="supply_levels"):
        PriceCrash(supply_levels=(1.0, 2.0))
    with pytest.raises(ValueError, match="elasticity"):
        env.validate(params.replace(elasticity=jnp.array(1.0)))
    with pytest.raises(ValueError, match="highest_cost"):
        env.validate(params.replace(highest_cost=jnp.array(0.1)))
    with pytest.raises(ValueError, match="discount"):
        undercutter(env, discount=0.0)
    with pytest.raises(ValueError, match="supply_level"):
        fixed_markup(env, supply_level=7)

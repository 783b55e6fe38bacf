"""Households: chains of shocks, exact stationary equilibria, and the environments of Krusell and Smith, and Huggett."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.macro import (
    Households,
    Production,
    asset_grid,
    best_saving,
    complete_markets,
    crra_inverse,
    crra_utility,
    employment_shocks,
    histogram_gini,
    huggett_1993,
    income_chain,
    krusell_smith_1998,
    lottery,
    move_mass,
    solve_stationary,
    stationary_law,
    stationary_mass,
    tauchen,
)
from jaxmarl.envs.macro.huggett import clearing

BARE = np.array([0.073314, 0.853372, 0.073314])


def wide(x):
    return jnp.asarray(x, jnp.float64)


def households(discount, aversion) -> Households:
    return Households(wide(discount), wide(aversion), *map(wide, income_chain()))


@functools.cache
def capital_economy():
    """The yearly economy with β = .95 and σ = 3, a grid of assets, and the equilibrium without aggregate shocks."""
    env, params = make("krusell_smith", num_households=4000, num_productivities=1)
    return env, params, env.asset_grid(params), env.stationary(params)


def test_incomes_of_tauchen():
    chain = tauchen(0.6, 0.2, 3)
    np.testing.assert_allclose(chain.values, [-0.75, 0, 0.75])
    np.testing.assert_allclose(chain.transition[0], [0.646170, 0.353812, 0.000019], atol=5e-7)
    np.testing.assert_allclose(chain.transition[1], [0.030396, 0.939207, 0.030396], atol=5e-7)
    np.testing.assert_allclose(stationary_law(chain.transition), BARE, atol=5e-7)
    np.testing.assert_allclose(income_chain().values, [0.452802, 0.958581, 2.029316], atol=5e-7)
    fine = tauchen(0.9, 0.03, 30)
    law = stationary_law(fine.transition)
    assert (law @ fine.values**2) ** 0.5 == pytest.approx(0.03 / (1 - 0.81) ** 0.5, rel=0.02)


def test_employment_follows_productivity():
    """Idle are 10 % in bad times and 4 % in good ones, at once after they change, and for the spells of the paper."""
    shocks = employment_shocks()
    for now, rate in enumerate((0.10, 0.04)):
        for after, following in enumerate((0.10, 0.04)):
            moved = np.array([rate, 1 - rate]) @ shocks.individual[now, after]
            np.testing.assert_allclose(moved, [following, 1 - following], atol=1e-12)
    np.testing.assert_allclose(1 / (1 - shocks.individual[[0, 1], [0, 1], 0, 0]), [2.5, 1.5])
    np.testing.assert_allclose(1 / (1 - np.diag(shocks.aggregate)), [8, 8])
    assert (shocks.individual >= 0).all()


def test_utility_and_its_inverse():
    consumption = jnp.array([0.1, 1.0, 7.0])
    for aversion in (0.0, 0.5, 1.0, 3.0):
        utility = crra_utility(consumption, jnp.asarray(aversion))
        wanted = np.log(consumption) if aversion == 1 else (consumption ** (1 - aversion) - 1) / (1 - aversion)
        np.testing.assert_allclose(utility, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(crra_inverse(utility, jnp.asarray(aversion)), consumption, rtol=1e-4)
    assert np.isfinite(float(crra_utility(jnp.asarray(1e-3), jnp.asarray(3.0))))


def check_capital_economy(found, grid, firms, who):
    """The fifth digit of a rate depends on the grid: with 2000 points it is .043833."""
    assert float(found.rate) == pytest.approx(0.043821, abs=1.5e-5)
    assert float(found.rate) == pytest.approx(0.043833, abs=1.5e-5)
    assert float(found.assets) == pytest.approx(5.299462, abs=1.5e-3)
    assert float(found.wage) == pytest.approx(1.166550, abs=1e-4)
    assert float(found.assets) ** 0.36 == pytest.approx(1.822735, abs=2e-4)
    assert float(histogram_gini(grid, found.mass)) == pytest.approx(0.417, abs=5e-4)
    assert float(found.mass[:, 0].sum()) == pytest.approx(0.0022, abs=1e-4)
    rate, capital = complete_markets(who, firms)
    assert float(rate) == pytest.approx(0.052632, abs=1e-6)
    assert float(capital) == pytest.approx(4.759779, abs=5e-6)


def test_the_capital_economy_without_aggregate_shocks():
    _, params, grid, found = capital_economy()
    check_capital_economy(found, grid, params.production, params.steady)
    assert float(found.excess) == pytest.approx(0, abs=5e-4)


@pytest.mark.slow
def test_the_capital_economy_in_double_precision():
    with jax.enable_x64(True):
        grid, firms, who = wide(asset_grid(0.0, 50.0, 500)), Production(wide(0.36), wide(0.08)), households(0.95, 3.0)
        found = solve_stationary(who, grid, (wide(0.02), wide(0.052)), firms, tolerance=1e-9)
        check_capital_economy(found, grid, firms, who)
        assert float(found.excess) == pytest.approx(0, abs=1e-5)


def test_invariants_of_the_equilibrium():
    _, _, _, found = capital_economy()
    assert float(found.mass.sum()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found.mass.sum(axis=1), BARE, atol=2e-6)
    np.testing.assert_array_less(0, found.consumption)
    # what is earned is consumed or replaces worn capital
    spent = float((found.mass * found.consumption).sum()) + 0.08 * float(found.assets)
    assert spent == pytest.approx(float(found.assets) ** 0.36, rel=1e-5)
    # and what is bought is what is held
    assert float((found.mass * found.savings).sum()) == pytest.approx(float(found.assets), rel=1e-5)


def test_euler_equations_hold_between_the_points_of_the_grid():
    """Equality where something is saved, at most equality at the limit, at the grid's points."""
    _, _, grid, found = capital_economy()
    who = np.asarray(income_chain().transition)
    points, savings, consumption = (np.asarray(x) for x in (grid, found.savings, found.consumption))
    after = np.stack([[np.interp(savings[e], points, consumption[f]) for f in range(3)] for e in range(3)])
    expected = 0.95 * (1 + float(found.rate)) * np.einsum("ef,efn->en", who, after**-3.0)
    gap = expected ** (-1 / 3) / consumption - 1
    inside = (savings > 1e-6) & (points < 30)
    assert np.abs(gap[inside]).max() < 5e-3
    assert (gap[savings <= 1e-6] > -1e-5).all()


@pytest.mark.slow
def test_bonds_in_double_precision():
    with jax.enable_x64(True):
        grid = wide(asset_grid(-1.0, 30.0, 500))
        found = solve_stationary(households(0.96, 2.0), grid, (wide(-0.02), wide(0.041)), tolerance=1e-9)
        shares = found.mass.sum(axis=0)
        spread = float((shares @ grid**2 - (shares @ grid) ** 2) ** 0.5)
    assert float(found.rate) == pytest.approx(0.014325, abs=1e-6)
    assert float(shares[0]) == pytest.approx(0.0243, abs=1e-4)
    assert spread == pytest.approx(1.2761, abs=3e-4)
    assert float(found.assets) == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "price", "yearly"),
    [
        (-2, 1.012787, -7.34),
        (-4, 0.998006, 1.20),
        (-6, 0.995031, 3.03),
        (-8, 0.994095, 3.62),
    ],
)
def test_bonds_of_huggett(limit, price, yearly):
    """His economy of 1993, six periods a year. The published prices, 1.0124, .9962, .9944 and .9935, are not found."""
    with jax.enable_x64(True):
        who, _ = huggett_1993()
        who = jax.tree.map(wide, who)
        grid = wide(asset_grid(float(limit), 20.0, 500, 1.5))
        bounds = wide(-0.03), wide(0.0066)
        found = solve_stationary(who, grid, bounds, discount_bonds=True, tolerance=1e-9)
    mine = 1 / (1 + float(found.rate))
    assert mine == pytest.approx(price, abs=2e-5)
    assert 100 * (mine**-6 - 1) == pytest.approx(yearly, abs=0.02)
    assert float(found.excess) == pytest.approx(0, abs=1e-4)


def test_a_bond_of_huggett_in_single_precision():
    who, _ = huggett_1993()
    grid = jnp.asarray(asset_grid(-4.0, 20.0, 500, 1.5), float)
    found = solve_stationary(who, grid, (-0.03, 0.0066), discount_bonds=True)
    assert 1 / (1 + float(found.rate)) == pytest.approx(0.998006, abs=1e-5)


@pytest.mark.slow
def test_at_a_price_nearby_nearly_nothing_is_held():
    """Value iteration on an independent grid gave mean assets of -.003 at the price .998004 where debts go up to 4."""
    with jax.enable_x64(True):
        who = jax.tree.map(wide, huggett_1993()[0])
        grid, one = wide(asset_grid(-4.0, 20.0, 1000, 2.0)), wide(1.0)
        saving = jax.jit(best_saving)(who, grid, one, wide(0.998004), one, tolerance=1e-9)
        start = jnp.full((2, 1000), 1 / 2000)
        mass = jax.jit(stationary_mass)(who, grid, saving.savings, start, tolerance=1e-11)
        assert float(jnp.sum(mass * grid)) == pytest.approx(-0.003, abs=0.03)


def test_impatient_households_keep_nothing():
    """Without risk, where `β (1 + r) < 1`, who can borrow no more consumes income and interest."""
    certain = Households(*(jnp.asarray(x, float) for x in (0.9, 2.0, [1.0, 1.0], np.full((2, 2), 0.5))))
    grid = jnp.asarray(asset_grid(0.0, 10.0, 60), float)
    one = jnp.ones(())
    found = jax.jit(best_saving)(certain, grid, 1.02 * one, one, one)
    assert float(found.savings[0, 0]) == 0
    assert float(found.consumption[0, 0]) == pytest.approx(1, rel=1e-5)
    assert np.all(np.diff(found.consumption[0]) > 0)
    assert np.all(found.savings[0, 1:] < grid[1:])


def test_lotteries_keep_means():
    rng = np.random.default_rng(0)
    grid = jnp.asarray(asset_grid(-1.0, 9.0, 40), float)
    mass = jnp.asarray(rng.dirichlet(np.ones(120)).reshape(3, 40), float)
    bought = jnp.asarray(np.sort(rng.uniform(-1, 9, (3, 40)), axis=1), float)
    moved = move_mass(mass, *lottery(bought, grid))
    np.testing.assert_allclose(moved.sum(axis=1), mass.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(moved @ grid, (mass * bought).sum(axis=1), rtol=1e-4)
    # beyond the ends all goes to the end
    low, upper = lottery(jnp.array([-5.0, 99.0]), grid)
    np.testing.assert_array_equal(low + upper, [0, 39])


@functools.cache
def steady_environment():
    env, params, *_ = capital_economy()
    known = env.benchmarks(params)
    act = known["policy"].act

    @jax.jit
    def play(key):
        def step(state, key):
            action = jax.vmap(lambda seen: act((), (), seen, ())[0])(env.observe(state, params))
            _, state, reward, _, _, info = env.step(key, state, action, params)
            return state, {**info, "kept": jnp.mean(state.assets), "reward": jnp.mean(reward)}

        start, *keys = jax.random.split(key, 61)
        return jax.lax.scan(step, env.reset(start, params)[1], jnp.stack(keys))

    return env, params, known, play(jax.random.key(0))


def test_benchmarks_in_single_precision():
    _, _, known, _ = steady_environment()
    assert known["rate"] == pytest.approx(0.04383, abs=1e-5)
    assert known["capital"] == pytest.approx(5.2987, abs=1e-3)
    assert known["complete_capital"] == pytest.approx(4.759779, abs=1e-4)


def test_a_population_moves_like_its_histogram():
    """4000 households save by the table for 60 periods, from equal assets."""
    _, params, _, (state, info) = steady_environment()
    _, _, grid, found = capital_economy()
    start = jnp.full((3, 1), 5.3)
    mass = params.individual_law[0][:, None] * jnp.eye(500)[0]
    first = move_mass(mass, *(jnp.broadcast_to(x, mass.shape) for x in lottery(start, grid)))
    low, upper = lottery(found.savings, grid)

    @jax.jit
    def play(mass):
        def step(mass, _):
            return params.individual[0, 0].T @ move_mass(mass, low, upper), jnp.sum(mass * grid)

        return jax.lax.scan(step, mass, length=60)

    last, capital = play(first)
    error = np.std(state.assets) / 4000**0.5  # of the last period, the largest of all
    assert np.abs(np.asarray(info["capital"]) - capital).max() < 4 * error
    spread = float((last.sum(axis=0) @ grid**2 - (last.sum(axis=0) @ grid) ** 2) ** 0.5)
    assert np.std(state.assets) == pytest.approx(spread, rel=0.1)


def test_budgets_of_the_capital_economy():
    _, params, _, (_, info) = steady_environment()
    # output and what is left of capital are consumed or kept
    left = info["output"] + (1 - params.depreciation) * info["capital"]
    np.testing.assert_allclose(info["consumption"] + info["kept"], left, rtol=1e-5)
    np.testing.assert_allclose(info["capital"][1:], info["kept"][:-1], rtol=1e-5)
    rate = 0.36 * (info["capital"] / info["labour"]) ** -0.64 - 0.08
    np.testing.assert_allclose(info["rate"], rate, rtol=1e-4)


def test_one_household_by_hand():
    env, params = make("krusell_smith", num_households=1, num_productivities=1)
    state = env.initial(jnp.array([0.5]), params)
    obs = np.asarray(env.observe(state, params))[0]
    labour = float(params.endowments[1])
    rate, wage = 0.36 * (5.3 / labour) ** -0.64 - 0.08, 0.64 * (5.3 / labour) ** 0.36
    np.testing.assert_allclose(obs, [5.3, labour, 1.0, rate, wage], rtol=1e-5)
    after, reward, _, info = env.transition(state, jnp.array([0.25]), (jnp.array(0.0), jnp.array([0.999])), params)
    cash = (1 + rate) * 5.3 + wage * labour
    kept = 0.25 * (cash - 1e-3)
    assert float(after.assets[0]) == pytest.approx(kept, rel=1e-5)
    assert float(reward[0]) == pytest.approx((1 - (cash - kept) ** -2) / 2, rel=1e-4)
    assert int(after.individual[0]) == 2
    assert float(info["output"]) == pytest.approx(5.3**0.36 * labour**0.64, rel=1e-5)


def test_where_a_bond_market_clears():
    """By hand: a crossing, several, none with too many borrowers, none with too many lenders."""
    cases = {
        (-2.0, -1.0, 1.0, 3.0): (1, 0.5),
        (-1.0, 1.0, -1.0, 1.0): (0, 0.5),
        (-3.0, -2.0, -1.0, -0.5): (2, 1.0),
        (0.5, 1.0, 2.0, 3.0): (0, 0.0),
        (-1.0, 0.0, 1.0, 2.0): (0, 1.0),
    }
    for offered, (place, weight) in cases.items():
        found = clearing(jnp.array(offered))
        assert (int(found[0]), float(found[1])) == (place, pytest.approx(weight))


def test_bonds_are_in_zero_supply():
    env, params = make("huggett", num_households=200, num_rates=5, num_productivities=3)
    # who sees a higher rate lends more, and the rich lend more
    shares = jnp.linspace(0.2, 0.9, 5) * jnp.ones((200, 1))
    _, state = env.reset(jax.random.key(0), params)
    step = jax.jit(env.step)
    for t in range(5):
        cash = env.observe(state, params)[:, 3]
        _, state, _, _, _, info = step(jax.random.key(t + 1), state, shares, params)
        assert float(info["excess"]) == pytest.approx(0, abs=1e-5)
        assert float(info["consumption"]) == pytest.approx(float(cash.mean()), rel=1e-5)
        assert 0.01 <= float(info["rate"]) <= 0.06
        assert float(state.lent.min()) >= -1
    _, _, _, _, _, info = step(jax.random.key(9), state, jnp.zeros((200, 5)), params)
    assert float(info["debtors"]) == 1
    assert float(info["rate"]) == pytest.approx(0.06)  # nobody lends even at the highest rate
    assert float(info["excess"]) == -1


def test_huggett_benchmarks():
    env, params = make("huggett")
    known = env.benchmarks(params)
    assert known["rate"] == pytest.approx(0.014325, abs=2e-6)
    assert known["debtors"] == pytest.approx(0.0243, abs=1e-4)
    assert known["spread"] == pytest.approx(1.2761, abs=3e-4)
    assert known["complete_rate"] == pytest.approx(1 / 0.96 - 1, rel=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match="num_incomes must be an integer >= 2, got 1"):
        make("krusell_smith", num_incomes=1)
    env, params = make("krusell_smith", num_productivities=2)
    with pytest.raises(ValueError, match="aggregate must be probabilities that add to 1"):
        env.validate(params.replace(aggregate=params.aggregate * 2))
    with pytest.raises(ValueError, match="share must be positive"):
        env.validate(params.replace(share=jnp.zeros(())))
    env, params = make("huggett", num_productivities=2)
    with pytest.raises(ValueError, match="limit must be such that the poorest can pay"):
        env.validate(params.replace(limit=jnp.full((), -9.0)))
    with pytest.raises(ValueError, match="rates must be ascending"):
        env.validate(params.replace(rates=params.rates[::-1]))
    with pytest.raises(ValueError, match="persistence must be in"):
        tauchen(1.0, 0.1, 3)
    with pytest.raises(ValueError, match="high must be above low"):
        asset_grid(1.0, 0.0, 5)


def test_the_classic_economy_is_accepted():
    env, _ = make("krusell_smith", num_productivities=2, num_incomes=2)
    env.validate(krusell_smith_1998())

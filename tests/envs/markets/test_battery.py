"""The battery: optima with known prices against mixed-integer programmes, physics, the price model, files of prices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.markets.battery import ImbalanceBattery
from jaxmarl.envs.markets.battery_optimum import load_prices, perfect_foresight, risk_objective
from jaxmarl.envs.markets.battery_plan import rouwenhorst
from jaxmarl.envs.markets.simulate import simulate

PRICES = (50.0, -20.0, 10.0, 120.0, 200.0, 80.0, -50.0, 300.0)


def battery(env, **changes):
    prices = changes.pop("prices", None)
    params = env.default_params
    if prices is not None:
        params = params.replace(prices=jnp.asarray(prices, float).reshape(env.num_days, env.num_steps))
    return params.replace(**{name: jnp.asarray(x, float) for name, x in changes.items()})


SHORT = ImbalanceBattery(num_steps=8, num_days=1, num_levels=None)
CASE = {"prices": PRICES, "power": 4.0, "step_hours": 0.25, "max_cycles": math.inf}


def mixed_integer_optimum(prices, power, dt, capacity, efficiency, start, cycles):
    """The largest profit, by scipy: charging, discharging and a binary that forbids both at once, in each step."""
    optimize = pytest.importorskip("scipy.optimize")
    n, way = len(prices), math.sqrt(efficiency)
    # variables: c, d, z of each step
    cost = np.concatenate([np.asarray(prices) * dt, -np.asarray(prices) * dt, np.zeros(n)])
    eye, below, zeros = np.eye(n), np.tril(np.ones((n, n))), np.zeros((n, n))
    rows = [
        optimize.LinearConstraint(np.hstack([below * way * dt, -below / way * dt, zeros]), -start, capacity - start),
        optimize.LinearConstraint(np.hstack([eye, zeros, -power * eye]), -np.inf, 0),
        optimize.LinearConstraint(np.hstack([zeros, eye, power * eye]), -np.inf, power),
    ]
    if math.isfinite(cycles):
        used = np.concatenate([np.zeros(n), np.full(n, dt / way / capacity), np.zeros(n)])
        rows.append(optimize.LinearConstraint(used[None], -np.inf, cycles))
    bounds = optimize.Bounds(0, np.concatenate([np.full(2 * n, power), np.ones(n)]))
    whole = np.concatenate([np.zeros(2 * n), np.ones(n)])
    return -optimize.milp(cost, constraints=rows, bounds=bounds, integrality=whole).fun


@pytest.mark.parametrize(("cycles", "expected"), [(math.inf, 701.36094), (1.0, 549.47332), (0.5, 335.68684)])
def test_perfect_foresight_of_the_sheet(cycles, expected):
    """The grid's optimum is feasible, so at most the mixed-integer one, and within 1 % of it."""
    exact = mixed_integer_optimum(PRICES, 4.0, 0.25, 2.0, 0.9, 1.0, cycles)
    assert abs(exact - expected) < 1e-4
    found = perfect_foresight(PRICES, battery(SHORT, **{**CASE, "max_cycles": cycles}), num_levels=300)
    assert found <= expected + 1e-6
    assert found > 0.99 * expected


def test_random_policies_earn_less_than_the_optimum_and_never_break_the_battery():
    env, params = SHORT, battery(SHORT, **{**CASE, "max_cycles": 1.0})
    state = env.initial(jnp.int32(0), params)
    actions = np.random.default_rng(0).choice([-1.0, 1.0], (64, 8))

    def day(actions):
        def one(state, action):
            state, reward, _, info = env.transition(state, action[None], (), params)
            return state, (reward[0], info)

        return jax.lax.scan(one, env.initial(jnp.int32(0), params), actions)

    state, (reward, info) = jax.jit(jax.vmap(day))(jnp.asarray(actions, jnp.float32))
    assert float(reward.sum(axis=1).max()) <= 549.47332 + 1e-2
    charge, cycles = np.asarray(info["charge"]), np.asarray(info["cycles"])
    assert charge.min() >= 0
    assert charge.max() <= 2
    assert cycles.sum(axis=1).max() <= 1 + 1e-5
    assert cycles.sum(axis=1).max() > 0.9, "the limit binds"
    # what is bought and sold is what the store gains and loses, less the losses on the way
    power, way = np.asarray(info["power"], np.float64) * 0.25, math.sqrt(0.9)
    flow = np.where(power > 0, -power / way, -power * way)
    np.testing.assert_allclose(1.0 + flow.cumsum(axis=1), charge, atol=1e-5)
    np.testing.assert_allclose(np.asarray(reward), power * np.asarray(PRICES), atol=1e-3)
    np.testing.assert_allclose(state.profit, reward.sum(axis=1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("low", "trades"), [(80.0, True), (89.0, True), (91.0, False), (99.0, False)])
def test_a_square_wave_is_traded_if_the_high_price_pays_for_the_losses(low, trades):
    """Optimal profit of an empty battery is positive exactly where `100 η > low`."""
    env = ImbalanceBattery(num_steps=8, num_days=1)
    params = battery(env, prices=[low, 100.0] * 4, power=4.0, step_hours=0.25, max_cycles=math.inf, initial_charge=0.0)
    assert (env.benchmarks(params)["perfect_foresight"][0] > 1e-9) == trades


def test_masks_and_levels():
    env = ImbalanceBattery(num_levels=5, num_days=1, num_steps=8)
    params = battery(env, **CASE)
    np.testing.assert_allclose([env.fraction(jnp.int32(i)) for i in range(5)], [-1, -0.5, 0, 0.5, 1])
    state = env.initial(jnp.int32(0), params)
    cases = [
        ({}, [1, 1, 1, 1, 1]),
        ({"charge": jnp.zeros(())}, [1, 1, 1, 0, 0]),
        ({"charge": jnp.full((), 2.0)}, [0, 0, 1, 1, 1]),
        ({"cycles_left": jnp.zeros(())}, [1, 1, 1, 0, 0]),
    ]
    for changes, legal in cases:
        assert env.action_mask(state.replace(**changes), params)[0].astype(int).tolist() == legal


@pytest.fixture(scope="module")
def model_day():
    """Prices `[T, B]` of the model, and the observations of the last state."""
    env = ImbalanceBattery(num_levels=None)
    params = battery(env)
    from jaxmarl.core.policy import Policy

    rest = Policy(lambda chance: (), lambda p, m, obs, c: (jnp.zeros(()), m))
    run = jax.jit(lambda key: simulate(env, params, rest, (), key, 4000, lambda info: info["price"]))
    total, _, prices = run(jax.random.key(0))
    assert float(jnp.abs(total).max()) == 0.0
    return params.model, np.asarray(prices, np.float64)


def test_moments_of_the_price_model(model_day):
    """Mean `level + (swing - slope · profile) sin`, variance of imbalances and jumps, correlation 0.8 a step."""
    model, prices = model_day
    phase = 2 * np.pi * np.arange(96) / 96
    mean = 120 + (40 - 0.6 * 50) * np.sin(phase)
    variance = (0.6 * 150) ** 2 + 0.02 * (400**2 + 400**2 / 12)
    error = math.sqrt(variance / 4000)
    # 96 correlated means: 4.5 standard errors
    assert np.abs(prices.mean(axis=1) - mean).max() < 4.5 * error
    centred = prices - mean[:, None]
    assert abs((centred**2).mean() / variance - 1) < 0.03
    expected = 0.8 * (0.6 * 150) ** 2
    assert abs((centred[1:] * centred[:-1]).mean() / expected - 1) < 0.03
    assert np.abs(prices).max() <= float(model.limit)


def test_observations_forecast_and_remember():
    env = ImbalanceBattery()
    params = battery(env)
    state = env.initial(jnp.float32(2.0), params)
    np.testing.assert_allclose(env.observe(state, params)[0], [0.5, 1, 0, 1, 0, 0, 0, 0, 0.8 * 2.0], atol=1e-6)
    chance = jnp.float32(0.0), jnp.array([0.5, 0.5, 0.5])
    state, _, _, info = env.transition(state, jnp.array([1]), chance, params)
    np.testing.assert_allclose(info["price"], 120 - 0.6 * 0.8 * 300, rtol=1e-5)
    assert abs(float(env.observe(state, params)[0, 4]) - float(info["price"]) / 100) < 1e-6


def test_utility_is_paid_at_the_end():
    env = ImbalanceBattery(num_steps=2, num_days=1, num_levels=None, objective="cara")
    params = battery(env, prices=[100.0, 100.0], step_hours=0.25, risk_aversion=0.01)
    state, first, _, info = env.transition(env.initial(jnp.int32(0), params), jnp.array([1.0]), (), params)
    assert float(first[0]) == 0.0
    assert abs(float(info["profit"]) - 25.0) < 1e-4
    _, second, ended, _ = env.transition(state, jnp.array([0.0]), (), params)
    assert bool(ended)
    np.testing.assert_allclose(second, -math.exp(-0.25), rtol=1e-5)


def test_risk_objectives():
    profits = np.arange(100.0)
    assert risk_objective(profits, 0.0) == 49.5
    assert abs(risk_objective(profits, 1.0, 0.1) - 9.9) < 1e-9
    assert abs(risk_objective(profits, 1.0, 0.1, "cvar") - 4.5) < 1e-9
    assert abs(risk_objective(profits, 0.5, 0.1, "cvar") - 27.0) < 1e-9
    assert abs(risk_objective(profits[:5], 1.0, 0.3, "cvar") - (0 + 0.5 * 1) / 1.5) < 1e-9
    with pytest.raises(ValueError, match=r"weight must be in \[0, 1\], got 2.0"):
        risk_objective(profits, 2.0)


def test_files_of_prices(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("time;price\n" + "".join(f"t{i};{i}.5\n" for i in range(8)))
    np.testing.assert_allclose(load_prices(path, 4), np.arange(8).reshape(2, 4) + 0.5)
    env = ImbalanceBattery(num_steps=4, num_days=2)
    params = battery(env, prices=load_prices(path, 4))
    env.validate(params)
    state = env.initial(jnp.int32(1), params)
    assert float(env.transition(state, jnp.array([1]), (), params)[3]["price"]) == 4.5
    for text, words in [
        ("time,price\n1,2\n1,x\n", "line 3, price must be a finite number, got 'x'"),
        ("time,price\n1\n", "line 2, price must be a finite number, got ''"),
        ("time,cost\n1,2\n", "column must be one of time, cost; got 'price'"),
        ("time,price\n1,2\n", "rows must be a positive multiple of num_steps 4, got 1"),
        ("time,price\n1,inf\n", "line 2, price must be a finite number, got 'inf'"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match="must be") as error:
            load_prices(path, 4)
        assert words in str(error.value)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="num_levels must be odd"):
        ImbalanceBattery(num_levels=4)
    with pytest.raises(ValueError, match=r"prices must be of shape \[1, 8\], got \(1, 5\)"):
        SHORT.validate(battery(SHORT).replace(prices=jnp.zeros((1, 5))))


def test_given_prices_keep_the_contract():
    from jaxmarl.testing import check_env

    check_env(ImbalanceBattery(num_steps=8, num_days=3), num_steps=32)


def test_the_chain_has_the_moments_of_the_autoregression():
    points, matrix = rouwenhorst(0.8, 150.0, 15)
    np.testing.assert_allclose(matrix.sum(1), 1)
    means = matrix @ points
    np.testing.assert_allclose(means, 0.8 * points, atol=1e-9)
    np.testing.assert_allclose(matrix @ points**2 - means**2, 150**2 * (1 - 0.8**2), rtol=1e-9)


def test_the_best_plan_earns_its_value_in_the_environment():
    """Its value in the chain agrees with what it earns against drawn prices, in which nothing is discretised."""
    env = ImbalanceBattery(num_steps=24, num_levels=None)
    params = battery(env, capacity=2.0, power=0.5, max_cycles=0.8)
    answers = env.benchmarks(params)
    play = jax.jit(lambda key: simulate(env, params, answers["optimal"], (), key, 4096)[0])
    earned = np.asarray(play(jax.random.key(4)))
    assert abs(earned.mean() - answers["optimal_value"]) < 4 * earned.std() / 64
    assert ImbalanceBattery(num_steps=24).benchmarks(params) == {"optimal_value": answers["optimal_value"]}


def test_a_plan_without_noise_is_the_optimum_with_known_prices():
    """With imbalances that do not deviate and no jumps, prices are known: both programmes find the same."""
    env = ImbalanceBattery(num_steps=24, num_levels=None)
    params = env.default_params
    still = {"imbalance_std": jnp.zeros(()), "jump_chance": jnp.zeros(()), "slope": jnp.asarray(0.2)}
    params = params.replace(model=params.model.replace(**still))
    course = np.sin(2 * np.pi * np.arange(24) / 24)
    prices = 120 + 40 * course - 0.2 * 50 * course
    wanted = perfect_foresight(prices, params, num_levels=76)
    assert env.benchmarks(params)["optimal_value"] == pytest.approx(wanted, rel=1e-6)

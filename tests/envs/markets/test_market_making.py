"""Market making: the table of Avellaneda and Stoikov by simulation, exact solutions by closed forms and recursions."""

import dataclasses
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.markets import inventory_quotes as iq
from jaxmarl.envs.markets.market_making import MarketMaking
from jaxmarl.envs.markets.simulate import simulate

PATHS = 8_000
FREE = MarketMaking(min_offset=-math.inf, max_offset=math.inf)
# risk aversion, policy: mean spread, mean P&L, its standard deviation, that of the final inventory
TABLE = {
    (0.1, "avellaneda_stoikov"): (1.4918, 64.905, 6.495, 2.927),
    (0.1, "symmetric"): (1.4918, 67.952, 13.244, 8.379),
    (0.1, "glft"): (1.3425, 67.696, 7.156, 2.196),
    (0.01, "avellaneda_stoikov"): (1.3490, 68.356, 8.938, 5.195),
    (0.01, "symmetric"): (1.3490, 68.611, 13.625, 8.692),
    (0.01, "glft"): (1.3450, 68.376, 9.127, 3.903),
    (0.5, "avellaneda_stoikov"): (2.1557, 48.588, 5.868, 1.955),
    (0.5, "symmetric"): (2.1557, 58.338, 11.506, 7.051),
    (0.5, "glft"): (1.2734, 65.965, 6.096, 1.416),
}


def market(**changes):
    return FREE.default_params.replace(**{name: jnp.asarray(x, float) for name, x in changes.items()})


@cache
def simulated(name):
    """P&L and final inventory `[3, B]` and mean spread `[3]`, at the risk aversions of the table: compiled once."""
    policy = iq.rule_policy(FREE, iq.RULES[name], name)

    @jax.jit
    @jax.vmap
    def run(gamma, key):
        params = market().replace(risk_aversion=gamma)
        _, state, spread = simulate(FREE, params, policy, params, key, PATHS, lambda info: info["spread"].mean())
        return state.gain, state.inventory, spread.mean()

    return tuple(map(np.asarray, run(jnp.array([0.1, 0.01, 0.5]), jax.random.split(jax.random.key(8), 3))))


@pytest.mark.parametrize(("gamma", "name"), TABLE)
def test_the_published_table(gamma, name):
    """Means within 4 standard errors of both simulations (the table's has 50 000 paths), deviations alike."""
    gain, inventory, spread = (x[[0.1, 0.01, 0.5].index(gamma)] for x in simulated(name))
    expected_spread, mean, deviation, held = TABLE[gamma, name]
    errors = math.sqrt(1 / PATHS + 1 / 50_000)
    assert abs(spread - expected_spread) < 2e-4
    assert abs(gain.mean() - mean) < 4 * deviation * errors
    # P&L has a kurtosis of up to 6, whence a standard error of the deviation of s sqrt((6 - 1) / 4 n)
    assert abs(gain.std() - deviation) < 4 * deviation * math.sqrt(5 / 4) * errors
    assert abs(inventory.std() - held) < 4 * held * errors


def exact(gamma=0.1, size=10, num_steps=200, form="linear", shift=0.0, **changes):
    """The exact quotes, shifted, and what they are worth in a market."""
    env = dataclasses.replace(FREE, num_steps=num_steps, fill_form=form, **changes)
    params = market(risk_aversion=gamma)
    quotes, theory = iq.exact_quotes(params, size, num_steps)
    return quotes, theory, iq.exact_values(quotes + shift, env, params)


@pytest.mark.parametrize(("size", "expected"), [(5, 63.505290), (10, 64.128480), (30, 64.133489)])
def test_certainty_equivalents_of_the_exact_solution(size, expected):
    assert abs(exact(size=size)[1] - expected) < 1e-6


def test_exact_quotes():
    quotes, _, _ = exact(size=30)
    np.testing.assert_allclose(quotes[0, 30], [0.671628, 0.671628], atol=1e-6)
    np.testing.assert_allclose(quotes[0, 32], [0.776387, 0.566700], atol=1e-6)
    assert np.isinf(quotes[:, 60, 0]).all(), "at the limit nothing more is bought"


def test_glft_constants():
    params = market()
    bid, ask = iq.glft_quotes(jnp.array([0.0, 2.0]), params)
    base, slope = 0.64538521, 0.05171722
    np.testing.assert_allclose(bid, [base + slope / 2, base + 5 * slope / 2], rtol=1e-6)
    np.testing.assert_allclose(ask, [base + slope / 2, base - 3 * slope / 2], rtol=1e-6)


def test_the_certainty_equivalent_goes_to_the_theory_as_time_gets_fine():
    """65.20 (by 50 000 paths; exactly 65.24), 64.36, and by extrapolation 64.13; one fill a step loses 0.8."""
    coarse, fine = (exact(num_steps=n)[2]["certainty_equivalent"] for n in (200, 1000))
    assert abs(coarse - 65.20) < 4 * 7.225 * 0.7 / math.sqrt(50_000) * 10**0.5
    assert abs(fine - 64.36) < 0.05
    assert abs(fine + (fine - coarse) / 4 - 64.128480) < 0.01, "linear in dt"
    assert abs(exact(num_steps=2000, form="poisson")[2]["certainty_equivalent"] - 63.33) < 0.06


def test_other_quotes_are_worth_less():
    best = exact(num_steps=1000)[2]["certainty_equivalent"]
    for shift in (np.array([0.1, 0.1]), np.array([-0.1, -0.1]), np.array([0.1, -0.1]), np.array([-0.1, 0.1])):
        assert exact(num_steps=1000, shift=shift)[2]["certainty_equivalent"] < best - 0.1


def test_exact_policy_by_simulation():
    env = dataclasses.replace(FREE, max_inventory=10)
    params = market()
    policy = env.benchmarks(params)["exact"]
    gain = np.asarray(jax.jit(lambda key: simulate(env, params, policy, params, key, PATHS)[1].gain)(jax.random.key(1)))
    _, _, values = exact()
    assert abs(gain.mean() - 67.784) < 4 * 7.225 * math.sqrt(1 / PATHS + 1 / 50_000)
    assert abs(gain.mean() - values["pnl"]) < 4 * gain.std() / math.sqrt(PATHS)
    sample = np.exp(-0.1 * (gain - 65.0))
    error = sample.std() / math.sqrt(PATHS) / sample.mean() / 0.1
    assert abs(65.0 - np.log(sample.mean()) / 0.1 - values["certainty_equivalent"]) < 4 * error


def test_constant_spreads_earn_what_the_formula_says():
    params = market()
    half = 1.4907704 / 2
    quotes = iq.quote_table(lambda q, left, p: (half, half), params, 200, 60)
    expected = 2 * 140 * math.exp(-1.5 * half) * half
    assert abs(expected - 68.228) < 5e-4
    assert abs(iq.exact_values(quotes, FREE, params)["pnl"] - expected) < 2e-3
    assert abs(FREE.benchmarks(params)["constant_pnl"] - 2 * 140 / math.e / 1.5) < 1e-5


@pytest.mark.parametrize("penalty", [0.2, 1.0])
def test_the_optimum_of_the_running_objective(penalty):
    """The dynamic programme's value is what its quotes earn, and no perturbation or known rule earns more."""
    env, params = dataclasses.replace(FREE, objective="running"), market(inventory_penalty=penalty)
    quotes, value = iq.running_optimum(params, 30, 200)
    assert abs(iq.exact_values(quotes, env, params)["running"] - value) < 1e-3
    others = [quotes + shift for shift in (0.02, -0.02, np.array([0.02, -0.02]))]
    others += [iq.quote_table(rule, params, 200, 60) for rule in iq.RULES.values()]
    for other in others:
        assert iq.exact_values(other, env, params)["running"] < value - 5e-3


@pytest.fixture(scope="module")
def day():
    """Rewards and states of one day under each objective, with the same chance."""
    params = market(inventory_penalty=0.3)
    rng = np.random.default_rng(0)
    chance = (
        jnp.asarray(rng.random((200, 2)), jnp.float32),
        jnp.asarray(rng.integers(0, 2, 200), jnp.int32),
    )
    offsets = jnp.asarray(rng.uniform(0, 1.2, (200, 1, 2)), jnp.float32)

    def play(env):
        def step(state, x):
            state, reward, ended, info = env.transition(state, x[0], x[1], params)
            return state, (reward[0], ended, info)

        return jax.lax.scan(step, env.initial((), params), (offsets, chance))

    return {
        name: jax.jit(play, static_argnums=0)(dataclasses.replace(FREE, objective=name))
        for name in ("pnl", "running", "mean_variance", "cara")
    }


def test_objectives(day):
    state, (pnl, ended, info) = day["pnl"]
    pnl, held = np.asarray(pnl), np.asarray(info["inventory"])
    assert ended.tolist() == [False] * 199 + [True]
    np.testing.assert_allclose(pnl.sum(), state.gain, rtol=1e-5)
    np.testing.assert_allclose(day["running"][1][0], pnl - 0.3 * held**2 / 200, atol=1e-5)
    np.testing.assert_allclose(day["mean_variance"][1][0], pnl - 0.05 * pnl**2, atol=1e-5)
    utility = np.asarray(day["cara"][1][0])
    assert (utility[:-1] == 0).all()
    np.testing.assert_allclose(utility[-1], -np.exp(-0.1 * float(state.gain)), rtol=1e-5)


def test_wealth_is_cash_and_stock(day):
    """P&L against an account kept in float64."""
    _, (pnl, _, info) = day["pnl"]
    price = np.append(100.0, np.asarray(info["price"], np.float64))
    held = np.append(0.0, np.asarray(info["inventory"], np.float64))
    rng = np.random.default_rng(0)
    units = rng.random((200, 2))
    rng.integers(0, 2, 200)
    offsets = rng.uniform(0, 1.2, (200, 1, 2))[:, 0]
    fills = units < np.minimum(140 * np.exp(-1.5 * offsets) / 200, 1)
    cash = np.cumsum(fills[:, 1] * (price[:-1] + offsets[:, 1]) - fills[:, 0] * (price[:-1] - offsets[:, 0]))
    np.testing.assert_array_equal(held[1:], np.cumsum(fills[:, 0].astype(int) - fills[:, 1]))
    np.testing.assert_allclose(np.cumsum(pnl), cash + held[1:] * price[1:], atol=2e-3)


def test_discrete_offsets():
    env = MarketMaking(num_levels=5, min_offset=0.0, max_offset=2.0)
    assert env.action_space(env.default_params).n == 25
    np.testing.assert_allclose(env.offsets(jnp.int32(7)), [0.5, 1.0])
    assert int(env.action(jnp.array([0.6, 1.1]))) == 7
    assert int(env.action(jnp.array([-3.0, 9.0]))) == 4, "the nearest levels are the ends"
    policy = env.benchmarks(env.default_params)["avellaneda_stoikov"]
    action, _ = policy.act(env.default_params, (), jnp.zeros(5), ())
    assert int(action) == 2 * 5 + 2, "0.845 is nearest to 1"


def test_inventory_limits_hold():
    env = MarketMaking(max_inventory=1, min_offset=-2.0)
    params = env.default_params
    greedy = iq.rule_policy(env, lambda q, left, p: (-1.0, 1.0), "buyer")
    run = jax.jit(lambda key: simulate(env, params, greedy, params, key, 8, lambda info: info["inventory"])[2])
    held = np.asarray(run(jax.random.key(0)))
    assert held.max() == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_steps": 0}, "num_steps must be an integer >= 1, got 0"),
        ({"objective": "sharpe"}, "objective must be one of"),
        ({"min_offset": 5.0}, "min_offset must be below max_offset 3.0"),
        ({"num_levels": 3, "max_offset": math.inf}, "max_offset must be finite where offsets are discrete"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match="must be") as error:
        MarketMaking(**settings)
    assert words in str(error.value)


def test_wrong_numbers_are_refused():
    for name, number in (("decay", 0.0), ("volatility", -1.0), ("initial_inventory", 0.5)):
        with pytest.raises(ValueError, match=name):
            FREE.validate(market(**{name: number}))

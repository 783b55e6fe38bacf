"""Logit price competition: known numbers, first-order conditions, the grid of prices, the environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.envs.pricing import (
    LogitMarket,
    LogitPricing,
    bertrand_nash,
    best_responses,
    joint_monopoly,
    logit_pricing_params,
    logit_shares,
)
from jaxmarl.envs.pricing.logit_equilibrium import outcome, wright_omega
from jaxmarl.games import NormalFormGame, pure_equilibria
from jaxmarl.solvers import pure_nash
from jaxmarl.testing import check_env

# firms: price, quantity, profit in equilibrium; the same in joint monopoly; consumer surplus in both
TABLE = {
    1: (1.80198501, 0.68827347, 0.55198501, 1.80198501, 0.68827347, 0.55198501, 0.291407, 0.291407),
    2: (1.47292666, 0.47137681, 0.22292666, 1.92498092, 0.36486208, 0.33749046, 0.715098, 0.327078),
    3: (1.37016273, 0.32462136, 0.12016273, 2.00000000, 0.25000000, 0.25000000, 0.911111, 0.346574),
    4: (1.33146069, 0.24576275, 0.08146069, 2.05441118, 0.19072521, 0.20110280, 1.019386, 0.359819),
    5: (1.31152062, 0.19748491, 0.06152062, 2.09723128, 0.15443076, 0.16944626, 1.094003, 0.369771),
    10: (1.27760723, 0.09944707, 0.02760723, 2.23328640, 0.07972896, 0.09832864, 1.299425, 0.398994),
}
BEST_RESPONSES = [1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 6]


@pytest.fixture(scope="module")
def payoffs():
    env, params = jaxmarl.make("logit_pricing")
    return np.asarray(env.stage_payoffs(params))


@pytest.mark.parametrize("n", TABLE)
def test_symmetric_equilibrium_and_monopoly(n):
    market = LogitMarket(np.full(n, 2.0), np.ones(n))
    nash, monopoly = bertrand_nash(market), joint_monopoly(market)
    found = [x[i] for answer in (nash, monopoly) for x in answer[:3] for i in {0, n - 1}]
    wanted = [x for x in TABLE[n][:6] for _ in {0, n - 1}]
    np.testing.assert_allclose(found, wanted, atol=6e-9)
    np.testing.assert_allclose([nash.consumer_surplus, monopoly.consumer_surplus], TABLE[n][6:], atol=6e-7)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_against_brentq(n):
    optimize = pytest.importorskip("scipy.optimize")

    def share(p):
        return np.exp((2 - p) / 0.25) / (n * np.exp((2 - p) / 0.25) + 1)

    nash = optimize.brentq(lambda p: p - 1 - 0.25 / (1 - share(p)), 1.01, 4, xtol=1e-14)
    monopoly = optimize.brentq(lambda p: p - 1 - 0.25 / (1 - n * share(p)), 1.01, 4, xtol=1e-14)
    market = LogitMarket(np.full(n, 2.0), np.ones(n))
    np.testing.assert_allclose([bertrand_nash(market).prices[0], joint_monopoly(market).prices[0]], [nash, monopoly])


def test_asymmetric_duopolies_are_solved_as_a_batch():
    market = LogitMarket([[2, 2], [2, 2.5]], [[1, 0.5], [1, 1]], [0, 0], [0.25, 0.25])
    nash = bertrand_nash(market)
    np.testing.assert_allclose(nash.prices, [[1.372327, 1.203772], [1.372327, 1.703772]], atol=6e-7)
    np.testing.assert_allclose(nash.shares, [[0.328547, 0.644771]] * 2, atol=6e-7)
    np.testing.assert_allclose(nash.profits, [[0.122327, 0.453772]] * 2, atol=6e-7)


@pytest.mark.parametrize("scale", [0.02, 0.25, 3.0])
def test_first_order_conditions_of_unlike_firms(scale):
    rng = np.random.default_rng(0)
    market = LogitMarket(
        rng.uniform(0, 4, (50, 4)), rng.uniform(0, 2, (50, 4)), rng.normal(size=50), np.full(50, scale)
    )
    nash, monopoly = bertrand_nash(market), joint_monopoly(market)
    np.testing.assert_allclose((nash.prices - market.cost) * (1 - nash.shares), scale, rtol=1e-11)
    np.testing.assert_allclose(best_responses(market, nash.prices), nash.prices, rtol=1e-13)
    markup = monopoly.prices - market.cost
    np.testing.assert_allclose(markup * (1 - monopoly.shares.sum(-1, keepdims=True)), scale, rtol=1e-9)
    total = monopoly.profits.sum(-1)
    for _ in range(20):
        other = outcome(market, monopoly.prices + 0.1 * scale * rng.normal(size=markup.shape)).profits.sum(-1)
        assert (other <= total).all()


def test_wright_omega_against_scipy():
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-700, 5, 400), np.geomspace(1, 1e300, 100)])
    np.testing.assert_allclose(wright_omega(x), special.wrightomega(x), rtol=1e-13)


@pytest.mark.parametrize(
    ("n", "ends"), [(2, (1.427721, 1.970186)), (3, (1.307179, 2.062984)), (4, (1.259166, 2.126706))]
)
def test_ends_of_the_grid(n, ends):
    env, params = jaxmarl.make("logit_pricing", num_agents=n)
    grid = env.prices(jnp.array([[0] * n, [1] * n, [14] * n]), params)
    np.testing.assert_allclose(grid[jnp.array([0, 2])], np.stack([ends] * n, 1), atol=1e-6)
    if n == 2:
        np.testing.assert_allclose(grid[1] - grid[0], 0.0387475, atol=4e-7)
        middle = env.prices(jnp.arange(15)[:, None] * jnp.ones(2, int), params)[:, 0]
        np.testing.assert_allclose(middle[jnp.array([1, 6, 13])], [1.466469, 1.660206, 1.931439], atol=1e-6)


def test_best_responses_and_pure_equilibria_on_the_grid(payoffs):
    assert payoffs[0].argmax(0).tolist() == BEST_RESPONSES == payoffs[1].argmax(1).tolist()
    game = NormalFormGame(payoffs)
    assert np.argwhere(pure_equilibria(game)).tolist() == [[1, 1], [2, 2]]
    found = [pure_nash(game, select=rule) for rule in ("first", "max_welfare")]
    assert [[int(x.argmax()) for x in answer.strategies] for answer in found] == [[1, 1], [2, 2]]
    np.testing.assert_allclose([answer.payoffs[0] for answer in found], [0.220204, 0.236282], atol=1e-6)


def test_payoffs_on_the_grid(payoffs):
    total = payoffs.sum(0)
    assert np.unravel_index(total.argmax(), total.shape) == (13, 13)
    assert payoffs[0][:, 13].argmax() == 6
    cells = [payoffs[0][cell] for cell in [(13, 13), (6, 13), (0, 0), (0, 14), (14, 0), (14, 14)]]
    np.testing.assert_allclose(cells, [0.337460, 0.413975, 0.203545, 0.351875, 0.091143, 0.335986], atol=1e-6)
    np.testing.assert_allclose(payoffs.mean(), 0.279906, atol=1e-6)
    np.testing.assert_allclose(payoffs[0], payoffs[1].T, rtol=1e-6)


def test_shares_stand_extreme_numbers():
    shares = logit_shares(jnp.array([0.0, 1e4]), jnp.zeros(2), jnp.array(-1e4), jnp.array(1e-3))
    np.testing.assert_array_equal(shares, [1.0, 0.0])


def test_a_period_of_the_environment():
    env = LogitPricing(num_agents=3, num_prices=4, memory=2, layout="index", num_steps=2)
    params = logit_pricing_params([2.0, 2.2, 1.9], [1.0, 0.9, 1.1])
    state = env.initial(jnp.array([[1, 2, 3], [3, 0, 1]]).T, params)
    obs = env.observe(state, params)
    assert obs.tolist() == [(16 + 8 + 3) + 64 * (48 + 0 + 1)] * 3
    assert env.observation_space(params).contains(obs[0])
    state, reward, terminated, info = env.transition(state, jnp.array([0, 3, 1]), (), params)
    assert env.observe(state, params).tolist() == [(0 + 12 + 1) + 64 * (16 + 8 + 3)] * 3
    expected = outcome(params, info["prices"])
    np.testing.assert_allclose(reward, expected.profits, rtol=1e-5)
    np.testing.assert_allclose(info["shares"], expected.shares, rtol=1e-5)
    np.testing.assert_allclose(info["consumer_surplus"], expected.consumer_surplus, rtol=1e-5)
    np.testing.assert_allclose(env.stage_payoffs(params)[:, 0, 3, 1], reward, rtol=1e-6)
    assert not terminated
    assert not env.truncated(state, params)
    assert env.truncated(env.transition(state, jnp.array([0, 3, 1]), (), params)[0], params)


def test_own_prices_come_first():
    env = LogitPricing(num_agents=3, num_prices=5, memory=2)
    state = env.initial(jnp.array([[0, 1, 2], [4, 3, 2]]).T, env.default_params)
    wanted = [[0, 1, 2, 4, 3, 2], [1, 2, 0, 3, 2, 4], [2, 0, 1, 2, 4, 3]]
    np.testing.assert_allclose(env.observe(state, env.default_params) * 4, wanted)


def test_stochastic_demand_averages_to_the_stage_payoffs():
    env, params = jaxmarl.make("logit_pricing", stochastic_demand=True, num_prices=3)
    state, action = env.initial(jnp.zeros((2, 1), jnp.int32), params), jnp.array([0, 2])
    rewards = jnp.stack([env.transition(state, action, (jnp.array(draw), ()), params)[1] for draw in (0, 1)])
    assert (rewards[0] > rewards[1]).all()  # the outside good is worse
    np.testing.assert_allclose(rewards.mean(0), env.stage_payoffs(params)[:, 0, 2], rtol=1e-6)


def test_stochastic_costs_average_to_the_stage_payoffs():
    env, params = jaxmarl.make("logit_pricing", stochastic_costs=True, num_prices=3)
    state, action = env.initial(jnp.zeros((2, 1), jnp.int32), params), jnp.array([0, 2])
    rewards = [env.transition(state, action, ((), jnp.array(x)), params)[1] for x in ([0, 1], [1, 0])]
    shares = env.transition(state, action, ((), jnp.array([0, 0])), params)[3]["shares"]
    np.testing.assert_allclose(rewards[0] - rewards[1], 2 * params.cost_spread * shares * jnp.array([1, -1]), rtol=1e-4)
    np.testing.assert_allclose(sum(rewards) / 2, env.stage_payoffs(params)[:, 0, 2], rtol=1e-5)
    assert params.cost_spread > 0


def test_a_firm_enters_and_leaves():
    env = LogitPricing(entry=True, num_prices=5, num_steps=4)
    params = logit_pricing_params([2.0, 2.0], [1.0, 1.0], enters=[0, 1], leaves=[3, 2])
    state = env.initial(jnp.array([[1], [2]]), params)
    assert state.recent.tolist() == [[1, 4]]  # the absent firm is seen at the highest price
    assert env.action_mask(state, params).tolist() == [[True] * 5, [False] * 4 + [True]]
    monopoly = outcome(LogitMarket([2.0], [1.0]), env.prices(jnp.array([2, 2]), params)[:1])
    duopoly = outcome(params, env.prices(jnp.array([2, 0]), params))
    rewards, flags = [], [env.observe(state, params)[:, 2:].tolist()]
    for _ in range(4):
        state, reward, _, _ = env.transition(state, jnp.array([2, 0]), (), params)
        rewards.append(reward)
        flags.append(env.observe(state, params)[:, 2:].tolist())
        assert env.observation_space(params).contains(env.observe(state, params)[0])
    np.testing.assert_allclose(rewards, [[monopoly.profits[0], 0], duopoly.profits, [monopoly.profits[0], 0], [0, 0]])
    assert flags == [[[1, 0], [0, 1]], [[1, 1], [1, 1]], [[1, 0], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    known = env.benchmarks(params)
    np.testing.assert_allclose(known["incumbents_nash"].prices, [TABLE[1][0]], rtol=1e-6)
    np.testing.assert_allclose(known["nash"].prices, [TABLE[2][0]] * 2, rtol=1e-6)


def test_gradient_of_profits_vanishes_at_the_equilibrium():
    env, params = jaxmarl.make("logit_pricing", num_prices=None)
    nash = jnp.asarray(env.benchmarks(params)["nash"].prices, jnp.float32)
    action = (nash - params.low_price) / (params.high_price - params.low_price)
    state = env.initial(jnp.zeros((2, 1)), params)
    gradient = jax.jacobian(lambda action: env.transition(state, action, (), params)[1])(action)
    np.testing.assert_allclose(jnp.diag(gradient), 0.0, atol=1e-6)
    assert (gradient[[0, 1], [1, 0]] > 0.1).all()


@pytest.mark.slow
@pytest.mark.parametrize("num_prices", [4, None])
def test_conformance_with_memory_entry_and_all_shocks(num_prices):
    env = LogitPricing(3, num_prices, 2, 10, stochastic_demand=True, stochastic_costs=True, entry=True)
    check_env(env, corners=[env.default_params.replace(differentiation=jnp.float32(1e-3))])


def test_gradients_with_an_absent_firm_are_finite():
    env = LogitPricing(num_prices=None, entry=True, num_steps=4)
    params = env.default_params
    state, action = env.initial(jnp.zeros((2, 1)), params), jnp.array([0.5, 0.5])
    slopes = jax.grad(lambda params: env.transition(state, action, (), params)[1].sum(), allow_int=True)(params)
    for name in env.differentiable_params:
        assert np.isfinite(getattr(slopes, name)).all()
        assert np.any(getattr(slopes, name) != 0)
    assert slopes.quality[1] == 0  # of a firm that sells nothing


def test_refusals():
    for fields, word in [
        ({"num_agents": 1}, "num_agents"),
        ({"num_prices": 1}, "num_prices"),
        ({"memory": 0}, "memory"),
        ({"layout": "prizes"}, "prices"),
        ({"layout": "index", "num_prices": None}, "num_prices"),
        ({"layout": "index", "num_agents": 4, "memory": 3}, "memory"),
    ]:
        with pytest.raises(ValueError, match=word):
            LogitPricing(**fields)
    env, params = jaxmarl.make("logit_pricing")
    for name, number in [("differentiation", 0.0), ("high_price", params.low_price), ("cost", jnp.array([1, jnp.nan]))]:
        with pytest.raises(ValueError, match=name):
            env.validate(params.replace(**{name: jnp.asarray(number)}))
    with pytest.raises(ValueError, match="quality"):
        logit_pricing_params([2.0], [1.0])
    with pytest.raises(ValueError, match="num_prices"):
        LogitPricing(num_prices=None).stage_payoffs(params)

"""Glosten and Milgrom, and Kyle: exact equilibria, and environments in which they are what pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.markets.glosten_milgrom import GlostenMilgrom, zero_profit_quotes
from jaxmarl.envs.markets.kyle import Kyle, kyle_equilibrium
from jaxmarl.envs.markets.simulate import simulate


def test_quotes_of_successive_purchases():
    belief, found = 0.5, []
    for _ in range(5):
        bid, ask = (float(x) for x in zero_profit_quotes(jnp.asarray(belief), 0.3))
        found.append((bid, ask))
        belief = ask
    expected = [(0.35, 0.65), (0.5, 0.775229), (0.65, 0.864961), (0.775229, 0.922453), (0.864961, 0.956694)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_quotes_are_bayes_rule():
    belief, informed = jnp.linspace(0.02, 0.98, 25), 0.4
    bid, ask = zero_profit_quotes(belief, informed)
    up, down = belief * (1 + informed), (1 - belief) * (1 - informed)
    np.testing.assert_allclose(ask, up / (up + down), rtol=1e-5)
    up, down = belief * (1 - informed), (1 - belief) * (1 + informed)
    np.testing.assert_allclose(bid, up / (up + down), rtol=1e-5)
    np.testing.assert_allclose(zero_profit_quotes(ask, informed)[0], belief, rtol=1e-5, err_msg="a sale undoes it")


@pytest.fixture(scope="module")
def equilibrium_play():
    """Rewards, and what each step showed, of two dealers who play the zero-profit quotes."""
    env = GlostenMilgrom(num_steps=10)
    params = env.default_params.replace(tick=jnp.zeros(()))
    policy = env.benchmarks(params)["policy"]
    total, _, info = jax.jit(
        lambda key: simulate(env, params, policy, params, key, 20_000, lambda info: info), static_argnums=()
    )(jax.random.key(3))
    return np.asarray(total), jax.tree.map(np.asarray, info)


def test_competing_dealers_earn_nothing(equilibrium_play):
    total, _ = equilibrium_play
    np.testing.assert_array_equal(total[:, 0], total[:, 1])
    assert abs(total[:, 0].mean()) < 4 * total[:, 0].std() / np.sqrt(len(total))


def test_the_belief_after_a_trade_is_its_price(equilibrium_play):
    _, info = equilibrium_play
    bought, sold = info["trade"] == 1, info["trade"] == -1
    assert (bought | sold).all(), "with noise that always trades, someone does at every step"
    np.testing.assert_allclose(info["belief"][bought], info["ask"][bought], atol=2e-6)
    np.testing.assert_allclose(info["belief"][sold], info["bid"][sold], atol=2e-6)


def test_beliefs_are_calibrated(equilibrium_play):
    _, info = equilibrium_play
    belief, value = info["belief"][-1], info["value"][-1]
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (belief >= low) & (belief < low + 0.2)
        if inside.sum() > 100:
            error = np.sqrt(belief[inside].mean() * (1 - belief[inside].mean()) / inside.sum())
            assert abs(value[inside].mean() - belief[inside].mean()) < 4 * error


def expected_profit(env, params, quotes):
    """Of each dealer in the first step: the mean over all values and kinds of trader, by their probabilities."""
    units = (np.arange(50) + 0.5) / 50
    state = env.initial(jnp.asarray(0.25), params)
    grid = np.stack(np.meshgrid([0.01, 0.9], [0.25, 0.75], units, indexing="ij"), -1).reshape(-1, 3)
    chance = jnp.asarray(grid, jnp.float32)
    informed = float(params.informed)
    weight = np.where(grid[:, 0] < informed, informed, 1 - informed) / (2 * len(units)) / 2

    @jax.jit
    def rewards(value):
        return jax.vmap(lambda c: env.transition(state.replace(value=value), quotes, c, params)[1])(chance)

    return sum(np.asarray(rewards(jnp.asarray(v))).T @ weight for v in (0.0, 1.0))


def test_undercutting_and_sharing():
    env = GlostenMilgrom()
    params = env.default_params.replace(informed=jnp.asarray(0.2))
    both = expected_profit(env, params, jnp.array([[0.3, 0.7], [0.3, 0.7]]))
    # a noise trader pays 0.2, an informed one costs 0.3
    np.testing.assert_allclose(both, (0.8 * 0.2 - 0.2 * 0.3) / 2, rtol=1e-5)
    one = expected_profit(env, params, jnp.array([[0.31, 0.69], [0.3, 0.7]]))
    np.testing.assert_allclose(one, [0.8 * 0.19 - 0.2 * 0.31, 0.0], rtol=1e-5, atol=1e-7)


def test_a_monopolist_earns_a_markup_from_elastic_noise():
    """Half-spread h earns `(1 - μ) h exp(-κ h) - μ (1/2 - h)`; the best on a grid is the formula's, and positive."""
    env = GlostenMilgrom(num_agents=1)
    params = env.default_params.replace(informed=jnp.asarray(0.05), elasticity=jnp.asarray(4.0))
    halves = [0.05, 0.15, 0.25, 0.35, 0.45]
    found = [expected_profit(env, params, jnp.array([[0.5 - h, 0.5 + h]]))[0] for h in halves]
    formula = [0.95 * h * np.exp(-4 * h) - 0.05 * (0.5 - h) for h in halves]
    np.testing.assert_allclose(found, formula, atol=0.01 * 0.45, err_msg="patience is a grid of 50 numbers")
    assert np.argmax(found) == np.argmax(formula) == 2
    assert max(found) > 0.05


TABLE = {  # periods: λ, β Δt and Σ of some periods, by index, and the insider's profit
    1: ({0: 0.5}, {0: 1.0}, {0: 0.5}, 0.5),
    2: (
        {0: 0.652882, 1: 0.588227},
        {0: 0.471721, 1: 0.850012},
        {0: 0.692021, 1: 0.346011},
        0.620555,
    ),
    4: (
        {0: 0.764797, 1: 0.756758, 2: 0.737208, 3: 0.664201},
        {0: 0.232564, 1: 0.296768, 2: 0.417764, 3: 0.752784},
        {0: 0.822136, 1: 0.637499, 2: 0.441163, 3: 0.220582},
        0.730741,
    ),
    10: ({0: 0.865319, 9: 0.741446}, {0: 0.094212, 9: 0.674358}, {0: 0.918476, 9: 0.109949}, 0.843888),
    100: ({0: 0.974459}, {}, {}, 0.971441),
}


@pytest.mark.parametrize("periods", TABLE)
def test_kyle_table(periods):
    found = kyle_equilibrium(periods)
    for values, expected in zip(found[:3], TABLE[periods], strict=False):
        for index, number in expected.items():
            assert abs(values[index] - number) < 1e-6
    assert abs(found.profit - TABLE[periods][3]) < 1e-6
    last = found.variance[-2] if periods > 1 else 1.0
    np.testing.assert_allclose(found.variance[-1], last / 2, err_msg="the last auction reveals half")


def test_kyle_scales():
    found = kyle_equilibrium(1, value_std=2.0, noise_std=3.0)
    np.testing.assert_allclose(found.impact, [2 / 6])
    np.testing.assert_allclose(found.intensity, [3 / 2])
    np.testing.assert_allclose(found.variance, [2.0])
    np.testing.assert_allclose(found.profit, 3.0)
    many, unit = kyle_equilibrium(5, 2.0, 3.0), kyle_equilibrium(5)
    np.testing.assert_allclose(many.impact, unit.impact * 2 / 3)
    np.testing.assert_allclose(many.profit, unit.profit * 6)


def test_kyle_limit_of_continuous_trade():
    """With many auctions λ and profit go to 1 and variance falls evenly to 0, all nearly as 1 / N."""
    errors = []
    for periods in (200, 2000):
        found = kyle_equilibrium(periods)
        left = 1 - np.arange(1, periods + 1) / periods
        errors.append([1 - found.impact[0], 1 - found.profit, np.abs(found.variance - left).max()])
    assert (np.abs(errors[1]) < 3e-3).all()
    assert (np.abs(errors[0]) > 5 * np.abs(errors[1])).all()


def play_slopes(env, params, insider, impact, draws):
    """Total rewards `[B, 2]` where slopes are given for each auction, on given chance."""

    def one(value, noises):
        def step(state, x):
            state, reward, _, _ = env.transition(state, x[0], x[1], params)
            return state, reward

        slopes = jnp.stack([insider, impact], axis=1)
        return jax.lax.scan(step, env.initial(value, params), (slopes, noises))[1]

    return jax.vmap(one)(*draws)


def draws(env, count, seed):
    rng = np.random.default_rng(seed)
    value, noise = rng.standard_normal(count), rng.standard_normal((count, env.num_auctions))
    # antithetic pairs and unit variance take the sampling noise out of second moments
    value, noise = np.concatenate([value, -value]), np.concatenate([noise, noise])
    return jnp.asarray(value / value.std(), jnp.float32), jnp.asarray(noise / noise.std(axis=0), jnp.float32)


def test_equilibrium_profits_and_errors_by_simulation():
    env = Kyle(num_auctions=4)
    params = env.default_params
    known = env.benchmarks(params)
    slopes = [jnp.asarray(known[name], jnp.float32) for name in ("intensity", "impact")]
    reward = np.asarray(jax.jit(lambda d: play_slopes(env, params, *slopes, d))(draws(env, 50_000, 0)))
    total = reward[:, :, 0].sum(axis=1)
    assert abs(total.mean() - known["profit"]) < 4 * total.std() / np.sqrt(len(total))
    errors = -reward[:, :, 1]
    assert (abs(errors.mean(axis=0) - known["variance"]) < 4 * errors.std(axis=0) / np.sqrt(len(errors))).all()


def test_equilibrium_policies_play_the_table():
    env = Kyle(num_auctions=2)
    known = env.benchmarks(env.default_params)
    obs = env.observe(env.initial(jnp.float32(0.3), env.default_params), env.default_params)
    np.testing.assert_allclose(obs[:, 3], [0.3, 0.0], rtol=1e-6, err_msg="the market maker does not see the value")
    for agent, name in enumerate(("insider", "market_maker")):
        action, _ = known[name].act((), (), obs[agent].at[0].set(0.5), ())
        np.testing.assert_allclose(action, known[("intensity", "impact")[agent]][1], rtol=1e-6)


@pytest.mark.parametrize("periods", [1, 2])
def test_gradient_play_reaches_the_equilibrium(periods):
    """The insider climbs its total profit, the market maker each auction's squared error, on fresh draws."""
    env = Kyle(num_auctions=periods)
    params, known = env.default_params, kyle_equilibrium(periods)
    data = draws(env, 20_000, 1)

    def objective(slopes, others, agent):
        pair = (slopes, others) if agent == 0 else (others, slopes)
        return jnp.mean(jnp.sum(play_slopes(env, params, *pair, data)[:, :, agent], axis=1))

    def myopic(impact, insider):
        """An auction's price error, with the earlier ones' slopes held: each auction's market maker is another one."""
        held = jax.lax.stop_gradient(impact)
        total = 0.0
        for n in range(periods):
            mixed = held.at[n].set(impact[n])
            total = total + jnp.mean(play_slopes(env, params, insider, mixed, data)[:, n, 1])
        return total

    @jax.jit
    def learn(slopes):
        def step(slopes, _):
            insider, impact = slopes
            up = jax.grad(objective)(insider, jax.lax.stop_gradient(impact), 0)
            down = jax.grad(myopic)(impact, insider)
            return (insider + 0.15 * up, impact + 0.15 * down), None

        return jax.lax.scan(step, slopes, length=150)[0]

    insider, impact = learn((jnp.full(periods, 0.3), jnp.full(periods, 0.4)))
    np.testing.assert_allclose(insider, known.intensity, rtol=0.02)
    np.testing.assert_allclose(impact, known.impact, rtol=0.02)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="num_auctions must be an integer >= 1, got 0"):
        kyle_equilibrium(0)
    env = GlostenMilgrom()
    with pytest.raises(ValueError, match="informed must be in"):
        env.validate(env.default_params.replace(informed=jnp.asarray(1.0)))

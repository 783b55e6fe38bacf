"""The first-price pacing market: the continuum's equilibrium as a benchmark, PACE as a policy, budgets that bind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from auction_play import draws, play

from jaxmarl.core import make
from jaxmarl.envs.auctions import PRIORS, pace_policy
from jaxmarl.envs.auctions.pacing_market import constant_multiplier
from jaxmarl.solvers.auctions import pace
from jaxmarl.testing import check_policy

PAIRS = {  # budgets: multipliers, spend, revenue
    (0.3, 0.2): ((0.8, 0.692820), (0.3, 0.2), 0.5),
    (0.6, 0.1): ((1, 0.547723), (0.45, 0.1), 0.55),
}


def market(rates, **static):
    env, params = make("pacing_market", num_agents=len(rates), **static)
    return env, params.replace(rate=jnp.asarray(rates, jnp.float32))


@pytest.mark.parametrize("rates", PAIRS)
def test_equilibrium_multipliers_are_the_benchmark_and_spend_the_budgets(rates):
    env, params = market(rates, num_items=256, horizon=128)
    known = env.benchmarks(params)
    multipliers, spend, revenue = PAIRS[rates]
    np.testing.assert_allclose(known["multipliers"], multipliers, atol=1e-6)
    np.testing.assert_allclose(known["spend"], spend, atol=1e-6)
    assert known["revenue"] == pytest.approx(revenue, abs=1e-6)
    # buyers in the other order, values and budgets three times as large: the same multipliers
    scaled = params.replace(
        rate=3 * jnp.asarray(rates[::-1], jnp.float32), prior=PRIORS["uniform"](jnp.zeros(2), jnp.full(2, 3.0))
    )
    other = env.benchmarks(scaled)
    np.testing.assert_allclose(other["multipliers"], multipliers[::-1], atol=1e-6)
    np.testing.assert_allclose(other["spend"], 3 * np.array(spend[::-1]), atol=1e-5)
    states, chances = draws(env, params, jax.random.key(2), 1, 128)
    _, (rewards, over, info, _) = play(env, known["policies"], params, states, chances)
    paid = np.asarray(info["payments"], np.float64)[:96, 0]  # before money can run out
    np.testing.assert_allclose(paid.mean(axis=0), spend, atol=4 * (paid.std(axis=0) / np.sqrt(96)).max())
    np.testing.assert_allclose(np.asarray(rewards)[:, 0], np.asarray(info["won"] - info["payments"])[:, 0], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(over)[:, 0], np.arange(128) == 127)


def test_utilities_at_the_multipliers_and_that_they_are_no_nash_equilibrium():
    """With the money she keeps a buyer has `rate / beta`; an unpaced one, who earns nothing, would do better lower."""
    rates = (0.6, 0.1)
    env, params = market(rates, num_items=4096, horizon=40)
    multipliers = jnp.asarray(env.benchmarks(params)["multipliers"], jnp.float32)
    states, chances = draws(env, params, jax.random.key(3), 1, 1)
    state, chance = jax.tree.map(lambda x: x[0], states), chances[0, 0]
    played = jnp.stack([multipliers, multipliers * jnp.asarray([0.6, 1.0])])
    _, reward, _, _ = jax.vmap(env.transition, in_axes=(None, 0, None, None))(state, played, chance, params)
    np.testing.assert_allclose(reward[0] + params.rate, np.array(rates) / multipliers, atol=0.01)
    assert float(reward[0, 0]) == pytest.approx(0, abs=1e-6)
    assert float(reward[1, 0]) > 0.1


def test_pace_as_a_policy_reproduces_the_solver_item_by_item():
    env, params = market((0.6, 0.1), num_items=1, horizon=4000)
    states, chances = draws(env, params, jax.random.key(4), 1, 4000)
    _, (_, _, info, played) = play(env, (pace_policy(),), params, states, chances)
    run = pace(chances[:, 0, :, 0], params.rate)
    spent = np.asarray(info["payments"], np.float64)[:, 0].cumsum(axis=0)
    open_ = (spent < np.asarray(params.rate) * 4000 * 0.999).all(axis=1)  # the solver knows no end of the money
    assert open_[:3900].all()
    np.testing.assert_allclose(played[:, 0][open_], run.path[open_], atol=2e-5)
    prices = np.asarray(info["revenue"])[:, 0]
    np.testing.assert_allclose(prices[open_], run.prices[open_], atol=2e-5)
    np.testing.assert_allclose(played[3900, 0], [1, 0.547723], atol=0.02)


def test_pace_with_many_items_settles_at_the_equilibrium():
    env, params = market((0.3, 0.2), num_items=256, horizon=128)
    states, chances = draws(env, params, jax.random.key(5), 1, 128)
    final, (_, _, _, played) = play(env, (env.benchmarks(params)["policy"],), params, states, chances)
    np.testing.assert_allclose(played[120, 0], [0.8, 0.692820], atol=0.015)
    assert (np.asarray(final.ledger.spent[0]) <= np.asarray(params.rate) * 128 * (1 + 1e-6)).all()


def test_budgets_deplete_and_limit_what_is_bought():
    env, params = market((0.1, 0.1), num_items=2, horizon=10)
    chance = jnp.asarray([[0.9, 0.8], [0.5, 0.6]])  # [buyer, item]
    state = env.initial((), params)
    spent = []
    for _ in range(3):
        state, reward, _, info = env.transition(state, jnp.asarray([1.0, 0.5]), chance, params)
        spent.append((float(info["payments"][0]), float(info["won"][0]), float(reward[0])))
    # 0.85 in the first period, the 0.15 left in the second, then nothing
    np.testing.assert_allclose(spent, [(0.85, 0.85, 0), (0.15, 0.15, 0), (0, 0, 0)], atol=1e-6)
    assert float(state.ledger.left(params.rate * 10)[0]) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(env.observe(state, params)[1], [0.1, 1, 0.5, 0, 0, 0.3], atol=1e-6)


def test_equal_bids_share_and_zero_bids_buy_nothing():
    env, params = market((1.0, 1.0), num_items=2)
    state = env.initial((), params)
    chance = jnp.asarray([[0.4, 0.6], [0.4, 0.2]])
    info = env.transition(state, jnp.ones(2), chance, params)[3]
    np.testing.assert_allclose(info["won"], [0.1 + 0.3, 0.1], rtol=1e-6)
    info = env.transition(state, jnp.zeros(2), chance, params)[3]
    assert float(info["welfare"]) == 0


def test_absent_benchmarks_policies_and_refusals():
    env, params = market((0.5, 0.1))
    border = env.benchmarks(params.replace(rate=jnp.asarray([0.4500001, 0.1])))
    assert set(border) == {"policy"}  # bidding her values the first spends 0.45
    assert set(make("pacing_market", num_agents=3)[0].benchmarks(make("pacing_market", num_agents=3)[1])) == {"policy"}
    obs = env.observe(env.initial((), params), params)[0]
    for policy in (env.benchmarks(params)["policy"], constant_multiplier(0.4)):
        check_policy(policy, obs, action_space=env.action_space(params))
    with pytest.raises(ValueError, match=r"^multiplier must be"):
        constant_multiplier(1.2)
    with pytest.raises(ValueError, match=r"^rate must be"):
        env.validate(params.replace(rate=jnp.ones(3)))
    with pytest.raises(ValueError, match=r"^num_items must be"):
        make("pacing_market", num_items=0)

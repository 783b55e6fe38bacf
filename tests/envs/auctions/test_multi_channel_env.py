"""The multi-channel environment: listed optima by its benchmark policy, the two levers apart, the money limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from auction_play import draws, play

from jaxmarl.core import make
from jaxmarl.envs.auctions.channels import budget_response
from jaxmarl.testing import check_policy

VALUES = [[4.0, 3, 2, 1], [3, 3, 2, 0]]
COSTS = [[1.0, 1.5, 2, 2], [0.5, 2, 3, 0]]
OPTIMA = [  # target, budget, value, channel spend, duals
    (1, 4, 11.5, (2.5, 1.5), (0, 1.5)),
    (2, 8, 15.5, (4.5, 3.25), (0.5, 0)),
    (2.5, 6, 13.333333, (2.833333, 2.5), (0.666667, 0)),
    (3, 8, 11.0, (2.5, 1.166667), (1, 0)),
]
NO_CHANCE = jnp.zeros((2, 2, 4))


def number(x):
    return jnp.full((), x, float)


def listed(roi, budget, lever="budget", horizon=5, **changes):
    """The listed market without noise."""
    env, params = make("multi_channel_bidding", horizon=horizon, lever=lever)
    most = jnp.asarray([6.5, 5.5]) if lever == "budget" else jnp.full(2, 8.0)
    numbers = {"values": jnp.asarray(VALUES), "costs": jnp.asarray(COSTS), "max_lever": most, "noise": number(0)}
    return env, params.replace(**numbers, roi=number(roi), budget=number(budget), **changes)


@pytest.mark.parametrize(("roi", "budget", "value", "spend", "duals"), OPTIMA)
def test_the_benchmark_reaches_the_listed_optimum_in_every_period(roi, budget, value, spend, duals):
    env, params = listed(roi, budget)
    env.validate(params)
    known = env.benchmarks(params)
    assert known["value"] == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(known["spend"], spend, atol=1e-6)
    np.testing.assert_allclose((known["roi_dual"], known["budget_dual"]), duals, atol=1e-6)
    np.testing.assert_allclose(known["action"] * params.max_lever, spend, atol=1e-5)
    states, chances = draws(env, params, jax.random.key(0), 1, 5)
    final, (rewards, over, info, _) = play(env, (known["policy"],), params, states, chances)
    np.testing.assert_allclose(rewards[:, 0, 0], value, atol=1e-3)
    np.testing.assert_allclose(info["spend"][:, 0], [spend] * 5, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(over)[:, 0], [False] * 4 + [True])
    assert float(final.spent[0]) <= 5 * budget * (1 + 1e-6)


@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_the_counterexample_to_targets_alone(epsilon):
    """Budgets reach `1 + epsilon`; of all pairs of targets the best that keeps to the global one reaches `epsilon`."""
    market = {"values": jnp.asarray([[epsilon], [2.0]]), "costs": jnp.asarray([[0.0], [2 * (1 + epsilon)]])}
    common = {**market, "noise": number(0), "roi": number(1), "budget": number(100), "penalty": number(1000)}
    env, params = make("multi_channel_bidding", num_auctions=1, horizon=1)
    params = params.replace(**common, max_lever=jnp.full(2, 4.0))
    known = env.benchmarks(params)
    assert known["value"] == pytest.approx(1 + epsilon, abs=1e-6)
    state = env.initial((), params)
    chance = jnp.zeros((2, 2, 1))
    reward = env.transition(state, jnp.asarray(known["action"])[None], chance, params)[1]
    assert float(reward[0]) == pytest.approx(1 + epsilon, abs=1e-4)
    levers, numbers = make("multi_channel_bidding", num_auctions=1, horizon=1, lever="roi")
    numbers = numbers.replace(**common, max_lever=jnp.full(2, 2.0))
    grid = jnp.linspace(0, 1, 41)
    pairs = jnp.stack(jnp.meshgrid(grid, grid), axis=-1).reshape(-1, 1, 2)
    reward = jax.vmap(lambda a: levers.transition(state, a, chance, numbers)[1][0])(pairs)
    assert float(jnp.max(reward)) == pytest.approx(epsilon, rel=1e-4)
    assert "policy" not in levers.benchmarks(numbers)


def test_money_runs_out_and_never_goes_below_nothing():
    env, params = listed(1, 4, horizon=4)
    state = env.initial((), params)
    spent = []
    for _ in range(4):
        state, _, over, info = env.transition(state, jnp.ones((1, 2)), NO_CHANCE, params)
        spent.append(float(info["revenue"]))
    np.testing.assert_allclose(spent, [12, 4, 0, 0], atol=1e-5)
    assert bool(over)
    assert float(env.observe(state, params)[0, 6]) == pytest.approx(0, abs=1e-6)


def test_a_missed_return_is_charged_at_the_end():
    env, params = listed(2.5, 8, horizon=2, penalty=number(3))
    action = jnp.asarray([[4.5 / 6.5, 3.25 / 5.5]])  # value 15.5 for 7.75
    state = env.initial((), params)
    state, first, _, info = env.transition(state, action, NO_CHANCE, params)
    assert float(info["shortfall"]) == pytest.approx(2.5 * 7.75 - 15.5, abs=1e-4)
    _, last, _, info = env.transition(state, action, NO_CHANCE, params)
    assert float(first[0]) == pytest.approx(15.5, abs=1e-4)
    assert float(last[0]) == pytest.approx(15.5 - 3 * 2 * (2.5 * 7.75 - 15.5), abs=1e-3)


def test_channels_answer_noisy_prices_as_the_response_does():
    env, params = listed(1, 100, horizon=3)
    params = params.replace(noise=number(0.3))
    states, chances = draws(env, params, jax.random.key(1), 16, 1)
    action = jnp.asarray([[0.3, 0.6]])
    _, _, _, info = jax.vmap(lambda s, c: env.transition(s, action, c, params))(states, chances[0])
    units = np.asarray(chances[0])
    assert (np.abs(units) <= 1).all()
    for k in range(16):
        worth, price = jnp.asarray(VALUES * (1 + 0.3 * units[k, 0])), jnp.asarray(COSTS * (1 + 0.3 * units[k, 1]))
        for channel in range(2):
            budget = float(action[0, channel] * params.max_lever[channel])
            value, spend = budget_response(worth[channel], price[channel], budget)
            np.testing.assert_allclose(info["values"][k, channel], value, rtol=1e-4)
            np.testing.assert_allclose(info["spend"][k, channel], spend, rtol=1e-4)


def test_the_default_market_binds_both_constraints_or_one_and_policies_fit():
    env, params = make("multi_channel_bidding", num_channels=3)
    known = env.benchmarks(params)
    assert known["roi_dual"] + known["budget_dual"] > 0
    assert (np.asarray(known["action"]) <= 1).all()
    obs = env.observe(env.initial((), params), params)[0]
    check_policy(known["policy"], obs, action_space=env.action_space(params))


@pytest.mark.parametrize(
    ("change", "argument"),
    [({"noise": number(1)}, "noise"), ({"values": jnp.ones((2, 3))}, "values"), ({"roi": number(-1)}, "roi")],
)
def test_refused_numbers(change, argument):
    env, params = make("multi_channel_bidding")
    with pytest.raises(ValueError, match=rf"^{argument} must be"):
        env.validate(params.replace(**change))
    with pytest.raises(ValueError, match=r"^lever must be"):
        make("multi_channel_bidding", lever="both")

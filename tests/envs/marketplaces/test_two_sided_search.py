"""Two-sided search: welfare with ideal search, first-proposal bias, races to be first, and dispersed prices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import draw
from jaxmarl.core.policy import Policy
from jaxmarl.envs.marketplaces import TwoSidedSearch, dispersed_pricing, fixed_offer, quality_markup
from jaxmarl.envs.marketplaces.search_closed_forms import (
    burdett_judd_cdf,
    burdett_judd_price,
    first_offer_share,
    race_effort,
)

ENV = TwoSidedSearch(num_agents=4, num_customers=50)
ROUNDS = 400


@jax.jit
def rounds(params, action):
    """Rewards and info of independent first rounds in which businesses play `action [ROUNDS, B, 2]`."""
    start, step = draw((ENV.reset_chance, ENV.step_chance), jax.random.key(2), (ROUNDS,))
    states = jax.vmap(ENV.initial, (0, None))(start, params)
    _, reward, _, info = jax.vmap(ENV.transition, (0, 0, 0, None))(states, action, step, params)
    return reward, info


def play(params, prices, efforts=1.0):
    shape = ROUNDS, ENV.num_agents
    price, effort = np.broadcast_to(prices, shape), np.broadcast_to(efforts, shape)
    action = np.stack([price / params.highest_price, effort / params.highest_effort], axis=-1)
    return jax.tree.map(np.asarray, rounds(params, jnp.asarray(action, jnp.float32)))


def numbers(**changes):
    """Params of equal offers: no noise, no bias, everything considered."""
    plain = dict(lowest_quality=1.0, highest_quality=1.0, taste=0.0, fit=1.0, ranking_noise=0.0, num_results=4)
    plain |= dict(bias=0.0, temperature=0.05, cost=0.0, effort_cost=0.0, highest_price=1.0, single_quote=0.0)
    default = ENV.default_params
    fields = {name: jnp.asarray(x, getattr(default, name).dtype) for name, x in (plain | changes).items()}
    return default.replace(**fields)


def test_ideal_search_is_efficient():
    tastes = dict(lowest_quality=0.2, taste=0.4, fit=0.8)
    _, info = play(numbers(temperature=0.0, **tastes), [0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(info["welfare"], info["best_welfare"], rtol=1e-5)
    assert info["sales"].sum(1).mean() < 0.99, "someone declines"
    cases = (
        dict(num_results=2),
        dict(num_results=2, ranking_noise=1.0),
        dict(num_results=2, ranking_noise=1.0, bias=0.5),
    )
    shares = [1.0]
    for case in cases:
        _, info = play(numbers(temperature=0.0, **tastes, **case), [0.3, 0.4, 0.5, 0.6])
        assert (info["welfare"] <= info["best_welfare"] * (1 + 1e-5)).all()
        shares.append(info["welfare"].sum() / info["best_welfare"].sum())
    assert (np.diff(shares) < [0.0, -0.05, -0.05]).all(), "each friction costs welfare"


def test_first_share_of_three_offers():
    """`2 / (e^3 + 2)` is 0.090557, so that the first's share is 0.909443."""
    np.testing.assert_allclose(first_offer_share(3.0, 1.0, 3), 0.909443, atol=5e-7)
    np.testing.assert_allclose(
        first_offer_share(3.0, 1.0, 3) / ((1 - first_offer_share(3.0, 1.0, 3)) / 2), 20.1, atol=0.05
    )
    np.testing.assert_allclose(first_offer_share(0.0, 1.0, 5), 0.2)
    known = ENV.benchmarks(numbers(bias=0.15, num_results=3))
    np.testing.assert_allclose([known["first_share"], known["first_advantage"]], [0.909443, np.exp(3)], rtol=1e-5)


@pytest.mark.parametrize(("ratio", "results"), [(0.0, 4), (1.0, 3), (3.0, 3), (3.0, 4)])
def test_first_share_of_equal_offers(ratio, results):
    """In the environment: nothing, 16 temperatures below the offers, is never chosen."""
    _, info = play(numbers(bias=0.05 * ratio, num_results=results), 0.2)
    assert (info["first_offers"] == 50).all()
    assert (info["later_offers"] == 50 * (results - 1)).all()
    share, count = info["first_sales"].mean() / 50, ROUNDS * 50
    expected = float(first_offer_share(ratio, 1.0, results))
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)
    assert (info["first_sales"] + info["later_sales"] == 50).all()


def test_effort_wins_the_race_in_proportion():
    efforts = np.array([1.0, 2.0, 5.0, 0.0])
    _, info = play(numbers(bias=10.0), 0.2, efforts)
    expected = efforts / efforts.sum()
    error = np.sqrt(expected * (1 - expected) / (ROUNDS * 50))
    assert (np.abs(info["sales"].mean(0) - expected) <= 4 * error + 1e-6).all()


def test_race_effort_is_a_best_response():
    params = numbers(bias=0.1, effort_cost=0.3, num_results=3)
    effort = float(ENV.benchmarks(params)["race_effort"](0.5))
    share = float(first_offer_share(0.1, 0.05, 3))
    stake = 50 * 0.5 * (share - (1 - share) / 2)
    assert effort == pytest.approx(float(race_effort(stake, 3, 4, 0.3)), rel=1e-5)
    own = effort * np.linspace(0.5, 2.0, 301)
    # considered with probability 3 / 4, against two others
    profit = 0.75 * stake * own / (own + 2 * effort) - 0.3 * own
    assert own[profit.argmax()] == pytest.approx(effort, rel=0.01)


def test_burdett_judd_prices():
    q, price = 0.4, np.linspace(0.26, 0.99, 30)
    cdf = jax.jit(burdett_judd_cdf)
    np.testing.assert_allclose(jax.jit(burdett_judd_price)(cdf(price, q), q), price, rtol=1e-5)
    ends = np.resize([0.1, q / (2 - q), 1.0, 2.0], 30)
    np.testing.assert_allclose(cdf(ends, q), np.resize([0, 0, 1, 1], 30), atol=1e-6)
    np.testing.assert_allclose(price * (q + 2 * (1 - q) * (1 - np.asarray(cdf(price, q)))), q, rtol=1e-5)


def test_dispersed_prices_earn_the_same():
    params = numbers(single_quote=0.4, num_results=2, temperature=0.0)
    known = ENV.benchmarks(params)
    prices = np.asarray(known["price"](np.random.default_rng(0).random((ROUNDS, 4))))
    reward, _ = play(params, prices)
    np.testing.assert_allclose(known["profit"], 0.4 * 50 / 4, rtol=1e-5)
    cuts = np.quantile(prices, [0.0, 0.25, 0.5, 0.75, 1.0])
    for low, high in itertools.pairwise(cuts):
        earned = reward[(prices >= low) & (prices <= high)]
        assert abs(earned.mean() - known["profit"]) < 4 * earned.std() / np.sqrt(earned.size)


def test_rewards_are_margins_less_effort():
    params = numbers(cost=0.2, effort_cost=0.5)
    reward, info = play(params, 0.6, [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(reward, 0.4 * 50 * info["sales"] - 0.5 * np.arange(4.0), rtol=1e-4, atol=1e-4)


def test_scripted_businesses():
    params, obs = numbers(single_quote=0.4, cost=0.2, num_results=2), jnp.array([0.9, *np.zeros(7)])

    def action(policy: Policy, chance=()):
        return np.asarray(policy.act(params, (), obs, chance)[0]) * [1.0, float(params.highest_effort)]

    np.testing.assert_allclose(action(fixed_offer(ENV, 0.5, 2.0)), [0.5, 2.0], rtol=1e-6)
    np.testing.assert_allclose(action(quality_markup(ENV, 0.5, 3.0)), [0.55, 3.0], rtol=1e-6)
    np.testing.assert_allclose(action(dispersed_pricing(ENV), jnp.array(0.0)), [0.2 + 0.8 * 0.25, 1.0], rtol=1e-5)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="num_agents"):
        TwoSidedSearch(num_agents=1)
    with pytest.raises(ValueError, match="fit"):
        ENV.validate(numbers(fit=1.5))
    with pytest.raises(ValueError, match="num_results"):
        ENV.validate(numbers(num_results=0))
    with pytest.raises(ValueError, match="highest_quality"):
        ENV.validate(numbers(lowest_quality=2.0))
    with pytest.raises(ValueError, match="share"):
        quality_markup(ENV, 1.5, 1.0)

"""The house auction: its rules by hand, truthful bidding against second prices, budgets, personas and metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from auction_play import draws, play

from jaxmarl.core import MaskedObs, make
from jaxmarl.envs.auctions import estimated_personas, profiling_accuracy
from jaxmarl.envs.auctions.house import dirichlet_ones
from jaxmarl.testing import check_policy

GAMES, HOUSES, STEPS = 256, 6, 240


def test_the_defaults_are_those_of_the_setting():
    env, params = make("house_auction")
    assert (env.num_houses, env.num_attributes) == (10, 4)
    assert 3 <= env.num_agents <= 5
    np.testing.assert_array_equal(params.budget, 250)
    numbers = (params.increment, params.base_low, params.base_high, params.value_floor, params.value_slope)
    np.testing.assert_allclose(numbers, [5, 50, 150, 0.7, 0.6], rtol=1e-6)
    assert env.action_space(params).n == 4
    state = env.initial((jnp.full((10, 4), 0.5), jnp.full((4, 4), 0.3), jnp.full(10, 0.5)), params)
    np.testing.assert_allclose(env.values(state, params), 100 * (0.7 + 0.6 * 0.5), rtol=1e-6)


def test_personas_are_uniform_on_the_simplex():
    """Dirichlet(1, 1, 1, 1): means 1/4, variances 3/80, covariances -1/80, marginals Beta(1, 3)."""
    weights = np.asarray(dirichlet_ones(jax.random.uniform(jax.random.key(0), (40_000, 4))), np.float64)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.mean(axis=0), 0.25, atol=4 * np.sqrt(3 / 80 / 40_000))
    np.testing.assert_allclose(np.cov(weights.T), np.eye(4) / 20 - 1 / 80, atol=1.5e-3)
    below = (weights < 0.2).mean(axis=0)
    np.testing.assert_allclose(below, 1 - 0.8**3, atol=4 * np.sqrt(0.25 / 40_000))
    assert np.isfinite(dirichlet_ones(jnp.zeros(4))).all()


def two_buyers():
    """Values 100 and 85.5 of the first of two houses; the attributes are 1 and 0, and 0 and 1."""
    env, params = make("house_auction", num_agents=2, num_houses=2, num_attributes=2, max_rounds=30)
    params = params.replace(budget=jnp.asarray([150.0, 60.0]))
    chance = (jnp.eye(2), jnp.zeros((2, 2)), jnp.full(2, 0.5))
    state = env.initial(chance, params)
    return env, params, state.replace(personas=jnp.asarray([[0.5, 0.5], [0.25, 0.75]]))


def test_rules_by_hand():
    env, params, state = two_buyers()
    np.testing.assert_allclose(env.values(state, params), [100, 85], rtol=1e-6)
    lots = jnp.asarray([0.2, 0.7])
    infos = []
    # equal raises by 2 increments are drawn, then bidder 0 raises by 5, then both pass: she pays 35
    for action in ([2, 2], [3, 0], [0, 0]):
        before = state
        state, reward, over, info = env.transition(state, jnp.asarray(action), lots, params)
        infos.append((before, np.asarray(reward), bool(over), info))
    assert int(infos[1][0].holder) == 1
    assert float(infos[1][0].price) == 10
    assert [int(info["winner"]) for *_, info in infos] == [-1, -1, 0]
    np.testing.assert_allclose(infos[2][1], [100 - 35, 0], rtol=1e-6)
    assert not infos[2][2]
    np.testing.assert_allclose(state.left, [115, 60])
    assert (int(state.house), int(state.holder), float(state.price), int(state.round)) == (1, -1, 0, 0)
    obs = np.asarray(env.observe(state, params))
    own = [0, 1, 0.25, 0.75, 115 / 150, 0, 5 / 150, 0, 0, 0.5, 0]
    np.testing.assert_allclose(obs[1], [*own, 0.4, 0, 0, 0, 0, 115 / 150, 1, 35 / 150, 1, 0], atol=1e-6)
    mask = np.asarray(env.action_mask(state.replace(price=jnp.asarray(50.0)), params))
    np.testing.assert_array_equal(mask, [[True] * 4, [True, True, True, False]])
    held = env.action_mask(state.replace(holder=jnp.zeros((), jnp.int32)), params)
    np.testing.assert_array_equal(held[0], [True, False, False, False])
    # a house that nobody wants stays unsold and ends the episode; an illegal raise is a pass
    state = state.replace(price=jnp.asarray(115.0))
    after, reward, over, info = env.transition(state, jnp.asarray([3, 1]), lots, params)
    assert bool(over)
    assert int(info["winner"]) == -1
    assert not np.asarray(reward).any()
    metrics = env.metrics(after, params)
    np.testing.assert_allclose(metrics["profit"], [65, 0], rtol=1e-6)
    np.testing.assert_allclose(metrics["win_rate"], [0.5, 0])
    np.testing.assert_allclose(metrics["budget_use"], [35 / 150, 0], rtol=1e-6)


def test_a_house_is_sold_in_the_last_round_at_the_latest():
    env, params, state = two_buyers()
    for t in range(env.max_rounds):
        bidder = jnp.asarray([1, 0] if t % 2 == 0 else [0, 1])
        state, _, _, info = env.transition(
            state, bidder, jnp.asarray([0.2, 0.7]), params.replace(increment=jnp.ones(()))
        )
    assert int(info["winner"]) == 1
    assert float(info["price"]) == 30
    assert int(state.house) == 1


@pytest.fixture(scope="module")
def truthful():
    env, params = make("house_auction", num_agents=3, num_houses=HOUSES)
    states, chances = draws(env, params, jax.random.key(1), GAMES, STEPS)
    policy = env.benchmarks(params)["policy"]
    return env, params, states, *play(env, (policy,), params, states, chances)


def test_truthful_bidders_pay_the_second_highest_limit_within_an_increment(truthful):
    """Limits are values or the money left; the winner's is the highest, or within an increment of it."""
    _, _, states, final, (_, over, info, _) = truthful
    assert (np.asarray(over).sum(axis=0) == 1).all()
    assert (np.asarray(final.house) == HOUSES).all()
    taste = np.einsum("bnd,bmd->bnm", np.asarray(states.personas), np.asarray(states.attributes))
    worth = np.asarray(states.base)[:, None] * (0.7 + 0.6 * taste)
    winner, price = np.asarray(info["winner"]), np.asarray(info["price"])
    poor = 0
    for game in range(GAMES):
        left = np.full(3, 250.0)
        sales = np.flatnonzero(price[:, game] > 0)
        assert len(sales) == HOUSES
        for house, t in enumerate(sales):
            limits = np.minimum(worth[game, :, house], left)
            first, second = np.sort(limits)[::-1][:2]
            paid, buyer = price[t, game], winner[t, game]
            assert second - 5 - 1e-3 <= paid <= second + 5 + 1e-3
            assert paid <= limits[buyer] + 1e-3
            assert limits[buyer] >= first - 5 - 1e-3
            poor += (left < worth[game, :, house]).any()
            left[buyer] -= paid
        np.testing.assert_allclose(final.left[game], left, atol=1e-3)
        assert (left >= -1e-3).all()
    assert poor > GAMES  # budgets do bind


def test_metrics_and_rewards_agree(truthful):
    env, params, _, final, (rewards, _, info, _) = truthful
    metrics = jax.vmap(env.metrics, in_axes=(0, None))(final, params)
    rewards = np.asarray(rewards, np.float64)
    np.testing.assert_allclose(metrics["profit"], rewards.sum(axis=0), rtol=1e-4, atol=1e-3)
    assert rewards.min() >= -1e-3
    np.testing.assert_allclose(np.asarray(metrics["win_rate"]).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        metrics["budget_use"], np.asarray(info["payments"], np.float64).sum(axis=0) / 250, rtol=1e-4
    )
    welfare, best = (np.asarray(info[k], np.float64).sum(axis=0) for k in ("welfare", "efficient_welfare"))
    assert (welfare <= best + 1e-3).all()
    assert welfare.mean() < 0.99 * best.mean()  # money runs out, and is not with whoever likes a house the most


def test_profiling_accuracy(truthful):
    personas = jnp.asarray([[0.5, 0.5, 0, 0], [0.7, 0.1, 0.1, 0.1]])
    np.testing.assert_allclose(profiling_accuracy(3 * personas, personas), 1, rtol=1e-6)
    np.testing.assert_allclose(profiling_accuracy(jnp.ones((2, 4)), personas), [0.5**0.5, 0.5 / 0.52**0.5], rtol=1e-6)
    np.testing.assert_array_equal(profiling_accuracy(jnp.zeros(4), personas[0]), 0)
    final = truthful[3]
    uninformed = np.asarray(profiling_accuracy(jnp.ones_like(final.personas), final.personas))
    informed = np.asarray(profiling_accuracy(jax.vmap(estimated_personas)(final), final.personas))
    gain = (informed - uninformed).mean(axis=1)
    assert gain.mean() > 4 * gain.std() / np.sqrt(GAMES)


def test_policy_contract_and_refusals():
    env, params, state = two_buyers()
    obs = MaskedObs(env.observe(state, params)[0], env.action_mask(state, params)[0])
    check_policy(env.benchmarks(params)["policy"], obs, action_space=env.action_space(params))
    for change, argument in [({"increment": jnp.zeros(())}, "increment"), ({"base_high": jnp.zeros(())}, "base_high")]:
        with pytest.raises(ValueError, match=rf"^{argument} must be"):
            env.validate(params.replace(**change))
    with pytest.raises(ValueError, match=r"^num_houses must be"):
        make("house_auction", num_houses=0)

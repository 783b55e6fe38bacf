"""Markov games of few public states: distancing, a pollution tax, routing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import draw
from jaxmarl.envs.markov import (
    DistancingGame,
    MarkovRouting,
    PollutionTax,
    RoutingParams,
    affine_flows,
    enumerate_game,
    latencies,
    rosenthal_potential,
)
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_fixtures import DISTANCING_PENALTY, DISTANCING_WEIGHTS
from jaxmarl.games.markov_metrics import markov_nash_conv, policy_values
from jaxmarl.games.markov_rules import distancing_step
from jaxmarl.games.zoo.congestion import parallel_links


def best_deviation(profile, player, play, discount):
    """Values `[2]` of one player's best response to a pure profile `[2, N]` in a two-state deterministic game.

    `play(mode, action) -> (next mode, rewards)`; every policy of the player is tried.
    """
    sizes, best = 4 if profile.max() > 1 else 2, np.full(2, -np.inf)
    for own in np.ndindex(sizes, sizes):
        moved = profile.copy()
        moved[:, player] = own
        best = np.maximum(best, pure_values(moved, play, discount)[:, player])
    return best


def pure_values(profile, play, discount):
    """`[2, N]`: the two-by-two system of a deterministic profile."""
    rows, paid = np.zeros((2, 2)), []
    for mode in range(2):
        following, rewards = play(mode, profile[mode])
        rows[mode, int(following)] = 1
        paid.append(np.asarray(rewards))
    return np.linalg.solve(np.eye(2) - discount * rows, np.stack(paid))


def distance(mode, action):
    move = distancing_step(np.array(mode), action, np.array(DISTANCING_WEIGHTS), DISTANCING_PENALTY)
    return move.spread, move.rewards


def test_equilibrium_of_the_distancing_game():
    env = DistancingGame()
    with jax.enable_x64(True):
        known = env.benchmarks(env.default_params)
    profile = known["equilibrium"]
    assert [np.bincount(row, minlength=4).tolist() for row in profile] == [[0, 0, 4, 4], [2, 2, 2, 2]]
    values = pure_values(profile, distance, 0.99)
    np.testing.assert_allclose(values[0], [2400] * 4 + [1600] * 4, atol=1e-9)
    np.testing.assert_allclose(values[1], [2280] * 2 + [2278] * 2 + [1496] * 2 + [1492] * 2, atol=1e-9)
    np.testing.assert_allclose(known["equilibrium_values"], values, rtol=1e-12)
    for player in range(8):
        np.testing.assert_allclose(best_deviation(profile, player, distance, 0.99), values[:, player], atol=1e-9)
    with_penalty = replace(env.default_params, penalty=jnp.asarray(1.0))
    assert env.benchmarks(with_penalty) == {}


def test_the_smaller_game_has_that_equilibrium_too():
    env = DistancingGame(num_agents=4)
    with jax.enable_x64(True):
        known = env.benchmarks(env.default_params)
    values = pure_values(known["equilibrium"], distance, 0.99)
    np.testing.assert_allclose(known["equilibrium_values"], values, rtol=1e-12)
    for player in range(4):
        np.testing.assert_allclose(best_deviation(known["equilibrium"], player, distance, 0.99), values[:, player])


def test_distancing_step():
    env = DistancingGame()
    params = env.default_params
    state = env.initial(jnp.int32(1), params)
    action = jnp.array([3, 3, 3, 2, 2, 1, 0, 0])
    after, reward, ended, info = env.transition(state, action, (), params)
    np.testing.assert_allclose(reward, [-82, -82, -82, -92, -92, -98, -98, -98])
    assert info["users"].tolist() == [2, 1, 2, 3]
    assert int(after.mode) == 1  # three at one place are more than a quarter
    assert not ended


@pytest.mark.slow
def test_all_pollute_until_the_tax():
    env = PollutionTax(num_agents=4)
    with jax.enable_x64(True):
        params = replace(env.default_params, tolerated=jnp.asarray(2.0))
        known = env.benchmarks(params)
        game = enumerate_game(env, params, discount=0.95).game
        policies = tuple(jax.nn.one_hot(jnp.asarray(row), 2, dtype=float) for row in known["equilibrium"].T)
        assert float(jax.jit(markov_nash_conv)(game, policies)) < 1e-12
        np.testing.assert_allclose(policy_values(game, policies), np.tile(known["equilibrium_values"], (4, 1)))


def test_pollution_of_eight():
    env = PollutionTax()
    known = env.benchmarks(env.default_params)
    free = (4 + 0.95 * 2) / (1 - 0.95**2)
    np.testing.assert_allclose(known["equilibrium_values"], [free, 2 + 0.95 * free], rtol=1e-6)

    def play(mode, action):
        state = replace(env.initial((), env.default_params), mode=jnp.int32(mode))
        after, reward, _, _ = env.transition(state, jnp.asarray(action), (), env.default_params)
        return after.mode, reward

    best = best_deviation(known["equilibrium"], 0, play, 0.95)
    np.testing.assert_allclose(best, known["equilibrium_values"], rtol=1e-6)
    # four dirty firms for ever pay the clean ones less than a tax every other step
    half = np.array([[1] * 4 + [0] * 4, [0] * 8])
    assert best_deviation(half, 7, play, 0.95)[0] > pure_values(half, play, 0.95)[0, 7] + 1
    assert env.benchmarks(replace(env.default_params, tolerated=jnp.asarray(7.0))) == {}


def random_network(seed, links):
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(0, 3, links), rng.uniform(0, 2, links), rng.uniform(1, 4), rng.uniform(0, 1), 0.9
    return RoutingParams(*numbers)


@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_links_moves_the_potential_as_much(seed):
    params, rng = random_network(seed, 3), np.random.default_rng(100 + seed)
    for mode in range(3):
        links = rng.integers(0, 3, 6)
        users = np.bincount(links, minlength=3)
        before, potential = latencies(users, mode, params), rosenthal_potential(users, mode, params)
        for link in range(3):
            moved = users - np.eye(3, dtype=int)[links[0]] + np.eye(3, dtype=int)[link]
            own = latencies(moved, mode, params)[link] - before[links[0]]
            np.testing.assert_allclose(rosenthal_potential(moved, mode, params) - potential, own, atol=1e-12)


def test_routing_is_a_markov_potential_game():
    env = MarkovRouting(num_agents=3)
    with jax.enable_x64(True):
        params = env.default_params
        game = enumerate_game(env, params, discount=0.95).game
        users = np.stack([np.bincount(profile, minlength=2) for profile in np.ndindex(2, 2, 2)])
        host = jax.tree.map(np.asarray, params)
        phi = np.stack([rosenthal_potential(users, mode, host) for mode in (0, 1)]).reshape(1, 2, 2, 2, 2)
        common = MarkovGame(-np.repeat(phi, 3, axis=0), game.kernel, game.initial, 0.95)
        values_of = jax.jit(policy_values)
        weights = np.random.default_rng(0).dirichlet(np.ones(2), (2, 3, 2))
        before, other = (tuple(map(jnp.asarray, weights[k])) for k in (0, 1))
        for i in range(3):
            after = before[:i] + other[i : i + 1] + before[i + 1 :]
            own = values_of(game, after)[i] - values_of(game, before)[i]
            np.testing.assert_allclose(own, values_of(common, after)[0] - values_of(common, before)[0], atol=1e-9)
            assert np.abs(own).max() > 0.05
        # in each state the stage game is one of the zoo
        for state, (slopes, constants) in enumerate([((2, 1), (2, 2)), ((1, 2), (1, 4))]):
            np.testing.assert_allclose(game.rewards[:, state], parallel_links(3, slopes, constants).payoffs, atol=1e-6)


def test_greedy_drivers_are_in_equilibrium():
    env = MarkovRouting(num_agents=5, num_links=3)
    params = random_network(7, 3)
    known = env.benchmarks(params)
    for mode in range(3):
        users = known["equilibrium_users"][mode]
        own, joining = latencies(users, mode, params), latencies(users + 1, mode, params)
        assert np.max(own[users > 0]) <= np.min(joining) + 1e-9
        every = [u for u in np.ndindex(6, 6, 6) if sum(u) == 5]
        costs = [np.sum(np.array(u) * latencies(np.array(u), mode, params)) for u in every]
        np.testing.assert_allclose(known["optimal_latency"][mode], min(costs))
        assert known["equilibrium_latency"][mode] <= 4 / 3 * 3 * min(costs)


def test_the_degraded_link_changes_as_declared():
    env = MarkovRouting(num_links=3)
    params = env.default_params
    chance = draw(env.step_chance, jax.random.key(0), (20_000,))
    state = env.initial(jnp.int32(2), params)
    steps = jax.jit(jax.vmap(env.transition, (None, None, 0, None)))
    after = steps(state, jnp.zeros(4, jnp.int32), chance, params)[0].mode
    moved = float(jnp.mean(after == 0))
    assert abs(moved - 0.2) < 4 * np.sqrt(0.16 / 20_000)
    assert float(jnp.mean(after == 2)) == pytest.approx(1 - moved)


def cost(flows, constants, slopes):
    return float(np.sum(flows * (constants + slopes * flows)))


def test_pigou():
    constants, slopes = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    equilibrium, optimum = affine_flows(constants, slopes), affine_flows(constants, 2 * slopes)
    np.testing.assert_allclose(equilibrium, [0, 1])
    np.testing.assert_allclose(optimum, [0.5, 0.5])
    assert cost(equilibrium, constants, slopes) == pytest.approx(1)
    assert cost(optimum, constants, slopes) == pytest.approx(3 / 4)
    # many small drivers come near it
    env = MarkovRouting(num_agents=100)
    params = RoutingParams(constants, slopes / 100, 1.0, 0.5, 0.9)
    known = env.benchmarks(params)
    ratio = known["equilibrium_latency"] / known["optimal_latency"]
    np.testing.assert_allclose(ratio, 4 / 3, atol=0.02)


def test_flows_share_one_latency():
    rng = np.random.default_rng(0)
    for _ in range(20):
        constants, slopes = rng.uniform(0, 2, 5), rng.uniform(0.1, 2, 5) * (rng.random(5) < 0.8)
        flows = affine_flows(constants, slopes, 2.0)
        assert flows.min() >= 0
        assert flows.sum() == pytest.approx(2)
        latency = constants + slopes * flows
        assert np.ptp(latency[flows > 1e-12]) < 1e-9
        assert latency.min() >= latency[flows > 1e-12].max() - 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MarkovRouting(num_links=0), "num_links must be"),
        (lambda: MarkovRouting().validate(random_network(0, 3)), "constants must be"),
        (lambda: DistancingGame(num_steps=0), "num_steps must be"),
        (lambda: affine_flows(np.array([-1.0]), np.array([1.0])), "slopes and constants must be"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()

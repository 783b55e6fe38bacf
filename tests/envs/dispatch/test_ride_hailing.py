"""Ride-hailing: one step by hand, orders over time, matchings against the linear program, bounds of whole episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment

from jaxmarl.core.chance import draw
from jaxmarl.envs.dispatch import RideHailing, earnings, hindsight_bound, myopic_bound, nearest

EPISODES = 12
SMALL = dict(size=4, num_vehicles=4, max_orders=4, num_choices=12, num_steps=12)


def episodes(env, policy, key=0):
    """States before each step `[B, T]`, and info, of every vehicle under `policy`."""
    params = env.default_params

    def episode(start, chances):
        def step(state, chance):
            action = jax.vmap(lambda obs: policy.act(params, (), obs, ())[0])(env.observe(state, params))
            after, reward, _, info = env.transition(state, action, chance, params)
            return after, (state, info | {"reward": reward, "possible": env.earnings(state, params)})

        return jax.lax.scan(step, env.initial(start, params), chances)[1]

    start = draw(env.reset_chance, jax.random.key(key), (EPISODES,))
    chances = draw(env.step_chance, jax.random.key(key + 1), (EPISODES, env.num_steps))
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(episode))(start, chances))


@pytest.fixture(scope="module")
def played():
    """The myopic optimum and the nearest first, with the same chance."""
    optimal, greedy = RideHailing(**SMALL), RideHailing(**SMALL, rule="greedy")
    return optimal, episodes(optimal, earnings(optimal)), episodes(greedy, nearest(greedy))


def test_every_step_of_the_optimum_meets_its_bound(played):
    _, (_, info), _ = played
    for possible, revenue in zip(
        info["possible"][:, ::3].reshape(-1, 4, 12), info["revenue"][:, ::3].ravel(), strict=True
    ):
        assert possible[linear_sum_assignment(possible, maximize=True)].sum() == pytest.approx(revenue, rel=1e-5)
        assert myopic_bound(possible) == pytest.approx(revenue, rel=1e-5, abs=1e-7)


def test_no_step_beats_its_bound(played):
    _, _, (_, info) = played
    bounds = [myopic_bound(possible) for possible in info["possible"][0]]
    assert (info["revenue"][0] <= np.array(bounds) + 1e-4).all()


def test_no_episode_beats_hindsight(played):
    env, optimal, greedy = played
    for k in range(3):
        states = jax.tree.map(lambda x, k=k: x[k], optimal[0])
        bound = hindsight_bound(env, env.default_params, states)
        other = hindsight_bound(env, env.default_params, jax.tree.map(lambda x, k=k: x[k], greedy[0]))
        assert other == pytest.approx(bound), "orders do not depend on the play"
        for _, info in (optimal, greedy):
            assert info["revenue"][k].sum() <= bound * (1 + 1e-6)
        assert bound < 2 * optimal[1]["revenue"][k].sum()


def test_hindsight_of_one_step_is_myopic(played):
    _, (states, info), _ = played
    env = RideHailing(**SMALL | dict(num_steps=1))
    for k in range(4):
        bound = hindsight_bound(env, env.default_params, jax.tree.map(lambda x, k=k: x[k, :1], states))
        assert bound == pytest.approx(myopic_bound(info["possible"][k, 0]), rel=1e-6)


def test_orders_are_served_or_lost_or_wait(played):
    _, optimal, greedy = played
    for states, info in (optimal, greedy):
        first = states.orders.waiting[:, 0].sum((1, 2))
        waiting = states.orders.waiting[:, -1].sum((1, 2))  # before the last step
        flow = (info["arrived"] - info["served"] - info["lost"])[:, :-1].sum(1)
        np.testing.assert_array_equal(first + flow, waiting)
        assert info["lost"].sum() > 0
        assert (info["served"] <= info["free"]).all()


def test_vehicles_drive_for_as_long_as_it_takes(played):
    env, (states, info), _ = played
    sent = (states.busy[:, :-1] == 0) & (info["reward"][:, :-1] > 0)
    fare = float(env.default_params.base_fare)
    # reward = 2 + trip - 0.1 pickup, and busy + 1 = pickup + trip
    length = states.busy[:, 1:] + 1
    pickup = (length + fare - info["reward"][:, :-1]) / 1.1
    np.testing.assert_allclose(pickup[sent], np.round(pickup[sent]), atol=1e-4)
    assert ((pickup[sent] > -0.5) & (pickup[sent] < 6.5)).all()
    idle = states.busy[:, :-1] > 0
    np.testing.assert_array_equal(states.busy[:, 1:][idle], states.busy[:, :-1][idle] - 1)
    np.testing.assert_array_equal(info["reward"][:, :-1][idle], 0.0)


def test_orders_come_from_where_they_should(played):
    env, (states, info), _ = played
    params = env.default_params
    rate = info["arrived"].mean()
    law = stats.poisson(float(params.order_rate)).pmf(np.arange(60))
    capped = np.minimum(np.arange(60), env.max_orders)
    mean = (law * capped).sum()
    error = np.sqrt(((law * capped**2).sum() - mean**2) / info["arrived"].size)
    assert abs(rate - mean) < 4 * error
    origin, destination = states.orders.origin[:, 0, 0].ravel(), states.orders.destination[:, 0, 0].ravel()
    assert (origin != destination).all()
    middle = np.isin(origin, [5, 6, 9, 10])
    expected = float(params.origin[np.array([5, 6, 9, 10])].sum())
    assert abs(middle.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / middle.size)


def test_one_step_by_hand():
    env = RideHailing(size=3, num_vehicles=2, max_orders=2, window=2, num_choices=3, num_steps=5, rule="greedy")
    params = env.default_params.replace(order_rate=jnp.zeros(()))

    @jax.jit
    def play(scores):
        nothing = {"arrivals": jnp.zeros(()), "trips": jnp.zeros((2, 2))}
        state = env.initial({"cells": jnp.array([0, 8], jnp.int32), "orders": nothing}, params)
        one = jnp.array([[True, True], [False, False]])
        orders = state.orders.replace(
            waiting=one, origin=jnp.array([[1, 5], [0, 0]]), destination=jnp.array([[2, 0], [0, 0]])
        )
        state = state.replace(orders=orders)
        return env.observe(state, params), env.transition(state, scores, nothing, params)

    obs, (state, reward, _, info) = jax.tree.map(np.asarray, play(jnp.array([[0.9, 0.8, 1.0], [0.7, -0.1, 1.0]])))
    np.testing.assert_allclose(obs[0, 5:8], [1 / 4, 3 / 4, 0.0], err_msg="pick-ups from cell 0")
    np.testing.assert_allclose(obs[1, 5:8], [1 / 4, 3 / 4, 0.0], err_msg="from cell 8 the other order is nearer")
    # vehicle 0: order at 1 to 2; vehicle 1: order at 5 to 0, 3 away
    np.testing.assert_allclose(reward, [2 + 1 - 0.1, 2 + 3 - 0.1], rtol=1e-6)
    np.testing.assert_array_equal(state.cell, [2, 0])
    np.testing.assert_array_equal(state.busy, [1, 3])
    assert (int(info["served"]), int(info["lost"]), int(info["arrived"])) == (2, 0, 0)
    _, (state, reward, _, info) = jax.tree.map(np.asarray, play(-jnp.ones((2, 3))))
    np.testing.assert_array_equal(reward, 0.0)
    assert state.orders.waiting.sum() == 2, "refused orders wait"


def test_bad_input_is_named():
    env = RideHailing()
    with pytest.raises(ValueError, match="rule"):
        RideHailing(rule="optimum")
    with pytest.raises(ValueError, match="num_choices"):
        RideHailing(num_choices=16)
    with pytest.raises(ValueError, match="origin"):
        env.validate(env.default_params.replace(origin=jnp.zeros(36)))
    with pytest.raises(ValueError, match="pickup_cost"):
        env.validate(env.default_params.replace(pickup_cost=jnp.array(-1.0)))

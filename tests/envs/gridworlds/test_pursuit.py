"""Predators and prey on a torus."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers, Uniform, draw
from jaxmarl.core.policy import uniform_policy
from jaxmarl.core.seating import Player
from jaxmarl.envs.grid import distance, same_cell
from jaxmarl.envs.gridworlds.pursuit import Pursuit, PursuitState, chase_policy
from jaxmarl.evaluation.cross_play import play
from jaxmarl.testing import check_env

UP, DOWN, LEFT, RIGHT, STAY = range(5)
step = jax.jit(Pursuit.transition, static_argnums=0)


def state(predators, prey):
    return PursuitState(jnp.array(predators, jnp.int32), jnp.array(prey, jnp.int32), jnp.int32(0))


def test_four_neighbours_catch():
    env = Pursuit()
    params = env.default_params
    start = state([(1, 2), (3, 2), (2, 1), (2, 4)], (2, 2))
    after, reward, ended, info = step(env, start, jnp.array([STAY, STAY, STAY, LEFT]), 0.5, params)
    assert ended
    assert info["captured"]
    np.testing.assert_allclose(reward, 0.99)
    np.testing.assert_array_equal(after.prey, (2, 2))
    # the prey has one way out and is not caught
    after, reward, ended, _ = step(env, start, jnp.array([STAY] * 4), 0.99, params)
    assert not ended
    np.testing.assert_allclose(reward, -0.01)
    # around the edge of the torus
    corner = state([(6, 0), (1, 0), (0, 6), (0, 1)], (0, 0))
    assert step(env, corner, jnp.array([STAY] * 4), 0.5, params)[2]


def test_lower_numbers_go_first():
    env = Pursuit()
    start = state([(3, 1), (3, 3), (0, 0), (0, 1)], (5, 5))
    after = step(env, start, jnp.array([RIGHT, LEFT, RIGHT, RIGHT]), 0.0, env.default_params)[0]
    # 0 takes the cell that 1 wanted; 2 finds the place of 3 still taken
    np.testing.assert_array_equal(after.predators, [(3, 2), (3, 3), (0, 0), (0, 2)])
    closed = state([(5, 4), (3, 3), (0, 0), (0, 1)], (5, 5))
    after = step(env, closed, jnp.array([RIGHT, STAY, STAY, STAY]), 0.0, env.default_params)[0]
    np.testing.assert_array_equal(after.predators[0], (5, 4))


def test_contact_catches():
    env = Pursuit(num_agents=2, capture="contact")
    start = state([(5, 4), (3, 3)], (5, 5))
    after, _, ended, info = step(env, start, jnp.array([RIGHT, STAY]), 0.0, env.default_params)
    assert ended
    assert int(info["distance"]) == 0
    np.testing.assert_array_equal(after.predators[0], (5, 5))


def test_a_fleeing_prey_keeps_away():
    env = Pursuit(prey="flee")
    start = state([(3, 1), (2, 2), (4, 2), (0, 0)], (3, 2))
    for unit in (0.0, 0.5, 0.99):
        after = step(env, start, jnp.array([STAY] * 4), unit, env.default_params)[0]
        np.testing.assert_array_equal(after.prey, (3, 3))


def test_a_random_prey_takes_free_cells_alike():
    env = Pursuit()
    start = state([(3, 1), (2, 2), (6, 6), (0, 0)], (3, 2))
    for k, cell in enumerate([(4, 2), (3, 3), (3, 2)]):  # down, right, stay
        for unit in (k / 3 + 0.01, k / 3 + 0.32):
            after = step(env, start, jnp.array([STAY] * 4), unit, env.default_params)[0]
            np.testing.assert_array_equal(after.prey, cell)


def test_nobody_shares_a_cell():
    env = Pursuit(num_agents=6, size=4)
    params = env.default_params

    @jax.jit
    @jax.vmap
    def run(starts, actions, units):
        def move(state, entry):
            state, *_ = env.transition(state, *entry, params)
            everyone = jnp.concatenate([state.predators, state.prey[None]])
            return state, jnp.sum(same_cell(everyone[:, None], everyone)) == len(everyone)

        return jax.lax.scan(move, env.initial(starts, params), (actions, units))[1]

    spec = env.reset_chance, Integers(5, (40, 6)), Uniform((40,))
    assert run(*draw(spec, jax.random.key(0), (50,))).all()


def test_others_are_seen_from_the_own_place():
    env = Pursuit(size=7)
    start = state([(0, 0), (0, 1), (6, 0), (3, 3)], (1, 6))
    obs = np.asarray(env.observe(start, env.default_params))
    assert obs.shape == (4, 2, 7, 7)
    assert np.argwhere(obs[0, 1]).tolist() == [[4, 2]]  # one down, one left of the middle
    assert np.argwhere(obs[0, 0]).tolist() == [[2, 3], [3, 4], [6, 6]]
    np.testing.assert_array_equal(obs.sum((2, 3)), [[3, 1]] * 4)


def test_chasing_beats_chance():
    env = Pursuit(num_agents=2, capture="contact", max_steps=60)
    players = Player(chase_policy(7)), Player(uniform_policy(5))
    returns = play(env, players, np.array([[0, 0], [1, 1]]), jax.random.key(0), 500, max_steps=60, matches_per_call=500)
    chased, random = (returns[i, :, 0] > 0.4 for i in range(2))
    assert chased.mean() > 0.99
    assert random.mean() < 0.8
    one = env.observe(state([(0, 0), (3, 3)], (0, 5)), env.default_params)[0]
    action, _ = chase_policy(7).act((), (), one, jnp.float32(0.5))
    assert int(action) == LEFT
    assert int(distance(jnp.array([0, 0]), jnp.array([0, 5]), (7, 7))) == 2


def test_picture():
    env = Pursuit()
    assert env.render(state([(0, 0), (0, 1), (6, 0), (3, 3)], (1, 6)), env.default_params).shape == (281, 281, 3)


@pytest.mark.slow
@pytest.mark.parametrize("prey", ["random", "flee"])
def test_two_hunters_keep_the_contract(prey):
    env = Pursuit(num_agents=2, capture="contact", prey=prey, size=4)
    check_env(env, replace(env.default_params, step_cost=jnp.zeros(())))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_agents": 3}, "num_agents must be an integer in"),
        ({"capture": "bite"}, "capture must be one of"),
        ({"prey": "brave"}, "prey must be one of"),
        ({"size": 2}, "size must be"),
    ],
)
def test_refusals(fields, message):
    with pytest.raises(ValueError, match=message):
        Pursuit(**fields)

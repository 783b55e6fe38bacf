"""Merging and crossing: kinematics, the sheet of known drives, crashes in and between lanes, giving way."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.core import Player
from jaxmarl.envs.driving import Intersection, Merge, advance
from jaxmarl.envs.driving.kinematics import in_zone, too_close
from jaxmarl.evaluation import play_profiles

ENV, PARAMS = make("intersection")
BRAKE, HOLD, ACCELERATE = range(3)


def drive(env, position, speed, *actions, steps=40):
    """Steps driven, returns, and info of the last step, of cars that repeat one action each."""
    n = env.num_agents
    unit = {"position": jnp.zeros(n, jnp.float32), "speed": jnp.zeros(n, jnp.float32)}
    state = env.initial(unit, PARAMS)
    state = replace(state, position=jnp.asarray(position, jnp.float32), speed=jnp.asarray(speed, jnp.float32))
    total, step = np.zeros(n), _step(env)
    for t in range(1, steps + 1):
        state, reward, done, info = step(state, jnp.asarray(actions, jnp.int32))
        total += reward
        if done:
            return t, total, info
    return steps, total, info


def _step(env):
    return jax.jit(lambda state, action: env.transition(state, action, (), PARAMS))


START = ((-30, -32), (10, 10))


@pytest.mark.parametrize(
    ("actions", "steps", "returns", "crashed"),
    [
        ((ACCELERATE, ACCELERATE), 6, (-16.425, -16.425), True),
        ((HOLD, HOLD), 7, (-16.85, -16.85), True),
        ((ACCELERATE, HOLD), 8, (4.575, 4.600), False),
    ],
)
def test_known_drives(actions, steps, returns, crashed):
    t, total, info = drive(ENV, *START, *actions)
    assert t == steps
    np.testing.assert_allclose(total, returns, atol=1e-5)
    assert info["crashed"].all() == crashed
    assert info["crashed"].any() == crashed


def test_kinematics():
    position, speed = advance(
        jnp.asarray([0.0, 0.0, 0.0]), jnp.asarray([10.0, 1.0, 14.5]), jnp.asarray([2.0, -3, 2]), 0.5, 15.0
    )
    np.testing.assert_allclose(speed, [11, 0, 15])
    np.testing.assert_allclose(position, [5.25, 0.25, 7.375])
    before, after = jnp.asarray([-3.0, -3.0, 5.9, 6.0]), jnp.asarray([-0.1, 8.0, 9.0, 9.0])
    assert in_zone(before, after, 6.0).tolist() == [False, True, True, False]
    before, after = jnp.asarray([0.0, 5.0, 20.0]), jnp.asarray([10.0, 5.0, 13.9])
    close = too_close(before, after, 4.0)
    assert close.tolist() == [[False, True, True], [True, False, False], [True, False, False]]


def test_cars_of_one_lane():
    """Three cars in two lanes: the third follows the first and may not run into it."""
    env = Intersection(num_agents=3)
    assert env.lanes.tolist() == [0, 1, 0]
    t, total, info = drive(env, (-30, -200, -40), (5, 0, 15), HOLD, HOLD, HOLD)
    assert t == 2  # 10 m become 5, then 0
    assert info["crashed"].tolist() == [True, False, True]
    np.testing.assert_allclose(total, [0.5 - 0.1 - 20, -0.1, 1.5 - 0.1 - 20], atol=1e-5)


def test_merging_cars_keep_their_distance():
    env = Merge()
    # they meet at 10 m/s, three metres apart: a crash as soon as both are on the shared lane
    t, _, info = drive(env, (-30, -33), (10, 10), HOLD, HOLD)
    assert (t, info["crashed"].all()) == (7, True)
    t, total, _ = drive(env, (-30, -34.5), (10, 10), HOLD, HOLD)
    assert t == 13
    np.testing.assert_allclose(total, [0.1 * 60 - 0.05 * 12 + 1, 0.1 * 65 - 0.05 * 13 + 1], atol=1e-5)
    # the faster one behind runs through the slower one
    t, _, info = drive(env, (-1, -10), (5, 15), HOLD, HOLD)
    assert info["crashed"].all()


def test_starts_are_drawn_from_their_ranges():
    env = Intersection(num_agents=4)
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 500), PARAMS)
    behind = np.array([0, 0, 20, 20])
    assert (state.position + behind >= -40).all()
    assert (state.position + behind <= -25).all()
    assert np.asarray(state.position + behind).mean(axis=0) == pytest.approx(-32.5, abs=4 * 15 / 12**0.5 / 500**0.5)
    assert (state.speed >= 7).all()
    assert (state.speed <= 12).all()


@pytest.fixture(scope="module", params=["intersection", "merge"])
def outcomes(request):
    """400 episodes each of pairs of scripted drivers."""
    env, params = make(request.param)
    known = env.benchmarks(params)
    players = {name: Player(known[name]) for name in known}
    pairs = [("accelerate", "accelerate"), ("yield", "yield"), ("hold", "yield")]
    profiles = [[players[a], players[b]] for a, b in pairs]
    return dict(zip(pairs, play_profiles(env, profiles, jax.random.key(0), 400, num_steps=40), strict=True))


def test_giving_way_avoids_crashes(outcomes):
    rates = {pair: (e.info["crashed"] & e.alive[..., None]).any(axis=(0, 2)).mean() for pair, e in outcomes.items()}
    assert rates["accelerate", "accelerate"] > 0.2
    assert rates["yield", "yield"] == 0
    assert rates["hold", "yield"] < rates["accelerate", "accelerate"] / 10  # who holds has not seen that it is late
    careful = outcomes["yield", "yield"]
    assert (careful.lengths < 40).all()  # nobody waits for ever
    assert careful.returns.mean() > outcomes["accelerate", "accelerate"].returns.mean() + 2


def test_rewards_are_what_happened(outcomes):
    for episodes in outcomes.values():
        states, going = episodes.states, episodes.alive[..., None]
        there = states.alive[:-1] & going
        driven = np.diff(states.position, axis=0)
        info = episodes.info
        expected = np.where(there, 0.1 * driven - 0.05 + info["cleared"] - 20.0 * info["crashed"], 0)
        np.testing.assert_allclose(episodes.rewards, expected, atol=1e-5)
        assert (np.abs(driven[there]) <= 15 * 0.5 + 1e-4).all()


def test_pictures():
    _, state = ENV.reset(jax.random.key(0), PARAMS)
    image = ENV.render(state, PARAMS)
    assert image.shape == (49, 24 * 27 + 1, 3)
    assert (ENV.render(replace(state, crashed=jnp.ones(2, bool)), PARAMS) != image).any()


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="num_agents must be an integer >= 2"):
        Merge(num_agents=1)
    with pytest.raises(ValueError, match="num_lanes must be an integer >= 2"):
        Intersection(num_lanes=1)
    with pytest.raises(ValueError, match="headway must be positive"):
        ENV.validate(replace(PARAMS, headway=0.0))
    with pytest.raises(ValueError, match="start must be a range"):
        ENV.validate(replace(PARAMS, start=np.array([-20.0, 5.0])))
    with pytest.raises(ValueError, match="start_speed must be a range"):
        ENV.validate(replace(PARAMS, start_speed=np.array([7.0, 20.0])))

"""Overtaking: known drives, crashes in and against the lane, what noise does, and that seats are alike."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Player
from jaxmarl.envs.driving import Overtaking
from jaxmarl.evaluation import play_profiles

ENV = Overtaking()
PARAMS = ENV.default_params
KEEP, FASTER, SLOWER, CHANGE = range(4)
NO_SLIP = jnp.ones((2, 2), jnp.float32)
_step = jax.jit(ENV.transition)


def start(speed, **fields):
    state = ENV.initial(jnp.zeros(2, jnp.float32), PARAMS)
    return replace(state, speed=jnp.asarray(speed, jnp.float32), **{k: jnp.asarray(v) for k, v in fields.items()})


def drive(state, *moves, env_step=_step):
    """Returns and crashes of moves `[T, 2]`, and the last state."""
    total, crashed = np.zeros(2), np.zeros(2, bool)
    for move in moves:
        state, reward, _, info = env_step(state, jnp.asarray(move, jnp.int32), NO_SLIP, PARAMS)
        total, crashed = total + np.asarray(reward), crashed | np.asarray(info["crashed"])
    return total, crashed, state


def test_behind_the_slow_cars_both_arrive():
    # 8 m/s for 50 steps: 3/20 of a tenth a step, and 1 at the end
    total, crashed, state = drive(start([8, 8]), *[(KEEP, KEEP)] * 60)
    np.testing.assert_allclose(total, [1.75, 1.75], atol=1e-4)
    assert not crashed.any()
    assert not state.active.any()
    assert np.all(np.asarray(ENV.observe(state, PARAMS)) == 0)


def test_running_into_the_slow_car_ends_the_game():
    # 3.5 m a step nearer: 5.5 m after 7 steps, 2 m after 8
    before = drive(start([15, 8]), *[(KEEP, KEEP)] * 7)
    assert not before[1].any()
    total, crashed, state = drive(start([15, 8]), *[(KEEP, KEEP)] * 20)
    assert crashed.tolist() == [True, False]
    np.testing.assert_allclose(total, [8 * 0.05 - 10, 8 * 0.015], atol=1e-5)
    assert not state.active.any()


def test_a_lane_change_takes_two_steps_in_both_lanes():
    _, _, one = drive(start([8, 8]), (CHANGE, KEEP))
    assert (one.lane.tolist(), one.changing.tolist()) == ([0, 0], [1, 0])
    _, _, two = drive(one, (CHANGE, KEEP))  # not heard
    assert (two.lane.tolist(), two.changing.tolist()) == ([1, 0], [0, 0])
    _, _, back = drive(two, (CHANGE, KEEP), (KEEP, KEEP))
    assert back.lane.tolist() == [0, 0]


@pytest.mark.parametrize("shared", [True, False])
def test_head_on_crashes_cost_whoever_pays(shared):
    env_step = jax.jit(Overtaking(crash_shared=shared).transition)
    meeting = start([20, 20], position=np.float32([95, 95]), lane=np.int32([1, 0]))
    total, crashed, _ = drive(meeting, (KEEP, KEEP), env_step=env_step)  # through each other
    assert crashed.all()
    np.testing.assert_allclose(total, [0.075 - 10, 0.075 - (10 if shared else 0)], atol=1e-5)


def test_cars_pass_in_different_lanes_but_not_while_changing():
    apart = start([20, 20], position=np.float32([95, 95]))
    assert not drive(apart, (KEEP, KEEP))[1].any()
    both_wrong = replace(apart, lane=jnp.int32([1, 1]))
    assert not drive(both_wrong, (KEEP, KEEP))[1].any()
    assert drive(apart, (CHANGE, KEEP))[1].all()


def test_the_oncoming_slow_car_is_met_in_its_lane():
    # the slow car of the other end is 170 - 4 t m away from here
    wrong = start([8, 8], position=np.float32([164, 0]), lane=np.int32([1, 0]))
    assert drive(wrong, (KEEP, KEEP))[1].tolist() == [True, False]
    right = start([8, 8], position=np.float32([164, 0]))
    assert not drive(right, (KEEP, KEEP))[1].any()


def test_slips_replace_actions():
    chance = jnp.asarray([[0.019, 0.99], [0.021, 0.99]], jnp.float32)
    state, *_ = _step(start([8, 8]), jnp.asarray([KEEP, KEEP], jnp.int32), chance, PARAMS)
    assert state.changing.tolist() == [1, 0]


def test_seats_are_alike():
    key = jax.random.key(0)
    state = ENV.initial(jax.random.uniform(key, (2,)), PARAMS)
    swapped = jax.tree.map(lambda x: x[::-1] if x.ndim else x, state)
    for k in jax.random.split(key, 30):
        action = jax.random.randint(k, (2,), 0, 4)
        chance = jax.random.uniform(k, (2, 2))
        state, reward, *_ = _step(state, action, chance, PARAMS)
        swapped, other, *_ = _step(swapped, action[::-1], chance[::-1], PARAMS)
        np.testing.assert_array_equal(reward, other[::-1])
    np.testing.assert_allclose(ENV.observe(state, PARAMS), ENV.observe(swapped, PARAMS)[::-1], atol=1e-6)


def test_overtaking_is_good_for_one_and_bad_for_two():
    drivers = ENV.benchmarks(PARAMS)
    follow, overtake = Player(drivers["follow"]), Player(drivers["overtake"])
    params = replace(PARAMS, slip=jnp.zeros(()))
    profiles = [[follow, follow], [overtake, overtake]]
    calm, wild = play_profiles(ENV, profiles, jax.random.key(1), 200, params=params)
    assert not calm.info["crashed"].any()
    assert calm.returns.mean() > 1.5
    assert wild.info["crashed"].any(axis=(0, 2)).mean() > 0.9


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [("slip", 1.5, "slip"), ("headway", 0.0, "headway"), ("start_speed", [3.0, 9.0], "start_speed")],
)
def test_wrong_numbers_are_refused(field, value, match):
    with pytest.raises(ValueError, match=match):
        ENV.validate(replace(PARAMS, **{field: jnp.asarray(value)}))

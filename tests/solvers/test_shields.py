"""Shields: attractors by hand and by brute force, assume-guarantee chains, and a platoon that never crashes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Uniform, draw
from jaxmarl.core.wrappers import Shielded
from jaxmarl.envs.driving.car_platoon import SPEEDS, CarPlatoon, CarPlatoonState
from jaxmarl.solvers.markov.platoon_shields import PlatoonShield, platoon_shields
from jaxmarl.solvers.markov.shields import attractor, compositional_shields, safety_game, safety_shield
from jaxmarl.testing import check_env


def test_an_attractor_by_hand():
    """0 may stay or walk to 1; from 1 the surroundings decide between 0 and the trap 2; 3 escapes by one action."""
    successors = np.array([[[0, 0], [1, 1]], [[0, 2], [0, 2]], [[2, 2], [2, 2]], [[2, 2], [0, 0]]])
    game = safety_game(successors, [False, False, True, False])
    np.testing.assert_array_equal(attractor(game), [False, True, True, False])
    shield = safety_shield(game)
    np.testing.assert_array_equal(shield.mask, [[True, False], [True, True], [True, True], [False, True]])


def _losing(successors, unsafe, possible):
    lost = set(np.flatnonzero(unsafe))
    while True:
        more = {
            s
            for s in range(len(successors))
            if s not in lost
            and all(
                any(successors[s, a, e] in lost for e in np.flatnonzero(possible[s, a]))
                for a in range(successors.shape[1])
            )
        }
        if not more:
            return lost
        lost |= more


def test_attractors_of_random_games_and_their_shields():
    rng = np.random.default_rng(0)
    solve = jax.jit(safety_shield)
    for _ in range(20):
        successors, unsafe = rng.integers(0, 12, (12, 3, 2)), rng.random(12) < 0.15
        possible = np.stack([np.ones((12, 3), bool), rng.random((12, 3)) < 0.6], 2)
        shield = solve(safety_game(successors, unsafe, possible))
        lost = _losing(successors, unsafe, possible)
        assert set(np.flatnonzero(~np.asarray(shield.winning))) == lost
        assert np.asarray(shield.mask).any(1).all()
        for s, a in np.argwhere(np.asarray(shield.mask)):
            reached = {successors[s, a, e] for e in range(2) if possible[s, a, e]}
            assert s in lost or not reached & lost


def test_what_is_guaranteed_may_be_assumed():
    """The second agent is only safe if the first never plays its second action, which the first's shield forbids."""
    first = safety_game([[[0], [1]], [[1], [1]]], [False, True])

    def second(shields):
        allowed = shields[0].mask[0]  # in the first one's safe state
        return safety_game([[[0, 1]], [[1, 1]]], [False, True], np.broadcast_to(allowed, (2, 1, 2)))

    one, two = compositional_shields([lambda _: first, second])
    np.testing.assert_array_equal(one.mask[0], [True, False])
    np.testing.assert_array_equal(two.winning, [True, False])
    alone = safety_shield(safety_game([[[0, 1]], [[1, 1]]], [False, True]))
    np.testing.assert_array_equal(alone.winning, [False, False])


@pytest.fixture(scope="module")
def platoon():
    env = CarPlatoon(num_agents=4, num_steps=200, max_gap=60, start_gap=6)
    return env, platoon_shields(env)


def _by_speeds(shield, env):
    """Winning states as `[gap, front, own]`."""
    return np.asarray(shield.winning).reshape(env.max_gap + 1, len(SPEEDS), len(SPEEDS))


def test_a_shield_leaves_an_action_in_every_safe_state(platoon):
    for shield in platoon[1]:
        assert np.asarray(shield.mask)[np.asarray(shield.winning)].any(1).all()
        assert 0 < np.asarray(shield.winning).mean() < 1


def test_more_gap_is_never_less_safe_and_braking_is_always_allowed(platoon):
    env, shields = platoon
    winning = _by_speeds(shields[1], env)
    assert (winning[1:] >= winning[:-1]).all()
    mask = np.asarray(shields[1].mask)[np.asarray(shields[1].winning)]
    own = np.nonzero(winning)[2]
    assert mask[np.array(SPEEDS)[own] >= 2, 0].all()


def test_the_gap_needed_behind_a_stopped_car_is_the_braking_distance(platoon):
    """At speed v behind a car that stands (and may not reverse): (v - 2) + (v - 4) + ... + 2 metres, and 1 to spare."""
    env, shields = platoon
    winning, zero = _by_speeds(shields[1], env), SPEEDS.index(0)
    for v in (0, 2, 8, 14):
        needed = 1 + sum(range(2, v, 2))
        column = winning[:, zero, SPEEDS.index(v)]
        np.testing.assert_array_equal(column, np.arange(env.max_gap + 1) >= needed)


def test_relying_on_the_car_in_front_needs_less_distance(platoon):
    env, shields = platoon
    nobody = platoon_shields(CarPlatoon(num_agents=2, max_gap=60), floor=-8)
    moving = np.array(SPEEDS) >= 0
    relying, alone = (_by_speeds(s[1], env)[:, moving][:, :, moving] for s in (shields, nobody))
    assert (relying >= alone).all()
    assert relying.sum() > alone.sum()


@pytest.fixture(scope="module")
def drive(platoon):
    """Crashes `[T, B]` and gaps of a batch of platoons under uniformly random actions, by whether they are shielded."""
    env, shields = platoon

    def run(env, masked):
        params = env.default_params
        starts = jax.vmap(lambda c: env.initial(c, params))(draw(env.reset_chance, jax.random.key(0), (64,)))
        noise = draw(Uniform((env.num_agents, 3)), jax.random.key(1), (env.horizon, 64))

        def step(state, unit):
            mask = env.action_mask(state, params) if masked else True
            action = jnp.argmax(jnp.where(mask, unit, -1.0), axis=1).astype(jnp.int32)
            state, _, _, info = env.transition(state, action, (), params)
            return state, (info["violations"], state.gap)

        return jax.jit(lambda: jax.lax.scan(jax.vmap(step), starts, noise)[1])()

    shielded = Shielded(env, PlatoonShield(env, shields))
    return {"masked": run(shielded, True), "corrected": run(shielded, False), "none": run(env, False)}


@pytest.mark.parametrize("how", ["masked", "corrected"])
def test_random_shielded_play_never_crashes(drive, how):
    violations, gap = drive[how]
    assert int(violations.sum()) == 0
    assert int(gap.min()) >= 1
    assert int(gap.min()) <= 4  # the shield does not keep cars apart for nothing


def test_random_play_without_a_shield_crashes(drive):
    assert int(drive["none"][0].sum()) > 100


def test_the_shielded_platoon_is_an_environment(platoon):
    env = CarPlatoon(num_agents=2, num_steps=6, max_gap=60)
    check_env(Shielded(env, PlatoonShield(env, platoon[1][:2])), env.default_params)


def test_a_shield_that_forbids_everything_is_ignored():
    env = CarPlatoon(num_agents=2)
    closed = Shielded(env, lambda state, params: jnp.zeros((2, 3), bool))
    state = CarPlatoonState(jnp.int32(0), jnp.array([4, 4]), jnp.array([9]))
    assert bool(closed.action_mask(state, env.default_params).all())


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"^successors must be states in \[0, 1\), got '0 to 1'$"):
        safety_game([[[1, 0]]], [False])
    with pytest.raises(ValueError, match=r"^possible must be true somewhere for every state and action"):
        safety_game([[[0, 0]]], [False], [[[False, False]]])

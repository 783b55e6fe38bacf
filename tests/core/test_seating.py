"""`Seating`: every player moves at its own seats, whatever the schedule's order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DRAWN, OBEDIENT, ROTATE, Tagged, beat_last, constant

from jaxmarl.core import MaskedObs, Player, Policy, Seating, VectorEnv, draw
from jaxmarl.core.seating import take
from jaxmarl.envs.rps import RepeatedRPS
from jaxmarl.testing.probes import MaskedChoice

RPS = RepeatedRPS(num_throws=6)
MEMBERS = Player(OBEDIENT, jnp.arange(3), members=3)
SCHEDULE = np.asarray([[0, 3], [4, 1], [3, 2], [1, 0], [2, 4], [3, 4]])
MOVE_OF = np.asarray([0, 1, 2, 2, 0])  # of members 0-2, then of the constants


def states_of(env, count, seed=0):
    return VectorEnv(env, count).reset(jax.random.key(seed), env.default_params)[1].env


def act_once(seating, memories=None, seed=0):
    """Joint actions (the caller plays 100, 101, …) and new memories."""
    env, keys = seating.env, jax.random.split(jax.random.key(seed))
    if memories is None:
        memories = seating.start(draw(seating.init_chance, keys[0]))
    states = states_of(env, len(seating.schedule))
    chance = draw(seating.act_chance, keys[1])
    actions, memories = seating.act(seating.params, memories, states, env.default_params, chance)
    callers = 100 + jnp.arange((seating.schedule == -1).sum(), dtype=jnp.int32)
    return np.asarray(seating.joint([*actions, callers])), memories


def test_members_and_single_players_move_at_their_seats():
    joint, _ = act_once(Seating(RPS, (MEMBERS, Player(constant(2)), Player(constant(0))), SCHEDULE))
    np.testing.assert_array_equal(joint, MOVE_OF[SCHEDULE])


def test_stacked_members_equal_separate_players():
    separate = tuple(Player(OBEDIENT, jnp.int32(k)) for k in range(3))
    one, _ = act_once(Seating(RPS, (MEMBERS, Player(ROTATE), Player(ROTATE)), SCHEDULE))
    two, _ = act_once(Seating(RPS, (*separate, Player(ROTATE), Player(ROTATE)), SCHEDULE))
    np.testing.assert_array_equal(one, two)


def test_the_callers_seats_are_filled_in_match_order():
    schedule = np.asarray([[-1, 0], [1, -1], [-1, -1], [2, 0], [1, 2]])
    joint, _ = act_once(Seating(RPS, (MEMBERS,), schedule))
    wanted = schedule.copy()
    wanted[schedule == -1] = 100 + np.arange(4)
    np.testing.assert_array_equal(joint, wanted)


def test_random_schedules_of_three_seats():
    class Three(MaskedChoice):
        num_agents = 3

        def observe(self, state, params):
            return jnp.zeros((3, 1))

    rng = np.random.default_rng(0)
    for _ in range(5):
        schedule = rng.permutation(np.repeat([0, 1, 2, 3, -1, -1], 2)).reshape(4, 3)
        joint, _ = act_once(Seating(Three(), (MEMBERS, Player(constant(7))), schedule))
        wanted = np.asarray([0, 1, 2, 7, -1])[schedule]
        wanted[schedule == -1] = 100 + np.arange(4)
        np.testing.assert_array_equal(joint, wanted)


@pytest.mark.parametrize(
    "index", [[0, 1, 2], [1, 3, 5, 7], [[0, 4], [8, 12]], [5], [3, 1], [2, 2], [0, 1, 3], [[7, 3], [0, 9]]], ids=str
)
def test_take_is_indexing(index):
    x = jnp.arange(39.0).reshape(13, 3)
    np.testing.assert_array_equal(take(x, np.asarray(index)), np.asarray(x)[np.asarray(index)])


def test_memory_belongs_to_the_seat_and_restarts_where_the_match_ended():
    # ROTATE sits once in matches 0 and 1, twice in match 2
    seating = Seating(RPS, (Player(ROTATE), Player(constant(0))), np.asarray([[0, 1], [1, 0], [0, 0]]))
    memories = None
    for t in range(4):
        joint, memories = act_once(seating, memories)
        np.testing.assert_array_equal(joint, [[t % 3, 0], [0, t % 3], [t % 3, t % 3]])
    fresh = draw(seating.init_chance, jax.random.key(0))
    memories = seating.restart(memories, jnp.asarray([False, True, False]), fresh)
    np.testing.assert_array_equal(memories[0], [[4, 0, 4, 4]])
    memories = seating.restart(memories, jnp.asarray([False, False, True]), fresh)
    np.testing.assert_array_equal(memories[0], [[4, 0, 0, 0]])


def test_members_own_their_memories():
    seating = Seating(RPS, (Player(ROTATE, members=2),), np.asarray([[0, 1], [1, 0]]))
    memories = seating.start(draw(seating.init_chance, jax.random.key(0)))
    assert memories[0].shape == (2, 2)
    memories = seating.restart(
        (memories[0] + 5,), jnp.asarray([True, False]), draw(seating.init_chance, jax.random.key(0))
    )
    np.testing.assert_array_equal(memories[0], [[0, 5], [0, 5]])


def test_every_seat_draws_its_own_chance():
    schedule = np.tile([[0, 1]], (200, 1))
    seating = Seating(RPS, (Player(DRAWN, members=2),), schedule)
    assert seating.init_chance[0].shape == seating.act_chance[0].shape == (2, 200)
    joint, memories = act_once(seating)
    for x in (joint.T, memories[0]):
        counts = np.asarray([np.bincount(row, minlength=3) for row in np.asarray(x)])
        assert counts.min() > 35
    assert (joint[:, 0] != joint[:, 1]).mean() > 0.5


def test_views_and_masks_reach_those_who_ask():
    states = states_of(RPS, 2)
    states = states.replace(recent=jnp.asarray([[[0, 1]], [[2, 0]]], jnp.int8))
    seating = Seating(RPS, (Player(beat_last(RPS), view=RPS.moves_view),), np.asarray([[0, 0], [0, 0]]))
    actions, _ = seating.act(seating.params, ((),), states, RPS.default_params, seating.act_chance)
    np.testing.assert_array_equal(seating.joint(actions), [[2, 1], [1, 0]])

    first_legal = Policy(lambda c: (), lambda p, m, o, c: (jnp.argmax(o.mask).astype(jnp.int32), m), masked=True)
    env = MaskedChoice()
    seating = Seating(env, (Player(first_legal),), np.asarray([[0, 0]] * 4))
    states = states_of(env, 4)
    actions, _ = seating.act(seating.params, ((),), states, (), seating.act_chance)
    parity = np.asarray(states.parity)
    np.testing.assert_array_equal(seating.joint(actions), np.stack([parity, 1 - parity], axis=1))
    assert MaskedObs._fields == ("obs", "mask")


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([[0, 1, 0]], r"schedule must be of shape \[num_matches, 2\]"),
        ([[0, 3]], r"schedule must be members in \[-1, 2\], got \(0, 3\)"),
        ([[0, -2]], r"schedule must be members in \[-1, 2\]"),
        ([[0, 1], [2, 0]], r"schedule must be as many seats for each member of a player, got \[2, 1, 1\]"),
    ],
)
def test_bad_schedules_are_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        Seating(RPS, (MEMBERS,), np.asarray(schedule))


def test_names_and_sizes():
    assert MEMBERS.names == ["obey_0", "obey_1", "obey_2"]
    assert Player(ROTATE).names == ["rotate"]
    assert MEMBERS.size == 3
    with pytest.raises(ValueError, match="members"):
        Player(ROTATE, members=0)
    assert Tagged().num_agents == 2

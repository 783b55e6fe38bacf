"""`AgainstPolicies`: the other seats played by policies, move by move as by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DRAWN, OBEDIENT, ROTATE, Tagged, beat_last, constant

from jaxmarl.core import AgainstPolicies, uniform_policy
from jaxmarl.envs.rps import RepeatedRPS
from jaxmarl.testing.probes import MaskedChoice

RPS = RepeatedRPS(num_throws=6)


def play(env, moves, params=None):
    """Rewards of a sequence of the agent's moves."""
    params = env.default_params if params is None else params
    obs, state = env.reset(jax.random.key(0), params)
    rewards, seen = [], [obs]
    for t, move in enumerate(moves):
        obs, state, reward, terminated, _, _ = jax.jit(env.step)(jax.random.key(t), state, jnp.int32([move]), params)
        rewards.append(float(reward[0]))
        seen.append(obs)
    return rewards, np.stack(seen), bool(terminated)


@pytest.mark.parametrize("seat", [0, 1])
def test_a_constant_opponent(seat):
    env = AgainstPolicies(RPS, (constant(1),), seat=seat)
    rewards, obs, over = play(env, [0, 1, 2, 0, 1, 2])
    assert rewards == [-1, 0, 1, -1, 0, 1]
    assert over
    assert obs.shape == (7, 1, 6)
    np.testing.assert_array_equal(obs[1, 0], [1, 0, 0, 0, 1, 0])  # own rock, other's paper
    assert env.num_agents == 1
    assert env.agent_names == (f"agent_{seat}",)
    assert env.horizon == 6


def test_the_opponents_memory_goes_on():
    assert play(AgainstPolicies(RPS, (ROTATE,)), [0] * 6)[0] == [0, -1, 1, 0, -1, 1]


@pytest.mark.parametrize("seat", [0, 1])
def test_a_view_shows_the_opponent_its_own_layout(seat):
    env = AgainstPolicies(RPS, (beat_last(RPS),), seat=seat, view=RPS.moves_view)
    # opens with rock (-1 + 1), then beats my last move
    assert play(env, [0, 0, 1, 2, 2, 1])[0] == [0, -1, 0, 0, -1, 1]


def test_params_of_the_opponent_are_passed_on():
    env = AgainstPolicies(RPS, (OBEDIENT,))
    assert play(env, [0, 1, 2], (RPS.default_params, (jnp.int32(2),)))[0] == [1, -1, 0]


def test_a_recorded_stream_replays_the_opponent():
    env = AgainstPolicies(RPS, (DRAWN,))
    assert env.reset_chance == ((), (DRAWN.init_chance,))
    params = env.default_params
    state = env.initial(((), (jnp.int32(1),)), params)
    shown = []
    for drawn in (0, 1, 2):
        state, *_ = env.transition(state, jnp.int32([0]), ((), (jnp.int32(drawn),)), params)
        shown.append(int(state.env.recent[0, 1]))
    assert shown == [1, 2, 0]


def test_a_masked_opponent_plays_legal_actions():
    env = AgainstPolicies(MaskedChoice(), (uniform_policy(4),), seat=1)
    for seed in range(8):
        obs, state = env.reset(jax.random.key(seed), env.default_params)
        mask = env.action_mask(state, env.default_params)
        assert mask.shape == (1, 4)
        action = jnp.argmax(mask, axis=1).astype(jnp.int32)
        *_, info = env.step(jax.random.key(seed), state, action, env.default_params)
        assert int(info["illegal"]) == 0
        assert float(obs[0, 0]) == float(mask[0, 1])


def test_truncation_passes_through():
    env = AgainstPolicies(Tagged(), (constant(0),), seat=0)
    _, state = env.reset(jax.random.key(0), env.default_params)
    *_, terminated, truncated, _ = env.step(jax.random.key(0), state, jnp.int32([2]), env.default_params)
    assert bool(truncated)
    assert not bool(terminated)


def test_refusals():
    with pytest.raises(ValueError, match="policies must be 1 policies, one a seat, got 2"):
        AgainstPolicies(RPS, (ROTATE, ROTATE))
    with pytest.raises(ValueError, match=r"seat must be an integer in \[0, 1\], got 2"):
        AgainstPolicies(RPS, (ROTATE,), seat=2)

"""`rollout`: what a trajectory holds, step by step and across roll-outs."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROTATE, Tagged

from jaxmarl.core import (
    Actor,
    MaskedObs,
    Player,
    PopulationEnv,
    VectorEnv,
    actor_from_policy,
    rollout,
    start_rollout,
    uniform_policy,
)
from jaxmarl.core.rollout import batch_params
from jaxmarl.envs.rps import RepeatedRPS
from jaxmarl.testing.probes import BoxMarket, MaskedChoice, Recall, TimeLimited

B = 5


def play(env, policy, num_steps, rounds=1, *, params=None, seed=0, **kwargs):
    """States, trajectories and last observations of consecutive roll-outs."""
    params = env.default_params if params is None else params
    actor = policy if isinstance(policy, Actor) else actor_from_policy(policy, env.num_envs, env.num_agents)
    state = start_rollout(env, actor, jax.random.key(seed), params)
    run = jax.jit(lambda state, key: rollout(env, actor, (), state, key, params, num_steps, **kwargs))
    out = []
    for i in range(rounds):
        state, trajectory, last = run(state, jax.random.key(seed + 1 + i))
        out.append((state, trajectory, last))
    return out


def vector(env) -> VectorEnv:
    return VectorEnv(env, B)


def test_shapes_are_time_first():
    ((state, tr, last),) = play(vector(RepeatedRPS(num_throws=6)), uniform_policy(3), 3)
    assert isinstance(tr.obs, MaskedObs)
    assert tr.obs.obs.shape == (3, B, 2, 6)
    assert tr.obs.mask.shape == (3, B, 2, 3)
    assert tr.action.shape == tr.reward.shape == tr.episode_return.shape == (3, B, 2)
    assert tr.start.shape == tr.terminated.shape == tr.truncated.shape == (3, B)
    assert last.obs.shape == (B, 2, 6)
    assert state.start.shape == (B,)


def test_fixed_horizon_flags_returns_and_last_observation_over_three_roll_outs():
    env = vector(RepeatedRPS(num_throws=6, append_time=True))
    rounds = play(env, uniform_policy(3), 3, rounds=4)
    joined = jax.tree.map(lambda *x: np.concatenate(x), *(tr for _, tr, _ in rounds))
    t = np.arange(12) % 6
    np.testing.assert_array_equal(joined.start, np.repeat((t == 0)[:, None], B, 1))
    np.testing.assert_array_equal(joined.terminated, np.repeat((t == 5)[:, None], B, 1))
    assert not joined.truncated.any()
    np.testing.assert_allclose(joined.obs.obs[..., -1], np.broadcast_to((t / 6)[:, None, None], (12, B, 2)), rtol=1e-6)
    for first in (0, 6):
        np.testing.assert_array_equal(
            joined.episode_return[first : first + 6], joined.reward[first : first + 6].cumsum(0)
        )
    # the observation to bootstrap from: of the running match, or the ended match's last
    np.testing.assert_allclose(rounds[0][2].obs[..., -1], 0.5)
    np.testing.assert_allclose(rounds[1][2].obs[..., -1], 1.0)
    assert joined.info == {}


def test_the_actor_starts_its_memory_anew_where_start_is_true():
    env = vector(RepeatedRPS(num_throws=4))
    rounds = play(env, ROTATE, 4, rounds=2)
    for _, tr, _ in rounds:
        np.testing.assert_array_equal(tr.action[:, 0, 0], [0, 1, 2, 0])


def test_memory_goes_on_between_roll_outs_of_one_episode():
    rounds = play(vector(RepeatedRPS(num_throws=4)), ROTATE, 2, rounds=2)
    np.testing.assert_array_equal(rounds[1][1].action[:, 0, 0], [2, 0])


def test_episodes_of_their_own_length():
    env = vector(Tagged())
    ((_, tr, last),) = play(env, uniform_policy(3), 40)
    start, done = np.asarray(tr.start), np.asarray(tr.terminated | tr.truncated)
    assert start[0].all()
    np.testing.assert_array_equal(start[1:], done[:-1])
    np.testing.assert_array_equal(np.asarray(tr.obs.obs)[:, :, 0, 1] == 0, start)
    returns = np.zeros((B, 2))
    for t in range(40):
        returns = returns + np.asarray(tr.reward[t])
        np.testing.assert_allclose(tr.episode_return[t], returns, rtol=1e-5)
        returns[done[t]] = 0
    final = np.asarray(tr.info["final_observation"])
    running = ~done[:-1]
    np.testing.assert_array_equal(final[:-1][running], np.asarray(tr.obs.obs)[1:][running])
    np.testing.assert_array_equal(final[-1][~done[-1]], np.asarray(last.obs)[~done[-1]])
    np.testing.assert_array_equal(tr.info["tag"], np.asarray(tr.obs.obs)[:, :, 0, 0])


def test_keep_info_false_keeps_only_the_final_observation():
    ((_, tr, _),) = play(vector(Tagged()), uniform_policy(3), 4, keep_info=False)
    assert set(tr.info) == {"final_observation"}
    ((_, tr, _),) = play(vector(MaskedChoice()), uniform_policy(4), 1, keep_info=False)
    assert tr.info == {}


def test_truncation_is_told_from_termination():
    ((_, tr, _),) = play(vector(TimeLimited(limit=3)), uniform_policy(2), 9)
    assert not tr.terminated.any()
    np.testing.assert_array_equal(tr.truncated[:, 0], np.arange(9) % 3 == 2)


def test_masks_are_obeyed():
    ((_, tr, _),) = play(vector(MaskedChoice()), uniform_policy(4), 1)
    assert (tr.reward >= 0).all()


@pytest.mark.parametrize("num_steps", [0, 4, 5, 12])
def test_lengths_that_do_not_divide_the_horizon_are_refused(num_steps):
    with pytest.raises(ValueError, match=rf"^num_steps must be a divisor of the horizon 6, got {num_steps}"):
        play(vector(RepeatedRPS(num_throws=6)), uniform_policy(3), num_steps)


def test_the_key_decides_and_repeats():
    env = vector(Recall(length=3, num_cues=5))
    one, two = (play(env, uniform_policy(5), 3, seed=7)[0][1] for _ in range(2))
    other = play(env, uniform_policy(5), 3, seed=8)[0][1]
    np.testing.assert_array_equal(one.action, two.action)
    assert not np.array_equal(one.action, other.action)


def test_an_actor_may_keep_extras_and_play_continuous_actions():
    def act(params, memory, obs, start, key):
        action = jnp.clip(obs, -2, 2)
        return action, memory, {"seen": obs[..., 0], "start": start}

    ((_, tr, _),) = play(vector(BoxMarket()), Actor(lambda key: (), act), 4)
    np.testing.assert_array_equal(tr.extras["seen"], tr.obs[..., 0])
    np.testing.assert_array_equal(tr.extras["start"], tr.start)
    np.testing.assert_allclose(tr.reward, -((tr.action[..., 0] - 0.5) ** 2), rtol=1e-4, atol=1e-5)


def test_a_population_is_rolled_out_like_a_vector():
    env = PopulationEnv(RepeatedRPS(num_throws=4), (Player(ROTATE),), matches=B)
    rounds = play(env, ROTATE, 4, rounds=2)
    for _, tr, _ in rounds:  # two rotations in step: draws for ever, also in the second match
        np.testing.assert_array_equal(tr.reward, np.zeros((4, B, 1)))
        np.testing.assert_array_equal(tr.terminated[:, 0], [False, False, False, True])


def test_one_environment_in_place_of_a_batch_is_refused():
    env = Recall()
    with pytest.raises(ValueError, match=r"^env must be a batch of environments, such as VectorEnv\(env, 64\), got R"):
        batch_params(env)
    assert batch_params(VectorEnv(env, 2), 3) == 3
    assert batch_params(VectorEnv(env, 2)) == env.default_params


def test_a_name_in_place_of_an_environment_is_refused():
    with pytest.raises(ValueError, match=r"^env must be an Environment, as jaxmarl\.make gives, got 'cournot'$"):
        VectorEnv.__post_init__(SimpleNamespace(env="cournot", num_envs=4))

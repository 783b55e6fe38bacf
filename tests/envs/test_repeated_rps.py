"""Repeated rock-paper-scissors: payoffs, observations of each layout, matches between scripted players."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.core import AgainstPolicies
from jaxmarl.envs.rps import RepeatedRPS, RPSParams, get_bot, repeated_rps_versus
from jaxmarl.envs.rps.repeated import PAPER, ROCK, SCISSORS

ENV = RepeatedRPS(num_throws=10)
PARAMS = ENV.default_params


def observations(env: RepeatedRPS, joint_actions) -> np.ndarray:
    """Observations `[T + 1, 2, …]` along a match."""
    state = env.initial((), PARAMS)
    seen = [env.observe(state, PARAMS)]
    for joint in joint_actions:
        state, *_ = env.transition(state, jnp.asarray(joint, jnp.int32), (), PARAMS)
        seen.append(env.observe(state, PARAMS))
    return np.stack(seen)


JOINT = [(0, 1), (2, 1), (1, 0)]


def test_open_spiel_layout_shows_both_players_the_published_example():
    seen = observations(RepeatedRPS(recall=3, layout="open_spiel"), JOINT)
    wanted = [0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0]
    np.testing.assert_array_equal(seen[3], [wanted, wanted])
    np.testing.assert_array_equal(seen[1, 0], [1, 0, 0, 0, 1, 0] + [0] * 12)
    assert not seen[0].any()


@pytest.mark.parametrize("recall", [1, 2, 3, 10])
def test_own_first_is_open_spiel_with_the_blocks_swapped_for_player_1(recall):
    joint = np.random.default_rng(0).integers(0, 3, (10, 2))
    own = observations(replace(ENV, recall=recall), joint)
    spiel = observations(replace(ENV, recall=recall, layout="open_spiel"), joint)
    np.testing.assert_array_equal(own[:, 0], spiel[:, 0])
    swapped = spiel[:, 1].reshape(11, recall, 2, 3)[:, :, ::-1].reshape(11, -1)
    np.testing.assert_array_equal(own[:, 1], swapped)


def test_moves_layout_shows_integers_newest_first():
    seen = observations(replace(ENV, recall=3, layout="moves"), JOINT)
    assert seen.dtype == np.int32
    np.testing.assert_array_equal(seen[0], [[-1] * 6] * 2)
    np.testing.assert_array_equal(seen[2, 0], [2, 1, 0, 1, -1, -1])
    np.testing.assert_array_equal(seen[3], [[1, 0, 2, 1, 0, 1], [0, 1, 1, 2, 1, 0]])


def test_old_throws_are_forgotten():
    seen = observations(replace(ENV, recall=2, layout="moves"), JOINT)
    np.testing.assert_array_equal(seen[3, 0], [1, 0, 2, 1])


def test_time_is_appended():
    seen = observations(replace(ENV, append_time=True), JOINT)
    np.testing.assert_allclose(seen[:, :, -1], np.asarray([0.0, 0.1, 0.2, 0.3])[:, None].repeat(2, 1), rtol=1e-6)
    np.testing.assert_array_equal(seen[:, :, :-1], observations(ENV, JOINT))


def test_rewards_of_all_nine_joint_actions():
    wins = {(PAPER, ROCK), (SCISSORS, PAPER), (ROCK, SCISSORS)}
    state = ENV.initial((), PARAMS)
    for own in range(3):
        for other in range(3):
            _, reward, terminated, info = ENV.transition(state, jnp.int32([own, other]), (), PARAMS)
            wanted = ((own, other) in wins) - float((other, own) in wins)
            np.testing.assert_array_equal(reward, [wanted, -wanted])
            assert not bool(terminated)
            assert info == {}


def test_weighted_payoffs_reach_both_players():
    payoffs = jnp.asarray([[0.0, -1.0, 3.0], [1.0, 0.0, -2.0], [-3.0, 2.0, 0.0]])
    params = RPSParams(payoffs=payoffs)
    ENV.validate(params)
    state = ENV.initial((), params)
    for own in range(3):
        for other in range(3):
            _, reward, *_ = ENV.transition(state, jnp.int32([own, other]), (), params)
            np.testing.assert_array_equal(reward, [payoffs[own, other], payoffs[other, own]])
    nash = ENV.benchmarks(params)["nash"]
    np.testing.assert_allclose(nash @ payoffs, 0, atol=1e-6)
    np.testing.assert_allclose(nash.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(ENV.benchmarks(PARAMS)["nash"], 1 / 3, rtol=1e-6)


def test_rotatebot_against_copybot_loses_the_first_throw_and_draws_the_rest():
    env = RepeatedRPS()
    rotate, copy = (get_bot(name).policy for name in ("rotatebot", "copybot"))
    view = env.moves_view

    @jax.jit
    def match():
        def throw(carry, _):
            state, memories = carry
            obs = view.observe(state, PARAMS)
            a, first = rotate.act((), memories[0], obs[0], ())
            b, second = copy.act((), memories[1], obs[1], ())
            state, reward, terminated, _ = env.transition(state, jnp.stack([a, b]), (), PARAMS)
            return (state, (first, second)), (reward, terminated)

        start = env.initial((), PARAMS), (rotate.init(()), copy.init(()))
        return jax.lax.scan(throw, start, length=1000)[1]

    rewards, terminated = match()
    np.testing.assert_array_equal(rewards.sum(axis=0), [-1, 1])
    assert not rewards[1:].any()
    np.testing.assert_array_equal(np.flatnonzero(terminated), [999])


def test_versus_is_the_game_against_the_named_bot():
    env, _ = make("repeated_rps_versus", bot="rotatebot", num_throws=5, recall=2, seat=1, append_time=True)
    assert isinstance(env, AgainstPolicies)
    assert env.env == RepeatedRPS(num_throws=5, recall=2, append_time=True)
    assert env.policies == (get_bot("rotatebot").policy,)
    assert env.seat == 1
    with pytest.raises(ValueError, match="unknown bot 'rotatbot'; did you mean 'rotatebot'"):
        repeated_rps_versus(bot="rotatbot")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_throws": 0}, "num_throws must be an integer >= 1, got 0"),
        ({"num_throws": 5, "recall": 6}, r"recall must be an integer in \[1, 5\], got 6"),
        ({"layout": "own"}, "layout must be one of own_first, open_spiel, moves; got 'own'; did you mean"),
        ({"append_time": 1}, "append_time must be True or False, got 1"),
        ({"layout": "moves", "append_time": True}, "append_time must be False for the integer layout 'moves'"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make("repeated_rps", **fields)


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        (np.zeros((3, 2)), r"of shape \[3, 3\]"),
        (np.ones((3, 3)), "antisymmetric"),
        (np.full((3, 3), np.nan), "antisymmetric"),
        (-np.asarray(PARAMS.payoffs), "positive where"),
        (np.zeros((3, 3)), "positive where"),
    ],
)
def test_bad_payoffs_are_refused(payoffs, message):
    with pytest.raises(ValueError, match=f"^payoffs must be {message}"):
        ENV.validate(RPSParams(payoffs=payoffs))

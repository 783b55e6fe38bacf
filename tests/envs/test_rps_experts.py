"""The mixture of simulated bots: what it must beat, what it must not lose to, and its arithmetic."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import PopulationEnv, rollout, start_rollout
from jaxmarl.core.rollout import actor_from_policy
from jaxmarl.envs.rps import RepeatedRPS, bot_players, expert_mixture, expert_params
from jaxmarl.envs.rps.experts import _choose, _learn, _payoffs, _strategies
from jaxmarl.testing import check_policy

LIBRARY = ("copybot", "multibot", "pibot", "randbot", "rockbot", "switchbot", "textbot")
MATCHES = 8
THROWS = 300


@cache
def rewards(opponents, library, **settings):
    """Rewards of the mixture against each opponent, `[opponent, match, throw]`."""
    env = PopulationEnv(RepeatedRPS(num_throws=THROWS, layout="moves"), bot_players(RepeatedRPS(), opponents), MATCHES)
    actor = actor_from_policy(expert_mixture(library), env.num_envs, 1)
    params = expert_params(**settings)

    @jax.jit
    def play(key):
        start_key, key = jax.random.split(key)
        state = start_rollout(env, actor, start_key, env.default_params)
        return rollout(env, actor, params, state, key, env.default_params, THROWS)[1].reward

    return np.asarray(play(jax.random.key(0)))[..., 0].T.reshape(len(opponents), MATCHES, THROWS)


DETERMINISTIC = ("copybot", "multibot", "pibot", "rockbot", "textbot")


def test_deterministic_members_of_the_library_are_beaten_at_nearly_every_throw():
    after = rewards(DETERMINISTIC, LIBRARY)[..., 40:].mean(axis=(1, 2))
    assert after.min() > 0.98, dict(zip(DETERMINISTIC, after, strict=True))


def test_following_the_leader_is_a_large_rate():
    assert rewards(DETERMINISTIC, LIBRARY, rate=1e6)[..., 40:].mean(axis=(1, 2)).min() > 0.98


def test_a_random_opponent_is_neither_beaten_nor_lost_to():
    total = rewards(("randbot",), LIBRARY).sum()
    assert abs(total) < 4 * np.sqrt(2 / 3 * MATCHES * THROWS)


def test_random_members_are_beaten_as_far_as_they_can_be():
    """The move that lost to the opponent's last throw earns 0.5 a throw against switchbot."""
    mean = rewards(("switchbot",), LIBRARY)[..., 40:].mean()
    error = 0.5 / np.sqrt(MATCHES * (THROWS - 40))
    assert mean > 0.5 - 0.1
    assert mean < 0.5 + 4 * error


def test_rotations_of_what_a_bot_would_play_in_the_own_seat_are_tried():
    """A copy of rotatebot's last move, rotated by two, beats its next one; rotatebot itself is not in the library."""
    assert rewards(("rotatebot",), ("copybot",))[..., 40:].mean() > 0.98


def test_without_significance_the_move_is_uniform():
    played = rewards(("rockbot",), LIBRARY, threshold=float("inf"))
    assert abs(played.sum()) < 4 * np.sqrt(2 / 3 * played.size)


def test_payoffs_of_rotations():
    payoffs = _payoffs(jnp.eye(3))
    for move in range(3):
        for other in range(3):
            for rotation in range(3):
                expected = (0, 1, -1)[(move + rotation - other) % 3]
                assert payoffs[move, other, rotation] == expected


def scripted(bases, others, params):
    """The mixture's memory after a match in which the simulated moves were `bases` `[T, 2K]`."""
    memory = expert_mixture(["rockbot"]).init(((),))
    for base, other in zip(bases, others, strict=True):
        strategies = _strategies(params.rate, memory.outcomes, jnp.asarray(base, jnp.int8))
        memory = memory._replace(bases=jnp.asarray(base, jnp.int8), strategies=strategies)
        memory = _learn(params, memory, jnp.int32(other))
    return memory


def test_scores_are_discounted_sums_of_payoffs():
    rng = np.random.default_rng(0)
    bases, others = rng.integers(3, size=(12, 2)), rng.integers(3, size=12)
    discounts = (1.0, 0.9, 0.5)
    memory = scripted(bases, others, expert_params(discounts=discounts, rate=0.7, trust_discount=0.8))
    fade = np.array(discounts)[:, None] ** np.arange(11, -1, -1)
    payoff = np.array([0, 1, -1])[(bases[..., None] + np.arange(3) - others[:, None, None]) % 3]  # [T, 2K, rotation]
    score = np.einsum("dt,tkr->dkr", fade, payoff)
    coming = np.array([2, 0])
    weights = np.exp(0.7 * score) / np.exp(0.7 * score).sum(axis=(1, 2), keepdims=True)
    expected = np.zeros((3, 3))
    for k in range(2):
        for rotation in range(3):
            expected[:, (coming[k] + rotation) % 3] += weights[:, k, rotation]
    strategies = _strategies(jnp.float32(0.7), memory.outcomes, jnp.asarray(coming, jnp.int8))
    np.testing.assert_allclose(strategies, expected, atol=1e-5)


def test_the_first_throw_teaches_nothing():
    params, memory = expert_params(), expert_mixture(["rockbot"]).init(((),))
    after = _learn(params, memory, jnp.int32(-1))
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(memory), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(_choose(params, memory), 1 / 3, atol=1e-6)


def test_the_best_mixture_is_played_rotated_as_it_earned_most():
    memory = expert_mixture(["rockbot"]).init(((),))
    memory = memory._replace(
        strategies=jnp.array([[1.0, 0.0, 0.0], [0.0, 0.75, 0.25], [0.0, 0.0, 1.0]]),
        earned=jnp.array([[5.0, 0.0, -5.0], [0.0, 9.0, -9.0], [6.0, 0.0, -6.0]]),
        spread=jnp.full(3, 3.0),
    )
    np.testing.assert_allclose(_choose(expert_params(threshold=4.0), memory), [0.25, 0.0, 0.75])
    np.testing.assert_allclose(_choose(expert_params(threshold=4.6), memory), 1 / 3, atol=1e-6)


@pytest.mark.parametrize("library", [("rockbot",), ("copybot", "peterbot")])
def test_the_mixture_is_a_policy(library):
    """Memory is stable in a scan, also of bots that draw at the start of a match."""
    env = RepeatedRPS(layout="moves")
    space = env.action_space(env.default_params)
    check_policy(expert_mixture(library), jnp.array([2, 1]), expert_params(), action_space=space)


def test_longer_observations_are_read_at_their_newest_throw():
    policy, params = expert_mixture(["copybot"]), expert_params()
    key = jax.random.key(0)
    memory = policy.start(key)
    short = policy.sample(key, params, memory, jnp.array([2, 1]))
    long = policy.sample(key, params, memory, jnp.array([2, 1, 0, 0, -1, -1]))
    for a, b in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bots": ["rokbot"]}, "unknown bot 'rokbot'"),
        ({"exclude": ["rokbot"]}, "unknown bot 'rokbot'"),
        ({"bots": ["rockbot", "rockbot"]}, "bots must be without repetition"),
        ({"bots": ["rockbot"], "exclude": ["rockbot"]}, "bots must be at least one bot"),
        ({"num_discounts": 0}, "num_discounts must be an integer >= 1"),
    ],
)
def test_wrong_libraries_are_refused(arguments, words):
    with pytest.raises(ValueError, match=r"bot|must be") as error:
        expert_mixture(**arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"discounts": (1.0, 1.5)}, "discounts must be numbers in [0, 1]"),
        ({"rate": -1.0}, "rate must be finite and non-negative"),
        ({"trust_discount": 2.0}, "trust_discount must be in [0, 1]"),
    ],
)
def test_wrong_numbers_are_refused(numbers, words):
    with pytest.raises(ValueError, match="must be") as error:
        expert_params(**numbers)
    assert words in str(error.value)


def test_params_of_another_number_of_discounts_are_refused():
    policy = expert_mixture(["rockbot"], num_discounts=2)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="discounts must be 2 long"):
        policy.sample(key, expert_params(), policy.start(key), jnp.array([0, 1]))

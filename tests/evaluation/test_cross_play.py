"""Cross-play against exact tables and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Player, Policy, Uniform, uniform_policy
from jaxmarl.envs.rps import BOTS, RepeatedRPS, bot_players
from jaxmarl.evaluation import cross_play, versus
from jaxmarl.testing.probes import RandomStop

ENV = RepeatedRPS()
DETERMINISTIC = ("rockbot", "rotatebot", "copybot", "freqbot2", "pibot", "debruijn81", "textbot", "multibot")
EXACT = np.array(
    [
        [0, 0, -1000, -999, 11, 0, 185, -999],
        [0, 0, -1, 0, 11, -21, 11, -997],
        [1000, 1, 0, 600, -22, 1, 74, -997],
        [999, 0, -600, 0, -30, -128, 185, -999],
        [-11, -11, 22, 30, 0, 1, -81, 20],
        [0, 21, -1, 128, -1, 0, 23, 50],
        [-185, -11, -74, -185, 81, -23, 0, -123],
        [999, 997, 997, 999, -20, -50, 123, 0],
    ]
)


def constant(name: str, move: int) -> Player:
    """A player of one move."""
    policy = Policy(lambda chance: (), lambda p, memory, obs, chance: (jnp.int32(move), memory), name=name)
    return Player(policy)


def test_the_deterministic_table_is_exact():
    result = cross_play(ENV, bot_players(ENV, DETERMINISTIC), jax.random.key(0), 2)
    np.testing.assert_array_equal(result.payoffs[..., 0], EXACT)
    np.testing.assert_array_equal(result.payoffs[..., 1], -EXACT)
    np.testing.assert_array_equal(result.standard_errors, 0)
    assert result.names == (DETERMINISTIC, DETERMINISTIC)


def test_rows_and_columns_may_differ():
    rows, columns = bot_players(ENV, DETERMINISTIC[:2]), bot_players(ENV, DETERMINISTIC[2:5])
    result = cross_play(ENV, [rows, columns], jax.random.key(0), 1)
    np.testing.assert_array_equal(result.payoffs[..., 0], EXACT[:2, 2:5])
    assert np.isnan(result.standard_errors).all()


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [("r226bot", "rockbot", -400.0), ("randbot", "multibot", 0.0), ("foxtrotbot", "randbot", 0.0)],
)
def test_closed_forms_within_four_standard_errors(row, column, expected):
    result = cross_play(ENV, [bot_players(ENV, [row]), bot_players(ENV, [column])], jax.random.key(1), 200)
    error = abs(result.payoffs[0, 0, 0] - expected) / result.standard_errors[0, 0, 0]
    assert error < 4


def test_a_uniform_agent_has_the_exact_spread():
    """Against anything, a throw of a uniform player has variance 2/3, independently."""
    agent = Player(uniform_policy(3), view=ENV)
    returns = versus(ENV, agent, bot_players(ENV, ("copybot", "piedra", "rockbot")), jax.random.key(2), 400)
    assert returns.shape == (3, 400)
    spread = np.sqrt(1000 * 2 / 3)
    np.testing.assert_allclose(returns.std(axis=1), spread, rtol=0.15)
    assert np.abs(returns.mean(axis=1)).max() < 4 * spread / 20


def test_both_seats_are_played_from_the_agent_s_side():
    env = RepeatedRPS(num_throws=10)
    agent, opponents = constant("paper", 1), (constant("rock", 0), constant("scissors", 2))
    returns = versus(env, agent, opponents, jax.random.key(0), 4)
    np.testing.assert_array_equal(returns, [[10] * 4, [-10] * 4])


def test_members_of_one_architecture_are_players_of_their_own():
    env = RepeatedRPS(num_throws=10)

    def act(params, memory, obs, chance):
        return params, memory

    family = Player(Policy(lambda chance: (), act, name="constant"), jnp.arange(3, dtype=jnp.int32), members=3)
    result = cross_play(env, [family, constant("paper", 1)], jax.random.key(0), 2)
    assert result.names[0] == ("constant_0", "constant_1", "constant_2", "paper")
    expected = 10 * np.array([[0, -1, 1, -1], [1, 0, -1, 0], [-1, 1, 0, 1], [1, 0, -1, 0]])
    np.testing.assert_array_equal(result.payoffs[..., 0], expected)


def test_batches_of_calls_are_independent_matches():
    randbot = bot_players(ENV, ["randbot"])
    returns = cross_play(ENV, [randbot, randbot], jax.random.key(3), 8, matches_per_call=4).returns[0, 0, :, 0]
    assert len(set(returns.tolist())) > 5


def test_an_episode_counts_until_it_ends():
    """A reward of 1 a step, an end with probability 1/4: a mean return of 4, and never less than 1."""
    policy = Policy(
        lambda chance: (), lambda p, m, obs, chance: ((chance < 0.5).astype(jnp.int32), m), act_chance=Uniform()
    )
    with pytest.raises(ValueError, match="max_steps must be given"):
        cross_play(RandomStop(), [Player(policy)], jax.random.key(0), 100)
    result = cross_play(RandomStop(), [Player(policy)], jax.random.key(0), 1000, max_steps=200)
    assert result.returns.min() == 1
    assert abs(result.payoffs[0, 0] - 4) < 4 * result.standard_errors[0, 0]


def test_wrong_arguments_are_refused():
    bots = bot_players(ENV, ("rockbot", "copybot"))
    with pytest.raises(ValueError, match="num_matches must be a multiple of matches_per_call"):
        cross_play(ENV, bots, jax.random.key(0), 7, matches_per_call=4)
    with pytest.raises(ValueError, match="num_matches must be even"):
        versus(ENV, bots[0], bots, jax.random.key(0), 3)
    with pytest.raises(ValueError, match="seats must be 2 non-empty lists"):
        cross_play(ENV, [bots], jax.random.key(0), 1)


def test_every_bot_plays_whatever_the_recall():
    """All of them in one scan, short: returns mirror each other, and a longer observation changes nothing."""
    played = []
    for recall in (1, 3):
        env = RepeatedRPS(num_throws=30, recall=recall)
        played.append(cross_play(env, bot_players(env), jax.random.key(4), 1).returns)
    assert played[0].shape == (len(BOTS), len(BOTS), 1, 2)
    np.testing.assert_array_equal(played[0][..., 0], -played[0][..., 1])
    np.testing.assert_array_equal(*played)

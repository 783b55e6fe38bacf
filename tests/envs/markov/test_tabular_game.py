"""Tables as environments, and environments as tables."""

import re
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers, Uniform, draw
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markov import (
    DistancingGame,
    FiniteChance,
    GridGame,
    Soccer,
    TabularGame,
    enumerate_game,
    equally_likely,
    tabular_game,
)
from jaxmarl.envs.rps import RepeatedRPS
from jaxmarl.games.markov import MarkovGame, step_in_state
from jaxmarl.games.markov_fixtures import distancing_game, grid_game, soccer, soccer_states
from jaxmarl.games.markov_kernels import DenseKernel, SuccessorKernel, dense_kernel
from jaxmarl.games.markov_zoo import cosine_chicken, cosine_game


def rows(game: MarkovGame) -> np.ndarray:
    return np.asarray(dense_kernel(game.kernel).probabilities)


def assert_same_game(got: MarkovGame, wanted: MarkovGame, atol: float) -> None:
    np.testing.assert_allclose(got.rewards, wanted.rewards, atol=atol)
    np.testing.assert_allclose(got.initial, wanted.initial, atol=atol)
    np.testing.assert_allclose(got.discount, wanted.discount, atol=atol)
    np.testing.assert_allclose(rows(got), rows(wanted), atol=atol)
    assert (got.masks is None) == (wanted.masks is None)


@pytest.mark.parametrize("make_game", [cosine_chicken, cosine_game])
def test_a_table_played_and_enumerated_is_itself(make_game):
    with jax.enable_x64(True):
        game = make_game(0.9)
        again, states = enumerate_game(*tabular_game(game), discount=0.9)
        assert_same_game(again, game, 1e-14)
        np.testing.assert_array_equal(states.index, np.arange(game.num_states))


def leaky_game() -> MarkovGame:
    """Unequal numbers of actions, rows that end the game, illegal actions, and a state listed twice in a row."""
    rng = np.random.default_rng(0)
    shape = (3, 2, 3)
    kernel = SuccessorKernel(
        jnp.asarray(rng.integers(0, 3, (*shape, 4))), jnp.asarray(0.8 * rng.dirichlet(np.ones(4), shape), float)
    )
    masks = (jnp.array([[True, False], [True, True], [True, True]]), jnp.ones((3, 3), bool))
    return MarkovGame(
        jnp.asarray(rng.normal(size=(2, *shape)), float), kernel, jnp.array([0.5, 0.25, 0.25]), 0.9, None, masks
    )


def test_endings_masks_and_unequal_actions_come_back():
    game = leaky_game()
    env, params = tabular_game(game)
    assert env.can_end
    assert env.horizon is None
    again = enumerate_game(env, params, discount=0.9).game
    assert again.num_actions == (3, 3)
    legal = np.asarray(game.legal_profiles())
    np.testing.assert_array_equal(np.asarray(again.mask(0)), np.pad(np.asarray(game.masks[0]), ((0, 0), (0, 1))))
    np.testing.assert_allclose(rows(again)[:, :2][legal], rows(game)[legal], atol=1e-6)
    np.testing.assert_allclose(np.asarray(again.rewards)[:, :, :2][:, legal], game.rewards[:, legal], rtol=1e-6)


def test_a_horizon_becomes_layers():
    game = cosine_chicken(horizon=3)
    env, params = tabular_game(game)
    assert env.horizon == 3
    layered, states = enumerate_game(env, params, discount=1.0)
    wanted = step_in_state(game)
    # discovered in another order than layers are numbered in
    number = np.asarray(states.t) * game.num_states + np.asarray(states.index)
    np.testing.assert_array_equal(np.sort(number), np.arange(6))
    np.testing.assert_allclose(layered.rewards, wanted.rewards[:, number], atol=1e-6)
    np.testing.assert_allclose(rows(layered), rows(wanted)[number][..., number], atol=1e-6)
    np.testing.assert_allclose(layered.initial, wanted.initial[number])


@pytest.mark.parametrize(
    ("env", "table"),
    [
        (Soccer(), soccer),
        (GridGame("opposite"), partial(grid_game, "opposite")),
        (GridGame("common"), partial(grid_game, "common")),
        (DistancingGame(num_agents=4), partial(distancing_game, 4)),
    ],
    ids=["soccer", "opposite", "common", "distancing"],
)
def test_environments_are_the_tables_that_are_solved(env, table):
    wanted = table(0.9)
    params = replace(env.default_params, draw=jnp.zeros(())) if isinstance(env, Soccer) else env.default_params
    got, states = enumerate_game(env, params, discount=0.9)
    assert_same_game(got, wanted, 1e-6)
    numbers = jax.vmap(env.state_index, (0, None))(states, params)
    np.testing.assert_array_equal(numbers, np.arange(env.num_states))


def test_search_finds_what_play_reaches_and_draws_are_the_discount():
    class Undeclared(Soccer):
        def all_states(self, params):
            return None

    fields = {"num_rows": 2, "num_columns": 3, "goal_rows": (0,), "starts": ((0, 2), (1, 0))}
    env = Undeclared(**fields)
    found, states = enumerate_game(env, discount=1.0)
    table = soccer(1.0, **fields)
    numbers = np.asarray(jax.vmap(env.state_index, (0, None))(states, env.default_params))
    assert len(set(numbers)) == found.num_states <= table.num_states
    np.testing.assert_allclose(rows(found), 0.9 * rows(table)[numbers][..., numbers], atol=1e-6)
    np.testing.assert_allclose(found.rewards, table.rewards[:, numbers], atol=1e-6)
    np.testing.assert_allclose(found.initial, table.initial[numbers])


@pytest.mark.parametrize("kind", ["environment", "table"])
def test_frequencies_of_play_are_the_rows(kind):
    game = soccer()
    env = Soccer() if kind == "environment" else tabular_game(game)[0]
    params = replace(env.default_params, draw=jnp.zeros(())) if kind == "environment" else game
    listed = soccer_states()
    positions = [  # near each other, where the order matters; in the last, the ball is lost, and carried off, or not
        (((1, 2), (1, 3), 0), (2, 3)),
        (((1, 2), (2, 3), 0), (2, 0)),
        (((2, 2), (1, 2), 1), (0, 4)),
        (((1, 0), (1, 1), 0), (3, 3)),
        (((1, 0), (1, 1), 1), (3, 3)),
    ]
    cases = [(listed.index(state), actions) for state, actions in positions]
    count = 20_000
    states = env.all_states(params)

    @jax.jit
    def play(states, actions, key):
        def one(state, action, chance):
            after, reward, ended, _ = env.transition(state, action, chance, params)
            return env.state_index(after, params), reward, ended

        chance = draw(env.step_chance, key, (len(cases), count))
        return jax.vmap(jax.vmap(one, (None, None, 0)))(states, actions, chance)

    picked = jax.tree.map(lambda x: jnp.asarray(x)[jnp.array([s for s, _ in cases])], states)
    numbers, rewards, ended = map(np.asarray, play(picked, jnp.array([a for _, a in cases]), jax.random.key(0)))
    table = rows(game)
    for i, (state, actions) in enumerate(cases):
        wanted = table[(state, *actions)]
        found = np.bincount(numbers[i][~ended[i]], minlength=760) / count
        error = np.sqrt(np.maximum(wanted * (1 - wanted), 1e-12) / count)
        assert np.all(np.abs(found - wanted) <= 4 * error + 1e-12)
        spread = rewards[i, :, 0].std() / np.sqrt(count)
        assert abs(rewards[i, :, 0].mean() - game.rewards[(0, state, *actions)]) <= 4 * spread + 1e-6
    assert ended[3].all()
    assert 0.4 < ended[4].mean() < 0.6


def test_outcomes_of_integers():
    chance, weights = equally_likely((Integers(3), Integers(2, (2,))))
    assert weights.shape == (12,)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
    assert len({(int(a), *map(int, b)) for a, b in zip(*chance, strict=True)}) == 12
    nothing, one = equally_likely(())
    assert nothing == ()
    assert one.shape == (1,)
    with pytest.raises(ValueError, match="chance must be made of Integers"):
        equally_likely(Uniform())
    with pytest.raises(ValueError, match="chance must be of at most 4096, got"):
        equally_likely(Integers(2, (13,)))


@dataclass(frozen=True)
class Counter(FiniteChance, Environment):
    """Adds one player's action to a number, up to `limit`."""

    limit: int = 3
    listed: int | None = None

    num_agents = 1
    default_params = ()

    def observation_space(self, params):
        return Box(0, 10)

    def action_space(self, params):
        return Discrete(2) if self.limit else Box(0, 1)

    def initial(self, chance, params):
        return jnp.zeros((), jnp.int32)

    def transition(self, state, action, chance, params):
        return jnp.minimum(state + action[0], self.limit), jnp.ones(1), jnp.zeros((), bool), {}

    def observe(self, state, params):
        return state[None].astype(jnp.float32)

    def all_states(self, params):
        return None if self.listed is None else np.arange(self.listed, dtype=np.int32)


def test_any_environment_without_hooks_is_enumerated():
    game, states = enumerate_game(Counter(), discount=0.9)
    assert states.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(game.kernel.successors[..., 0], [[0, 1], [1, 2], [2, 3], [3, 3]])
    plain, _ = enumerate_game(RepeatedRPS(num_throws=2), discount=1.0)
    assert plain.num_players == 2
    np.testing.assert_allclose(
        plain.rewards[:, 0], [[[0, -1, 1], [1, 0, -1], [-1, 1, 0]], [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: enumerate_game(Counter(limit=0), discount=0.9), "env must be an environment with discrete actions"),
        (lambda: enumerate_game(Counter(limit=50), discount=0.9, max_states=9), "max_states must be"),
        (lambda: enumerate_game(Counter(listed=3), discount=0.9), "all_states must be closed under play"),
        (lambda: TabularGame(num_states=0), "num_states must be"),
        (lambda: TabularGame(num_actions=()), "num_actions must be"),
        (lambda: TabularGame(observation="number"), "observation must be one of"),
        (lambda: TabularGame().validate(cosine_game(0.9)), "params must be a table of the environment's shape"),
        (lambda: TabularGame(3, (3, 3), 5).validate(cosine_game(horizon=4)), "params must be without horizon or 5"),
        (lambda: TabularGame(1, (1,)).validate(half_game()), "params must be 1, unless can_end"),
        (lambda: Soccer(goal_rows=(7,)), "goal_rows must be"),
        (lambda: Soccer(starts=((0, 0), (0, 0))), "starts must be"),
        (lambda: GridGame("third"), "which must be one of"),
    ],
)
def test_refusals_are_one_line(make, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        make()
    assert "\n" not in str(error.value)


def half_game() -> MarkovGame:
    return MarkovGame(jnp.ones((1, 1, 1)), DenseKernel(jnp.full((1, 1, 1), 0.5)), discount=0.9)

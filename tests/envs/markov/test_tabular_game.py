"""Tables as environments, and environments as tables."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers, Uniform
from jaxmarl.core.registry import make
from jaxmarl.envs.markov import enumerate_game, equally_likely, tabular_game
from jaxmarl.games.markov import MarkovGame, step_in_state
from jaxmarl.games.markov_kernels import SuccessorKernel, dense_kernel
from jaxmarl.games.markov_zoo import cosine_chicken, cosine_game, turn_based
from jaxmarl.testing import check_env


def assert_same_game(got: MarkovGame, wanted: MarkovGame, atol: float) -> None:
    np.testing.assert_allclose(got.rewards, wanted.rewards, atol=atol)
    np.testing.assert_allclose(got.initial, wanted.initial, atol=atol)
    np.testing.assert_allclose(got.discount, wanted.discount, atol=atol)
    rows = [np.asarray(dense_kernel(game.kernel).probabilities) for game in (got, wanted)]
    np.testing.assert_allclose(*rows, atol=atol)


@pytest.mark.parametrize("make_game", [cosine_chicken, cosine_game])
def test_a_table_played_and_enumerated_is_itself(make_game):
    with jax.enable_x64(True):
        game = make_game(0.9)
        env, params = tabular_game(game)
        again, states = enumerate_game(env, params, discount=0.9)
        assert_same_game(again, game, 1e-14)
        np.testing.assert_array_equal(states.index, np.arange(game.num_states))

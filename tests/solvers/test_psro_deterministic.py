"""Mixtures of deterministic policies in Markov games are answered exactly, as on the tree of histories."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.markov_fixtures import soccer
from jaxmarl.games.markov_metrics import best_response
from jaxmarl.games.markov_zoo import random_zero_sum
from jaxmarl.solvers.psro import MarkovPsro, unroll
from jaxmarl.solvers.psro.deterministic import mixture_response_value, mixtures_nash_conv

STATES, ACTIONS, STEPS = 3, (2, 3), 3
WEIGHTS = np.array([0.5, 0.2, 0.3])


@pytest.fixture(scope="module")
def game():
    return random_zero_sum(jax.random.key(5), STATES, ACTIONS, discount=0.9, horizon=STEPS)


@pytest.mark.parametrize("seat", [0, 1])
def test_value_is_that_of_the_tree_of_histories(game, seat):
    actions = np.random.default_rng(seat).integers(0, ACTIONS[1 - seat], (3, STATES))
    actions[1] = actions[0]  # in the first states two policies cannot be told apart
    actions[1, 2] = (actions[0, 2] + 1) % ACTIONS[1 - seat]
    psro = MarkovPsro(unroll(game))
    history = psro.game
    members = jnp.asarray(np.eye(ACTIONS[1 - seat], dtype=np.float32)[actions[:, np.asarray(history.state)]])
    own = jnp.zeros((3, history.game.num_states, ACTIONS[seat]))
    populations = (own, members) if seat == 0 else (members, own)

    @jax.jit
    def on_the_tree(populations):
        response = psro.best_response(seat, populations, jnp.asarray(WEIGHTS, jnp.float32), jax.random.key(0))
        return psro.payoff_row(seat, response, populations, jax.random.key(0)).mean[seat]

    value = mixture_response_value(game, seat, actions, WEIGHTS)
    assert value == pytest.approx(float(WEIGHTS @ np.asarray(on_the_tree(populations))), abs=1e-5)
    told = [mixture_response_value(game, seat, actions[k : k + 1], np.ones(1)) for k in range(3)]
    assert value <= WEIGHTS @ np.array(told) + 1e-9  # no more than if the policy were known


def test_one_policy_is_answered_by_backward_induction():
    """Soccer, 760 states: against a policy that is known, the best response of the table."""
    game = replace(soccer(), horizon=5)
    actions = np.random.default_rng(0).integers(0, 5, (2, 760))
    uniform = jnp.full((5, 760, 5), 0.2)
    fixed = jnp.broadcast_to(np.eye(5, dtype=np.float32)[actions][:, None], (2, 5, 760, 5))
    for seat in range(2):
        policies = (uniform, fixed[seat]) if seat == 0 else (fixed[seat], uniform)
        values = best_response(game, policies, seat)[1]
        expected = float(values @ game.initial)
        found = mixture_response_value(game, seat, actions[seat : seat + 1], np.ones(1))
        assert found == pytest.approx(expected, abs=1e-5)
    both = mixtures_nash_conv(game, (actions, actions), (np.array([0.0, 1.0]), np.array([1.0, 0.0])))
    parts = [mixture_response_value(game, seat, actions, np.eye(2)[seat]) for seat in range(2)]
    assert both == pytest.approx(sum(parts), abs=1e-9)


def test_wrong_games_and_weights_are_refused(game):
    endless = random_zero_sum(jax.random.key(5), STATES, ACTIONS, discount=0.9)
    with pytest.raises(ValueError, match="game must be a game with a horizon"):
        mixture_response_value(endless, 0, np.zeros((1, STATES), int), np.ones(1))
    with pytest.raises(ValueError, match="for 1 to 40"):
        mixture_response_value(game, 0, np.zeros((1, STATES), int), np.zeros(1))

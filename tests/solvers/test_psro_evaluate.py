"""Populations against each other and against responses trained anew, where the answers are known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import bimatrix_game, zero_sum_game
from jaxmarl.solvers.psro import NormalFormPsro, Psro, PsroSettings, sample_estimates
from jaxmarl.solvers.psro.evaluate import cross_payoffs, relative_population_value, retrained_gains

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32)
KEY = jax.random.key(0)


def population(game, iterations):
    """As many strategies a seat, none of the last iteration's."""
    return Psro(game, PsroSettings(capacity=4, iterations=iterations, meta_solver="nash_lp", shared=False)).run(KEY)


@pytest.fixture(scope="module")
def game():
    return NormalFormPsro(zero_sum_game(RPS), zero_sum=True, symmetric=False)


@pytest.fixture(scope="module")
def states(game):
    """Rock; rock and paper; everything."""
    return [population(game, iterations) for iterations in (1, 2, 4)]


def test_populations_against_each_other(game, states):
    rock, two, everything = states
    np.testing.assert_allclose(cross_payoffs(game, rock, everything, KEY)[0], [[0, -1, 1]], atol=1e-6)
    assert relative_population_value(game, rock, two, KEY) == pytest.approx(-1, abs=1e-6)
    assert relative_population_value(game, two, rock, KEY) == pytest.approx(1, abs=1e-6)
    assert relative_population_value(game, everything, everything, KEY) == pytest.approx(0, abs=1e-6)
    # scissors against rock and paper: the mixture (2/3, 1/3) of paper and scissors does not lose to either
    assert relative_population_value(game, everything, two, KEY) == pytest.approx(1 / 3, abs=1e-6)


def test_a_lead_of_a_seat_is_nobodys(game):
    """With 1 added to what the first seat gets, populations that are alike still earn nothing from each other."""
    unfair = NormalFormPsro(zero_sum_game(RPS + 1), zero_sum=True, symmetric=False)
    state = population(unfair, 2)
    assert relative_population_value(unfair, state, state, KEY) == pytest.approx(0, abs=1e-6)


def test_exact_responses_find_the_nash_conv(game, states):
    for state, nash_conv in zip(states, (2, 2, 0), strict=True):
        gains, errors = retrained_gains(game, state, 1, KEY)
        assert gains.sum() == pytest.approx(nash_conv, abs=1e-5)
        np.testing.assert_array_equal(errors, 0)


class Noisy(NormalFormPsro):
    """Responses are drawn, payoffs are estimated from 50 episodes with noise of standard deviation 1."""

    exact = pure = False

    def best_response(self, seat, populations, others, key):
        return jax.nn.one_hot(jax.random.randint(key, (), 0, 3), 3)

    def payoff_row(self, seat, strategy, populations, key):
        mean = super().payoff_row(seat, strategy, populations, key).mean
        noise = jax.random.normal(key, (50, *mean.shape[1:]))
        return sample_estimates(mean + jnp.stack([noise, -noise], axis=1))


def test_the_best_of_several_runs_is_not_flattered(states):
    game, rock = Noisy(zero_sum_game(RPS), zero_sum=True, symmetric=False), states[0]
    found = [retrained_gains(game, rock, 12, jax.random.key(seed)) for seed in range(8)]
    gains, errors = (np.stack(column)[:, 0] for column in zip(*found, strict=True))
    np.testing.assert_allclose(errors, 1 / np.sqrt(50), rtol=0.4)
    assert abs(gains.mean() - 1) < 4 / np.sqrt(50 * 8)  # paper gains 1 over rock


def test_values_of_mixtures_carry_the_errors_of_their_cells(states):
    cells, joint = states[2].empirical.cells, states[2].joint
    noisy = replace(cells, squares=jnp.full_like(cells.squares, 90.0), count=jnp.full_like(cells.count, 10.0))
    errors = replace(states[2].empirical, cells=noisy).value_errors(joint)
    np.testing.assert_allclose(errors, np.sqrt(np.sum(np.asarray(joint) ** 2)), rtol=1e-5)  # each cell's error is 1


def test_other_games_are_refused(states):
    unlike = NormalFormPsro(bimatrix_game(RPS, RPS), zero_sum=False, symmetric=False)
    with pytest.raises(ValueError, match="game must be zero-sum"):
        relative_population_value(unlike, states[0], states[0], KEY)

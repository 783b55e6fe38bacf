import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import (
    NormalFormGame,
    best_responses,
    bimatrix_game,
    cce_gap,
    ce_gap,
    coarse_deviation_gains,
    deviation_gains,
    exploitability,
    nash_conv,
    optimal_welfare,
    pure_equilibria,
    stack_games,
    swap_gains,
    swap_gap,
    symmetric_game,
    welfare,
    zero_sum_game,
)

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
CHICKEN = [[6.0, 2], [7, 0]]


def random_game(seed: int, num_actions: tuple[int, ...]) -> NormalFormGame:
    return NormalFormGame(np.random.default_rng(seed).normal(size=(len(num_actions), *num_actions)))


def random_strategies(seed: int, num_actions: tuple[int, ...]) -> tuple:
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.dirichlet(np.ones(size)), jnp.float32) for size in num_actions)


@pytest.mark.parametrize("num_actions", [(4,), (2, 3), (3, 2, 4), (2, 2, 3, 2), (2,) * 8])
def test_expectations_are_sums_over_profiles(num_actions):
    game, strategies = random_game(0, num_actions), random_strategies(1, num_actions)
    payoffs = np.asarray(game.payoffs)
    expected = np.zeros(len(num_actions))
    by_action = [np.zeros(size) for size in num_actions]
    for profile in itertools.product(*map(range, num_actions)):
        chances = [float(x[a]) for x, a in zip(strategies, profile, strict=True)]
        expected += np.prod(chances) * payoffs[(slice(None), *profile)]
        for i, action in enumerate(profile):
            by_action[i][action] += np.prod(chances[:i] + chances[i + 1 :]) * payoffs[(i, *profile)]
    np.testing.assert_allclose(game.expected_payoffs(strategies), expected, atol=1e-5)
    for i in range(len(num_actions)):
        np.testing.assert_allclose(game.action_payoffs(i, strategies), by_action[i], atol=1e-5)
    np.testing.assert_allclose(game.payoffs_of_joint(game.joint(strategies)), expected, atol=1e-5)
    gains = [u.max() - e for u, e in zip(by_action, expected, strict=True)]
    np.testing.assert_allclose(deviation_gains(game, strategies), gains, atol=1e-5)
    np.testing.assert_allclose(nash_conv(game, strategies), np.sum(gains), atol=1e-5)
    np.testing.assert_allclose(exploitability(game, strategies), np.mean(gains), atol=1e-5)
    assert [int(a) for a in best_responses(game, strategies)] == [int(u.argmax()) for u in by_action]


@pytest.mark.parametrize("num_actions", [(2, 3), (3, 2, 4)])
def test_correlated_gaps_are_the_inequalities_of_their_polytopes(num_actions):
    game = random_game(2, num_actions)
    rng = np.random.default_rng(3)
    joint = rng.dirichlet(np.ones(np.prod(num_actions))).reshape(num_actions)
    payoffs = np.asarray(game.payoffs, np.float64)
    coarse, swaps, totals = [], [], []
    for i, size in enumerate(num_actions):
        u, sigma = (np.moveaxis(x, i, 0).reshape(size, -1) for x in (payoffs[i], joint))
        coarse.append(max((sigma * (u[b] - u)).sum() for b in range(size)))
        gains = np.array([[(sigma[a] * (u[b] - u[a])).sum() for b in range(size)] for a in range(size)])
        np.testing.assert_allclose(swap_gains(game, jnp.asarray(joint, jnp.float32), i), gains, atol=1e-5)
        swaps.append(gains.max())
        totals.append(gains.max(1).sum())
    sigma = jnp.asarray(joint, jnp.float32)
    np.testing.assert_allclose(coarse_deviation_gains(game, sigma), coarse, atol=1e-5)
    np.testing.assert_allclose(cce_gap(game, sigma), max(coarse), atol=1e-5)
    np.testing.assert_allclose(ce_gap(game, sigma), max(swaps), atol=1e-5)
    np.testing.assert_allclose(swap_gap(game, sigma), max(totals), atol=1e-5)
    assert swap_gap(game, sigma) >= ce_gap(game, sigma) - 1e-6
    assert swap_gap(game, sigma) >= cce_gap(game, sigma) - 1e-6


def test_a_coarse_equilibrium_need_not_be_correlated():
    diagonal = jnp.eye(3) / 3
    game = zero_sum_game(RPS)
    assert float(cce_gap(game, diagonal)) == pytest.approx(0, abs=1e-6)
    assert float(ce_gap(game, diagonal)) == pytest.approx(1 / 3, abs=1e-6)


def test_known_equilibria_of_chicken():
    game = symmetric_game(CHICKEN)
    mixed = (jnp.array([2 / 3, 1 / 3]),) * 2
    assert float(nash_conv(game, mixed)) == pytest.approx(0, abs=1e-6)
    correlated = jnp.array([[0.5, 0.25], [0.25, 0]])
    assert float(ce_gap(game, correlated)) == pytest.approx(0, abs=1e-6)
    assert float(welfare(game, correlated)) == pytest.approx(10.5)
    assert float(optimal_welfare(game)) == 12
    np.testing.assert_array_equal(pure_equilibria(game), [[False, True], [True, False]])


def test_masked_actions_change_nothing():
    small = random_game(4, (3, 2, 2))
    other = random_game(5, (4, 4, 3))
    batch = stack_games([small, other])
    assert batch.payoffs.shape == (2, 3, 4, 4, 3)
    padded = jax.tree.map(lambda leaf: leaf[0], batch)
    padded = NormalFormGame(jnp.where(padded.legal_profiles(), padded.payoffs, 1e3), padded.masks)
    strategies = random_strategies(6, (3, 2, 2))
    longer = tuple(jnp.pad(x, (0, n - x.size)) for x, n in zip(strategies, (4, 4, 3), strict=True))
    joint = small.joint(strategies)
    wide = padded.joint(longer)
    assert float(nash_conv(padded, longer)) == pytest.approx(float(nash_conv(small, strategies)), abs=1e-5)
    assert float(ce_gap(padded, wide)) == pytest.approx(float(ce_gap(small, joint)), abs=1e-5)
    assert float(cce_gap(padded, wide)) == pytest.approx(float(cce_gap(small, joint)), abs=1e-5)
    assert float(optimal_welfare(padded)) == pytest.approx(float(optimal_welfare(small)))
    np.testing.assert_allclose(padded.payoff_range(), small.payoff_range(), rtol=1e-6)
    np.testing.assert_array_equal(pure_equilibria(padded)[:3, :2, :2], pure_equilibria(small))
    assert int(pure_equilibria(padded).sum()) == int(pure_equilibria(small).sum())
    np.testing.assert_allclose(padded.uniform_strategies()[1], [0.5, 0.5, 0, 0])


def test_batches_are_vmaps():
    payoffs = np.random.default_rng(7).normal(size=(5, 2, 3, 4)).astype(np.float32)
    games = jax.vmap(NormalFormGame)(payoffs)
    gaps = jax.vmap(lambda game: nash_conv(game, game.uniform_strategies()))(games)
    alone = [nash_conv(game, game.uniform_strategies()) for game in map(NormalFormGame, payoffs)]
    np.testing.assert_allclose(gaps, alone, atol=1e-6)
    assert stack_games([NormalFormGame(p) for p in payoffs]).masks is None


def test_normalising_keeps_equilibria_and_scales_gaps():
    game = random_game(8, (3, 4))
    strategies = random_strategies(9, (3, 4))
    unit = game.normalised()
    np.testing.assert_allclose(unit.payoff_range(), 1, atol=1e-6)
    np.testing.assert_allclose(
        deviation_gains(unit, strategies) * game.payoff_range(), deviation_gains(game, strategies), atol=1e-5
    )
    constant = NormalFormGame(jnp.full((2, 2, 2), 7.0)).normalised()
    assert float(jnp.abs(constant.payoffs).max()) == 0


def test_facts_of_a_game():
    assert zero_sum_game(RPS).is_zero_sum()
    assert zero_sum_game(RPS).is_symmetric()
    assert not symmetric_game(CHICKEN).is_zero_sum()
    assert symmetric_game(CHICKEN).is_symmetric()
    assert bimatrix_game(RPS, 5 - RPS).is_zero_sum()  # constant-sum
    assert not bimatrix_game([[9.0, 0], [0, 1]], [[0.0, 1], [1, 0]]).is_symmetric()
    assert not random_game(0, (2, 3)).is_symmetric()
    own = np.arange(8.0).reshape(2, 2, 2)
    own = (own + own.swapaxes(1, 2)) / 2  # player 0's payoffs, symmetric in the two others
    three = np.stack([own, own.transpose(1, 0, 2), own.transpose(1, 2, 0)])
    assert NormalFormGame(three).is_symmetric()
    assert not NormalFormGame(three[[1, 0, 2]]).is_symmetric()


def test_gradients_reach_the_payoffs():
    game = symmetric_game(CHICKEN)
    gradient = jax.grad(lambda g: g.expected_payoffs(g.uniform_strategies())[0])(game)
    np.testing.assert_allclose(gradient.payoffs[0], np.full((2, 2), 0.25))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NormalFormGame(np.ones((3, 2, 2))), "payoffs must be of shape"),
        (lambda: NormalFormGame(np.ones((2, 0, 2))), "payoffs must be of shape"),
        (lambda: NormalFormGame(np.array([[1.0, np.nan]])), "payoffs must be finite, got '1 entries"),
        (lambda: NormalFormGame(np.array([[1.0, np.inf]])), "payoffs must be finite"),
        (lambda: NormalFormGame(np.ones((13,) + (1,) * 13)), "at most 12 players"),
        (lambda: NormalFormGame(np.ones((2, 2, 2)), (np.ones(2, bool), np.ones(3, bool))), "masks must be one bool"),
        (lambda: NormalFormGame(np.ones((2, 2, 2)), (np.ones(2, bool),) * 1), "masks must be one bool"),
        (lambda: NormalFormGame(np.ones((1, 2)), (np.zeros(2, bool),)), "masks[0] must be true somewhere"),
        (lambda: bimatrix_game(np.ones((2, 2)), np.ones((2, 3))), "column_payoffs must be a matrix like (2, 2)"),
        (lambda: symmetric_game(np.ones((2, 3))), "row_payoffs must be a square matrix"),
        (
            lambda: nash_conv(random_game(0, (2, 3)), (jnp.ones(2) / 2, jnp.ones(2) / 2)),
            "shapes of strategies must be ((2,), (3,)), a vector for each player, got ((2,), (2,))",
        ),
        (lambda: stack_games([]), "games must be at least one game"),
        (lambda: stack_games([random_game(0, (2,)), random_game(0, (2, 2))]), "same number of players"),
    ],
)
def test_wrong_input_is_refused_in_one_line(build, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        build()
    assert "\n" not in str(error.value)

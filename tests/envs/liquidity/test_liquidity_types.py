"""Liquidity provision among dealers of unknown size: equilibria, selection, beliefs, the regulator's problem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.games import make_game, nash_conv, pure_equilibria
from jaxmarl.games.liquidity_types import depth_values, design_objective, signalled_belief, type_strategies
from jaxmarl.solvers import all_equilibria, log_linear_learning

BAYESIAN = {
    (0.5, 0.25): {(0, 0): 0, (1, 1): 0.75, (1, 2): 0.875},
    (0.3, 0.25): {(0, 0): 0, (1, 1): 0.75, (1, 2): 0.765},
    (0.25, 0.25): {(0, 0): 0, (0, 1): 0, (0, 2): 0, (1, 1): 0.75, (1, 2): 0.75},
    (0.2, 0.25): {(0, 0): 0, (1, 1): 0.75},
    (0.5, 0.6): {(0, 0): 0, (1, 1): 0.4},
    (0.7, 0.6): {(0, 0): 0, (1, 1): 0.4, (1, 2): 0.47},
    (0.5, 0.0): {(0, 0): 0, (1, 1): 1, (1, 2): 1.25},
}


@pytest.mark.parametrize(("share", "cost"), BAYESIAN)
def test_symmetric_bayesian_equilibria(share, cost):
    env, params = make("liquidity_provision")
    known = env.benchmarks(params.replace(large_share=jnp.full(2, share), cost=jnp.full(2, cost)))
    found = {tuple(map(int, s)): v for s, v in zip(known["strategies"], known["values"], strict=True)}
    assert set(found) == set(BAYESIAN[share, cost])
    for strategy, value in BAYESIAN[share, cost].items():
        assert found[strategy] == pytest.approx(value, abs=1e-6)
    values = depth_values(share, cost)
    assert values["shallow"] == pytest.approx(1 - cost)
    assert values["deep"] == pytest.approx(1 - cost + share * (share - cost))
    assert values["deep_large"] == pytest.approx(1 + share - 2 * cost)


def test_equilibria_of_the_ex_ante_game():
    game = make_game("liquidity_provision_bayesian")
    assert game.num_actions == (6, 6)
    assert len(all_equilibria(game)) == 14
    half = jnp.zeros(6).at[jnp.array([4, 5])].set(0.5)
    np.testing.assert_array_equal(type_strategies(1, 2)[[4, 5]], [[1, 1], [1, 2]])
    assert float(nash_conv(game, (half, half))) < 1e-6
    np.testing.assert_allclose(game.expected_payoffs((half, half)), 0.75, atol=1e-7)
    stable = np.asarray(pure_equilibria(game))
    assert np.argmax(np.where(stable, game.payoffs.sum(axis=0), -1)) == 6 * 5 + 5


@pytest.mark.parametrize(("small", "large"), [(1, 3), (2, 5)])
def test_depth_is_an_equilibrium_where_large_banks_are_common_enough_whatever_the_capacities(small, large):
    for share, cost in [(0.29, 0.3), (0.31, 0.3), (0.5, 0.3)]:
        game = make_game("liquidity_provision_bayesian", large_share=share, cost=cost, small=small, large=large)
        deep = np.argmax((type_strategies(small, large) == [small, large]).all(axis=1))
        assert bool(pure_equilibria(game)[deep, deep]) == (share >= cost)
        if share >= cost:
            assert float(game.payoffs[0, deep, deep]) == pytest.approx(depth_values(share, cost, small, large)["deep"])


def test_the_environment_pays_the_ex_ante_values_on_average():
    env, params = make("liquidity_provision")
    depths = jnp.where(jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], bool), 2, 1)
    large = depths == 2
    states = [env.initial(jnp.where(x, 0.0, 0.9), params) for x in large]
    pays = [env.transition(state, d, (), params)[1][0] for state, d in zip(states, depths, strict=True)]
    assert float(np.mean(pays)) == pytest.approx(0.875)
    mask = env.action_mask(states[1], params.replace(minimum=jnp.ones(())))
    np.testing.assert_array_equal(mask, [[False, True, False], [False, True, True]])


@pytest.mark.parametrize(("share", "value"), [(0.2, 1), (0.5, 1), (0.7, 1.4), (1.0, 2)])
def test_the_proposer_offers_the_large_trade_from_one_half_on(share, value):
    game = make_game("liquidity_proposer", large_share=share)
    taken = np.asarray(game.payoffs)[:, :, 1]  # refusing is never better
    np.testing.assert_allclose(game.payoffs[:, :, 0], 0)
    np.testing.assert_allclose(taken.max(axis=1), value, atol=1e-6)
    if share != 0.5:
        assert int(np.argmax(taken[0])) == (share > 0.5)


def test_beliefs_follow_quotes():
    assert float(signalled_belief(0.5, 0.8, 0.2)) == pytest.approx(0.8)
    assert float(signalled_belief(0.25, 1.0, 0.5)) == pytest.approx(0.4)
    assert float(signalled_belief(0.3, 0.5, 0.5)) == pytest.approx(0.3)
    assert float(signalled_belief(0.3, 0.0, 0.0)) == pytest.approx(0.3)
    np.testing.assert_allclose(signalled_belief(0.5, np.array([0.0, 1.0]), np.array([1.0, 0.0])), [1e-6, 1 - 1e-6])


def test_a_taste_for_stability_never_makes_an_interior_share_best():
    # the variance of what is executed, p² (1 - p²), vanishes at both corners: a weight on stability favours them more
    shares = np.linspace(0, 1, 201)
    for weight in (0.0, 0.3, 1.0, 4.0, 20.0):
        for fee in (-0.5, 0.0, 0.3, 0.6, 0.99, 1.01, 2.0):
            found = design_objective(shares, 0.25, fee_large=fee, stability_weight=weight)["objective"]
            assert int(np.argmax(found)) == (200 if fee < 1 else 0)


def test_the_regulator_wants_a_corner():
    shares = np.linspace(0, 1, 101)
    found = design_objective(shares, 0.25)
    np.testing.assert_allclose(found["objective"][[0, -1]], [1, 2 - 0.6])
    assert int(np.argmax(found["objective"])) == 100
    deep = shares >= 0.25
    np.testing.assert_allclose(found["liquidity"], 1 + shares**2 * deep)
    np.testing.assert_allclose(found["stability"], -(shares**2) * (1 - shares**2) * deep)
    fees = design_objective(shares, 0.25, fee_small=0.1, fee_large=0.7)["objective"]
    np.testing.assert_allclose(fees[[0, -1]], [0.9, 1.3])


@jax.jit
def long_run(game, temperature):
    return log_linear_learning(game, temperature=temperature).joint


def test_selection_by_potential_needs_twice_the_share():
    shares = np.linspace(0, 1, 101)
    liquidity = design_objective(shares, 0.25, selection="potential")["liquidity"]
    np.testing.assert_array_equal(liquidity > 1, shares >= 0.5)
    for share, cost in [(0.3, 0.25), (0.55, 0.25), (0.9, 0.55), (0.7, 0.4)]:
        game = make_game("liquidity_provision_bayesian", large_share=share, cost=cost)
        law = np.asarray(long_run(game, 0.004))
        selected = type_strategies(1, 2)[np.unravel_index(np.argmax(law), law.shape)[0]]
        executed = float(design_objective(share, cost, selection="potential")["liquidity"])
        wanted = (0, 0) if cost > 0.5 else (1, 2) if share >= 2 * cost else (1, 1)
        assert tuple(map(int, selected)) == wanted
        assert executed == pytest.approx({(0, 0): 0, (1, 1): 1, (1, 2): 1 + share**2}[wanted])

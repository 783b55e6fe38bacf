"""What orders trade: the three rules, whole parcels, conservation, symmetry; the environment and the game agree."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.games import make_game, pure_equilibria
from jaxmarl.games.liquidity_clearing import (
    FILL_RULES,
    clear,
    meeting_probability,
    order_bounds,
    random_pairs,
    whole_pro_rata_fills,
)

RNG = np.random.default_rng(0)
ORDERS = RNG.integers(-3, 4, (6, 400))
PAIRS = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)


def test_pro_rata_rations_the_longer_side():
    np.testing.assert_allclose(clear(np.array([2, 2, -1, 1, -3]), "pro_rata"), [1.6, 1.6, -1, 0.8, -3])
    np.testing.assert_array_equal(clear(np.array([2, 1, 0]), "pro_rata"), [0, 0, 0])


def test_pairs_trade_the_smaller_order_or_nothing():
    np.testing.assert_array_equal(clear(np.array([2, -1, -2]), "bilateral", PAIRS), [1, -1, 0])
    np.testing.assert_array_equal(clear(np.array([2, 1, -2]), "bilateral", PAIRS), [0, 0, 0])
    np.testing.assert_array_equal(clear(np.array([2, -1, -2]), "all_or_nothing", PAIRS), [0, 0, 0])
    np.testing.assert_array_equal(clear(np.array([-2, 2, -2]), "all_or_nothing", PAIRS), [-2, 2, 0])


def test_whole_parcels_go_to_the_largest_remainders_and_among_equals_to_the_first():
    # exact shares 1.6, 1.6, 0.8 of four parcels sold: one each for certain, then the remainders 0.8, 0.6, 0.6
    np.testing.assert_array_equal(whole_pro_rata_fills(np.array([2, 2, -1, 1, -3])), [2, 1, -1, 1, -3])
    np.testing.assert_array_equal(whole_pro_rata_fills(np.array([1, 1, 1, -2])), [1, 1, 0, -2])
    np.testing.assert_array_equal(whole_pro_rata_fills(np.array([-1, -1, -1, 1])), [-1, 0, 0, 1])
    np.testing.assert_array_equal(whole_pro_rata_fills(np.array([3, -1, 3, 3, -4])), [2, -1, 2, 1, -4])


@pytest.mark.parametrize("fill", FILL_RULES)
@pytest.mark.parametrize("rounding", ["none", "largest_remainder"])
def test_bought_is_sold_and_no_fill_exceeds_its_order(fill, rounding):
    pairs = random_pairs(RNG.random(6))
    fills = clear(ORDERS, fill, pairs, rounding)
    np.testing.assert_allclose(fills.sum(axis=0), 0, atol=1e-12)
    assert (np.abs(fills) <= np.abs(ORDERS)).all()
    assert (fills * ORDERS >= 0).all()
    np.testing.assert_allclose(clear(-ORDERS, fill, pairs), -clear(ORDERS, fill, pairs), atol=1e-12)
    if rounding == "largest_remainder":
        assert (fills == np.round(fills)).all()
        assert (np.abs(fills - clear(ORDERS, fill, pairs)) < 1 + 1e-12).all()
    traced = jax.jit(lambda x: clear(x, fill, pairs, rounding))(jnp.asarray(ORDERS))
    np.testing.assert_allclose(traced, fills, atol=2e-6)


def test_two_players_trade_alike_under_both_rules_of_the_smaller_order():
    orders, both = RNG.integers(-2, 3, (2, 50)), ~np.eye(2, dtype=bool)
    met = np.minimum(*np.abs(orders)) * (orders[0] * orders[1] < 0)
    np.testing.assert_allclose(np.abs(clear(orders, "pro_rata")), [met, met])
    np.testing.assert_array_equal(np.abs(clear(orders, "bilateral", both)), [met, met])


@pytest.mark.parametrize("players", [4, 5])
def test_matchings_are_perfect_and_all_equally_likely(players):
    lots = np.random.default_rng(1).random((4000, players))
    pairs = np.asarray(jax.vmap(random_pairs)(jnp.asarray(lots)))
    assert (pairs == pairs.transpose(0, 2, 1)).all()
    assert (pairs.sum(axis=2) <= 1).all()
    assert (pairs.sum(axis=(1, 2)) == players // 2 * 2).all()
    rates, chance = pairs.mean(axis=0)[np.triu_indices(players, 1)], meeting_probability(players)
    assert np.abs(rates - chance).max() < 4 * np.sqrt(chance * (1 - chance) / 4000)


def test_orders_stay_within_capacity_and_holdings():
    least, largest = order_bounds(np.array([0.0, 0.5, 3]), np.array([0.0, 0, -9]), np.array([9.0, 1, 4]), np.full(3, 2))
    np.testing.assert_array_equal(least, [0, 0, -2])
    np.testing.assert_array_equal(largest, [2, 0, 1])


def test_a_rule_for_pairs_needs_pairs():
    with pytest.raises(ValueError, match=r"^pairs must be given with fill 'bilateral'$"):
        clear(np.zeros(2), "bilateral")
    with pytest.raises(ValueError, match=r"^fill must be one of pro_rata.*did you mean 'pro_rata'\?$"):
        clear(np.zeros(2), "prorata")


def market(num_agents=2, capacity=None, cost=0.25, aversion=0.0, **static):
    env, params = make("liquidity_matrix", num_agents=num_agents, **static)
    capacity = [env.max_order] * num_agents if capacity is None else capacity
    numbers = {"cost": jnp.full(num_agents, cost), "aversion": jnp.full(num_agents, aversion)}
    return env, params.replace(capacity=jnp.asarray(capacity, float), **numbers)


def test_the_environment_pays_what_the_game_pays():
    env, params = market(3, [2, 1, 2], aversion=0.3, rounding="largest_remainder")
    params = params.replace(holding=jnp.array([0.0, 2.0, -1.0]), target=jnp.array([1.0, 0.0, 0.0]))
    game, state = env.game(params), env.initial((), params)
    profiles = jnp.asarray(list(itertools.product(range(5), range(1, 4), range(5))))
    _, reward, _, info = jax.jit(jax.vmap(lambda a: env.transition(state, a, (), params)))(profiles)
    np.testing.assert_allclose(reward, np.asarray(game.payoffs)[:, *profiles.T].T, atol=1e-6)
    np.testing.assert_array_equal(env.action_mask(state, params), [np.asarray(mask) for mask in game.masks])
    np.testing.assert_allclose(info["fills"].sum(axis=1), 0, atol=1e-6)


def test_payoffs_of_a_random_matching_are_their_mean_over_matchings():
    game = make_game("liquidity_matrix", capacities=(1, 2, 2), fill="bilateral", aversion=0.4, holdings=(0, 1, -1))
    env, params = market(3, [1, 2, 2], aversion=0.4, fill="bilateral")
    params = params.replace(holding=jnp.array([0.0, 1.0, -1.0]))
    lots = jnp.asarray(list(itertools.permutations([0.1, 0.2, 0.3])))
    profile, state = jnp.array([3, 0, 4]), env.initial((), params)
    rewards = jax.jit(jax.vmap(lambda lot: env.transition(state, profile, lot, params)[1]))(lots)
    np.testing.assert_allclose(rewards.mean(axis=0), np.asarray(game.payoffs)[:, 3, 0, 4], atol=1e-6)


def test_reflection_of_orders_and_holdings_changes_no_payoff():
    orders = RNG.integers(-2, 3, (4, 3))
    env, params = market(3, aversion=0.2)
    params = params.replace(holding=jnp.array([1.0, -2.0, 0.5]))
    mirrored = params.replace(holding=-params.holding)
    for order in orders:
        pays = [
            env.transition(env.initial((), p), jnp.asarray(sign * order + 2), (), p)[1]
            for sign, p in ((1, params), (-1, mirrored))
        ]
        np.testing.assert_allclose(*pays, atol=1e-6)


def test_infeasible_orders_are_moved_to_the_nearest_feasible_and_holdings_carry_over():
    env, params = market(2, num_rounds=2)
    params = params.replace(high=jnp.array([1.0, 10.0]))
    state = env.initial((), params)
    state, reward, ended, info = env.transition(state, jnp.array([4, 0]), (), params)
    np.testing.assert_array_equal(info["orders"], [1, -2])
    np.testing.assert_array_equal(state.holding, [1, -1])
    np.testing.assert_allclose(reward, [0.75, 0.5])
    assert not ended
    state, _, ended, info = env.transition(state, jnp.array([4, 0]), (), params)
    np.testing.assert_array_equal(info["fills"], [0, 0])
    assert ended


def test_benchmarks_are_the_pure_equilibria():
    env, params = market()
    known = env.benchmarks(params)
    assert {tuple(map(int, x)) for x in known["orders"]} == {(-2, 2), (-1, 1), (0, 0), (1, -1), (2, -2)}
    np.testing.assert_allclose(sorted(known["payoffs"][:, 0]), [0, 0.75, 0.75, 1.5, 1.5])
    assert int(pure_equilibria(env.game(params)).sum()) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": jnp.array([3.0, 1.0])}, r"^capacity must be in \[0, 2\], got \[3.0, 1.0\]$"),
        ({"holding": jnp.array([30.0, 1.0])}, "^holding must be between low and high"),
        ({"cost": jnp.array(1.0)}, r"^cost must be of shape \[2\]"),
        ({"aversion": jnp.array([jnp.nan, 1.0])}, "^aversion must be finite"),
    ],
)
def test_bad_numbers_of_banks_are_refused(change, message):
    env, params = market()
    with pytest.raises(ValueError, match=message):
        env.validate(params.replace(**change))

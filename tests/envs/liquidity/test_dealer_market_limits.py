"""Limits of the dealer market in which the answer is known: one dealer, routed clients, informed clients, the pool."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.core.chance import draw
from jaxmarl.envs.liquidity import pool
from jaxmarl.envs.liquidity.quotes import avellaneda_stoikov_quotes
from jaxmarl.envs.liquidity.quoting_equilibria import quoting_profits
from jaxmarl.games import pure_equilibria, symmetric_game

PATHS = 20_000


def number(x):
    return jnp.full((), x, float)


def simple(params, **clients):
    """Unit quotes without limits or charges, one-parcel clients, no pool."""
    dealers = params.dealers.replace(
        limits=jnp.full(2, jnp.inf),
        sizes=jnp.ones(2),
        inventory_charge=number(0),
        large_share=jnp.zeros_like(params.dealers.large_share),
    )
    changed = {name: number(x) for name, x in {"two_parcels": 0.0, **clients}.items()}
    return params.replace(
        dealers=dealers, pool=params.pool.replace(exponent=number(0)), clients=params.clients.replace(**changed)
    )


# --- one dealer: Avellaneda and Stoikov -----------------------------------------------------------------------------

# inventory awareness of the quotes, mean spread, mean P&L, its standard deviation, that of the final inventory, and
# the published paths' number: 50 000
SINGLE = {"inventory": (1.0, 1.4918, 64.905, 6.495, 2.927), "symmetric": (0.0, 1.4918, 67.952, 13.244, 8.379)}


@pytest.fixture(scope="module")
def outcomes():
    env, params = make("dealer_market", num_dealers=1, min_half_spread=-5.0)
    params = simple(params)

    @jax.jit
    def simulate(key, awareness):
        def policy(state):
            left = (env.num_steps - state.step) * params.dt
            quotes = avellaneda_stoikov_quotes(awareness * state.inventory, left, 0.1, 2.0, 1.5)
            return env.encode(jnp.stack(quotes, axis=1))

        def advance(states, key):
            chance = draw(env.step_chance, key, (PATHS,))
            after, _, _, info = jax.vmap(lambda s, c: env.transition(s, policy(s), c, params))(states, chance)
            return after, jnp.mean(info["spread"])

        start = env.initial(jnp.zeros(1), params)
        states = jax.tree.map(lambda x: jnp.broadcast_to(x, (PATHS, *x.shape)), start)
        states, spread = jax.lax.scan(advance, states, jax.random.split(key, env.num_steps))
        return states.wealth[:, 0], states.inventory[:, 0], jnp.mean(spread)

    runs = {name: simulate(jax.random.key(8), row[0]) for name, row in SINGLE.items()}
    return {name: [np.asarray(x, float) for x in run] for name, run in runs.items()}


@pytest.mark.parametrize("quotes", SINGLE)
def test_a_single_dealer_earns_what_avellaneda_and_stoikov_say(outcomes, quotes):
    wealth, inventory, spread = outcomes[quotes]
    _, mean_spread, mean, deviation, final = SINGLE[quotes]
    both = np.sqrt(1 / PATHS + 1 / 50_000)  # the table is a simulation as well
    assert spread == pytest.approx(mean_spread, abs=1e-4)
    assert wealth.mean() == pytest.approx(mean, abs=4 * deviation * both)
    assert wealth.std() == pytest.approx(deviation, abs=4 * deviation * both / np.sqrt(2))
    assert inventory.std() == pytest.approx(final, abs=4 * final * both / np.sqrt(2))


def test_the_benchmark_policy_is_that_of_the_table():
    env, params = make("dealer_market", num_dealers=2, min_half_spread=-5.0)
    state = env.initial(jnp.zeros(2), params).replace(inventory=jnp.array([3.0, -1.0]), step=jnp.asarray(50))
    action = env.benchmarks(params)["inventory_quotes"](state)
    bid, ask = avellaneda_stoikov_quotes(state.inventory, 0.75, 0.1, 2.0, 1.5)
    quotes = env.quotes(state, action, state.levers, params)
    np.testing.assert_allclose(quotes.half_spreads, jnp.stack([bid, ask], axis=1), atol=1e-6)
    assert (quotes.half_spreads[0, 1]) < 0
    assert float(env.benchmarks(params)["tipping_level"]) == 2


# --- routed clients: the quoting game -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def routed():
    env, params = make("dealer_market", num_dealers=2, routing="routed", num_steps=1)
    return env, simple(params.replace(volatility=number(0)))


@partial(jax.jit, static_argnums=0)
def mean_rewards(env, params, half_spreads, clients, signs):
    """Rewards `[G, N]` of half-spreads `[G, N]`, the same on both sides, averaged over a lattice of chance."""
    state = env.initial(jnp.zeros(env.num_dealers), params)

    def reward(half_spread, drawn, sign):
        action = env.encode(jnp.broadcast_to(half_spread[:, None], (env.num_dealers, 2)))
        chance = {"news": jnp.array(1), "jump": number(0), "jump_sign": sign, "clients": drawn, "wanted": jnp.ones(2)}
        return env.transition(state, action, chance, params)[1]

    over_chance = jax.vmap(jax.vmap(reward, (None, 0, None)), (None, None, 0))
    return jax.lax.map(lambda x: over_chance(x, clients, signs).mean(axis=(0, 1)), half_spreads, batch_size=64)


def lattice(size):
    return (np.arange(size) + 0.5) / size


def test_routed_clients_pay_what_the_quoting_game_pays_and_best_responses_find_its_equilibrium(routed):
    env, params = routed
    picks = lattice(2000)
    clients = jnp.asarray(np.stack([np.full((2000, 2), 0.5), np.stack([picks, picks], axis=1)], axis=1))
    params = params.replace(clients=params.clients.replace(arrival_rate=number(200.0)))  # somebody comes every step
    grid = jnp.linspace(0.9, 1.6, 71)
    rival = 1.5
    for _ in range(6):
        quotes = jnp.stack([grid, jnp.full(71, rival)], axis=1)
        earned = mean_rewards(env, params, quotes, clients, jnp.array([1]))
        expected = 2 * jax.vmap(lambda x: quoting_profits(x, 0.0, 1.5, 2.0))(quotes)  # on two sides
        np.testing.assert_allclose(earned, expected, atol=4e-3)
        # the top is flat and the lattice coarse: a cubic through all points finds it
        fit = np.polynomial.Polynomial.fit(np.asarray(grid, float), np.asarray(earned[:, 0], float), 5)
        fine = np.linspace(0.9, 1.6, 7001)
        rival = float(fine[np.argmax(fit(fine))])
    assert rival == pytest.approx(1.182166, abs=2e-3)


@pytest.mark.parametrize("informed", [0.1, 0.3])
def test_undercutting_dealers_end_at_the_zero_profit_spread_of_glosten_and_milgrom(routed, informed):
    env, params = routed
    params = simple(
        params,
        informed=informed,
        jump=0.5,
        jump_probability=1.0,
        impact=1.0,
        arrival_rate=100.0,
        sharpness=1e4,  # the best price gets the client, equal prices half each
        reservation=5.0,
    )
    comes, picks = np.array(list(itertools.product(lattice(20), lattice(2)))).T
    clients = jnp.asarray(np.stack([np.stack([comes, comes], axis=1), np.stack([picks, picks], axis=1)], axis=1))
    tick = 0.005
    grid = tick * jnp.arange(81)
    pairs = jnp.stack(jnp.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    earned = mean_rewards(env, params, pairs, clients, jnp.array([0, 1]))
    table = np.asarray(earned[:, 0]).reshape(81, 81)
    # alone at the best price d: half a client a side comes, and d - mu / 2 is earned on average
    np.testing.assert_allclose(table[:80, -1], np.asarray(grid[:80]) - informed / 2, atol=1e-5)
    stable = np.flatnonzero(np.diagonal(np.asarray(pure_equilibria(symmetric_game(np.round(table, 6)), 1e-5))))
    spreads = 2 * tick * stable
    assert len(stable) >= 1
    assert np.all(spreads >= informed - 1e-6)
    assert np.all(spreads <= informed + 4 * tick + 1e-6)


# --- the pool -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "points"), [(1.5, None), (2.0, (1.0, 1.0)), (2.5, (0.5, 2.0)), (3.0, (0.381966, 2.618034))]
)
def test_fixed_points_of_the_pool(level, points):
    found = np.asarray(pool.fixed_points(number(level)))
    if points is None:
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, points, atol=1e-6)
        params = make("dealer_market")[1].pool.replace(level=number(level))
        for point in points:
            assert float(pool.next_liquidity(number(point), number(1), params)) == pytest.approx(point, abs=1e-6)
    assert float(pool.tipping_level(2.0)) == 2
    drawn = np.linspace(0.01, 20, 20000) ** 3
    least = np.min((1 + drawn) / drawn ** (2 / 3))  # V_0 for which L is a fixed point, at its least
    assert float(pool.tipping_level(3.0)) == pytest.approx(least, abs=1e-4)


@pytest.fixture(scope="module")
def liquidity_paths():
    env, params = make("dealer_market", num_dealers=3, num_steps=600)
    dealers = params.dealers.replace(limits=jnp.full(2, jnp.inf))

    @jax.jit
    def final(start, level):
        market = params.replace(dealers=dealers, pool=params.pool.replace(start=start, level=level))
        action = env.encode(jnp.full((3, 2), market.pool.reference_half_spread))

        def advance(state, chance):
            after, _, _, info = env.transition(state, action, chance, market)
            return after, info["depth"]

        chances = draw(env.step_chance, jax.random.key(0), (600,))
        state, depth = jax.lax.scan(advance, env.initial(jnp.full(3, 0.3), market), chances)
        return state.liquidity, depth

    return final


@pytest.mark.parametrize(
    ("start", "level", "end"), [(0.45, 2.5, 1e-3), (0.55, 2.5, 2.0), (5.0, 1.5, 1e-3), (0.4, 3.0, 2.618034)]
)
def test_liquidity_tips_over_the_unstable_point(liquidity_paths, start, level, end):
    liquidity, depth = liquidity_paths(number(start), number(level))
    np.testing.assert_allclose(depth, 1, atol=1e-5)
    assert float(liquidity) == pytest.approx(end, rel=1e-3)


def test_a_pool_that_is_off_stays_at_one():
    params = make("dealer_market")[1].pool.replace(exponent=number(0))
    assert float(pool.initial_liquidity(params)) == 1
    assert float(pool.next_liquidity(number(1), number(0.1), params)) == 1

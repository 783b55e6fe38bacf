"""Competition in half-spreads: the tables of equilibrium and collusive quotes, best responses, and the limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.envs.liquidity.flow import choice_probabilities, fill_probability
from jaxmarl.envs.liquidity.quotes import avellaneda_stoikov_quotes, avellaneda_stoikov_spread
from jaxmarl.envs.liquidity.quoting_equilibria import (
    best_response_path,
    best_responses,
    collusive_half_spread,
    monopoly_half_spread,
    nash_half_spread,
    quoting_profits,
)

nash = jax.jit(nash_half_spread, static_argnums=0)
collusive = jax.jit(collusive_half_spread, static_argnums=0)
path = jax.jit(best_response_path, static_argnums=4)

THETA, RESERVATION = 1.5, 2.0

# number of dealers: (half-spread, choice, trade, profit, collusive half-spread, collusive profit)
TABLE = {
    1: (1.704764, 0.608939, 0.608939, 1.038097, 1.704764, 1.038097),
    2: (1.182166, 0.436064, 0.872127, 0.515500, 2.000000, 0.666667),
    4: (0.875965, 0.238934, 0.955738, 0.209298, 2.319067, 0.413100),
    8: (0.759833, 0.122615, 0.980917, 0.093167, 2.657087, 0.248803),
    17: (0.707962, 0.058330, 0.991602, 0.041295, 3.041797, 0.139714),
}
WITH_COSTS = {
    (0.1, 2): (1.266813, 0.500146),
    (0.1, 4): (0.974053, 0.207386),
    (0.3, 2): (1.433646, 0.466979),
    (0.3, 4): (1.169443, 0.202776),
}


@pytest.mark.parametrize("dealers", TABLE)
def test_table_of_quotes_without_costs(dealers):
    env, params = make("dealer_quoting", num_agents=dealers)
    spread, choice, trade, profit, together, shared = TABLE[dealers]
    known = env.benchmarks(params)
    np.testing.assert_allclose(known["nash_half_spread"], spread, atol=2e-6)
    np.testing.assert_allclose(known["collusive_half_spread"], together, atol=2e-6)
    np.testing.assert_allclose(known["collusive_profit"], shared, atol=2e-6)
    state = env.initial((), params)
    _, reward, _, info = env.transition(state, known["nash_half_spread"], (), params)
    np.testing.assert_allclose(reward, profit, atol=2e-6)
    np.testing.assert_allclose(info["choice"], choice, atol=2e-6)
    assert float(info["trade"]) == pytest.approx(trade, abs=2e-6)


@pytest.mark.parametrize(("cost", "dealers"), WITH_COSTS)
def test_table_of_quotes_with_costs(cost, dealers):
    spread = nash(dealers, cost, THETA, RESERVATION)
    assert float(spread) == pytest.approx(WITH_COSTS[cost, dealers][0], abs=2e-6)
    profits = quoting_profits(jnp.full(dealers, spread), cost, THETA, RESERVATION)
    np.testing.assert_allclose(profits, WITH_COSTS[cost, dealers][1], atol=2e-6)


def test_best_responses_converge_to_the_table():
    for dealers in (2, 4, 8):
        start = jnp.linspace(0.5, 3.0, dealers)
        quotes = path(start, jnp.zeros(dealers), THETA, RESERVATION, 12)
        np.testing.assert_allclose(quotes[-1], TABLE[dealers][0], atol=1e-3)
        assert float(jnp.abs(quotes[0] - TABLE[dealers][0]).max()) > 1e-3


def test_no_dealer_gains_by_leaving_the_equilibrium_and_no_cartel_by_leaving_collusion():
    others = jnp.linspace(-1.0, 1.0, 201)
    for dealers, cost in [(1, 0.0), (3, 0.2), (6, 0.0)]:
        deviations = jnp.full((201, dealers), nash(dealers, cost, THETA, RESERVATION)).at[:, 0].add(others)
        profits = quoting_profits(deviations, jnp.full(dealers, cost), THETA, RESERVATION)[:, 0]
        assert float(profits[100]) >= float(profits.max()) - 1e-6
        together = collusive(dealers, cost, THETA, RESERVATION)
        joint = quoting_profits(jnp.full((201, dealers), together) + others[:, None], cost, THETA, RESERVATION)
        assert float(joint[100].sum()) >= float(joint.sum(axis=1).max()) - 1e-6


def test_quotes_agree_with_a_root_finder():
    scipy = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    for _ in range(8):
        dealers = int(rng.integers(2, 5))
        cost, theta, reservation = rng.uniform(0, 1), rng.uniform(0.3, 4), rng.uniform(-1, 5)

        def first_order(x, n=dealers, cost=cost, theta=theta, reservation=reservation):
            weight = np.exp(-theta * (x - reservation))
            return theta * (x - cost) * (1 - weight / (1 + n * weight)) - 1

        root = scipy.brentq(first_order, cost, cost + 50 / theta, xtol=1e-12)
        assert float(nash(dealers, cost, theta, reservation)) == pytest.approx(root, rel=2e-6)


def test_many_dealers_leave_the_logit_margin_only():
    assert float(nash(100_000, 0.3, THETA, RESERVATION)) == pytest.approx(0.3 + 1 / THETA, abs=1e-4)


def test_dealers_with_unequal_costs_meet_their_first_order_conditions():
    env, params = make("dealer_quoting", num_agents=3)
    params = params.replace(cost=jnp.array([0.0, 0.2, 0.5]))
    known = env.benchmarks(params)
    quotes = known["nash_half_spread"]
    assert set(known) == {"nash_half_spread", "nash_profit"}
    np.testing.assert_allclose(best_responses(quotes, params.cost, THETA, RESERVATION), quotes, atol=1e-6)
    share = choice_probabilities(quotes, THETA, RESERVATION)
    np.testing.assert_allclose(quotes, params.cost + 1 / (THETA * (1 - share)), atol=1e-5)
    assert bool((jnp.diff(quotes - params.cost) < 0).all())


def test_solutions_stay_finite_where_clients_care_little_or_much():
    for theta, reservation in [(1e-3, 2.0), (200.0, 2.0), (1.5, 60.0), (1.5, -60.0)]:
        values = [jax.jit(monopoly_half_spread)(0.0, theta, reservation), nash(3, 0.0, theta, reservation)]
        assert np.isfinite(values).all()
        assert min(map(float, values)) >= 1 / theta * (1 - 1e-5)


def test_levels_are_spaced_evenly_and_bad_numbers_are_refused():
    env, params = make("dealer_quoting", num_levels=6)
    np.testing.assert_allclose(env.half_spreads(jnp.arange(6)), np.arange(6.0))
    with pytest.raises(ValueError, match=r"^sharpness must be in \(0, 1e\+09\], got 0.0$"):
        env.validate(params.replace(sharpness=jnp.zeros(())))
    with pytest.raises(ValueError, match=r"^num_levels must be an integer >= 2"):
        make("dealer_quoting", num_levels=1)


def test_fills_of_a_quote():
    # at the mid, 140 a unit of time in 0.005: 0.7 linear, 1 - exp(-0.7) in continuous time
    assert float(fill_probability(jnp.zeros(()), 140.0, 1.5, 0.005)) == pytest.approx(0.7)
    assert float(fill_probability(jnp.zeros(()), 140.0, 1.5, 0.005, "poisson")) == pytest.approx(0.503415, abs=1e-6)
    assert float(fill_probability(jnp.array(-5.0), 140.0, 1.5, 0.005)) == 1
    fine = [float(fill_probability(jnp.array(0.7), 140.0, 1.5, 1e-5, form)) for form in ("linear", "poisson")]
    assert fine[0] == pytest.approx(fine[1], rel=1e-3)
    with pytest.raises(ValueError, match=r"^form must be one of linear, poisson"):
        fill_probability(jnp.zeros(()), 1.0, 1.0, 1.0, "exact")


def test_inventory_quotes():
    assert float(avellaneda_stoikov_spread(0.0, 0.1, 2.0, 1.5)) == pytest.approx(2 * 0.64538521, abs=1e-6)
    bid, ask = avellaneda_stoikov_quotes(jnp.array([0.0, 2.0]), 1.0, 0.1, 2.0, 1.5)
    half = 0.64538521 + 0.2
    np.testing.assert_allclose(bid, [half, half + 0.8], atol=1e-6)
    np.testing.assert_allclose(ask, [half, half - 0.8], atol=1e-6)  # with 4 parcels it would be below the mid


def test_clients_choose_only_dealers_who_quote():
    quotes = jnp.array([0.5, 0.5, 1.0])
    share = choice_probabilities(quotes, 2.0, 0.5, jnp.array([True, False, True]))
    weights = np.array([1, 0, np.exp(-1)])
    np.testing.assert_allclose(share, weights / (1 + weights.sum()), rtol=1e-6)

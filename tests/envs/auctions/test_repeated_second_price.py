"""Repeated second-price auctions with budgets: adaptive pacing against the solver, closed forms, budgets, rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from auction_play import draws, play

from jaxmarl.core import make
from jaxmarl.envs.auctions import adaptive_pacing
from jaxmarl.solvers.auctions import pacing_dynamics
from jaxmarl.testing import check_policy

ROUNDS = 2000
RATES = np.array([[0.06, 0.06], [0.10, 0.02], [0.20, 0.05], [1.0, 0.01]])


def stream(env, params, seed):
    """One episode's draws: start, chance `[T, 1, ...]`, values `[T, N]` and outside bids `[T]`."""
    states, chances = draws(env, params, jax.random.key(seed), 1, ROUNDS)
    outside, later = chances
    values = jnp.concatenate([states.values, later[:-1, 0]])
    return states, chances, values, outside[:, 0, 0]


@pytest.mark.parametrize(("entry", "rule"), [("all", "independent"), ("elected", "coordinated")])
def test_adaptive_pacing_reproduces_the_solver_on_the_same_draws(entry, rule):
    """Spend, utility, and every round's winner and payment; at the default multiplier bound and at a tight one."""
    env, params = make("repeated_second_price_auction", horizon=ROUNDS, entry=entry)
    states, chances, values, outside = stream(env, params, 3)
    options = {} if entry == "all" else {"step_size": 0.05, "max_multiplier": 2.0, "initial": 0.5}
    policy = adaptive_pacing(ROUNDS, **options)
    for rates in RATES:
        numbers = params.replace(rate=jnp.asarray(rates, jnp.float32))
        final, (rewards, over, info, bids) = play(env, (policy,), numbers, states, chances)
        budgets = jnp.asarray(rates * ROUNDS, jnp.float32)
        run = pacing_dynamics(values, outside, budgets, rule=rule, record=True, **options)
        np.testing.assert_array_equal(np.asarray(info["allocation"])[:, 0] > 0, run.rounds.won)
        np.testing.assert_allclose(info["payments"][:, 0], run.rounds.payments, atol=1e-5)
        np.testing.assert_allclose(bids[:, 0], values / (1 + run.rounds.multipliers), atol=1e-5)
        np.testing.assert_allclose(np.asarray(rewards, np.float64).mean(axis=0)[0], run.utilities, rtol=1e-4)
        np.testing.assert_allclose(final.ledger.spent[0] / ROUNDS, run.spend, rtol=1e-4)
        assert (np.asarray(final.ledger.spent[0]) <= rates * ROUNDS * (1 + 1e-6)).all()
        np.testing.assert_array_equal(np.asarray(over)[:, 0], np.arange(1, ROUNDS + 1) == ROUNDS)


@pytest.mark.parametrize(("entry", "factor"), [("all", 6), ("elected", 8)])
def test_benchmarks_of_equal_bidders_are_what_constant_paces_earn(entry, factor):
    """At a budget of 0.1 a round: pace sqrt(0.6) and utility 0.0936492, coordinated sqrt(0.8) and 0.123607."""
    env, params = make("repeated_second_price_auction", horizon=ROUNDS, entry=entry)
    params = params.replace(rate=jnp.full(2, 0.1))
    known = env.benchmarks(params)
    assert known["pace"] == pytest.approx((factor * 0.1) ** 0.5, abs=1e-6)
    np.testing.assert_allclose(known["utility"], {6: 0.0936492, 8: 0.123607}[factor], atol=1e-6)
    states, chances = draws(env, params, jax.random.key(5), 64, ROUNDS)
    values = jnp.concatenate([states.values[None], chances[1][:-1]])

    def bid(state, drawn):
        value, chance = drawn
        state, reward, _, info = jax.vmap(env.transition, in_axes=(0, 0, 0, None))(
            state, value * known["pace"], chance, params
        )
        return state, (info["payments"], reward)

    early = jax.tree.map(lambda x: x[:500], (values, chances))  # while no budget can have run out
    payments, rewards = jax.jit(lambda start, drawn: jax.lax.scan(bid, start, drawn)[1])(states, early)
    for samples, wanted in ((payments, 0.1), (rewards, known["utility"][0])):
        samples = np.asarray(samples, np.float64).reshape(-1, 2).mean(axis=1)
        np.testing.assert_allclose(samples.mean(), wanted, atol=4 * samples.std() / np.sqrt(len(samples)))


def test_no_closed_form_where_bidders_or_laws_differ():
    env, params = make("repeated_second_price_auction")
    assert set(env.benchmarks(params)) == {"policy", "pace", "utility"}
    for other in (
        params.replace(rate=jnp.asarray([0.1, 0.2])),
        params.replace(prior=params.prior.replace(high=jnp.asarray([1.0, 2.0]))),
    ):
        assert set(env.benchmarks(other)) == {"policy"}


def test_rules_by_hand():
    env, params = make("repeated_second_price_auction", num_agents=3, horizon=10)
    params = params.replace(rate=jnp.asarray([0.02, 0.1, 0.1]))
    state = env.initial(jnp.asarray([0.9, 0.8, 0.3]), params)
    chance = (jnp.asarray([0.25]), jnp.asarray([0.5, 0.6, 0.7]))
    # the first has 0.2 in all and can bid no more than that
    after, reward, over, info = env.transition(state, jnp.asarray([0.9, 0.8, 0.3]), chance, params)
    np.testing.assert_array_equal(info["allocation"], [0, 1, 0])
    np.testing.assert_allclose(info["payments"], [0, 0.3, 0], rtol=1e-6)
    np.testing.assert_allclose(reward, [0, 0.5, 0], rtol=1e-6)
    assert not bool(over)
    np.testing.assert_allclose(env.observe(after, params)[1], [0.6, 0.1, 0.7, 0.3, 0.25, 0.1], rtol=1e-6)
    # nobody beats the outside bid; a tie with it is lost; equal members share
    for bids, allocation, price in (
        ([0.1, 0.2, 0.2], [0, 0, 0], 0),
        ([0.1, 0.25, 0.2], [0, 0, 0], 0),
        ([0.1, 0.4, 0.4], [0, 0.5, 0.5], 0.4),
    ):
        info = env.transition(state, jnp.asarray(bids), chance, params)[3]
        np.testing.assert_array_equal(info["allocation"], allocation)
        assert float(info["revenue"]) == pytest.approx(price)
    elected = make("repeated_second_price_auction", num_agents=3, horizon=10, entry="elected")[0]
    info = elected.transition(state, jnp.asarray([0.1, 0.5, 0.4]), chance, params)[3]
    np.testing.assert_allclose(info["payments"], [0, 0.25, 0])


def test_policy_contract_and_refusals():
    env, params = make("repeated_second_price_auction")
    obs = jnp.asarray([0.8, 0.1, 3.0, 0.2, 0.1, 0.5])
    check_policy(env.benchmarks(params)["policy"], obs, action_space=env.action_space(params))
    with pytest.raises(ValueError, match=r"^rate must be"):
        env.validate(params.replace(rate=jnp.asarray([0.1, -0.1])))
    with pytest.raises(ValueError, match=r"^outside must be"):
        env.validate(params.replace(outside=None))
    with pytest.raises(ValueError, match=r"^entry must be"):
        make("repeated_second_price_auction", entry="none")

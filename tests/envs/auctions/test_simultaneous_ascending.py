"""The simultaneous ascending auction against assignment programs, and its rules: budgets, eligibility, the close."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from auction_play import draws, play
from scipy.optimize import linear_sum_assignment, linprog

from jaxmarl.core import make
from jaxmarl.envs.auctions import straightforward_bidding
from jaxmarl.envs.auctions.assignment import minimum_walrasian_prices, optimal_assignment
from jaxmarl.testing import check_policy

MARKETS, ITEMS, STEP = 64, 3, 0.02
ROUNDS = int(ITEMS * (1 / STEP + 1)) + 1


def best_welfare(values):
    return values[linear_sum_assignment(values, maximize=True)].sum()


def least_prices(values):
    """The least prices in the dual of the assignment program: optimal, then of the least sum."""
    n, m = values.shape
    pair = np.zeros((n * m, n + m))
    for i in range(n):
        for j in range(m):
            pair[i * m + j, [i, n + j]] = -1
    total = np.ones((1, n + m))
    sums = linprog(
        np.r_[np.zeros(n), np.ones(m)], A_ub=pair, b_ub=-values.ravel(), A_eq=total, b_eq=[best_welfare(values)]
    )
    assert sums.success
    return sums.x[n:]


def test_assignments_and_least_prices_against_linear_programs():
    rng = np.random.default_rng(3)
    for n, m in ((2, 3), (4, 3), (5, 4), (3, 1)):
        values = rng.uniform(size=(n, m))
        assert optimal_assignment(values) == pytest.approx(best_welfare(values), abs=1e-12)
        np.testing.assert_allclose(minimum_walrasian_prices(values), least_prices(values), atol=1e-7)


@pytest.fixture(scope="module")
def unit_demand():
    env, params = make("simultaneous_ascending_auction", num_agents=4, num_items=ITEMS, max_rounds=ROUNDS)
    params = params.replace(increment=jnp.full((), STEP, float))
    states, chances = draws(env, params, jax.random.key(0), MARKETS, ROUNDS)
    policy = env.benchmarks(params)["policy"]
    return env, params, states, *play(env, (policy,), params, states, chances)


def test_unit_demand_ends_near_the_least_walrasian_prices_and_the_best_assignment(unit_demand):
    env, params, states, final, (rewards, over, info, _) = unit_demand
    known = env.benchmarks(params)
    ends = np.asarray(over).argmax(axis=0)
    at_end = np.arange(MARKETS)
    welfare = np.asarray(info["welfare"])[ends, at_end]
    for k, values in enumerate(np.asarray(states.values, np.float64)):
        best, prices = best_welfare(values), least_prices(values)
        assert known["efficient_welfare"](values) == pytest.approx(best)
        assert best - ITEMS * STEP - 1e-5 <= welfare[k] <= best + 1e-5
        np.testing.assert_allclose(final.price[k], prices, atol=ITEMS * STEP + 1e-5)
        np.testing.assert_allclose(known["prices"](values), prices, atol=1e-6)
    rewards = np.asarray(rewards)
    assert (rewards[ends, at_end] >= -1e-6).all()
    np.testing.assert_allclose(rewards.sum(axis=(0, 2)), welfare - np.asarray(info["revenue"])[ends, at_end], atol=1e-5)


def test_the_auction_closes_after_a_round_without_bids_well_before_its_limit(unit_demand):
    _, _, _, final, (_, over, info, _) = unit_demand
    ends = np.asarray(over).argmax(axis=0)
    assert (np.asarray(over).sum(axis=0) == 1).all()
    bids = np.asarray(info["new_bids"])
    assert all((bids[:end, k] > 0).all() and bids[end, k] == 0 for k, end in enumerate(ends))
    np.testing.assert_array_equal(final.round, ends + 1)
    assert ends.max() + 1 < ROUNDS


@pytest.fixture(scope="module")
def random_bids():
    """Additive values, tight budgets, eligibility of two items, actions drawn without regard to the rules."""
    env, params = make("simultaneous_ascending_auction", num_items=ITEMS, demand="additive", max_rounds=40)
    params = params.replace(
        budget=jnp.asarray([0.06, 0.12, 0.2, 5.0]), eligibility=jnp.asarray([3, 2, 1, 3], jnp.int32)
    )
    states, chances = draws(env, params, jax.random.key(1), 128, 40)
    history = []
    step = jax.jit(jax.vmap(env.transition, in_axes=(0, 0, 0, None)))
    masks = jax.jit(jax.vmap(env.action_mask, in_axes=(0, None)))
    actions = jax.random.randint(jax.random.key(2), (40, 128, 4), 0, 2**ITEMS)
    for t in range(40):
        allowed = np.take_along_axis(np.asarray(masks(states, params)), np.asarray(actions[t])[..., None], 2)[..., 0]
        after, reward, over, info = step(states, actions[t], chances[t], params)
        history.append((states, allowed, after, reward, over, info))
        states = after
    return env, params, actions, history


def test_budgets_are_never_exceeded_and_eligibility_never_grows(random_bids):
    _, params, _, history = random_bids
    binding = 0
    for before, allowed, after, _, _, info in history:
        paid = np.asarray(info["payments"])
        assert (paid <= np.asarray(params.budget) + 1e-6).all()
        binding += (paid > np.asarray(params.budget) - 0.045).sum()
        assert (np.asarray(after.eligibility) <= np.asarray(before.eligibility)).all()
        held = np.asarray(info["allocation"]).sum(axis=2)
        assert (held <= np.asarray(after.eligibility)).all()
        assert (np.asarray(after.price) >= np.asarray(before.price)).all()
        assert not allowed.all()
    assert binding > 0


def test_illegal_sets_are_no_bids_and_legal_ones_stand(random_bids):
    _, _, actions, history = random_bids
    for t, (before, allowed, after, _, _, info) in enumerate(history[:6]):
        sets = (np.asarray(actions[t])[..., None] >> np.arange(ITEMS)) & 1
        new = sets * allowed[..., None]
        np.testing.assert_array_equal(np.asarray(info["new_bids"]), new.sum(axis=(1, 2)))
        touched = new.any(axis=1)
        holder = np.asarray(after.holder)
        picked = np.take_along_axis(new, np.maximum(holder, 0)[:, None, :], axis=1)[:, 0]
        assert (picked[touched] == 1).all()
        np.testing.assert_array_equal(holder[~touched], np.asarray(before.holder)[~touched])


def test_additive_straightforward_bidding_sells_each_item_near_its_second_value():
    env, params = make("simultaneous_ascending_auction", num_items=ITEMS, demand="additive", max_rounds=60)
    states, chances = draws(env, params, jax.random.key(4), MARKETS, 60)
    known = env.benchmarks(params)
    final, (_, over, info, _) = play(env, (known["policy"],), params, states, chances)
    assert (np.asarray(over).sum(axis=0) == 1).all()
    ordered = np.sort(np.asarray(states.values), axis=1)
    np.testing.assert_allclose(final.price, ordered[:, -2], atol=0.05 + 1e-5)
    welfare = np.asarray(info["welfare"]).max(axis=0)
    best = [known["efficient_welfare"](v) for v in states.values]
    assert (best - welfare <= ITEMS * 0.05 + 1e-5).all()
    np.testing.assert_allclose(best, ordered[:, -1].sum(axis=1), rtol=1e-5)


def test_ties_are_drawn_fairly():
    env, params = make("simultaneous_ascending_auction", num_agents=3, num_items=1)
    states, chances = draws(env, params, jax.random.key(5), 3000, 1)
    action = jnp.ones((3000, 3), jnp.int32)
    after, *_ = jax.vmap(env.transition, in_axes=(0, 0, 0, None))(states, action, chances[0], params)
    counts = np.bincount(np.asarray(after.holder)[:, 0], minlength=3)
    np.testing.assert_allclose(counts, 1000, atol=4 * np.sqrt(3000 * 2 / 9))


def test_observations_and_the_policy_by_hand():
    env, params = make("simultaneous_ascending_auction", num_agents=2, num_items=2, demand="additive")
    params = params.replace(budget=jnp.asarray([0.5, 2.0]))
    state = env.initial(jnp.asarray([[0.9, 0.4], [0.3, 0.8]]), params)
    state = state.replace(price=jnp.asarray([0.4, 0.2]), holder=jnp.asarray([1, -1], jnp.int32))
    obs = np.asarray(env.observe(state, params))
    np.testing.assert_allclose(obs[0], [0.9, 0.3, 0.45, 0, 0, 0, 1, 0, 0.5, 2, 2, 0], atol=1e-6)
    np.testing.assert_allclose(obs[1], [0.4, 0.8, 0.45, 0, 1, 0, 0, 0, 1.6, 2, 2, 0], atol=1e-6)
    policy = straightforward_bidding(2, "additive")
    # worth 0.45 more than its price; the other item, free, is affordable too
    assert [int(policy.act((), (), jnp.asarray(o), ())[0]) for o in obs] == [3, 2]
    poorer = jnp.asarray(obs[0]).at[8].set(0.44)
    assert int(policy.act((), (), poorer, ())[0]) == 2
    fewer = jnp.asarray(obs[0]).at[9].set(1.0)
    assert int(policy.act((), (), fewer, ())[0]) == 1
    check_policy(policy, obs[0], action_space=env.action_space(params))


@pytest.mark.parametrize(
    ("static", "change", "argument"),
    [
        ({"num_items": 11}, {}, "num_items"),
        ({"demand": "gross"}, {}, "demand"),
        ({}, {"increment": jnp.zeros(())}, "increment"),
        ({}, {"budget": jnp.full(4, jnp.inf)}, "budget"),
        ({}, {"reserve": jnp.zeros(2)}, "reserve"),
    ],
)
def test_refusals(static, change, argument):
    def build():
        env, params = make("simultaneous_ascending_auction", **static)
        env.validate(params.replace(**change))

    with pytest.raises(ValueError, match=rf"^{argument} must be"):
        build()

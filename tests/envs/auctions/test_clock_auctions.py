"""English and Dutch clocks: prices against the sealed formats that they equal, and the rules one by one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from auction_play import draws

from jaxmarl.core import make
from jaxmarl.envs.auctions import PRIORS, SealedBidState
from jaxmarl.testing import check_policy

AUCTIONS = 4096
LEVELS = 101


@partial(jax.jit, static_argnums=0)
def accept_up_to(env, params, states, limits, chances):
    """Rewards, ends and info `[T, B, ...]`, zeros after the end, where bidders accept prices up to limits `[B, N]`."""

    def one(state, limit, chance):
        action = (env.price(state.level, params) <= limit).astype(jnp.int32)
        return env.transition(state, action, chance, params)

    def step(carry, chance):
        state, alive = carry
        state, reward, over, info = jax.vmap(one)(state, limits, chance)
        shown = jax.tree.map(lambda x: jnp.where(alive.reshape(-1, *(1,) * (x.ndim - 1)), x, 0), (reward, over, info))
        return (state, alive & ~over), shown

    return jax.lax.scan(step, (states, jnp.ones(len(limits), bool)), chances)[1]


def run(name, seed=0, **numbers):
    """Benchmarks, values, rewards and info of the sales of auctions with three seats."""
    env, params = make(name, num_agents=3, num_levels=LEVELS)
    params = params.replace(**numbers)
    states, chances = draws(env, params, jax.random.key(seed), AUCTIONS, LEVELS)
    known = env.benchmarks(params)
    rewards, over, info = accept_up_to(env, params, states, known["bid"](states.signals), chances)
    assert (np.asarray(over).sum(axis=0) == 1).all()
    kept = ("allocation", "price", "revenue", "welfare")
    total = {k: np.asarray(info[k], np.float64).sum(axis=0) for k in kept}
    return env, params, known, states.values, np.asarray(rewards).sum(axis=0), total


def close(samples, wanted, slack):
    samples = np.asarray(samples, np.float64)
    np.testing.assert_allclose(samples.mean(), wanted, atol=slack + 4 * samples.std() / np.sqrt(len(samples)))


@pytest.fixture(scope="module")
def english():
    return run("english_auction")


@pytest.fixture(scope="module")
def dutch():
    return run("dutch_auction", seed=1)


def test_english_prices_are_second_values_within_an_increment(english):
    env, params, known, values, _, total = english
    values = np.asarray(values)
    step = float(env.increment(params))
    assert step == pytest.approx(0.01)
    second = np.sort(values, axis=1)[:, -2]
    assert np.abs(total["price"] - second).max() <= step + 1e-6
    assert total["allocation"].sum(axis=1).min() == 1
    assert (values.max(axis=1) - total["welfare"]).max() <= step + 1e-6
    assert float(known["revenue"]) == pytest.approx(0.5, abs=1e-6)
    close(total["revenue"], 0.5, step)


def test_english_winners_never_pay_more_than_the_item_is_worth(english):
    _, _, known, _, rewards, total = english
    assert rewards.min() >= -1e-6
    np.testing.assert_allclose(rewards.sum(axis=1), total["welfare"] - total["revenue"], atol=1e-5)
    close(rewards[:, 0], float(known["utility"][0]), 0.01)


def test_dutch_outcomes_are_those_of_first_price_bids_on_the_grid(dutch):
    """Winner and price, draw for draw; the sealed auction is given the highest price of the clock below each bid."""
    env, params, known, values, rewards, total = dutch
    grid = np.asarray(env.price(jnp.arange(LEVELS), params))
    bids = np.asarray(known["bid"](values))
    np.testing.assert_allclose(bids, 2 / 3 * np.asarray(values), atol=1e-6)
    rounded = np.where(grid[:, None, None] <= bids, grid[:, None, None], 0).max(axis=0)
    sealed, numbers = make("first_price_auction", num_agents=3)
    _, reward, _, info = jax.vmap(lambda v, b: sealed.transition(SealedBidState(v, v), b, (), numbers))(values, rounded)
    np.testing.assert_allclose(total["price"], info["price"], atol=1e-6)
    untied = np.asarray(info["allocation"]).max(axis=1) == 1
    assert untied.mean() > 0.97
    np.testing.assert_array_equal(total["allocation"][untied], np.asarray(info["allocation"])[untied])
    np.testing.assert_allclose(rewards[untied], np.asarray(reward)[untied], atol=1e-6)
    assert (bids.max(axis=1) - total["price"]).max() <= 0.01 + 1e-6
    close(total["revenue"], 0.5, 0.01)


def test_reserves_and_risk_aversion():
    """Reserve 1/2: revenue 0.531250 of both; CRRA 1/2 raises Dutch revenue of three bidders to 0.6, not English."""
    reserve = jnp.full((), 0.5, float)
    for name, seed in (("english_auction", 2), ("dutch_auction", 3)):
        known, total = run(name, seed=seed, reserve=reserve)[2::3]
        assert float(known["revenue"]) == pytest.approx(0.531250, abs=1e-6)
        close(total["revenue"], 0.531250, 0.005)
        assert ((total["price"] == 0) | (total["price"] >= 0.5)).all()
    risk = jnp.full(3, 0.5)
    close(run("dutch_auction", seed=4, risk=risk)[5]["revenue"], 0.6, 0.01)
    close(run("english_auction", seed=4, risk=risk)[5]["revenue"], 0.5, 0.01)


def test_asymmetric_bidders_play_their_own_equilibrium_bids():
    """Values on [0, 1] and [0, 2]: Dutch revenue 0.459005, English 0.416667; the weak bidder wins a third."""
    numbers = {
        "prior": PRIORS["uniform"](jnp.zeros(3), jnp.asarray([1.0, 2.0, 1.0])),
        "top": jnp.full((), 2.0, float),
        "active": jnp.asarray([True, True, False]),
    }
    _, _, known, _, _, total = run("dutch_auction", **numbers)
    assert float(known["revenue"]) == pytest.approx(0.459005, abs=1e-6)
    close(total["revenue"], 0.459005, 0.02)
    close(total["allocation"][:, 0], 1 / 3, 0.01)
    close(run("english_auction", **numbers)[5]["revenue"], 0.416667, 0.02)


def test_two_bidders_with_a_wallet_each_drop_out_at_twice_their_signals():
    env, params = make("english_auction", prior="wallet")
    np.testing.assert_allclose(env.benchmarks(params)["bid"](jnp.asarray([0.3, 0.4])), [0.6, 0.8], rtol=1e-6)
    three, numbers = make("english_auction", prior="affiliated", num_agents=3)
    assert three.benchmarks(numbers) == {}


def steps(env, params, values, actions):
    """Plays listed actions with lots in descending order of the bidders; rewards, infos, states."""
    values = jnp.asarray(values)
    state = env.initial(values, params)
    out = []
    for action in actions:
        lots = jnp.linspace(0.9, 0.1, env.num_agents)
        state, reward, over, info = env.transition(state, jnp.asarray(action), lots, params)
        out.append((np.asarray(reward), bool(over), info, state))
    return out


def test_english_rules_step_by_step():
    env, params = make("english_auction", num_agents=3, num_levels=11)
    values = [0.5, 0.9, 0.7]
    played = steps(env, params, values, [[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    assert [over for _, over, _, _ in played] == [False, False, True]
    np.testing.assert_array_equal(played[1][3].remaining, [True, False, True])
    np.testing.assert_array_equal(env.action_mask(played[1][3], params), [[True, True], [True, False], [True, True]])
    # bidder 1 had dropped out for good; bidder 0 is left alone at 0.2
    assert int(played[2][2]["winner"]) == 0
    np.testing.assert_allclose(played[2][0], [0.3, 0, 0], atol=1e-6)
    obs = np.asarray(env.observe(played[1][3], params))
    np.testing.assert_allclose(obs[2], [0.7, 1, 1, 0.2, 3, 0, 0.1, 2, 0.1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("actions", "winner", "price"),
    [
        ([[0, 0, 0]], -1, 0.0),  # nobody accepts the reserve
        ([[0, 0, 1]], 2, 0.0),  # one does
        ([[1, 1, 1], [1, 1, 0], [0, 0, 0]], 0, 0.1),  # the last two leave together: the price before, by lot
        ([[1, 1, 0]] + [[1, 1, 0]] * 10, 0, 1.0),  # two at the highest price
    ],
)
def test_how_english_auctions_end(actions, winner, price):
    env, params = make("english_auction", num_agents=3, num_levels=11)
    *before, (_, over, info, _) = steps(env, params, [0.5, 0.9, 0.7], actions)
    assert over
    assert not any(ended for _, ended, _, _ in before)
    assert int(info["winner"]) == winner
    assert float(info["price"]) == pytest.approx(price, abs=1e-6)


def test_how_dutch_auctions_end():
    env, params = make("dutch_auction", num_levels=11)
    played = steps(env, params, [0.5, 0.9], [[0, 0], [1, 1]])
    assert [over for _, over, _, _ in played] == [False, True]
    np.testing.assert_allclose(played[1][0], [-0.4, 0], atol=1e-6)  # the first has the higher lot and pays 0.9
    unsold = steps(env, params, [0.5, 0.9], [[0, 0]] * 11)
    assert [over for _, over, _, _ in unsold] == [False] * 10 + [True]
    assert int(unsold[-1][2]["winner"]) == -1


@pytest.mark.parametrize("name", ["english_auction", "dutch_auction"])
def test_inactive_bidders_and_policies(name):
    env, params = make(name, num_agents=3)
    params = params.replace(active=jnp.asarray([True, False, True]))
    state = env.initial(jnp.asarray([0.2, 0.9, 0.5]), params)
    obs = env.observe(state, params)
    assert not np.asarray(obs[1]).any()
    _, _, over, info = env.transition(state, jnp.ones(3, jnp.int32), jnp.asarray([0.1, 0.9, 0.2]), params)
    assert bool(over) == (name == "dutch_auction")
    assert int(info["winner"]) == (2 if over else -1)
    known = env.benchmarks(params)
    check_policy(known["policies"][0], obs[0], action_space=env.action_space(params))
    for level in (0, 40, 60):
        obs = env.observe(state.replace(level=jnp.asarray(level, jnp.int32)), params)
        for bidder in (0, 2):
            action, _ = known["policies"][bidder].act((), (), obs[bidder], ())
            wanted = float(env.price(jnp.asarray(level), params)) <= float(known["bid"](state.signals)[bidder])
            assert int(action) == wanted


@pytest.mark.parametrize(
    ("change", "argument"),
    [({"top": jnp.zeros(())}, "top"), ({"reserve": jnp.asarray(-1.0)}, "reserve"), ({"risk": jnp.zeros(2)}, "risk")],
)
def test_refused_numbers(change, argument):
    env, params = make("english_auction")
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        env.validate(params.replace(**change))
    with pytest.raises(ValueError, match=r"^num_levels must be"):
        make("dutch_auction", num_levels=1)

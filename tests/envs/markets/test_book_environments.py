"""Environments on the order book: the flow's rates, accounts, conservation, quoting by hand, features and rewards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers, draw, repeat
from jaxmarl.core.policy import Policy
from jaxmarl.envs.markets import order_book as ob
from jaxmarl.envs.markets.book_flow import Account, Flow, book_trade, open_accounts
from jaxmarl.envs.markets.crypto_market_making import FLATTEN, CryptoMarketMaking, order_flow
from jaxmarl.envs.markets.simulate import simulate
from jaxmarl.envs.markets.step_rewards import positional_pnl, trade_completion
from jaxmarl.envs.markets.zero_intelligence_book import (
    Events,
    ZeroIntelligenceBook,
    agent_order,
    mid_price,
    wealth,
)


@pytest.fixture(scope="module")
def book():
    """Bids of 3 and 1 lots, asks of 2 and 2; the last belongs to an agent."""
    messages = ob.Message.of(
        ob.LIMIT, [0, 0, 1, 1], [100, 99, 103, 104], [3, 1, 2, 2], [1, 2, 3, 4], [ob.NOBODY] * 3 + [0]
    )
    return ob.replay(ob.empty_book(8), messages)[0]


def test_events_come_at_their_rates(book):
    """Shares of each kind, side, distance and cancelled order in 40 000 draws, against the rates."""
    flow = Flow(num_distances=4)
    params, best = flow.default_params, ob.best_prices(book)
    chances = draw(repeat(flow.chance, 40_000), jax.random.key(0))
    event = jax.jit(jax.vmap(lambda c: flow.event(book, best, jnp.int32(77), c, params)))
    message, waited = jax.tree.map(np.asarray, event(chances))
    limits = 1.2 * np.arange(1, 5) ** -0.6
    total = 2 * 0.3 + 2 * limits.sum() + 0.4 * 3  # three background orders rest
    np.testing.assert_allclose(waited, 1 / total, rtol=1e-5)
    keys = np.stack([message.kind, message.side, message.price, message.order], axis=1)
    expected = {(ob.TAKE, 0, ob.MAX_PRICE, 77): 0.3, (ob.TAKE, 1, -ob.MAX_PRICE, 77): 0.3}
    for i, rate in enumerate(limits, start=1):
        expected[(ob.LIMIT, 0, 103 - i, 77)] = expected[(ob.LIMIT, 1, 100 + i, 77)] = rate
    expected |= {(ob.CANCEL, 0, 100, 1): 0.4, (ob.CANCEL, 0, 99, 2): 0.4, (ob.CANCEL, 1, 103, 3): 0.4}
    counted = {tuple(row): 0 for row in expected}
    for row, count in zip(*np.unique(keys, axis=0, return_counts=True), strict=True):
        counted[tuple(row.tolist())] = count
    assert set(counted) == set(expected), "an agent's order is never cancelled by the background"
    for key, rate in expected.items():
        share = rate / total
        assert abs(counted[key] / 40_000 - share) < 4 * np.sqrt(share * (1 - share) / 40_000)
    assert (message.quantity == 1).all()


def test_an_empty_side_is_measured_from_the_last_prices():
    flow = Flow()
    chance = jnp.array([0.3, 0.2, 0.0])
    message, _ = flow.event(ob.empty_book(4), jnp.array([500, 502]), jnp.int32(0), chance, flow.default_params)
    assert (int(message.kind), int(message.side)) == (ob.LIMIT, ob.BUY)
    assert 502 - 10 <= int(message.price) < 502


def test_accounts_by_hand():
    account = open_accounts(1)
    steps = [  # lots bought, money paid: inventory, average, realised
        (4, 400.0, 4, 100.0, 0.0),
        (2, 230.0, 6, 105.0, 0.0),
        (-3, -330.0, 3, 105.0, 15.0),
        (-5, -500.0, -2, 100.0, 0.0),  # turns short at 100
        (-2, -240.0, -4, 110.0, 0.0),
        (4, 420.0, 0, 0.0, 20.0),
        (0, 0.0, 0, 0.0, 20.0),
    ]
    for lots, paid, held, average, realised in steps:
        account = book_trade(account, jnp.array([lots], jnp.int32), jnp.array([paid], jnp.float32))
        found = [int(account.inventory[0]), float(account.average[0]), float(account.realised[0])]
        np.testing.assert_allclose(found, [held, average, realised], atol=1e-4)


def test_gains_are_cash_and_stock_at_the_mid():
    rng = np.random.default_rng(0)
    lots, prices = rng.integers(-5, 6, (200, 3)), rng.integers(90, 110, (200, 3))

    def step(account, x):
        return book_trade(account, x[0], x[1].astype(jnp.float32)), ()

    account, _ = jax.lax.scan(step, open_accounts(3), (jnp.asarray(lots, jnp.int32), jnp.asarray(lots * prices)))
    expected = -(lots * prices).sum(axis=0) + lots.sum(axis=0) * 100.0
    np.testing.assert_allclose(wealth(account, jnp.float32(100.0)), expected, atol=0.05)


ENV = ZeroIntelligenceBook(num_agents=3, num_steps=20)


@pytest.fixture(scope="module")
def play():
    """32 episodes of three agents, who act at random where the argument is negative and else all as it says."""
    params = ENV.default_params.replace(fee=jnp.asarray(0.25, float))
    count = ENV.action_space(params).n

    def act(p, m, obs, chance):
        return jnp.where(p < 0, chance, p), m

    policy = Policy(lambda chance: (), act, act_chance=Integers(count))
    run = jax.jit(lambda key, action: simulate(ENV, params, policy, action, key, 32, lambda info: info))
    return lambda key, action: jax.tree.map(np.asarray, run(key, jnp.int32(action)))


@pytest.fixture(scope="module")
def random_play(play):
    return play(jax.random.key(5), -1)


def test_rewards_add_up_to_wealth(random_play):
    total, _, info = random_play
    penalty = 0.01 * np.abs(info["inventory"]).sum(axis=0)
    np.testing.assert_allclose(total, info["wealth"][-1] - penalty, atol=0.05)
    assert np.abs(info["wealth"][-1]).max() > 1


def test_the_book_stays_in_order_and_has_room(random_play):
    _, state, info = random_play
    bids = np.where(state.book.quantity[:, 0] > 0, -state.book.key[:, 0], -(10**9)).max(axis=1)
    asks = np.where(state.book.quantity[:, 1] > 0, state.book.key[:, 1], 10**9).min(axis=1)
    assert (bids < asks).all()
    assert info["overflow"].max() == 0
    assert (state.book.quantity >= 0).all()
    assert info["traded"].sum() > 100
    # at most one quote a side and agent
    for agent in range(3):
        for side in (0, 1):
            mine = (state.book.owner[:, side] == agent) & (state.book.quantity[:, side] > 0)
            assert mine.sum(axis=1).max() <= 1


def test_the_default_flow_is_stationary_without_quotes(play):
    total, state, info = play(jax.random.key(1), 0)
    assert np.abs(total).max() == 0.0
    resting = (state.book.quantity > 0).sum(axis=-1)
    # limit orders at all distances over cancellations and what trades take: about a dozen a side
    assert 9 < resting.mean() < 17
    assert info["overflow"].max() == 0
    assert info["spread"].min() >= 1


QUIET = ZeroIntelligenceBook(num_steps=4, events_per_step=1, warm_up=0)


@pytest.fixture(scope="module")
def quiet():
    """A market whose background sends far-away bids only: a transition without chance, params, and the first state."""
    params = QUIET.default_params
    flow = params.flow.replace(take_rate=jnp.zeros(()), cancel_rate=jnp.zeros(()))
    params = params.replace(flow=flow, fee=jnp.asarray(0.5, float), inventory_penalty=jnp.zeros(()))
    chance = jnp.array([0.5]), jnp.array([[0.99, 0.1, 0.0]])
    step = jax.jit(lambda state, action: QUIET.transition(state, jnp.array([action]), chance, params))
    return step, QUIET.initial(jnp.zeros((0, 3)), params)


def own_quotes(state):
    """Price and place of the agent's orders."""
    mine = np.asarray((state.book.owner == 0) & (state.book.quantity > 0))
    return np.asarray(state.book.price)[mine].tolist(), [int(ob.queue_ahead(state.book, 0, agent_order(0, 0)))]


def test_quotes_rest_where_they_are_told_to(quiet):
    step, state = quiet
    # the reference is 999, 1000: the bid two ticks below the ask, the ask three above the bid
    state, reward, _, _ = step(state, 2 * 4 + 3)
    assert own_quotes(state)[0] == [998, 1002]
    assert float(reward[0]) == 0.0
    state, _, _, _ = step(state, 0)
    assert own_quotes(state)[0] == [], "level 0 does not quote"


def test_a_quote_that_stays_keeps_its_place(quiet):
    step, state = quiet
    others = ob.Message.of(ob.LIMIT, [0, 1], [998, 1000], [2, 2], [1, 2])
    first, _ = ob.replay(state.book, others)
    state = state.replace(book=first, reference=jnp.array([998, 1000], jnp.int32))
    state, *_ = step(state, 2 * 4)
    assert own_quotes(state) == ([998], [2]), "behind two lots"
    late, _ = ob.apply_message(state.book, ob.Message.of(ob.LIMIT, 0, 998, 5, 3))
    state, *_ = step(state.replace(book=late), 2 * 4)
    assert own_quotes(state) == ([998], [2]), "still, though five came later"
    state, *_ = step(state, 3 * 4)
    state, *_ = step(state, 2 * 4)
    assert own_quotes(state) == ([998], [7]), "after having left"


def test_closing_sells_at_the_market_and_pays_the_fee(quiet):
    step, state = quiet
    messages = ob.Message.of(ob.LIMIT, [0, 0, 1], [995, 990, 1005], [2, 9, 9], [1, 2, 3])
    filled, _ = ob.replay(state.book, messages)
    long = Account(jnp.array([3], jnp.int32), jnp.array([900.0]), jnp.zeros(1))
    state = state.replace(book=filled, account=long, reference=jnp.array([995, 1005], jnp.int32))
    state, _, _, info = step(state, 16)
    assert int(state.account.inventory[0]) == 0
    np.testing.assert_allclose(state.account.realised, [2 * 95 + 90], rtol=1e-6)
    np.testing.assert_allclose(info["wealth"], [280 - 3 * 0.5], rtol=1e-6)
    assert int(info["traded"]) == 3


def test_step_rewards():
    np.testing.assert_allclose(
        positional_pnl(jnp.array([3.0, -2.0]), jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0])), [2.5, -1]
    )
    found = trade_completion(jnp.array([5.0, 4.0, 0.3, -2.0, -2.1]), 2.0)
    np.testing.assert_allclose(found, [1.0, 4.0, 0.3, -2.0, -1.0])


def test_order_flow_features():
    events = Events(
        *(
            jnp.array(x, jnp.int32)
            for x in (
                [ob.LIMIT, ob.LIMIT, ob.TAKE, ob.CANCEL, ob.CANCEL, ob.LIMIT],  # kind
                [0, 1, 1, 0, 1, 0],  # side
                [0, 2, -(10**8), 1, 10**8, -1],  # distance
                [0, 0, 3, 0, 0, 2],  # filled
                [4, 1, 0, 0, 0, 5],  # rested
                [0, 0, 0, 6, 7, 0],  # cancelled
            )
        )
    )
    flow = np.asarray(order_flow(events, 3))
    expected = np.zeros((3, 2, 3))
    expected[0, 0, 0], expected[0, 1, 0] = 2, 3
    expected[1, 0, 0], expected[1, 1, 2] = 4 + 5, 1
    expected[2, 0, 1] = 6
    np.testing.assert_array_equal(flow, expected)


@pytest.fixture(scope="module")
def crypto_play():
    """8 episodes of the crypto set-up with random actions, mostly quotes at the best prices: what each step showed."""
    env = CryptoMarketMaking(num_steps=40, warm_up=32, capacity=64)
    params = env.default_params.replace(fee=jnp.asarray(0.3, float))
    actions = jnp.asarray(np.random.default_rng(3).choice([1, 4, 5, 7, FLATTEN, 0], (8, 40)), jnp.int32)
    starts = draw(env.reset_chance, jax.random.key(4), (8,))
    chances = draw(env.step_chance, jax.random.key(5), (8, 40))

    def play(start, actions, chances):
        def step(state, x):
            held = state.market.account.inventory[0]
            before = mid_price(state.market)
            state, reward, _, info = env.transition(state, x[0][None], x[1], params)
            return state, (reward[0], info, held, info["mid"] - before, env.observe(state, params)[0])

        return jax.lax.scan(step, env.initial(start, params), (actions, chances))[1]

    return params, np.asarray(actions), jax.tree.map(np.asarray, jax.jit(jax.vmap(play))(starts, actions, chances))


def test_both_rewards_of_the_set_up(crypto_play):
    params, _, (reward, info, held, move, _) = crypto_play
    np.testing.assert_allclose(reward, held * move + info["realised"], atol=1e-3)
    step = CryptoMarketMaking(reward="trade_completion").step_reward
    completion = np.asarray(step(jnp.asarray(held), jnp.asarray(move), jnp.asarray(info["realised"]), params))
    expected = np.where(info["realised"] > 0.6, 1, np.where(info["realised"] < -0.3, -1, info["realised"]))
    np.testing.assert_allclose(completion, expected, atol=1e-4)
    assert set(np.unique(completion)) >= {-1.0, 0.0, 1.0}


def test_flattening_and_limits(crypto_play):
    _, actions, (_, info, held, _, _) = crypto_play
    flattened = actions == FLATTEN
    assert (np.abs(held[flattened]) > 0).any()
    assert (info["inventory"][flattened] == 0).all()
    assert np.abs(info["inventory"]).max() <= 10


def test_features_are_clipped_and_indicators_bounded(crypto_play):
    _, _, (_, info, _, _, seen) = crypto_play
    scaled, indicators, own = seen[..., :137], seen[..., 137:141], seen[..., 141:]
    assert seen.shape[-1] == 148
    assert np.abs(scaled).max() <= 10
    assert np.abs(scaled).max() > 2
    assert np.abs(indicators).max() <= 1
    np.testing.assert_allclose(own[..., 0] * 10, info["inventory"], atol=1e-4)
    total = (own[..., 1] + own[..., 2]) * 10
    np.testing.assert_allclose(total, info["wealth"], atol=0.02)
    assert (own[..., 3] <= 0).all(), "bids are below the mid"
    assert (own[..., 4] >= 0).all()
    assert ((own[..., 5:] >= 0) & (own[..., 5:] < 1)).all()


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="reward must be one of positional, trade_completion"):
        CryptoMarketMaking(reward="sharpe")
    with pytest.raises(ValueError, match="capacity must be an integer >= 14, got 8"):
        ZeroIntelligenceBook(num_agents=3, capacity=8)
    env = ZeroIntelligenceBook()
    wrong = env.default_params.replace(flow=Flow(3).default_params)
    with pytest.raises(ValueError, match=r"limit_rates must be of shape \[10\]"):
        env.validate(wrong)

"""Call markets and continuous double auctions: known efficiencies, incentives, and conservation of money and units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import draw, repeat
from jaxmarl.envs.markets.call_market import CallMarket, clear
from jaxmarl.envs.markets.double_auction import ContinuousDoubleAuction, DoubleAuctionParams
from jaxmarl.envs.markets.simulate import simulate

LOTS = jnp.linspace(0.1, 0.9, 7)


def test_the_chatterjee_samuelson_equilibrium_earns_9_of_64():
    """Exactly: the midpoint rule over 400 x 400 values; gains of 27/32 of what there is."""
    env = CallMarket(num_buyers=1, num_sellers=1)
    params = env.default_params
    known = env.benchmarks(params)
    grid = (jnp.arange(400) + 0.5) / 400

    @jax.jit
    def surplus(policy_name):
        values = jnp.stack(jnp.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)

        def one(values):
            state = env.initial(values, params)
            obs = env.observe(state, params)
            action = jax.vmap(lambda obs: known[policy_name].act((), (), obs, ())[0])(obs)
            return env.transition(state, action, jnp.array([0.2, 0.8]), params)[3]

        info = jax.vmap(one)(values)
        return info["surplus"].mean(), info["max_surplus"].mean()

    surplus = jax.jit(surplus.__wrapped__, static_argnums=0)
    found, most = surplus("linear")
    assert abs(found - 9 / 64) < 1e-3
    assert abs(most - 1 / 6) < 1e-4
    assert abs(found / most - known["efficiency"]) < 5e-3
    assert known["surplus"] == 9 / 64
    assert known["efficiency"] == 27 / 32
    found, most = surplus("truthful")
    np.testing.assert_allclose(found, most, rtol=1e-5)


def test_no_deviation_from_the_linear_equilibrium_pays():
    """A buyer's expected gain against the seller's rule, by quadrature over costs, for every bid on a grid."""
    env = CallMarket(num_buyers=1, num_sellers=1)
    params = env.default_params
    costs, bids = (jnp.arange(2000) + 0.5) / 2000, jnp.linspace(0.0, 1.0, 121)

    def gain(value, bid):
        def one(cost):
            action = jnp.stack([bid, 2 / 3 * cost + 1 / 4])
            return env.transition(env.initial(jnp.stack([value, cost]), params), action, jnp.array([0.1, 0.2]), params)[
                1
            ]

        return jax.vmap(one)(costs)[:, 0].mean()

    every = jax.jit(jax.vmap(gain, (None, 0)))
    for value in (0.4, 0.7, 0.95):
        best = float(gain(jnp.float32(value), jnp.float32(2 / 3 * value + 1 / 12)))
        assert every(jnp.float32(value), bids).max() < best + 2e-4


def test_clearing_by_hand():
    bids, asks = jnp.array([9.0, 3.0, 7.0, 6.0]), jnp.array([5.0, 2.0, 8.0])
    found = clear(bids, asks, 0.25, LOTS, "k_double")
    assert found.buys.tolist() == [True, False, True, False]
    assert found.sells.tolist() == [True, True, False]
    np.testing.assert_allclose(found.buyer_price, 0.25 * 5 + 0.75 * 7)
    # the third pair, 6 and 8, has its middle at 7, which suits the second pair: all of it trades
    found = clear(bids, asks, 0.5, LOTS, "mcafee")
    assert float(found.quantity) == 2
    np.testing.assert_allclose([found.buyer_price, found.seller_price], [7.0, 7.0])
    # with a third ask of 20 the middle, 13, suits nobody: the marginal pair is dropped
    found = clear(bids, jnp.array([5.0, 2.0, 20.0]), 0.5, LOTS, "mcafee")
    assert found.buys.tolist() == [True, False, False, False]
    assert found.sells.tolist() == [False, True, False]
    np.testing.assert_allclose([found.buyer_price, found.seller_price], [7.0, 5.0])
    nothing = clear(jnp.array([1.0]), jnp.array([2.0]), 0.5, LOTS[:2], "k_double")
    assert float(nothing.quantity) == 0


@pytest.fixture(scope="module", params=["k_double", "mcafee"])
def calls(request):
    """Info and rewards of 500 markets at random prices, and a function from prices to rewards of the same markets."""
    env = CallMarket(num_buyers=4, num_sellers=3, rule=request.param)
    params = env.default_params
    values, lots = (jnp.asarray(np.random.default_rng(i).random((500, 7)), jnp.float32) for i in (0, 1))
    states = jax.vmap(env.initial, (0, None))(values, params)
    play = jax.jit(lambda action: jax.vmap(env.transition, (0, 0, 0, None))(states, action, lots, params)[1::2])
    return request.param, values, play


def test_money_is_conserved_and_surplus_is_at_most_the_largest(calls):
    _, _, play = calls
    prices = jnp.asarray(np.random.default_rng(2).random((500, 7)), jnp.float32)
    reward, info = play(prices)
    np.testing.assert_allclose(reward.sum(axis=1) + info["revenue"], info["surplus"], atol=1e-5)
    assert (info["surplus"] <= info["max_surplus"] + 1e-5).all()
    assert (info["revenue"] >= -1e-6).all()
    assert len(set(np.asarray(info["quantity"]).tolist())) >= 3


def test_truth_is_efficient_or_dominant(calls):
    rule, values, play = calls
    truthful, info = play(values)
    assert (truthful >= -1e-6).all()
    if rule == "k_double":
        np.testing.assert_allclose(info["surplus"], info["max_surplus"], atol=1e-5)
        return
    # misreports by every agent in turn: no gain in any of the 500 markets
    for agent in range(7):
        for misreport in np.linspace(0.0, 1.0, 8):
            reward, _ = play(values.at[:, agent].set(misreport))
            assert (reward[:, agent] <= truthful[:, agent] + 1e-6).all()


RUNS, TICKS = 200, 2500


@pytest.fixture(scope="module")
def sessions():
    """Gode and Sunder's traders in the instance of ten buyers and ten sellers: info of the end, rewards, prices."""
    env = ContinuousDoubleAuction(num_steps=TICKS)
    params = env.default_params
    known = env.benchmarks(params)

    def run(policy, key):
        total, state, kept = simulate(
            env, params, policy, (), key, RUNS, lambda info: (info["trade"], info["price"] * info["trade"])
        )
        trades, prices = (x.sum(axis=0) for x in kept)
        return total, state.surplus, trades, prices / jnp.maximum(trades, 1), state.traded

    return {
        name: [np.asarray(x) for x in jax.jit(run, static_argnums=0)(known[name], jax.random.key(i))]
        for i, name in enumerate(("zi_c", "zi_u"))
    } | {"known": known, "params": params}


def test_the_instance(sessions):
    values = np.asarray(sessions["params"].values)[:, 0]
    np.testing.assert_allclose(values[:10], np.arange(150, 50, -10), rtol=1e-6)
    np.testing.assert_allclose(values[10:], np.arange(50, 150, 10), rtol=1e-6)
    assert abs(sessions["known"]["max_surplus"] - 300) < 1e-3


def test_constrained_traders_are_efficient(sessions):
    """0.9651 in 1500 runs of twice as many ticks, with 5.99 trades at 99.98 on average, s.d. 5.46 over runs."""
    total, surplus, trades, price, _ = sessions["zi_c"]
    efficiency = surplus / 300
    assert abs(efficiency.mean() - 0.9651) < 4 * np.hypot(efficiency.std() / RUNS**0.5, 0.0011)
    assert abs(trades.mean() - 5.99) < 4 * trades.std() * np.sqrt(1 / RUNS + 1 / 1500)
    assert abs(price.mean() - 99.98) < 4 * 5.46 * np.sqrt(1 / RUNS + 1 / 1500)
    assert abs(price.std() - 5.46) < 4 * 5.46 / np.sqrt(2 * RUNS)
    assert efficiency.max() <= 1 + 1e-6
    assert total.min() > -1e-3, "nobody who is constrained loses"


def test_unconstrained_traders_trade_everything(sessions):
    _, surplus, trades, price, traded = sessions["zi_u"]
    assert (trades == 10).mean() > 0.97, "with 2500 ticks nearly everyone finds a partner"
    done = trades == 10
    np.testing.assert_allclose(surplus[done], 100.0, atol=0.01, err_msg="a third of 300, whoever trades with whom")
    assert (traded[done] == 1).all()
    assert abs(price.mean() - 100.4) < 4 * 18.5 * np.sqrt(1 / RUNS + 1 / 1500)


def test_gains_add_up_to_the_surplus(sessions):
    for name in ("zi_c", "zi_u"):
        total, surplus, _, _, traded = sessions[name]
        np.testing.assert_allclose(total.sum(axis=1), surplus, atol=0.01)
        assert (traded <= 1).all()
        assert (traded[:, :10].sum(axis=1) == traded[:, 10:].sum(axis=1)).all()


def test_quotes_trades_and_units_by_hand():
    env = ContinuousDoubleAuction(num_buyers=1, num_sellers=1, num_units=2, num_steps=6)
    params = DoubleAuctionParams(jnp.array([[100.0, 80.0], [20.0, 60.0]]))
    state = env.initial((), params)
    prices, seen = [(50, 0), (70, 55), (70, 45), (65, 90), (10, 70), (75, 0)], []
    for (bid, ask), chance in zip(prices, [0.2, 0.7, 0.7, 0.9, 0.8, 0.1], strict=True):
        state, reward, ended, info = env.transition(state, jnp.array([bid, ask], float), jnp.float32(chance), params)
        quotes = None if (state.quoter < 0).all() else tuple(state.quote.tolist())
        seen.append((bool(info["trade"]), quotes, reward.tolist()))
    assert seen == [
        (False, (50.0, 200.0), [0.0, 0.0]),
        (False, (50.0, 55.0), [0.0, 0.0]),
        (True, None, [50.0, 30.0]),  # the seller takes the bid of 50
        (False, (0.0, 90.0), [0.0, 0.0]),
        (False, (0.0, 70.0), [0.0, 0.0]),  # a better ask
        (True, None, [10.0, 10.0]),  # the buyer pays the ask of 70, for its second unit
    ]
    assert bool(ended)
    assert state.traded.tolist() == [2, 2]


def test_traders_who_have_finished_are_never_drawn():
    env = ContinuousDoubleAuction(num_buyers=2, num_sellers=2, num_steps=5)
    params = env.default_params
    state = env.initial((), params).replace(traded=jnp.array([1, 0, 1, 0], jnp.int32))
    chances = draw(repeat(env.step_chance, 64), jax.random.key(0))
    step = jax.vmap(lambda c: env.transition(state, jnp.full(4, 10.0), c, params)[3]["trader"])
    assert set(np.asarray(step(chances)).tolist()) == {1, 3}
    state = state.replace(traded=jnp.ones(4, jnp.int32))
    assert int(env.transition(state, jnp.full(4, 10.0), jnp.float32(0.5), params)[3]["trader"]) == -1


def test_wrong_numbers_are_refused():
    env = ContinuousDoubleAuction(num_buyers=1, num_sellers=1)
    with pytest.raises(ValueError, match="values must be between 0 and max_price"):
        env.validate(DoubleAuctionParams(jnp.array([[300.0], [1.0]])))
    with pytest.raises(ValueError, match="rule must be one of k_double, mcafee"):
        CallMarket(rule="auction")

"""Continuous double auctions: known efficiencies, incentives, and conservation of money and units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import draw, repeat
from jaxmarl.envs.markets.continuous_double_auction import ContinuousDoubleAuction, ContinuousDoubleAuctionParams
from jaxmarl.envs.markets.simulate import simulate

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
    params = ContinuousDoubleAuctionParams(jnp.array([[100.0, 80.0], [20.0, 60.0]]))
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
        env.validate(ContinuousDoubleAuctionParams(jnp.array([[300.0], [1.0]])))

"""The dealer market: conservation, limits, levers that are neutral, regulator, discrete actions, batches."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import make
from jaxmarl.core.chance import draw
from jaxmarl.envs.liquidity import dealer_market, neutral_levers, price_free
from jaxmarl.envs.liquidity.levers import regulator_levers
from jaxmarl.games import make_game
from jaxmarl.testing import check_env


def number(x):
    return jnp.full((), x, float)


def with_levers(params, **levers):
    changed = params.regulation.levers.replace(**{name: number(x) for name, x in levers.items()})
    return params.replace(regulation=params.regulation.replace(levers=changed))


@partial(jax.jit, static_argnums=0)
def step(env, state, action, chance, params):
    return env.transition(state, action, chance, params)


def random_actions(env, key, shape):
    space = env.action_space(env.default_params)
    full = (*shape, env.num_agents, *space.shape)
    if env.discrete:
        return jax.random.randint(key, full, 0, space.n)
    return jax.random.uniform(key, full, minval=-1.0, maxval=1.0)


@partial(jax.jit, static_argnums=(0, 3, 4))
def random_play(env, key, params, batch, steps):
    """Final states, and sums over time of info, of random play in a batch of markets."""
    keys = jax.random.split(key, 3)
    states = jax.vmap(lambda chance: env.initial(chance, params))(draw(env.reset_chance, keys[0], (batch,)))

    def advance(carry, key):
        states, totals, worst = carry
        chance = draw(env.step_chance, key, (batch,))
        actions = random_actions(env, jax.random.fold_in(key, 1), (batch,))
        states, _, _, info = jax.vmap(lambda s, a, c: env.transition(s, a, c, params))(states, actions, chance)
        limits = jnp.where(states.large, params.dealers.limits[1], params.dealers.limits[0])
        worst = jnp.maximum(worst, jnp.max(jnp.abs(states.inventory) / limits))
        return (states, jax.tree.map(jnp.add, totals, info), worst), None

    sample = jax.eval_shape(
        lambda s, a, c: env.transition(s, a, c, params)[3],
        jax.tree.map(lambda x: x[0], states),
        random_actions(env, keys[1], ()),
        draw(env.step_chance, keys[1]),
    )
    totals = {name: jnp.zeros((batch, *x.shape)) for name, x in sample.items()}
    return jax.lax.scan(advance, (states, totals, number(0)), jax.random.split(keys[2], steps))[0]


def busy_market(**static):
    """Everything at once: informed clients, trade among dealers, a backstop, a tax."""
    env, params = make("dealer_market", discrete=True, interdealer="bilateral", disclose=True, **static)
    params = params.replace(clients=params.clients.replace(informed=number(0.3)))
    return env, with_levers(params, tax=0.125, backstop=1.0, min_size=0.5, capital_charge=0.1)


def check_books(env, params, batch, steps):
    states, totals, worst = random_play(env, jax.random.key(0), params, batch, steps)
    held = states.inventory.sum(axis=1) + states.client_position + states.authority_position
    np.testing.assert_array_equal(held, 0)  # parcels are multiples of a half: exact
    money = states.wealth.sum(axis=1) + totals["client_pnl"] + totals["authority_pnl"] + totals["tax"]
    scale = 1 + np.abs(totals["client_pnl"]) + np.abs(totals["authority_pnl"])
    np.testing.assert_allclose(money / scale, 0, atol=1e-4)
    assert float(worst) <= 1
    for name in ("volume", "interdealer_volume", "tax"):
        assert float(totals[name].mean()) > 1
    assert float(jnp.abs(states.authority_position).max()) > 0
    assert float(jnp.abs(states.signal).max()) > 0


def test_parcels_and_money_are_conserved_over_a_million_random_steps():
    check_books(*busy_market(), 5000, 200)


@pytest.mark.slow
def test_they_are_conserved_with_routed_clients():
    check_books(*busy_market(routing="routed"), 64, 50)


@pytest.fixture(scope="module")
def plain():
    env, params = make("dealer_market")
    return env, params.replace(clients=params.clients.replace(informed=number(0.2)))


@partial(jax.jit, static_argnums=(0,))
def follow(env, key, params):
    """States and rewards along one market's random play."""
    keys = jax.random.split(key, 3)
    state = env.initial(draw(env.reset_chance, keys[0]), params)
    inputs = random_actions(env, keys[1], (60,)), draw(env.step_chance, keys[2], (60,))

    def advance(state, given):
        state, reward, _, _ = env.transition(state, *given, params)
        return state, (state, reward)

    return jax.lax.scan(advance, state, inputs)[1]


class Unregulated(dealer_market.DealerMarket):
    """The same market without a line about levers."""

    def quotes(self, state, action, levers, params):
        half_spreads, shares, orders = self.scale.decode(action)
        sizes, limits = self.full_sizes(state, params), dealer_market.dealer_limits(state, params)
        parcels, held = shares * sizes[:, None], state.inventory
        room = jnp.stack([limits - held, limits + held], axis=1)
        return dealer_market.Quotes(half_spreads, jnp.where(parcels <= room, parcels, 0.0), orders)


def test_neutral_levers_change_no_bit(plain, monkeypatch):
    env, params = plain
    states, rewards = follow(env, jax.random.key(1), params)

    def booked(state, quotes, trades, move, levers, params):
        bid, ask = trades.clients[:, 0], trades.clients[:, 1]
        inventory = state.inventory + bid - ask
        earned = jnp.sum(trades.clients * quotes.half_spreads, axis=1) + inventory * move
        return earned, inventory, state.wealth + earned

    monkeypatch.setattr(dealer_market, "_booked", booked)
    monkeypatch.setattr(dealer_market, "backstop_purchases", lambda inventory, *_: jnp.zeros_like(inventory))
    free_states, free_rewards = follow(Unregulated(), jax.random.key(1), params)
    np.testing.assert_array_equal(rewards, free_rewards)
    jax.tree.map(np.testing.assert_array_equal, states, free_states)
    assert float(jnp.abs(states.inventory).max()) > 1


@pytest.mark.parametrize(
    "lever", [{"tax": 0.1}, {"max_spread": 0.4}, {"min_size": 0.9}, {"backstop": 1.0}, {"capital_charge": 0.5}]
)
def test_a_lever_off_neutral_changes_what_dealers_earn(plain, lever):
    env, params = plain
    _, rewards = follow(env, jax.random.key(1), params)
    states, changed = follow(env, jax.random.key(1), with_levers(params, **lever))
    assert not np.array_equal(rewards, changed)
    if "max_spread" in lever:
        shown = np.asarray(states.half_spreads)
        assert shown[shown < env.max_half_spread].max() <= np.float32(0.4)
    if "capital_charge" in lever:
        free, _ = follow(env, jax.random.key(1), params)
        np.testing.assert_array_equal(states.wealth, free.wealth)
        cost = 0.5 * np.abs(states.inventory) * 0.005
        np.testing.assert_allclose(rewards - changed, cost, atol=1e-5)


def test_a_batch_is_a_loop(plain):
    env, params = plain
    keys = jax.random.split(jax.random.key(2), 4096)
    fills, wealth = jax.jit(jax.vmap(lambda key: (lambda s: (s.fills, s.wealth))(follow(env, key, params)[0])))(keys)
    for i, key in enumerate(keys[:8]):
        alone, _ = follow(env, key, params)
        # who trades is the same to the bit; sums of products may be rounded once or twice, as the compiler likes
        np.testing.assert_array_equal(fills[i] > 0, alone.fills > 0)
        np.testing.assert_allclose(fills[i], alone.fills, rtol=1e-6)
        np.testing.assert_allclose(wealth[i], alone.wealth, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("fill", ["pro_rata", "bilateral"])
def test_trade_among_dealers_alone_is_the_liquidity_game(fill):
    env, params = make("dealer_market", num_dealers=2, interdealer=fill, num_steps=3)
    params = price_free(params)
    params = params.replace(
        clients=params.clients.replace(arrival_rate=number(0)),
        dealers=params.dealers.replace(quote_cost=number(0.25)),
    )
    game = make_game("liquidity_matrix", cost=0.25)
    orders = jnp.stack(jnp.meshgrid(*[jnp.arange(-2, 3)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    actions = env.encode(jnp.ones((25, 2, 2)), 0.0, orders.astype(float))
    state = env.initial(jnp.zeros(2), params)
    chance = draw(env.step_chance, jax.random.key(0))
    after, reward, _, info = jax.jit(jax.vmap(lambda a: env.transition(state, a, chance, params)))(actions)
    np.testing.assert_allclose(reward, np.asarray(game.payoffs).reshape(2, -1).T, atol=1e-6)
    np.testing.assert_array_equal(after.inventory.sum(axis=1), 0)
    np.testing.assert_array_equal(info["interdealer_volume"], np.abs(after.inventory[:, 0]))


def test_quotes_survive_encoding_and_stop_at_position_limits():
    env, params = make("dealer_market", num_dealers=2, min_half_spread=-1.0)
    half_spreads, shares = jnp.array([[0.5, -0.3], [2.0, 4.9]]), jnp.array([[0.25, 1.0], [0.5, 1.0]])
    state = env.initial(jnp.array([0.0, 0.9]), params)  # large, small
    state = dataclasses.replace(state, inventory=jnp.array([9.5, -5.0]))
    quotes = env.quotes(state, env.encode(half_spreads, shares), state.levers, params)
    np.testing.assert_allclose(quotes.half_spreads, half_spreads, atol=1e-6)
    np.testing.assert_allclose(quotes.parcels, [[0.5, 2.0], [0.5, 0.0]], atol=1e-6)
    obliged = env.quotes(
        state, env.encode(half_spreads, shares), with_levers(params, min_size=0.5).regulation.levers, params
    )
    np.testing.assert_allclose(obliged.parcels, [[0.0, 2.0], [0.5, 0.0]], atol=1e-6)


def test_a_step_by_hand():
    env, params = make("dealer_market", num_dealers=2)
    params = params.replace(clients=params.clients.replace(informed=number(0.5), jump_probability=number(1)))
    params = with_levers(params, tax=0.1, backstop=2.0)
    state = dataclasses.replace(env.initial(jnp.array([0.9, 0.9]), params), inventory=jnp.array([3.0, 0.0]))
    chance = {
        "news": jnp.array(1),  # up by 2 sqrt(0.005)
        "jump": number(0.5),
        "jump_sign": jnp.array(0),  # the latent value falls to 1 below the mid
        # the first dealer's bid would not be hit by the uninformed alone: 0.35 exp(-0.75) = 0.165 < 0.4 < 0.496
        "clients": jnp.array([[0.4, 0.99], [0.99, 0.1]]),
        "wanted": jnp.array([[0.9, 0.9], [0.9, 0.9]]),
    }
    action = env.encode(jnp.array([[0.5, 0.5], [2.0, 0.25]]))
    after, reward, ended, info = step(env, state, action, chance, params)
    move = 2 * np.sqrt(0.005) - 0.5
    np.testing.assert_array_equal(after.fills, [[1, 0], [0, 1]])
    # inventories 4 and -1 after clients; the authority takes 2 and -1
    np.testing.assert_allclose(after.inventory, [2, 0])
    assert float(after.authority_position) == 1
    earned = np.array([0.5 - 0.1 - 2 + 2 * move, 0.25 - 0.1 - 1])
    np.testing.assert_allclose(after.wealth, earned, atol=1e-6)
    np.testing.assert_allclose(reward, earned - 0.01 * np.array([4, 0]) * 0.005, atol=1e-6)
    np.testing.assert_allclose([after.mid, after.signal], [move, -0.5], atol=1e-6)
    assert float(info["tax"]) == pytest.approx(0.2)
    assert not bool(ended)


def test_informed_clients_come_only_where_the_signal_beats_the_half_spread():
    env, params = make("dealer_market", num_dealers=1)
    params = params.replace(
        clients=params.clients.replace(informed=number(1), jump_probability=number(1), jump=number(0.6))
    )
    state, chance = env.initial(jnp.zeros(1), params), draw(env.step_chance, jax.random.key(0))
    chance = {**chance, "jump_sign": jnp.array(1), "clients": jnp.zeros((1, 2)), "jump": number(0)}
    for half_spread, bought in [(0.5, 1), (0.7, 0)]:
        after, *_ = step(env, state, env.encode(jnp.full((1, 2), half_spread)), chance, params)
        np.testing.assert_array_equal(after.fills > 0, [[False, bool(bought)]])


def test_observations_hide_types_and_show_positions_only_where_disclosed():
    env, params = make("dealer_market", num_dealers=3, disclose=True, regulator=True)
    state = env.initial(jnp.array([0.1, 0.9, 0.9]), params)
    state = dataclasses.replace(state, inventory=jnp.array([5.0, -5.0, 0.0]), volume=number(7))
    obs = np.asarray(env.observe(state, params))
    assert obs.shape == (4, 8 + 6 + 4 + 3)
    np.testing.assert_allclose(obs[:3, 1], [0.5, -1, 0])
    np.testing.assert_array_equal(obs[:3, 3], [1, 0, 0])
    np.testing.assert_array_equal(obs[3, :8], 0)
    np.testing.assert_array_equal(obs[:, -3:], [[0.5, -1, 0]] * 4)
    assert (obs[:, 8:] == obs[0, 8:]).all()
    hidden = np.asarray(make("dealer_market", num_dealers=3)[0].observe(state, params))
    assert hidden.shape == (3, 14)
    np.testing.assert_array_equal(hidden[:, :8], obs[:3, :8])


def test_a_regulator_sets_levers_when_its_turn_comes():
    env, params = make("dealer_market", num_dealers=2, regulator=True, regulator_period=2)
    state, chance = env.initial(jnp.zeros(2), params), draw(env.step_chance, jax.random.key(0))
    idle = jnp.concatenate([env.encode(jnp.ones((2, 2))), -jnp.ones((1, 4))])
    strict = idle.at[2].set(1.0)
    first, reward, _, info = step(env, state, strict, chance, params)
    levers = first.levers
    np.testing.assert_allclose(
        [levers.tax, levers.max_spread, levers.min_size, levers.backstop], [0.5, 0.25, 1, 2], atol=1e-6
    )
    np.testing.assert_allclose(first.half_spreads, 0.25, atol=1e-6)
    lost = info["spread"] + jnp.square(first.mid) + 0.1 * 4
    np.testing.assert_allclose(reward[-1], info["volume"] + info["interdealer_volume"] - lost, rtol=1e-5)
    second, *_ = step(env, first, idle, chance, params)
    assert float(second.levers.tax) == 0.5  # not its turn
    third, *_ = step(env, second, idle, chance, params)
    np.testing.assert_allclose([third.levers.tax, third.levers.min_size, third.effort], 0, atol=1e-6)
    neutral = regulator_levers(jnp.zeros(4), params.regulation, 5.0)
    assert float(neutral.max_spread) == 5.0  # nobody can quote more


def test_discrete_actions_are_a_grid_of_spreads_skews_and_sizes():
    env, params = make("dealer_market", num_dealers=2, discrete=True)
    assert env.action_space(params).n == 30
    half_spreads, shares, _ = env.scale.decode(jnp.arange(30))
    np.testing.assert_allclose(half_spreads[:5:2], [[0.1, 0.5], [0.3, 0.3], [0.5, 0.1]], atol=1e-6)
    np.testing.assert_allclose(half_spreads[-3], [1.5, 1.5], atol=1e-6)
    np.testing.assert_array_equal(shares[:, 0], [0.5, 1] * 15)
    trading, _ = make("dealer_market", num_dealers=2, discrete=True, interdealer="pro_rata")
    assert trading.action_space(params).n == 150
    many, _, orders = trading.scale.decode(jnp.arange(150))
    np.testing.assert_array_equal(orders, [-2, -1, 0, 1, 2] * 30)
    np.testing.assert_array_equal(many[::5], half_spreads)
    with pytest.raises(ValueError, match=r"^discrete must be False"):
        env.encode(jnp.ones((2, 2)))


def test_the_paper_preset_rewards_the_quantity_traded():
    env, params = make("dealer_market")
    _, rewards = follow(env, jax.random.key(3), price_free(params))
    states, _ = follow(env, jax.random.key(3), params)
    np.testing.assert_allclose(rewards, states.fills.sum(axis=2), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "static",
    [
        {"regulator": True, "routing": "routed", "interdealer": "all_or_nothing", "walk": "normal"},
        {"discrete": True, "regulator": True, "interdealer": "pro_rata", "disclose": True, "num_dealers": 1},
        {"routing": "routed", "min_half_spread": -2.0, "num_steps": 7},
    ],
)
def test_variants_keep_the_contract(static):
    env, params = make("dealer_market", **static)
    live = params.replace(clients=params.clients.replace(informed=number(0.3)))
    still = params.replace(volatility=number(0), pool=params.pool.replace(exponent=number(0)))
    check_env(env, live, corners=[with_levers(params, tax=1.0, backstop=5.0, max_spread=0.0), still])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.replace(dt=number(0)), r"^dt must be positive, got 0.0$"),
        (
            lambda p: p.replace(clients=p.clients.replace(informed=number(1.5))),
            r"^clients.informed must be in \[0, 1\]",
        ),
        (lambda p: p.replace(dealers=p.dealers.replace(limits=jnp.zeros(2))), "^dealers.limits must be positive"),
        (lambda p: p.replace(dealers=p.dealers.replace(large_share=jnp.ones(3))), "^dealers.large_share must be of sh"),
        (lambda p: p.replace(pool=p.pool.replace(level=number(-1))), "^pool.level must be at least 0, and finite"),
        (lambda p: with_levers(p, min_size=2.0), r"^levers.min_size must be in \[0, 1\], got 2.0$"),
        (lambda p: with_levers(p, tax=-1.0), "^levers.tax must be at least 0"),
    ],
)
def test_bad_numbers_are_refused(change, message):
    env, params = make("dealer_market")
    with pytest.raises(ValueError, match=message):
        env.validate(change(params))


@pytest.mark.parametrize(
    "static",
    [
        {"routing": "route"},
        {"interdealer": "prorata"},
        {"num_dealers": 0},
        {"min_half_spread": 6.0},
        {"walk": "random"},
        {"regulator": 1},
    ],
)
def test_bad_fields_are_refused(static):
    with pytest.raises(ValueError, match=f"^{next(iter(static))} must be"):
        make("dealer_market", **static)


def test_neutral_levers_are_the_default():
    params = make("dealer_market")[1]
    jax.tree.map(np.testing.assert_array_equal, params.regulation.levers, neutral_levers())

"""The lemon market: honest trade, what Sybils take, votes and rotations on known records, and a guardian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.matches import play_steps
from jaxmarl.core.seating import Player, Seating
from jaxmarl.envs.marketplaces import LemonMarket, fixed_principal, guardian, random_buyer

MATCHES = 40
SYBILS = (0, 3, 6, 9)


@pytest.fixture(scope="module")
def plays():
    """Info of random buyers, then of guardians, against a principal that rotates below 3 up-votes, for each K."""
    env = LemonMarket()
    players = (Player(random_buyer(env)), Player(guardian(env)), Player(fixed_principal(env)))
    buyers = np.repeat([0, 1], MATCHES)[:, None]
    schedule = np.hstack([np.tile(buyers, (1, env.num_buyers)), np.full((2 * MATCHES, 1), 2)])
    seating = Seating(env, players, schedule)
    counts = jnp.asarray(SYBILS)
    params = jax.tree.map(lambda x: jnp.stack([x] * len(SYBILS)), env.default_params).replace(num_sybils=counts)
    keys = jax.random.split(jax.random.key(1), len(SYBILS))
    run = jax.jit(
        jax.vmap(
            lambda p, key: play_steps(
                seating, seating.params, key, p, env.num_steps, lambda matches, reward, info: info
            )
        )
    )
    matches, info = jax.tree.map(np.asarray, run(params, keys))
    return env, matches.returns, info


def test_honest_trade_leaves_no_surplus(plays):
    _, total, info = plays
    np.testing.assert_array_equal(total[0], 0.0)
    np.testing.assert_array_equal(info["sybil_purchases"][0], 0)
    random_buyers = info["honest_reputation"][0][:, :MATCHES]
    np.testing.assert_allclose(random_buyers[0], 0.8, atol=0.07)
    np.testing.assert_array_equal(random_buyers[-1], 1.0, err_msg="ten up-votes for everyone within 50 steps")


@pytest.mark.parametrize("case", range(1, len(SYBILS)))
def test_random_buyers_meet_sybils_by_their_share(plays, case):
    env, _, info = plays
    kept = {name: x[case][:, :MATCHES] for name, x in info.items()}
    known = env.benchmarks(env.default_params.replace(num_sybils=jnp.array(SYBILS[case])))
    lemons, bought = kept["sybil_purchases"].sum(0), kept["purchases"].sum(0)
    share, surplus = lemons.sum() / bought.sum(), kept["surplus"].sum(0) / bought
    assert known["random_sybil_share"] == SYBILS[case] / 12
    error = (lemons / bought).std() / np.sqrt(MATCHES)
    assert abs(share - known["random_sybil_share"]) < 4 * error
    assert abs(surplus.mean() - known["random_surplus"]) < 4 * surplus.std() / np.sqrt(MATCHES)


def test_a_guardian_buys_from_each_sybil_once(plays):
    """After one sale, seven of ten votes are up; too few for the guardian, too many for the principal to rotate."""
    _, _, info = plays
    for case, sybils in enumerate(SYBILS):
        assert (info["sybil_purchases"][case][:, MATCHES:].sum(0) <= sybils).all()
        assert (info["rotations"][case][:, MATCHES:] == 0).all()
    random_buyers = info["sybil_purchases"][-1][:, :MATCHES].sum(0)
    assert random_buyers.min() > 10 * SYBILS[-1]


def test_buyers_lose_what_the_principal_gains(plays):
    _, total, info = plays
    np.testing.assert_allclose(total[..., :-1].sum(-1), -total[..., -1], rtol=1e-5)
    np.testing.assert_allclose(total[..., :-1].sum(-1), info["surplus"].sum(1), rtol=1e-5)
    assert (info["best_surplus"] >= info["surplus"]).all()


def sell_until_rotated(first_votes: int, rotate_below: int = 3):
    """Rewards of the only buyer of an only seller, a Sybil that claims mint, and the steps at which it rotated."""
    env = LemonMarket(num_buyers=1, num_sellers=1, first_votes=first_votes)
    params = env.default_params.replace(num_sybils=jnp.array(1))
    action = jnp.array([0, env.principal_action(0, rotate_below)], jnp.int32)
    lots, listing = jnp.zeros(1), jnp.full((2, 1), 0.9)  # quality drawn: poor

    @jax.jit
    def play():
        def step(state, _):
            state, reward, _, info = env.transition(state, action, (lots, listing), params)
            return state, (reward, info["rotations"], state.listings.votes[0], state.listings.age[0])

        return jax.lax.scan(step, env.initial(listing, params), length=20)[1]

    return jax.tree.map(np.asarray, play())


@pytest.mark.parametrize(("first_votes", "sales"), [(0b1111111100, 6), (0b0011111111, 8), (0b1101111110, 7)])
def test_rotation_counts_votes_in_the_window(first_votes, sales):
    """Old votes are forgotten as new ones come: up-votes first costs six, down-votes first eight."""
    reward, rotations, votes, age = sell_until_rotated(first_votes)
    np.testing.assert_allclose(reward, np.tile([-45_000.0, 45_000.0], (20, 1)), rtol=1e-6)
    when = np.flatnonzero(rotations) + 1
    np.testing.assert_array_equal(when, np.arange(sales, 21, sales))
    assert (votes[rotations > 0] == first_votes).all()
    assert (age[rotations > 0] == 0).all()


def test_never_rotating_keeps_a_bad_name():
    _, rotations, votes, age = sell_until_rotated(0b1111111100, rotate_below=0)
    assert rotations.sum() == 0
    assert votes[-1] == 0
    assert age[-1] == 20


def test_one_item_goes_to_one_buyer():
    env = LemonMarket(num_buyers=3, num_sellers=2, show_reputation=False)
    params = env.default_params.replace(num_sybils=jnp.array(0), honest_discount=jnp.array(0.1))
    action = jnp.array([0, 0, 2, 0], jnp.int32)
    chance = jnp.array([0.2, 0.7, 0.9]), jnp.zeros((2, 2))

    @jax.jit
    def play():
        state = env.initial(jnp.array([[0.0, 0.3], [0.1, 0.2]]), params)  # mint, then good
        return env.observe(state, params), env.transition(state, action, chance, params)

    obs, (_, reward, _, info) = play()
    np.testing.assert_allclose(reward, [0.0, 5000.0, 0.0, 0.0], rtol=1e-5)
    assert int(info["purchases"]) == 1
    np.testing.assert_allclose(info["best_surplus"], 50_000 * 0.17, rtol=1e-5)
    np.testing.assert_allclose(obs[0, :8], [0.9, 0.63, 1.0, 0.7, 0.0, 0.0, 0.0, 0.0], rtol=1e-5)


def test_bad_input_is_named():
    env = LemonMarket()
    with pytest.raises(ValueError, match="num_sybils"):
        env.validate(env.default_params.replace(num_sybils=jnp.array(13)))
    with pytest.raises(ValueError, match="tiers"):
        LemonMarket(tiers=(1.0, 0.5, 0.1))
    with pytest.raises(ValueError, match="first_votes"):
        LemonMarket(first_votes=1024)
    with pytest.raises(ValueError, match="rotate_below"):
        fixed_principal(env, rotate_below=4)
    with pytest.raises(ValueError, match="show_reputation"):
        guardian(LemonMarket(show_reputation=False))

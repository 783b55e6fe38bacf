"""Haggling over a price: equilibrium play against theory, and what scripted bargainers do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.negotiation import AlternatingOffers, BargainingState, deadline_shares

FINE = {"num_prices": 10_001, "complete_information": True}


def play(env, params, buyer, seller, values):
    """Plays from each pair of values to the end: `(reward, info)` of the last turn, and the turns taken."""

    def episode(values):
        state = BargainingState(jnp.int32(0), jnp.full(env.num_offers, -1, jnp.int32), values)

        def turn(carry, _):
            state, total, over, info = carry
            obs = env.observe(state, params)
            action = jnp.stack([buyer.act((), (), obs[0], ())[0], seller.act((), (), obs[1], ())[0]])
            legal = env.action_mask(state, params)[jnp.arange(2), action].all()
            after, reward, ends, now = env.transition(state, action, (), params)
            info = {name: jnp.where(over, info[name], now[name]) for name in now}
            return (after, total + jnp.where(over, 0.0, reward), over | ends, info), over | legal

        zero = env.transition(state, jnp.zeros(2, jnp.int32), (), params)[3]
        start = (state, jnp.zeros(2), jnp.zeros((), bool), zero)
        (_, total, over, info), legal = jax.lax.scan(turn, start, length=env.num_offers + 1)
        return total, {**info, "over": over, "legal": legal.all()}

    return jax.device_get(jax.jit(jax.vmap(episode))(jnp.asarray(values, jnp.float32)))


@pytest.mark.parametrize(("offers", "share"), [(3, 0.91), (10, 0.342801)])
def test_equilibrium_play_agrees_at_once_on_the_share_of_theory(offers, share):
    env, params = make("alternating_offers", num_offers=offers, **FINE)
    known = env.benchmarks(params)
    policy = known["subgame_perfect"]
    total, info = play(env, params, policy, policy, [[1.0, 0.0], [0.8, 0.3], [0.3, 0.8]])
    assert known["buyer_share"] == pytest.approx(share, abs=5e-7)
    np.testing.assert_allclose(info["buyer_share"][:2], share, atol=4e-4)  # prices are multiples of 1e-4
    np.testing.assert_array_equal(info["rejected"][:2], [0, 0])
    np.testing.assert_allclose(total[:2].sum(axis=1), [1, 0.5], atol=1e-5)
    assert info["feasible"][:2].all()
    assert not info["agreement"][2]  # nothing to gain from trade
    assert info["legal"].all()
    assert info["over"].all()


def test_nobody_gains_much_by_another_scripted_policy_against_equilibrium_play():
    env, params = make("alternating_offers", num_offers=4, **FINE)
    params = params.replace(discounts=jnp.array([0.95, 0.8]))
    known = env.benchmarks(params)
    best, values = known["subgame_perfect"], np.array([[0.9, 0.2], [0.7, 0.4]])
    expected = deadline_shares(0.95, 0.8, 4)[0] * (values[:, 0] - values[:, 1])
    assert (play(env, params, known["boulware"], best, values)[0][:, 0] <= expected + 2e-4).all()
    other = values[:, 0] - values[:, 1] - expected
    assert (play(env, params, best, known["conceder"], values)[0][:, 1] <= other + 2e-4).all()


def test_known_shares():
    env, params = make("alternating_offers")
    known = env.benchmarks(params)
    assert known["rubinstein_share"] == pytest.approx(0.526316, abs=5e-7)
    assert known["nash_share"] == 0.5
    assert known["buyer_share"] == pytest.approx(deadline_shares(0.9, 0.9, 20)[0])
    assert "subgame_perfect" not in known


@pytest.fixture(scope="module")
def haggling():
    """Scripted bargainers of private values, undiscounted."""
    env, params = make("alternating_offers")
    params = params.replace(discounts=jnp.ones(2))
    known = env.benchmarks(params)
    values = np.random.default_rng(0).uniform([0.5, 0], [1, 0.5], (200, 2))
    pairs = [("linear", "linear"), ("boulware", "conceder")]
    return values, {pair: play(env, params, *(known[name] for name in pair), values) for pair in pairs}


def test_scripted_bargainers_agree_within_their_values(haggling):
    values, played = haggling
    for total, info in played.values():
        assert info["legal"].all()
        agreed, surplus = info["agreement"], values[:, 0] - values[:, 1]
        assert agreed[surplus > 0.06].all()  # the seller's last offer still asks 5% of `1 - s` more than s
        np.testing.assert_array_equal(info["feasible"], agreed)
        assert (total >= -1e-5).all()
        np.testing.assert_allclose(total.sum(axis=1), np.where(agreed, surplus, 0), atol=1e-5)
        np.testing.assert_allclose((values[:, 0] - info["price"])[agreed], total[agreed, 0], atol=1e-5)


def test_who_concedes_late_gets_more(haggling):
    shares = {pair: info["buyer_share"].mean() for pair, (_, info) in haggling[1].items()}
    assert shares["boulware", "conceder"] > shares["linear", "linear"] + 0.1


def test_what_is_wrong_is_named():
    env, params = make("alternating_offers")
    with pytest.raises(ValueError, match="num_offers must be"):
        AlternatingOffers(num_offers=0)
    with pytest.raises(ValueError, match="discounts must be"):
        env.validate(params.replace(discounts=jnp.array([0.9, 1.1])))
    with pytest.raises(ValueError, match="exponent must be"):
        env.conceder(0.0)

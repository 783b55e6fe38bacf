import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import list_envs, make
from jaxmarl.envs.auctions import PRIORS, SealedBidAuction
from jaxmarl.envs.auctions.mechanism import PAYMENT_RULES
from jaxmarl.testing import check_env, check_registered

NAMES = ("first_price_auction", "second_price_auction", "third_price_auction", "all_pay_auction", "war_of_attrition")


def test_every_payment_rule_is_registered():
    assert set(NAMES) <= set(list_envs())
    assert {make(name)[0].payment for name in NAMES} == set(PAYMENT_RULES)


@pytest.mark.parametrize(
    ("name", "static"),
    [
        ("first_price_auction", {"prior": "affiliated", "num_bid_levels": 5, "tie_rule": "random", "num_agents": 3}),
        ("all_pay_auction", {"prior": "truncated_normal", "num_bid_levels": 4, "tie_rule": "lose"}),
        pytest.param(
            "war_of_attrition", {"prior": "bernoulli_weights", "max_bid": float("inf")}, marks=pytest.mark.slow
        ),
    ],
)
def test_variants_keep_the_contract(name, static):
    check_registered(name, **static)


def test_extreme_numbers_keep_observations_and_rewards_finite():
    env, params = make("first_price_auction", num_agents=3, prior="common_value", num_bid_levels=3)
    corners = [
        params.replace(active=jnp.zeros(3, bool)),
        params.replace(active=jnp.asarray([True, False, False]), reserve=jnp.full((), 5.0, float)),
        params.replace(risk=jnp.asarray([0.01, 0.5, 1.0]), entry_fee=jnp.full((), 0.3, float)),
    ]
    check_env(env, params, corners=corners)


@pytest.mark.slow
def test_gradients_through_the_smoothed_allocation_are_right():
    env = SealedBidAuction("second_price", 3, smooth=True)
    params = env.default_params
    check_env(env, params.replace(temperature=params.temperature * 20, reserve=params.reserve + 0.4))


@pytest.mark.parametrize("prior", PRIORS)
def test_priors_sample_finite_numbers_and_accept_their_defaults(prior):
    env, params = make("second_price_auction", num_agents=4, prior=prior)
    env.validate(params)
    _, state = jax.vmap(lambda key: env.reset(key, params))(jax.random.split(jax.random.key(0), 512))
    assert np.isfinite(state.signals).all()
    assert np.isfinite(state.values).all()
    assert (np.asarray(state.values) >= 0).all()
    assert (np.ptp(np.asarray(state.values), axis=1).max() == 0) == (not params.prior.private)


def with_prior(**numbers):
    return lambda params: params.replace(prior=params.prior.replace(**numbers))


@pytest.mark.parametrize(
    ("prior", "change", "argument"),
    [
        ("uniform", lambda p: p.replace(reserve=jnp.asarray(-0.1)), "reserve"),
        ("uniform", lambda p: p.replace(entry_fee=jnp.asarray(jnp.nan)), "entry_fee"),
        ("uniform", lambda p: p.replace(risk=jnp.asarray([1.0, 0.0])), "risk"),
        ("uniform", lambda p: p.replace(risk=jnp.ones(3)), "risk"),
        ("uniform", lambda p: p.replace(temperature=jnp.zeros(())), "temperature"),
        ("uniform", lambda p: p.replace(prior=PRIORS["wallet"].default(2)), "prior"),
        ("uniform", with_prior(low=jnp.ones(2)), "high"),
        ("uniform", with_prior(low=-jnp.ones(2)), "low"),
        ("uniform", with_prior(low=jnp.zeros(())), "low"),
        ("power", with_prior(exponent=jnp.zeros(2)), "exponent"),
        ("truncated_normal", with_prior(std=jnp.zeros(2)), "std"),
        ("bernoulli_weights", with_prior(correlation=jnp.asarray(1.1)), "correlation"),
        ("mineral_rights", with_prior(scale=jnp.asarray(-1.0)), "scale"),
        ("common_value", with_prior(width=jnp.asarray(0.6)), "width"),
    ],
)
def test_bad_numbers_are_refused_in_one_line(prior, change, argument):
    env, params = make("first_price_auction", prior=prior)
    with pytest.raises(ValueError, match=f"^{argument} must be") as error:
        env.validate(change(params))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "static",
    [
        {"prior": "unifrom"},
        {"num_agents": 0},
        {"num_bid_levels": 1},
        {"num_bid_levels": 4, "max_bid": float("inf")},
        {"max_bid": 0.0},
        {"tie_rule": "first"},
        {"smooth": 1},
    ],
)
def test_bad_fields_are_refused(static):
    with pytest.raises(ValueError, match=f"^{'max_bid' if 'max_bid' in static else next(iter(static))} must be"):
        make("first_price_auction", **static)


def test_markets_with_other_numbers_are_a_vmap():
    env, params = make("second_price_auction", num_agents=3)
    reserves = jnp.asarray([0.0, 0.5, 0.9])
    actives = jnp.asarray([[True] * 3, [True, True, False], [False, True, False]])
    markets = jax.vmap(lambda r, a: params.replace(reserve=r, active=a))(reserves, actives)
    state, action = env.initial(jnp.asarray([0.6, 0.8, 0.7]), params), jnp.asarray([0.6, 0.8, 0.7])
    _, reward, _, info = jax.vmap(lambda p: env.transition(state, action, (), p))(markets)
    np.testing.assert_allclose(info["price"], [0.7, 0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(reward, [[0, 0.1, 0], [0, 0.2, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(info["winner"], [1, 1, -1])

"""Expected utilities in discretised auctions, against the environment itself on every profile of types and bids."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.auctions import SealedBidAuction, SealedBidState
from jaxmarl.envs.auctions.interdependent import Affiliated, CommonValue, Wallet
from jaxmarl.envs.auctions.priors import Power, Uniform
from jaxmarl.solvers.auctions.bayes_nash import discretise

TYPES, BIDS = 2, 4
PAYMENTS = ("first_price", "second_price", "third_price", "all_pay", "war_of_attrition")


def random_strategies(auction, seed=0):
    weights = np.random.default_rng(seed).exponential(size=auction.shape)
    return jnp.asarray(weights / weights.sum(axis=-1, keepdims=True), jnp.float32) * auction.mass[..., None]


@jax.jit
def measure(auction, strategies):
    return auction.utility_of_bids(strategies), auction.revenue(strategies)


@functools.partial(jax.jit, static_argnames="env")
def play(env, params, state, bids):
    return jax.vmap(lambda s, a: env.transition(s, a, (), params)[1::2])(state, bids)


def enumerated(env, params, auction, strategies):
    """`[G, n, m]` and revenue, by playing every profile of latent numbers, types and bids in the environment."""
    levels = SealedBidAuction(env.payment, env.num_agents, env.prior, BIDS, float(auction.bids[-1]), env.tie_rule)
    n, groups = env.num_agents, auction.groups
    active = np.asarray(params.active)
    mass, posterior = np.asarray(auction.mass, float), np.asarray(auction.posterior, float)
    behaviour = np.asarray(strategies, float) / mass[..., None]
    weights = np.einsum("gn,gnw->gw", mass, posterior)[0]  # of the latent numbers
    num_latents = len(weights)
    likelihood = np.asarray(auction.likelihood, float)
    # every profile once, in one call
    kinds = np.array(list(itertools.product(range(num_latents), *[range(TYPES)] * n, *[range(BIDS)] * n)))
    latent, types, bids = kinds[:, 0], kinds[:, 1 : n + 1], kinds[:, n + 1 :]
    signals = np.asarray(auction.types)[np.array(groups), types]
    values = worth(params, signals, active, latent, auction)
    state = SealedBidState(jnp.asarray(signals, jnp.float32), jnp.asarray(values, jnp.float32))
    reward, info = play(levels, params, state, jnp.asarray(bids))
    reward, paid = np.asarray(reward, float), np.asarray(info["revenue"], float)
    chances = [likelihood[g, latent, types[:, i]] * behaviour[g, types[:, i], bids[:, i]] for i, g in enumerate(groups)]
    utility = np.zeros(auction.shape)
    for g in range(auction.shape[0]):
        i = next(j for j in range(n) if groups[j] == g and active[j])
        theirs = np.prod([chances[j] for j in range(n) if j != i], axis=0)
        own = posterior[g, types[:, i], latent]
        np.add.at(utility[g], (types[:, i], bids[:, i]), theirs * own * reward[:, i])
    revenue = np.sum(weights[latent] * np.prod(chances, axis=0) * paid)
    return utility, revenue


def worth(params, signals, active, latent, auction):
    prior, total = params.prior, (signals * active).sum(axis=1, keepdims=True)
    if prior.private:
        return signals
    if isinstance(prior, Wallet):
        return np.broadcast_to(total, signals.shape)
    if isinstance(prior, Affiliated):
        return np.broadcast_to(total / active.sum(), signals.shape)
    low, high = (prior.low, prior.high) if isinstance(prior, CommonValue) else (0.0, prior.scale)
    num_latents = auction.posterior.shape[-1]
    return np.broadcast_to((low + (high - low) * (latent[:, None] + 0.5) / num_latents), signals.shape)


def check(env, params, **options):
    auction = discretise(env, params, num_types=TYPES, num_bids=BIDS, num_latents=3, **options)
    strategies = random_strategies(auction)
    utility, revenue = enumerated(env, params, auction, strategies)
    got, got_revenue = measure(auction, strategies)
    np.testing.assert_allclose(got, utility, atol=2e-6)
    np.testing.assert_allclose(got_revenue, revenue, atol=2e-6)
    assert np.abs(utility).max() > 0.01
    return auction


@pytest.mark.parametrize("tie_rule", ["lose", "split"])
@pytest.mark.parametrize("payment", PAYMENTS)
def test_private_values_reserve_fee_and_risk(payment, tie_rule):
    env = SealedBidAuction(payment, 3, "power", tie_rule=tie_rule)
    params = env.default_params.replace(
        reserve=jnp.asarray(0.3), entry_fee=jnp.asarray(0.05), risk=jnp.full(3, 0.5), prior=Power.default(3)
    )
    auction = check(env, params, max_bid=0.9)
    assert auction.groups == (0, 0, 0)


@pytest.mark.parametrize("payment", ["first_price", "third_price"])
def test_unequal_bidders_one_of_them_inactive(payment):
    env = SealedBidAuction(payment, 4)
    params = env.default_params.replace(
        active=jnp.asarray([True, True, False, True]),
        risk=jnp.asarray([1.0, 0.5, 1.0, 1.0]),
        prior=Uniform(jnp.zeros(4), jnp.asarray([1.0, 2.0, 1.0, 1.0])),
    )
    auction = check(env, params, max_bid=1.5)
    assert auction.groups == (0, 1, 0, 0)
    np.testing.assert_array_equal(auction.counts, [2, 1])


@pytest.mark.parametrize(
    ("prior", "payment"),
    [
        ("wallet", "first_price"),
        ("affiliated", "second_price"),
        ("affiliated", "third_price"),
        ("mineral_rights", "third_price"),
        ("common_value", "first_price"),
        ("bernoulli_weights", "second_price"),
    ],
)
def test_values_that_others_know_something_of(prior, payment):
    env = SealedBidAuction(payment, 3, prior)
    check(env, env.default_params, max_bid=1.0)


def test_discretised_numbers_are_arrays_to_batch_over():
    env = SealedBidAuction("first_price", 2, tie_rule="lose")
    params = env.default_params
    reserves = jnp.asarray([0.0, 0.4])

    def utilities(reserve):
        auction = discretise(env, params.replace(reserve=reserve), num_types=4, max_bid=1.0, groups=(0, 0))
        return auction.utilities(auction.mass[..., None] * jnp.full(auction.shape, 1 / 4))

    batch = jax.jit(jax.vmap(utilities))(reserves)
    for reserve, utility in zip(reserves, batch, strict=True):
        np.testing.assert_allclose(utility, utilities(reserve), atol=1e-6)
    assert batch[0] != batch[1]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"num_types": 1}, "num_types must be an integer >= 2, got 1"),
        ({}, {"num_bids": 1}, "num_bids must be an integer >= 2, got 1"),
        (
            {},
            {"groups": (0, 2)},
            r"groups must be a group from 0 up for each of 2 bidders, none left out, got \(0, 2\)",
        ),
        ({"risk": jnp.asarray([1.0, 0.5])}, {"groups": (0, 0)}, "groups must be groups of bidders alike"),
        ({"prior": Wallet(jnp.ones(()))}, {}, "prior must be a Uniform"),
    ],
)
def test_refusals(change, options, message):
    env = SealedBidAuction("first_price", 2)
    with pytest.raises(ValueError, match=message):
        discretise(env, env.default_params.replace(**change), **options)


def test_refusals_of_what_has_no_such_form():
    env = SealedBidAuction("first_price", 2, "wallet")
    with pytest.raises(ValueError, match=r"params\.risk must be 1 where values depend on all signals"):
        discretise(env, env.default_params.replace(risk=jnp.full(2, 0.5)))
    env = SealedBidAuction("first_price", 2, smooth=True)
    with pytest.raises(ValueError, match=r"env\.smooth must be False"):
        discretise(env, env.default_params)
    env = SealedBidAuction("first_price", 2)
    with pytest.raises(ValueError, match="groups must be given inside jit"):
        jax.jit(lambda params: discretise(env, params))(env.default_params)

"""Reserves found by gradients through the environment are Myerson's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from jaxmarl.core import make
from jaxmarl.envs.auctions.equilibria import expected_revenue, virtual_value
from jaxmarl.envs.auctions.one_shot import common_law
from jaxmarl.solvers.auctions import equilibrium_bid, optimal_reserve
from jaxmarl.solvers.auctions.reserve import _sample_revenue

KEY = jax.random.key(0)
REVENUE = {2: 0.416667, 5: 0.671875}


def myerson(env, params):
    """Where the virtual value vanishes, and the revenue there."""
    active = np.flatnonzero(params.active)
    law = common_law(params.prior, active)
    reserve = brentq(lambda v: float(virtual_value(jnp.asarray(v), law)), 0.05, 0.95)
    return reserve, float(expected_revenue(law, len(active), reserve))


@pytest.mark.parametrize("name", ["first_price_auction", "second_price_auction"])
@pytest.mark.parametrize("n", REVENUE)
def test_uniform_values_have_the_reserve_one_half(name, n):
    env, params = make(name, num_agents=n)
    found = optimal_reserve(env, params, key=KEY)
    np.testing.assert_allclose(found.reserve, 0.5, atol=1e-2)
    np.testing.assert_allclose(found.revenue, REVENUE[n], atol=4e-3)
    assert abs(found.slope) < 1e-3
    assert (float(found.path[0]), found.path.shape) == (0.25, (100,))


def test_more_bidders_do_not_change_it():
    env, params = make("second_price_auction", num_agents=3)
    found = optimal_reserve(env, params, key=KEY)
    np.testing.assert_allclose([found.reserve, found.revenue], [0.5, 0.53125], atol=1e-2)


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("second_price_auction", "power"),
        ("first_price_auction", "power"),
        ("second_price_auction", "truncated_normal"),
    ],
)
def test_other_laws_have_the_reserve_at_which_virtual_values_vanish(name, prior):
    env, params = make(name, num_agents=3, prior=prior)
    params = params.replace(active=jnp.asarray([True, False, True]))
    size = 2**12 if prior == "truncated_normal" else 2**14
    reserve, revenue = myerson(env, params)
    if prior == "power":
        assert reserve == pytest.approx(3**-0.5, abs=1e-6)
    found = optimal_reserve(env, params, key=KEY, num_samples=size)
    np.testing.assert_allclose(found.reserve, reserve, atol=1e-2)
    np.testing.assert_allclose(found.revenue, revenue, atol=5e-3)


def test_one_bidder_is_asked_the_monopoly_price():
    env, params = make("second_price_auction", num_agents=1)
    found = optimal_reserve(env, params, key=KEY, num_samples=64)
    np.testing.assert_allclose([found.reserve, found.revenue], [0.5, 0.25], atol=1e-3)


def test_the_smoothed_auction_finds_it_from_truthful_bids():
    """Also with bidders of different laws, for whom one reserve serves all: `P(v1 < r) P(v2 >= r)` and so on."""
    env, params = make("second_price_auction", smooth=True)
    found = optimal_reserve(env, params, key=KEY, num_samples=2**15)
    np.testing.assert_allclose(found.reserve, 0.5, atol=1e-2)
    unequal = params.replace(prior=params.prior.replace(high=jnp.asarray([1.0, 2.0])))
    reserves = np.linspace(0, 2, 2001)
    sample = np.random.default_rng(0).random((2**16, 2)) * [1, 2]
    high, low = sample.max(axis=1), sample.min(axis=1)
    revenue = [np.where(high >= r, np.maximum(low, r), 0).mean() for r in reserves]
    found = optimal_reserve(env, unequal, key=KEY, num_samples=2**15)
    np.testing.assert_allclose(found.reserve, reserves[np.argmax(revenue)], atol=3e-2)


@pytest.mark.parametrize("name", ["first_price_auction", "second_price_auction"])
@pytest.mark.parametrize("reserve", [0.2, 0.7])
def test_gradients_are_unbiased(name, reserve):
    """Revenue `1/3 + r^2 - 4/3 r^3` of two bidders has slope `2 r - 4 r^2`: within 4 standard errors of 64 blocks."""
    env, params = make(name)
    blocks = jax.random.uniform(KEY, (64, 1024, 2))
    bid = equilibrium_bid(env, params)

    @jax.jit
    @jax.vmap
    def slope(block):
        return jax.value_and_grad(lambda r: _sample_revenue(env, params, bid, np.arange(2), (block, ()), r))(reserve)

    for got, wanted in zip(
        slope(blocks), (1 / 3 + reserve**2 - 4 / 3 * reserve**3, 2 * reserve - 4 * reserve**2), strict=True
    ):
        got = np.asarray(got, np.float64)
        np.testing.assert_allclose(got.mean(), wanted, atol=4 * got.std() / 8 + 1e-4)


def test_bids_may_be_any_function_of_signals_and_reserve():
    """Bidders who never bid above 0.6 leave no revenue above it: naive sellers lose from a higher reserve."""
    env, params = make("second_price_auction", smooth=True)
    found = optimal_reserve(env, params, lambda signals, reserve: 0.5 * signals, key=KEY)
    np.testing.assert_allclose(found.reserve, 0.25, atol=2e-2)


def test_what_does_not_fit_is_refused():
    def refused(argument, env, params, **options):
        with pytest.raises(ValueError, match=f"^{argument} must be"):
            optimal_reserve(env, params, key=KEY, **options)

    env, params = make("second_price_auction")
    refused("num_steps", env, params, num_steps=0)
    refused("start", env, params, start=2.0)
    refused("step_size", env, params, step_size=0.0)
    refused("active", env, params.replace(active=jnp.zeros(2, bool)))
    refused("env", env, params.replace(entry_fee=jnp.asarray(0.1)))
    refused("env", env, params.replace(prior=params.prior.replace(high=jnp.asarray([1.0, 2.0]))))
    refused("prior", *make("second_price_auction", prior="wallet"))
    refused("env", *make("all_pay_auction"))
    refused("bid", *make("third_price_auction", smooth=True))
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda p: optimal_reserve(env, p, key=KEY))(params)

"""Envy-free bids of position auctions: published examples, equality with VCG, envy-freeness of random markets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.auctions import PositionAuction, PrivateValues
from jaxmarl.solvers.auctions import envy, envy_free_bids

MARKETS = 256


def test_examples():
    """Edelman, Ostrovsky and Schwarz's; five bidders for three slots; bidders of unequal quality."""
    np.testing.assert_allclose(envy_free_bids(jnp.asarray([10.0, 4, 2]), jnp.asarray([200.0, 100])), [10, 3, 2])
    values, rates = jnp.asarray([10.0, 8, 6, 4, 2]), jnp.asarray([1, 0.6, 0.3])
    bids = envy_free_bids(values, rates)
    np.testing.assert_allclose(bids, [10, 6.2, 5, 4, 2], rtol=1e-6)
    assert float(jnp.sum(rates * bids[1:4])) == pytest.approx(10.4)
    quality = jnp.asarray([1, 0.5, 1, 2])
    scores = quality * envy_free_bids(jnp.asarray([6, 10, 4, 1.5]), jnp.asarray([1, 0.5]), quality)
    np.testing.assert_allclose(scores, [6, 4.5, 4, 3], rtol=1e-6)


@pytest.mark.parametrize(("bidders", "slots", "reserve"), [(3, 4, 0.0), (6, 3, 0.5)])
def test_random_markets_are_envy_free_pay_as_vcg_and_nobody_deviates(bidders, slots, reserve):
    rng = np.random.default_rng(bidders)
    values, quality = rng.random((MARKETS, bidders)), 0.5 + rng.random((MARKETS, bidders))
    rates = -np.sort(-rng.random((MARKETS, slots)), axis=1)
    values, quality, rates = (jnp.asarray(x, jnp.float32) for x in (values, quality, rates))
    bids = jax.vmap(envy_free_bids, (0, 0, 0, None))(values, rates, quality, reserve)
    assert np.asarray(jax.vmap(envy, (0, 0, 0, 0, None))(values, bids, rates, quality, reserve)).max() < 1e-6
    gsp, vcg = (PositionAuction(rule, bidders, slots) for rule in ("gsp", "vcg"))
    base = gsp.default_params.replace(reserve=jnp.asarray(reserve))

    def payments(env, v, b, x, e):
        params = base.replace(click_rates=x, quality=e)
        return env.transition(PrivateValues(v), b, (), params)[3]

    def deviations(v, b, x, e):
        params = base.replace(click_rates=x, quality=e)

        def reward(bid):
            return gsp.transition(PrivateValues(v), b.at[1].set(bid), (), params)[1][1]

        return jax.vmap(reward)(jnp.linspace(0, 2, 81)) - reward(b[1])

    got = jax.vmap(lambda *market: payments(gsp, *market))(values, bids, rates, quality)
    wanted = jax.vmap(lambda *market: payments(vcg, *market))(values, values, rates, quality)
    np.testing.assert_allclose(got["payments"], wanted["payments"], atol=2e-6)
    np.testing.assert_allclose(got["allocation"], wanted["allocation"], atol=1e-6)
    gains = np.asarray(jax.jit(jax.vmap(deviations))(values, bids, rates, quality))
    assert gains.max() < 1e-6
    assert gains.min() < -0.1


def test_bids_of_truth_are_not_envy_free():
    values, rates = jnp.asarray([10.0, 8, 6, 4, 2]), jnp.asarray([1, 0.6, 0.3])
    # the second pays 6 a click for 0.6 clicks; the first pays 8 for 1 and would rather have that
    assert float(envy(values, values, rates)) == pytest.approx(0.6 * (10 - 6) - (10 - 8))


def test_lower_bids_than_these_are_envied():
    values, rates = jnp.asarray([10.0, 8, 6, 4, 2]), jnp.asarray([1, 0.6, 0.3])
    bids = envy_free_bids(values, rates)
    for slot in (1, 2, 3):
        assert float(envy(values, bids.at[slot].add(-0.1), rates)) > 0.01


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("values", ([-1.0, 2.0], [1.0])),
        ("click_rates", ([1.0, 2.0], [0.5, 1.0])),
        ("click_rates", ([1.0, 2.0], [-0.5])),
        ("quality", ([1.0, 2.0], [1.0], [0.0, 1.0])),
        ("reserve", ([1.0, 2.0], [1.0], [1.0, 1.0], -1.0)),
    ],
)
def test_bad_numbers_are_refused(name, arguments):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        envy_free_bids(*(jnp.asarray(x) for x in arguments))

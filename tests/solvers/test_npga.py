"""Networks that learn to bid: pseudo-gradients, seeds in one batch, unequal bidders, interdependent values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.auctions import SealedBidAuction
from jaxmarl.envs.auctions.priors import Uniform
from jaxmarl.solvers.auctions.bayes_nash import NPGAConfig, npga

SHORT = NPGAConfig(num_iterations=300, num_samples=8, num_levels=32, num_pairs=16)
VALUES = (np.arange(256) + 0.5) / 256


def train(env, params, config, seeds, groups):
    fit = jax.jit(jax.vmap(lambda key: npga(env, params, key, config, groups=groups)))
    return fit(jax.random.split(jax.random.key(0), seeds))


def distances(results, n, slope):
    """Of each seed to `slope * value`."""
    signals = jnp.broadcast_to(jnp.asarray(VALUES)[:, None], (256, n))
    bids = jax.vmap(lambda result: result.bid_function()(signals)[:, 0])(results)
    return np.sqrt(np.mean((np.asarray(bids) - slope * VALUES) ** 2, axis=1))


@pytest.fixture(scope="module")
def pair():
    env = SealedBidAuction("first_price", 2)
    return train(env, env.default_params, SHORT, 2, (0, 0))


def test_first_price_in_a_short_run(pair):
    found = distances(pair, 2, 0.5)
    assert (found < 0.04).all()  # truthful bids, the start, are 0.29 away
    assert found[0] != found[1]
    np.testing.assert_allclose(pair.utilities[:, -20:].mean(axis=(1, 2)), 1 / 6, rtol=0.12)
    assert pair.utilities.shape == (2, 300, 1)
    assert (np.abs(pair.utilities[:, 0]) < 0.03).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5])
def test_first_price_over_five_seeds(n):
    env = SealedBidAuction("first_price", n)
    results = train(env, env.default_params, NPGAConfig(), 5, (0,) * n)
    assert distances(results, n, (n - 1) / n).max() < 0.01


@pytest.mark.slow
def test_unequal_bidders_have_networks_of_their_own():
    env = SealedBidAuction("first_price", 2)
    params = env.default_params.replace(prior=Uniform(jnp.zeros(2), jnp.asarray([1.0, 2.0])))
    result = npga(env, params, jax.random.key(0), NPGAConfig(num_iterations=600))
    assert result.groups == (0, 1)
    signals = jnp.asarray(VALUES[:, None] * np.array([1.0, 2.0]), jnp.float32)
    bids, exact = result.bid_function()(signals), env.benchmarks(params)["bid"](signals)
    assert (np.sqrt(np.mean((bids - exact) ** 2, axis=0)) < 0.03).all()


@pytest.mark.slow
def test_second_price_with_a_common_value():
    env = SealedBidAuction("second_price", 3, "mineral_rights")
    params = env.default_params
    result = npga(env, params, jax.random.key(0), NPGAConfig(num_iterations=600))
    signals = jnp.broadcast_to(jnp.asarray(2 * VALUES)[:, None], (256, 3))
    bids, exact = result.bid_function()(signals)[:, 0], env.benchmarks(params)["bid"](signals)[:, 0]
    inner = VALUES < 0.75
    assert np.sqrt(np.mean((bids - exact)[inner] ** 2)) < 0.05


def test_bids_are_not_negative_and_runs_repeat(pair):
    first = jax.tree.map(lambda leaf: leaf[0], pair)
    assert (first.bid_function()(jnp.linspace(-1.0, 2.0, 100)[:, None] * jnp.ones(2)) >= 0).all()
    env = SealedBidAuction("first_price", 2)
    again = train(env, env.default_params, SHORT, 2, (0, 0))
    np.testing.assert_array_equal(again.parameters, pair.parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_pairs": 0}, "num_pairs must be an integer >= 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"perturbation": -1.0}, "perturbation must be positive, got -1.0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        NPGAConfig(**options)


def test_groups_are_checked():
    env = SealedBidAuction("first_price", 2)
    params = env.default_params.replace(risk=jnp.asarray([1.0, 0.5]))
    with pytest.raises(ValueError, match="groups must be groups of bidders alike"):
        npga(env, params, jax.random.key(0), SHORT, groups=(0, 0))

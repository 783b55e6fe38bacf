"""Quantile laws, ties, and distances between laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.distributional.law import Law, cdf, mean, quantiles, variance
from jaxmarl.distributional.metrics import cramer, energy_kernel, gaussian_kernel, mmd_squared, wasserstein
from jaxmarl.distributional.quantile import Quantile, midpoint_levels, to_quantiles, uniform_quantile

X, P = np.array([-4.0, -1, 0, 2, 5]), np.array([0.1, 0.2, 0.3, 0.25, 0.15])
Y, Q = np.array([-2.0, 1, 3]), np.array([0.3, 0.4, 0.3])


@jax.jit
def distances(first, second):
    return {
        "w1": wasserstein(first, second),
        "w2": wasserstein(first, second, 2),
        "w_inf": wasserstein(first, second, np.inf),
        "l1": cramer(first, second, 1),
        "l2": cramer(first, second),
        "energy": mmd_squared(first, second, energy_kernel),
        "gaussian": mmd_squared(first, second, gaussian_kernel()),
    }


def test_distances_of_two_known_laws():
    shuffled = np.array([3, 0, 4, 1, 2])  # atoms may come in any order
    with jax.enable_x64(True):
        first = Law(jnp.asarray(X[shuffled]), jnp.asarray(P[shuffled]))
        found = jax.tree.map(np.asarray, distances(first, Law(jnp.asarray(Y), jnp.asarray(Q))))
    expected = {"w1": 1.25, "w2": 1.32287566, "w_inf": 2, "l1": 1.25, "energy": 0.455}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=5e-9, err_msg=name)
    np.testing.assert_allclose(found["l2"], 0.4769696, atol=5e-8)
    np.testing.assert_allclose(found["l2"] ** 2, 0.2275, atol=1e-12)  # half of the energy distance, by hand
    np.testing.assert_allclose(found["energy"], 2 * found["l2"] ** 2, atol=1e-12)

    def k(a, b):
        return sum(np.exp(-((a[:, None] - b) ** 2) / width) for width in range(1, 11))

    discrepancy = P @ k(X, X) @ P - 2 * P @ k(X, Y) @ Q + Q @ k(Y, Y) @ Q
    np.testing.assert_allclose(found["gaussian"], discrepancy, atol=1e-12)


def test_distances_in_float32_between_laws_whose_running_sums_differ_by_rounding():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    moved = np.where(np.arange(1000) == 7, values + 0.5, values + 0.25)

    def far_apart(first, second):
        return wasserstein(first, second), wasserstein(first, second, np.inf)

    mean_distance, largest = jax.jit(far_apart)(
        Quantile(jnp.asarray(values), jnp.full(1000, 1e-3)), Law(jnp.asarray(moved), jnp.full(1000, 1e-3))
    )
    np.testing.assert_allclose(mean_distance, 0.25025, atol=1e-5)
    ordered = np.abs(np.sort(moved) - np.sort(values)).max()
    np.testing.assert_allclose(largest, ordered, atol=1e-6)


@jax.jit
def described(law, pair):
    """What is asked of quantile laws."""
    return {
        "levels": law.levels,
        "mean": mean(law),
        "variance": variance(law),
        "cdf": cdf(law, 0.5),
        "left": quantiles(law, jnp.array([0.25, 0.3])),
        "right": quantiles(law, 0.75, "right"),
        "backup": law.backup(1.0, 0.5).values[0],
        "lopsided": pair.mixture(jnp.array([0.9, 0.1])).values,
        "mixed left": pair.mixture(jnp.array([0.5, 0.5]), "left").values,
        "mixed mid": pair.mixture(jnp.array([0.5, 0.5])).values,
        "mixed right": pair.mixture(jnp.array([0.5, 0.5]), "right").values,
        "midpoints": midpoint_levels(4),
    }


def test_quantile_laws_order_their_values_and_mix_as_wholes():
    law = Quantile(jnp.array([[2.0, -1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 8.0]]), jnp.full(4, 0.25))
    found = described(law, uniform_quantile(jnp.array([[0.0, 1.0], [10.0, 11.0]])))
    expected = {
        "levels": [0.125, 0.375, 0.625, 0.875],
        "midpoints": [0.125, 0.375, 0.625, 0.875],
        "mean": [0.5, 2],
        "variance": [1.25, 12],
        "cdf": [0.5, 0.75],
        "left": [[-1, 0], [0, 0]],
        "right": [2, 8],
        "backup": [2, 0.5, 1.5, 1],
        "lopsided": [0, 1],
        "mixed left": [0, 10],
        "mixed mid": [0.5, 10.5],
        "mixed right": [1, 11],
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_midpoint_quantiles_are_nearest_in_w1():
    law = Law(jnp.asarray(X, jnp.float32), jnp.asarray(P, jnp.float32))

    @jax.jit
    def away(shifts):
        best = to_quantiles(law, 4).values
        return best, jax.vmap(lambda shift: wasserstein(law, uniform_quantile(best + shift)))(shifts)

    best, found = away(0.1 * np.concatenate([np.zeros((1, 4)), np.eye(4), -np.eye(4)]).astype(np.float32))
    np.testing.assert_allclose(best, [-1, 0, 2, 5])
    assert np.all(found[1:] >= found[0] - 1e-6)


def test_wrong_order_is_refused():
    law = uniform_quantile(jnp.zeros(2))
    with pytest.raises(ValueError, match="order"):
        wasserstein(law, law, 0.5)
    with pytest.raises(ValueError, match="order"):
        cramer(law, law, np.inf)
    with pytest.raises(ValueError, match="bandwidths"):
        gaussian_kernel((0.0,))

"""Matchings inside jit against scipy's assignment, on random rectangular and masked instances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxmarl.envs.dispatch import greedy_matching, matching_value, optimal_matching

SHAPES = [(5, 12), (12, 5)]
BATCH = 40


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def instances(request):
    """Values, masks, and both matchings of each, by one program a shape."""
    rng = np.random.default_rng(request.param[0])
    value = rng.normal(size=(BATCH, *request.param)).astype(np.float32)
    allowed = rng.random(value.shape) < np.linspace(0.1, 1.0, BATCH)[:, None, None]
    value[BATCH // 2 :] = np.round(3 * value[BATCH // 2 :])  # many ties

    @jax.jit
    @jax.vmap
    def solve(value, allowed):
        matches = optimal_matching(value, allowed), greedy_matching(value, allowed)
        return matches, tuple(matching_value(value, match) for match in matches)

    matches, values = jax.tree.map(np.asarray, solve(value, allowed))
    best = np.array(
        [
            worth(v, a)[linear_sum_assignment(worth(v, a), maximize=True)].sum()
            for v, a in zip(value, allowed, strict=True)
        ]
    )
    return value, allowed, matches, values, best


def worth(value, allowed):
    return np.where(allowed, np.maximum(value, 0), 0).astype(np.float64)


def test_optimal_value(instances):
    _, _, _, (optimal, _), best = instances
    np.testing.assert_allclose(optimal, best, rtol=1e-5)


def test_greedy_value(instances):
    """At least half of the best, and the pairs of a loop over sorted values."""
    value, allowed, (_, match), (_, greedy), best = instances
    assert (greedy >= best / 2 - 1e-5).all()
    assert (greedy <= best + 1e-4).all()
    for k in range(0, BATCH, 4):
        expected, w = np.full(value.shape[1], -1), worth(value[k], allowed[k])
        for flat in np.argsort(-w, axis=None, kind="stable"):
            i, j = divmod(int(flat), w.shape[1])
            if w[i, j] > 0 and expected[i] < 0 and j not in expected:
                expected[i] = j
        np.testing.assert_array_equal(match[k], expected)


def test_matchings_are_matchings(instances):
    value, allowed, matches, _, _ = instances
    for match in matches:
        for k in range(BATCH):
            rows = np.flatnonzero(match[k] >= 0)
            assert len(set(match[k][rows])) == len(rows)
            assert allowed[k][rows, match[k][rows]].all()
            assert (value[k][rows, match[k][rows]] > 0).all()


def test_optimal_beats_greedy():
    value = jnp.array([[3.0, 2.0], [2.0, 0.0]])
    optimal, greedy = jax.jit(lambda x: (optimal_matching(x), greedy_matching(x)))(value)
    np.testing.assert_array_equal(optimal, [1, 0])
    np.testing.assert_array_equal(greedy, [0, -1])

"""The order of minibatches."""

import jax
import numpy as np
from scipy import stats

from jaxmarl.learners.value.pqn import shuffled


def test_every_order_is_as_likely_as_any_other():
    orders = np.asarray(jax.vmap(lambda key: shuffled(key, 4))(jax.random.split(jax.random.key(0), 24_000)))
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.broadcast_to(np.arange(4), orders.shape))
    _, counts = np.unique(orders @ 4 ** np.arange(4), return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3

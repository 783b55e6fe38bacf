"""Helpers of the tests of one-shot auctions: play given values and bids, even samples, deviations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

from jaxmarl.envs.auctions import PrivateValues


@partial(jax.jit, static_argnums=0)
def play(env, params, values, bids):
    """Rewards and info of independent auctions, leading axis of `values` and `bids`; ties are split."""
    return jax.vmap(lambda v, b: env.transition(PrivateValues(v), b, (), params)[1::2])(values, bids)


def even(dimensions, log2_size=14):
    """Scrambled Sobol points of the unit cube: means are good to about 1e-4, where random ones would give 5e-3."""
    return jnp.asarray(qmc.Sobol(dimensions, seed=0).random_base2(log2_size), jnp.float32)


def means(info):
    """Mean of each measurement, in float64."""
    return {name: np.asarray(x, np.float64).mean(axis=0) for name, x in info.items()}


@partial(jax.jit, static_argnums=(0, 2))
def gains_of_deviations(env, params, bidder, values, bids, own_bids):
    """`[R, D]`: what a bidder's other bids gain over `bids`, for each of `R` values and bids of everybody.

    Args:
        env: auction.
        params: of it.
        bidder: who deviates.
        values: `[R, N, ...]`.
        bids: `[R, N, ...]`, of everybody, the bidder included.
        own_bids: `[R, D, ...]`, what it might bid instead.
    """

    def reward(v, b):
        return env.transition(PrivateValues(v), b, (), params)[1][bidder]

    def row(v, b, others):
        return jax.vmap(lambda own: reward(v, b.at[bidder].set(own)))(others) - reward(v, b)

    return jax.vmap(row)(values, bids, own_bids)

"""How much a bidder could gain by other bids, for any bid functions in the auction with continuous bids."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.auctions.sealed_bid import SealedBidAuction, SealedBidParams, SealedBidState
from jaxmarl.solvers.auctions.bayes_nash.sampling import (
    shifted_lattice,
    signals_given_own,
    signals_of_all,
    signals_of_one,
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BestResponseLoss:
    """What bid functions earn and what best responses to them would, before signals are known. A pytree.

    Attributes:
        utilities: `[K]`, of each bidder looked at.
        best_utilities: `[K]`, with the best bid of a grid (or the own one) at each signal.
        losses: `[K]`, the difference.
        relative_losses: `[K]`, as a share of `best_utilities`, or of 1e-4 of the highest bid of the grid, where that is
            more.
        signals, gains: `[K, R]`, the signals looked at, and what the best bid adds there.
    """

    utilities: Float[Array, " K"]
    best_utilities: Float[Array, " K"]
    losses: Float[Array, " K"]
    relative_losses: Float[Array, " K"]
    signals: Float[Array, "K R"]
    gains: Float[Array, "K R"]


def best_response_loss(
    env: SealedBidAuction,
    params: SealedBidParams,
    bid: Callable[[Array], Array],
    key: Array,
    *,
    bidders: tuple[int, ...] | None = None,
    num_signals: int = 128,
    num_samples: int = 1024,
    num_bids: int = 128,
    max_bid: float | Array | None = None,
    chunk_size: int = 32,
) -> BestResponseLoss:
    """The estimated utility loss of bid functions: `E_x[max_b u(b | x)] - E_x[u(bid(x) | x)]`, bidder by bidder.

    At each of `num_signals` signals of a bidder, the others' signals (and the value, where it is not the signal) are
    drawn from their law *given that signal*, exactly: all priors of these environments are independent given one latent
    number whose conditional law is known. So what a signal says of the value and of the others' bids is accounted for,
    the winner's curse included. Every bid of the grid meets the same draws in the environment itself.

    The maximum over a grid of sample means is biased upwards by their noise, which evenly spread draws keep small, and
    downwards by the distance to the nearest bid of the grid; equilibria show losses of about 1e-3 at the default sizes.

    Args:
        env: the auction. Its bids are taken to be continuous, and `"random"` ties are split.
        params: its numbers.
        bid: from signals `[..., N]` to bids `[..., N]`; a `jax.tree_util.Partial` with arrays is compiled once.
        key: of the shifts of the draws.
        bidders: whose losses, None for all; where bidders are alike, one of them is enough.
        num_signals: `R`.
        num_samples: draws of the others for each signal.
        num_bids: of the grid, besides the bid that is played.
        max_bid: the highest of them; None for just above the highest bid of a sample.
        chunk_size: bids of the grid in memory at once, each with `num_samples * N` numbers.

    Raises:
        ValueError: sizes that are not positive, bidders that do not exist, a prior whose law is not known.
    """
    for name, size in (("num_signals", num_signals), ("num_samples", num_samples), ("num_bids", num_bids)):
        require_int(name, size, 1)
    require_int("chunk_size", chunk_size, 1)
    chosen = tuple(range(env.num_agents)) if bidders is None else bidders
    require(len(chosen) > 0 and set(chosen) <= set(range(env.num_agents)), "bidders", bidders, "indices of bidders")
    bid = bid if isinstance(bid, Partial) else Partial(bid)
    env = dataclasses.replace(
        env, num_bid_levels=None, tie_rule="lose" if env.tie_rule == "lose" else "split", max_bid=float("inf")
    )
    top = None if max_bid is None else jnp.asarray(max_bid, float)
    sizes = (num_signals, num_samples, num_bids, min(chunk_size, num_bids))
    return _losses(env, params, bid, key, top, np.asarray(chosen), sizes)


@functools.partial(jax.jit, static_argnames=("env", "sizes"))
def _losses(
    env: SealedBidAuction,
    params: SealedBidParams,
    bid: Partial,
    key: Array,
    max_bid: Float[Array, ""] | None,
    bidders: Array | np.ndarray,
    sizes: tuple[int, int, int, int],
) -> BestResponseLoss:
    num_signals, num_samples, num_bids, chunk_size = sizes
    n = env.num_agents
    pilot_key, own_key, other_key = jax.random.split(key, 3)
    if max_bid is None:
        pilot, _ = signals_of_all(params, shifted_lattice(pilot_key, num_samples, n + 1))
        max_bid = 1.001 * jnp.max(bid(pilot)) + 1e-3 * jnp.max(pilot)
    grid = jnp.linspace(0.0, max_bid, num_bids)

    def at_signal(bidder: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        """Utility of the bid that is played, and of the best one."""
        signal, sample_key = inputs
        uniform = shifted_lattice(sample_key, num_samples, n)
        signals, values = signals_given_own(params, bidder, signal, uniform)
        bids = bid(signals)

        def utility(own: Float[Array, ""]) -> Float[Array, ""]:
            def reward(signals, value, bids):
                state = SealedBidState(signals, jnp.broadcast_to(value, (n,)))
                return env.transition(state, bids.at[bidder].set(own), (), params)[1][bidder]

            return jnp.mean(jax.vmap(reward)(signals, values, bids))

        own = jnp.full(-num_bids % chunk_size or chunk_size, bids[0, bidder])  # at least once, and whole chunks
        tried = jnp.concatenate([grid, own]).reshape(-1, chunk_size)
        earned = jax.lax.map(jax.vmap(utility), tried).ravel()
        return earned[-1], earned.max()

    def of_bidder(bidder: Array) -> tuple[Array, Array, Array]:
        drawn = signals_of_one(params, bidder, shifted_lattice(own_key, num_signals, 2))
        keys = jax.random.split(other_key, num_signals)
        earned, best = jax.lax.map(functools.partial(at_signal, bidder), (drawn, keys))
        return drawn, earned, best

    signals, earned, best = jax.lax.map(of_bidder, jnp.asarray(bidders))
    utilities, best_utilities = earned.mean(axis=1), best.mean(axis=1)
    losses = best_utilities - utilities
    relative = losses / jnp.maximum(best_utilities, 1e-4 * max_bid)
    return BestResponseLoss(utilities, best_utilities, losses, relative, signals, best - earned)

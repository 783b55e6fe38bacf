"""Who wins with which bid, and at which price, against rivals whose bids are independent given a latent number."""

import math

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float


@struct.dataclass
class Rivals:
    """Distributions of the bids that a bidder of group `g` meets: `exponents[g, h]` rivals from group `h`.

    Attributes:
        pmf: `[H, W, m]`, of one bid of each group, given the latent number; the rest to 1 takes no part.
        below: `[H, W, m]`, probability of a lower bid or of none.
        absent: `[H, W]`, of none.
        exponents: `[G, H]`.
        wins: `[G, W, m]`, probability of winning with each bid, shares of ties included.
        ties_win: whether equal bids share the item.
        nodes, node_weights: `[Q]`, of the integral that shares ties: see `rivals_of`.
        signals, signals_below: `[H, W, m]`, expected signal of one rival where it bids so, and where it bids less or
            not at all; None unless values depend on them.
    """

    pmf: Float[Array, "H W m"]
    below: Float[Array, "H W m"]
    absent: Float[Array, "H W"]
    exponents: Float[Array, "G H"]
    wins: Float[Array, "G W m"]
    ties_win: bool = struct.field(pytree_node=False)
    nodes: tuple[float, ...] = struct.field(pytree_node=False)
    node_weights: tuple[float, ...] = struct.field(pytree_node=False)
    signals: Float[Array, "H W m"] | None = None
    signals_below: Float[Array, "H W m"] | None = None

    def signals_if_win(self) -> Float[Array, "G W m"]:
        """The expected sum of the rivals' signals, times the indicator of winning, for each bid."""
        assert self.signals is not None
        assert self.signals_below is not None
        total = jnp.zeros_like(self.wins)
        for node, weight in zip(self.nodes, self.node_weights, strict=True):
            rest = without_one(self.below + node * self.pmf, self.exponents)
            theirs = self.signals_below + node * self.signals
            total += weight * jnp.einsum("gh,hwm,ghwm->gwm", self.exponents, theirs, rest, precision="highest")
        return total


def rivals_of(
    pmf: Float[Array, "G W m"],
    counts: Float[Array, " G"],
    ties_win: bool,
    num_bidders: int,
    signals: Float[Array, "G W m"] | None = None,
    mean_signals: Float[Array, "G W"] | None = None,
) -> Rivals:
    """What a bidder of each group meets.

    A bid that ties with `T` of its rivals wins with probability `1 / (T + 1)`, which is the integral of `z^T` over
    `[0, 1]`; so the chance of winning is the integral of `prod_j (below_j + z tied_j)`, a polynomial of degree
    `num_bidders - 1` that Gauss-Legendre sums integrate exactly. If ties lose, `z` is 0.

    Args:
        pmf: of one bid of each group, given the latent number.
        counts: bidders of each group.
        ties_win: whether equal bids share the item.
        num_bidders: of all groups, at most.
        signals: expected signal of a bidder times the indicator of its bid.
        mean_signals: the expected signal, whatever it bids.
    """
    nodes, weights = (0.0,), (1.0,)
    if ties_win:
        points, masses = np.polynomial.legendre.leggauss(math.ceil(num_bidders / 2))
        nodes, weights = tuple((points + 1) / 2), tuple(masses / 2)
    absent = jnp.maximum(1 - pmf.sum(axis=-1), 0)
    below = absent[..., None] + _sum_before(pmf)
    exponents = jnp.maximum(counts - jnp.eye(len(counts)), 0)
    wins = jnp.zeros_like(below)
    for node, weight in zip(nodes, weights, strict=True):
        wins += weight * of_all(below + node * pmf, exponents)
    signals_below = None
    if signals is not None and mean_signals is not None:
        signals_below = (mean_signals - signals.sum(axis=-1))[..., None] + _sum_before(signals)
    return Rivals(pmf, below, absent, exponents, wins, ties_win, nodes, weights, signals, signals_below)


def of_all(chances: Float[Array, "H W m"], exponents: Float[Array, "*G H"]) -> Float[Array, "*G W m"]:
    """`prod_h chances[h] ** exponents[..., h]`: the chance that the same thing happens to all rivals."""
    return jnp.prod(chances ** exponents[..., None, None], axis=-3)


def without_one(chances: Float[Array, "H W m"], exponents: Float[Array, "G H"]) -> Float[Array, "G H W m"]:
    """The same for all but one rival, of group `h`."""
    fewer = jnp.maximum(exponents[:, None, :] - jnp.eye(len(chances)), 0)
    return of_all(chances, fewer)


def priced_utility(
    rivals: Rivals, rank: int, gains: Float[Array, "G n W m"], reserve_gains: Float[Array, "G n W"]
) -> Float[Array, "G n m"]:
    """Expected utility of winning with each bid at a price that is the own bid or the `rank`-th highest rival bid.

    Args:
        rivals: what is met.
        rank: 0 for the own bid, 1 or 2.
        gains: utility of winning at each price, times the probability of the latent number.
        reserve_gains: the same where fewer than `rank` rivals bid.
    """
    if rank == 0:
        return jnp.einsum("gwm,gnwm->gnm", rivals.wins, gains, precision="highest")
    # distribution function of one rival's bid at each level, before them that of not bidding
    reached = jnp.concatenate([rivals.absent[..., None], rivals.below + rivals.pmf], axis=-1)
    ladder = jnp.concatenate([reserve_gains[..., None], gains], axis=-1)
    together = of_all(reached, rivals.exponents)
    if rank == 1:
        cheaper = together[..., :-1]
        steps = jnp.diff(together, axis=-1, prepend=0)
        won = jnp.cumsum(jnp.einsum("gwm,gnwm->gnm", steps, ladder, precision="highest"), axis=-1)[..., :-1]
    else:
        cheaper, won = _at_second_rival(rivals, reached, together, ladder)
    # The rest of the chance of winning is at a price of the own bid: at least one rival has bid the same.
    return won + jnp.einsum("gwm,gnwm->gnm", rivals.wins - cheaper, gains, precision="highest")


def _at_second_rival(
    rivals: Rivals, reached: Float[Array, "H W m1"], together: Float[Array, "G W m1"], ladder: Float[Array, "G n W m1"]
) -> tuple[Float[Array, "G W m"], Float[Array, "G n m"]]:
    """Chance of winning at a price below each bid `b`, and expected gain there, if the second highest rival pays.

    That rival is at most at `p`, and the highest below `b`: all are at most at `p`, or all but one, who is between.
    To this comes half of a tie with one rival.
    """
    rest = without_one(reached, rivals.exponents)  # [G, H, W, m + 1]
    alike = rivals.exponents[..., None, None]
    first = rivals.below + (0.5 * rivals.pmf if rivals.ties_win else 0)
    # `P(second <= p, highest < b)` is a sum of products of a function of `p` and one of `b`
    by_price = [together - jnp.sum(alike * reached * rest, axis=1), *jnp.moveaxis(alike * rest, 1, 0)]
    by_bid = [jnp.ones_like(first[0]), *first]
    cheaper, won = jnp.zeros_like(rivals.wins), jnp.zeros_like(ladder[:, :, 0, :-1])
    for price, bid in zip(by_price, by_bid, strict=True):
        cheaper += price[..., :-1] * bid
        steps = jnp.diff(price, axis=-1, prepend=0)[:, None]
        won += jnp.sum(bid * jnp.cumsum(steps * ladder, axis=-1)[..., :-1], axis=2)
    return cheaper, won


def _sum_before(terms: Float[Array, "*rows m"]) -> Float[Array, "*rows m"]:
    return jnp.cumsum(terms, axis=-1) - terms

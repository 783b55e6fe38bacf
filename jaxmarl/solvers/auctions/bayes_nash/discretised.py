"""A sealed-bid auction with finitely many types and bids, and the expected utility of every bid in it."""

import functools
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.auctions.mechanism import crra
from jaxmarl.envs.auctions.sealed_bid import SealedBidAuction, SealedBidParams
from jaxmarl.solvers.auctions.bayes_nash.groups import checked_groups, is_concrete
from jaxmarl.solvers.auctions.bayes_nash.signals import SignalLaw, signal_law
from jaxmarl.solvers.auctions.bayes_nash.winning import Rivals, priced_utility, rivals_of

Strategies: TypeAlias = Float[Array, "G n m"]
"""Distributional strategies: the joint probabilities of types and bids, whose rows sum to the types' probabilities."""

LOSERS_PAY = ("all_pay", "war_of_attrition")
PRICE_RANK = {"first_price": 0, "all_pay": 0, "second_price": 1, "war_of_attrition": 1, "third_price": 2}
"""Which of the others' bids the winner pays: the highest, the second highest, or (0) its own instead."""
LARGEST_BID = {"third_price": 2.0, "war_of_attrition": 3.0}  # in units of the largest value, 1 elsewhere


@struct.dataclass
class DiscretisedAuction:
    """The auction between `G` groups of bidders alike, on `n` types and `m` bids; make it with `discretise`.

    Given a latent number (`W` of them; a single one under independent private values) types are independent, so that
    expected utilities are sums over bids, latent numbers and types, never over profiles. ex-ante utility is linear
    in a group's own strategy: `sum(strategy * utility_of_bids)`.

    Attributes:
        types: `[G, n]`, signals at the middles of equal cells.
        mass: `[G, n]`, their probabilities.
        bids: `[m]`, from 0 up in equal steps.
        likelihood: `[G, W, n]`, probabilities of types given latent numbers.
        posterior: `[G, n, W]`, of latent numbers given types.
        gains: `[G, n, W, m]`, utility of getting the item at a price of each bid, times `posterior`.
        reserve_gains: `[G, n, W]`, the same at the reserve price.
        losses: `[G, m]`, utility of a bid that does not win.
        spillover: what a unit of another bidder's signal adds to the value.
        accepted: `[m]`, which bids take part.
        counts: `[G]`, active bidders of each group.
        prices, losers_pay: `[m]`, what the bid costs as a price, and if it loses; fees included.
        reserve_price: fee included.
        groups: of each bidder of the auction.
        payment: of the auction.
        ties_win: whether equal bids share the item.
        additive: whether `spillover` is not zero.
    """

    types: Float[Array, "G n"]
    mass: Float[Array, "G n"]
    bids: Float[Array, " m"]
    likelihood: Float[Array, "G W n"]
    posterior: Float[Array, "G n W"]
    gains: Float[Array, "G n W m"]
    reserve_gains: Float[Array, "G n W"]
    losses: Float[Array, "G m"]
    spillover: Float[Array, ""]
    accepted: Bool[Array, " m"]
    counts: Float[Array, " G"]
    prices: Float[Array, " m"]
    losers_pay: Float[Array, " m"]
    reserve_price: Float[Array, ""]
    groups: tuple[int, ...] = struct.field(pytree_node=False)
    payment: str = struct.field(pytree_node=False)
    ties_win: bool = struct.field(pytree_node=False)
    additive: bool = struct.field(pytree_node=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, types, bids."""
        groups, types = self.types.shape
        return groups, types, self.bids.size

    def utility_of_bids(self, strategies: Strategies) -> Float[Array, "G n m"]:
        """Expected utility of each bid of each type, given the others' strategies: the gradient of ex-ante utility."""
        return self._expected(strategies, self.gains, self.reserve_gains, self.losses, self.additive)

    def utilities(self, strategies: Strategies) -> Float[Array, " G"]:
        """Of a bidder of each group before it knows its type; 0 for groups without active bidders."""
        return jnp.sum(strategies * self.utility_of_bids(strategies), axis=(1, 2))

    def best_response(self, utility: Float[Array, "G n m"]) -> Strategies:
        """The strategies that put each type on its best bid (the lowest of equals)."""
        best = jax.nn.one_hot(jnp.argmax(utility, axis=-1), self.bids.size, dtype=utility.dtype)
        return best * self.mass[..., None]

    def utility_losses(self, strategies: Strategies) -> tuple[Float[Array, " G"], Float[Array, " G"]]:
        """Each group's ex-ante utility, and that of its best response to the others."""
        utility = self.utility_of_bids(strategies)
        return jnp.sum(strategies * utility, axis=(1, 2)), jnp.sum(self.mass * utility.max(axis=-1), axis=1)

    def revenue(self, strategies: Strategies) -> Float[Array, ""]:
        """Expected payments of all bidders, fees included."""
        gains = -self.posterior[..., None] * self.prices
        reserve_gains = -self.posterior * self.reserve_price
        losses = jnp.broadcast_to(-self.losers_pay, self.losses.shape)
        paid = -self._expected(strategies, gains, reserve_gains, losses, False)
        return jnp.sum(self.counts * jnp.sum(strategies * paid, axis=(1, 2)))

    def mean_bids(self, strategies: Strategies) -> Float[Array, "G n"]:
        """Of each type; bids that the auction refuses count as 0."""
        return jnp.sum(self._behaviour(strategies) * jnp.where(self.accepted, self.bids, 0), axis=-1)

    def bid_function(self, strategies: Strategies) -> Partial:
        """The mean bids as a function from signals `[..., N]` to bids `[..., N]`, linear between types."""
        bidders = np.asarray(self.groups)
        return Partial(_interpolate, self.types[bidders], self.mean_bids(strategies)[bidders])

    def _behaviour(self, strategies: Strategies) -> Float[Array, "G n m"]:
        possible = self.mass > 0
        return strategies * jnp.where(possible, 1 / jnp.where(possible, self.mass, 1), 0)[..., None]

    def _expected(
        self,
        strategies: Strategies,
        gains: Float[Array, "G n W m"],
        reserve_gains: Float[Array, "G n W"],
        losses: Float[Array, "G m"],
        additive: bool,
    ) -> Float[Array, "G n m"]:
        rivals = self._rivals(strategies)
        rank = PRICE_RANK[self.payment]
        won = priced_utility(rivals, rank, gains, reserve_gains)
        wins = jnp.einsum("gnw,gwm->gnm", self.posterior, rivals.wins, precision="highest")
        if additive:
            known = jnp.einsum("gnw,gwm->gnm", self.posterior, rivals.signals_if_win(), precision="highest")
            won = won + self.spillover * known
        utility = won + (1 - wins) * losses[:, None, :]
        takes_part = self.accepted & (self.counts[:, None, None] > 0)
        return jnp.where(takes_part, utility, 0)

    def _rivals(self, strategies: Strategies) -> Rivals:
        """What groups know of the bids they meet, for each latent number."""
        behaviour = self._behaviour(strategies) * self.accepted
        pmf = jnp.einsum("gwn,gnm->gwm", self.likelihood, behaviour, precision="highest")
        signals = means = None
        if self.additive:
            signals = jnp.einsum("gwn,gn,gnm->gwm", self.likelihood, self.types, behaviour, precision="highest")
            means = jnp.einsum("gwn,gn->gw", self.likelihood, self.types, precision="highest")
        return rivals_of(pmf, self.counts, self.ties_win, len(self.groups), signals, means)


def _interpolate(types: Float[Array, "N n"], means: Float[Array, "N n"], signals: Array) -> Array:
    return jax.vmap(jnp.interp, in_axes=(-1, 0, 0), out_axes=-1)(signals, types, means)


def discretise(
    env: SealedBidAuction,
    params: SealedBidParams,
    *,
    num_types: int = 64,
    num_bids: int | None = None,
    max_bid: float | Array | None = None,
    num_latents: int = 64,
    groups: tuple[int, ...] | None = None,
) -> DiscretisedAuction:
    """Cuts the signals of an auction into cells and its bids into levels.

    Works inside `jit` and `vmap` over `params` if `groups` is given.

    Args:
        env: the auction: rule of payment, number of bidders, tie rule. `"random"` ties have the same expected utility
            as `"split"` ones. Its own bid levels are used if it has any.
        params: its numbers. Values that depend on the others' signals need risk-neutral bidders.
        num_types: cells of each bidder's signals.
        num_bids: levels, 0 included; None for those of `env`, or as many as types.
        max_bid: the highest level; None for that of `env`, where it has levels, else for the largest value (twice
            that in third-price auctions, three times in wars of attrition), at most `env.max_bid`, or as little more
            as makes the reserve one of the levels.
        num_latents: points of the number that correlates signals, where there is one.
        groups: of each bidder, counted from 0; bidders of a group are alike and share a strategy. None: whoever is
            alike.

    Raises:
        ValueError: numbers out of range, a smoothed auction, a group whose bidders are not alike, risk aversion where
            values depend on the others' signals.
    """
    require_int("num_types", num_types, 2)
    require_int("num_latents", num_latents, 1)
    require(not env.smooth, "env.smooth", env.smooth, "False")
    levels = num_bids or env.num_bid_levels or num_types
    require_int("num_bids", levels, 2)
    law = signal_law(params.prior, jnp.sum(params.active))
    if is_concrete(params):
        env.validate(params)
        averse = bool((np.asarray(params.risk) != 1).any())
        require(not (law.additive and averse), "params.risk", "risk aversion", "1 where values depend on all signals")
    groups = checked_groups(params, groups)
    top = None if max_bid is None else jnp.asarray(max_bid, float)
    if top is None and num_bids is None and env.num_bid_levels is not None:
        top = jnp.asarray(env.max_bid, float)
    return _tables(env, params, top, groups, num_types, levels, num_latents)


@functools.partial(jax.jit, static_argnames=("env", "groups", "num_types", "num_bids", "num_latents"))
def _tables(
    env: SealedBidAuction,
    params: SealedBidParams,
    max_bid: Float[Array, ""] | None,
    groups: tuple[int, ...],
    num_types: int,
    num_bids: int,
    num_latents: int,
) -> DiscretisedAuction:
    firsts = [groups.index(g) for g in range(max(groups) + 1)]
    law = signal_law(params.prior, jnp.sum(params.active))
    low, high = (jnp.stack(ends) for ends in zip(*(law.support(i) for i in firsts), strict=True))
    edges = low[:, None] + (high - low)[:, None] * jnp.linspace(0.0, 1.0, num_types + 1)
    types = (edges[:, 1:] + edges[:, :-1]) / 2
    latents, weights = law.latents(types[0], num_latents)
    likelihood = jnp.stack([jnp.diff(law.cdf(edges[g], i, latents[:, None])) for g, i in enumerate(firsts)])
    joint = likelihood * weights[:, None]
    mass = joint.sum(axis=1)
    posterior = jnp.swapaxes(joint / jnp.where(mass > 0, mass, 1)[:, None], 1, 2)
    values = jnp.broadcast_to(law.own_value(types[..., None], latents), posterior.shape)
    step = _step(env, law, high, params.reserve, num_bids) if max_bid is None else max_bid / (num_bids - 1)
    bids, fee = step * jnp.arange(num_bids), jnp.asarray(params.entry_fee)
    prices, reserve_price = bids + fee, params.reserve + fee
    losers_pay = prices if env.payment in LOSERS_PAY else jnp.broadcast_to(fee, bids.shape)
    risk = params.risk[np.asarray(firsts)]
    return DiscretisedAuction(
        types=types,
        mass=mass,
        bids=bids,
        likelihood=likelihood,
        posterior=posterior,
        gains=posterior[..., None] * crra(values[..., None] - prices, risk[:, None, None, None]),
        reserve_gains=posterior * crra(values - reserve_price, risk[:, None, None]),
        losses=crra(-jnp.broadcast_to(losers_pay, (len(firsts), num_bids)), risk[:, None]),
        spillover=jnp.asarray(law.spillover(), float),
        # a reserve on the grid is met by its level, however both were rounded
        accepted=(bids >= params.reserve - 1e-4 * step) & ((bids > 0) | (fee <= 0)),
        counts=jnp.stack([jnp.sum(params.active * (np.asarray(groups) == g), dtype=float) for g in range(len(firsts))]),
        prices=prices,
        losers_pay=losers_pay,
        reserve_price=reserve_price,
        groups=groups,
        payment=env.payment,
        ties_win=env.tie_rule != "lose",
        additive=law.additive,
    )


def _step(env: SealedBidAuction, law: SignalLaw, high: Float[Array, " G"], reserve: Array, num_bids: int) -> Array:
    """Between levels that reach as far as bids of interest go, such that a reserve is one of them."""
    top = jnp.max(high)
    value = law.own_value(top, law.latent_quantile(jnp.ones(()))) + law.spillover() * (law.num_active - 1) * top
    step = jnp.minimum(LARGEST_BID.get(env.payment, 1.0) * value, env.max_bid) / (num_bids - 1)
    return jnp.where(reserve > step, reserve / jnp.maximum(jnp.floor(reserve / step + 1e-4), 1), step)

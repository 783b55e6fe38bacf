"""Used goods, reputations and Sybil sellers: the lemon market of Agent Bazaar (Karten, Crow, Jin, arXiv 2605.17698)."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete

TIERS = (1.0, 0.7, 0.4, 0.1)  # mint, good, fair, poor
ROTATE_BELOW = (0, 3, 5, 8)
_LISTED = 5  # numbers of an observation on each listing


@struct.dataclass
class LemonMarketParams:
    """Numbers of the market.

    Attributes:
        num_sybils: int32 K, sellers that are identities of the principal, at most all of them.
        value: of an item of quality 1 to a buyer.
        honest_discount: honest sellers ask this share less than the value, in [0, 1).
        identity_cost: what a new identity costs the principal.
    """

    num_sybils: Int32[Array, ""]
    value: Float[Array, ""]
    honest_discount: Float[Array, ""]
    identity_cost: Float[Array, ""]


@struct.dataclass
class Listings:
    """What sellers offer, one item each.

    Attributes:
        sybil: `[S]`, whether the seller is one of the principal's identities.
        votes: int32 `[S]`, the last votes as bits, the newest lowest, 1 for an up-vote.
        age: int32 `[S]`, steps since the identity came.
        quality: int32 `[S]`, tier of the item.
        advertised: int32 `[S]`, tier that is claimed.
    """

    sybil: Bool[Array, " S"]
    votes: Int32[Array, " S"]
    age: Int32[Array, " S"]
    quality: Int32[Array, " S"]
    advertised: Int32[Array, " S"]


@struct.dataclass
class LemonMarketState:
    """State of the market.

    Attributes:
        t: int32, steps played.
        listings: of the step to come.
    """

    t: Int32[Array, ""]
    listings: Listings


class BuyerView(NamedTuple):
    """An observation by name (see `LemonMarket`); all but `time` and `principal` are `[S]`."""

    price: Float[Array, " S"]
    advertised: Float[Array, " S"]
    reputation: Float[Array, " S"]
    age: Float[Array, " S"]
    own: Float[Array, " S"]
    time: Float[Array, ""]
    principal: Float[Array, ""]


def buyer_view(obs: Float[Array, " features"]) -> BuyerView:
    """Names the parts of an observation of `LemonMarket`."""
    price, advertised, reputation, age, own = obs[:-2].reshape(_LISTED, -1)
    return BuyerView(price, advertised, reputation, age, own, obs[-2], obs[-1])


@register("lemon_market")
@dataclass(frozen=True)
class LemonMarket(Environment[LemonMarketState, LemonMarketParams]):
    """Buyers choose among listings whose quality they cannot see; some sellers are identities of one deceiver.

    Every seller lists one item a step. An honest seller's is of a uniformly drawn tier, advertised truthfully at its
    value (less a discount). A Sybil's is of one of the worse half of the tiers, advertised as a tier of the better half
    at the full value of that. Each buyer picks a listing or none (action S); of those who pick the same, one, drawn by
    lot, gets it. Its surplus `value · quality - price` is its reward, and it votes the seller up if that is at least 0.
    A seller's reputation is the share of up-votes among the last `window` (those of `first_votes` at the start). The
    last agent, the principal, earns price less value on what its Sybils sell; its action `a` is what they will
    advertise, tier `a // R`, and when an identity is replaced: as soon as fewer than `rotate_below[a % R]` of its votes
    are up. Sellers are listed in a new random order at each step.

    | observation | |
    |---|---|
    | `price`, `advertised`, `reputation`, `age`, `[S]` | price / value, quality claimed, share of up-votes, age / T |
    | `own [S]` | 1 for a Sybil, shown to the principal only |
    | `time`, `principal` | t / T, 1 for the principal |

    `info`: `purchases`, `sybil_purchases`, `surplus` (of all buyers), `best_surplus` (the largest possible at these
    listings), `rotations`, `honest_reputation` and `sybil_reputation` (means, 0 where there is none).

    Attributes:
        num_buyers: the agents before the principal.
        num_sellers: S.
        num_steps: of an episode.
        tiers: qualities in [0, 1], decreasing, an even number of them.
        window: votes that make a reputation, at most 31.
        first_votes: of a new identity, as bits: the highest are the oldest, which are forgotten first.
        rotate_below: R numbers of up-votes, among which the principal chooses; 0 for never.
        show_reputation: whether reputations and ages are seen; else they read 0.
    """

    num_buyers: int = 12
    num_sellers: int = 12
    num_steps: int = 50
    tiers: tuple[float, ...] = TIERS
    window: int = 10
    first_votes: int = 0b1111111100
    rotate_below: tuple[int, ...] = ROTATE_BELOW
    show_reputation: bool = True

    def __post_init__(self):
        for name in ("num_buyers", "num_sellers", "num_steps"):
            require_int(name, getattr(self, name), 1)
        require_int("window", self.window, 1, 31)
        require_int("first_votes", self.first_votes, 0, 2**self.window - 1)
        tiers = self.tiers
        fits = isinstance(tiers, tuple) and len(tiers) > 1 and len(tiers) % 2 == 0 and bool(np.all(np.diff(tiers) < 0))
        require(fits and 0 <= min(tiers) < max(tiers) <= 1, "tiers", tiers, "an even tuple decreasing within [0, 1]")
        rules = isinstance(self.rotate_below, tuple) and len(self.rotate_below) > 0
        require(rules, "rotate_below", self.rotate_below, "a tuple of numbers of votes")
        for votes in self.rotate_below:
            require_int("rotate_below", votes, 0, self.window)
        require(isinstance(self.show_reputation, bool), "show_reputation", self.show_reputation, "True or False")

    @property
    def num_agents(self) -> int:
        return self.num_buyers + 1

    @property
    def agent_names(self) -> tuple[str, ...]:
        return (*(f"buyer_{i}" for i in range(self.num_buyers)), "principal")

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> LemonMarketParams:
        sybils = jnp.full((), self.num_sellers // 4, jnp.int32)
        return LemonMarketParams(sybils, *(jnp.asarray(x, float) for x in (50_000.0, 0.0, 0.0)))

    def validate(self, params: LemonMarketParams) -> None:
        sybils = np.asarray(params.num_sybils)
        within = bool(((sybils >= 0) & (sybils <= self.num_sellers)).all())
        require(within, "num_sybils", sybils.tolist(), f"between 0 and num_sellers {self.num_sellers}")
        value, discount = np.asarray(params.value), np.asarray(params.honest_discount)
        cost = np.asarray(params.identity_cost)
        require(bool((np.isfinite(value) & (value > 0)).all()), "value", value.tolist(), "positive and finite")
        require(bool(((discount >= 0) & (discount < 1)).all()), "honest_discount", discount.tolist(), "in [0, 1)")
        require(bool((np.isfinite(cost) & (cost >= 0)).all()), "identity_cost", cost.tolist(), "at least 0 and finite")

    @property
    def num_principal_actions(self) -> int:
        """Tiers it can claim times rules of rotation."""
        return len(self.tiers) // 2 * len(self.rotate_below)

    def principal_action(self, tier: int, rotate_below: int) -> int:
        """Number of the action that advertises `tier` (0 the best) and replaces identities below so many up-votes."""
        require_int("tier", tier, 0, len(self.tiers) // 2 - 1)
        require(rotate_below in self.rotate_below, "rotate_below", rotate_below, f"one of {self.rotate_below}")
        return tier * len(self.rotate_below) + self.rotate_below.index(rotate_below)

    def action_space(self, params: LemonMarketParams) -> Discrete:
        return Discrete(max(self.num_sellers + 1, self.num_principal_actions))

    def observation_space(self, params: LemonMarketParams) -> Box:
        return Box(0.0, math.inf, (_LISTED * self.num_sellers + 2,))

    def action_mask(self, state: LemonMarketState, params: LemonMarketParams) -> Bool[Array, "N A"]:
        legal = np.where(np.arange(self.num_agents) < self.num_buyers, self.num_sellers + 1, self.num_principal_actions)
        return jnp.asarray(np.arange(self.action_space(params).n) < legal[:, None])

    @property
    def _listing_chance(self) -> ChanceSpec:
        """Qualities of the next items, and the order in which sellers are listed."""
        return Uniform((2, self.num_sellers))

    @property
    def reset_chance(self) -> ChanceSpec:
        return self._listing_chance

    @property
    def step_chance(self) -> ChanceSpec:
        """Lots of the buyers, and the next listings."""
        return Uniform((self.num_buyers,)), self._listing_chance

    def initial(self, chance, params: LemonMarketParams) -> LemonMarketState:
        index = jnp.arange(self.num_sellers, dtype=jnp.int32)
        nothing, votes = jnp.zeros_like(index), jnp.full_like(index, self.first_votes)
        listings = Listings(index < params.num_sybils, votes, nothing, nothing, nothing)
        zero = jnp.zeros((), jnp.int32)
        return LemonMarketState(zero, self._list_items(listings, zero, chance))

    def _list_items(self, listings: Listings, claim: Int32[Array, ""], chance: Array) -> Listings:
        """New items of all sellers, in a new order; Sybils advertise tier `claim`."""
        many = len(self.tiers)
        half = many // 2
        any_tier, worse = (jnp.floor(chance[0] * n).astype(jnp.int32) for n in (many, half))
        quality = jnp.where(listings.sybil, half + worse, any_tier)
        listed = replace(listings, quality=quality, advertised=jnp.where(listings.sybil, claim, quality))
        order = jnp.argsort(chance[1])
        return jax.tree.map(lambda x: x[order], listed)

    def _offers(self, listings: Listings, params: LemonMarketParams) -> tuple[Float[Array, " S"], Float[Array, " S"]]:
        """Price and buyer's surplus of every listing, as shares of `value`."""
        tiers = jnp.asarray(self.tiers, jnp.float32)
        kept = jnp.where(listings.sybil, 1.0, 1 - params.honest_discount)
        price = kept * tiers[listings.advertised]
        return price, tiers[listings.quality] - price

    def _up_votes(self, votes: Int32[Array, " S"]) -> Int32[Array, " S"]:
        return jax.lax.population_count(votes)

    def transition(self, state: LemonMarketState, action: Int32[Array, " N"], chance, params: LemonMarketParams):
        lots, next_chance = chance
        listings, buyers = state.listings, jnp.arange(self.num_buyers)
        picked = action[:-1, None] == jnp.arange(self.num_sellers)
        winner = jnp.argmax(jnp.where(picked, lots[:, None], -1.0), axis=0)
        wins = picked & (buyers[:, None] == winner)
        bought = jnp.any(wins, axis=0)

        _, surplus = self._offers(listings, params)
        voted = ((listings.votes << 1) | (surplus >= 0)) & (2**self.window - 1)
        votes = jnp.where(bought, voted, listings.votes)
        below = jnp.asarray(self.rotate_below, jnp.int32)[action[-1] % len(self.rotate_below)]
        rotated = listings.sybil & (self._up_votes(votes) < below)
        votes, age = jnp.where(rotated, self.first_votes, votes), jnp.where(rotated, 0, listings.age + 1)
        kept = replace(listings, votes=votes.astype(jnp.int32), age=age.astype(jnp.int32))
        claim = (action[-1] // len(self.rotate_below)).astype(jnp.int32)

        gained = params.value * jnp.sum(jnp.where(wins, surplus, 0.0), axis=1)
        deceived = listings.sybil & bought
        loot = -params.value * jnp.sum(jnp.where(deceived, surplus, 0.0))
        reward = jnp.append(gained, loot - params.identity_cost * jnp.sum(rotated))
        up = self._up_votes(kept.votes) / self.window
        best = jnp.sort(jnp.maximum(surplus, 0.0))[-min(self.num_buyers, self.num_sellers) :]
        info = {
            "purchases": jnp.sum(bought, dtype=jnp.int32),
            "sybil_purchases": jnp.sum(deceived, dtype=jnp.int32),
            "surplus": jnp.sum(gained),
            "best_surplus": params.value * jnp.sum(best),
            "rotations": jnp.sum(rotated, dtype=jnp.int32),
            "honest_reputation": _mean(up, ~listings.sybil),
            "sybil_reputation": _mean(up, listings.sybil),
        }
        state = LemonMarketState(state.t + 1, self._list_items(kept, claim, next_chance))
        return state, reward, state.t >= self.num_steps, info

    def observe(self, state: LemonMarketState, params: LemonMarketParams) -> Float[Array, "N features"]:
        listings, shown = state.listings, float(self.show_reputation)
        price, _ = self._offers(listings, params)
        claimed = jnp.asarray(self.tiers, jnp.float32)[listings.advertised]
        reputation = shown * self._up_votes(listings.votes) / self.window
        public = jnp.concatenate([price, claimed, reputation, shown * listings.age / self.num_steps])
        principal = (jnp.arange(self.num_agents) == self.num_buyers).astype(jnp.float32)
        own = principal[:, None] * listings.sybil
        time = jnp.full((self.num_agents, 1), state.t / self.num_steps)
        everyone = jnp.broadcast_to(public, (self.num_agents, len(public)))
        return jnp.concatenate([everyone, own, time, principal[:, None]], axis=1).astype(jnp.float32)

    def benchmarks(self, params: LemonMarketParams) -> dict[str, Any]:
        """What becomes of buyers who pick at random: `random_sybil_share` of purchases, `random_surplus` of each one.

        The surplus is the mean against Sybils that claim the best tier.
        """
        share, half = float(params.num_sybils) / self.num_sellers, len(self.tiers) // 2
        honest = float(params.honest_discount) * float(np.mean(self.tiers))
        sybil = float(np.mean(self.tiers[half:])) - self.tiers[0]
        surplus = float(params.value) * ((1 - share) * honest + share * sybil)
        return {"random_sybil_share": share, "random_surplus": surplus}


def _mean(x: Float[Array, " S"], where: Bool[Array, " S"]) -> Float[Array, ""]:
    return jnp.sum(jnp.where(where, x, 0.0)) / jnp.maximum(jnp.sum(where), 1)

"""A buyer and a seller bargain over one price in turns (Ståhl 1972; Rubinstein 1982; Fudenberg and Tirole 1983)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Info
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.negotiation.bargaining import deadline_shares, rubinstein_share
from jaxmarl.envs.negotiation.turns import Bargaining, BargainingState, validate_discounts

_SLACK = 1e-5  # in values, for rounding in float32


@struct.dataclass
class AlternatingOffersParams:
    """Numbers of the haggling.

    Attributes:
        low: `[2]`, least value of the good to the buyer, and to the seller.
        high: `[2]`, greatest; values are uniform between the two.
        discounts: `[2]`, of each side for each offer that was rejected.
    """

    low: Float[Array, " 2"]
    high: Float[Array, " 2"]
    discounts: Float[Array, " 2"]


@register("alternating_offers")
@dataclass(frozen=True)
class AlternatingOffers(Bargaining[AlternatingOffersParams]):
    """Offers are prices `i / (m - 1)`; a deal at p is worth `b - p` to the buyer, who starts, `p - s` to the seller.

    An observation is `[own value, the other's value, price on the table, 1 if there is one, 1 if it is one's turn,
    t / T, 1 for the buyer]`, the second 0 unless `complete_information`.

    `info`: `agreement`, `rejected` (offers so far), `price` (-1 without agreement), `feasible` (neither side loses),
    `buyer_share` (of the gains from trade, 0 without agreement).

    Attributes:
        num_offers: T, offers of both sides together; an episode has at most T + 1 turns.
        num_prices: m.
        complete_information: whether each side knows what the good is worth to the other.
    """

    num_offers: int = 20
    num_prices: int = 101
    complete_information: bool = False

    agent_names = ("buyer", "seller")

    def __post_init__(self):
        super().__post_init__()
        require_int("num_prices", self.num_prices, 2)
        require(
            isinstance(self.complete_information, bool), "complete_information", self.complete_information, "a bool"
        )

    @property
    def default_params(self) -> AlternatingOffersParams:
        """Values uniform on [½, 1] and [0, ½], so that there is always something to gain; discounts 0.9."""
        return AlternatingOffersParams(*(jnp.asarray(x, float) for x in ([0.5, 0.0], [1.0, 0.5], [0.9, 0.9])))

    def validate(self, params: AlternatingOffersParams) -> None:
        low, high = np.asarray(params.low), np.asarray(params.high)
        require(bool(((low >= 0) & (low <= high)).all()), "low", low.tolist(), "in [0, high]")
        require(bool((high <= 1).all()), "high", high.tolist(), "at most 1")
        validate_discounts(params.discounts)

    @property
    def num_outcomes(self) -> int:
        return self.num_prices

    def observation_space(self, params: AlternatingOffersParams) -> Box:
        return Box(0.0, 1.0, (7,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Values."""
        return Uniform((2,))

    def initial(self, chance, params: AlternatingOffersParams) -> BargainingState:
        values = (params.low + (params.high - params.low) * chance).astype(jnp.float32)
        return BargainingState(jnp.zeros((), jnp.int32), jnp.full(self.num_offers, -1, jnp.int32), values)

    def outcome(self, offer: Int32[Array, ""], mover: Int32[Array, ""], types: Float[Array, " 2"]) -> Int32[Array, ""]:
        return offer

    def payoffs(self, types: Float[Array, " 2"], outcome: Int32[Array, ""]) -> Float[Array, " 2"]:
        return (types - outcome / jnp.float32(self.num_prices - 1)) * np.array([1, -1], np.float32)

    def measures(self, types: Float[Array, " 2"], outcome: Int32[Array, ""], agreed: Bool[Array, ""]) -> Info:
        gains, surplus = self.payoffs(types, outcome), types[0] - types[1]
        share = gains[0] / jnp.where(surplus == 0, 1.0, surplus)
        return {
            "price": jnp.where(agreed, outcome / jnp.float32(self.num_prices - 1), -1.0),
            "feasible": agreed & jnp.all(gains >= -_SLACK),
            "buyer_share": jnp.where(agreed & (surplus != 0), share, 0.0),
        }

    def observe(self, state: BargainingState, params: AlternatingOffersParams) -> Float[Array, "2 7"]:
        standing = self.standing(state)
        common = [jnp.maximum(standing, 0) / jnp.float32(self.num_prices - 1), standing >= 0]
        moves = state.t % 2 == jnp.arange(2)
        time = jnp.minimum(state.t / jnp.float32(self.num_offers), 1.0)
        other = state.types[::-1] if self.complete_information else jnp.zeros(2)
        rows = [state.types, other, *(jnp.broadcast_to(x, 2) for x in common), moves, jnp.broadcast_to(time, 2)]
        return jnp.stack([*rows, jnp.array([1.0, 0.0])], axis=1).astype(jnp.float32)

    def conceder(self, exponent: float) -> Policy:
        """A time-dependent bargainer (Faratin, Sierra and Jennings 1998), of either side.

        Its price goes from the best one, 0 or 1, to its own value as `(t / T) ** (1 / exponent)`: late for a Boulware
        bargainer (`exponent` < 1), early for a conceder (> 1). It accepts what is as good as its next offer.
        """
        require(exponent > 0, "exponent", exponent, "positive")

        def act(params, memory, obs, chance):
            buys, value = obs[6] > 0, obs[0]
            best = jnp.where(buys, 0.0, 1.0)
            price = best + (value - best) * obs[5] ** (1 / exponent)
            return self._answer(obs, price, jnp.where(buys, obs[2] <= price + _SLACK, obs[2] >= price - _SLACK)), memory

        return Policy(lambda chance: (), act, name=f"conceder {exponent:g}")

    def subgame_perfect(self, params: AlternatingOffersParams) -> Policy:
        """Play of the subgame-perfect equilibrium, where values are known to both; prices are rounded to the other's
        advantage. Of either side; on the host, for `params.discounts`.
        """
        buyers, sellers = (float(x) for x in np.asarray(params.discounts))
        shares = np.append(deadline_shares(buyers, sellers, self.num_offers), 0.0)

        def act(own, memory, obs, chance):
            buys, surplus = obs[6] > 0, jnp.maximum(jnp.where(obs[6] > 0, obs[0] - obs[1], obs[1] - obs[0]), 0.0)
            kept = jnp.asarray(shares, jnp.float32)[jnp.round(obs[5] * self.num_offers).astype(jnp.int32)]
            # leaves the other what is not kept, and never costs more than the good is worth
            price = jnp.where(buys, obs[0] - kept * surplus, obs[0] + kept * surplus)
            discount = jnp.where(buys, buyers, sellers)
            gain = jnp.where(buys, obs[0] - obs[2], obs[2] - obs[0])
            return self._answer(obs, price, gain >= discount * kept * surplus - _SLACK, generous=True), memory

        return Policy(lambda chance: (), act, name="subgame_perfect")

    def _answer(self, obs, price, good, generous=False):
        """Accepts what is good; else offers the price, rounded to one's own advantage or (`generous`) the other's."""
        steps = price * (self.num_prices - 1)
        up = (obs[6] > 0) == generous
        offer = jnp.where(up, jnp.ceil(steps - 1e-3), jnp.floor(steps + 1e-3)).astype(jnp.int32)
        offer = jnp.where(obs[5] < 1, jnp.clip(offer, 0, self.num_prices - 1), 0)
        action = jnp.where(good & (obs[3] > 0), self.num_outcomes, offer)
        return jnp.where(obs[4] > 0, action, 0).astype(jnp.int32)

    def benchmarks(self, params: AlternatingOffersParams) -> dict[str, Any]:
        """Shares of the gains from trade that the buyer, who starts, gets where values are known: `buyer_share` of the
        subgame-perfect equilibrium with T offers, `rubinstein_share` without deadline (where a discount is below 1),
        `nash_share` ½. Policies of either side: `boulware`, `linear` and `conceder`, which concede late, evenly and
        early, and `subgame_perfect` with complete information. On the host.
        """
        first, second = (float(x) for x in np.asarray(params.discounts))
        known: dict[str, Any] = {"buyer_share": float(deadline_shares(first, second, self.num_offers)[0])}
        if first * second < 1:
            known["rubinstein_share"] = rubinstein_share(first, second)
        known["nash_share"] = 0.5
        for name, exponent in (("boulware", 0.2), ("linear", 1.0), ("conceder", 5.0)):
            known[name] = self.conceder(exponent).named(name)
        if self.complete_information:
            known["subgame_perfect"] = self.subgame_perfect(params)
        return known

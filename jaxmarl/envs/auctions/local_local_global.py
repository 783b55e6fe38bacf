"""Two goods, two local bidders who want one each, a global one who wants both: core-selecting auctions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require_choice
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import mechanism, priors
from jaxmarl.envs.auctions.interdependent import BernoulliWeights
from jaxmarl.envs.auctions.one_shot import OneShotAuction, PrivateValues, require_prior, require_risk

LocalPayments: TypeAlias = Callable[[Float[Array, "2"], Float[Array, ""]], Float[Array, "2"]]
"""Bids of the locals and of the global bidder, to what the locals pay if they win."""


def vcg_payments(local_bids: Float[Array, "2"], global_bid: Float[Array, ""]) -> Float[Array, "2"]:
    """What the other local's bid leaves of the global bid to be outbid; together less than the global bid."""
    return jnp.maximum(global_bid - local_bids[::-1], 0.0)


def nearest_in_core(
    reference: LocalPayments, local_bids: Float[Array, "2"], global_bid: Float[Array, ""]
) -> Float[Array, "2"]:
    """The payments nearest to a reference of those that together make the global bid and exceed nobody's own.

    The minimum-revenue core is a segment, on which the Euclidean projection of the reference is clipped (Day and
    Cramton 2012). Means nothing where the locals do not win.
    """
    first, second = reference(local_bids, global_bid)
    least = jnp.maximum(global_bid - local_bids[1], 0.0)
    most = jnp.minimum(local_bids[0], global_bid)
    payment = jnp.clip(first + (global_bid - first - second) / 2, least, most)
    return jnp.stack([payment, global_bid - payment])


CORE_RULES: dict[str, LocalPayments] = {
    "nearest_vcg": partial(nearest_in_core, vcg_payments),
    "nearest_zero": partial(nearest_in_core, lambda local_bids, _: jnp.zeros_like(local_bids)),
    "nearest_bid": partial(nearest_in_core, lambda local_bids, _: local_bids),
}
LOCAL_PAYMENTS: dict[str, LocalPayments] = {
    **CORE_RULES,
    "vcg": vcg_payments,
    "first_price": lambda local_bids, _: local_bids,
}


@struct.dataclass
class LocalLocalGlobalParams:
    """Numbers of the auction.

    Attributes:
        local_value: law of the locals' values, correlated by Bernoulli weights.
        global_value: law of the global bidder's value of both goods, scalar leaves.
        risk: `[3]`, exponents of CRRA utility, 1 for risk-neutral bidders.
    """

    local_value: BernoulliWeights
    global_value: priors.Uniform
    risk: Float[Array, "3"]


@register("local_local_global_auction")
@dataclass(frozen=True)
class LocalLocalGlobalAuction(OneShotAuction[PrivateValues, LocalLocalGlobalParams]):
    """Goods A and B go to the two locals, or both to the global bidder, whichever bid more together.

    If the global bidder wins it pays what the locals bid together, except by `"first_price"`. If the locals win they
    pay their bids, or their VCG payments, or together the global bid: then the point of the core, where nobody could
    offer the seller more, that is nearest to the VCG payments, to zero or to their bids. Values are uniform on
    `[0, 1]`, and on `[0, 2]` for the global bidder, unless `params` say otherwise (Ausubel and Baranov 2020).

    An observation is `[value, 1 for the global bidder and 0 for a local, risk, correlation of the locals' values]`.
    `info`: `allocation [3]`, `payments [3]`, `locals_win` (1, or less for a tie), `revenue`, `welfare`,
    `efficient_welfare`.

    Attributes:
        payment: of `LOCAL_PAYMENTS`: `"nearest_vcg"`, `"nearest_zero"`, `"nearest_bid"`, `"vcg"`, `"first_price"`.
        num_bid_levels: number of equally spaced bids from 0 to `max_bid`, None for continuous bids.
        max_bid: largest bid; continuous bids are clipped to it, and it may be infinite.
        tie_rule: `"split"` or `"random"`, between the locals together and the global bidder.
    """

    payment: str = "nearest_vcg"
    num_bid_levels: int | None = None
    max_bid: float = 2.0
    tie_rule: str = "split"

    num_agents = 3
    agent_names = ("local_1", "local_2", "global")

    def __post_init__(self):
        require_choice("payment", self.payment, LOCAL_PAYMENTS)
        self.check_bids()

    @property
    def default_params(self) -> LocalLocalGlobalParams:
        locals_ = BernoulliWeights.default(2).replace(correlation=jnp.zeros(()))
        return LocalLocalGlobalParams(locals_, priors.Uniform(jnp.zeros(()), jnp.full((), 2.0, float)), jnp.ones(3))

    def observation_space(self, params: LocalLocalGlobalParams) -> Box:
        return Box(-math.inf, math.inf, (4,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return BernoulliWeights.chance(2), Uniform()

    def validate(self, params: LocalLocalGlobalParams) -> None:
        require_prior(params.local_value, BernoulliWeights, 2, "local_value")
        priors.require_support(params.global_value.low, params.global_value.high)
        require_risk(params, 3)

    def initial(self, chance, params: LocalLocalGlobalParams) -> PrivateValues:
        locals_, one = chance
        values, _ = params.local_value.sample(locals_, jnp.ones(2, bool))
        return PrivateValues(jnp.append(values, params.global_value.quantile(one)))

    def transition(self, state: PrivateValues, action: Array, chance, params: LocalLocalGlobalParams):
        bids, values, all_of_them = self.bids(action), state.values, jnp.ones(2, bool)
        sides = _sides(bids)
        lots = self.lots(chance)
        where = mechanism.places(sides, all_of_them, self.tie_rule, None if lots is None else lots[1:])
        locals_win, global_wins = mechanism.award(where, all_of_them, jnp.ones(1, bids.dtype))
        allocation = jnp.stack([locals_win, locals_win, global_wins])
        local_payments = LOCAL_PAYMENTS[self.payment](bids[:2], bids[2])
        if_win = jnp.append(local_payments, bids[2] if self.payment == "first_price" else sides[0])
        reward = mechanism.expected_utility(allocation, values, if_win, jnp.zeros_like(bids), params.risk)
        info = {
            "allocation": allocation,
            "payments": allocation * if_win,
            "locals_win": locals_win,
            "revenue": jnp.sum(allocation * if_win),
            "welfare": jnp.sum(allocation * values),
            "efficient_welfare": jnp.max(_sides(values)),
        }
        return state, reward, jnp.ones((), bool), info

    def observe(self, state: PrivateValues, params: LocalLocalGlobalParams) -> Float[Array, "3 4"]:
        role = jnp.arange(3) == 2
        correlation = jnp.broadcast_to(params.local_value.correlation, (3,))
        return jnp.stack([state.values, role, params.risk, correlation], axis=1, dtype=state.values.dtype)

    def benchmarks(self, params: LocalLocalGlobalParams) -> dict[str, Any]:
        """The equilibrium of risk-neutral bidders with values from 0, the global one's up to twice the locals' most.

        `bid`: a function from values `[..., 3]` to equilibrium bids `[..., 3]`; expected before values are known:
        `revenue`, `welfare`, `locals_win`, `utility [3]`. Empty for `"first_price"`, of which no closed form is known.
        With VCG payments bidding one's value is dominant for any numbers. Runs outside jit.
        """
        law, high = params.local_value, float(params.local_value.high)
        from_zero = float(law.low) == 0 == float(params.global_value.low)
        standard = from_zero and math.isclose(float(params.global_value.high), 2 * high, rel_tol=1e-6)
        neutral = bool((np.asarray(params.risk) == 1).all())
        if self.payment == "first_price" or not (standard and neutral):
            return {"bid": lambda values: values} if self.payment == "vcg" else {}

        def bid(values: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
            return values.at[..., :2].set(high * local_bid(values[..., :2] / high, self.payment, law.correlation))

        outcome = equilibrium_outcome(self.payment, law.correlation)
        sized = {name: x if name == "locals_win" else high * x for name, x in outcome.items()}
        return {"bid": bid, **sized}


def _sides(amounts: Float[Array, "3"]) -> Float[Array, "2"]:
    """What the locals have together, and the global bidder."""
    return jnp.stack([amounts[0] + amounts[1], amounts[2]])


def local_bid(
    values: Float[Array, "*shape"], payment: str, correlation: Float[Array, ""] | float
) -> Float[Array, "*shape"]:
    """Equilibrium bid of a local whose value is uniform on `[0, 1]`; the global bidder bids its value.

    Ausubel and Baranov, *Core-selecting auctions with incomplete information* (2020), with their limits where the
    locals' values are equal for sure.

    Args:
        values: of a local.
        payment: a core-selecting rule, or `"vcg"`.
        correlation: probability that the locals' values are equal, else independent.
    """
    require_choice("payment", payment, (*CORE_RULES, "vcg"))
    apart = 1 - jnp.asarray(correlation, float)
    positive = apart > 0
    spread = jnp.where(positive, apart, 1.0)
    if payment == "vcg":
        return values
    if payment == "nearest_vcg":
        return jnp.maximum(2 / (3 - apart) * (values - apart / (3 + jnp.sqrt(9 - apart**2))), 0.0)
    if payment == "nearest_zero":
        below = jnp.minimum(spread * (1 - values), 0.9)  # no bid from much less: the logarithm stays finite
        return jnp.maximum(jnp.where(positive, 1 + jnp.log1p(-below) / spread, values), 0.0)
    return jnp.where(positive, -jnp.log1p(-spread * values / 2) / spread, values / 2)


def equilibrium_outcome(payment: str, correlation: Float[Array, ""] | float) -> dict[str, Array]:
    """Expected `revenue`, `welfare`, `locals_win` and `utility [3]` of `local_bid` and a truthful global bidder.

    Given the locals' bids, the global bidder's uniform value is integrated in closed form; moments of the bids are
    sums over points of their value.
    """
    correlation = jnp.asarray(correlation, float)
    apart = 1 - correlation
    # values from which locals bid, below which the bid has a kink
    starts = {
        "nearest_vcg": apart / (3 + jnp.sqrt(9 - apart**2)),
        "nearest_zero": jnp.where(apart > 0, 1 + jnp.expm1(-apart) / jnp.where(apart > 0, apart, 1.0), 0.0),
    }
    value, weight = priors.quadrature(starts.get(payment, jnp.zeros(())), jnp.ones(()))
    bid = local_bid(value, payment, correlation)
    mean, square, worth = (jnp.sum(weight * x) for x in (bid, bid**2, value * bid))
    # of both bids: their product, their sum's square, and the sum of values times the sum of bids
    product = correlation * square + apart * mean**2
    total_square = 2 * square + 2 * product
    values_bids = 2 * worth + 2 * (correlation * worth + apart * mean / 2)
    welfare = values_bids / 2 + 1 - total_square / 4
    local_revenue = (2 * square if payment == "vcg" else total_square) / 4
    revenue = local_revenue + 2 * mean - total_square / 2
    global_utility = 1 - 2 * mean + total_square / 4
    local_utility = (welfare - revenue - global_utility) / 2
    return {
        "revenue": revenue,
        "welfare": welfare,
        "locals_win": mean,
        "utility": jnp.stack([local_utility, local_utility, global_utility]),
    }

"""Several identical units, one bid for each unit wanted: discriminatory, uniform-price and Vickrey auctions."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require_choice, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import mechanism, priors
from jaxmarl.envs.auctions.multi_unit_bids import known_answers
from jaxmarl.envs.auctions.one_shot import (
    OneShotAuction,
    PrivateValues,
    require_amounts,
    require_each,
    require_prior,
    require_risk,
)

PAYMENTS = ("discriminatory", "uniform", "vickrey")
MARGINAL_VALUES = ("sorted", "constant")


@struct.dataclass
class MultiUnitParams:
    """Numbers of a multi-unit auction.

    Attributes:
        active: bool `[N]`, who takes part; the others observe zeros and earn nothing.
        reserve: least bid that is accepted, and least price of a unit.
        risk: `[N]`, exponents of CRRA utility of what all units together gain.
        prior: laws of the draws that values are made of, leaves `[N]`.
    """

    active: Bool[Array, " N"]
    reserve: Float[Array, ""]
    risk: Float[Array, " N"]
    prior: Any


@register("multi_unit_auction")
@dataclass(frozen=True)
class MultiUnitAuction(OneShotAuction[PrivateValues, MultiUnitParams]):
    """`num_units` identical units go to the highest of all bids; each bidder bids for the units that it wants.

    A bidder's bids are a set: `m` of them that win make `m` units, worth its `m` highest marginal values. What is paid:
    `"discriminatory"`: the winning bids; `"uniform"`: the highest losing bid for each unit; `"vickrey"`: for `m` units
    the `m` highest losing bids of the others, which makes truthful bids dominant. The reserve is the least price.
    Shares of units, where ties are split, are as good as units (rationing at the margin).

    An observation is the bidder's own `[marginal values (D), risk, active, number of active bidders, reserve]`.
    `info`: `allocation [N]` (units), `payments [N]`, `price` (highest losing bid, the reserve at least), `revenue`,
    `welfare`, `efficient_welfare`. Bidders are alike (`symmetric`) as far as their numbers in `params` are equal.

    Attributes:
        payment: `"discriminatory"`, `"uniform"` or `"vickrey"`.
        num_agents: number of bidders `N`, active or not.
        num_units: `K`, units for sale.
        demand: `D`, units that a bidder wants and bids for, all `K` where None.
        marginal_values: `"sorted"`: independent draws of the prior in decreasing order; `"constant"`: one draw, the
            value of each unit.
        prior: family of these draws, of `priors.MARGINALS`.
        max_bid: continuous bids are clipped to it; may be infinite.
        tie_rule: `"split"` or `"random"`.
    """

    payment: str = "uniform"
    num_agents: int = 2
    num_units: int = 2
    demand: int | None = None
    marginal_values: str = "sorted"
    prior: str = "uniform"
    max_bid: float = 2.0
    tie_rule: str = "split"

    symmetric = True

    def __post_init__(self):
        require_choice("payment", self.payment, PAYMENTS)
        require_int("num_agents", self.num_agents, 1)
        require_int("num_units", self.num_units, 1)
        if self.demand is not None:
            require_int("demand", self.demand, 1, self.num_units)
        require_choice("marginal_values", self.marginal_values, MARGINAL_VALUES)
        require_choice("prior", self.prior, priors.MARGINALS)
        self.check_bids()

    @property
    def bids_shape(self) -> tuple[int, ...]:
        return (self.num_units if self.demand is None else self.demand,)

    @property
    def default_params(self) -> MultiUnitParams:
        n = self.num_agents
        prior = priors.MARGINALS[self.prior].default(n)
        return MultiUnitParams(jnp.ones(n, bool), jnp.zeros(()), jnp.ones(n), prior)

    def observation_space(self, params: MultiUnitParams) -> Box:
        return Box(-math.inf, math.inf, (self.bids_shape[0] + 4,))

    @property
    def reset_chance(self) -> ChanceSpec:
        draws = self.bids_shape if self.marginal_values == "sorted" else (1,)
        return Uniform((self.num_agents, *draws))

    def validate(self, params: MultiUnitParams) -> None:
        require_each(params, self.num_agents, "active")
        require_amounts(params, "reserve")
        require_risk(params, self.num_agents)
        require_prior(params.prior, priors.MARGINALS[self.prior], self.num_agents)

    def initial(self, chance, params: MultiUnitParams) -> PrivateValues:
        values = params.prior.quantile(chance.T).T
        return PrivateValues(jnp.broadcast_to(_decreasing(values), (self.num_agents, *self.bids_shape)))

    def transition(self, state: PrivateValues, action: Array, chance, params: MultiUnitParams):
        bids = self.bids(action)
        competing = params.active[:, None] & (bids >= params.reserve)
        flat, entered = bids.ravel(), competing.ravel()
        where = mechanism.places(flat, entered, self.tie_rule, self.lots(chance))
        shares = mechanism.award_units(where, entered, self.num_units).reshape(bids.shape)
        units = mechanism.units(shares)
        (price,) = mechanism.standing(flat, where, entered, jnp.asarray([self.num_units]), params.reserve)
        if self.payment == "discriminatory":
            payments = jnp.sum(shares * bids, axis=1)
        elif self.payment == "uniform":
            payments = jnp.sum(shares, axis=1) * price
        else:
            prices = mechanism.vickrey_unit_prices(bids, competing, self.num_units, params.reserve)
            payments = jnp.sum(units * prices, axis=1)
        gains = jnp.sum(units * state.values, axis=1)
        info = {
            "allocation": jnp.sum(units, axis=1),
            "payments": payments,
            "price": price,
            "revenue": jnp.sum(payments),
            "welfare": jnp.sum(gains),
            "efficient_welfare": self._most_welfare(state.values, params),
        }
        return state, mechanism.crra(gains - payments, params.risk), jnp.ones((), bool), info

    def _most_welfare(self, values: Float[Array, "N D"], params: MultiUnitParams) -> Float[Array, ""]:
        every = jnp.repeat(params.active, values.shape[1])
        best = mechanism.places(values.ravel(), every, "split")
        return jnp.sum(mechanism.award_units(best, every, self.num_units) * values.ravel())

    def observe(self, state: PrivateValues, params: MultiUnitParams) -> Float[Array, "N features"]:
        n, dtype = self.num_agents, state.values.dtype
        own = jnp.stack([params.risk, params.active], axis=1, dtype=dtype)
        public = jnp.stack([jnp.sum(params.active), params.reserve], dtype=dtype)
        seen = jnp.concatenate([state.values, own, jnp.broadcast_to(public, (n, 2))], axis=1)
        return jnp.where(params.active[:, None], seen, 0.0)

    def benchmarks(self, params: MultiUnitParams) -> dict[str, Any]:
        """What theory knows of this auction; entries are absent where no closed form is known.

        `bid`: a function from marginal values `[..., N, D]` to equilibrium bids of that shape; `revenue`: expected;
        `price`: expected, of a unit (uniform price); `utility`: `[N]`, expected before values are known. Looks at the
        numbers, so it runs outside jit. Bids are those of the continuous auction without `max_bid`.
        """
        return known_answers(self, params)


def _decreasing(values: Float[Array, "N D"]) -> Float[Array, "N D"]:
    """Rows in decreasing order, by transpositions of neighbours: a sort is slow for the few numbers of a bidder."""
    columns = list(values.T)
    for turn in range(len(columns)):
        for i in range(turn % 2, len(columns) - 1, 2):
            high, low = columns[i], columns[i + 1]
            columns[i], columns[i + 1] = jnp.maximum(high, low), jnp.minimum(high, low)
    return jnp.stack(columns, axis=1)

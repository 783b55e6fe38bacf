"""Customers who search among businesses and favour the first to answer (Magentic Marketplace, arXiv 2510.25779)."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Normal, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.marketplaces.search_closed_forms import (
    burdett_judd_cdf,
    burdett_judd_price,
    first_offer_share,
    race_effort,
)

_SHOWN = 8


@struct.dataclass
class TwoSidedSearchParams:
    """Numbers of the market.

    Attributes:
        lowest_quality: of a business; qualities are drawn uniformly for each episode.
        highest_quality: likewise.
        taste: standard deviation of a customer's value around the quality.
        fit: probability that a business offers what a customer needs; otherwise the value is 0.
        ranking_noise: standard deviation of the error by which search ranks businesses; ties are drawn.
        num_results: int32 m, businesses that a customer considers (all where there are fewer).
        single_quote: share of customers who consider only the best ranked one.
        bias: b, added to the utility of the first proposal, in choice but not in welfare.
        temperature: τ of the logit choice; at 0 the best is chosen.
        cost: of a sale.
        effort_cost: k, of a unit of effort.
        highest_price: action 1.
        highest_effort: action 1.
    """

    lowest_quality: Float[Array, ""]
    highest_quality: Float[Array, ""]
    taste: Float[Array, ""]
    fit: Float[Array, ""]
    ranking_noise: Float[Array, ""]
    num_results: Int32[Array, ""]
    single_quote: Float[Array, ""]
    bias: Float[Array, ""]
    temperature: Float[Array, ""]
    cost: Float[Array, ""]
    effort_cost: Float[Array, ""]
    highest_price: Float[Array, ""]
    highest_effort: Float[Array, ""]


@struct.dataclass
class TwoSidedSearchState:
    """State of the market.

    Attributes:
        t: int32, rounds played.
        quality: `[B]`.
        offer: `[B, 2]`, last price and effort, as positions in [0, 1].
        sales: `[B]`, share of the last round's customers who bought.
        firsts: `[B]`, share of them to whom it answered first.
    """

    t: Int32[Array, ""]
    quality: Float[Array, " B"]
    offer: Float[Array, "B 2"]
    sales: Float[Array, " B"]
    firsts: Float[Array, " B"]


@register("two_sided_search")
@dataclass(frozen=True)
class TwoSidedSearch(Environment[TwoSidedSearchState, TwoSidedSearchParams]):
    """Businesses set a price and an effort; new customers search each round, consider a few, and accept one or none.

    A customer's value of a business is its quality plus a normal taste, or 0 where it does not fit. Search ranks
    businesses by value plus noise, and the customer considers the best `num_results`. These answer after a time that is
    exponential with their effort as rate. The customer accepts by logit among net values `value - price`, plus a bias
    for the first answer, and among them nothing, at 0, where `can_decline`. An action is `[price, effort]`, positions
    in [0, 1] of the ranges in params. A business's reward is `(price - cost) · sales - k · effort`. An observation is
    `[own quality, own last price and effort, own shares of sales and of first answers, rivals' mean and lowest price,
    t / T]`, prices and efforts as positions.

    `info`: `prices [B]`, `sales [B]`; `welfare`, Σ of accepted net values, and `best_welfare`, with all at the best
    business or none; of first and later proposals each `first_offers`, `first_sales`, `later_offers`, `later_sales`;
    `dispersion`, the standard deviation of prices.

    Attributes:
        num_agents: businesses B, two or more.
        num_customers: C, each round.
        num_steps: rounds.
        can_decline: whether a customer may accept nothing.
    """

    num_agents: int = 5
    num_customers: int = 20
    num_steps: int = 50
    can_decline: bool = True

    symmetric = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("num_customers", self.num_customers, 1)
        require_int("num_steps", self.num_steps, 1)
        require(isinstance(self.can_decline, bool), "can_decline", self.can_decline, "True or False")

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(f"business_{i}" for i in range(self.num_agents))

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> TwoSidedSearchParams:
        numbers = dict(lowest_quality=0.6, highest_quality=1.0, taste=0.2, fit=0.9, ranking_noise=0.2, single_quote=0.0)
        numbers |= dict(bias=0.1, temperature=0.05, cost=0.2, effort_cost=0.05, highest_price=1.5, highest_effort=10.0)
        results = jnp.full((), min(3, self.num_agents), jnp.int32)
        return TwoSidedSearchParams(num_results=results, **{k: jnp.full((), x, float) for k, x in numbers.items()})

    def validate(self, params: TwoSidedSearchParams) -> None:
        def check(low, high, *names):
            for name in names:
                x = np.asarray(getattr(params, name))
                allowed = f"at least {low} and finite" if high == math.inf else f"in [{low}, {high}]"
                require(bool(((x >= low) & (x <= high) & np.isfinite(x)).all()), name, x.tolist(), allowed)

        check(0.0, math.inf, "taste", "ranking_noise", "bias", "temperature", "effort_cost", "cost")
        check(0.0, 1.0, "fit", "single_quote")
        check(1, math.inf, "num_results")
        check(np.finfo(np.float32).tiny, math.inf, "highest_price", "highest_effort")
        low, high = np.asarray(params.lowest_quality), np.asarray(params.highest_quality)
        ordered = np.isfinite(low) & np.isfinite(high) & (high >= low)
        require(bool(ordered.all()), "highest_quality", high.tolist(), "finite and at least lowest_quality")

    def action_space(self, params: TwoSidedSearchParams) -> Box:
        return Box(0.0, 1.0, (2,))

    def observation_space(self, params: TwoSidedSearchParams) -> Box:
        return Box(-math.inf, math.inf, (_SHOWN,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Qualities."""
        return Uniform((self.num_agents,))

    @property
    def step_chance(self) -> ChanceSpec:
        """Of each customer at each business: fit, taste, error of search, time to answer, noise of choice; and more."""
        pairs = self.num_customers, self.num_agents
        names = {"fit": Uniform(pairs), "taste": Normal(pairs), "ranking": Normal(pairs), "answer": Uniform(pairs)}
        return names | {"choice": Uniform(pairs), "declining": Uniform((pairs[0],)), "quotes": Uniform((pairs[0],))}

    def initial(self, chance, params: TwoSidedSearchParams) -> TwoSidedSearchState:
        quality = params.lowest_quality + (params.highest_quality - params.lowest_quality) * chance
        nothing = jnp.zeros_like(quality)
        offer = jnp.full((self.num_agents, 2), 0.5, quality.dtype)
        return TwoSidedSearchState(jnp.zeros((), jnp.int32), quality, offer, nothing, nothing)

    def position(self, price: float | Array, effort: float | Array, params: TwoSidedSearchParams) -> Float[Array, " 2"]:
        """The action that stands for this price and effort."""
        price, effort = jnp.asarray(price), jnp.asarray(effort)
        return jnp.stack([price / params.highest_price, effort / params.highest_effort])

    def transition(self, state: TwoSidedSearchState, action: Float[Array, "B 2"], chance, params: TwoSidedSearchParams):
        offer = jnp.clip(action, 0.0, 1.0)
        price, effort = offer[:, 0] * params.highest_price, offer[:, 1] * params.highest_effort
        value = jnp.where(chance["fit"] < params.fit, state.quality + params.taste * chance["taste"], 0.0)
        seen = self._considered(value, chance, params)
        # an exponential with rate 0 never ends, but the first is still the first
        delay = -jnp.log1p(-chance["answer"]) / jnp.maximum(effort, 1e-9)
        index = jnp.arange(self.num_agents)
        first = seen & (jnp.argmin(jnp.where(seen, delay, jnp.inf), axis=1)[:, None] == index)
        net = value - price
        accepted = self._accepted(net + params.bias * first, seen, chance, params)

        sold, customers = jnp.sum(accepted, axis=0), self.num_customers
        reward = (price - params.cost) * sold - params.effort_cost * effort
        info = {
            "prices": price,
            "sales": sold / customers,
            "welfare": jnp.sum(jnp.where(accepted, net, 0.0)),
            "best_welfare": jnp.sum(jnp.maximum(jnp.max(net, axis=1), 0.0)),
            "first_offers": jnp.sum(first, dtype=jnp.int32),
            "first_sales": jnp.sum(accepted & first, dtype=jnp.int32),
            "later_offers": jnp.sum(seen & ~first, dtype=jnp.int32),
            "later_sales": jnp.sum(accepted & ~first, dtype=jnp.int32),
            "dispersion": jnp.std(price),
        }
        shares = ((x / customers).astype(state.sales.dtype) for x in (sold, jnp.sum(first, axis=0)))
        state = TwoSidedSearchState(state.t + 1, state.quality, offer.astype(state.offer.dtype), *shares)
        return state, reward, state.t >= self.num_steps, info

    def _considered(self, value: Float[Array, "C B"], chance, params: TwoSidedSearchParams) -> Bool[Array, "C B"]:
        """Whether a business is among the results that a customer looks at."""
        score, error = value + params.ranking_noise * chance["ranking"], chance["ranking"]
        higher = score[:, None, :] > score[:, :, None]
        drawn = (score[:, None, :] == score[:, :, None]) & (error[:, None, :] > error[:, :, None])
        results = jnp.where(chance["quotes"] < params.single_quote, 1, params.num_results)
        return jnp.sum(higher | drawn, axis=-1) < results[:, None]

    def _accepted(self, liked: Float[Array, "C B"], seen: Bool[Array, "C B"], chance, params) -> Bool[Array, "C B"]:
        """The offer that each customer accepts, if any: logit choice is the largest utility with Gumbel noise."""
        units = jnp.concatenate([chance["choice"], chance["declining"][:, None]], axis=1)
        gumbel = -jnp.log(-jnp.log(jnp.maximum(units, 2.0**-26)))
        nothing = jnp.zeros_like(liked[:, :1])
        total = jnp.concatenate([liked, nothing], axis=1) + params.temperature * gumbel
        possible = jnp.concatenate([seen, jnp.full_like(nothing, self.can_decline, bool)], axis=1)
        total = jnp.where(possible, total, -jnp.inf)
        # at temperature 0 equal offers are told apart by lot
        tied = total == jnp.max(total, axis=1, keepdims=True)
        choice = jnp.argmax(jnp.where(tied, gumbel, -jnp.inf), axis=1)
        return choice[:, None] == jnp.arange(self.num_agents)

    def observe(self, state: TwoSidedSearchState, params: TwoSidedSearchParams) -> Float[Array, "B 8"]:
        n, price = self.num_agents, state.offer[:, 0]
        rivals = price[(np.arange(n)[:, None] + np.arange(1, n)) % n]
        time = jnp.full(n, state.t / self.num_steps)
        about_rivals = jnp.mean(rivals, axis=1), jnp.min(rivals, axis=1)
        shown = state.quality, *state.offer.T, state.sales, state.firsts, *about_rivals, time
        return jnp.stack(shown, axis=1).astype(jnp.float32)

    def benchmarks(self, params: TwoSidedSearchParams) -> dict[str, Any]:
        """Of equal offers of which none is declined: `first_share`, `first_advantage` over each later one, and
        `race_effort`, a function of the price, of the symmetric race where customers consider random businesses.

        Where some customers see one price and others two, and all value every business alike: `price_cdf`, Burdett and
        Judd's distribution of prices, `price`, its quantiles, and `profit` of each business in a round.
        """
        m, b = min(int(params.num_results), self.num_agents), self.num_agents
        known: dict[str, Any] = {}
        if float(params.temperature) > 0:
            share = float(first_offer_share(params.bias, params.temperature, m))
            later = (1 - share) / max(m - 1, 1)
            known |= {"first_share": share, "first_advantage": share / later if m > 1 else math.inf}
            stake = self.num_customers * (share - later)
            if m > 1 and float(params.effort_cost) > 0:
                known["race_effort"] = lambda price: race_effort(
                    stake * (price - params.cost), m, b, params.effort_cost
                )
        alike = float(params.taste) == 0 and float(params.lowest_quality) == float(params.highest_quality)
        if alike and m == 2 and 0 < float(params.single_quote) < 1 and float(params.fit) == 1:
            numbers = params.single_quote, params.highest_quality, params.cost
            margin = float(params.highest_quality) - float(params.cost)
            known["price_cdf"] = lambda price: burdett_judd_cdf(price, *numbers)
            known["price"] = lambda unit: burdett_judd_price(unit, *numbers)
            known["profit"] = self.num_customers / b * float(params.single_quote) * margin
        return known

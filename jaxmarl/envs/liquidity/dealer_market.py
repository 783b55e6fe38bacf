"""A dealer market: quotes to clients, inventory, trade among dealers, reflexive liquidity, and a regulator's levers."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.chance import Chance, ChanceSpec, Integers, Normal, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment, Info
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.liquidity import flow, pool
from jaxmarl.envs.liquidity.levers import Quotes, backstop_purchases, regulated_quotes, regulator_levers
from jaxmarl.envs.liquidity.market_actions import ActionScale
from jaxmarl.envs.liquidity.market_observation import dealer_limits, observation_width, own_part, public_part
from jaxmarl.envs.liquidity.market_types import (
    DealerMarketParams,
    DealerMarketState,
    Levers,
    default_market,
    validate_market,
)
from jaxmarl.envs.liquidity.quotes import avellaneda_stoikov_quotes
from jaxmarl.games.liquidity_clearing import FILL_RULES, clear, order_bounds, random_pairs

ROUTINGS = ("independent", "routed")
WALKS = ("coin", "normal")
IMBALANCE_MEMORY = 0.9


@struct.dataclass
class Trades:
    """What was traded in a step.

    Attributes:
        clients: `[N, 2]`, parcels bought from clients at the bid and sold to them at the ask.
        interdealer: `[N]`, signed parcels bought from other dealers at the mid price.
        authority: `[N]`, signed parcels taken by the authority.
    """

    clients: Float[Array, "N 2"]
    interdealer: Float[Array, " N"]
    authority: Float[Array, " N"]


@register("dealer_market")
@dataclass(frozen=True)
class DealerMarket(Environment[DealerMarketState, DealerMarketParams]):
    """Dealers quote bid and ask to clients, may trade among themselves, and bear the risk of what they hold.

    A step: (1) levers cap spreads and oblige to quote; a side that could breach a position limit shows nothing; (2) the
    latent value may jump; (3) clients come at rates in proportion to liquidity, on each side, to each dealer
    (`"independent"`, Avellaneda–Stoikov) or to the market, choosing a dealer by logit (`"routed"`); informed ones come
    only to the side that pays (Glosten–Milgrom); (4) dealers' orders to each other clear at the mid price by
    `games.liquidity_clearing.clear`; (5) the backstop; (6) the mid price moves, by public news and, after a trade,
    towards the latent value; (7) liquidity follows the depth that was quoted. Public news moves the latent value too.

    An action is `[bid half-spread, ask half-spread, bid size, ask size]` (with `interdealer`, and a signed order), each
    read from [-1, 1] (sizes are full from 0 on): `encode` gives the action of quotes in their own units. Discrete
    actions are a grid of spreads, skews and sizes (`market_actions.ActionScale`). The reward of a dealer is
    `pnl_weight Δwealth - φ q² dt - capital charge |q| dt + volume_weight (parcels traded) - c (parcels quoted dt +
    |order|)`, and at the end `- final_penalty |q|`. With `regulator`, one more agent sets the levers every
    `regulator_period` steps (`levers.regulator_levers`; its action's first four numbers) and earns `volume - ω spread -
    χ ΔS² - lever_cost effort`.

    An observation is the dealer's own `[t / T, q / limit, wealth / 100, large, last bid and ask half-spreads, last
    fills at bid and ask]` (zeros for the regulator), then public `[liquidity, price change, volume, best bid and ask
    half-spread, imbalance]`, with `regulator` `[tax, cap, least size, backstop]`, with `disclose` all `q / limit`. The
    others' types are never seen.

    `info`: `volume`, `interdealer_volume`, `spread` (mean of bid plus ask half-spreads), `depth`, `liquidity`, `tax`,
    `client_pnl`, `authority_pnl` (without the tax), `bankrupt [N]` (wealth below -100). Wealth of dealers, clients and
    authority, and the tax, add to 0.

    Attributes:
        num_dealers: N.
        num_steps: horizon.
        routing: of clients, of `ROUTINGS`.
        interdealer: `"none"`, or the rule by which dealers' orders clear, of `games.liquidity_clearing.FILL_RULES`.
        max_order: largest order to other dealers.
        discrete: whether actions are discrete.
        min_half_spread: least half-spread that can be quoted; quotes of a risk-averse dealer go below 0.
        max_half_spread: largest.
        disclose: whether positions are public.
        regulator: whether a regulator is the last agent.
        regulator_period: steps between its decisions.
        walk: steps of the mid price, `"coin"` (± σ √dt) or `"normal"`.
    """

    num_dealers: int = 4
    num_steps: int = 200
    routing: str = "independent"
    interdealer: str = "none"
    max_order: int = 2
    discrete: bool = False
    min_half_spread: float = 0.0
    max_half_spread: float = 5.0
    disclose: bool = False
    regulator: bool = False
    regulator_period: int = 20
    walk: str = "coin"

    def __post_init__(self):
        require_int("num_dealers", self.num_dealers, 1)
        require_int("num_steps", self.num_steps, 1)
        require_choice("routing", self.routing, ROUTINGS)
        require_choice("interdealer", self.interdealer, ("none", *FILL_RULES))
        require_int("max_order", self.max_order, 1)
        for name in ("discrete", "disclose", "regulator"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        bounded = 0 < self.max_half_spread < math.inf
        require(bounded, "max_half_spread", self.max_half_spread, "positive, and finite")
        low = -math.inf < self.min_half_spread < self.max_half_spread
        require(low, "min_half_spread", self.min_half_spread, "finite, and below max_half_spread")
        require_int("regulator_period", self.regulator_period, 1)
        require_choice("walk", self.walk, WALKS)

    @property
    def num_agents(self) -> int:
        return self.num_dealers + self.regulator

    @property
    def agent_names(self) -> tuple[str, ...]:
        dealers = tuple(f"dealer_{i}" for i in range(self.num_dealers))
        return (*dealers, "regulator") if self.regulator else dealers

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> DealerMarketParams:
        return default_market(self.num_dealers)

    @property
    def scale(self) -> ActionScale:
        """How actions are read."""
        orders = 0 if self.interdealer == "none" else self.max_order
        return ActionScale(self.min_half_spread, self.max_half_spread, orders, self.discrete)

    def action_space(self, params: DealerMarketParams) -> Box | Discrete:
        return self.scale.space

    def observation_space(self, params: DealerMarketParams) -> Box:
        return Box(-math.inf, math.inf, (observation_width(self.num_dealers, self.disclose, self.regulator),))

    def validate(self, params: DealerMarketParams) -> None:
        validate_market(params, self.num_dealers)

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_dealers,))

    @property
    def step_chance(self) -> ChanceSpec:
        shape = (self.num_dealers, 2) if self.routing == "independent" else (2,)
        drawn = {
            "news": Integers(2) if self.walk == "coin" else Normal(),
            "jump": Uniform(),
            "jump_sign": Integers(2),
            "clients": Uniform(shape if self.routing == "independent" else (2, 2)),
            "wanted": Uniform(shape),
        }
        pairs = self.interdealer not in ("none", "pro_rata")
        return {**drawn, "pairs": Uniform((self.num_dealers,))} if pairs else drawn

    def initial(self, chance: Chance, params: DealerMarketParams) -> DealerMarketState:
        n, zero = self.num_dealers, jnp.zeros(())
        return DealerMarketState(
            step=jnp.zeros((), jnp.int32),
            mid=zero,
            signal=zero,
            inventory=jnp.zeros(n),
            wealth=jnp.zeros(n),
            large=chance < params.dealers.large_share,
            liquidity=pool.initial_liquidity(params.pool),
            half_spreads=jnp.full((n, 2), self.max_half_spread, float),
            fills=jnp.zeros((n, 2)),
            volume=zero,
            imbalance=zero,
            client_position=zero,
            authority_position=zero,
            levers=params.regulation.levers,
            effort=zero,
        )

    def transition(self, state: DealerMarketState, action: Array, chance: Chance, params: DealerMarketParams):
        levers, effort = self._levers(state, action, params)
        quotes = self.quotes(state, action, levers, params)
        jumped = (chance["jump"] < params.clients.jump_probability) & (params.clients.informed > 0)
        signal = state.signal + jnp.where(jumped, (2 * chance["jump_sign"] - 1) * params.clients.jump, 0.0)
        trades = self._trades(state, quotes, signal, levers, chance, params)
        revealed = params.clients.impact * signal * jnp.any(trades.clients > 0)
        news = 2 * chance["news"] - 1 if self.walk == "coin" else chance["news"]
        move = params.volatility * jnp.sqrt(params.dt) * news + revealed
        full_size = self.full_sizes(state, params)
        depth = pool.posted_depth(quotes.half_spreads, quotes.parcels, full_size, params.pool.reference_half_spread)
        bought = jnp.sum(trades.clients[:, 1] - trades.clients[:, 0])
        earned, inventory, wealth = _booked(state, quotes, trades, move, levers, params)
        after = replace(
            state,
            step=state.step + 1,
            mid=state.mid + move,
            signal=signal - revealed,
            inventory=inventory,
            wealth=wealth,
            liquidity=pool.next_liquidity(state.liquidity, depth, params.pool),
            half_spreads=jnp.where(quotes.quoting, quotes.half_spreads, self.max_half_spread),
            fills=trades.clients,
            volume=jnp.sum(trades.clients),
            imbalance=IMBALANCE_MEMORY * state.imbalance + (1 - IMBALANCE_MEMORY) * bought,
            client_position=state.client_position + bought,
            authority_position=state.authority_position + jnp.sum(trades.authority),
            levers=levers,
            effort=effort,
        )
        info = _measure(after, quotes, trades, move, depth, params)
        ended = after.step >= self.num_steps
        reward = self._rewards(after, quotes, trades, earned, move, ended, info, params)
        return after, reward, ended, info

    def observe(self, state: DealerMarketState, params: DealerMarketParams) -> Float[Array, "N width"]:
        own = own_part(state, params, self.num_steps)
        own = jnp.concatenate([own, jnp.zeros((1, own.shape[1]), own.dtype)]) if self.regulator else own
        public = public_part(state, params, self.num_steps, self.disclose, self.regulator, self.max_half_spread)
        seen = jnp.broadcast_to(public, (self.num_agents, public.shape[0]))
        return jnp.concatenate([own, seen], axis=1)

    def benchmarks(self, params: DealerMarketParams) -> dict[str, Any]:
        """`inventory_quotes`: `(state, risk_aversion) -> action` of Avellaneda and Stoikov, full size; `tipping_level`.

        The second is the least `pool.level` with which liquidity can last at a depth of 1, where the exponent exceeds
        1.
        """

        def inventory_quotes(state: DealerMarketState, risk_aversion: float = 0.1) -> Array:
            left = (self.num_steps - state.step) * params.dt
            quotes = avellaneda_stoikov_quotes(
                state.inventory, left, risk_aversion, params.volatility, params.clients.decay
            )
            return self.encode(jnp.stack(quotes, axis=1))

        answers: dict[str, Any] = {} if self.discrete or self.regulator else {"inventory_quotes": inventory_quotes}
        if float(params.pool.exponent) > 1:
            answers["tipping_level"] = pool.tipping_level(params.pool.exponent)
        return answers

    def encode(
        self,
        half_spreads: Float[Array, "*batch N 2"],
        size_shares: Float[Array, "*batch N 2"] | float = 1.0,
        orders: Float[Array, "*batch N"] | float = 0.0,
    ) -> Float[Array, "*batch N d"]:
        """The continuous action that quotes these half-spreads (bid, ask), shares of the full size, and orders."""
        return self.scale.encode(half_spreads, size_shares, orders)

    def full_sizes(self, state: DealerMarketState, params: DealerMarketParams) -> Float[Array, " N"]:
        """Parcels that each dealer quotes at full size."""
        return jnp.where(state.large, params.dealers.sizes[1], params.dealers.sizes[0])

    def quotes(self, state: DealerMarketState, action: Array, levers: Levers, params: DealerMarketParams) -> Quotes:
        """What dealers show, by their actions and the levers."""
        asked = self.scale.decode(action[: self.num_dealers])
        sizes, limits = self.full_sizes(state, params), dealer_limits(state, params)
        return regulated_quotes(*asked, sizes, state.inventory, limits, levers)

    def _levers(self, state: DealerMarketState, action: Array, params: DealerMarketParams):
        """Levers in force in this step, and the regulator's effort."""
        if not self.regulator:
            return state.levers, state.effort
        settings = self.scale.settings(action[-1])
        chosen = regulator_levers(settings, params.regulation, self.max_half_spread)
        decides = state.step % self.regulator_period == 0
        pick = [jnp.where(decides, new, getattr(state.levers, name)) for name, new in vars(chosen).items()]
        return Levers(*pick), jnp.where(decides, jnp.sum(settings[:4]), state.effort)

    def _trades(
        self,
        state: DealerMarketState,
        quotes: Quotes,
        signal: Float[Array, ""],
        levers: Levers,
        chance: Chance,
        params: DealerMarketParams,
    ) -> Trades:
        clients, rate = params.clients, params.clients.arrival_rate * state.liquidity
        wanted = 1.0 + (chance["wanted"] < clients.two_parcels)
        shown = (quotes.half_spreads, quotes.parcels, signal, rate)
        known = (clients.informed, params.dt, chance["clients"], wanted)
        if self.routing == "independent":
            fills = flow.independent_fills(*shown, clients.decay, *known)
        else:
            fills = flow.routed_fills(*shown, clients.sharpness, clients.reservation, *known)
        inventory = state.inventory + fills[:, 0] - fills[:, 1]
        swapped = jnp.zeros_like(inventory)
        if self.interdealer != "none":
            pairs = random_pairs(chance["pairs"]) if "pairs" in chance else None
            swapped = clear(self._feasible(quotes.orders, inventory, state, params), self.interdealer, pairs)
        volume = jnp.sum(jnp.abs(swapped)) / 2
        return Trades(fills, swapped, backstop_purchases(inventory + swapped, volume, levers.backstop))

    def _feasible(
        self, orders: Float[Array, " N"], inventory: Float[Array, " N"], state: DealerMarketState, params: Any
    ) -> Float[Array, " N"]:
        limits = dealer_limits(state, params)
        return jnp.clip(orders, *order_bounds(inventory, -limits, limits, jnp.full_like(limits, self.max_order)))

    def _rewards(
        self,
        after: DealerMarketState,
        quotes: Quotes,
        trades: Trades,
        earned: Float[Array, " N"],
        move: Float[Array, ""],
        ended: Array,
        info: Info,
        params: DealerMarketParams,
    ) -> Float[Array, " num_agents"]:
        dealers, held = params.dealers, jnp.abs(after.inventory)
        traded = jnp.sum(trades.clients, axis=1) + jnp.abs(trades.interdealer)
        quoted = jnp.sum(quotes.parcels, axis=1) * params.dt + jnp.abs(quotes.orders)
        carrying = (dealers.inventory_charge * held + after.levers.capital_charge) * held * params.dt
        reward = dealers.pnl_weight * earned + dealers.volume_weight * traded - carrying - dealers.quote_cost * quoted
        reward = reward - jnp.where(ended, dealers.final_penalty * held, 0.0)
        if not self.regulator:
            return reward
        terms = params.regulation
        lost = terms.spread_weight * info["spread"] + terms.variance_weight * jnp.square(move)
        public = info["volume"] + info["interdealer_volume"] - lost - terms.lever_cost * after.effort
        return jnp.append(reward, public)


def _booked(
    state: DealerMarketState,
    quotes: Quotes,
    trades: Trades,
    move: Float[Array, ""],
    levers: Levers,
    params: DealerMarketParams,
) -> tuple[Float[Array, " N"], Float[Array, " N"], Float[Array, " N"]]:
    """`(change of wealth, inventory, wealth)` of each dealer: trades are booked before the price moves."""
    bid, ask = trades.clients[:, 0], trades.clients[:, 1]
    inventory = state.inventory + bid - ask + trades.interdealer - trades.authority
    margins = jnp.sum(trades.clients * quotes.half_spreads, axis=1) - levers.tax * (bid + ask)
    earned = margins - params.regulation.penalty * jnp.abs(trades.authority) + inventory * move
    return earned, inventory, state.wealth + earned


def _measure(
    after: DealerMarketState,
    quotes: Quotes,
    trades: Trades,
    move: Float[Array, ""],
    depth: Float[Array, ""],
    params: DealerMarketParams,
) -> Info:
    taken = jnp.sum(jnp.abs(trades.authority))
    return {
        "volume": after.volume,
        "interdealer_volume": jnp.sum(jnp.abs(trades.interdealer)) / 2,
        "spread": jnp.mean(jnp.sum(quotes.half_spreads, axis=1)),
        "depth": depth,
        "liquidity": after.liquidity,
        "tax": after.levers.tax * after.volume,
        "client_pnl": after.client_position * move - jnp.sum(trades.clients * quotes.half_spreads),
        "authority_pnl": after.authority_position * move + params.regulation.penalty * taken,
        "bankrupt": after.wealth < -100.0,
    }

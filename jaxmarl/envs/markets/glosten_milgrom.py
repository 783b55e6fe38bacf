"""Dealers quote to traders of whom some know the value of the asset (Glosten and Milgrom 1985)."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box

Number = Float[Array, "*shape"] | float


def zero_profit_quotes(belief: Number, informed: Number) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Bid and ask that earn nothing on average: what the asset is worth given a sale, and given a purchase.

    Where noise traders trade for certain, `logit ask = logit d + ln((1 + μ) / (1 - μ))` and the bid alike with minus,
    which is how they are computed: no digits are lost near 0 and 1.

    Args:
        belief: d, probability that the asset is worth 1 (else 0), strictly between 0 and 1.
        informed: μ, share of traders who know the value, below 1.
    """
    logit, shift = jax.scipy.special.logit(belief), 2 * jnp.arctanh(informed)
    return jax.nn.sigmoid(logit - shift), jax.nn.sigmoid(logit + shift)


@struct.dataclass
class GlostenMilgromParams:
    """Numbers of the market.

    Attributes:
        prior: d_0, probability that the asset is worth 1.
        informed: μ, share of traders who know the value, below 1.
        elasticity: κ; a noise trader trades with probability `exp(-κ |price - d|)`, always where κ is 0.
        tick: quotes are rounded to its multiples; 0 for none.
    """

    prior: Float[Array, ""]
    informed: Float[Array, ""]
    elasticity: Float[Array, ""]
    tick: Float[Array, ""]


@struct.dataclass
class GlostenMilgromState:
    """State of the market.

    Attributes:
        step: trades offered so far.
        value: 1 or 0, unknown to dealers.
        log_odds: of the public belief that it is 1, given the quotes and trades so far.
        trade: the last one, 1 a purchase from a dealer, -1 a sale to one, 0 none.
    """

    step: Int32[Array, ""]
    value: Float[Array, ""]
    log_odds: Float[Array, ""]
    trade: Int32[Array, ""]


@register("glosten_milgrom")
@dataclass(frozen=True)
class GlostenMilgrom(Environment[GlostenMilgromState, GlostenMilgromParams]):
    """Competing dealers post bids and asks; one trader at a time comes, who may know what the asset is worth.

    A trader is informed with probability μ and then buys at the lowest ask if the asset is worth more, or sells at the
    highest bid if it is worth less. Otherwise it wants to buy or to sell with equal chances, and does so with
    probability `exp(-κ |price - d|)`. Dealers with the best price share the trade equally. All of this is known, and d
    is the belief after Bayes' rule given the quotes and trades so far. Actions are `[bid, ask]` in [0, 1], rounded to
    ticks; a bid above the ask is raised to it. An observation is `[d, t / T, last trade]`; a dealer's reward is its
    share of `ask - V` or `V - bid`, valued at the truth V, which no observation shows.

    `info`: `trade`, `belief` (after it), `bid`, `ask` (the best ones), `value`.

    Attributes:
        num_agents: dealers.
        num_steps: traders that come.
    """

    num_agents: int = 2
    num_steps: int = 20

    symmetric = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> GlostenMilgromParams:
        return GlostenMilgromParams(*(jnp.asarray(x, float) for x in (0.5, 0.3, 0.0, 0.01)))

    def validate(self, params: GlostenMilgromParams) -> None:
        prior, informed = np.asarray(params.prior), np.asarray(params.informed)
        require(bool(((prior > 0) & (prior < 1)).all()), "prior", prior.tolist(), "strictly between 0 and 1")
        require(bool(((informed >= 0) & (informed < 1)).all()), "informed", informed.tolist(), "in [0, 1)")
        for name in ("elasticity", "tick"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number >= 0)).all()), name, number.tolist(), "at least 0 and finite")

    def action_space(self, params: GlostenMilgromParams) -> Box:
        return Box(0.0, 1.0, (2,))

    def observation_space(self, params: GlostenMilgromParams) -> Box:
        return Box(-1.0, 1.0, (3,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform()

    @property
    def step_chance(self) -> ChanceSpec:
        """Whether the trader is informed, which way noise goes, and whether it finds the price acceptable."""
        return Uniform((3,))

    def initial(self, chance, params: GlostenMilgromParams) -> GlostenMilgromState:
        value = (chance < params.prior).astype(params.prior.dtype)
        log_odds = jax.scipy.special.logit(params.prior)
        return GlostenMilgromState(jnp.zeros((), jnp.int32), value, log_odds, jnp.zeros((), jnp.int32))

    def transition(self, state: GlostenMilgromState, action: Array, chance, params: GlostenMilgromParams):
        tick = jnp.where(params.tick > 0, params.tick, 1.0)
        rounded = jnp.where(params.tick > 0, jnp.round(action / tick) * tick, action)
        asks = jnp.clip(rounded[:, 1], 0.0, 1.0)
        bids = jnp.clip(jnp.minimum(rounded[:, 0], asks), 0.0, 1.0)
        bid, ask = jnp.max(bids), jnp.min(asks)
        belief = jax.nn.sigmoid(state.log_odds)
        noise_buys, noise_sells = (jnp.exp(-params.elasticity * jnp.abs(x - belief)) / 2 for x in (ask, bid))

        informed, direction, patience = chance[0] < params.informed, chance[1], chance[2]
        buys = jnp.where(informed, ask < state.value, (direction < 0.5) & (patience < 2 * noise_buys))
        sells = jnp.where(informed, bid > state.value, (direction >= 0.5) & (patience < 2 * noise_sells))
        trade = buys.astype(jnp.int32) - sells.astype(jnp.int32)
        belief_move = _evidence(trade, bid, ask, noise_buys, noise_sells, params.informed)
        # beyond these odds float32 cannot tell the belief from certainty
        log_odds = jnp.clip(state.log_odds + belief_move, -16.0, 16.0)

        at_ask, at_bid = asks == ask, bids == bid
        profit = jnp.where(buys, at_ask / jnp.sum(at_ask) * (ask - state.value), 0.0)
        profit = profit + jnp.where(sells, at_bid / jnp.sum(at_bid) * (state.value - bid), 0.0)
        state = GlostenMilgromState(state.step + 1, state.value, log_odds, trade)
        info = {
            "trade": trade,
            "belief": jax.nn.sigmoid(log_odds),
            "bid": bid,
            "ask": ask,
            "value": state.value,
        }
        return state, profit, state.step >= self.num_steps, info

    def observe(self, state: GlostenMilgromState, params: GlostenMilgromParams) -> Float[Array, "N 3"]:
        seen = jnp.stack([jax.nn.sigmoid(state.log_odds), state.step / self.num_steps, state.trade])
        return jnp.broadcast_to(seen.astype(jnp.float32), (self.num_agents, 3))

    def benchmarks(self, params: GlostenMilgromParams) -> dict[str, Any]:
        """Where noise traders always trade (κ = 0): `quotes`, the equilibrium `d -> (bid, ask)` of two dealers or more,
        with which they earn nothing, and `policy`, which plays it (rounded outwards to ticks); its params are the
        market's.
        """
        if float(np.max(params.elasticity)) > 0:
            return {}

        def act(params, memory, obs, chance):
            bid, ask = zero_profit_quotes(jnp.clip(obs[0], 1e-7, 1 - 1e-7), params.informed)
            tick = jnp.where(params.tick > 0, params.tick, 1.0)
            outwards = jnp.stack([jnp.floor(bid / tick), jnp.ceil(ask / tick)]) * tick
            return jnp.where(params.tick > 0, outwards, jnp.stack([bid, ask])), memory

        return {
            "quotes": lambda belief: zero_profit_quotes(belief, params.informed),
            "policy": Policy(lambda chance: (), act, name="zero_profit"),
        }


def _evidence(trade, bid, ask, noise_buys, noise_sells, informed) -> Float[Array, ""]:
    """Change of the log odds of a value of 1: the log ratio of what was seen if it is 1, and if it is 0."""

    def chances(value):
        """Of a purchase, a sale and neither."""
        knows = jnp.asarray(informed)
        buy = (1 - knows) * noise_buys + knows * (ask < value)
        sell = (1 - knows) * noise_sells + knows * (bid > value)
        return jnp.stack([buy, sell, 1 - buy - sell])

    seen = jnp.stack([trade == 1, trade == -1, trade == 0])
    high, low = (jnp.sum(jnp.where(seen, chances(value), 0.0)) for value in (1.0, 0.0))
    tiny = math.ulp(1.0)
    return jnp.log(jnp.maximum(high, tiny)) - jnp.log(jnp.maximum(low, tiny))

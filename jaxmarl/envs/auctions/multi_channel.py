"""An advertiser who buys in several auction channels through one lever for each: its budget or its target return."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions.channels import budget_response, multi_channel_optimum, roi_response
from jaxmarl.envs.auctions.one_shot import require_amounts, require_each

LEVERS = {"budget": budget_response, "roi": roi_response}


@struct.dataclass
class MultiChannelParams:
    """Numbers of the channels and of the advertiser.

    Attributes:
        values: `[M, A]`, mean value of each auction of a period; an auction of no value and no cost is padding.
        costs: `[M, A]`, its mean price.
        noise: in `[0, 1)`: values and prices of a period are the means times numbers uniform on `1 - noise, 1 + noise`.
        roi: `gamma`, the return on investment that the advertiser wants, value over spend.
        budget: per period, for all channels; the total over the horizon is binding.
        max_lever: `[M]`, the largest budget, or target, of each channel.
        penalty: on the value missing at the end for the return on what was spent; with budgets as levers it pays to
            keep to the return where it exceeds the `roi_dual` of `benchmarks`.
    """

    values: Float[Array, "M A"]
    costs: Float[Array, "M A"]
    noise: Float[Array, ""]
    roi: Float[Array, ""]
    budget: Float[Array, ""]
    max_lever: Float[Array, " M"]
    penalty: Float[Array, ""]


@struct.dataclass
class MultiChannelState:
    """What was done and bought.

    Attributes:
        levers: `[M]`, the last action.
        bought: `[M]`, value bought in the last period.
        paid: `[M]`, spent in the last period.
        value: bought in all.
        spent: in all.
        period: number of periods played.
    """

    levers: Float[Array, " M"]
    bought: Float[Array, " M"]
    paid: Float[Array, " M"]
    value: Float[Array, ""]
    spent: Float[Array, ""]
    period: Int32[Array, ""]


@register("multi_channel_bidding")
@dataclass(frozen=True)
class MultiChannelBidding(Environment[MultiChannelState, MultiChannelParams]):
    """In every period the advertiser sets one lever for each of `M` channels, which then buy on their own.

    An action is `[M]` shares in `[0, 1]` of `max_lever`. With the lever `"budget"` a channel buys the most value for
    its budget, best value for money first; with `"roi"` the most value whose ratio to its cost keeps to its target.
    Where the money left does not pay for what the channels buy, they get the same share of everything. The reward is
    the value bought; with the last one, what the total value falls short of `roi` times the total spend is charged at
    `penalty`. Budgets alone reach the optimum, targets alone can be arbitrarily far from it (Deng et al. 2023,
    "Multi-channel autobidding with budget and ROI constraints").

    An observation is `[last action M, last values M, last spend M, share of the money left, value so far and roi times
    spend so far, both per period played, roi, budget, share of the periods played]`. `info`: `values [M]`, `spend [M]`,
    `revenue` (the spend in all), `shortfall` of the return so far.

    Attributes:
        num_channels: `M`.
        num_auctions: of a period, in each channel.
        horizon: number of periods.
        lever: `"budget"` or `"roi"`.
    """

    num_channels: int = 2
    num_auctions: int = 4
    horizon: int = 100
    lever: str = "budget"

    num_agents = 1

    def __post_init__(self):
        require_int("num_channels", self.num_channels, 1)
        require_int("num_auctions", self.num_auctions, 1)
        require_int("horizon", self.horizon, 1)
        require_choice("lever", self.lever, LEVERS)

    @property
    def default_params(self) -> MultiChannelParams:
        """Channels whose auctions get dearer and worse, from the first to the last."""
        channel, auction = np.indices((self.num_channels, self.num_auctions))
        worth = np.maximum(4.0 - auction - channel / 2, 1.0)
        price = 1.0 + 0.5 * auction * (1 + channel)
        number = {k: jnp.full((), x, float) for k, x in (("noise", 0.2), ("roi", 1.5), ("penalty", 4.0))}
        most = price.sum(axis=1) if self.lever == "budget" else np.full(self.num_channels, 8.0)
        return MultiChannelParams(
            values=jnp.asarray(worth, float),
            costs=jnp.asarray(price, float),
            budget=jnp.full((), price.sum() / 2, float),
            max_lever=jnp.asarray(most, float),
            **number,
        )

    def action_space(self, params: MultiChannelParams) -> Box:
        return Box(0.0, 1.0, (self.num_channels,))

    def observation_space(self, params: MultiChannelParams) -> Box:
        return Box(-math.inf, math.inf, (3 * self.num_channels + 6,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((2, self.num_channels, self.num_auctions), -1.0, 1.0)

    def validate(self, params: MultiChannelParams) -> None:
        require_each(params, self.num_channels, "max_lever")
        wanted = (self.num_channels, self.num_auctions)
        for name in ("values", "costs"):
            shape = np.shape(getattr(params, name))
            require(shape[-2:] == wanted, name, shape, f"of shape {list(wanted)}")
        require_amounts(params, *vars(params))
        noise = np.asarray(params.noise)
        require(bool((noise < 1).all()), "noise", noise.tolist(), "below 1")

    def initial(self, chance: Chance, params: MultiChannelParams) -> MultiChannelState:
        none, zero = jnp.zeros_like(params.max_lever), jnp.zeros_like(params.budget)
        return MultiChannelState(none, none, none, zero, zero, jnp.zeros((), jnp.int32))

    def transition(self, state: MultiChannelState, action: Array, chance: Chance, params: MultiChannelParams):
        values, costs = (
            mean * (1 + params.noise * unit) for mean, unit in zip((params.values, params.costs), chance, strict=True)
        )
        shares = jnp.clip(action[0], 0.0, 1.0).astype(state.levers.dtype)
        bought, paid = jax.vmap(LEVERS[self.lever])(values, costs, shares * params.max_lever)
        left = jnp.maximum(params.budget * self.horizon - state.spent, 0.0)
        wanted = jnp.sum(paid)
        short = wanted > left
        part = jnp.where(short, left / jnp.where(short, wanted, 1.0), 1.0)
        bought, paid = part * bought, part * paid
        after = MultiChannelState(
            levers=shares,
            bought=bought,
            paid=paid,
            value=state.value + jnp.sum(bought),
            spent=state.spent + jnp.sum(paid),
            period=state.period + 1,
        )
        over = after.period >= self.horizon
        shortfall = jnp.maximum(params.roi * after.spent - after.value, 0.0)
        reward = jnp.sum(bought) - jnp.where(over, params.penalty * shortfall, 0.0)
        info = {"values": bought, "spend": paid, "revenue": jnp.sum(paid), "shortfall": shortfall}
        return after, reward[None], over, info

    def observe(self, state: MultiChannelState, params: MultiChannelParams) -> Float[Array, "1 features"]:
        played = jnp.maximum(state.period, 1).astype(state.value.dtype)
        total = params.budget * self.horizon
        some = total > 0
        numbers = [
            jnp.where(some, 1 - state.spent / jnp.where(some, total, 1.0), 0.0),
            state.value / played,
            params.roi * state.spent / played,
            params.roi,
            params.budget,
            state.period / self.horizon,
        ]
        parts = [state.levers, state.bought, state.paid, jnp.stack(numbers).astype(state.value.dtype)]
        return jnp.concatenate(parts)[None]

    def benchmarks(self, params: MultiChannelParams) -> dict[str, Any]:
        """The optimum at the mean values and prices, by a linear program; it is exact where `noise` is 0. Outside jit.

        `value`: per period; `spend`: `[M]`, by channel; `roi_dual` and `budget_dual`: the worth of relaxing either
        constraint; with the lever `"budget"` also `action`, the shares that reach the optimum, and `policy`.
        """
        best = multi_channel_optimum(params.values, params.costs, roi=float(params.roi), budget=float(params.budget))
        answers: dict[str, Any] = {
            "value": best.value,
            "spend": best.channel_spend,
            "roi_dual": best.roi_dual,
            "budget_dual": best.budget_dual,
        }
        if self.lever == "roi":
            return answers
        most = np.asarray(params.max_lever, np.float64)
        action = np.clip(best.channel_spend / np.where(most > 0, most, 1.0), 0.0, 1.0).astype(np.float32)

        def act(policy_params, memory, obs, chance):
            return jnp.asarray(action), memory

        return answers | {"action": action, "policy": Policy(lambda chance: (), act, name="optimal budgets")}

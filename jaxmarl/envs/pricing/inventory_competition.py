"""Firms with stocks and one deadline that compete for customers who choose by logit.

The market of one firm is `DynamicPricing` (Gallego and van Ryzin 1994) where customers are many and few of them buy;
that of more is the dynamic price competition of Lin and Sibdari, European Journal of Operational Research 2009.
"""

from dataclasses import dataclass
from typing import Any

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
from jaxmarl.envs.pricing.inventory_equilibrium import InventoryEquilibrium, inventory_equilibrium, joint_values
from jaxmarl.envs.pricing.logit import logit_shares
from jaxmarl.envs.pricing.logit_equilibrium import LogitMarket

MOST_STATES = 4096  # whose equilibrium is computed


@struct.dataclass
class InventoryCompetitionParams:
    """Numbers of the season.

    Attributes:
        customers: expected number of them in the whole season, Λ T.
        quality: `[N]`, a_i.
        outside_quality: a_0, of buying nothing.
        differentiation: μ > 0, the scale of tastes.
        largest: the largest price.
    """

    customers: Float[Array, ""]
    quality: Float[Array, " N"]
    outside_quality: Float[Array, ""]
    differentiation: Float[Array, ""]
    largest: Float[Array, ""]


@struct.dataclass
class InventoryCompetitionState:
    """State of the season.

    Attributes:
        t: int32, steps made.
        stock: int32 `[N]`, units left.
        last_prices: `[N]`, as shares of the largest one, 0 at first.
        last_sales: float32 `[N]`, 1 for the firm that sold a unit in the last step.
    """

    t: Int32[Array, ""]
    stock: Int32[Array, " N"]
    last_prices: Float[Array, " N"]
    last_sales: Float[Array, " N"]


@register("inventory_competition")
@dataclass(frozen=True)
class InventoryCompetition(Environment[InventoryCompetitionState, InventoryCompetitionParams]):
    """Each step sells one unit of one firm or none; what is left at the end is worth nothing.

    A firm with stock sells with probability `customers / num_steps` times its logit share
    `exp((a_i - p_i) / μ) / (Σ_j exp((a_j - p_j) / μ) + exp(a_0 / μ))`, where j are the firms with stock; probabilities
    that sum to more than one are scaled down. An action is a price as a share of `params.largest`, in [0, 1], clipped;
    a reward is the price of what a firm sells. An observation is `[shares of the stocks left, share of the season
    gone, last prices' shares, last sales]`, `3 N + 1` numbers, of firms always the own, then the next ones.

    `info`: `prices [N]`, `sales [N]`.

    Attributes:
        num_agents: number of firms `N`.
        stock: units of each firm at the start.
        num_steps: steps of the season; one sale a step is not a restriction where they are many.
    """

    num_agents: int = 2
    stock: int = 5
    num_steps: int = 100

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("stock", self.stock, 1)
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> InventoryCompetitionParams:
        numbers = 20.0, np.full(self.num_agents, 1.0), 0.0, 0.5, 6.0
        return InventoryCompetitionParams(*(jnp.asarray(x, float) for x in numbers))

    def action_space(self, params: InventoryCompetitionParams) -> Box:
        return Box(0.0, 1.0)

    def observation_space(self, params: InventoryCompetitionParams) -> Box:
        return Box(0.0, 1.0, (3 * self.num_agents + 1,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform()

    def validate(self, params: InventoryCompetitionParams) -> None:
        for name, value in vars(params).items():
            number = np.asarray(value)
            positive = name in ("customers", "differentiation", "largest")
            good = np.isfinite(number) & ((number > 0) if positive else True)
            require(bool(np.all(good)), name, number.tolist(), "positive" if positive else "finite")
        shape = np.shape(params.quality)
        require(shape[-1:] == (self.num_agents,), "quality", shape, f"of shape [{self.num_agents}]")

    def initial(self, chance, params: InventoryCompetitionParams) -> InventoryCompetitionState:
        stock, zeros = jnp.full(self.num_agents, self.stock, jnp.int32), jnp.zeros(self.num_agents, jnp.float32)
        return InventoryCompetitionState(jnp.zeros((), jnp.int32), stock, zeros, zeros)

    def transition(
        self,
        state: InventoryCompetitionState,
        action: Float[Array, " N"],
        chance,
        params: InventoryCompetitionParams,
    ):
        position = jnp.clip(action, 0.0, 1.0)
        prices = position * params.largest
        market = params.quality, params.outside_quality, params.differentiation, state.stock > 0
        rates = params.customers / self.num_steps * logit_shares(prices, *market)
        until = jnp.cumsum(rates / jnp.maximum(jnp.sum(rates), 1.0))
        before = jnp.concatenate([jnp.zeros_like(until[:1]), until[:-1]])
        sells = (before <= chance) & (chance < until) & (state.stock > 0)
        after = InventoryCompetitionState(
            state.t + 1,
            state.stock - sells.astype(jnp.int32),
            position.astype(jnp.float32),
            sells.astype(jnp.float32),
        )
        info = {"prices": prices, "sales": after.last_sales}
        return after, jnp.where(sells, prices, 0.0), after.t >= self.num_steps, info

    def observe(self, state: InventoryCompetitionState, params: InventoryCompetitionParams) -> Float[Array, "N _"]:
        turns = (np.arange(self.num_agents)[:, None] + np.arange(self.num_agents)) % self.num_agents
        left = state.stock / jnp.float32(self.stock)
        gone = jnp.full((self.num_agents, 1), jnp.minimum(state.t / jnp.float32(self.num_steps), 1.0))
        parts = left[turns], gone, state.last_prices[turns], state.last_sales[turns]
        return jnp.concatenate(parts, axis=1).astype(jnp.float32)

    def benchmarks(self, params: InventoryCompetitionParams) -> dict[str, Any]:
        """The Markov-perfect equilibrium and one owner's optimum, on the host; empty where there are too many stocks.

        `equilibrium` (`InventoryEquilibrium`), `values [N]` of the whole season in it, `policies`, one for each firm;
        `joint_value`: of one owner of all firms. Exact where `params.largest` is above all prices and the probabilities
        of a sale need no scaling. With one firm both are the optimum.
        """
        if (self.stock + 1) ** self.num_agents > MOST_STATES:
            return {}
        quality = np.asarray(params.quality, np.float64)
        market = LogitMarket(
            quality, np.zeros(self.num_agents), float(params.outside_quality), float(params.differentiation)
        )
        season = float(params.customers), self.stock, self.num_steps
        found, full = inventory_equilibrium(market, *season), (self.stock,) * self.num_agents
        return {
            "equilibrium": found,
            "values": found.values[full],
            "policies": tuple(self._policy(found, firm) for firm in range(self.num_agents)),
            "joint_value": float(joint_values(market, *season)[full]),
        }

    def _policy(self, equilibrium: InventoryEquilibrium, firm: int) -> Policy:
        """What a firm charges in equilibrium; its params are those of the season."""
        n = self.num_agents
        own_first = [0, *(1 + np.roll(np.arange(n), -firm))]
        table = np.transpose(equilibrium.prices[..., firm], own_first).astype(np.float32)

        def act(params, memory, obs, chance):
            stocks = jnp.round(obs[:n] * self.stock).astype(jnp.int32)
            gone = jnp.round(obs[n] * self.num_steps).astype(jnp.int32)
            left = jnp.maximum(self.num_steps - 1 - gone, 0)
            price = jnp.asarray(table)[(left, *stocks)]
            return jnp.clip(price / params.largest, 0.0, 1.0), memory

        return Policy(lambda chance: (), act, name=f"equilibrium_{firm}")

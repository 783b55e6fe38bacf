"""Liquidity provision: how much depth to post when trades are only as deep as the weakest dealer, with types."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.games import pure_equilibria
from jaxmarl.games.liquidity_payoffs import AGGREGATIONS, executed_depth
from jaxmarl.games.liquidity_types import type_strategies
from jaxmarl.games.zoo import liquidity_provision_bayesian


@struct.dataclass
class LiquidityProvisionParams:
    """Numbers of the dealers and the regulator's levers.

    Attributes:
        large_share: `[N]`, probability that each dealer is large; 0 and 1 make its type known.
        small_capacity: most parcels that a small dealer can post.
        large_capacity: most that a large one can.
        cost: `[N]`, of a parcel posted.
        minimum: lever: least depth that a dealer must post, or its capacity if that is less.
        subsidy: lever: on a parcel posted.
        backstop: lever: depth that the central bank provides where dealers provide less.
    """

    large_share: Float[Array, " N"]
    small_capacity: Float[Array, ""]
    large_capacity: Float[Array, ""]
    cost: Float[Array, " N"]
    minimum: Float[Array, ""]
    subsidy: Float[Array, ""]
    backstop: Float[Array, ""]


@struct.dataclass
class LiquidityProvisionState:
    """What chance dealt.

    Attributes:
        large: bool `[N]`, each dealer's type, which only it knows.
    """

    large: Bool[Array, " N"]


@register("liquidity_provision")
@dataclass(frozen=True)
class LiquidityProvision(Environment[LiquidityProvisionState, LiquidityProvisionParams]):
    """Dealers see their type and post depth once, at the same time.

    The reward is the depth executed less `cost - subsidy` for every parcel posted: see
    `games.liquidity_payoffs.executed_depth`. Action k is the depth k; depths beyond the dealer's capacity or below its
    obligation are masked, and moved to the nearest allowed one if played. With known types it is the game
    `liquidity_provision` of the zoo, with two dealers of unknown type `liquidity_provision_bayesian`.

    An observation is the dealer's `[capacity, cost - subsidy, obligation, backstop, expected capacity of the others]`.
    `info`: `depths` and `executed` `[N]`.

    Attributes:
        num_agents: dealers `N`.
        max_depth: largest depth that any of them can post.
        aggregation: `"min"`, or `"mean_min"` for dealers who meet in pairs.
    """

    num_agents: int = 2
    max_depth: int = 2
    aggregation: str = "min"

    symmetric = True
    horizon = 1

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("max_depth", self.max_depth, 1)
        require_choice("aggregation", self.aggregation, AGGREGATIONS)

    @property
    def default_params(self) -> LiquidityProvisionParams:
        n, zero = self.num_agents, jnp.zeros(())
        small, large = (jnp.full((), float(k), float) for k in (min(1, self.max_depth), self.max_depth))
        share, cost = jnp.full(n, 0.5, float), jnp.full(n, 0.25, float)
        return LiquidityProvisionParams(share, small, large, cost, minimum=zero, subsidy=zero, backstop=zero)

    def action_space(self, params: LiquidityProvisionParams) -> Discrete:
        return Discrete(self.max_depth + 1)

    def observation_space(self, params: LiquidityProvisionParams) -> Box:
        return Box(-math.inf, math.inf, (5,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    def validate(self, params: LiquidityProvisionParams) -> None:
        for name in ("large_share", "cost"):
            shape = np.shape(getattr(params, name))
            require(shape[-1:] == (self.num_agents,), name, shape, f"of shape [{self.num_agents}]")
        cost = np.asarray(params.cost)
        require(bool(np.isfinite(cost).all()), "cost", cost.tolist(), "finite")
        share = np.asarray(params.large_share)
        require(bool(((share >= 0) & (share <= 1)).all()), "large_share", share.tolist(), "in [0, 1]")
        for name in ("small_capacity", "large_capacity"):
            number = np.asarray(getattr(params, name))
            whole = bool(((number >= 0) & (number <= self.max_depth) & (number == np.floor(number))).all())
            require(whole, name, number.tolist(), f"a whole number in [0, {self.max_depth}]")
        for name in ("minimum", "backstop"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number >= 0)).all()), name, number.tolist(), "at least 0, and finite")

    def initial(self, chance, params: LiquidityProvisionParams) -> LiquidityProvisionState:
        return LiquidityProvisionState(chance < params.large_share)

    def bounds(
        self, state: LiquidityProvisionState, params: LiquidityProvisionParams
    ) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
        """Obligation and capacity of each dealer."""
        capacity = jnp.where(state.large, params.large_capacity, params.small_capacity)
        return jnp.minimum(jnp.ceil(params.minimum), capacity), capacity

    def action_mask(self, state: LiquidityProvisionState, params: LiquidityProvisionParams) -> Bool[Array, "N depths"]:
        least, most = self.bounds(state, params)
        depths = jnp.arange(self.max_depth + 1)
        return (least[:, None] <= depths) & (depths <= most[:, None])

    def transition(self, state: LiquidityProvisionState, action: Array, chance, params: LiquidityProvisionParams):
        least, most = self.bounds(state, params)
        depths = jnp.clip(action.astype(least.dtype), least, most)
        executed = executed_depth(depths, self.aggregation, params.backstop)
        reward = executed - (params.cost - params.subsidy) * depths
        return state, reward, jnp.ones((), bool), {"depths": depths, "executed": executed}

    def observe(self, state: LiquidityProvisionState, params: LiquidityProvisionParams) -> Float[Array, "N 5"]:
        least, most = self.bounds(state, params)
        expected = params.small_capacity + params.large_share * (params.large_capacity - params.small_capacity)
        others = (jnp.sum(expected) - expected) / (self.num_agents - 1)
        backstop = jnp.broadcast_to(params.backstop, least.shape)
        return jnp.stack([most, params.cost - params.subsidy, least, backstop, others], axis=1).astype(most.dtype)

    def benchmarks(self, params: LiquidityProvisionParams) -> dict[str, Any]:
        """Pure symmetric Bayesian equilibria of two like dealers without obligation or backstop; else empty.

        `strategies [E, 2]`: depth of the small and of the large type; `values [E]`, before types are known.
        """
        share, cost = np.asarray(params.large_share), np.asarray(params.cost - params.subsidy)
        alike = np.ptp(share) == 0 and np.ptp(cost) == 0
        if self.num_agents != 2 or not alike or float(params.minimum) > 0 or float(params.backstop) > 0:
            return {}
        small, large = int(params.small_capacity), int(params.large_capacity)
        if large < small:
            return {}
        game = liquidity_provision_bayesian(float(share[0]), float(cost[0]), small, large)
        stable = np.flatnonzero(np.diagonal(np.asarray(pure_equilibria(game))))
        return {
            "strategies": type_strategies(small, large)[stable],
            "values": np.asarray(game.payoffs)[0, stable, stable],
        }

"""Competition in prices with linear demand: differentiated goods, or one good and firms with capacities."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.core.environment import Info
from jaxmarl.core.registry import register
from jaxmarl.envs.pricing import oligopoly
from jaxmarl.envs.pricing.stage_market import StageMarket, require_numbers


@struct.dataclass
class LinearBertrandParams:
    """Numbers of the market.

    Attributes:
        intercept: a, sold at price 0 where the others charge 0.
        substitution: g in [0, 1), what a firm sells more for each unit by which the others' mean price is higher.
        cost: `[N]`, of a unit.
        largest: the largest price.
    """

    intercept: Float[Array, ""]
    substitution: Float[Array, ""]
    cost: Float[Array, " N"]
    largest: Float[Array, ""]


@register("linear_bertrand")
@dataclass(frozen=True)
class LinearBertrand(StageMarket[LinearBertrandParams]):
    """Firms choose prices of differentiated goods; each sells `max(a - p_i + g · mean of the others' prices, 0)`.

    `info`: `prices [N]` and `quantities [N]`.
    """

    differentiable_params = ("cost",)

    @property
    def default_params(self) -> LinearBertrandParams:
        one = jnp.ones((), float)
        return LinearBertrandParams(one, one / 2, jnp.zeros(self.num_agents, float), 2 * one)

    def validate(self, params: LinearBertrandParams) -> None:
        require_numbers(params, self.num_agents, each=("cost",), positive=("intercept", "largest"))
        substitution = np.asarray(params.substitution)
        require(bool((substitution < 1).all()), "substitution", substitution.tolist(), "in [0, 1)")

    def market(self, choice: Float[Array, " N"], params: LinearBertrandParams) -> tuple[Float[Array, " N"], Info]:
        others = (jnp.sum(choice) - choice) / (self.num_agents - 1)
        quantities = jnp.maximum(params.intercept - choice + params.substitution * others, 0.0)
        return (choice - params.cost) * quantities, {"prices": choice, "quantities": quantities}

    def benchmarks(self, params: LinearBertrandParams) -> dict[str, Any]:
        """`nash`: prices `[N]`; `cartel`: the joint-profit price of firms with the mean cost. On the host."""
        numbers, cost = (float(params.intercept), float(params.substitution)), np.asarray(params.cost, np.float64)
        return {
            "nash": oligopoly.linear_bertrand(*numbers, cost),
            "cartel": oligopoly.linear_bertrand_cartel(*numbers, float(cost.mean())),
        }


@struct.dataclass
class CapacityBertrandParams:
    """Numbers of the market.

    Attributes:
        intercept: a, demanded at price 0; nothing is demanded at price a.
        capacity: `[N]`, the most that a firm can sell.
        largest: the largest price.
    """

    intercept: Float[Array, ""]
    capacity: Float[Array, " N"]
    largest: Float[Array, ""]


@register("capacity_bertrand")
@dataclass(frozen=True)
class CapacityBertrand(StageMarket[CapacityBertrandParams]):
    """Firms with capacities and no costs price one good with demand `a - p`, as in Kreps and Scheinkman (1983).

    Cheaper firms sell first, each up to its capacity; a firm is left `max(a - p - what the cheaper ones can sell, 0)`
    (efficient rationing). Firms that charge the same share what is left in proportion to capacity.

    `info`: `prices [N]` and `quantities [N]`.
    """

    @property
    def default_params(self) -> CapacityBertrandParams:
        one = jnp.ones((), float)
        return CapacityBertrandParams(one, jnp.full(self.num_agents, 0.5, float), one)

    def validate(self, params: CapacityBertrandParams) -> None:
        require_numbers(params, self.num_agents, each=("capacity",), positive=("intercept", "capacity", "largest"))

    def market(self, choice: Float[Array, " N"], params: CapacityBertrandParams) -> tuple[Float[Array, " N"], Info]:
        cheaper, tied = choice[None, :] < choice[:, None], choice[None, :] == choice[:, None]
        left = jnp.maximum(params.intercept - choice - jnp.sum(jnp.where(cheaper, params.capacity, 0.0), axis=1), 0.0)
        share = params.capacity / jnp.sum(jnp.where(tied, params.capacity, 0.0), axis=1)
        quantities = jnp.minimum(params.capacity, left * share)
        return choice * quantities, {"prices": choice, "quantities": quantities}

    def benchmarks(self, params: CapacityBertrandParams) -> dict[str, Any]:
        """`nash`: the equilibrium mixture (`PriceMixture`) of two firms with equal capacities; empty for others."""
        capacity = np.asarray(params.capacity, np.float64)
        if len(capacity) != 2 or capacity[0] != capacity[1]:
            return {}
        return {"nash": oligopoly.capacity_bertrand(float(capacity[0]), float(params.intercept))}

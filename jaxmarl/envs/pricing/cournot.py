"""Competition in quantities with linear demand: at once (Cournot) or after a leader (von Stackelberg)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.environment import Info
from jaxmarl.core.registry import register
from jaxmarl.envs.pricing import oligopoly
from jaxmarl.envs.pricing.stage_market import StageMarket, StageMarketState, require_numbers


@struct.dataclass
class QuantityParams:
    """Numbers of the market.

    Attributes:
        intercept: A, the price of the first unit.
        slope: B, the fall of the price with each unit.
        cost: `[N]`, of a unit.
        largest: the largest quantity of a firm.
    """

    intercept: Float[Array, ""]
    slope: Float[Array, ""]
    cost: Float[Array, " N"]
    largest: Float[Array, ""]


@register("cournot")
@dataclass(frozen=True)
class Cournot(StageMarket[QuantityParams]):
    """Firms choose quantities; the price is `max(A - B Q, 0)`, and profits are `(price - cost) quantity`.

    `info`: `price`, `quantities [N]`, `consumer_surplus` (of the area under inverse demand).
    """

    differentiable_params = ("cost",)

    @property
    def default_params(self) -> QuantityParams:
        one = jnp.ones((), float)
        return QuantityParams(one, one, jnp.zeros(self.num_agents, float), one)

    def validate(self, params: QuantityParams) -> None:
        require_numbers(params, self.num_agents, each=("cost",), positive=("intercept", "slope", "largest"))

    def market(self, choice: Float[Array, " N"], params: QuantityParams) -> tuple[Float[Array, " N"], Info]:
        total = jnp.sum(choice)
        price = jnp.maximum(params.intercept - params.slope * total, 0.0)
        sold = jnp.minimum(total, params.intercept / params.slope)  # what exceeds demand at price 0 is left over
        info = {"price": price, "quantities": choice, "consumer_surplus": params.slope * sold**2 / 2}
        return (price - params.cost) * choice, info

    def benchmarks(self, params: QuantityParams) -> dict[str, Any]:
        """`cournot` and `cartel`: quantities, price and profits; `grim_trigger`: least discount factor for the cartel.

        Closed forms, on the host. The threshold is that of equal firms.
        """
        numbers = _numbers(params)
        return {
            "cournot": oligopoly.cournot(*numbers),
            "cartel": oligopoly.cartel(*numbers),
            "grim_trigger": oligopoly.grim_trigger_threshold(self.num_agents),
        }


@register("stackelberg")
@dataclass(frozen=True)
class Stackelberg(Cournot):
    """The first firm chooses its quantity, the others see it and choose theirs at once; then all are paid.

    Each of `num_steps` periods has two steps, of which the first pays nothing; the actions of those who do not move are
    ignored. An observation is `[the leader's share in this period or 0, 1 where the followers move]`. `info` measures
    the market where the followers have moved, else that of the leader alone.
    """

    symmetric = False

    @property
    def horizon(self) -> int:
        return 2 * self.num_steps

    @property
    def agent_names(self) -> tuple[str, ...]:
        return ("leader", *(f"follower_{i}" for i in range(1, self.num_agents)))

    def transition(self, state: StageMarketState, action: Array, chance, params: QuantityParams):
        leads, first = state.t % 2 == 0, jnp.arange(self.num_agents) == 0
        shares = self.shares(action)
        shares = jnp.where(leads, jnp.where(first, shares, 0.0), jnp.where(first, state.last, shares))
        reward, info = self.market(shares * params.largest, params)
        kept = jnp.where(leads, shares, 0.0).astype(jnp.float32)
        state = StageMarketState(state.t + 1, kept)
        return state, jnp.where(leads, 0.0, reward), state.t >= self.horizon, info

    def observe(self, state: StageMarketState, params: QuantityParams) -> Float[Array, "N 2"]:
        seen = jnp.stack([state.last[0], (state.t % 2).astype(jnp.float32)])
        return jnp.broadcast_to(seen, (self.num_agents, 2))

    def benchmarks(self, params: QuantityParams) -> dict[str, Any]:
        """Those of `Cournot`, and `stackelberg` (interior solution), on the host."""
        return {**super().benchmarks(params), "stackelberg": oligopoly.stackelberg(*_numbers(params))}


def _numbers(params: QuantityParams) -> tuple[float, float, np.ndarray]:
    return float(params.intercept), float(params.slope), np.asarray(params.cost, np.float64)

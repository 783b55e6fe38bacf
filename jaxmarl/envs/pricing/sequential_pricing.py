"""Price competition in turns, as in Maskin and Tirole, Econometrica 1988, and Klein, RAND Journal 2021."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.pricing.alternating_equilibrium import alternating_values, edgeworth_cycle, focal_price


@struct.dataclass
class SequentialPricingParams:
    """Numbers of the market.

    Attributes:
        discount: δ of the benchmarks; rewards are not discounted.
        demand: units sold at price 0.
    """

    discount: Float[Array, ""]
    demand: Float[Array, ""]


@struct.dataclass
class SequentialPricingState:
    """State of the market.

    Attributes:
        t: int32, periods played; firm `t % 2` moves.
        standing: int32 `[2]`, prices of both firms.
    """

    t: Int32[Array, ""]
    standing: Int32[Array, " 2"]


@register("sequential_pricing")
@dataclass(frozen=True)
class SequentialPricing(Environment[SequentialPricingState, SequentialPricingParams]):
    """Two firms sell one good without costs; in each period one of them sets its price, which stands for two periods.

    Prices are `i / (m - 1)`. The cheaper firm sells `1 - p` (times `params.demand`), equal ones share it, and both are
    paid in every period. The firm that does not move has one legal action, its standing price, and what it plays is
    ignored. An observation is `[the rival's price, the own price, 1 if it is one's turn]`. First prices are uniform.
    The game has no end of its own: episodes are truncated after `num_steps` periods.

    `info`: `prices [2]`.

    Attributes:
        num_prices: m.
        num_steps: periods of an episode.
    """

    num_prices: int = 7
    num_steps: int = 1000

    num_agents = 2

    def __post_init__(self):
        require_int("num_prices", self.num_prices, 2)
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> SequentialPricingParams:
        return SequentialPricingParams(jnp.full((), 0.95, float), jnp.ones((), float))

    def action_space(self, params: SequentialPricingParams) -> Discrete:
        return Discrete(self.num_prices)

    def observation_space(self, params: SequentialPricingParams) -> Box:
        return Box(0.0, 1.0, (3,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Integers(self.num_prices, (2,))

    def validate(self, params: SequentialPricingParams) -> None:
        discount, demand = np.asarray(params.discount), np.asarray(params.demand)
        require(bool(((discount >= 0) & (discount < 1)).all()), "discount", discount.tolist(), "in [0, 1)")
        require(bool((np.isfinite(demand) & (demand > 0)).all()), "demand", demand.tolist(), "positive")

    def initial(self, chance, params: SequentialPricingParams) -> SequentialPricingState:
        return SequentialPricingState(jnp.zeros((), jnp.int32), chance)

    def transition(self, state: SequentialPricingState, action: Int32[Array, " 2"], chance, params: Any):
        moves = jnp.arange(2) == state.t % 2
        standing = jnp.where(moves, action, state.standing).astype(jnp.int32)
        prices, reward = self._profits(standing, params)
        return SequentialPricingState(state.t + 1, standing), reward, jnp.zeros((), bool), {"prices": prices}

    def truncated(self, state: SequentialPricingState, params: SequentialPricingParams):
        return state.t >= self.num_steps

    def action_mask(self, state: SequentialPricingState, params: SequentialPricingParams) -> Bool[Array, "2 m"]:
        moves = jnp.arange(2) == state.t % 2
        return moves[:, None] | (jnp.arange(self.num_prices) == state.standing[:, None])

    def observe(self, state: SequentialPricingState, params: SequentialPricingParams) -> Float[Array, "2 3"]:
        prices = state.standing / jnp.float32(self.num_prices - 1)
        moves = (jnp.arange(2) == state.t % 2).astype(jnp.float32)
        return jnp.stack([prices[::-1], prices, moves], axis=1)

    def stage_payoffs(self, params: SequentialPricingParams) -> Float[Array, "2 m m"]:
        """Profits of one period in which these two prices stand."""
        standing = jnp.moveaxis(jnp.indices((self.num_prices, self.num_prices)), 0, -1)
        return jnp.moveaxis(self._profits(standing, params)[1], -1, 0)

    def _profits(self, standing: Int32[Array, "*batch 2"], params: SequentialPricingParams):
        """Prices and profits of both firms in one period."""
        prices = standing / jnp.float32(self.num_prices - 1)
        share = (jnp.sign(standing[..., ::-1] - standing) + 1) / 2
        return prices, params.demand * prices * (1 - prices) * share

    def benchmarks(self, params: SequentialPricingParams) -> dict[str, Any]:
        """`edgeworth_cycle` and `focal_price`: reactions `[7, 7]` of Markov-perfect equilibria, `..._profit` theirs.

        `monopoly_profit`: half of the largest joint profit. Equilibria are given for seven prices and discount factors
        near one, where they are known. On the host.
        """
        scale, discount = float(params.demand), float(params.discount)
        prices = np.arange(self.num_prices) / (self.num_prices - 1)
        known: dict[str, Any] = {"monopoly_profit": scale * float(np.max(prices * (1 - prices))) / 2}
        if self.num_prices != 7:
            return known
        for name, find in (("edgeworth_cycle", edgeworth_cycle), ("focal_price", focal_price)):
            try:
                known[name] = find(discount)
            except ValueError:  # no equilibrium at this discount factor
                continue
            known[f"{name}_profit"] = scale * alternating_values(known[name], discount).average_profit
        return known

"""Dealers post a half-spread once, and a client chooses among them: competition in spreads."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.liquidity import quoting_equilibria
from jaxmarl.envs.liquidity.flow import choice_probabilities

ROUNDS_OF_RESPONSES = 200
MOST_RESERVATION, MOST_SHARPNESS = 1e6, 1e9  # beyond them, float32 has no exponents for their product


@struct.dataclass
class DealerQuotingParams:
    """Numbers of a quoting game.

    Attributes:
        cost: `[N]`, κ: what a parcel costs each dealer in adverse selection and inventory.
        sharpness: θ, of clients' choice, per unit of price.
        reservation: δ_0, half-spread at which a client is indifferent between one dealer and not trading.
    """

    cost: Float[Array, " N"]
    sharpness: Float[Array, ""]
    reservation: Float[Array, ""]


@struct.dataclass
class DealerQuotingState:
    """Nothing is carried from one moment to the next; the sizes are in `params`."""


@register("dealer_quoting")
@dataclass(frozen=True)
class DealerQuoting(Environment[DealerQuotingState, DealerQuotingParams]):
    """Dealers quote half-spreads δ once, at the same time, and one client trades with at most one of them.

    The reward is the expected profit `(δ_i - κ_i) P_i` for the logit choice of `flow.choice_probabilities`. An
    observation is the dealer's `[κ_i, θ, δ_0]`. `info`: `choice [N]`, `trade` (probability that the client trades at
    all). Dealers are alike (`symmetric`) as far as their costs are.

    It is the one-stage benchmark of `dealer_market` with routed clients, without risk.

    Attributes:
        num_agents: dealers `N`.
        max_half_spread: largest half-spread that can be quoted; continuous actions are clipped to `[0, it]`.
        num_levels: number of equally spaced half-spreads from 0 to the largest, None for continuous actions.
    """

    num_agents: int = 2
    max_half_spread: float = 5.0
    num_levels: int | None = None

    symmetric = True
    deterministic = True
    horizon = 1
    differentiable_params = ("cost", "sharpness", "reservation")

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        positive = 0 < self.max_half_spread < math.inf
        require(positive, "max_half_spread", self.max_half_spread, "positive, and finite")
        if self.num_levels is not None:
            require_int("num_levels", self.num_levels, 2)

    @property
    def default_params(self) -> DealerQuotingParams:
        numbers = (jnp.full((), x, float) for x in (1.5, 2.0))
        return DealerQuotingParams(jnp.zeros(self.num_agents), *numbers)

    def action_space(self, params: DealerQuotingParams) -> Box | Discrete:
        return Box(0.0, self.max_half_spread) if self.num_levels is None else Discrete(self.num_levels)

    def observation_space(self, params: DealerQuotingParams) -> Box:
        return Box(-math.inf, math.inf, (3,))

    def validate(self, params: DealerQuotingParams) -> None:
        cost, sharpness = np.asarray(params.cost), np.asarray(params.sharpness)
        require(cost.shape[-1:] == (self.num_agents,), "cost", cost.shape, f"of shape [{self.num_agents}]")
        require(bool(np.isfinite(cost).all()), "cost", cost.tolist(), "finite")
        allowed = bool(((sharpness > 0) & (sharpness <= MOST_SHARPNESS)).all())
        require(allowed, "sharpness", sharpness.tolist(), f"in (0, {MOST_SHARPNESS:g}]")
        reservation = np.asarray(params.reservation)
        sized = bool((np.abs(reservation) <= MOST_RESERVATION).all())  # NaN is not
        require(sized, "reservation", reservation.tolist(), f"within {MOST_RESERVATION:g} of 0")

    def initial(self, chance, params: DealerQuotingParams) -> DealerQuotingState:
        return DealerQuotingState()

    def half_spreads(self, action: Array) -> Float[Array, " N"]:
        """The half-spreads that actions stand for."""
        if self.num_levels is None:
            return jnp.clip(action, 0.0, self.max_half_spread)
        return action * jnp.asarray(self.max_half_spread / (self.num_levels - 1))

    def transition(self, state: DealerQuotingState, action: Array, chance, params: DealerQuotingParams):
        half_spreads = self.half_spreads(action)
        choice = choice_probabilities(half_spreads, params.sharpness, params.reservation)
        reward = (half_spreads - params.cost) * choice
        return state, reward, jnp.ones((), bool), {"choice": choice, "trade": jnp.sum(choice)}

    def observe(self, state: DealerQuotingState, params: DealerQuotingParams) -> Float[Array, "N 3"]:
        public = jnp.stack([params.sharpness, params.reservation])
        shared = jnp.broadcast_to(public, (self.num_agents, 2))
        return jnp.concatenate([params.cost[:, None], shared], axis=1, dtype=public.dtype)

    def benchmarks(self, params: DealerQuotingParams) -> dict[str, Any]:
        """`nash_half_spread [N]` and `nash_profit [N]`; with equal costs also `collusive_half_spread` and its profit.

        Those of continuous quotes without `max_half_spread`. Looks at the numbers, so it runs outside jit.
        """
        market = (params.cost, params.sharpness, params.reservation)
        if np.ptp(np.asarray(params.cost)) > 0:
            start = params.cost + 1 / params.sharpness
            nash = quoting_equilibria.best_response_path(start, *market, ROUNDS_OF_RESPONSES)[-1]
            return {"nash_half_spread": nash, "nash_profit": quoting_equilibria.quoting_profits(nash, *market)}
        answers, like = {}, (params.cost[0], params.sharpness, params.reservation)
        for name, rule in (
            ("nash", quoting_equilibria.nash_half_spread),
            ("collusive", quoting_equilibria.collusive_half_spread),
        ):
            quotes = jnp.broadcast_to(rule(self.num_agents, *like), params.cost.shape)
            answers[f"{name}_half_spread"] = quotes
            answers[f"{name}_profit"] = quoting_equilibria.quoting_profits(quotes, *market)
        return answers

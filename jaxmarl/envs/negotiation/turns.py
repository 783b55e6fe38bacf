"""Offers in turns: one side proposes an outcome, the other accepts it or proposes another, until offers run out."""

import abc
from dataclasses import dataclass
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment, Info
from jaxmarl.core.spaces import Discrete

Params = TypeVar("Params")


@struct.dataclass
class BargainingState:
    """State of a negotiation.

    Attributes:
        t: int32, turns taken; side `t % 2` moves.
        offers: int32 `[T]`, number of the outcome of each offer, -1 where none was made.
        types: what the two sides bring to the table.
    """

    t: Int32[Array, ""]
    offers: Int32[Array, " T"]
    types: Any


@dataclass(frozen=True)
class Bargaining(Environment[BargainingState, Params]):
    """Two sides make offers in turns, side 0 first; the side that moves accepts the last offer or makes another one.

    After the last offer the other side can only accept it (the highest action) or decline (action 0, as every action
    but that). An agreement pays each side what the outcome is worth to it, times its discount to the power of the
    offers that were rejected before; no agreement pays nothing. The side that does not move has one legal action, 0,
    and what it plays is ignored.

    Attributes:
        num_offers: T, offers of both sides together; an episode has at most T + 1 turns.
    """

    num_offers: int = 9

    num_agents = 2

    def __post_init__(self):
        require_int("num_offers", self.num_offers, 1)

    @property
    @abc.abstractmethod
    def num_outcomes(self) -> int:
        """Offers to choose from; the action of this number accepts."""

    @abc.abstractmethod
    def outcome(self, offer: Int32[Array, ""], mover: Int32[Array, ""], types: Any) -> Int32[Array, ""]:
        """Number of the outcome that this action of the moving side proposes."""

    @abc.abstractmethod
    def payoffs(self, types: Any, outcome: Int32[Array, ""]) -> Float[Array, " 2"]:
        """What the outcome is worth to both, not discounted."""

    @abc.abstractmethod
    def measures(self, types: Any, outcome: Int32[Array, ""], agreed: Bool[Array, ""]) -> Info:
        """Entries of `info` about the agreement, if there is one."""

    def possible(self, types: Any) -> Bool[Array, "2 A"]:
        """Which offers each side can make (all, unless overridden)."""
        return jnp.ones((2, self.num_outcomes), bool)

    def settled(self, state: BargainingState, action: Int32[Array, " 2"]) -> tuple[Bool[Array, ""], Int32[Array, ""]]:
        """Whether this turn brings agreement, and on which outcome."""
        accepts = (action[state.t % 2] == self.num_outcomes) & (state.t > 0)
        return accepts, self.standing(state)

    def standing(self, state: BargainingState) -> Int32[Array, ""]:
        """The last offer, -1 before the first."""
        return jnp.where(state.t > 0, state.offers[jnp.clip(state.t - 1, 0, self.num_offers - 1)], -1)

    def action_space(self, params: Params) -> Discrete:
        return Discrete(self.num_outcomes + 1)

    def transition(self, state: BargainingState, action: Int32[Array, " 2"], chance, params: Any):
        mover = state.t % 2
        agreed, agreement = self.settled(state, action)
        offer = self.outcome(jnp.clip(action[mover], 0, self.num_outcomes - 1), mover, state.types)
        makes = (jnp.arange(self.num_offers) == state.t) & ~agreed
        offers = jnp.where(makes, offer, state.offers).astype(jnp.int32)
        rejected = jnp.maximum(state.t - 1, 0)
        paid = self.payoffs(state.types, jnp.maximum(agreement, 0)) * params.discounts**rejected
        after = BargainingState(state.t + 1, offers, state.types)
        info = {
            "agreement": agreed,
            "rejected": jnp.where(agreed, rejected, jnp.minimum(state.t, self.num_offers)).astype(jnp.int32),
            **self.measures(state.types, jnp.maximum(agreement, 0), agreed),
        }
        reward = jnp.where(agreed, paid, 0.0).astype(jnp.float32)
        return after, reward, agreed | (after.t > self.num_offers), info

    def action_mask(self, state: BargainingState, params: Params) -> Bool[Array, "2 actions"]:
        moves = (state.t % 2 == jnp.arange(2))[:, None]
        first = jnp.arange(self.num_outcomes) == 0
        offers = jnp.where(moves & (state.t < self.num_offers), self.possible(state.types), first)
        return jnp.concatenate([offers, moves & (state.t > 0)], axis=1)


def validate_discounts(discounts: Float[Array, " 2"]) -> None:
    """Raises `ValueError` unless all are in [0, 1]."""
    got = np.asarray(discounts)
    require(bool(((got >= 0) & (got <= 1)).all()), "discounts", got.tolist(), "in [0, 1]")

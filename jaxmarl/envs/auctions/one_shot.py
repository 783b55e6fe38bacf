"""What one-shot auctions share: bids as actions, lots for ties, the checks of their numbers."""

import math
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete

State = TypeVar("State")
Params = TypeVar("Params")


@struct.dataclass
class PrivateValues:
    """What chance dealt: all that a bidder knows of the others is their law.

    Attributes:
        values: `[N]`, of the item to each bidder, or `[N, D]`, of each of several units.
    """

    values: Float[Array, "N *units"]


class OneShotAuction(Environment[State, Params]):
    """Everybody bids once, at the same time, without seeing the others' bids.

    Attributes:
        num_bid_levels: number of equally spaced bids from 0 to `max_bid`, None for continuous bids.
        max_bid: largest bid; continuous bids are clipped to it, and it may be infinite.
        tie_rule: what equal bids get.
        bids_shape: of one bidder's bids.
        tie_rules: what `tie_rule` may be. Where several places are sold, tied bids cannot all lose.
    """

    num_bid_levels: int | None = None
    max_bid: float
    tie_rule: str
    tie_rules: tuple[str, ...] = ("split", "random")

    horizon = 1

    @property
    def bids_shape(self) -> tuple[int, ...]:
        return ()

    def check_bids(self) -> None:
        """Refuses fields of the bids that are not allowed; for `__post_init__`."""
        require_choice("tie_rule", self.tie_rule, self.tie_rules)
        require(self.max_bid > 0, "max_bid", self.max_bid, "positive")
        if self.num_bid_levels is not None:
            require_int("num_bid_levels", self.num_bid_levels, 2)
            require(math.isfinite(self.max_bid), "max_bid", self.max_bid, "finite where bids are discrete")

    def action_space(self, params: Params) -> Discrete | Box:
        if self.num_bid_levels is None:
            return Box(0.0, self.max_bid, self.bids_shape)
        return Discrete(self.num_bid_levels)

    def bids(self, action: Array) -> Float[Array, "N *units"]:
        """The bids that actions stand for."""
        if self.num_bid_levels is None:
            return jnp.clip(action, 0.0, self.max_bid)
        return action * jnp.asarray(self.max_bid / (self.num_bid_levels - 1))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents, *self.bids_shape)) if self.tie_rule == "random" else ()

    def lots(self, chance: Any) -> Float[Array, " M"] | None:
        """What ties are drawn by, one number for each bid; None where they are not drawn."""
        return jnp.ravel(chance) if self.tie_rule == "random" else None


def require_each(params: Any, num_agents: int, *names: str) -> None:
    """Raises `ValueError` unless these fields have one number for each bidder; leading axes are a batch of markets."""
    for name in names:
        shape = np.shape(getattr(params, name))
        require(shape[-1:] == (num_agents,), name, shape, f"of shape [{num_agents}]")


def require_amounts(params: Any, *names: str) -> None:
    """Raises `ValueError` unless these fields are finite and not negative."""
    for name in names:
        number = np.asarray(getattr(params, name))
        allowed = bool((np.isfinite(number) & (number >= 0)).all())
        require(allowed, name, number.tolist(), "at least 0, and finite")


def require_risk(params: Any, num_agents: int) -> None:
    """Raises `ValueError` unless `params.risk` has one exponent of CRRA utility for each bidder."""
    require_each(params, num_agents, "risk")
    risk = np.asarray(params.risk)
    require(bool(((risk > 0) & (risk <= 1)).all()), "risk", risk.tolist(), "in (0, 1]")


def require_prior(prior: Any, family: type, num_agents: int, name: str = "prior") -> None:
    """Raises `ValueError` unless `prior` is of the family that the environment's field names, with fitting numbers."""
    require(type(prior) is family, name, type(prior).__name__, f"a {family.__name__}")
    prior.validate(num_agents)


def common_law(prior: Any, active: np.ndarray) -> Any:
    """The law that all active bidders' values have, with scalar leaves; None where laws differ or nobody is active."""
    leaves = vars(prior)
    if len(active) == 0 or any(np.ptp(np.asarray(leaf)[active]) != 0 for leaf in leaves.values()):
        return None
    return prior.replace(**{name: leaf[int(active[0])] for name, leaf in leaves.items()})

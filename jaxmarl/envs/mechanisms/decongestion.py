"""Decongestion by representation: a platform chooses which features of items its consumers see."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.mechanisms.decongestion_rules import (
    FeatureMarket,
    feature_masks,
    market_outcome,
    random_market,
    validate_market,
)


@struct.dataclass
class DecongestionState:
    """State of the platform.

    Attributes:
        t: int32, rounds played.
        mask: `[d]`, features shown last; zeros before the first round.
        demand: `[m]`, for each item in the last round, as a share of consumers.
    """

    t: Int32[Array, ""]
    mask: Float[Array, " d"]
    demand: Float[Array, " m"]


@register("decongestion")
@dataclass(frozen=True)
class Decongestion(Environment[DecongestionState, FeatureMarket]):
    """Prices are fixed and each item serves one consumer; showing fewer features can spread demand (Kadan et al. 2024).

    The platform's action is a score for each feature, and the `num_shown` highest are shown. Consumers take hidden
    features for their means, choose what then seems best, and of those who choose the same item one is served, drawn at
    random. The reward is the expected welfare (the sum of true values of those who are served) over the number of
    consumers. An observation is `[features shown last, demand for each item over n]`. The params are the market.

    `info`: `welfare`, `congestion` (consumers who are not served).

    Attributes:
        num_items: m.
        num_consumers: n.
        num_features: d.
        num_shown: k.
        num_steps: rounds of an episode.
    """

    num_items: int = 20
    num_consumers: int = 20
    num_features: int = 12
    num_shown: int = 6
    num_steps: int = 20

    num_agents = 1
    agent_names = ("platform",)
    deterministic = True

    def __post_init__(self):
        for name in ("num_items", "num_consumers", "num_features", "num_steps"):
            require_int(name, getattr(self, name), 1)
        require_int("num_shown", self.num_shown, 0, self.num_features)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> FeatureMarket:
        market = random_market(0, self.num_items, self.num_consumers, self.num_features)
        return jax.tree.map(lambda x: jnp.asarray(x, float), market)

    def validate(self, params: FeatureMarket) -> None:
        validate_market(params)

    def action_space(self, params: FeatureMarket) -> Box:
        return Box(0.0, 1.0, (self.num_features,))

    def observation_space(self, params: FeatureMarket) -> Box:
        return Box(0.0, 1.0, (self.num_features + self.num_items,))

    def initial(self, chance, params: FeatureMarket) -> DecongestionState:
        sizes = self.num_features, self.num_items
        return DecongestionState(jnp.zeros((), jnp.int32), *(jnp.zeros(size, jnp.float32) for size in sizes))

    def transition(self, state: DecongestionState, action: Float[Array, "1 d"], chance, params: FeatureMarket):
        mask = self.shown(action[0])
        found = market_outcome(params, mask)
        after = DecongestionState(state.t + 1, mask, (found.demand / self.num_consumers).astype(jnp.float32))
        reward = (found.welfare / self.num_consumers).astype(jnp.float32)
        info = {"welfare": found.welfare, "congestion": found.congestion}
        return after, reward[None], after.t >= self.num_steps, info

    def observe(self, state: DecongestionState, params: FeatureMarket) -> Float[Array, "1 observed"]:
        return jnp.concatenate([state.mask, state.demand])[None]

    def shown(self, scores: Float[Array, " d"]) -> Float[Array, " d"]:
        """1 for the features with the highest scores (of equal ones the first), 0 for the others."""
        above = scores > scores[:, None]
        earlier = (scores == scores[:, None]) & np.tri(self.num_features, k=-1, dtype=bool)
        return (jnp.sum(above | earlier, axis=1) < self.num_shown).astype(jnp.float32)

    def optimal(self, params: FeatureMarket) -> dict[str, Any]:
        """The best features, by trying all: `mask` `[d]`, `welfare`, `congestion`; on the host, for d up to 20."""
        masks = jnp.asarray(feature_masks(self.num_features, self.num_shown), float)
        found = jax.jit(lambda masks: jax.lax.map(lambda m: market_outcome(params, m), masks, batch_size=128))(masks)
        best = int(jnp.argmax(found.welfare))
        return {
            "mask": np.asarray(masks[best]),
            "welfare": float(found.welfare[best]),
            "congestion": float(found.congestion[best]),
        }

    def benchmarks(self, params: FeatureMarket) -> dict[str, Any]:
        """`full_welfare` where consumers see everything, `optimal_welfare` of the best representation (if there are at
        most a thousand), both per consumer.
        """
        everything = market_outcome(params, jnp.ones(self.num_features))
        known = {"full_welfare": float(everything.welfare) / self.num_consumers}
        if self.num_features <= 12:
            known["optimal_welfare"] = self.optimal(params)["welfare"] / self.num_consumers
        return known

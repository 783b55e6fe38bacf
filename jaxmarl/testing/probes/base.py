"""What probe environments share."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete


@struct.dataclass
class RewardParams:
    """A reward, the same at each rewarded step."""

    reward: Float[Array, ""]


@struct.dataclass
class Clock:
    """State of probes that only count their steps."""

    t: Int32[Array, ""]


@dataclass(frozen=True)
class Probe(Environment[Any, Any]):
    """What probes share: one agent, a constant observation, two actions, and a reward that is a param."""

    num_agents = 1

    @property
    def default_params(self) -> Any:
        return RewardParams(reward=jnp.ones(()))

    def observation_space(self, params) -> Box:
        return Box(0.0, 1.0, (1,))

    def action_space(self, params) -> Discrete | Box:
        return Discrete(2)

    def initial(self, chance, params) -> Any:
        return Clock(jnp.zeros((), jnp.int32))

    def observe(self, state, params):
        return jnp.ones((self.num_agents, 1), jnp.float32)

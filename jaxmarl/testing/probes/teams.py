"""Probes of teams: coordination that is punished when it fails, and knowledge that only one agent has."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int32

from jaxmarl.core.chance import Integers
from jaxmarl.core.checks import require_int
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.testing.probes.base import Clock, Probe
from jaxmarl.testing.probes.values import PayoffParams


@dataclass(frozen=True)
class Climbing(Probe):
    """Two agents share a payoff of 11, 7 or 5 where they agree; missing the best costs 30 (Claus and Boutilier 1998).

    No value that rises in each agent's own value can rank its actions: learners of factored values miss 11.
    """

    num_agents = 2
    horizon = 1
    deterministic = True
    symmetric = False
    differentiable_params = ("payoffs",)

    @property
    def default_params(self) -> PayoffParams:
        return PayoffParams(jnp.asarray([11, -30, 0, -30, 7, 6, 0, 0, 5], float))

    def action_space(self, params) -> Discrete:
        return Discrete(3)

    def transition(self, state, action, chance, params):
        paid = params.payoffs[3 * action[0] + action[1]]
        return Clock(state.t + 1), jnp.broadcast_to(paid, (2,)), jnp.ones((), bool), {}

    def benchmarks(self, params):
        return {"value": lambda discount: jnp.max(params.payoffs)}


@struct.dataclass
class TargetState:
    """State of `SpeakerListener`: what the speaker sees."""

    target: Int32[Array, ""]


@dataclass(frozen=True)
class SpeakerListener(Probe):
    """The first agent sees a target, the second must name it: impossible unless agents talk. Both are paid 1 for it.

    Attributes:
        num_targets: number of targets and of actions.
    """

    num_targets: int = 4

    num_agents = 2
    horizon = 1
    default_params = ()

    def __post_init__(self):
        require_int("num_targets", self.num_targets, 2)

    @property
    def reset_chance(self) -> Integers:
        return Integers(self.num_targets)

    def observation_space(self, params) -> Box:
        return Box(0.0, 1.0, (self.num_targets + 1,))

    def action_space(self, params) -> Discrete:
        return Discrete(self.num_targets)

    def initial(self, chance, params) -> TargetState:
        return TargetState(chance)

    def transition(self, state, action, chance, params):
        paid = (action[1] == state.target).astype(jnp.float32)
        return state, jnp.broadcast_to(paid, (2,)), jnp.ones((), bool), {}

    def observe(self, state, params):
        """One-hot of the target, for the speaker; whether one is the listener."""
        speaker = jax.nn.one_hot(state.target, self.num_targets + 1, dtype=jnp.float32)
        listener = jax.nn.one_hot(self.num_targets, self.num_targets + 1, dtype=jnp.float32)
        return jnp.stack([speaker, listener])

    def benchmarks(self, params):
        """`value` with messages; `mute`, the best without."""
        return {"value": lambda discount: jnp.ones(()), "mute": lambda discount: jnp.asarray(1 / self.num_targets)}

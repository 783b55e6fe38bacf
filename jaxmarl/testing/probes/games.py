"""Probes of action masks, continuous actions and memory."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Integers, Normal
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.testing.probes.base import Probe


@struct.dataclass
class MaskedState:
    """State of `MaskedChoice`: which half of the actions agent 0 may take."""

    parity: Int32[Array, ""]


@dataclass(frozen=True)
class MaskedChoice(Probe):
    """Action `a` pays `a / num_actions`, but only every second action is legal; an illegal one pays -100.

    Two agents, whose legal actions are opposite; which is whose is drawn at reset and seen.

    Attributes:
        num_actions: an even number of actions.
    """

    num_actions: int = 4

    num_agents = 2
    horizon = 1
    reset_chance = Integers(2)
    default_params = ()

    def __post_init__(self):
        require(
            self.num_actions >= 2 and self.num_actions % 2 == 0, "num_actions", self.num_actions, "even, at least 2"
        )

    def action_space(self, params) -> Discrete:
        return Discrete(self.num_actions)

    def initial(self, chance, params) -> MaskedState:
        return MaskedState(chance)

    def transition(self, state, action, chance, params):
        legal = jnp.take_along_axis(self.action_mask(state, params), action[:, None], axis=1)[:, 0]
        reward = jnp.where(legal, action.astype(jnp.float32) / self.num_actions, -100.0)
        return state, reward, jnp.ones((), bool), {"illegal": jnp.sum(~legal, dtype=jnp.int32)}

    def action_mask(self, state, params):
        parity = self._parities(state)
        return jnp.arange(self.num_actions) % 2 == parity[:, None]

    def observe(self, state, params):
        return self._parities(state).astype(jnp.float32)[:, None]

    def _parities(self, state):
        return jnp.stack([state.parity, 1 - state.parity])

    def benchmarks(self, params):
        """`action` and `value` of an agent whose legal actions are odd (the even one's are one less)."""
        best = self.num_actions - 1
        return {"action": best, "value": lambda discount: jnp.asarray(best / self.num_actions)}


@struct.dataclass
class TargetParams:
    """The action that pays best."""

    target: Float[Array, ""]


@struct.dataclass
class NoiseState:
    """State of `BoxMarket`."""

    t: Int32[Array, ""]
    noise: Float[Array, "num_agents 1"]


@dataclass(frozen=True)
class BoxMarket(Probe):
    """Two agents pay the squared distance of a continuous action to a target; what they observe is noise.

    Attributes:
        horizon: steps of an episode.
    """

    horizon: int = 4

    num_agents = 2
    symmetric = True
    reset_chance = Normal((2, 1))
    step_chance = Normal((2, 1))
    differentiable_params = ("target",)

    def __post_init__(self):
        require_int("horizon", self.horizon, 1)

    @property
    def default_params(self) -> TargetParams:
        return TargetParams(target=jnp.float32(0.5))

    def observation_space(self, params) -> Box:
        return Box(-jnp.inf, jnp.inf, (1,))

    def action_space(self, params) -> Box:
        return Box(-2.0, 2.0, (1,))

    def initial(self, chance, params) -> NoiseState:
        return NoiseState(jnp.zeros((), jnp.int32), chance)

    def transition(self, state, action, chance, params):
        distance = action[:, 0] - params.target
        state = NoiseState(state.t + 1, chance)
        return state, -(distance**2), state.t >= self.horizon, {"distance": jnp.mean(jnp.abs(distance))}

    def observe(self, state, params):
        return state.noise

    def benchmarks(self, params):
        return {"action": params.target, "value": lambda discount: jnp.zeros(())}


@struct.dataclass
class CueState:
    """State of `Recall`."""

    t: Int32[Array, ""]
    cue: Int32[Array, ""]


@dataclass(frozen=True)
class Recall(Probe):
    """The first observation shows a cue; the last action earns 1 for naming it: impossible without memory.

    Attributes:
        length: steps of an episode, at least 2.
        num_cues: number of cues and of actions.
    """

    length: int = 4
    num_cues: int = 2

    default_params = ()

    def __post_init__(self):
        require_int("length", self.length, 2)
        require_int("num_cues", self.num_cues, 2)

    @property
    def horizon(self) -> int:
        return self.length

    @property
    def reset_chance(self) -> Integers:
        return Integers(self.num_cues)

    def observation_space(self, params) -> Box:
        return Box(0.0, 1.0, (self.num_cues + 1,))

    def action_space(self, params) -> Discrete:
        return Discrete(self.num_cues)

    def initial(self, chance, params) -> CueState:
        return CueState(jnp.zeros((), jnp.int32), chance)

    def transition(self, state, action, chance, params):
        last = state.t == self.length - 1
        reward = (last & (action == state.cue)).astype(jnp.float32)
        return CueState(state.t + 1, state.cue), reward, last, {}

    def observe(self, state, params):
        """One-hot of the cue (zeros after the first step), and whether it is time to answer."""
        cue = jax.nn.one_hot(state.cue, self.num_cues, dtype=jnp.float32) * (state.t == 0)
        return jnp.append(cue, (state.t == self.length - 1).astype(jnp.float32))[None]

    def benchmarks(self, params):
        """`value` with memory; `blind`, the best without."""
        return {
            "value": lambda discount: jnp.asarray(discount ** (self.length - 1)),
            "blind": lambda discount: jnp.asarray(discount ** (self.length - 1) / self.num_cues),
        }

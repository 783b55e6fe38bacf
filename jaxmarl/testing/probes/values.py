"""Probes of value functions: constant, delayed, cut and truncated rewards."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Integers, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.testing.probes.base import Clock, Probe


@dataclass(frozen=True)
class OneStep(Probe):
    """A constant reward and the end: the value function's bias alone has to learn it."""

    horizon = 1
    deterministic = True
    symmetric = True
    differentiable_params = ("reward",)

    def transition(self, state, action, chance, params):
        return Clock(state.t + 1), params.reward[None], jnp.ones((), bool), {}

    def benchmarks(self, params):
        return {"value": lambda discount: params.reward}


@struct.dataclass
class PayoffParams:
    """Payoff of each action."""

    payoffs: Float[Array, " num_actions"]


@dataclass(frozen=True)
class TwoArmed(Probe):
    """A payoff for each action and the end: the policy's loss alone has to find the best arm.

    Attributes:
        num_actions: number of arms.
    """

    num_actions: int = 2

    horizon = 1
    deterministic = True
    symmetric = True
    differentiable_params = ("payoffs",)

    def __post_init__(self):
        require_int("num_actions", self.num_actions, 2)

    @property
    def default_params(self) -> PayoffParams:
        return PayoffParams(jnp.linspace(0.0, 1.0, self.num_actions))

    def action_space(self, params) -> Discrete:
        return Discrete(self.num_actions)

    def transition(self, state, action, chance, params):
        return Clock(state.t + 1), params.payoffs[action], jnp.ones((), bool), {}

    def benchmarks(self, params):
        return {"action": jnp.argmax(params.payoffs), "value": lambda discount: jnp.max(params.payoffs)}


@struct.dataclass
class SignState:
    """State of `DelayedReward`."""

    t: Int32[Array, ""]
    sign: Int32[Array, ""]


@dataclass(frozen=True)
class DelayedReward(Probe):
    """Two steps; the second pays plus or minus the reward, as a sign seen from the start says: bootstrapping."""

    horizon = 2
    reset_chance = Integers(2)
    differentiable_params = ("reward",)

    def observation_space(self, params) -> Box:
        return Box(-1.0, 1.0, (2,))

    def initial(self, chance, params) -> SignState:
        return SignState(jnp.zeros((), jnp.int32), 2 * chance - 1)

    def transition(self, state, action, chance, params):
        last = state.t == 1
        reward = jnp.where(last, state.sign * params.reward, 0.0)
        return SignState(state.t + 1, state.sign), reward[None], last, {}

    def observe(self, state, params):
        """The sign, and whether this is the rewarded step."""
        return jnp.stack([state.sign, state.t == 1]).astype(jnp.float32)[None]

    def benchmarks(self, params):
        """Values after a sign of plus one (minus it, after minus one)."""
        return {"value": lambda discount: discount * params.reward}


@struct.dataclass
class StopParams:
    """Numbers of `RandomStop`: the chance of an end at each step, and the reward of a step."""

    stop: Float[Array, ""]
    reward: Float[Array, ""]


@dataclass(frozen=True)
class RandomStop(Probe):
    """Ends with a fixed probability at each step, without a horizon: terminations must cut the bootstrap."""

    step_chance = Uniform()
    differentiable_params = ("reward",)

    @property
    def default_params(self) -> StopParams:
        return StopParams(stop=jnp.float32(0.25), reward=jnp.ones(()))

    def validate(self, params) -> None:
        require(0.0 < float(params.stop) <= 1.0, "stop", float(params.stop), "in (0, 1]")

    def transition(self, state, action, chance, params):
        return Clock(state.t + 1), params.reward[None], chance < params.stop, {}

    def benchmarks(self, params):
        return {"value": lambda discount: params.reward / (1 - discount * (1 - params.stop))}


@dataclass(frozen=True)
class TimeLimited(Probe):
    """A constant reward for ever, truncated every `limit` steps: the value is right only if that is bootstrapped.

    Attributes:
        limit: steps between truncations.
        declared: whether `limit` is declared as the horizon.
    """

    limit: int = 5
    declared: bool = False

    deterministic = True
    symmetric = True
    differentiable_params = ("reward",)

    def __post_init__(self):
        require_int("limit", self.limit, 1)

    @property
    def horizon(self) -> int | None:
        return self.limit if self.declared else None

    def transition(self, state, action, chance, params):
        return Clock(state.t + 1), params.reward[None], jnp.zeros((), bool), {}

    def truncated(self, state, params):
        return state.t >= self.limit

    def benchmarks(self, params):
        return {"value": lambda discount: params.reward / (1 - discount)}

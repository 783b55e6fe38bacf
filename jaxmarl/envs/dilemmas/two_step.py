"""The two-step game of Rashid et al. (2018, "QMIX"): sums of agents' values cannot say which second game is better."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete


@struct.dataclass
class TwoStepParams:
    """Numbers of the game.

    Attributes:
        payoffs: `[second game, first agent's action, second agent's action]`, paid to both.
    """

    payoffs: Float[Array, "2 2 2"]


@struct.dataclass
class TwoStepState:
    """State of the game.

    Attributes:
        stage: 0 at the first step, then 1 or 2, the second game that was chosen; 3 when it is over.
    """

    stage: Int32[Array, ""]


@register("two_step_game")
@dataclass(frozen=True)
class TwoStepGame(Environment[TwoStepState, TwoStepParams]):
    """Two agents share what one of two matrix games pays; the first agent's first action chooses which.

    The first step pays nothing. By default the first game always pays 7 and the second 0, 1, 1, 8: who counts on
    partners that choose at random, or believes in sums, prefers the first. An observation is the stage (first step,
    first game, second game), one-hot, the same for both agents.
    """

    num_agents = 2
    horizon = 2
    deterministic = True
    differentiable_params = ("payoffs",)

    @property
    def default_params(self) -> TwoStepParams:
        return TwoStepParams(jnp.asarray([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], float))

    def validate(self, params: TwoStepParams) -> None:
        payoffs = np.asarray(params.payoffs)
        fits = payoffs.shape[-3:] == (2, 2, 2) and bool(np.isfinite(payoffs).all())
        require(fits, "payoffs", payoffs.tolist(), "finite numbers [2, 2, 2]")

    def action_space(self, params: TwoStepParams) -> Discrete:
        return Discrete(2)

    def observation_space(self, params: TwoStepParams) -> Box:
        return Box(0.0, 1.0, (3,))

    def initial(self, chance, params: TwoStepParams) -> TwoStepState:
        return TwoStepState(jnp.zeros((), jnp.int32))

    def transition(self, state: TwoStepState, action: Int32[Array, " 2"], chance, params: TwoStepParams):
        first = state.stage == 0
        cell = 4 * (state.stage - 1) + 2 * action[0] + action[1]
        paid = jnp.sum(jnp.where(cell == jnp.arange(8), params.payoffs.reshape(8), 0.0))
        reward = jnp.where(first, 0.0, paid)
        stage = jnp.where(first, 1 + action[0], 3).astype(jnp.int32)
        return TwoStepState(stage), jnp.broadcast_to(reward, (2,)), ~first, {}

    def observe(self, state: TwoStepState, params: TwoStepParams) -> Float[Array, "2 3"]:
        return jnp.broadcast_to(jax.nn.one_hot(state.stage, 3, dtype=jnp.float32), (2, 3))

    def benchmarks(self, params: TwoStepParams) -> dict[str, Any]:
        """`value`: of the best joint policy."""
        return {"value": jnp.max(params.payoffs)}

"""Risk-averse training: any learner maximises mean less variance of the return of an episode, given other rewards."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.rollout import BatchedEnv


@struct.dataclass
class MeanVarianceState:
    """State of a `MeanVarianceEnv`.

    Attributes:
        env: of the batch.
        returns: `[B, N]`, collected in the running episodes.
        centre: y, running mean of the returns of whole episodes.
        rounds: batches of episodes that it is the mean of.
    """

    env: PyTree
    returns: Float[Array, "B N"]
    centre: Float[Array, ""]
    rounds: Int32[Array, ""]


@dataclass(frozen=True, eq=False)
class MeanVarianceEnv:
    """Environments of fixed horizon whose rewards add to `G - gamma * ((G - y)^2 - y^2)`, where G is the return.

    `Var[G]` is the least `E[(G - y)^2]` over y, so that the largest expectation over policies *and* y is the largest
    `E[G] - gamma Var[G]`: y follows the mean return of the episodes before (block ascent on the Fenchel dual, as in
    Zhang, Liu and Whiteson 2021). A reward is what the sum gains by the step, so that it does not wait for the end. The
    variance is over everything: chance of the game, and opponents, if each plays whole episodes. It takes learners with
    discount 1, and agents that see their return (`core.wrappers.ReturnObserved`). Until the first episodes are over,
    gamma is 0. With all agents trained, y is the mean over them.

    Attributes:
        env: the batch.
        risk_aversion: gamma, in 1 / reward.
        decay: weight of the past in y, from one batch of episodes to the next.
    """

    env: BatchedEnv
    risk_aversion: float
    decay: float = 0.9

    def __post_init__(self) -> None:
        require(self.risk_aversion >= 0, "risk_aversion", self.risk_aversion, "at least 0")
        require(0 <= self.decay < 1, "decay", self.decay, "in [0, 1)")
        require(self.env.horizon is not None, "env", "horizon None", "environments of fixed horizon")

    @property
    def num_envs(self) -> int:
        """`B`, as of the batch."""
        return self.env.num_envs

    @property
    def num_agents(self) -> int:
        """As of the batch."""
        return self.env.num_agents

    @property
    def horizon(self) -> int | None:
        """As of the batch."""
        return self.env.horizon

    @property
    def truncates(self) -> bool:
        """As of the batch."""
        return self.env.truncates

    @property
    def masks_actions(self) -> bool:
        """As of the batch."""
        return self.env.masks_actions

    @property
    def num_labels(self) -> int:
        """As of the batch."""
        return self.env.num_labels

    @property
    def labels(self) -> Int32[Array, " num_envs"]:
        """As of the batch."""
        return self.env.labels

    @property
    def default_params(self) -> PyTree:
        """As of the batch."""
        return self.env.default_params

    def observation_space(self, params: PyTree) -> Any:
        """As of the batch."""
        return self.env.observation_space(params)

    def action_space(self, params: PyTree) -> Any:
        """As of the batch."""
        return self.env.action_space(params)

    def observe(self, state: MeanVarianceState, params: PyTree) -> Array:
        """As of the batch."""
        return self.env.observe(state.env, params)

    def action_mask(self, state: MeanVarianceState, params: PyTree) -> Array:
        """As of the batch."""
        return self.env.action_mask(state.env, params)

    def reset(self, key: Array, params: PyTree) -> tuple[Array, MeanVarianceState]:
        """Starts every instance: `(obs, state)`."""
        obs, state = self.env.reset(key, params)
        returns = jnp.zeros((self.env.num_envs, self.env.num_agents), jnp.float32)
        zero = jnp.zeros((), jnp.int32)
        return obs, MeanVarianceState(state, returns, jnp.zeros((), jnp.float32), zero)

    def begin(self, key: Array, state: MeanVarianceState, params: PyTree) -> tuple[Array, MeanVarianceState]:
        """Prepares a roll-out; y learns from episodes that are over."""
        vector = getattr(state.env, "vector", state.env)  # instances of a population are a batch within it
        ended = vector.elapsed >= self.env.horizon
        obs, env = self.env.begin(key, state.env, params)
        mean = jnp.mean(state.returns)
        centre = jnp.where(state.rounds > 0, self.decay * state.centre + (1 - self.decay) * mean, mean)
        centre = jnp.where(ended, centre, state.centre)
        returns = jnp.where(ended, 0.0, state.returns)
        return obs, MeanVarianceState(env, returns, centre, state.rounds + ended)

    def step(self, key: Array, state: MeanVarianceState, action: Array, params: PyTree) -> tuple[Any, ...]:
        """One step of every instance: `(obs, state, reward, terminated, truncated, info)`."""
        obs, env, reward, terminated, truncated, info = self.env.step(key, state.env, action, params)
        after = state.returns + reward
        gamma = jnp.where(state.rounds > 0, self.risk_aversion, 0.0)
        risk = (after - state.centre) ** 2 - (state.returns - state.centre) ** 2
        state = MeanVarianceState(env, after, state.centre, state.rounds)
        return obs, state, reward - gamma * risk, terminated, truncated, info

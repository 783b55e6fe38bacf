"""PQN of a team: λ-returns of the sum of the agents' values, without replay or target network (Gallici et al. 2024)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.rollout import BatchedEnv, batch_params
from jaxmarl.learners.base import Learner
from jaxmarl.learners.team.config import vdn_config
from jaxmarl.learners.team.network import TeamNetwork, group_policy, legal, team_network
from jaxmarl.learners.team.targets import bootstrapped, team_reward
from jaxmarl.learners.value.heads import MeanHead, chosen
from jaxmarl.learners.value.pqn import ParallelQ, PQNConfig
from jaxmarl.learners.value.replay import Step


def pqn_vdn(
    env: BatchedEnv, config: PQNConfig, env_params: PyTree = None, *, agent_id: bool = True, reward: str = "sum"
) -> Learner:
    """A learner of the sum of a team's values from what it has just played; agents have no memory.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with discrete actions; many instances, as nothing is played twice.
        config: settings; minibatches are of steps of the whole team.
        env_params: of the environments (default: `env.default_params`).
        agent_id: whether networks read which agent it is.
        reward: what is learned from: the agents' `"sum"` or `"mean"`.

    Raises:
        ValueError: actions that are not discrete, sizes that do not divide, another kind of reward.
    """
    env_params = batch_params(env, env_params)
    settings = vdn_config(hidden=config.hidden, layer_norm=config.layer_norm, agent_id=agent_id, reward=reward)
    team = team_network(env, settings, env_params)
    algorithm = ParallelTeamQ(env, config, env_params, _Memoryless(team), reward)
    return Learner(
        init=algorithm.init,
        update=algorithm.update,
        policy=group_policy(team, "pqn_vdn"),
        params=lambda state: state.params,
        steps_per_update=algorithm.steps_per_update,
    )


@dataclass(frozen=True, eq=False)
class _Memoryless:
    """A team's network without memory, as value learners call it."""

    team: TeamNetwork

    head: ClassVar[MeanHead] = MeanHead()

    def init(self, key: Array, obs: Array) -> PyTree:
        return self.team.init(key, obs)

    def apply(self, params: PyTree, obs: Array) -> Float[Array, "*batch N A"]:
        batch = obs.shape[: obs.ndim - len(self.team.agents.obs_shape) - 1]
        return self.team.step(params, (), obs, jnp.zeros(batch, bool))[1]


@dataclass(frozen=True, eq=False)
class ParallelTeamQ(ParallelQ):
    """`ParallelQ` of the sum of the agents' values; whole teams are what minibatches shuffle."""

    network: _Memoryless  # type: ignore[assignment]
    reward: str = "sum"

    shuffled: ClassVar[int] = 2

    def _targets(self, params: PyTree, steps: Step) -> Float[Array, "T B 1"]:
        best = jnp.max(legal(self.network.apply(params, steps.next.obs), steps.next.mask), -1)
        total, reward = jnp.sum(best, -1, keepdims=True), team_reward(steps.reward, self.reward)
        return bootstrapped(reward, total, steps.terminated, steps.done, self.config.discount, self.config.trace)

    def _loss(self, params: PyTree, batch: Any) -> Float[Array, ""]:
        obs, action, target = batch
        total = jnp.sum(chosen(self.network.apply(params, obs), action), -1, keepdims=True)
        return jnp.mean((total - target) ** 2) / 2

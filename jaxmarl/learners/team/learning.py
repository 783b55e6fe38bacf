"""Q-learning of a team from a replay: independent learners, VDN, QMIX, with or without memory and messages."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, batch_params
from jaxmarl.learners.base import Learner
from jaxmarl.learners.team.config import TeamConfig
from jaxmarl.learners.team.mixers import StateOf
from jaxmarl.learners.team.network import TeamNetwork, group_policy, team_actor, team_network
from jaxmarl.learners.team.targets import SequenceReplay, TeamStep, evaluate, team_steps
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.loop import ValueLearning
from jaxmarl.learners.value.replay import Replay

NAMES = {"none": "iql", "sum": "vdn", "monotonic": "qmix"}


def team_q(
    env: BatchedEnv, config: TeamConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> Learner:
    """A learner of a team's values; `iql_config`, `vdn_config` and `qmix_config` name the usual settings.

    Its `policy` plays for the whole team: it is given a `MaskedObs` of all agents, `[N, …]`, and returns their greedy
    actions; `network.member_policy` is that of one agent.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with discrete actions.
        config: settings.
        env_params: of the environments (default: `env.default_params`).
        state_of: observations of all agents to the state that a monotonic mixer reads (default: side by side). Where
            each agent sees the whole state, `lambda obs: obs[..., 0, :]` is enough.

    Raises:
        ValueError: actions that are not discrete, sizes that do not fit.
    """
    env_params = batch_params(env, env_params)
    network = team_network(env, config, env_params, state_of)
    return TeamLearning(env, config, env_params, network, risk_neutral, risk_neutral).learner(NAMES[config.mixer])


@dataclass(frozen=True, eq=False)
class TeamLearning(ValueLearning):
    """The loop of `ValueLearning` with sequences in the replay and losses of the team."""

    config: TeamConfig
    network: TeamNetwork  # type: ignore[assignment]

    def __post_init__(self):
        super().__post_init__()
        least = self.config.length * self.env.num_envs
        require(self.config.warmup >= least, "warmup", self.config.warmup, f"a sequence an environment, {least} steps")

    def learner(self, name: str) -> Learner:
        return replace(super().learner(name), policy=self.policy(name))

    def policy(self, name: str) -> Policy:
        """The greedy policy of the team."""
        return group_policy(self.network, name)

    @cached_property
    def replay(self) -> Replay:
        config = self.config
        return SequenceReplay(
            self.env.num_envs,
            config.capacity,
            config.batch,
            config.length,
            config.discount,
            config.priority,
            config.importance,
        )

    @property
    def actor(self) -> Actor:
        return team_actor(self.env, self.network)

    def _play(self, params, carry: RolloutState, key: Array, epsilon: Any):
        carry, steps, trajectory = super()._play(params, carry, key, epsilon)
        return carry, team_steps(steps, trajectory), trajectory

    def losses(self, params, target_params, batch: TeamStep, key: Array) -> Float[Array, "batch M"]:  # type: ignore[override]
        """Loss of each sequence: of the team, or of each agent."""
        found = evaluate(self.network, self.config, params, target_params, batch)
        squares = self.network.head.loss(found.value, found.target)
        return jnp.mean(squares[self.config.burn_in :], axis=0)

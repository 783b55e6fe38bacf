"""Self-play preference optimisation (Swamy et al. 2024, "SPO"): learning from preferences between whole trajectories.

Several trajectories of one policy start alike; each is rewarded by how often it is preferred to the others, and the
clipped policy gradient does the rest. Preferences need not come from any reward: they may be intransitive. Self-play
then comes near the minimax winner, the mixture that nothing is preferred to more than half of the time; it is the
*average* of the policies that does, while each policy alone may circle around it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import draw
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.rollout import Trajectory
from jaxmarl.core.vector import VectorEnv
from jaxmarl.learners.actions import action_head
from jaxmarl.learners.base import Learner
from jaxmarl.learners.networks import FeedForwardActorCritic, RecurrentActorCritic
from jaxmarl.learners.policy_gradient import ClippedPolicyGradient, PPOConfig
from jaxmarl.learners.ppo import network_policy, policy_gradient_learner


class Play(NamedTuple):
    """One episode of H steps, as preferences see it.

    Attributes:
        obs: `[H, N, …]`, before each step.
        action: `[H, N, …]`.
        reward: `[H, N]`, of the environment; policies are not told.
        info: leaves `[H, …]`, what the environment measures.
    """

    obs: Array
    action: Array
    reward: Float[Array, "H N"]
    info: dict[str, Array]


Preference = Callable[[Play, Play], Array]
"""Probability that the first of two episodes is preferred to the second; with them exchanged, the rest to 1."""


@dataclass(frozen=True)
class SPOConfig(PPOConfig):
    """Settings of `spo`, on top of those of `ppo`; updates collect whole episodes.

    Attributes:
        group: k, episodes that start alike and are compared with each other; must divide the number of instances.
    """

    discount: float = 1.0
    group: int = 8

    def __post_init__(self):
        super().__post_init__()
        require_int("group", self.group, 2)


@dataclass(frozen=True)
class AlikeStarts(VectorEnv):
    """Instances that start alike in groups of neighbours; what happens later is drawn for each.

    Attributes:
        group: size of each group.
    """

    group: int = 1

    def __post_init__(self):
        super().__post_init__()
        divides = self.num_envs % self.group == 0
        require(divides, "group", self.group, f"a divisor of the {self.num_envs} instances")
        require(not self.stacked_params, "stacked_params", True, "False: a group plays one market")
        require(self.horizon is not None, "env", "horizon None", "an environment of fixed horizon")

    def _draw_starts(self, key: Array, params: PyTree) -> PyTree:
        chance = draw(self.env.reset_chance, key, (self.num_envs // self.group,))
        alike = jax.tree.map(lambda x: jnp.repeat(x, self.group, axis=0), chance)
        return self.vmap(self.env.initial, alike, params=params)


@dataclass(frozen=True, eq=False)
class PreferenceGradient(ClippedPolicyGradient):
    """The clipped policy gradient on shares of wins.

    Attributes:
        preference: between two episodes.
    """

    env: AlikeStarts
    config: SPOConfig
    preference: Preference

    keep_info = True

    def _advantage(self, state, trajectory: Trajectory, value, next_value):
        return super()._advantage(state, replace(trajectory, reward=self.rewards(trajectory)), value, next_value)

    def rewards(self, trajectory: Trajectory) -> Float[Array, "T B N"]:
        """Each episode's share of wins at its last step, for all agents alike, and nothing before."""
        horizon = self.env.horizon
        assert horizon is not None
        obs = trajectory.obs.obs if self.head.masked else trajectory.obs
        plays = Play(obs, trajectory.action, trajectory.reward, trajectory.info)

        def by_episode(x: Array) -> Array:  # [T, B, …] to [T / H · B, H, …]
            x = jnp.moveaxis(x.reshape(-1, horizon, *x.shape[1:]), 1, 2)
            return x.reshape(-1, *x.shape[2:])

        wins = win_shares(self.preference, jax.tree.map(by_episode, plays), self.env.group)
        ends = jnp.arange(horizon) == horizon - 1
        each = jnp.where(ends[:, None], wins.reshape(-1, 1, self.env.num_envs), 0.0)
        return jnp.broadcast_to(each.reshape(trajectory.reward.shape[:2])[..., None], trajectory.reward.shape)


def win_shares(preference: Preference, plays: PyTree, group: int) -> Float[Array, " B"]:
    """How often each episode is preferred to the others of its group, in expectation, over their number.

    Args:
        preference: between two of them.
        plays: leaves `[B, …]`, groups next to each other.
        group: k.
    """
    grouped = jax.tree.map(lambda x: x.reshape(-1, group, *x.shape[1:]), plays)
    table = jax.vmap(lambda g: jax.vmap(lambda one: jax.vmap(lambda two: preference(one, two))(g))(g))(grouped)
    with_others = jnp.where(jnp.eye(group, dtype=bool), 0.0, table)
    return (jnp.sum(with_others, axis=-1) / (group - 1)).reshape(-1)


def spo(env: VectorEnv, preference: Preference, config: SPOConfig, env_params: PyTree = None) -> Learner:
    """Self-play preference optimisation; its policy is `ppo`'s, one for all agents, who are rewarded alike.

    `config.group` episodes start alike; an episode's reward, at its end, is the mean of `preference(it, other)` over
    the others, so that the mean reward is 1/2 whatever is played and metrics are of the environment's own rewards.
    What comes near the minimax winner is the average of the policies of many updates: play it by drawing one of them at
    the start of each episode. Small steps (of the learning rate) and some entropy keep them from running away from it.

    Args:
        env: a `VectorEnv` of fixed horizon; actions are discrete or a box of floats.
        preference: `(first, second) -> probability` that the first of two episodes (`Play`) is preferred.
        config: settings; `chunk_length · chunks_per_update` must be a multiple of the horizon.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: an action space of another kind, no fixed horizon, or sizes that do not divide.
    """
    env_params = env.default_params if env_params is None else env_params
    alike = AlikeStarts(env.env, env.num_envs, env.stacked_params, config.group)
    steps, horizon = config.chunk_length * config.chunks_per_update, alike.horizon
    assert horizon is not None
    require(steps % horizon == 0, "chunks_per_update", config.chunks_per_update, f"whole episodes of {horizon} steps")
    head = action_head(alike.action_space(env_params), config.bounds, config.spread, config.initial_std)
    architecture: Any = RecurrentActorCritic if config.recurrent else FeedForwardActorCritic
    network = architecture(head.num_outputs, alike.num_labels, config.hidden, head.free)
    policy = network_policy(network, head, "spo")
    kind = partial(PreferenceGradient, preference=preference)
    return policy_gradient_learner(alike, config, env_params, network, head, policy, kind)

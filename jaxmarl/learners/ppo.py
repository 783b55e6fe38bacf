"""Recurrent proximal policy optimisation (Schulman et al. 2017) with an opponent-identity head."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv, batch_params, check_num_steps
from jaxmarl.learners.actions import ActionHead, CategoricalActions, action_head
from jaxmarl.learners.base import Learner
from jaxmarl.learners.networks import FeedForwardActorCritic, RecurrentActorCritic
from jaxmarl.learners.policy_gradient import ActorCritic, ClippedPolicyGradient, PPOConfig, with_mask


def ppo(env: BatchedEnv, config: PPOConfig, env_params: PyTree = None) -> Learner:
    """A PPO learner whose parameters are shared by all agents of `env`.

    Args:
        env: a `VectorEnv` or `PopulationEnv`; actions are discrete or a box of floats.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: an action space of another kind, or sizes do not divide.
    """
    env_params = batch_params(env, env_params)
    head = action_head(env.action_space(env_params), config.bounds, config.spread, config.initial_std)
    architecture = RecurrentActorCritic if config.recurrent else FeedForwardActorCritic
    network = architecture(head.num_outputs, env.num_labels, config.hidden, head.free)
    return policy_gradient_learner(env, config, env_params, network, head, network_policy(network, head))


def policy_gradient_learner(
    env: BatchedEnv,
    config: PPOConfig,
    env_params: PyTree,
    network: ActorCritic,
    head: ActionHead,
    policy: Policy,
    kind: Callable[..., ClippedPolicyGradient] = ClippedPolicyGradient,
) -> Learner:
    """The learner of a network, whatever its architecture; refuses sizes that do not divide."""
    check_num_steps(env, config.chunk_length)
    algorithm = kind(env, config, env_params, network, head)
    if isinstance(head, CategoricalActions) and not (algorithm.reads_mask or env.masks_actions):
        # else every step would carry a mask that allows everything
        algorithm = replace(algorithm, head=replace(head, masked=False))
    sequences = algorithm.num_sequences
    allowed = f"a divisor of the {sequences} sequences of an update"
    require(sequences % config.minibatches == 0, "minibatches", config.minibatches, allowed)
    return Learner(
        init=algorithm.init,
        update=algorithm.update,
        policy=policy,
        params=lambda state: state.params,
        steps_per_update=algorithm.steps_per_update,
    )


def network_policy(network: Any, head: ActionHead, name: str = "ppo") -> Policy:
    """The stochastic policy of a network, for one agent; its params are the network's."""

    def outputs(params, memory, seen):
        seen = jax.tree.map(lambda x: x[None], with_mask(seen))
        memory, heads = network.run(params, memory, seen, jnp.zeros((1,), bool))
        return memory, heads.policy[0]

    def act(params, memory, seen, chance):
        memory, found = outputs(params, memory, seen)
        return head.sample(found, chance)[0], memory

    def probabilities(params, memory, seen):
        return jax.nn.softmax(outputs(params, memory, seen)[1])

    return Policy(
        lambda chance: network.initial_memory(),
        act,
        act_chance=head.chance,
        masked=head.masked,
        name=name,
        probabilities=probabilities if isinstance(head, CategoricalActions) else None,
    )

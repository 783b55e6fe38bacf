"""Recurrent proximal policy optimisation (Schulman et al. 2017) with an opponent-identity head."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv, check_num_steps
from jaxmarl.learners.actions import BOUNDS, SPREADS, ActionHead, action_head
from jaxmarl.learners.base import Learner
from jaxmarl.learners.networks import RecurrentActorCritic
from jaxmarl.learners.policy_gradient import ActorCritic, ClippedPolicyGradient, with_mask


@dataclass(frozen=True)
class PPOConfig:
    """Settings of `ppo`.

    Attributes:
        hidden: width of the encoder and of the memory.
        chunk_length: steps of a training sequence (back-propagation through time stops at its start); must divide the
            horizon of a fixed-horizon environment.
        chunks_per_update: consecutive sequences that one update collects from each environment.
        epochs: passes over the collected steps.
        minibatches: gradient steps a pass; must divide the number of sequences, `chunks_per_update · num_envs ·
            num_agents`.
        learning_rate: of Adam (ε = 1e-5).
        anneal_updates: updates over which the learning rate falls linearly to zero (0: constant).
        discount: γ.
        trace: λ of the advantage estimates.
        clip: ε of the clipped surrogate and of the value loss.
        entropy_weight: of the entropy bonus.
        value_weight: of the value loss.
        label_weight: of the cross-entropy of the opponent-identity head.
        reward_scale: multiplies rewards, to keep values near one.
        max_grad_norm: global gradient norm is clipped to it.
        value_norm: whether the network says values in units of a running mean and standard deviation of the returns.
        value_decay: weight of the past in those, an update.
        death_masking: whether agents that see nothing but zeros have left the game, and count in no loss.
        bounds: how continuous actions are kept in their box, `"squash"` or `"clip"` (`actions.GaussianActions`).
        spread: whether their standard deviations are `"shared"` by all observations or depend on the `"state"`.
        initial_std: of continuous actions before they are squashed.
    """

    hidden: int = 64
    chunk_length: int = 100
    chunks_per_update: int = 1
    epochs: int = 2
    minibatches: int = 4
    learning_rate: float = 1e-3
    anneal_updates: int = 0
    discount: float = 0.99
    trace: float = 0.95
    clip: float = 0.2
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    label_weight: float = 0.1
    reward_scale: float = 1.0
    max_grad_norm: float = 0.5
    value_norm: bool = False
    value_decay: float = 0.99999
    death_masking: bool = False
    bounds: str = "squash"
    spread: str = "shared"
    initial_std: float = 0.5

    def __post_init__(self):
        for name in ("hidden", "chunk_length", "chunks_per_update", "epochs", "minibatches"):
            require_int(name, getattr(self, name), 1)
        require_int("anneal_updates", self.anneal_updates, 0)
        for name in ("learning_rate", "clip", "reward_scale", "max_grad_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("discount", "trace"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        require(0 <= self.value_decay < 1, "value_decay", self.value_decay, "in [0, 1)")
        for name in ("entropy_weight", "value_weight", "label_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "non-negative")
        require_choice("bounds", self.bounds, BOUNDS)
        require_choice("spread", self.spread, SPREADS)


def ppo(env: BatchedEnv, config: PPOConfig, env_params: PyTree = None) -> Learner:
    """A PPO learner whose parameters are shared by all agents of `env`.

    Args:
        env: a `VectorEnv` or `PopulationEnv`; actions are discrete or a box of floats.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: an action space of another kind, or sizes do not divide.
    """
    env_params = env.default_params if env_params is None else env_params
    head = action_head(env.action_space(env_params), config.bounds, config.spread, config.initial_std)
    network = RecurrentActorCritic(head.num_outputs, env.num_labels, config.hidden, head.free)
    return policy_gradient_learner(env, config, env_params, network, head, network_policy(network, head))


def policy_gradient_learner(
    env: BatchedEnv, config: PPOConfig, env_params: PyTree, network: ActorCritic, head: ActionHead, policy: Policy
) -> Learner:
    """The learner of a network, whatever its architecture; refuses sizes that do not divide."""
    check_num_steps(env, config.chunk_length)
    algorithm = ClippedPolicyGradient(env, config, env_params, network, head)
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


def network_policy(network: RecurrentActorCritic, head: ActionHead, name: str = "ppo") -> Policy:
    """The stochastic policy of a network, for one agent; its params are the network's."""

    def act(params, memory, seen, chance):
        seen = jax.tree.map(lambda x: x[None], with_mask(seen))
        memory, heads = network.run(params, memory, seen, jnp.zeros((1,), bool))
        return head.sample(heads.policy[0], chance)[0], memory

    return Policy(lambda chance: network.initial_memory(), act, act_chance=head.chance, masked=head.masked, name=name)

"""Counterfactual conservative Q-learning of a team from a dataset (Shao et al. 2023, "CFCQL").

Values of actions that the data does not show are pushed down, one agent at a time while the others keep what they did:
unlike the joint penalty of conservative Q-learning (Kumar et al. 2020), this does not grow with the number of agents.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.rollout import BatchedEnv, batch_params
from jaxmarl.learners.base import Metrics
from jaxmarl.learners.networks import ILLEGAL_LOGIT
from jaxmarl.learners.offline.learning import OfflineLearner, draw_sequences, repeat_steps
from jaxmarl.learners.team.config import TeamConfig
from jaxmarl.learners.team.mixers import StateOf
from jaxmarl.learners.team.network import AgentNetwork, TeamNetwork, group_policy, team_network
from jaxmarl.learners.team.targets import TeamStep, evaluate
from jaxmarl.learners.value.heads import chosen
from jaxmarl.learners.value.loop import value_optimiser

WEIGHTS = ("uniform", "deviation")


@dataclass(frozen=True)
class CFCQLConfig(TeamConfig):
    """Settings of `cfcql`, on top of those of the team; what concerns playing and a replay is not used.

    Attributes:
        alpha: weight of the penalty; 0: QMIX or VDN on the dataset.
        weights: of the agents in the penalty: `"uniform"`, or by their `"deviation"` from the behaviour, of which
            another network is learned.
        sharpness: τ of the weights, `softmax(τ · KL(policy of an agent, its behaviour))`.
        updates: gradient steps of an update.
    """

    alpha: float = 1.0
    weights: str = "uniform"
    sharpness: float = 1.0
    updates: int = 100

    def __post_init__(self):
        super().__post_init__()
        require(self.mixer != "none", "mixer", self.mixer, "sum or monotonic")
        require(self.alpha >= 0, "alpha", self.alpha, "at least 0")
        require_choice("weights", self.weights, WEIGHTS)
        require(self.sharpness >= 0, "sharpness", self.sharpness, "at least 0")
        require_int("updates", self.updates, 1)
        require(self.anneal_steps == 0, "anneal_steps", self.anneal_steps, "0: no steps are played")


@struct.dataclass
class CFCQLState:
    """State of the learner.

    Attributes:
        params: of the team, and of the `"behaviour"` where it is learned.
        target: the team's, of the target network.
        opt_state: of the optimiser.
        count: gradient steps made.
        key: consumed by the next update.
    """

    params: PyTree
    target: PyTree
    opt_state: PyTree
    count: Int32[Array, ""]
    key: Array


def cfcql(
    env: BatchedEnv, config: CFCQLConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> OfflineLearner:
    """A learner of a team's values from a dataset. The environment gives shapes only; it is not played.

    Args:
        env: what the data was played in.
        config: settings.
        env_params: of the environments (default: `env.default_params`).
        state_of: as for `team_q`.

    Raises:
        ValueError: actions that are not discrete.
    """
    env_params = batch_params(env, env_params)
    network = team_network(env, config, env_params, state_of)
    algorithm = _CFCQL(env, config, env_params, network)
    policy = group_policy(network, "cfcql")
    return OfflineLearner(algorithm.init, algorithm.update, policy, lambda state: state.params)


def counterfactual_penalty(
    network: TeamNetwork,
    params: PyTree,
    outputs: Float[Array, "*batch N A"],
    value: Float[Array, "*batch 1"],
    state: Float[Array, "*batch S"],
    action: Int32[Array, "*batch N"],
    mask: Bool[Array, "*batch N A"],
    weights: Float[Array, "*batch N"],
) -> Float[Array, "*batch"]:
    """`Σ_i λ_i [log Σ_a exp Q((a, a_-i)) - Q(a)]`: one agent's action varies over the legal ones, others keep theirs.

    Args:
        network: of the team.
        params: of the mixer, and of the agents.
        outputs: values of the agents' actions.
        value: of the team, for the actions of the data.
        state: global state.
        action: of the data.
        mask: legal actions.
        weights: λ, which add up to 1.
    """
    num = outputs.shape[-2]
    own = jnp.eye(num, dtype=bool)[:, None, :]  # whose action varies, its action, whose value is given
    swapped = jnp.where(own, outputs[..., None], chosen(outputs, action)[..., None, None, :])
    varied = network.mix(params, swapped, state[..., None, None, :])[..., 0]
    log_sum = jax.nn.logsumexp(jnp.where(mask, varied, ILLEGAL_LOGIT), axis=-1)
    return jnp.sum(weights * (log_sum - value), axis=-1)


def deviation_weights(
    outputs: Float[Array, "*batch N A"], behaviour: Float[Array, "*batch N A"], mask: Array, sharpness: float
) -> Float[Array, "*batch N"]:
    """Weights of agents that grow with the divergence of `softmax(outputs)` from `softmax(behaviour)`."""
    policy, base = (jax.nn.log_softmax(jnp.where(mask, x, ILLEGAL_LOGIT)) for x in (outputs, behaviour))
    distance = jnp.sum(jnp.where(mask, jnp.exp(policy) * (policy - base), 0.0), axis=-1)
    return jax.lax.stop_gradient(jax.nn.softmax(sharpness * distance, axis=-1))


@dataclass(frozen=True, eq=False)
class _CFCQL:
    """The algorithm, with everything static in one place."""

    env: BatchedEnv
    config: CFCQLConfig
    env_params: PyTree
    network: TeamNetwork

    @property
    def behaviour(self) -> AgentNetwork:
        """The network of what the data's agents do, in logits."""
        return self.network.agents

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return value_optimiser(optax.adam, self.config, 0)

    def init(self, key: Array) -> CFCQLState:
        net_key, behaviour_key, key = jax.random.split(key, 3)
        shape = 1, self.network.num_agents, *self.network.agents.obs_shape
        target = self.network.init(net_key, jnp.zeros(shape))
        # copies: chunks of updates donate their state, and no buffer may be donated twice
        params = jax.tree.map(jnp.copy, target)
        if self.config.weights == "deviation":
            params["behaviour"] = self.network.init(behaviour_key, jnp.zeros(shape))["agents"]
        return CFCQLState(params, target, self.optimiser.init(params), jnp.zeros((), jnp.int32), key)

    def update(self, state: CFCQLState, steps: TeamStep) -> tuple[CFCQLState, Metrics]:
        return repeat_steps(lambda s, key: self._gradient_step(s, steps, key), state, self.config.updates)

    def _gradient_step(self, state: CFCQLState, steps: TeamStep, key: Array) -> tuple[CFCQLState, Metrics]:
        config = self.config
        batch = draw_sequences(steps, key, config.batch, config.length)
        grads, metrics = jax.grad(self.loss, has_aux=True)(state.params, state.target, batch)
        updates, opt_state = self.optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        count = state.count + 1
        rate = jnp.where(count % config.target_every == 0, config.target_rate, 0.0)
        target = optax.incremental_update({name: params[name] for name in state.target}, state.target, rate)
        return replace(state, params=params, target=target, opt_state=opt_state, count=count), metrics

    def loss(self, params: PyTree, target: PyTree, batch: TeamStep) -> tuple[Float[Array, ""], Metrics]:
        """Square errors, the penalty, and the cross-entropy of the behaviour; sequences are time first."""
        config, network = self.config, self.network
        memory = network.agents.initial_memory(batch.action.shape[1:])  # the data's agents had memories of their own
        batch = batch.replace(memory=jax.tree.map(lambda x: x[None], memory))  # type: ignore[attr-defined]
        found = evaluate(network, config, params, target, batch)
        error = jnp.mean(network.head.loss(found.value, found.target)[config.burn_in :])
        logits = self._behaviour_logits(params, batch, memory)
        weights = jnp.full(batch.action.shape, 1 / network.num_agents)
        imitation: Any = jnp.zeros(())
        if logits is not None:
            weights = deviation_weights(found.outputs, logits, batch.mask, config.sharpness)
            shown = jnp.where(batch.mask, logits, ILLEGAL_LOGIT)
            imitation = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(shown, batch.action)[config.burn_in :])
        state = network.state_of(batch.obs)
        penalty = counterfactual_penalty(
            network, params, found.outputs, found.value, state, batch.action, batch.mask, weights
        )
        penalty = jnp.mean(penalty[config.burn_in :])
        total = error + config.alpha * penalty + imitation
        return total, {"loss": error, "penalty": penalty, "imitation": imitation}

    def _behaviour_logits(self, params: PyTree, batch: TeamStep, memory: PyTree) -> Array | None:
        if self.config.weights == "uniform":
            return None
        start = jnp.broadcast_to(batch.start[..., None], batch.action.shape)
        found = self.behaviour.apply(params["behaviour"], memory, batch.obs, start, self.network.identity)
        return jnp.asarray(found[1])

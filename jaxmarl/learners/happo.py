"""Heterogeneous-agent PPO (Kuba et al. 2022; Zhong et al. 2024): agents of a team improve one after the other.

Agents share no parameters. In every update a random order is drawn, and each agent in turn improves its own policy for
what those before it have become: the advantage of the team is weighed by how much likelier they now make what they did,
`prod_j new_j(a_j) / old_j(a_j)`. Without clipping errors, the team then gets better at every step, which improving all
at once does not promise. The critic is fitted last. With `kl_weight` the ratio is not clipped, but the divergence from
the old policy is charged, as in provably convergent multi-agent PPO.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.rollout import BatchedEnv, batch_params
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.group_networks import GroupActorCritic, with_identity
from jaxmarl.learners.mappo import MAPPOConfig, group_head, group_network, group_policy
from jaxmarl.learners.policy_gradient import ClippedPolicyGradient, Sequences
from jaxmarl.learners.ppo import policy_gradient_learner
from jaxmarl.learners.returns import mean_of

OptState = tuple[PyTree, PyTree]
"""Of every agent's actor, stacked, and of the critic."""


@dataclass(frozen=True)
class HAPPOConfig(MAPPOConfig):
    """Settings of `happo`: those of `mappo` without shared parameters.

    Attributes:
        kl_weight: of the divergence from the old policy; with 0, ratios are clipped instead.
    """

    share: bool = False
    agent_id: bool = False
    kl_weight: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        require(not self.share, "share", self.share, "False: agents have parameters of their own")
        require(self.critic != "own", "critic", self.critic, "mean or concat: of the whole team")
        require(self.kl_weight >= 0, "kl_weight", self.kl_weight, "non-negative")


@dataclass(frozen=True, eq=False)
class SequentialPolicyGradient(ClippedPolicyGradient):
    """The algorithm: roll-outs and advantages are those of PPO, improvement goes agent by agent."""

    config: HAPPOConfig
    network: GroupActorCritic

    def first_opt_state(self, params: PyTree) -> OptState:
        actors, rest = _parts(params)
        return jax.vmap(self.optimiser.init)(actors), self.optimiser.init(rest)

    def _optimise(
        self, params: PyTree, opt_state: OptState, data: Sequences, key: Array
    ) -> tuple[PyTree, OptState, Metrics]:
        order_key, critic_key, *agent_keys = jax.random.split(key, 2 + self.env.num_agents)
        actors, rest = _parts(params)
        alive = self.alive(data.seen, data.start)
        nobody = jnp.zeros(data.value.shape[:2], jnp.int32)  # labels of opponents have no axis of agents, and no use
        data = data._replace(advantage=_team_advantage(data.advantage, alive), label=nobody)

        def turn(carry: tuple, agent_and_key: tuple[Int[Array, ""], Array]) -> tuple[tuple, Metrics]:
            actors, states, factor = carry
            agent, key = agent_and_key
            actor, state = jax.tree.map(lambda x: x[agent], (actors, states))
            mine = jax.tree.map(lambda x: x[:, agent], data)
            (actor, state), metrics = self._improve(actor, state, rest, agent, mine, factor, key)
            after = self._log_prob(actor, rest, agent, mine)[0]
            ratio = jnp.exp(after - mine.log_prob)
            factor = factor * (ratio if alive is None else jnp.where(alive[:, agent], ratio, 1.0))
            actors, states = jax.tree.map(lambda rows, x: rows.at[agent].set(x), (actors, states), (actor, state))
            return (actors, states, factor), metrics

        order = jax.random.permutation(order_key, self.env.num_agents)
        start = actors, opt_state[0], jnp.ones_like(data.value[:, 0])
        (actors, states, _), metrics = jax.lax.scan(turn, start, (order, jnp.stack(agent_keys)))
        rest, critic_state, value_loss = self._fit_critic(rest, opt_state[1], actors, data, critic_key)
        first_ratio = metrics.pop("ratio")[0, 0, 0]
        metrics = {**jax.tree.map(jnp.mean, metrics), "value_loss": value_loss, "first_ratio": first_ratio}
        return _joined(actors, rest), (states, critic_state), metrics

    def _log_prob(self, actor: PyTree, rest: PyTree, agent: Array, data: Sequences) -> tuple[Array, Array]:
        """Log-probabilities `[S, L]` of what an agent did, and its entropies, under an actor's parameters."""
        obs = data.seen.obs.reshape(*data.start.shape, -1).astype(jnp.float32)
        if self.config.agent_id:
            obs = with_identity(obs, jax.nn.one_hot(agent, self.env.num_agents)[None])

        def alone(x: Array) -> Array:  # time first, a group of one
            return jnp.moveaxis(x, 1, 0)[:, :, None]

        x, mask, start = jax.tree.map(alone, (obs, data.seen.mask, data.start))
        params = _joined(jax.tree.map(lambda p: p[None], actor), rest)
        group = self.network.clone(num_agents=1)
        played: Any = group.apply(params, data.memory[0][:, None], x, mask, start, method="act")
        outputs = jax.tree.map(lambda x: jnp.moveaxis(x[:, :, 0], 0, 1), played[1])
        return self.head.log_prob(outputs, data.raw), self.head.entropy(outputs)

    def _improve(
        self, actor: PyTree, state: PyTree, rest: PyTree, agent: Array, data: Sequences, factor: Array, key: Array
    ) -> tuple[tuple[PyTree, PyTree], Metrics]:
        """Epochs of gradient steps of one agent, given what the agents before it have become (`factor`)."""
        config = self.config

        def loss(actor: PyTree, batch: Sequences, factor: Float[Array, "S L"]) -> tuple[Array, Metrics]:
            alive = self.alive(batch.seen, batch.start)
            new, entropies = self._log_prob(actor, rest, agent, batch)
            log_ratio = new - batch.log_prob
            log_ratio = log_ratio if alive is None else jnp.where(alive, log_ratio, 0.0)
            ratio, gain = jnp.exp(log_ratio), factor * batch.advantage
            if config.kl_weight:
                divergence = mean_of(ratio - 1 - log_ratio, alive)
                policy_loss = -mean_of(ratio * gain, alive) + config.kl_weight * divergence
            else:
                clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
                policy_loss = -mean_of(jnp.minimum(ratio * gain, clipped * gain), alive)
            entropy = mean_of(entropies, alive)
            metrics = {"policy_loss": policy_loss, "entropy": entropy, "ratio": mean_of(ratio, alive)}
            return policy_loss - config.entropy_weight * entropy, metrics

        return self._epochs((actor, state), (data, factor), loss, key)

    def _fit_critic(
        self, rest: PyTree, state: PyTree, actors: PyTree, data: Sequences, key: Array
    ) -> tuple[PyTree, PyTree, Float[Array, ""]]:
        def loss(rest: PyTree, batch: Sequences) -> tuple[Array, Metrics]:
            seen, start = jax.tree.map(lambda x: jnp.moveaxis(x, 2, 0), (batch.seen, batch.start))
            value = jnp.moveaxis(self.network.run(_joined(actors, rest), batch.memory, seen, start)[1].value, 0, 2)
            found = self.value_loss(value, batch, self.alive(batch.seen, batch.start))
            return self.config.value_weight * found, {"value_loss": found}

        (rest, state), metrics = self._epochs((rest, state), (data,), loss, key)
        return rest, state, jnp.mean(metrics["value_loss"])

    def _epochs(self, carry: tuple, data: tuple, loss: Any, key: Array) -> tuple[tuple, Metrics]:
        """Shuffled gradient steps on `loss(params, *data)`; metrics `[epochs, minibatches]`."""

        def step(carry: tuple, index: Array) -> tuple[tuple, Metrics]:
            params, state = carry
            batch = jax.tree.map(lambda x: x[index], data)
            (_, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(params, *batch)
            updates, state = self.optimiser.update(gradients, state, params)
            return (optax.apply_updates(params, updates), state), metrics

        def epoch(carry: tuple, key: Array) -> tuple[tuple, Metrics]:
            order = jax.random.permutation(key, self.num_sequences).reshape(self.config.minibatches, -1)
            return jax.lax.scan(step, carry, order)

        return jax.lax.scan(epoch, carry, jax.random.split(key, self.config.epochs))


def happo(env: BatchedEnv, config: HAPPOConfig, env_params: PyTree = None) -> Learner:
    """HAPPO: the team's mean reward is what every agent improves; the policy is that of the whole group, as `mappo`'s.

    Args:
        env: a batch of environments; actions are discrete, or a box with spreads that depend on the state.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: an action space of another kind, or sizes that do not divide.
    """
    env_params = batch_params(env, env_params)
    head = group_head(env, config, env_params)
    require(not head.free, "spread", config.spread, "state: agents share no parameters")
    network = group_network(env, config, head, None)
    policy = group_policy(network, head, name="happo")
    return policy_gradient_learner(env, config, env_params, network, head, policy, SequentialPolicyGradient)


def _parts(params: PyTree) -> tuple[PyTree, PyTree]:
    """Parameters of the actors, stacked by agent, and the others."""
    inner = params["params"]
    return inner["actor"], {name: leaf for name, leaf in inner.items() if name != "actor"}


def _joined(actors: PyTree, rest: PyTree) -> PyTree:
    return {"params": {**rest, "actor": actors}}


def _team_advantage(advantage: Float[Array, "S N L"], alive: Bool[Array, "S N L"] | None) -> Float[Array, "S N L"]:
    """The mean over agents (that are there), standardised, for each of them."""
    if alive is None:
        mean = jnp.mean(advantage, axis=1, keepdims=True)
    else:
        there = jnp.sum(alive, axis=1, keepdims=True)
        mean = jnp.sum(jnp.where(alive, advantage, 0.0), axis=1, keepdims=True) / jnp.maximum(there, 1)
    each = jnp.broadcast_to(mean, advantage.shape)
    centred = each - mean_of(each, alive)
    return centred / (jnp.sqrt(mean_of(centred**2, alive)) + 1e-8)

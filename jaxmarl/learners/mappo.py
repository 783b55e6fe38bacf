"""Independent PPO and MAPPO (de Witt et al. 2020; Yu et al. 2022), with attention to neighbours in a graph if wanted.

Both are the clipped policy gradient of `policy_gradient` with another network: actors of all agents of an instance and
a critic that reads the agent's own observation (independent PPO) or a global view (MAPPO). The global view is made of
what all agents see, as environments have no other public state: for each agent its own embedding and the mean of
everybody's (`critic="mean"`, the default, of a size that does not depend on the number of agents), or all observations
side by side (`critic="concat"`).
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, batch_params
from jaxmarl.learners.actions import ActionHead, action_head
from jaxmarl.learners.base import Learner
from jaxmarl.learners.group_networks import CRITICS, Graph, GroupActorCritic, member_params, with_identity
from jaxmarl.learners.policy_gradient import PPOConfig, network_actor, with_mask
from jaxmarl.learners.ppo import policy_gradient_learner

HEARERS = ("both", "critic")


@dataclass(frozen=True)
class MAPPOConfig(PPOConfig):
    """Settings of `mappo` beside those of `ppo`, some of which have other defaults; `label_weight` plays no part.

    Minibatches shuffle sequences of whole groups: their number must divide `chunks_per_update · num_envs`.

    Attributes:
        critic: `"mean"` or `"concat"`, central (MAPPO), or `"own"` (independent PPO); see `GroupActorCritic`.
        share: whether agents share parameters.
        agent_id: whether networks read which agent it is.
        recurrent: whether actors and critics remember.
        heads: of the attention, if there is a graph.
        hearers: with a graph, whether actors and critic hear neighbours (`"both"`), or the `"critic"` only, so that
            agents can act alone.
    """

    hidden: int = 128
    chunk_length: int = 128
    epochs: int = 4
    learning_rate: float = 3e-4
    value_norm: bool = True
    critic: str = "mean"
    share: bool = True
    agent_id: bool = True
    recurrent: bool = False
    heads: int = 4
    hearers: str = "both"

    def __post_init__(self):
        super().__post_init__()
        require_choice("critic", self.critic, CRITICS)
        require_choice("hearers", self.hearers, HEARERS)
        require_int("heads", self.heads, 1)


def ippo_config(**settings: Any) -> MAPPOConfig:
    """Settings of independent PPO: critics that read an agent's own observation."""
    return MAPPOConfig(**{"critic": "own", **settings})


def mappo(
    env: BatchedEnv, config: MAPPOConfig, env_params: PyTree = None, graph: Bool[np.ndarray, "N N"] | None = None
) -> Learner:
    """MAPPO, or independent PPO where `config.critic` is `"own"`.

    Its `policy` plays for the whole group: it is given the observations of all agents, `[N, …]` (a `MaskedObs` of them
    where actions are discrete), and returns their actions. Where actors do not hear each other, `member_policy` is that
    of one agent alone, with the same params.

    Args:
        env: a batch of environments; actions are discrete or a box of floats.
        config: settings.
        env_params: of the environments (default: `env.default_params`).
        graph: whom each agent (row) hears (`graph_attention.adjacency_matrix`); None for no attention.

    Raises:
        ValueError: an action space of another kind, sizes that do not divide, or a graph that does not fit.
    """
    env_params = batch_params(env, env_params)
    head = group_head(env, config, env_params)
    network = group_network(env, config, head, graph)
    return policy_gradient_learner(env, config, env_params, network, head, group_policy(network, head))


def greedy_actor(env: BatchedEnv, config: MAPPOConfig, env_params: PyTree = None, graph: Any = None) -> Actor:
    """Plays all seats of a batch by the most likely actions, for evaluation; arguments and params as for `mappo`."""
    head = group_head(env, config, batch_params(env, env_params))
    return network_actor(env, group_network(env, config, head, graph), head, greedy=True)


def group_head(env: BatchedEnv, config: MAPPOConfig, env_params: PyTree) -> ActionHead:
    """How the outputs of actors become actions."""
    return action_head(env.action_space(env_params), config.bounds, config.spread, config.initial_std)


def group_network(env: BatchedEnv, config: MAPPOConfig, head: ActionHead, graph: Any) -> GroupActorCritic:
    """The network of the settings; refuses a graph that does not fit."""
    hears: Graph = ()
    if graph is not None:
        matrix = np.asarray(graph, bool)
        size = (env.num_agents,) * 2
        require(matrix.shape == size, "graph", matrix.shape, f"a matrix of the shape {size}")
        require(bool(matrix.diagonal().all()), "graph", "an agent that does not hear itself", "true on the diagonal")
        require(config.hidden % config.heads == 0, "heads", config.heads, f"a divisor of hidden, {config.hidden}")
        require(config.share, "share", config.share, "True with a graph")
        require(config.critic == "mean", "critic", config.critic, "mean with a graph")
        hears = tuple(tuple(map(bool, row)) for row in matrix)
    return GroupActorCritic(
        num_agents=env.num_agents,
        num_outputs=head.num_outputs,
        free=head.free,
        critic=config.critic,
        share=config.share,
        agent_id=config.agent_id,
        hidden=config.hidden,
        recurrent=config.recurrent,
        actor_graph=hears if config.hearers == "both" else (),
        critic_graph=hears,
        heads=config.heads,
    )


def group_policy(network: GroupActorCritic, head: ActionHead, name: str = "mappo") -> Policy:
    """The stochastic policy of all agents together, unbatched: observations `[N, …]` to actions `[N, …]`."""
    num = network.num_agents

    def act(params, memory, seen, chance):
        seen = jax.tree.map(lambda x: x[None], with_mask(seen))
        memory, heads = network.run(params, memory, seen, jnp.zeros((1, num), bool))
        return jax.vmap(lambda outputs, words: head.sample(outputs, words)[0])(heads.policy[0], chance), memory

    chance = replace(head.chance, shape=(num, *head.chance.shape))
    init = lambda _: network.initial_memory((num,))  # noqa: E731
    return Policy(init, act, act_chance=chance, masked=head.masked, name=name)


def member_policy(env: BatchedEnv, config: MAPPOConfig, agent: int, env_params: PyTree = None) -> Policy:
    """The policy of one agent alone, unbatched, for cross-play; its params are the learner's, those of the group.

    It is that of actors which hear nobody: of a learner without a graph, or whose critic alone has one.

    Raises:
        ValueError: no such agent.
    """
    require_int("agent", agent, 0, env.num_agents - 1)
    env_params = batch_params(env, env_params)
    head = group_head(env, config, env_params)
    group = group_network(env, config, head, None)
    network, size = group.clone(num_agents=1), config.hidden if config.recurrent else 0

    def act(params, memory, seen, chance):
        seen = jax.tree.map(lambda x: x[None, None], with_mask(seen))
        x = seen.obs.reshape(1, 1, -1).astype(jnp.float32)
        if config.agent_id:
            x = with_identity(x, jax.nn.one_hot(jnp.full((1,), agent), env.num_agents))
        alone = member_params(params, agent, config.share)
        start = jnp.zeros((1, 1), bool)
        played: Any = network.apply(alone, memory, x, seen.mask, start, method="act")
        memory, outputs = played
        return head.sample(outputs[0, 0], chance)[0], memory

    def init(chance) -> Array:
        return jnp.zeros((1, size), jnp.float32)

    return Policy(init, act, act_chance=head.chance, masked=head.masked, name=f"member_{agent}")

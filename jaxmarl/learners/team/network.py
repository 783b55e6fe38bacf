"""The networks of a team: values of each agent's actions, with or without memory and messages, and their mixer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, batch_params
from jaxmarl.core.spaces import Discrete
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.networks import GRU, Dense
from jaxmarl.learners.team.communication import Messages
from jaxmarl.learners.team.config import Communication, TeamConfig
from jaxmarl.learners.team.mixers import StateOf, make_mixer, side_by_side
from jaxmarl.learners.value.acting import explore
from jaxmarl.learners.value.heads import MeanHead


class AgentNetwork(nn.Module):
    """Values of the actions of all agents, whose parameters are shared.

    Attributes:
        num_actions: A.
        obs_shape: of one observation.
        hidden: widths of the encoder's dense layers; the last is that of the memory.
        layer_norm: whether they are normalised.
        recurrent: whether agents remember.
        agent_id: whether it reads which agent it is: further entries, or channels, of an observation.
        communication: sizes of messages; None: agents do not hear each other.
        absent_zeros: whether agents that see nothing but zeros are not heard.
    """

    num_actions: int
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    layer_norm: bool = False
    recurrent: bool = False
    agent_id: bool = True
    communication: Communication | None = None
    absent_zeros: bool = False

    @nn.compact
    def __call__(
        self, memory: PyTree, obs: Array, start: Bool[Array, "T *batch N"], identity: Float[Array, "N M"]
    ) -> tuple[PyTree, Float[Array, "T *batch N A"]]:
        """Memories after each of `T` steps, `[T, *batch, N, H]` or `()`, and values.

        Args:
            memory: before the first step, `[*batch, N, H]` or `()`.
            obs: `[T, *batch, N, *obs_shape]`.
            start: whether a step is the first of its episode, where the memory is zeroed.
            identity: which agent each is, one-hot.
        """
        axes = len(self.obs_shape)
        seen = obs.astype(jnp.float32)
        if self.agent_id:
            marks = identity.reshape(identity.shape[0], *(1 for _ in range(axes - 1)), identity.shape[1])
            seen = jnp.concatenate([seen, jnp.broadcast_to(marks, (*seen.shape[:-1], marks.shape[-1]))], axis=-1)
        x = Encoder(seen.shape[seen.ndim - axes :], self.hidden, self.layer_norm, name="encoder")(seen)
        memories: PyTree = ()
        if self.recurrent:
            _, memories = GRU(self.hidden[-1], name="core")(memory, x, start)
            x = memories
        if self.communication is not None:
            present = jnp.any(obs.reshape(*start.shape, -1) != 0, axis=-1) if self.absent_zeros else None
            x = Messages(self.communication, name="messages")(x, present)
        return memories, Dense(self.num_actions, name="outputs")(x)

    def initial_memory(self, batch: tuple[int, ...] = ()) -> PyTree:
        """The memory at an episode's start; `batch` ends with the axis of agents."""
        return jnp.zeros((*batch, self.hidden[-1]), jnp.float32) if self.recurrent else ()


@dataclass(frozen=True, eq=False)
class TeamNetwork:
    """Agents and their mixer; parameters are a dict of `"agents"` and `"mixer"`.

    Attributes:
        agents: values of each agent's actions.
        mixer: from values of agents to that of the team; None: they stay the agents' own.
        state_of: what of the observations the mixer reads.
        num_agents: N.
    """

    agents: AgentNetwork
    mixer: Any
    state_of: StateOf
    num_agents: int

    head: ClassVar[MeanHead] = MeanHead()

    def init(self, key: Array, obs: Array, _: Any = None) -> PyTree:
        """Parameters, given observations `[B, N, *obs_shape]`."""
        agents_key, mixer_key = jax.random.split(key)
        lanes = (*obs.shape[:1], self.num_agents)
        memory, start = self.agents.initial_memory(lanes), jnp.ones((1, *lanes), bool)
        params = {"agents": self.agents.init(agents_key, memory, obs[None], start, self.identity), "mixer": {}}
        if self.mixer is not None:
            params["mixer"] = self.mixer.init(mixer_key, jnp.zeros(lanes), self.state_of(obs))
        return params

    @property
    def identity(self) -> Float[Array, "N N"]:
        """Which agent each is."""
        return jnp.eye(self.num_agents, dtype=jnp.float32)

    def run(self, params: PyTree, memory: PyTree, obs: Array, start: Bool[Array, "T *batch N"]) -> tuple[PyTree, Array]:
        """Memories after each of `T` steps, and the agents' values `[T, *batch, N, A]`; arguments as for the agents."""
        memories, values = self.agents.apply(params["agents"], memory, obs, start, self.identity)
        return memories, jnp.asarray(values)

    def step(self, params: PyTree, memory: PyTree, obs: Array, start: Array) -> tuple[PyTree, Array]:
        """One step: memory after it and values; `start` is `[*batch]`."""
        each = jnp.broadcast_to(start[..., None], (*start.shape, self.num_agents))[None]
        return jax.tree.map(lambda x: x[0], self.run(params, memory, obs[None], each))

    def mix(self, params: PyTree, values: Float[Array, "*batch N"], state: Array) -> Float[Array, "*batch M"]:
        """The team's value (M = 1), or the agents' own (M = N); `state` as by `state_of`."""
        if self.mixer is None:
            return values
        return jnp.asarray(self.mixer.apply(params["mixer"], values, state))


def team_network(
    env: BatchedEnv, config: TeamConfig, env_params: PyTree = None, state_of: StateOf | None = None
) -> TeamNetwork:
    """The networks for an environment; arguments as for `team_q`.

    Raises:
        ValueError: actions are not discrete.
    """
    env_params = batch_params(env, env_params)
    space = env.action_space(env_params)
    require(isinstance(space, Discrete), "action_space", space, "Discrete")
    shape = env.observation_space(env_params).shape
    agents = AgentNetwork(
        num_actions=space.n,
        obs_shape=shape,
        hidden=config.hidden,
        layer_norm=config.layer_norm,
        recurrent=config.recurrent,
        agent_id=config.agent_id,
        communication=config.communication,
        absent_zeros=config.absent_zeros,
    )
    mixer = make_mixer(config.mixer, config.embed, config.hypernet)
    return TeamNetwork(agents, mixer, state_of or side_by_side(len(shape)), env.num_agents)


def legal(values: Float[Array, "*batch A"], mask: Bool[Array, "*batch A"]) -> Float[Array, "*batch A"]:
    """Values, minus infinity where an action is illegal."""
    return jnp.where(mask, values, -jnp.inf)


def team_actor(env: BatchedEnv, network: TeamNetwork) -> Actor:
    """Plays all seats; its params are `(parameters, probability of a random legal action)`; extras: memory before."""
    lanes = env.num_envs, env.num_agents

    def act(params, memory, seen: MaskedObs, start, key):
        weights, epsilon = params
        coin, pick = draw(repeat((Uniform(), Uniform()), *lanes), key)
        after, values = network.step(weights, memory, seen.obs, start)
        return explore(legal(values, seen.mask), seen.mask, epsilon, coin, pick), after, memory

    return Actor(lambda key: network.agents.initial_memory(lanes), act, masked=True)


def group_policy(network: TeamNetwork, name: str) -> Policy:
    """The greedy policy of all agents together, unbatched: a `MaskedObs` of `[N, …]` to actions `[N]`."""
    num = network.num_agents

    def act(params, memory, seen: MaskedObs, chance):
        memory, values = network.step(params, memory, seen.obs, jnp.zeros((), bool))
        return jnp.argmax(legal(values, seen.mask), -1).astype(jnp.int32), memory

    return Policy(lambda chance: network.agents.initial_memory((num,)), act, masked=True, name=name)


def member_policy(network: TeamNetwork, agent: int, name: str | None = None) -> Policy:
    """The greedy policy of one agent alone, unbatched, for cross-play; its params are the learner's.

    Raises:
        ValueError: no such agent, or agents that hear each other.
    """
    require_int("agent", agent, 0, network.num_agents - 1)
    require(network.agents.communication is None, "network", "agents that talk", "without communication")

    def act(params, memory, seen: MaskedObs, chance):
        identity = jax.nn.one_hot(jnp.full((1,), agent), network.num_agents)
        now = jnp.zeros((1, 1), bool)
        played: Any = network.agents.apply(params["agents"], memory, seen.obs[None, None], now, identity)
        memories, values = played
        action = jnp.argmax(legal(values[0, 0], seen.mask)).astype(jnp.int32)
        return action, jax.tree.map(lambda x: x[0], memories)

    init = lambda chance: network.agents.initial_memory((1,))  # noqa: E731
    return Policy(init, act, masked=True, name=name or f"member_{agent}")

"""Actors and critics of a whole group of agents, read together: decentralised policies, own or central values."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.policy import MaskedObs
from jaxmarl.learners.graph_attention import GraphAttention
from jaxmarl.learners.networks import GRU, Dense, Heads, orthonormal, policy_outputs

CRITICS = ("own", "mean", "concat")
Graph = tuple[tuple[bool, ...], ...]
"""An adjacency matrix that can be hashed; empty for none."""


class Tower(nn.Module):
    """Two tanh layers and a linear head; between the layers, agents may hear each other.

    Attributes:
        num_outputs: of the head.
        head_scale: of the head's initial weights.
        hidden: width.
        recurrent: whether a GRU follows the layers.
        graph: with attention of agents to their neighbours after the first layer.
        heads: of the attention, each of width `hidden / heads`.
        pool: whether the second layer also reads the mean over agents of what the first one says.
    """

    num_outputs: int
    head_scale: float
    hidden: int
    recurrent: bool = False
    graph: Graph = ()
    heads: int = 4
    pool: bool = False

    @nn.compact
    def __call__(
        self, memory: Float[Array, "*batch H"], x: Float[Array, "T *batch F"], start: Bool[Array, "T *batch"]
    ) -> tuple[Float[Array, "*batch H"], Float[Array, "T *batch O"]]:
        """Memory after `T` steps and outputs at each; the last axis of `*batch` is that of agents."""

        def dense(name, **options):
            return Dense(self.hidden, kernel_init=orthonormal(2**0.5), name=name, **options)

        y = nn.tanh(dense("encoder")(x))
        if self.graph:
            attention = GraphAttention(self.heads, self.hidden // self.heads, name="attention")
            y = attention(y, np.asarray(self.graph, bool))
        z = dense("body")(y)
        if self.pool:
            z = z + dense("pooled", use_bias=False)(jnp.mean(y, axis=-2, keepdims=True))
        y = nn.tanh(z)
        if self.recurrent:
            memory, y = GRU(self.hidden, name="core")(memory, y, start)
        return memory, Dense(self.num_outputs, kernel_init=orthonormal(self.head_scale), name="head")(y)


class GroupActorCritic(nn.Module):
    """Separate actors and critics of `N` agents.

    Attributes:
        num_agents: `N`.
        num_outputs: outputs of a policy that depend on the observation.
        free: initial values of further outputs, learned numbers that no observation changes.
        critic: what values are made of: `"own"`, an agent's own observation (independent learners); `"mean"`, that and
            the mean over agents of their embeddings, which does not depend on the number of agents; `"concat"`, the
            observations of all agents side by side, of which one network says all values.
        share: whether agents share parameters; else each has an actor of its own, and a critic if that is `"own"`.
        agent_id: whether networks also read which agent it is, as a one-hot vector.
        hidden: width of all layers.
        recurrent: whether actors and critics remember, by a GRU each.
        actor_graph: whom actors hear; empty where they act on their own observation.
        critic_graph: whom embeddings of the critic hear.
        heads: of the attention.
    """

    num_agents: int
    num_outputs: int
    free: tuple[float, ...] = ()
    critic: str = "mean"
    share: bool = True
    agent_id: bool = True
    hidden: int = 128
    recurrent: bool = False
    actor_graph: Graph = ()
    critic_graph: Graph = ()
    heads: int = 4

    joint = True

    def setup(self):
        common: dict[str, Any] = {"hidden": self.hidden, "recurrent": self.recurrent, "heads": self.heads}
        own = Tower if self.share else _one_each
        self.actor = own(num_outputs=self.num_outputs, head_scale=0.01, graph=self.actor_graph, **common)
        if self.critic == "own":
            self.valuer = own(num_outputs=1, head_scale=1.0, **common)
        else:
            pool, width = self.critic == "mean", 1 if self.critic == "mean" else self.num_agents
            graph = self.critic_graph
            self.valuer = Tower(num_outputs=width, head_scale=1.0, graph=graph, pool=pool, **common)
        if self.free:
            self.free_outputs = self.param("free", lambda key: jnp.asarray(self.free, jnp.float32))

    def __call__(
        self,
        memory: tuple[Array, Array],
        obs: Array,
        mask: Bool[Array, "T *batch N A"] | None,
        start: Bool[Array, "T *batch N"],
    ) -> tuple[tuple[Array, Array], Heads]:
        """Runs `T` steps; `obs` is `[T, *batch, N, …]`, flattened per agent; memories are those of actor and critic."""
        flat = obs.reshape(*start.shape, -1).astype(jnp.float32)
        x = flat
        if self.agent_id:
            x = with_identity(flat, jnp.eye(self.num_agents, dtype=jnp.float32))
        acting, policy = self.act(memory[0], x, mask, start)
        if self.critic == "concat":
            side_by_side = flat.reshape(*flat.shape[:-2], -1)
            valuing, value = self.valuer(memory[1][..., 0, :], side_by_side, start[..., 0])
            valuing = jnp.broadcast_to(valuing[..., None, :], memory[1].shape)
        else:
            valuing, value = self.valuer(memory[1], x, start)
            value = value[..., 0]
        return (acting, valuing), Heads(policy, value, None)

    def act(self, memory: Array, x: Array, mask: Array | None, start: Array) -> tuple[Array, Array]:
        """Memory and outputs of the actors, given observations with identities."""
        memory, policy = self.actor(memory, x, start)
        return memory, policy_outputs(policy, mask, self.free_outputs if self.free else None)

    def run(self, params: PyTree, memory: Any, seen: MaskedObs, start: Array) -> tuple[Any, Heads]:
        """`apply`, for `T` steps of a `MaskedObs`."""
        memory, heads = self.apply(params, memory, seen.obs, seen.mask, start)
        return memory, Heads(*heads)

    def initial_memory(self, batch: tuple[int, ...] = ()) -> tuple[Array, Array]:
        """Memories of actors and critics at an episode's start; `batch` ends with the axis of agents."""
        size = self.hidden if self.recurrent else 0
        return jnp.zeros((*batch, size), jnp.float32), jnp.zeros((*batch, size), jnp.float32)


def with_identity(x: Float[Array, "*batch N F"], identity: Float[Array, "N M"]) -> Float[Array, "*batch N G"]:
    """Features of agents, followed by which agent each is."""
    return jnp.concatenate([x, jnp.broadcast_to(identity, (*x.shape[:-1], identity.shape[-1]))], axis=-1)


class _PerAgent(nn.Module):
    """A tower of its own for every agent: parameters have a leading axis of agents."""

    settings: Any

    @nn.compact
    def __call__(self, memory, x, start):
        each = nn.vmap(Tower, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=0, out_axes=0)
        memory, outputs = each(**dict(self.settings), name="tower")(
            jnp.moveaxis(memory, -2, 0), jnp.moveaxis(x, -2, 0), jnp.moveaxis(start, -1, 0)
        )
        return jnp.moveaxis(memory, 0, -2), jnp.moveaxis(outputs, 0, -2)


def _one_each(**settings: Any) -> _PerAgent:
    return _PerAgent(tuple(sorted(settings.items())))


def member_params(params: PyTree, agent: int, share: bool) -> PyTree:
    """Parameters that are enough for one agent's actor alone, as a group of one."""
    inner = params["params"]
    actor = inner["actor"]
    if not share:
        actor = jax.tree.map(lambda p: p[agent : agent + 1], actor)
    return {"params": {**inner, "actor": actor}}

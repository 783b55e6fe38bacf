"""Networks of the learners: a recurrent core with correct resets, and actor-critic heads on top of it."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import zeros
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.sharding import data_parts

ILLEGAL_LOGIT = -1e10  # finite: -inf would put NaN into the gradient of the entropy


def rows_product(lhs: Array, rhs: Array, dimension_numbers: Any, **options: Any) -> Array:
    """`lax.dot_general` of `[..., F]` and `[F, G]` as one product of matrices.

    Its gradient then sums over one axis, which on CPUs takes half the time of a sum over several. Where a mesh splits
    the data, axes stay apart, for the split one may be any of them.
    """
    if data_parts() > 1:
        return jax.lax.dot_general(lhs, rhs, dimension_numbers, **options)
    rows = lhs.reshape(math.prod(lhs.shape[:-1]), lhs.shape[-1])
    return jax.lax.dot_general(rows, rhs, (((1,), (0,)), ((), ())), **options).reshape(*lhs.shape[:-1], rhs.shape[-1])


Dense = partial(nn.Dense, dot_general=rows_product)
"""`flax.linen.Dense` by `rows_product`."""


def orthonormal(scale: float) -> Callable[..., Array]:
    """Initial weights `[F, G]` with orthonormal rows or columns, times `scale`, by products of matrices alone.

    They are the polar factor of a normal matrix, by Newton and Schulz's iteration. The QR of
    `flax.linen.initializers.orthogonal` is a call of LAPACK, and a batch of seeds that makes several of them at once
    was seen to wait for ever on two cores (jaxlib 0.10).
    """

    def init(key: Array, shape: tuple[int, int], dtype: Any = jnp.float32) -> Array:
        draws = jax.random.normal(key, tuple(sorted(shape)), dtype)
        start = draws / jnp.linalg.norm(draws)
        rows = jax.lax.fori_loop(0, 30, lambda _, x: 1.5 * x - 0.5 * (x @ x.T) @ x, start)
        return scale * (rows if shape[0] <= shape[1] else rows.T)

    return init


class GRU(nn.Module):
    """A gated recurrent unit over time, reset at episode starts (Cho et al. 2014; equations of `flax.linen.GRUCell`).

    The input projections of all time steps are one matrix product; only the recurrent one is in the scan.

    Attributes:
        features: `H`, size of the memory.
    """

    features: int

    @nn.compact
    def __call__(
        self, memory: Float[Array, "*batch H"], x: Float[Array, "T *batch F"], start: Bool[Array, "T *batch"]
    ) -> tuple[Float[Array, "*batch H"], Float[Array, "T *batch H"]]:
        """Memory after the last step, and outputs; the memory is zeroed *before* a step whose `start` is true."""
        size = self.features
        from_input = Dense(3 * size, kernel_init=orthonormal(1.0), bias_init=zeros, name="input")(x)
        kernel = self.param("recurrent", _stacked_orthogonal, (size, 3 * size))
        bias = self.param("recurrent_bias", zeros, (size,))

        def step(h, inputs):
            gates, first = inputs
            h = jnp.where(first[..., None], 0.0, h)
            recurrent = h @ kernel
            reset, update = jnp.split(nn.sigmoid(gates[..., : 2 * size] + recurrent[..., : 2 * size]), 2, axis=-1)
            candidate = nn.tanh(gates[..., 2 * size :] + reset * (recurrent[..., 2 * size :] + bias))
            h = candidate + update * (h - candidate)
            return h, h

        return jax.lax.scan(step, memory, (from_input, start))


def _stacked_orthogonal(key: Array, shape: tuple[int, int]) -> Float[Array, "H H3"]:
    """Three orthogonal matrices side by side, one a gate."""
    size = shape[0]
    return jnp.concatenate([orthonormal(1.0)(k, (size, size)) for k in jax.random.split(key, 3)], axis=1)


class Heads(NamedTuple):
    """What the network says at every step.

    Attributes:
        policy: `[..., O]`, of the distribution of actions (`actions.ActionHead`): logits, with illegal actions at
            `ILLEGAL_LOGIT`, or means and logarithms of standard deviations.
        value: `[...]`, expected discounted return in units of the scaled reward.
        label_logits: `[..., L]`, which opponent this is; None from networks that do not say.
    """

    policy: Float[Array, "*batch O"]
    value: Float[Array, "*batch"]
    label_logits: Float[Array, "*batch L"] | None


def policy_outputs(policy: Float[Array, "*batch O"], mask: Bool[Array, "*batch O"] | None, free: Array | None) -> Array:
    """Outputs of a policy's head with illegal actions masked, or followed by numbers that no observation changes."""
    if mask is not None:
        policy = jnp.where(mask, policy, ILLEGAL_LOGIT)
    if free is not None:
        policy = jnp.concatenate([policy, jnp.broadcast_to(free, (*policy.shape[:-1], *free.shape))], axis=-1)
    return policy


class RecurrentActorCritic(nn.Module):
    """Encoder, GRU, and heads for the policy, the value and the opponent's identity.

    Attributes:
        num_outputs: outputs of the policy that depend on the observation (`A`, where they are logits).
        num_labels: `L`, size of the identity head.
        hidden: width of the encoder and of the memory.
        free: initial values of further outputs of the policy, learned numbers that no observation changes.
    """

    num_outputs: int
    num_labels: int
    hidden: int
    free: tuple[float, ...] = ()

    joint = False  # agents are read one by one

    @nn.compact
    def __call__(
        self,
        memory: Float[Array, "*batch H"],
        obs: Array,
        mask: Bool[Array, "T *batch A"] | None,
        start: Bool[Array, "T *batch"],
    ) -> tuple[Float[Array, "*batch H"], Heads]:
        """Runs `T` steps of a batch of sequences; `obs` is `[T, *batch, …]`, flattened per agent."""
        flat = obs.reshape(*start.shape, -1).astype(jnp.float32)
        encoded = nn.relu(Dense(self.hidden, kernel_init=orthonormal(2**0.5), name="encoder")(flat))
        memory, core = GRU(self.hidden, name="core")(memory, encoded, start)
        policy = Dense(self.num_outputs, kernel_init=orthonormal(0.01), name="policy")(core)
        free = self.param("free", lambda key: jnp.asarray(self.free, jnp.float32)) if self.free else None
        policy = policy_outputs(policy, mask, free)
        value = Dense(1, kernel_init=orthonormal(1.0), name="value")(core)
        labels = Dense(self.num_labels, kernel_init=orthonormal(0.01), name="label")(core)
        return memory, Heads(policy, value[..., 0], labels)

    def run(
        self, params: PyTree, memory: Float[Array, "*batch H"], seen: MaskedObs, start: Bool[Array, "T *batch"]
    ) -> tuple[Float[Array, "*batch H"], Heads]:
        """`apply`, for `T` steps of a `MaskedObs`: memory after the last step, and what the heads say at each."""
        memory, heads = self.apply(params, memory, seen.obs, seen.mask, start)
        return memory, Heads(*heads)

    def initial_memory(self, batch: tuple[int, ...] = ()) -> Float[Array, "*batch H"]:
        """The memory at an episode's start."""
        return jnp.zeros((*batch, self.hidden), jnp.float32)


class FeedForwardActorCritic(nn.Module):
    """Two hidden layers without a memory, and the heads of `RecurrentActorCritic`: for games whose state is seen.

    Attributes:
        num_outputs: outputs of the policy that depend on the observation.
        num_labels: `L`, size of the identity head.
        hidden: width of both layers.
        free: as in `RecurrentActorCritic`.
    """

    num_outputs: int
    num_labels: int
    hidden: int
    free: tuple[float, ...] = ()

    joint = False

    @nn.compact
    def __call__(
        self, memory: tuple[()], obs: Array, mask: Bool[Array, "T *batch A"] | None, start: Bool[Array, "T *batch"]
    ) -> tuple[tuple[()], Heads]:
        """As `RecurrentActorCritic`, with nothing to remember."""
        x = obs.reshape(*start.shape, -1).astype(jnp.float32)
        for i in range(2):
            x = nn.tanh(Dense(self.hidden, kernel_init=orthonormal(2**0.5), name=f"hidden_{i}")(x))
        policy = Dense(self.num_outputs, kernel_init=orthonormal(0.01), name="policy")(x)
        free = self.param("free", lambda key: jnp.asarray(self.free, jnp.float32)) if self.free else None
        value = Dense(1, kernel_init=orthonormal(1.0), name="value")(x)
        labels = Dense(self.num_labels, kernel_init=orthonormal(0.01), name="label")(x)
        return memory, Heads(policy_outputs(policy, mask, free), value[..., 0], labels)

    def run(
        self, params: PyTree, memory: tuple[()], seen: MaskedObs, start: Bool[Array, "T *batch"]
    ) -> tuple[tuple[()], Heads]:
        """As `RecurrentActorCritic.run`."""
        memory, heads = self.apply(params, memory, seen.obs, seen.mask, start)
        return memory, Heads(*heads)

    def initial_memory(self, batch: tuple[int, ...] = ()) -> tuple[()]:
        """None."""
        return ()

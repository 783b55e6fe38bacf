"""Attention of agents to their neighbours in a graph (Veličković et al., ICLR 2018)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import variance_scaling
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require
from jaxmarl.learners.networks import orthonormal

OFF_GRAPH = -1e9  # finite, so that no gradient is NaN


def adjacency_matrix(neighbours, linked) -> np.ndarray:
    """Bool `[N, N]`, whom each agent (row) hears, from padded lists of neighbours `[N, K]`; everyone hears itself.

    Args:
        neighbours: indices of agents.
        linked: bool, which entries are there.

    Raises:
        ValueError: the shapes differ, or an index is not an agent.
    """
    neighbours, linked = np.asarray(neighbours), np.asarray(linked, bool)
    same = neighbours.ndim == 2 and neighbours.shape == linked.shape
    require(same, "linked", linked.shape, f"of the shape of neighbours, {neighbours.shape}")
    num = len(neighbours)
    there = neighbours[linked]
    require(bool(((there >= 0) & (there < num)).all()), "neighbours", there.tolist(), f"from 0 to {num - 1}")
    hears = np.eye(num, dtype=bool)
    hears[np.nonzero(linked)[0], there] = True
    return hears


def attention_weights(
    listener: Float[Array, "*batch N"], speaker: Float[Array, "*batch N"], adjacency: Bool[np.ndarray, "N N"]
) -> Float[Array, "*batch N N"]:
    """Softmax over the neighbours j of each agent i of `LeakyReLU(listener_i + speaker_j)`, with slope 0.2 below 0."""
    score = nn.leaky_relu(listener[..., :, None] + speaker[..., None, :], 0.2)
    return jax.nn.softmax(jnp.where(adjacency, score, OFF_GRAPH), axis=-1)


class GraphAttention(nn.Module):
    """One layer: `x_i + ELU(Σ_j α_ij W x_j)`, heads side by side; with itself for only neighbour, an agent's MLP.

    The weights are softmaxes over each agent's list of neighbours, computed as masked `N × N` matrices, which for the
    hundreds of agents of our games costs less than gathering. Parameters do not depend on `N`, and agents may be
    permuted together with the graph.

    Attributes:
        heads: number of heads.
        features: width of a head; `heads · features` is the width of the input.
    """

    heads: int = 4
    features: int = 16

    @nn.compact
    def __call__(self, x: Float[Array, "*batch N F"], adjacency: Bool[np.ndarray, "N N"]) -> Float[Array, "*batch N F"]:
        """Features `[..., N, F]` of agents who have heard their neighbours.

        Args:
            x: features of agents.
            adjacency: whom each agent (row) hears; everyone should hear itself.

        Raises:
            ValueError: the width of `x` is not `heads · features`.
        """
        width = self.heads * self.features
        require(x.shape[-1] == width, "x", f"{x.shape[-1]} features", f"of {self.heads} heads of {self.features}")
        values = nn.Dense(width, use_bias=False, kernel_init=orthonormal(2**0.5), name="values")(x)
        values = jnp.moveaxis(values.reshape(*x.shape[:-1], self.heads, self.features), -2, -3)  # [..., heads, N, f]
        small = variance_scaling(1.0, "fan_in", "normal", in_axis=1, out_axis=0)
        listener, speaker = (
            jnp.einsum("...hnf,hf->...hn", values, self.param(name, small, (self.heads, self.features)))
            for name in ("listener", "speaker")
        )
        heard = attention_weights(listener, speaker, adjacency) @ values
        return x + nn.elu(jnp.moveaxis(heard, -3, -2).reshape(x.shape))

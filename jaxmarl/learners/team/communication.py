"""Messages between agents: a transformer over the agents' features (Pagliuca et al. 2025, "MACTAS")."""

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import zeros
from jaxtyping import Array, Bool, Float

from jaxmarl.learners.team.config import Communication


class Messages(nn.Module):
    """What each agent's features become once all agents have heard each other.

    Features are projected, pass encoder layers of self-attention over agents and are added to what they were. The last
    projection starts at zero, so that learning starts from agents that do not hear each other. Parameters do not depend
    on the number of agents, and agents may be permuted.

    Attributes:
        sizes: of the transformer.
    """

    sizes: Communication

    @nn.compact
    def __call__(
        self, features: Float[Array, "*batch N H"], present: Bool[Array, "*batch N"] | None = None
    ) -> Float[Array, "*batch N H"]:
        """Features refined by messages.

        Args:
            features: of the agents.
            present: who may be heard, and who hears; None: everybody.
        """
        sizes = self.sizes
        heard = None if present is None else present[..., None, None, :]
        x = nn.Dense(sizes.width, name="project")(features)
        for i in range(sizes.layers):
            attention = nn.MultiHeadDotProductAttention(sizes.heads, name=f"attention_{i}")(x, x, mask=heard)
            x = nn.LayerNorm(name=f"norm_{i}")(x + attention)
            hidden = nn.relu(nn.Dense(sizes.feed_forward, name=f"hidden_{i}")(x))
            x = nn.LayerNorm(name=f"norm_hidden_{i}")(x + nn.Dense(sizes.width, name=f"dense_{i}")(hidden))
        message = nn.Dense(features.shape[-1], kernel_init=zeros, name="message")(x)
        return features + (message if present is None else jnp.where(present[..., None], message, 0.0))

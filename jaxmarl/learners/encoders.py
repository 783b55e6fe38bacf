"""Feed-forward encoders of observations, for learners without memory."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.learners.networks import Dense


class Encoder(nn.Module):
    """Observations to features: dense layers, after a small convolution where observations are images.

    Attributes:
        obs_shape: of one observation; its axes are the last ones of what is encoded. Images are `[H, W, C]`.
        hidden: widths of the dense layers.
        layer_norm: whether each layer is normalised before its ReLU (Ba et al. 2016).
        channels: of the 3 x 3 convolution of images (Young and Tian 2019, "MinAtar").
    """

    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...] = (64, 64)
    layer_norm: bool = False
    channels: int = 16

    def __post_init__(self):
        require(len(self.hidden) >= 1, "hidden", self.hidden, "one width or more")
        for width in self.hidden:
            require_int("hidden", width, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, obs: Array) -> Float[Array, "*batch F"]:
        """Features of `[..., *obs_shape]`."""
        batch = obs.shape[: obs.ndim - len(self.obs_shape)]
        x = obs.astype(jnp.float32)
        if len(self.obs_shape) == 3:
            x = self._activate(nn.Conv(self.channels, (3, 3), padding="VALID", name="convolution")(x))
        x = x.reshape(*batch, -1)
        for width in self.hidden:
            x = self._activate(Dense(width, kernel_init=nn.initializers.he_uniform())(x))
        return x

    def _activate(self, x: Array) -> Array:
        return nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)

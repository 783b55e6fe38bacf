"""Laws with finitely many atoms: what every representation of a return distribution can be read as.

Batch axes lead, atoms are the last axis. Where a law is asked at several points or levels, they make new last axes.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxmarl.core.checks import require_choice

TIES = ("left", "mid", "right")
"""What to answer at a level where a cdf is flat: its lowest quantile, the middle, or its highest."""


@runtime_checkable
class ReturnLaw(Protocol):
    """A representation of one law, or of a batch of laws: `Categorical`, `Quantile`, `Law`."""

    def law(self) -> "Law":
        """The atoms in increasing order with their probabilities, both of the whole batch's shape."""
        ...


class Law(NamedTuple):
    """Atoms and their probabilities, in any order.

    Attributes:
        atoms: `[..., M]`, in units of return.
        weights: `[..., M]`, not negative, adding to 1.
    """

    atoms: Float[Array, "*batch num_atoms"]
    weights: Float[Array, "*batch num_atoms"]

    def law(self) -> "Law":
        """The same law with its atoms in increasing order."""
        order = jnp.argsort(self.atoms, axis=-1)
        return Law(jnp.take_along_axis(self.atoms, order, -1), jnp.take_along_axis(self.weights, order, -1))


def mean(dist: ReturnLaw) -> Float[Array, "*batch"]:
    """Expected value."""
    atoms, weights = dist.law()
    return jnp.sum(atoms * weights, -1)


def variance(dist: ReturnLaw) -> Float[Array, "*batch"]:
    """Variance, from centred atoms: a difference of moments would cancel in float32."""
    atoms, weights = dist.law()
    centred = atoms - jnp.sum(atoms * weights, -1, keepdims=True)
    return jnp.sum(weights * centred**2, -1)


def cdf(dist: ReturnLaw, points: Float[Array, "*points"] | float) -> Float[Array, "*batch_points"]:
    """`P(X <= x)` at each of `points`, whose axes follow those of the batch."""
    atoms, weights = dist.law()
    asked = jnp.asarray(points, atoms.dtype)
    below = atoms[..., None, :] <= asked.reshape(-1, 1)
    values = jnp.sum(weights[..., None, :] * below, -1)
    return values.reshape(*atoms.shape[:-1], *asked.shape)


def quantiles(dist: ReturnLaw, levels: Float[Array, "*levels"] | float, tie: str = "left") -> Float[Array, "*batch"]:
    """Quantiles at `levels`, whose axes follow those of the batch.

    Args:
        dist: the law or laws.
        levels: in (0, 1).
        tie: what to answer at a level where the cdf is flat: the lowest quantile (`"left"`, the value at risk), the
            highest (`"right"`), or the middle of both (`"mid"`).
    """
    require_choice("tie", tie, TIES)
    atoms, weights = dist.law()
    asked = jnp.asarray(levels, atoms.dtype)
    picked = pick(atoms, cumulative(weights), asked.reshape(-1), tie)
    return picked.reshape(*atoms.shape[:-1], *asked.shape)


def sample(dist: ReturnLaw, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Float[Array, "*batch_shape"]:
    """Independent draws, of `shape` from each law of the batch."""
    atoms, weights = dist.law()
    uniforms = jax.random.uniform(key, (*atoms.shape[:-1], *shape), atoms.dtype)
    levels = uniforms.reshape(*atoms.shape[:-1], -1)
    return pick(atoms, cumulative(weights), levels, "right").reshape(uniforms.shape)


def cumulative(weights: Float[Array, "*batch num_atoms"]) -> Float[Array, "*batch num_atoms"]:
    """Running sums of probabilities that end at 1 whatever the rounding."""
    sums = jnp.minimum(jnp.cumsum(weights, -1), 1)
    return jnp.concatenate([sums[..., :-1], jnp.ones_like(sums[..., :1])], -1)


def pick(
    atoms: Float[Array, "*batch num_atoms"],
    sums: Float[Array, "*batch num_atoms"],
    levels: Float[Array, "*level_batch num_levels"],
    tie: str,
) -> Float[Array, "*batch num_levels"]:
    """Quantiles of ordered atoms with running sums of probabilities `sums`; `levels` is `[L]` or `[..., L]`.

    A level and a running sum closer than rounding count as equal.
    """
    slack = level_slack(sums.dtype)
    last, asked = atoms.shape[-1] - 1, levels[..., None]

    def at(reached: Array) -> Array:
        index = jnp.minimum(jnp.sum(~reached, -1), last)
        return jnp.take_along_axis(atoms, index, -1)

    lowest = at(sums[..., None, :] >= asked - slack) if tie != "right" else None
    highest = at(sums[..., None, :] > asked + slack) if tie != "left" else None
    if lowest is None or highest is None:
        chosen = highest if lowest is None else lowest
        assert chosen is not None
        return chosen
    return (lowest + highest) / 2


def level_slack(dtype: jnp.dtype) -> float:
    """How far two probabilities may lie apart and still be the same number: 1e-6 in float32."""
    return max(8 * float(jnp.finfo(dtype).eps), 1e-12)

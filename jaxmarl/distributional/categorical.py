"""Laws on a fixed grid of atoms, and the projection onto the grid (Bellemare, Dabney and Munos 2017, "C51")."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.distributional.law import Law


@struct.dataclass
class Categorical:
    """Probabilities of fixed atoms.

    Attributes:
        atoms: `[K]`, increasing, in units of return; `uniform_atoms` makes them.
        probs: `[..., K]`, not negative, adding to 1.
    """

    atoms: Float[Array, " num_atoms"]
    probs: Float[Array, "*batch num_atoms"]

    def law(self) -> Law:
        """Atoms and probabilities, both of the whole batch's shape."""
        return Law(jnp.broadcast_to(self.atoms, self.probs.shape), self.probs)

    def backup(self, reward: Any, discount: Any) -> "Categorical":
        """Law of `reward + discount * X`, projected onto the same atoms.

        Args:
            reward: `[...]` or a scalar.
            discount: `[...]` or a scalar: 0 where the episode terminated; a truncated one keeps its discount.
        """
        reward, discount = jnp.asarray(reward)[..., None], jnp.asarray(discount)[..., None]
        return self.replace(probs=project(reward + discount * self.atoms, self.probs, self.atoms))  # type: ignore[attr-defined]

    def mixture(self, weights: Float[Array, "*batch components"]) -> "Categorical":
        """The last batch axis mixed with `weights` `[..., M]`: the law of a component drawn at random."""
        probs = jnp.einsum("...m,...mk->...k", weights, self.probs, precision="highest")
        return self.replace(probs=probs)  # type: ignore[attr-defined]


def uniform_atoms(low: float, high: float, num_atoms: int) -> Float[Array, " num_atoms"]:
    """`num_atoms` equally spaced atoms from `low` to `high`, both included.

    Raises:
        ValueError: fewer than two atoms, or bounds that are not finite and in order.
    """
    require_int("num_atoms", num_atoms, 2)
    require(bool(-jnp.inf < low < high < jnp.inf), "low, high", (low, high), "finite, the first below the second")
    return jnp.linspace(low, high, num_atoms)


def support_from_rewards(
    lowest: float, highest: float, discount: float, num_atoms: int, horizon: int | None = None
) -> Float[Array, " num_atoms"]:
    """Atoms that span every return that rewards in `[lowest, highest]` can make, ending early included.

    Raises:
        ValueError: rewards out of order or all 0, or a discount outside [0, 1), or [0, 1] with a horizon.
    """
    require(0 <= discount < 1 or (discount == 1 and horizon is not None), "discount", discount, "in [0, 1)")
    if horizon is None:
        steps = 1 / (1 - discount)
    else:
        require_int("horizon", horizon, 1)
        steps = sum(discount**k for k in range(horizon))
    return uniform_atoms(min(lowest, 0.0) * steps, max(highest, 0.0) * steps, num_atoms)


def project(
    source_atoms: Float[Array, "*batch num_sources"],
    source_probs: Float[Array, "*batch num_sources"],
    atoms: Float[Array, " num_atoms"],
) -> Float[Array, "*batch num_atoms"]:
    """Probabilities on `atoms` of the nearest law in the Cramér distance.

    Each source atom is clipped to the range and divided between its two neighbours, so that the mean stays where
    nothing is clipped. No mass is lost on an atom hit exactly. Differentiable in both; O(M K).

    Args:
        source_atoms: `[..., M]`, in any order.
        source_probs: `[..., M]`.
        atoms: `[K]`, increasing, equally spaced or not.

    Returns:
        `[..., K]`.

    Raises:
        ValueError: `atoms` is not a vector of two atoms or more.
    """
    require(atoms.ndim == 1 and atoms.size >= 2, "atoms", atoms.shape, "a vector of two atoms or more")
    # share[i]: what part of a source lies above the gap i; telescoping differences cannot lose mass
    share = jnp.clip((source_atoms[..., None] - atoms[:-1]) / jnp.diff(atoms), 0, 1)
    above = jnp.concatenate([jnp.ones_like(share[..., :1]), share, jnp.zeros_like(share[..., :1])], -1)
    return jnp.einsum("...m,...mk->...k", source_probs, above[..., :-1] - above[..., 1:], precision="highest")


def two_hot(values: Float[Array, "*batch"], atoms: Float[Array, " num_atoms"]) -> Float[Array, "*batch num_atoms"]:
    """A number as the law of two neighbouring atoms with its mean; clipped to the range of `atoms`."""
    return project(values[..., None], jnp.ones_like(values)[..., None], atoms)


def interpolation(
    points: Float[Array, "*shape"], grid: Float[Array, " num_atoms"]
) -> tuple[Int[Array, "*shape"], Float[Array, "*shape"]]:
    """Between which points of an increasing grid `[K]` each point lies: index of the lower, and how far to the upper.

    Points outside count as the nearest end.
    """
    low = jnp.clip(jnp.searchsorted(grid, points, side="right") - 1, 0, grid.size - 2)
    share = (points - grid[low]) / (grid[low + 1] - grid[low])
    return low, jnp.clip(share, 0, 1)


def scatter_projection(
    mass: Float[Array, "rows num_sources"],
    low: Int[Array, "rows num_sources"],
    share: Float[Array, "rows num_sources"],
    num_atoms: int,
) -> Float[Array, "rows num_atoms"]:
    """What `project` computes, from `interpolation` of the sources, in O(M): for fine grids and repeated use."""
    rows = jnp.arange(mass.shape[0])[:, None]
    empty = jnp.zeros((mass.shape[0], num_atoms), mass.dtype)
    return empty.at[rows, low].add(mass * (1 - share)).at[rows, low + 1].add(mass * share)

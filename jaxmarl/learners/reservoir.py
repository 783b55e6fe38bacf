"""A reservoir: a uniform sample, of fixed size, of all that ever went by (Vitter 1985)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.checks import require_int


@struct.dataclass
class ReservoirState:
    """What is kept.

    Attributes:
        entries: leaves `[capacity, ...]`.
        seen: int32, how many went by.
    """

    entries: PyTree
    seen: Int32[Array, ""]


@dataclass(frozen=True)
class Reservoir:
    """Room for `capacity` entries, each of those that went by being there with the same probability.

    Attributes:
        capacity: entries kept.
        batch: entries of a sample.
    """

    capacity: int
    batch: int

    def __post_init__(self):
        require_int("capacity", self.capacity, 1)
        require_int("batch", self.batch, 1)

    def init(self, entry: PyTree) -> ReservoirState:
        """Empty; `entry` is one, of which shapes and types are taken."""
        entries = jax.tree.map(lambda x: jnp.zeros((self.capacity, *jnp.shape(x)), jnp.result_type(x)), entry)
        return ReservoirState(entries, jnp.zeros((), jnp.int32))

    def add(
        self, state: ReservoirState, entries: PyTree, counts: Bool[Array, " M"], unit: Float[Array, " M"]
    ) -> ReservoirState:
        """With M more entries, in order: the k-th of all takes place `U{0, ..., k - 1}`, if there is such a place.

        Args:
            state: before.
            entries: leaves `[M, ...]`.
            counts: which of them there are.
            unit: uniform numbers in [0, 1).
        """
        before = state.seen + jnp.cumsum(counts) - counts
        drawn = jnp.minimum(jnp.floor(unit * (before + 1)).astype(jnp.int32), before)
        place = jnp.where(before < self.capacity, before, drawn)
        place = jnp.where(counts & (place < self.capacity), place, self.capacity)
        order = jnp.arange(len(unit))
        # of several entries for one place the last stays, as if they had come one by one
        latest = jnp.full(self.capacity + 1, -1).at[place].max(order)
        place = jnp.where(latest[place] == order, place, self.capacity)
        kept = jax.tree.map(lambda rows, new: rows.at[place].set(new, mode="drop"), state.entries, entries)
        return ReservoirState(kept, state.seen + jnp.sum(counts, dtype=jnp.int32))

    def sample(self, state: ReservoirState, key: Array) -> tuple[PyTree, Bool[Array, ""]]:
        """Leaves `[batch, ...]`, drawn with replacement, and whether there was anything to draw; zeros if not."""
        filled = jnp.minimum(state.seen, self.capacity)
        index = jax.random.randint(key, (self.batch,), 0, jnp.maximum(filled, 1))
        return jax.tree.map(lambda x: x[index], state.entries), filled > 0

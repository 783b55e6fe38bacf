"""Data of one step of gradient descent, split over devices where there are several."""

import jax
from jax.sharding import PartitionSpec
from jaxtyping import PyTree

SEED, DATA = "seed", "data"  # axes of a mesh


def data_parts() -> int:
    """Devices that share the data of a step, by the mesh in force (`jax.set_mesh`); 1 without one."""
    return jax.sharding.get_abstract_mesh().shape.get(DATA, 1)


def split_batch(batch: PyTree) -> PyTree:
    """`batch`, its leaves `[S, …]` split over the axis "data" of the mesh in force (`jax.set_mesh`), if there is one.

    A batch that was gathered by random indices would else be copied to every device, and each would compute the whole
    gradient. Where `S` is no multiple of the devices it stays so.
    """
    parts = data_parts()
    if parts == 1:
        return batch

    def split(leaf):
        divides = leaf.shape[0] % parts == 0
        return jax.lax.with_sharding_constraint(leaf, PartitionSpec(DATA)) if divides else leaf

    return jax.tree.map(split, batch)

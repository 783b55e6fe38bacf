"""Where a learner's state lives on many devices: environments spread over one axis of a mesh, seeds over another.

Placement is all there is to it. A learner knows no devices: its jitted update, given a state placed by
`state_shardings`, is partitioned by XLA, and computes the very sums it computes on one device (the statistics of
advantages, the gradients) over all environments, whatever devices hold them. It may only hint at what is worth
splitting (`core.sharding.split_batch`).
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.rollout import RolloutState
from jaxmarl.core.sharding import DATA, SEED
from jaxmarl.training.leaves import is_key


def make_mesh(seed: int = 1, data: int | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of `seed · data` devices, with axes `("seed", "data")`.

    Args:
        seed: parts that the runs of `over_seeds` are split into.
        data: parts that the environments of each run are split into (default: as many as there are devices for).
        devices: to take from, in order (default: all, those of other processes included).

    Raises:
        ValueError: there are too few devices, or with processes, some are left out.
    """
    found = list(jax.devices() if devices is None else devices)
    require_int("seed", seed, 1, len(found))
    data = len(found) // seed if data is None else data
    require_int("data", data, 1, len(found) // seed)
    used = found[: seed * data]
    everyone = {device.process_index for device in found} == {device.process_index for device in used}
    require(everyone, "seed * data", len(used), f"a number of devices that leaves no process out, as {len(found)}")
    return Mesh(np.array(used, dtype=object).reshape(seed, data), (SEED, DATA))


def state_shardings(state: PyTree, mesh: Mesh) -> PyTree:
    """A sharding for each leaf of a learner's state.

    Roll-out leaves, those in a `RolloutState` with a leading axis of `num_envs`, are split over "data"; all others,
    such as parameters and random keys, are copied to every device of that axis. Where "seed" has more than one device,
    the state must be that of `over_seeds`: the leading axis of every leaf is then split over "seed".

    Args:
        state: of a learner, concrete or abstract.
        mesh: of `make_mesh`.

    Raises:
        ValueError: the mesh has other axes, or does not divide the environments or the seeds.
    """
    require(mesh.axis_names == (SEED, DATA), "axes of the mesh", mesh.axis_names, f"{(SEED, DATA)}")
    seeds = mesh.shape[SEED]

    def place(node: Any) -> Any:
        if not isinstance(node, RolloutState):
            return _sharding(mesh, _lead(node, seeds))
        *stack, num_envs = node.start.shape
        parts = mesh.shape[DATA]
        require(num_envs % parts == 0, "num_envs", num_envs, f"a multiple of the {parts} devices of {DATA!r}")
        axis = len(stack)

        def inside(leaf: Any) -> NamedSharding:
            batched = leaf.shape[axis : axis + 1] == (num_envs,)
            lead = _lead(leaf, seeds)
            return _sharding(mesh, [*lead, *[None] * (axis - len(lead)), DATA] if batched else lead)

        return jax.tree.map(inside, node)

    return jax.tree.map(place, state, is_leaf=lambda node: isinstance(node, RolloutState))


def _lead(leaf: Any, seeds: int) -> list[str]:
    """The axes of the mesh that a leaf's leading axis is split over."""
    if seeds == 1:
        return []
    stacked = leaf.shape[:1] and leaf.shape[0] % seeds == 0
    allowed = f"led by an axis of seeds (of over_seeds), a multiple of the {seeds} devices of {SEED!r}"
    require(bool(stacked), "shape of a leaf of the state", leaf.shape, allowed)
    return [SEED]


def _sharding(mesh: Mesh, axes: Sequence[str | None]) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*axes))


def place(state: PyTree, shardings: PyTree) -> PyTree:
    """`state`, the same in every process, on the devices that `shardings` say; keys stay typed keys."""

    def put(leaf: Any, sharding: NamedSharding) -> Any:
        data = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        spread = jax.make_array_from_callback(data.shape, sharding, lambda index: data[index])
        return jax.random.wrap_key_data(spread, impl=jax.random.key_impl(leaf)) if is_key(leaf) else spread

    return jax.tree.map(put, state, shardings)


def gather(leaves: list[Any]) -> list[np.ndarray]:
    """Copies of arrays on this host, each whole wherever its parts are; every process must call it."""
    far = [i for i, leaf in enumerate(leaves) if not _at_hand(leaf)]
    if far:
        meshes = {leaves[i].sharding.mesh for i in far}
        everywhere = _sharding(meshes.pop(), ())
        whole = jax.jit(_same, out_shardings=everywhere)([leaves[i] for i in far])
        leaves = [whole[far.index(i)] if i in far else leaf for i, leaf in enumerate(leaves)]
    # device_get may return views of device memory, hence the copy
    return [np.array(array) for array in jax.device_get(leaves)]


def _at_hand(leaf: Any) -> bool:
    return not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated


def _same(leaves: list[Any]) -> list[Any]:
    return leaves


def describe_mesh(mesh: Mesh) -> str:
    """A mesh in words, such as `2 seed x 4 data`."""
    return " x ".join(f"{size} {name}" for name, size in mesh.shape.items())

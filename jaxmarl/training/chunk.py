"""A chunk of updates as one compiled call."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from jaxmarl.core.checks import require
from jaxmarl.learners.base import Learner
from jaxmarl.training.devices import place, state_shardings
from jaxmarl.training.leaves import is_key
from jaxmarl.training.metrics import RESERVED


@dataclass(frozen=True)
class Chunk:
    """Up to `size` updates of a learner, compiled.

    Attributes:
        size: the most updates of one call.
        compile_seconds: what tracing and compiling took.
        compiled: (state, number of updates) -> (state, metrics `[size, …]`); the state given is donated.
    """

    size: int
    compile_seconds: float
    compiled: Any

    def start(self, state: PyTree, updates: int) -> tuple[PyTree, dict[str, Array]]:
        """Begins `updates` updates and returns at once; `state` is donated, rows beyond `updates` are zeros."""
        return self.compiled(state, np.int32(updates))


def compile_chunk(
    learner: Learner, key: Array, restored: PyTree | None, size: int, mesh: Mesh | None = None
) -> tuple[Chunk, PyTree]:
    """Compiles chunks of `size` updates.

    The number of updates is an argument of the compiled loop, so that a shorter last chunk runs the very same code:
    no second compilation, and the same bits wherever a run was cut.

    Args:
        learner: whose updates.
        key: of its initial state.
        restored: the state to go on from, if any; it is put on the devices where `learner.init` puts its own.
        size: the most updates of one call.
        mesh: of the devices that the state is spread over (`devices.state_shardings`); every process must call then.

    Returns:
        The chunk, and the state to give it first.

    Raises:
        ValueError: the learner's metrics are not a dict or take a reserved name, or the mesh does not divide the state.
    """
    start = time.perf_counter()
    wanted = None if mesh is None else state_shardings(jax.eval_shape(learner.init, key), mesh)
    if restored is not None and wanted is not None:
        state = place(restored, wanted)
    else:
        init = jax.jit(lambda key: jax.tree.map(_strong, learner.init(key)), out_shardings=wanted).lower(key).compile()
        state = init(key) if restored is None else jax.device_put(restored, init.output_shardings)
    _, row = jax.eval_shape(learner.update, state)
    require(isinstance(row, dict), "metrics of the learner", type(row).__name__, "a flat dict of arrays")
    require(not set(row) & set(RESERVED), "metrics of the learner", sorted(row), f"named other than {RESERVED}")

    def updates(state: PyTree, length: Array) -> tuple[PyTree, dict[str, Array]]:
        def body(i: Array, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            state, rows = carry
            state, row = learner.update(state)
            return state, jax.tree.map(lambda column, value: column.at[i].set(value), rows, row)

        rows = jax.tree.map(lambda value: jnp.zeros((size, *value.shape), value.dtype), row)
        return lax.fori_loop(0, length, body, (state, rows))

    # a state that stays where it is can be given to the compiled call again; metrics are read by every process
    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    shardings = (jax.tree.map(lambda leaf: leaf.sharding, state), everywhere)
    with nullcontext() if mesh is None else jax.set_mesh(mesh):
        lowered = jax.jit(updates, donate_argnums=0, out_shardings=shardings).lower(state, np.int32(size))
    return Chunk(size, compiled=lowered.compile(), compile_seconds=time.perf_counter() - start), state


def wait(metrics: dict[str, Any], meanwhile: Callable[[], None]) -> None:
    """Waits for a chunk to end; unlike in `jax.block_until_ready`, signals are handled and `meanwhile` is called."""
    start = time.perf_counter()
    while not all(leaf.is_ready() for leaf in metrics.values()):
        meanwhile()
        # 1/200 of the time waited so far is what polling may cost
        time.sleep(min(max((time.perf_counter() - start) / 200, 1e-4), 0.02))


def _strong(leaf: Any) -> Array:
    """A leaf without weak type, which updates would not keep."""
    leaf = jnp.asarray(leaf)
    return leaf if is_key(leaf) else lax.convert_element_type(leaf, leaf.dtype)

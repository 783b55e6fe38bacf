"""Transition probabilities of a Markov game: a dense table, or few successors for each state and action profile."""

from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_int

_ROW_SLACK = 1e-5


class _Rows:
    """What both forms share: rows of probabilities, one for each state and profile."""

    probabilities: Array

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return self.probabilities.shape[0]

    @property
    def num_actions(self) -> tuple[int, ...]:
        """Actions of each player."""
        return self.probabilities.shape[1:-1]

    def survival(self) -> Float[Array, "num_states *num_actions"]:
        """Probability that the game goes on after each state and profile."""
        return self.probabilities.sum(-1)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class DenseKernel(_Rows):
    """Transition probabilities of every successor.

    Attributes:
        probabilities: `[S, A_1, ..., A_n, S]`. What a row lacks to 1 is the probability that the game ends there.

    Raises:
        ValueError: not of that shape, a negative or infinite entry, a row that sums to more than 1 (values are checked
            outside `jit` and `vmap` only).
    """

    probabilities: Float[Array, "num_states *num_actions num_states"]

    def __post_init__(self) -> None:
        probabilities = jnp.asarray(self.probabilities)
        object.__setattr__(self, "probabilities", probabilities)
        shape = probabilities.shape
        require(
            len(shape) >= 3 and shape[0] == shape[-1] and min(shape) >= 1,
            "probabilities",
            shape,
            "of shape [S, A_1, ..., A_n, S]",
        )
        _check_rows(probabilities)

    def tree_flatten(self) -> tuple[tuple[Array], None]:
        return (self.probabilities,), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: tuple[Array]) -> "DenseKernel":
        kernel = object.__new__(cls)  # transformations put placeholders and batches in the leaves: nothing is checked
        object.__setattr__(kernel, "probabilities", leaves[0])
        return kernel

    def expect(self, values: Float[Array, " num_states"]) -> Float[Array, "num_states *num_actions"]:
        """Expected value of the successor, 0 where the game ends."""
        return jnp.tensordot(self.probabilities, values, 1, precision="highest")

    def under(self, joint: Float[Array, "num_states *num_actions"]) -> Float[Array, "num_states num_states"]:
        """State to state probabilities when profiles are drawn from `joint[s]`."""
        size = self.num_states
        table = self.probabilities.reshape(size, -1, size)
        return jnp.einsum("sm,smt->st", joint.reshape(size, -1), table, precision="highest")

    def push(self, weights: Float[Array, "num_states *num_actions"]) -> Float[Array, " num_states"]:
        """Where a mass on states and profiles lies one step later (the adjoint of `expect`)."""
        return jnp.tensordot(weights.ravel(), self.probabilities.reshape(-1, self.num_states), 1, precision="highest")

    def successor(
        self, uniform: Float[Array, ""], state: Int[Array, ""], actions: Int[Array, " num_players"]
    ) -> tuple[Int[Array, ""], Bool[Array, ""]]:
        """The next state that a number in [0, 1) draws, and whether the game ended instead."""
        return _inverse_cdf(uniform, self.probabilities[(state, *actions)])


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class SuccessorKernel(_Rows):
    """Transition probabilities of at most K successors a row: the form for many states.

    Attributes:
        successors: `[S, A_1, ..., A_n, K]`, indices of states. A state may be listed twice: its probabilities add.
        probabilities: `[S, A_1, ..., A_n, K]`. What a row lacks to 1 is the probability that the game ends there.

    Raises:
        ValueError: shapes that differ, indices outside `[0, S)`, a negative or infinite probability, a row that sums to
            more than 1 (values are checked outside `jit` and `vmap` only).
    """

    successors: Int[Array, "num_states *num_actions num_successors"]
    probabilities: Float[Array, "num_states *num_actions num_successors"]

    def __post_init__(self) -> None:
        successors, probabilities = jnp.asarray(self.successors, jnp.int32), jnp.asarray(self.probabilities)
        object.__setattr__(self, "successors", successors)
        object.__setattr__(self, "probabilities", probabilities)
        shape = probabilities.shape
        require(len(shape) >= 3 and min(shape) >= 1, "probabilities", shape, "of shape [S, A_1, ..., A_n, K]")
        require(successors.shape == shape, "successors", successors.shape, f"of the shape of probabilities, {shape}")
        _check_rows(probabilities)
        if not isinstance(successors, jax.core.Tracer):
            listed = np.asarray(successors)  # no program to compile, as below
            low, high = int(listed.min()), int(listed.max())
            require(low >= 0 and high < shape[0], "successors", f"{low} to {high}", f"states in [0, {shape[0]})")

    def tree_flatten(self) -> tuple[tuple[Array, Array], None]:
        return (self.successors, self.probabilities), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: tuple[Array, Array]) -> "SuccessorKernel":
        kernel = object.__new__(cls)
        object.__setattr__(kernel, "successors", leaves[0])
        object.__setattr__(kernel, "probabilities", leaves[1])
        return kernel

    def expect(self, values: Float[Array, " num_states"]) -> Float[Array, "num_states *num_actions"]:
        """Expected value of the successor, 0 where the game ends."""
        return jnp.sum(self.probabilities * values[self.successors], -1)

    def under(self, joint: Float[Array, "num_states *num_actions"]) -> Float[Array, "num_states num_states"]:
        """State to state probabilities when profiles are drawn from `joint[s]`."""
        size = self.num_states
        mass = (joint[..., None] * self.probabilities).reshape(size, -1)
        rows = jnp.arange(size)[:, None]
        return jnp.zeros((size, size), mass.dtype).at[rows, self.successors.reshape(size, -1)].add(mass)

    def push(self, weights: Float[Array, "num_states *num_actions"]) -> Float[Array, " num_states"]:
        """Where a mass on states and profiles lies one step later (the adjoint of `expect`)."""
        mass = weights[..., None] * self.probabilities
        return jnp.zeros(self.num_states, mass.dtype).at[self.successors.ravel()].add(mass.ravel())

    def successor(
        self, uniform: Float[Array, ""], state: Int[Array, ""], actions: Int[Array, " num_players"]
    ) -> tuple[Int[Array, ""], Bool[Array, ""]]:
        """The next state that a number in [0, 1) draws, and whether the game ended instead."""
        at = (state, *actions)
        slot, ended = _inverse_cdf(uniform, self.probabilities[at])
        return self.successors[at][slot], ended


Kernel: TypeAlias = DenseKernel | SuccessorKernel


def dense_kernel(kernel: Kernel) -> DenseKernel:
    """The same transitions as a table of all successors."""
    if isinstance(kernel, DenseKernel):
        return kernel
    size, shape = kernel.num_states, kernel.probabilities.shape
    successors, probabilities = kernel.successors.reshape(-1, shape[-1]), kernel.probabilities.reshape(-1, shape[-1])
    rows = jnp.arange(successors.shape[0])[:, None]
    table = jnp.zeros((successors.shape[0], size), probabilities.dtype).at[rows, successors].add(probabilities)
    return DenseKernel(table.reshape(*shape[:-1], size))


def successor_kernel(kernel: Kernel, num_successors: int | None = None) -> SuccessorKernel:
    """The same transitions as lists of successors, the likeliest first.

    Args:
        kernel: either form.
        num_successors: K. None (outside `jit` only) takes the most that any row has; a smaller number drops the
            unlikeliest, whose probability becomes that of the game ending.
    """
    if isinstance(kernel, SuccessorKernel):
        return kernel
    if num_successors is None:
        num_successors = max(1, int(np.count_nonzero(np.asarray(kernel.probabilities), axis=-1).max()))
    require_int("num_successors", num_successors, 1, kernel.num_states)
    probabilities, successors = jax.lax.top_k(kernel.probabilities, num_successors)
    return SuccessorKernel(successors, probabilities)


def layered_kernel(kernel: Kernel, num_steps: int) -> SuccessorKernel:
    """Transitions among `num_steps` copies of the states, from each copy to the next; the game ends after the last.

    State `s` at step `h` becomes state `h * S + s`.
    """
    require_int("num_steps", num_steps, 1)
    size, rows = kernel.num_states, successor_kernel(kernel)
    steps = jnp.arange(num_steps).reshape(-1, *[1] * rows.successors.ndim)
    following = jnp.minimum(steps + 1, num_steps - 1) * size + rows.successors
    probabilities = jnp.where(steps < num_steps - 1, rows.probabilities, 0)
    shape = (num_steps * size, *rows.probabilities.shape[1:])
    return SuccessorKernel(following.reshape(shape), probabilities.reshape(shape))


def _check_rows(probabilities: Array) -> None:
    require(jnp.issubdtype(probabilities.dtype, jnp.floating), "probabilities", str(probabilities.dtype), "floating")
    if isinstance(probabilities, jax.core.Tracer):
        return
    rows = np.asarray(probabilities)
    low, most = float(rows.min()), float(rows.sum(-1).max())
    require(low >= 0, "probabilities", f"an entry of {low}", "finite and >= 0")  # NaN fails this too
    require(most <= 1 + _ROW_SLACK, "probabilities", f"a row that sums to {most:g}", "rows that sum to at most 1")


def _inverse_cdf(
    uniform: Float[Array, ""], row: Float[Array, " num_successors"]
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    cumulative = jnp.cumsum(row)
    total = cumulative[-1]
    complete = total > 1 - _ROW_SLACK  # a row that sums to 1 up to rounding never ends the game
    point = jnp.where(complete, uniform * total, uniform)
    slot = jnp.sum(point >= cumulative)
    return jnp.minimum(slot, row.size - 1), (slot == row.size) & ~complete

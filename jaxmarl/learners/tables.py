"""Tables with one row a context, for learners of repeated rock-paper-scissors: which row, and updates of many lanes."""

from dataclasses import dataclass
from functools import reduce

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, UInt32

from jaxmarl.core.checks import require, require_int

NUM_MOVES = 3
NUM_DIGITS = 1 + NUM_MOVES**2  # no throw yet, or one of the joint moves
_DIGITS_A_WORD = 9  # 10⁹ < 2³²


@dataclass(frozen=True)
class Contexts:
    """Numbers the contexts: the last `recall` joint moves, each missing one (at the start of a match) told apart.

    Where not hashed, every context has a row of its own: the number whose decimal digits are the joint moves. Where
    hashed, contexts share `2**log2_size` rows by a well-mixed hash of all digits (MurmurHash3). Nothing detects a
    collision: two contexts that meet in a row are treated as one. Of `n` contexts in `m` rows, each shares its row with
    another with probability `1 - exp(-n / m)`.

    Attributes:
        recall: joint moves that make a context (0: there is one context only).
        log2_size: of the hash table, and the limit of a table that is not hashed.
        hashed: whether rows are shared.
    """

    recall: int
    log2_size: int
    hashed: bool

    @classmethod
    def fitting(cls, recall: int, log2_size: int, hashed: bool | None = None) -> "Contexts":
        """Contexts of `recall` joint moves, hashed where they do not fit `2**log2_size` rows.

        Args:
            recall: joint moves that make a context.
            log2_size: in [0, 30].
            hashed: True or False to insist.

        Raises:
            ValueError: sizes out of range, or `hashed=False` where the contexts do not fit.
        """
        require_int("recall", recall, 0)
        require_int("log2_size", log2_size, 0, 30)
        require(hashed in (None, True, False), "hashed", hashed, "True, False or None")
        fits = NUM_DIGITS**recall <= 2**log2_size
        sizes = f"10^{recall} contexts, 2^{log2_size} rows"
        require(fits or hashed is not False, "hashed", hashed, f"True or None ({sizes})")
        return cls(recall, log2_size, not fits if hashed is None else hashed)

    @property
    def size(self) -> int:
        """Number of rows."""
        return 2**self.log2_size if self.hashed else NUM_DIGITS**self.recall

    def index(self, obs: Int32[Array, "*batch features"]) -> Int32[Array, "*batch"]:
        """Row of each observation in layout `moves` (own move and the other's, newest first, -1 for none)."""
        own, other = obs[..., 0 : 2 * self.recall : 2], obs[..., 1 : 2 * self.recall : 2]
        digits = jnp.where(own < 0, 0, 1 + NUM_MOVES * own + other).astype(jnp.uint32)
        words = [_decimal(digits[..., i : i + _DIGITS_A_WORD]) for i in range(0, self.recall, _DIGITS_A_WORD)]
        if not self.hashed:
            return (words[0] if words else jnp.zeros(own.shape[:-1])).astype(jnp.int32)
        return (_murmur3(words or [jnp.zeros(own.shape[:-1], jnp.uint32)]) >> (32 - self.log2_size)).astype(jnp.int32)


def add_in_turn(
    table: Float[Array, "rows columns"],
    counts: Int32[Array, "rows columns"],
    row: Int32[Array, "*batch"],
    column: Int32[Array, "*batch"],
    error: Float[Array, "*batch"],
    step_size: float,
) -> tuple[Float[Array, "rows columns"], Int32[Array, "rows columns"]]:
    """Moves cells towards their targets as if the updates of one cell had been made one after the other.

    `n` updates `x += α · (target - x)` in turn leave `(1 - α)ⁿ` of `x`; which target weighs most depends on their
    order. Here each error is scaled by `(1 - (1 - α)ⁿ) / n`, the mean over all orders: equal to the sequence where the
    targets are equal, and to a single update where `n` is one.

    Args:
        table: the cells.
        counts: zeros, a work space that is returned zeroed, so that no step touches more than the cells it updates.
        row: of each update.
        column: of each update.
        error: target minus the cell's value before the step.
        step_size: α.

    Returns:
        The new table, and the work space.
    """
    counts = counts.at[row, column].add(1)
    n = counts[row, column]
    share = -jnp.expm1(n * jnp.log1p(jnp.asarray(-step_size, error.dtype))) / n
    # taking away what was read orders the reading before the clearing; else XLA would copy the whole work space
    return table.at[row, column].add(share * error), counts.at[row, column].add(-jnp.minimum(n, 1))


def _decimal(digits: UInt32[Array, "*batch digits"]) -> UInt32[Array, "*batch"]:
    """The number with these decimal digits, the first one worth least."""
    place = jnp.asarray([NUM_DIGITS**i for i in range(digits.shape[-1])], jnp.uint32)
    return jnp.sum(digits * place, axis=-1, dtype=jnp.uint32)


def _murmur3(words: list[UInt32[Array, "*batch"]]) -> UInt32[Array, "*batch"]:
    """MurmurHash3 (A. Appleby, 32-bit, seed 0) of the words."""

    def mix(state, word):
        word = _rotate(word * jnp.uint32(0xCC9E2D51), 15) * jnp.uint32(0x1B873593)
        return _rotate(state ^ word, 13) * jnp.uint32(5) + jnp.uint32(0xE6546B64)

    state = reduce(mix, words, jnp.zeros_like(words[0])) ^ jnp.uint32(4 * len(words))
    state = (state ^ (state >> 16)) * jnp.uint32(0x85EBCA6B)
    state = (state ^ (state >> 13)) * jnp.uint32(0xC2B2AE35)
    return state ^ (state >> 16)


def _rotate(word: UInt32[Array, "*batch"], bits: int) -> UInt32[Array, "*batch"]:
    return (word << bits) | (word >> (32 - bits))

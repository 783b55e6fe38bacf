"""Both players' histories as bit masks: a thousand throws are compared or counted in 32 words.

A row of bits is newest first: bit `j`, counted through the words, is about the throw `j` throws before the last one.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32, UInt32

# throws remembered: a tournament match of 1000 fits; in a longer one the oldest are forgotten
WORDS = 32

Bits = UInt32[Array, "..."]  # words last
# rows of a history: move 1 and move 2 of the bot itself, the same of its opponent, and whether there was a throw;
# each is one word longer than the memory, so that a row shifted by up to 31 throws is still complete
History = UInt32[Array, "5 33"]
OWN, OTHER, PLAYED = 0, 2, 4
# in the spare word there is no throw, so that a lag leaves fewer than 1024 and a count fits 10 bits
_KNOWN = np.full((5, WORDS + 1), 0xFFFFFFFF, np.uint32)
_KNOWN[PLAYED, WORDS] = 0


def empty() -> History:
    """The history before the first throw."""
    return jnp.zeros((5, WORDS + 1), jnp.uint32)


def push(bits: Bits, newest: Array) -> Bits:
    """The rows, each with its newest bit in front; the oldest drops out."""
    carry = jnp.concatenate([newest[..., None].astype(jnp.uint32), bits[..., :-1] >> 31], axis=-1)
    return bits << 1 | carry


def observe(history: History, obs: Int32[Array, " 2"]) -> History:
    """The history with the last throw, or still empty where there was none."""
    own, other = obs
    return push(history, jnp.stack([own == 1, own == 2, other == 1, other == 2, own >= 0])) & _KNOWN


def earlier(bits: Bits, lag: Array | int) -> Bits:
    """The rows as they stood `lag` throws ago, for a lag of 1 to 31."""
    return bits[..., :-1] >> lag | bits[..., 1:] << (32 - lag)


def moves_at(history: History, player: int, ages: UInt32[Array, "..."]) -> Int32[Array, "..."]:
    """The moves of `player` (`OWN` or `OTHER`) that many throws before the last, up to 31; 0 before the first."""
    one, two = (history[player + i, 0] >> ages & 1 for i in (0, 1))
    return (one + 2 * two).astype(jnp.int32)


def same(history: History, player: int, ages: UInt32[Array, "..."], padded: bool = False) -> Bits:
    """Rows, one an age: whether `player` moved, `age + 1` throws before each throw, as it did `age` throws ago.

    Before the first throw there is no move, or with `padded` there is rock.
    """
    ages = ages[..., None]
    one, two = (history[player + i] ^ -(history[player + i, 0] >> ages & 1) for i in (0, 1))
    differ = one | two
    return earlier(~differ if padded else history[PLAYED] & ~differ, ages + 1)


def tally(mask: Bits, ones: Bits, twos: Bits) -> Int32[Array, "..."]:
    """How many bits the mask has, and how many of them fall on moves 1 and 2: three counts of 10 bits in one number."""
    every, one, two = (lax.population_count(x).astype(jnp.int32) for x in (mask, mask & ones, mask & twos))
    return jnp.sum(every | one << 10 | two << 20, axis=-1, dtype=jnp.int32)


def counts(tally: Int32[Array, "..."]) -> tuple[Array, Array, Array]:
    """The counts of moves 0, 1 and 2 in a tally."""
    one, two = tally >> 10 & 1023, tally >> 20
    return (tally & 1023) - one - two, one, two


def single(move: Int32[Array, ""]) -> Int32[Array, ""]:
    """The tally of one move."""
    return 1 + ((move == 1) << 10).astype(jnp.int32) + ((move == 2) << 20).astype(jnp.int32)

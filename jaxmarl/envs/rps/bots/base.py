"""What the tournament bots share: their record, their randomness, and the arithmetic of moves.

A bot is a `Policy` without params. Its observation is layout `moves` of `RepeatedRPS`: `obs[0]` is its own last move,
`obs[1]` the opponent's, both -1 at the first throw. Its randomness is raw 31-bit integers, as the C originals drew them
(`draws(k)`), so a recorded stream replays a bot exactly. All arithmetic is integer where the original's was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxmarl.core.chance import Integers, draw
from jaxmarl.core.policy import Policy

RAW = 2**31
ORGANISER = "Darse Billings"


def draws(count: int) -> Integers:
    """Chance specification of `count` raw 31-bit draws."""
    return Integers(RAW, (count,))


@dataclass(frozen=True)
class Bot:
    """A member of the tournament population.

    Attributes:
        policy: its code; `policy.name` is its name.
        deterministic: whether its moves are a function of the history alone.
        author: who wrote the original (the names are those of the competition's results).
        competition: year of the International RoShamBo Programming Competition that it comes from.
        summary: what it does, in a line.
    """

    policy: Policy
    deterministic: bool
    author: str
    competition: int
    summary: str

    @property
    def name(self) -> str:
        """Name in the published population."""
        return self.policy.name

    @property
    def entrant(self) -> bool:
        """Whether it entered the competition; the others are the organiser's seed bots."""
        return self.author != ORGANISER

    @property
    def state_bytes(self) -> int:
        """Bytes of its memory in one match."""
        policy = self.policy
        memory = jax.eval_shape(lambda key: policy.init(draw(policy.init_chance, key)), jax.random.key(0))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))


def bot(
    name: str,
    init: Any,
    act: Any,
    summary: str,
    *,
    init_draws: int = 0,
    act_draws: int = 0,
    author: str = ORGANISER,
    competition: int = 1999,
) -> Bot:
    """A `Bot` from its functions `init(draws) -> memory` and `act(params, memory, obs, draws) -> (move, memory)`."""

    def act_on_last(params, memory, obs, chance):
        return act(params, memory, obs[:2], chance)  # a longer recall shows more, which no bot looks at

    policy = Policy(
        init,
        act_on_last,
        init_chance=draws(init_draws) if init_draws else (),
        act_chance=draws(act_draws) if act_draws else (),
        name=name,
    )
    return Bot(policy, not (init_draws or act_draws), author, competition, summary)


def sequence_bot(name: str, moves: Sequence[int] | np.ndarray, summary: str) -> Bot:
    """A `Bot` that plays `moves` whatever happens, again and again; its memory is the number of throws made."""

    def init(chance):
        return jnp.zeros((), jnp.int32)

    def act(params, n, obs, chance):
        return jnp.asarray(moves, jnp.int32)[n % len(moves)], n + 1

    return bot(name, init, act, summary)


def below(raw: Int32[Array, "..."], p: float) -> Bool[Array, "..."]:
    """`raw / 2³¹ < p` for a constant `p` in [0, 1], exactly (float32 would round)."""
    return raw <= math.ceil(p * RAW) - 1


def spin(raw: Int32[Array, "..."], a: float, b: float) -> Int32[Array, "..."]:
    """Move 0 with probability `a`, 1 with `b`, else 2, from one draw."""
    return 2 - below(raw, a + b).astype(jnp.int32) - below(raw, a).astype(jnp.int32)


def spin_row(raw: Int32[Array, ""], rows: Sequence[tuple[float, float]], index: Int[Array, ""]) -> Int32[Array, ""]:
    """`spin(raw, *rows[index])` for an index known only at run time."""
    limits = np.array([[math.ceil(p * RAW) - 1 for p in (a, a + b)] for a, b in rows], np.int32)
    return jnp.sum(raw > jnp.asarray(limits)[index], dtype=jnp.int32)


def scale(raw: Int32[Array, "..."], total: Int[Array, "..."] | int) -> Int[Array, "..."]:
    """`⌊total · raw / 2³¹⌋` exactly, for a `total` of at most 2¹⁵: below an integer `k` as often as `u < k / total`."""
    return ((raw >> 16) * total + ((raw & 0xFFFF) * total >> 16)) >> 15


def mixed_move(raw: Int32[Array, "..."], a: Float[Array, "..."], b: Float[Array, "..."]) -> Int32[Array, "..."]:
    """`spin` for probabilities known only to float32: the draw's top 24 bits decide, which float32 holds exactly."""
    unit = (raw >> 7).astype(jnp.float32) * 2.0**-24
    return 2 - (unit < a + b).astype(jnp.int32) - (unit < a).astype(jnp.int32)


def uniform_move(raw: Int32[Array, "..."]) -> Int32[Array, "..."]:
    """A uniform move from one draw."""
    return raw % 3


def beat(move: Int[Array, "..."]) -> Int[Array, "..."]:
    """The move that beats `move`."""
    return (move + 1) % 3


def lose_to(move: Int[Array, "..."]) -> Int[Array, "..."]:
    """The move that `move` beats."""
    return (move + 2) % 3


def score(own: Int[Array, "..."], other: Int[Array, "..."]) -> Int[Array, "..."]:
    """+1 for a win, 0 for a draw, -1 for a loss; 0 before the first throw, when both are -1."""
    return (own - other + 1) % 3 - 1


def push(window: Int[Array, " length"], newest: Int[Array, ""]) -> Int[Array, " length"]:
    """The window, newest first, with one more entry; the oldest drops out."""
    return jnp.concatenate([newest[None].astype(window.dtype), window[:-1]])


def beat_most_frequent(counts: Int[Array, " 3"]) -> Int32[Array, ""]:
    """The counter of the most frequent move, with the originals' tie rule (`br3`)."""
    rock, paper, scissors = counts
    is_rock = (rock > paper) & (rock > scissors)
    return jnp.where(is_rock, 1, jnp.where(paper > scissors, 2, 0)).astype(jnp.int32)


def fewest(counts: Int[Array, " 3"]) -> Int32[Array, ""]:
    """The set of least frequent moves as a bit mask, 1 to 7: bit `k` for move `k`."""
    return jnp.sum((counts == jnp.min(counts)) << jnp.arange(3), dtype=jnp.int32)


def highest(x: Int[Array, "*rows entries"]) -> Int[Array, "*rows"]:
    """The maximum over the last axis, by halves: vector instructions where `jnp.max` is a scalar loop on CPUs."""
    while x.shape[-1] > 16 and x.shape[-1] % 2 == 0:
        half = x.shape[-1] // 2
        x = jnp.maximum(x[..., :half], x[..., half:])
    return jnp.max(x, axis=-1)

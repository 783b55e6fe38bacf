"""Russrocker4: lets what followed the last one, two and three joint moves vote on the opponent's next move."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Int16, Int32

from jaxmarl.envs.rps.bots.base import beat, bot, scale

_BLOCKS = 81 + 9 + 1  # by the two joint moves after the oldest of three, the one after the older of two, none
_CELLS = 27 * _BLOCKS


class Memory(NamedTuple):
    """What the opponent played after each context, for up to 32767 throws, and the last three joint moves.

    The contexts are of three, two and one joint moves. A block of 27 holds those that differ in their oldest joint move
    only, so a context is found together with the ones that forget half of that move.
    """

    n: Int32[Array, ""]
    totals: Int32[Array, " 3"]
    followed: Int16[Array, " cells"]
    joint: Int32[Array, " 3"]  # oldest first, 3 * own + opponent, -1 where there is none


def _init(chance):
    return Memory(
        jnp.zeros((), jnp.int32), jnp.zeros(3, jnp.int32), jnp.zeros(_CELLS, jnp.int16), jnp.full(3, -1, jnp.int32)
    )


def _blocks(joint: Int32[Array, " 3"]) -> Int32[Array, " 3"]:
    """The block of the last three, two and one joint moves."""
    zero = jnp.zeros((), jnp.int32)
    return jnp.stack([9 * joint[1] + joint[2], joint[2], zero]).clip(min=0) + jnp.array([0, 81, 90], jnp.int32)


def _tops(counts: Int[Array, "*rows 3"]) -> Bool[Array, "*rows 3"]:
    """Where a move is among the most frequent, none where nothing was counted."""
    return (counts == jnp.max(counts, axis=-1, keepdims=True)) & (counts > 0)


def _votes(n, totals, exact, loose):
    """Votes for each move: each table's weight to its most frequent, the longest context first, until one decides."""
    sure, rough = _tops(exact), _tops(loose)
    hits = jnp.sum(sure, axis=1)
    stop_three = (hits[0] > 0) & ((hits[0] == 1) | (n >= 825))
    stop_two = stop_three | (hits[1] > 0) & (n >= 11)
    stop_one = stop_two | (hits[2] > 0) & (n >= 6)
    votes = 10000 * sure[0]
    votes += ~stop_three * (5000 * rough[0] + 1000 * sure[1])
    votes += ~stop_two * (500 * rough[1] + 100 * sure[2])
    return votes + ~stop_one * (50 * rough[2] + 10 * _tops(totals))


def _act(params, memory, obs, chance):
    n, totals, followed, joint = memory
    totals = totals + (obs[1] == jnp.arange(3))
    cells = jnp.where(joint >= 0, 27 * _blocks(joint) + 3 * joint + obs[1], _CELLS)
    followed = followed.at[cells].add(jnp.int16(1), mode="drop")
    joint = jnp.concatenate([joint[1:], jnp.where(n > 0, 3 * obs[0] + obs[1], -1)[None]])

    # a context that is not complete finds nothing, for nothing has been counted of its length yet
    block = followed.reshape(_BLOCKS, 3, 3, 3)[_blocks(joint)].astype(jnp.int32)
    own = (joint // 3)[:, None, None, None] == jnp.arange(3)[:, None, None]
    other = (joint % 3)[:, None, None, None] == jnp.arange(3)[:, None]
    exact = jnp.sum(block * (own & other), axis=(1, 2))
    loose = jnp.sum(block * (own.astype(jnp.int32) + other), axis=(1, 2))  # counts the exact one twice
    votes = _votes(n, totals, exact, loose)

    leaders = votes == jnp.max(votes)
    drawn = scale(chance[0], jnp.sum(leaders, dtype=jnp.int32))
    guess = jnp.sum(jnp.cumsum(leaders) <= drawn, dtype=jnp.int32)
    return beat(guess), Memory(n + 1, totals, followed, joint)


BOT = bot(
    "russrocker4",
    _init,
    _act,
    "beats the move voted for by what followed the last one, two and three joint moves",
    act_draws=1,
    author="Russ Williams",
)

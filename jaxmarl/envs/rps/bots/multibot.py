"""Multibot: follows the one of seven fixed strategies that would have scored best in the last 50 throws."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int8, Int32

from jaxmarl.envs.rps.bots.base import beat, beat_most_frequent, bot, lose_to, score
from jaxmarl.envs.rps.bots.tables import MD5

_WINDOW = 50


class Memory(NamedTuple):
    """Throws made, own counts, every strategy's last suggestion, and their last scores (2 win, 1 draw, 0 loss)."""

    n: Int32[Array, ""]
    counts: Int32[Array, " 3"]
    suggested: Int32[Array, " 7"]
    scores: Int8[Array, "50 7"]


def _init(chance):
    scores = jnp.zeros((_WINDOW, 7), jnp.int8)
    return Memory(jnp.zeros((), jnp.int32), jnp.zeros(3, jnp.int32), jnp.zeros(7, jnp.int32), scores)


def _act(params, memory, obs, chance):
    n = memory.n
    counts = memory.counts + (jnp.arange(3) == obs[0])
    newest = jnp.where(n > 0, score(memory.suggested, obs[1]) + 1, 0).astype(jnp.int8)
    scores = jnp.concatenate([memory.scores[1:], newest[None]])

    pseudorandom = jnp.asarray(MD5)[n % len(MD5)]
    # against a copier, a switcher and a counter of the own moves
    counters = [lose_to(obs[0]), lose_to(obs[1]), beat(beat_most_frequent(counts))]
    suggested = jnp.stack([pseudorandom, *jnp.arange(3, dtype=jnp.int32), *counters])
    totals = jnp.sum(scores, axis=0, dtype=jnp.int32)
    followed = jnp.where(jnp.any(totals > 0), suggested[jnp.argmax(totals)], 0)
    move = jnp.where(n == 0, pseudorandom, followed)
    # the first throw is scored as if all had suggested rock
    return move, Memory(n + 1, counts, jnp.where(n == 0, 0, suggested), scores)


BOT = bot("multibot", _init, _act, "the best of seven simple strategies over the last 50 throws", author="Mark James")

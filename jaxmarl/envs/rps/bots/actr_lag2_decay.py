"""Actr_lag2_decay: recalls what followed the opponent's last two moves, memories fading as a power of their age."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int32

from jaxmarl.envs.rps.bots.base import RAW, beat, bot, push

# throws remembered: a tournament match; in a longer one the oldest are forgotten
SPAN = 1000
_FADED = np.arange(1, SPAN - 1).astype(np.float32) ** np.float32(-0.5)


class Memory(NamedTuple):
    """Throws made, and the opponent's moves, newest first, -1 where there is none yet."""

    n: Int32[Array, ""]
    past: Int8[Array, " span"]


def _init(chance):
    return Memory(jnp.zeros((), jnp.int32), jnp.full(SPAN, -1, jnp.int8))


def _act(params, memory, obs, chance):
    past = push(memory.past, obs[1])
    # entry l - 1 of each slice is about lag l: the two moves that ended l throws ago, and the move that followed them
    same = (past[1:-1] == past[0]) & (past[2:] == past[1])
    followed = past[:-2] == jnp.arange(3, dtype=jnp.int8)[:, None]
    activation = jnp.sum(jnp.where(same & followed, _FADED, 0.0), axis=1) + 1.0 / jnp.sqrt(memory.n + 1.0)
    # the original ranks ln(activation) + ln((1 - u) / u) / 4: this is exp of four times that, free of logarithms
    raw = jnp.maximum(chance, 1)
    odds = (1.0 + (RAW - 1 - raw)) / raw
    recalled = jnp.argmax(activation**4 * odds)
    return beat(recalled).astype(jnp.int32), Memory(memory.n + 1, past)


BOT = bot(
    "actr_lag2_decay",
    _init,
    _act,
    "noisy recall of what followed the opponent's last two moves, fading with age",
    act_draws=3,
    author="Dan Bothell, Christian Lebiere, Robert West",
)

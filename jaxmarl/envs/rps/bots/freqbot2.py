"""Freqbot2: beats the opponent's most frequent move."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import beat, bot


def _init(chance):
    return jnp.zeros(3, jnp.int32)


def _act(params, counts, obs, chance):
    counts = counts + (jnp.arange(3) == obs[1])
    most_frequent = 2 - jnp.argmax(counts[::-1])  # ties to the largest move
    return beat(most_frequent).astype(jnp.int32), counts


BOT = bot("freqbot2", _init, _act, "beats the opponent's most frequent move")

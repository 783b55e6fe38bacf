"""Sweetrock: piedra that, where two moves are nearly as frequent, at times plays the latest instead."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import beat_most_frequent, lose_to, scale
from jaxmarl.envs.rps.bots.piedra import stone


def _answer(row, latest, raw):
    choice = beat_most_frequent(row)
    expected = lose_to(choice)
    most = row[expected]
    close = (expected != latest) & (5 * row[latest] > 4 * most)
    # with probability 1 - ratio; the original plays the latest move itself, not its counter
    return jnp.where(close & (scale(raw, most) < most - row[latest]), latest, choice)


BOT = stone("sweetrock", "piedra, at times swayed by what followed the last joint move most recently", _answer)

"""Mod1bot: predicts the opponent, and what a predictor of its own moves would play; trusts whichever did better.

The original fades its counts in float64 and now and then breaks a tie by their rounding: under x64 this is exact, in
float32 some 2 moves in 9000 differ.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from jaxmarl.envs.rps.bots._wildcard import FADE, hits, margins, matching
from jaxmarl.envs.rps.bots.base import beat, bot, score, uniform_move


class Memory(NamedTuple):
    """Fading records by (opponent's, own) last move; the leading axis tells whose next move is predicted.

    Record 0 predicts the opponent and bets against it; record 1 predicts the bot itself and bets against the bet that
    an opponent doing so would make.
    """

    n: Int32[Array, ""]
    last: Int32[Array, " 2"]
    counts: Float[Array, "2 4 4 3"]  # of each next move
    score: Float[Array, "2 4 4"]  # of the bets
    trials: Float[Array, "2 4 4"]


def _init(chance):
    zeros = jnp.zeros((2, 4, 4), float)
    counts = jnp.zeros((2, 4, 4, 3), float)
    return Memory(jnp.zeros((), jnp.int32), jnp.full(2, -1, jnp.int32), counts, zeros, zeros)


def _bets(counts):
    bet = jnp.argmax(margins(counts), axis=-1)
    return bet.at[1].set(beat(bet[1]))


def _act(params, memory, obs, chance):
    own, opponent = memory.last
    context = hits(opponent)[:, None] & hits(own)
    tried = (context & jnp.any(memory.counts > 0, axis=-1)).astype(float)
    points = memory.score + tried * score(_bets(memory.counts), obs[1])
    trials = memory.trials + tried
    # obs reversed: the opponent's move, then the bot's own
    counts = memory.counts + context[:, :, None] * (obs[::-1, None] == jnp.arange(3))[:, None, None, :]
    fade = jnp.where(memory.n > 50, FADE, 1.0)
    points, trials, counts = fade * points, fade * trials, fade * counts

    bets = _bets(counts)
    quality = jnp.where(trials > 0, points / jnp.where(trials > 0, trials, 1.0), 0.0)
    q = matching(quality[0], obs[1], obs[0])
    best = jnp.argmax(q)
    direct, direct_q = matching(bets[0], obs[1], obs[0])[best], q[best]
    second, second_q = bets[1, obs[1], obs[0]], quality[1, obs[1], obs[0]]
    move = jnp.where(direct_q > 0, direct, uniform_move(chance[0]))
    move = jnp.where((second_q > direct_q) & (second_q > 0), second, move)
    move = jnp.where(memory.n == 1, beat(obs[1]), jnp.where(memory.n == 0, uniform_move(chance[0]), move))
    return move.astype(jnp.int32), Memory(memory.n + 1, obs, counts, points, trials)


BOT = bot(
    "mod1bot",
    _init,
    _act,
    "predicts the opponent, or what an opponent predicting it would play",
    act_draws=1,
    author="Don Beal",
)

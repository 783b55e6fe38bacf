"""Greenberg: 152 predictors of both players, each with its rotations; six windows pick the best, and are picked among.

The predictors are 24 contexts (whose next move is predicted, whose moves are matched, how many: 1 to 4) times six bets,
the latter outermost, and then eight that go by the frequencies of moves. The original numbers them differently.
Matches are found anew each throw from bit masks: tables of what followed each context would take 90 kB a match, not 6.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots import _bits, _scores
from jaxmarl.envs.rps.bots.base import beat, bot, lose_to, score, spin

# throws over which a window compares predictors; a sixth takes the whole match
_WINDOWS = (10, 20, 30, 40, 49)
_LENGTHS = 4
_CONTEXTS = 24
_NUM_PREDICTORS = 6 * _CONTEXTS + 8
_NOT_FOUND = 1 << 20  # above all places


def _ranks():
    """Place of every rotation and predictor in the original's order, which decides ties."""
    bet, target, matched, length = np.indices((6, 2, 3, _LENGTHS)).reshape(4, -1)
    by_context = 6 * (8 * matched + 4 * target + length) + bet
    worst, shift, player = np.indices((2, 2, 2)).reshape(3, -1)
    by_frequency = 6 * _CONTEXTS + 4 * player + 2 * shift + worst
    return np.arange(3)[:, None] * _NUM_PREDICTORS + np.concatenate([by_context, by_frequency])


_RANKS = _ranks()


class Memory(NamedTuple):
    """Throws made, histories, the last bets of everyone, and how they did."""

    n: Int32[Array, ""]
    history: _bits.History
    frequency: Int32[Array, "3 2"]  # of each move by (the bot, the opponent)
    bets: Int32[Array, " predictors"]
    scores: _scores.Scores
    gear: Int32[Array, " contexts"]  # rotation that would have made the third bet equal the opponent's move
    gears: Int32[Array, "3 3 contexts"]  # how often a gear followed a gear
    random: Int32[Array, " 2"]  # the random predictor's bet, and its score
    plays: Int32[Array, " 6"]  # of the windows
    points: Int32[Array, " 6"]


def _init(chance):
    def zeros(*shape):
        return jnp.zeros(shape, jnp.int32)

    return Memory(
        n=zeros(),
        history=_bits.empty(),
        frequency=zeros(3, 2),
        bets=zeros(_NUM_PREDICTORS),
        scores=_scores.empty(_NUM_PREDICTORS, max(_WINDOWS)),
        gear=zeros(_CONTEXTS),
        gears=zeros(3, 3, _CONTEXTS),
        random=zeros(2),
        plays=zeros(6),
        points=zeros(6),
    )


def _last_max(rock, paper, scissors):
    """The largest of three, of equal ones the last."""
    return jnp.maximum(jnp.maximum(4 * rock, 4 * paper + 1), 4 * scissors + 2) & 3


def _last_min(rock, paper, scissors):
    """The smallest of three, of equal ones the last."""
    return 2 - (jnp.minimum(jnp.minimum(4 * rock + 2, 4 * paper + 1), 4 * scissors) & 3)


def _best_bet(*counts):
    return beat(_last_max(*counts))


def _worst_bet(*counts):
    return lose_to(_last_min(*counts))


def _matches(history):
    """Masks of the throws after a match with the present: the bot's moves, the opponent's, both; each of 1 to 4."""
    ages = jnp.arange(_LENGTHS, dtype=jnp.uint32)
    masks = [[_bits.earlier(history[_bits.PLAYED], 1)] for _ in range(2)]
    for mask, player in zip(masks, (_bits.OWN, _bits.OTHER), strict=True):
        alike = _bits.same(history, player, ages, padded=True)
        for k in range(_LENGTHS):
            mask.append(mask[-1] & alike[k])
    own, other = masks[0][1:], masks[1][1:]
    return jnp.stack(own + other + [a & b for a, b in zip(own, other, strict=True)])


def _latest(matches, history):
    """The last three throws after a match, latest first: `[12]` each, moves in the low bits, `_NOT_FOUND` if none."""
    words = jnp.arange(_bits.WORDS, dtype=jnp.int32)
    found = []
    for _ in range(3):
        lowest = matches & -matches
        # place of the throw, and the four bits that tell what both played then
        place = 32 * words + lax.population_count(lowest - 1).astype(jnp.int32)
        key = place << 4
        for i in range(4):
            key += ((history[i, :-1] & lowest) != 0).astype(jnp.int32) << i
        key = jnp.where(matches == 0, _NOT_FOUND, key)
        found.append(jnp.min(key, axis=1))
        matches = jnp.where(key == found[-1][:, None], matches ^ lowest, matches)
    return found


def _per_target(own, other):
    return jnp.concatenate([own, other])


def _context_bets(history, old, turn):
    """The six bets of every context: on the latest follower, the last three, all of them; against the rarest of them.

    A bet that has too few matches stays as it was.
    """
    matches = _matches(history)
    latest = _latest(matches, history)
    any_match, three_matches = (_per_target(x, x) < _NOT_FOUND for x in (latest[0], latest[2]))
    moves = [_per_target(x & 3, x >> 2 & 3) for x in latest]
    few = [sum((move == x).astype(jnp.int32) for move in moves) for x in range(3)]
    own, other = history[_bits.OWN : _bits.OWN + 2, :-1], history[_bits.OTHER : _bits.OTHER + 2, :-1]
    every = _bits.counts(_per_target(_bits.tally(matches, *own), _bits.tally(matches, *other)))

    likely = jnp.where(three_matches, _best_bet(*few), old[1])
    return [
        jnp.where(any_match, beat(moves[0]), old[0]),
        likely,
        _best_bet(*every),
        (likely + turn) % 3,
        jnp.where(three_matches, _worst_bet(*few), old[4]),
        _worst_bet(*every),
    ]


def _frequency_bets(frequency, n):
    """Bets on each player's moves: by how often each was played, and by what playing each would have scored."""
    margins = [1000 * (frequency[(x + 2) % 3] - frequency[(x + 1) % 3]) for x in range(3)]
    margins = [lax.div(margin, n.clip(min=1)) for margin in margins]  # rounds towards zero
    return [bet(*x) for bet in (_best_bet, _worst_bet) for x in (frequency, margins)]


def _shift(memory, obs):
    """How gears follow gears, the new gear, and what most often followed it."""
    moves = jnp.arange(3, dtype=jnp.int32)
    gear = (obs[1] - memory.bets[2 * _CONTEXTS : 3 * _CONTEXTS]) % 3
    follows = (memory.gear == moves[:, None, None]) & (gear == moves[:, None])
    gears = memory.gears + (follows & (memory.n >= 2))
    after = jnp.where(gear == 0, gears[0], jnp.where(gear == 1, gears[1], gears[2]))
    return gears, gear, _last_max(*after)


def _act(params, memory, obs, chance):
    n = memory.n
    history = _bits.observe(memory.history, obs)
    scores = _scores.record(memory.scores, memory.bets, obs[1])
    played = n > 0
    random_score = memory.random[1] + jnp.where(played, score(memory.random[0], obs[1]), 0)
    points = memory.points + jnp.where(played, score(memory.plays, obs[1]), 0)

    gears, gear, turn = _shift(memory, obs)
    frequency = memory.frequency + (obs == jnp.arange(3, dtype=jnp.int32)[:, None])
    old = memory.bets[: 6 * _CONTEXTS].reshape(6, _CONTEXTS)
    bets = jnp.concatenate([*_context_bets(history, old, turn), *_frequency_bets(frequency, n)])

    tables = [*(_scores.windowed(scores, length, n) for length in _WINDOWS), _scores.overall(scores, n)]
    best, moves = _scores.leaders(tables, bets, _RANKS)
    random = spin(chance[0], 0.3333, 0.3333)
    # the random predictor's score is of the whole match in every window
    plays = jnp.where(best > random_score, moves, random)
    # of equal windows the last, and its play, from the maximum of one integer
    move = jnp.max((8 * points + jnp.arange(6, dtype=jnp.int32)) * 4 + plays) & 3
    random = jnp.stack([random, random_score])
    return move, Memory(n + 1, history, frequency, bets, scores, gear, gears, random, plays, points)


BOT = bot(
    "greenberg",
    _init,
    _act,
    "plays the best of 152 predictors and their rotations, as judged over the best of six windows",
    init_draws=1,  # the original draws one more before its first throw
    act_draws=1,
    author="Andrzej Nagorko",
    competition=2000,
)

"""Mixed_strategy: draws one of four predictors, with weights that grow when it wins and shrink when it loses."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import beat_most_frequent, bot, scale, score, uniform_move


class Memory(NamedTuple):
    """What it has learned.

    Attributes:
        weights: of the four predictors.
        used: the predictor of the last throw.
        previous: the moves before the last, `[own, opponent]`, -1 for none.
        follows: counts of the opponent's move after each own move and after each of theirs; one throw late.
        counts: of the opponent's moves.
    """

    weights: Int32[Array, " 4"]
    used: Int32[Array, ""]
    previous: Int32[Array, " 2"]
    follows: Int32[Array, "2 3 3"]
    counts: Int32[Array, " 3"]


def _init(chance):
    weights, used, previous = jnp.array([4, 4, 2, 1], jnp.int32), jnp.zeros((), jnp.int32), jnp.full(2, -1, jnp.int32)
    return Memory(weights, used, previous, jnp.zeros((2, 3, 3), jnp.int32), jnp.zeros(3, jnp.int32))


def _act(params, memory, obs, chance):
    weight = memory.weights[memory.used]
    result = score(obs[0], obs[1])
    updated = jnp.where(result > 0, weight + 3, jnp.where(result < 0, 4 * weight // 5, weight + 1))
    used_last = (jnp.arange(4) == memory.used) & (obs[0] >= 0)
    weights = jnp.where(used_last, updated, memory.weights)

    cumulative = jnp.cumsum(weights)
    # exact while the weights sum to at most 2¹⁵: they grow by 3 a throw at most
    used = jnp.sum(cumulative <= scale(chance[0], cumulative[-1]), dtype=jnp.int32)
    counts = memory.counts + (jnp.arange(3) == obs[1])
    predictions = [memory.follows[0, obs[0]], memory.follows[1, obs[1]], counts]
    moves = jnp.stack([*map(beat_most_frequent, predictions), uniform_move(chance[1])])

    context = jax.nn.one_hot(memory.previous, 3, dtype=jnp.int32)  # -1 encodes as zeros
    follows = memory.follows + context[:, :, None] * (jnp.arange(3) == obs[1])
    return moves[used], Memory(weights, used, obs, follows, counts)


BOT = bot(
    "mixed_strategy", _init, _act, "one of four predictors, drawn by their success", act_draws=2, author="Thad Frogley"
)

"""Predictors of an opponent's next move: simulated bots on both sides of the table, and plain statistics of the match.

Each predictor gives a distribution over the opponent's coming move, `[P, 3]` in all. In order:

- a *clone* of every bot of a library: run in the opponent's seat on the true history, with its own moves overridden by
  what the opponent played; random bots are run several times, and the shares of their moves are the distribution;
- an *adviser* for every bot: run in the agent's seat. What it would play beats what it expects;
- *statistics*: what followed the longest match of the present among the last 20, 100 or all throws (by own, opponent's
  or joint moves), frequencies, Markov tables, the last moves. Half of them predict the agent's own move, for
  opponents that model it; which rotation of a prediction is meant is for the reader to learn.

Nothing says who the opponent is.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, repeat
from jaxmarl.envs.rps.bots import BOTS, _lags

MOVES = 3
NAMES = tuple(BOTS)
Library: TypeAlias = tuple[str, ...]

# Simulations of a random bot in the opponent's seat: more where a throw of it is cheap and its draws matter. The rest,
# 1: moves that hardly depend on draws, or on draws too long ago for a fresh simulation to say more than once.
SAMPLES = {
    "actr_lag2_decay": 4,
    "adddriftbot2": 16,
    "addshiftbot3": 8,
    "antirotnbot": 4,
    "driftbot": 16,
    "flatbot3": 16,
    "foxtrotbot": 4,
    "granite": 3,
    "greenberg": 2,
    "inocencio": 8,
    "marble": 3,
    "markov5": 8,
    "markovbails": 8,
    "mixed_strategy": 4,
    "mod1bot": 3,
    "piedra": 8,
    "russrocker4": 2,
    "sunNervebot": 4,
    "sweetrock": 8,
    "switchalot": 4,
    "switchbot": 4,
}
_AGES = (1000, 100, 20)
_RATES = (1.0, 0.9)
_WHOSE = ("own", "opponent's")
STATISTICS = (
    *(f"{who} move after {by}, {age} throws" for who in _WHOSE for age in _AGES for by in (*_WHOSE, "joint")),
    *(f"{who} frequency, rate {rate}" for who in _WHOSE for rate in _RATES),
    *(f"{who} move after {order} joint" for order in (1, 2) for who in _WHOSE),
    *(f"{who} last move" for who in _WHOSE),
    "rock",
)
NUM_STATISTICS = len(STATISTICS)


class Statistics(NamedTuple):
    """What the statistics remember of a match.

    Attributes:
        lags: earlier throws like the present one.
        frequency: `[rate, player, move]`, fading counts.
        first, second: `[context, player, move]`, counts after one and two joint moves.
        joint: the last two joint moves `3 · own + opponent`, newest first, -1 where there was none.
    """

    lags: _lags.Lags
    frequency: Float[Array, "rates 2 3"]
    first: Float[Array, "9 2 3"]
    second: Float[Array, "81 2 3"]
    joint: Int32[Array, " 2"]


class PredictorMemory(NamedTuple):
    """Memories of the simulations of each bot (the opponent's seat first, the agent's last), and the statistics."""

    bots: tuple[PyTree, ...]
    statistics: Statistics


def num_predictors(num_bots: int) -> int:
    """`P`, for a library of so many bots."""
    return 2 * num_bots + NUM_STATISTICS


def init_chance(names: Library) -> ChanceSpec:
    """What `init` draws for a library of these bots."""
    return tuple(repeat(BOTS[name].policy.init_chance, _simulations(name)) for name in names)


def act_chance(names: Library) -> ChanceSpec:
    """What `predict` draws."""
    return tuple(repeat(BOTS[name].policy.act_chance, _simulations(name)) for name in names)


def init(names: Library, chance: Chance) -> PredictorMemory:
    """The memory before the first throw."""
    bots = tuple(
        jax.vmap(BOTS[name].policy.init, axis_size=_simulations(name))(drawn)
        for name, drawn in zip(names, chance, strict=True)
    )
    statistics = Statistics(
        _lags.no_lags(),
        jnp.zeros((len(_RATES), 2, MOVES), jnp.float32),
        jnp.zeros((9, 2, MOVES), jnp.float32),
        jnp.zeros((81, 2, MOVES), jnp.float32),
        jnp.full(2, -1, jnp.int32),
    )
    return PredictorMemory(bots, statistics)


def predict(
    names: Library, memory: PredictorMemory, last: Int32[Array, " 2"], chance: Chance
) -> tuple[Float[Array, "predictors 3"], PredictorMemory]:
    """Distributions of the opponent's coming move.

    Args:
        names: the library.
        memory: after the throw before the last.
        last: the last throw, own move and opponent's; -1 and -1 before the first.
        chance: drawn from `act_chance`.
    """
    clones, advisers, bots = [], [], []
    for name, own, drawn in zip(names, memory.bots, chance, strict=True):
        act = BOTS[name].policy.act
        count = _simulations(name)
        views = jnp.concatenate([jnp.broadcast_to(last[::-1], (count - 1, 2)), last[None]])
        moves, own = jax.vmap(act, in_axes=(None, 0, 0, 0), axis_size=count)((), own, views, drawn)
        clones.append(jnp.mean(_one_hot(moves[:-1]), axis=0))
        advisers.append(moves[-1])
        bots.append(own)
    shown, statistics = _statistics(memory.statistics, last)
    expected = _one_hot((jnp.stack(advisers) + 2) % MOVES)
    return jnp.concatenate([jnp.stack(clones), expected, shown]), PredictorMemory(tuple(bots), statistics)


def _statistics(memory: Statistics, last: Int32[Array, " 2"]) -> tuple[Float[Array, "statistics 3"], Statistics]:
    seen = last[0] >= 0
    moved = _one_hot(last)  # -1 encodes as zeros
    lags = _lags.observe(memory.lags, last)
    rates = jnp.asarray(_RATES, jnp.float32)[:, None, None]
    frequency = memory.frequency * rates + moved
    contexts = _contexts(memory.joint)
    first = memory.first + _one_hot(contexts[0], 9)[:, None, None] * moved
    second = memory.second + _one_hot(contexts[1], 81)[:, None, None] * moved
    joint = jnp.where(seen, jnp.stack([3 * last[0] + last[1], memory.joint[0]]), memory.joint)

    keys = _lags.longest(lags, _AGES)
    followers = jnp.where(_lags.found(keys), jnp.stack(_lags.followers(keys)), -1)  # [player, age, kind]
    after = jnp.stack([_row(first, _contexts(joint)[0]), _row(second, _contexts(joint)[1])])
    shown = jnp.concatenate(
        [
            _one_hot(followers.reshape(-1)),
            frequency.swapaxes(0, 1).reshape(-1, MOVES),
            after.reshape(-1, MOVES),
            moved,
            _one_hot(jnp.zeros(1, jnp.int32)),
        ]
    )
    total = jnp.sum(shown, axis=1, keepdims=True)
    shown = jnp.where(total > 0, shown / jnp.maximum(total, 1e-9), 1 / MOVES)
    return shown, Statistics(lags, frequency, first, second, joint)


def _contexts(joint: Int32[Array, " 2"]) -> tuple[Int32[Array, ""], Int32[Array, ""]]:
    """Numbers of the contexts of one and two joint moves, -1 where there were not as many."""
    one = joint[0]
    return one, jnp.where(joint[1] >= 0, 9 * joint[1] + one, -1)


def _row(table: Float[Array, "contexts 2 3"], context: Int32[Array, ""]) -> Float[Array, "2 3"]:
    return jnp.where(context >= 0, table[jnp.maximum(context, 0)], 0.0)


def _one_hot(moves: Array, size: int = MOVES) -> Array:
    return jax.nn.one_hot(moves, size, dtype=jnp.float32)


def _simulations(name: str) -> int:
    return SAMPLES.get(name, 1) + 1

"""An in-match learner over simulated tournament bots: the strong baseline that is no network.

Every bot of a library is run twice on the true history: in the agent's seat (what would it play here?) and in the
opponent's (what will the opponent play?). Each of these moves and its two rotations is an expert: 6 experts a bot.
Hedge over their discounted payoffs, at several discounts, gives one mixed strategy a discount; these and their two
rotations are scored again by what they would have earned, and the best is played if that is significantly positive.
Otherwise the move is uniform. (Simulation and rotation: D. Egnor, "Iocaine Powder", ICGA Journal 2000. Hedge: Freund
& Schapire, 1997.)
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int8, Int32, PyTree

from jaxmarl.core.chance import Chance, Uniform, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.envs.rps.bots import BOTS, Bot, get_bot

SEATS = 2
MOVES = 3


@struct.dataclass
class ExpertParams:
    """Numbers of `expert_mixture`; stack them to compare settings by `vmap`.

    Attributes:
        discounts: `[D]`, how an expert's payoff fades with each later throw (1: never), one mixture each.
        rate: of Hedge: weights are `softmax(rate · score)`; large values follow the leader.
        trust_discount: how the payoffs of the mixtures fade.
        threshold: standard errors above zero that the best mixture must have earned to be played.
    """

    discounts: Float[Array, " D"]
    rate: Float[Array, ""]
    trust_discount: Float[Array, ""]
    threshold: Float[Array, ""]


class ExpertMemory(NamedTuple):
    """What the mixture carries from throw to throw.

    Attributes:
        bots: memories of each bot, one in each seat.
        bases: `[2K]`, the moves that they made for the coming throw.
        outcomes: `[D, 2K, 3]`, discounted counts of `(base - opponent's move) mod 3`.
        strategies: `[D, 3]`, the mixed strategies of the coming throw.
        earned: `[D, 3]`, discounted payoffs of the strategies and their rotations.
        spread: `[D, 3]`, the variance of those sums had the opponent been uniform.
    """

    bots: tuple[PyTree, ...]
    bases: Int8[Array, " bases"]
    outcomes: Float[Array, "D bases 3"]
    strategies: Float[Array, "D 3"]
    earned: Float[Array, "D 3"]
    spread: Float[Array, "D 3"]


def expert_params(
    discounts: Sequence[float] = (1.0, 0.98, 0.9),
    rate: float = 1.0,
    trust_discount: float = 0.98,
    threshold: float = 1.0,
) -> ExpertParams:
    """`ExpertParams` with the defaults tuned for the AggregateScore against the whole population."""
    values = discounts, rate, trust_discount, threshold
    return ExpertParams(*(jnp.asarray(value, jnp.float32) for value in values))


def expert_mixture(bots: Iterable[str] | None = None, exclude: Iterable[str] = (), num_discounts: int = 3) -> Policy:
    policies = tuple(bot.policy for bot in _library(bots, exclude))
    num_bases = SEATS * len(policies)

    def init(chance: Chance) -> ExpertMemory:
        started = tuple(jax.vmap(p.init, axis_size=SEATS)(drawn) for p, drawn in zip(policies, chance, strict=True))
        table = jnp.zeros((num_discounts, MOVES))
        return ExpertMemory(
            started,
            jnp.zeros(num_bases, jnp.int8),
            jnp.zeros((num_discounts, num_bases, MOVES)),
            table + 1 / MOVES,
            table,
            table,
        )

    def act(params, memory, obs, chance):
        drawn, unit = chance
        memory = _learn(params, memory, obs[1])
        sides = jnp.stack([obs[:2], obs[1::-1]])
        steps = [
            jax.vmap(p.act, in_axes=(None, 0, 0, 0), axis_size=SEATS)((), m, sides, d)
            for p, m, d in zip(policies, memory.bots, drawn, strict=True)
        ]
        bases = jnp.concatenate([move for move, _ in steps]).astype(jnp.int8)
        strategies = _strategies(params, memory.outcomes, bases)
        memory = memory._replace(bots=tuple(m for _, m in steps), bases=bases, strategies=strategies)
        chosen = _choose(params, memory)
        move = jnp.sum(jnp.cumsum(chosen)[:-1] <= unit, dtype=jnp.int32)
        return move, memory

    return Policy(
        init,
        act,
        init_chance=tuple(repeat(p.init_chance, SEATS) for p in policies),
        act_chance=(tuple(repeat(p.act_chance, SEATS) for p in policies), Uniform()),
        name="expert_mixture",
    )


def _learn(params, memory, other):
    seen = other >= 0
    fresh = jax.nn.one_hot(jnp.where(seen, (memory.bases - other) % MOVES, -1), MOVES)
    outcomes = params.discounts[:, None, None] * memory.outcomes + fresh
    x = memory.strategies
    # payoff of rotation r of x against `other`: wins where move = other + 1
    moves = jnp.arange(MOVES)
    win = jnp.stack([x[:, (other + 1 - r) % MOVES] for r in range(MOVES)], 1)
    lose = jnp.stack([x[:, (other + 2 - r) % MOVES] for r in range(MOVES)], 1)
    pay = jnp.where(seen, win - lose, 0.0)
    # variance for a uniform opponent
    adv = jnp.roll(x, 1, axis=1) - jnp.roll(x, -1, axis=1)
    var = jnp.where(seen, jnp.mean(adv**2, axis=1, keepdims=True), 0.0)
    d = params.trust_discount
    return memory._replace(outcomes=outcomes, earned=d * memory.earned + pay, spread=d * d * memory.spread + var)


def _strategies(params, outcomes, bases):
    # rotation r wins where the base's outcome was 1 - r, loses where 2 - r
    score = jnp.stack([outcomes[..., (1 - r) % 3] - outcomes[..., (2 - r) % 3] for r in range(3)], -1)  # [D, 2K, r]
    weights = jax.nn.softmax((params.rate * score).reshape(score.shape[0], -1), axis=-1).reshape(score.shape)
    onehot = jax.nn.one_hot((bases[:, None] + jnp.arange(3)) % 3, 3)  # [2K, r, m]
    return jnp.einsum("dkr,krm->dm", weights, onehot)


def _choose(params, memory):
    z = memory.earned / jnp.sqrt(memory.spread + 1.0)
    best = jnp.argmax(z)
    d, r = best // MOVES, best % MOVES
    x = jnp.roll(memory.strategies[d], r)
    return jnp.where(z.reshape(-1)[best] > params.threshold, x, 1 / MOVES)


def _library(bots, exclude) -> list[Bot]:
    names = list(BOTS if bots is None else bots)
    left_out = [get_bot(n).name for n in exclude]
    return [get_bot(n) for n in names if n not in left_out]

"""An in-match learner over simulated tournament bots: the strong baseline that is no network.

Every bot of a library is run twice on the true history: in the agent's seat (what would it play here?) and in the
opponent's (what will the opponent play?). Each of these moves and its two rotations is an expert: 6 experts a bot.
Hedge over their discounted payoffs, at several discounts, gives one mixed strategy a discount; these and their two
rotations are scored again by what they would have earned, and the best is played if that is significantly positive.
Otherwise the move is uniform. (Simulation and rotation: D. Egnor, "Iocaine Powder", ICGA Journal 2000. Hedge: Freund
& Schapire, 1997.)

An opponent whose code is in the library is predicted by its own copy, so a score against the library's own bots is what
simulation can reach, not what generalises; leave the opponent out (`exclude`) to measure that.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int8, Int32, PyTree

from jaxmarl.core.chance import Chance, Uniform, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.envs.rps.bots import BOTS, get_bot

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
        spread: `[D]`, the variance of those sums had the opponents' moves been uniform.
    """

    bots: tuple[PyTree, ...]
    bases: Int8[Array, " bases"]
    outcomes: Float[Array, "D bases 3"]
    strategies: Float[Array, "D 3"]
    earned: Float[Array, "D 3"]
    spread: Float[Array, " D"]


def expert_params(
    discounts: Sequence[float] = (1.0, 0.98, 0.9),
    rate: float = 2.0,
    trust_discount: float = 0.98,
    threshold: float = 1.5,
) -> ExpertParams:
    """`ExpertParams`; the defaults were chosen by the AggregateScore against the whole population.

    Raises:
        ValueError: a discount outside [0, 1], or a rate that is negative or not finite.
    """
    fades = all(0 <= discount <= 1 for discount in discounts) and len(discounts) > 0
    require(fades, "discounts", tuple(discounts), "numbers in [0, 1]")
    require(0 <= trust_discount <= 1, "trust_discount", trust_discount, "in [0, 1]")
    require(0 <= rate < float("inf"), "rate", rate, "finite and non-negative")
    values = tuple(discounts), rate, trust_discount, threshold
    return ExpertParams(*(jnp.asarray(value, jnp.float32) for value in values))


def expert_mixture(bots: Iterable[str] | None = None, exclude: Iterable[str] = (), num_discounts: int = 3) -> Policy:
    """A policy that plays what simulated bots, and what beats them, have earned in the match so far.

    Its params are `ExpertParams`, its observation is layout `moves`. All bots of the library run at every throw, each
    one's code once for both seats. Random bots are simulated with draws of their own.

    Args:
        bots: names of the library (default: all that there are).
        exclude: names to leave out of it.
        num_discounts: `D`, length of `ExpertParams.discounts`.

    Raises:
        ValueError: an unknown or repeated bot, or an empty library.
    """
    policies = tuple(get_bot(name).policy for name in _library(bots, exclude))
    require_int("num_discounts", num_discounts, 1)
    num_bases = SEATS * len(policies)

    def init(chance: Chance) -> ExpertMemory:
        return ExpertMemory(
            bots=tuple(jax.vmap(p.init, axis_size=SEATS)(drawn) for p, drawn in zip(policies, chance, strict=True)),
            bases=jnp.zeros(num_bases, jnp.int8),
            outcomes=jnp.zeros((num_discounts, num_bases, MOVES), jnp.float32),
            strategies=jnp.full((num_discounts, MOVES), 1 / MOVES, jnp.float32),
            earned=jnp.zeros((num_discounts, MOVES), jnp.float32),
            spread=jnp.zeros(num_discounts, jnp.float32),
        )

    def act(params: ExpertParams, memory: ExpertMemory, obs, chance):
        require(
            params.discounts.shape == (num_discounts,), "discounts", params.discounts.shape, f"{num_discounts} long"
        )
        drawn, unit = chance
        memory = _learn(params, memory, obs[1])
        views = jnp.stack([obs[:2], obs[1::-1]])
        simulated = [
            jax.vmap(p.act, in_axes=(None, 0, 0, 0), axis_size=SEATS)((), own, views, d)
            for p, own, d in zip(policies, memory.bots, drawn, strict=True)
        ]
        bases = jnp.concatenate([moves for moves, _ in simulated]).astype(jnp.int8)
        memory = memory._replace(
            bots=tuple(own for _, own in simulated),
            bases=bases,
            strategies=_strategies(params.rate, memory.outcomes, bases),
        )
        return categorical(jnp.log(_choose(params, memory)), unit), memory

    return Policy(
        init,
        act,
        init_chance=tuple(repeat(p.init_chance, SEATS) for p in policies),
        act_chance=(tuple(repeat(p.act_chance, SEATS) for p in policies), Uniform()),
        name="expert_mixture",
    )


def _learn(params: ExpertParams, memory: ExpertMemory, other: Int32[Array, ""]) -> ExpertMemory:
    """The memory once the opponent's last move is known (-1: there was none)."""
    seen = other >= 0
    outcome = jnp.where(seen, (memory.bases - other) % MOVES, -1)  # -1 encodes as zeros
    outcomes = params.discounts[:, None, None] * memory.outcomes + jax.nn.one_hot(outcome, MOVES, dtype=jnp.float32)
    payoff = _payoffs(memory.strategies)  # [D, opponent's move, rotation]
    earned = params.trust_discount * memory.earned + jnp.where(seen, payoff[:, jnp.maximum(other, 0)], 0.0)
    variance = jnp.where(seen, jnp.mean(payoff[..., 0] ** 2, axis=1), 0.0)
    return memory._replace(outcomes=outcomes, earned=earned, spread=params.trust_discount**2 * memory.spread + variance)


def _payoffs(strategies: Float[Array, "D 3"]) -> Float[Array, "D 3 3"]:
    """Expected payoff of each strategy against each move of the opponent, `[D, move, rotation of the strategy]`."""
    move, rotation = jnp.arange(MOVES)[:, None], jnp.arange(MOVES)
    return strategies[:, (move + 1 - rotation) % MOVES] - strategies[:, (move + 2 - rotation) % MOVES]


def _strategies(
    rate: Float[Array, ""], outcomes: Float[Array, "D bases 3"], bases: Int8[Array, " bases"]
) -> Float[Array, "D 3"]:
    """Hedge over all bases and rotations, as probabilities of the coming move, one row a discount."""
    rotation = jnp.arange(MOVES)
    # a base that came `outcome` above the opponent's move would have won if rotated by 1 - outcome, lost by 2 - outcome
    score = outcomes[..., (1 - rotation) % MOVES] - outcomes[..., (2 - rotation) % MOVES]
    weights = jax.nn.softmax(rate * score, axis=(1, 2))
    moves = jax.nn.one_hot((bases[:, None] + rotation) % MOVES, MOVES, dtype=jnp.float32)
    return jnp.einsum("dkr,krm->dm", weights, moves)


def _choose(params: ExpertParams, memory: ExpertMemory) -> Float[Array, " 3"]:
    """The strategy with the most significant earnings, rotated as they say; uniform where none is significant."""
    # one throw is added to the variance, so that a single lucky throw is not yet significant
    significance = memory.earned / jnp.sqrt(memory.spread + 1.0)[:, None]
    best = jnp.argmax(significance)
    strategy = memory.strategies[best // MOVES, (jnp.arange(MOVES) - best % MOVES) % MOVES]
    return jnp.where(jnp.max(significance) > params.threshold, strategy, 1 / MOVES)


def _library(bots: Iterable[str] | None, exclude: Iterable[str]) -> list[str]:
    """Names of the bots to simulate."""
    left_out = [get_bot(name).name for name in exclude]
    names = [name for name in (BOTS if bots is None else bots) if name not in left_out]
    require(len(names) > 0, "bots", names, "at least one bot")
    require(len(set(names)) == len(names), "bots", names, "without repetition")
    return names

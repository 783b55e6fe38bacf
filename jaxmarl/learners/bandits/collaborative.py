"""Learners who recommend arms to one another without knowing who plays the same bandit (after Chawla et al. 2023)."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Chance, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.envs.bandits.multi_player import MultiPlayerBandit
from jaxmarl.learners.bandits.base import (
    BanditAlgorithm,
    Seen,
    Tally,
    empty_tally,
    first_largest,
    require_positive,
    sample_means,
    tallied,
    ucb_arms,
    uniform_arm,
)


class CollaborativeMemory(NamedTuple):
    """What everybody knows; rows are players.

    Attributes:
        tally: outcomes of the own pulls.
        phase_pulls: `[N, K]`, of the running phase.
        sticky: bool `[N, K]`, arms that are never given up.
        advice: int32 `[N, N]`, the arm kept of those that each other player recommended, -1 for none.
    """

    tally: Tally
    phase_pulls: Float[Array, "N K"]
    sticky: Bool[Array, "N K"]
    advice: Int32[Array, "N N"]


def collaborative_ucb(
    env: MultiPlayerBandit,
    *,
    alpha: float = 2.0,
    num_sticky: int | None = None,
    exchange: str = "all",
    aware: bool = False,
    failure: float = 0.01,
) -> BanditAlgorithm:
    """UCB on a few arms: some of one's own, and what others recommend, who may play another bandit.

    Each player keeps a random set of `sticky` arms and, of every other player's recommendations, the one that its own
    pulls speak best for. It plays UCB1 on these. At times 1, 2, 4, 8, ... everybody recommends the arm that it pulled
    most since the time before. A player of the same bandit whose sticky arms hold the best one finds it, and so
    everybody hears of it: arms are explored about once a bandit, not once a player. The phases and the rule for what
    is kept are ours: of the published scheme we follow the outline.

    Args:
        env: `sharing="none"`; any number of bandits.
        alpha: width of the confidence bounds, as of `independent_ucb`.
        num_sticky: random arms of each player. Where None, so many that the best arm of every bandit is among those of
            one of its players with probability `1 - failure`, if all bandits have equally many players.
        exchange: a player hears from `"all"` others, or from a random `"one"`.
        aware: whether players know their peers, and listen to them only.
        failure: see there.
    """
    require_positive("alpha", alpha)
    require(env.sharing == "none", "env", f"sharing={env.sharing!r}", "an environment with sharing='none'")
    require_choice("exchange", exchange, ("all", "one"))
    require(0 < failure < 1, "failure", failure, "in (0, 1)")
    n, k = env.num_agents, env.num_arms
    if num_sticky is None:
        num_sticky = min(k, math.ceil(k * env.num_bandits / n * math.log(env.num_bandits / failure)))
    require_int("num_sticky", num_sticky, 1, k)
    listens = ~np.eye(n, dtype=bool) & ((env.bandits[:, None] == env.bandits) | (not aware))

    def init(chance: Chance) -> CollaborativeMemory:
        place = jnp.argsort(jnp.argsort(chance, axis=1), axis=1)
        tally = empty_tally(env)
        return CollaborativeMemory(tally, tally.pulls, place < num_sticky, jnp.full((n, n), -1, jnp.int32))

    def act(memory: CollaborativeMemory, t: Array, chance: Chance) -> Array:
        advised = jnp.any(memory.advice[:, :, None] == jnp.arange(k), axis=1)
        return ucb_arms(memory.tally, t.astype(jnp.float32), alpha, memory.sticky | advised)

    def learn(memory: CollaborativeMemory, seen: Seen, chance: Chance) -> CollaborativeMemory:
        tally = tallied(memory.tally, seen)
        phase_pulls = memory.phase_pulls + (tally.pulls - memory.tally.pulls)
        ends = ((seen.t + 1) & seen.t) == 0  # t + 1 is a power of two
        heard = jnp.asarray(listens)
        if exchange == "one":
            speaker = uniform_arm(chance, n - 1)
            speaker += speaker >= jnp.arange(n)
            heard &= jnp.arange(n) == speaker[:, None]
        advice = _kept(tally, memory.advice, first_largest(phase_pulls))
        return CollaborativeMemory(
            tally,
            jnp.where(ends, 0.0, phase_pulls),
            memory.sticky,
            jnp.where(ends & heard, advice, memory.advice),
        )

    return BanditAlgorithm(
        init,
        act,
        learn,
        init_chance=Uniform((n, k)),
        step_chance=Uniform((n,)) if exchange == "one" else (),
        name="collaborative_ucb",
    )


def _kept(tally: Tally, advice: Int32[Array, "N N"], recommended: Int32[Array, " N"]) -> Int32[Array, "N N"]:
    """Of what each other player recommended before and now, the arm with the better mean; the new one if untried."""
    worth: Any = jnp.where(tally.pulls > 0, sample_means(tally), jnp.inf)
    before = jnp.take_along_axis(worth, jnp.maximum(advice, 0), axis=1)
    now = worth[:, recommended]
    stays = (advice >= 0) & (before > now)
    return jnp.where(stays, advice, recommended)

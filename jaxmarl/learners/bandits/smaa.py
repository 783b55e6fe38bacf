"""SMAA: selfish players who share arms learn a pure equilibrium and settle in it without talking (Xu et al. 2023)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Chance, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.bandits.allocation import nash_allocation, seat_of
from jaxmarl.envs.bandits.multi_player import MultiPlayerBandit
from jaxmarl.learners.bandits.base import (
    BanditAlgorithm,
    Seen,
    Tally,
    empty_tally,
    nth_allowed,
    require_positive,
    sample_means,
    tallied,
    uniform_arm,
)

_EDGE = 1e-6  # of probabilities in a divergence, and of equal shares


class SMAAMemory(NamedTuple):
    """What everybody knows and plans; rows are players.

    Attributes:
        tally: outcomes of the own pulls.
        allocation: int32 `[N, K]`, the equilibrium by the own estimates.
        level: `[N]`, the least share in it.
        marginal: bool `[N, K]`, the arms that pay it.
        num_agents: int32 `[N]`, how many players each believes there are.
        rank: int32 `[N]`, its number among them, -1 while it looks for one.
        start: int32 `[N]`, first round of the algorithm proper.
        collisions: int32 `[N]`, rounds with somebody else on the own arm, while players are being counted.
    """

    tally: Tally
    allocation: Int32[Array, "N K"]
    level: Float[Array, " N"]
    marginal: Bool[Array, "N K"]
    num_agents: Int32[Array, " N"]
    rank: Int32[Array, " N"]
    start: Int32[Array, " N"]
    collisions: Int32[Array, " N"]


def smaa(env: MultiPlayerBandit, *, beta: float = 0.1) -> BanditAlgorithm:
    """SMAA for players who know how many they are and their own rank (Xu et al. 2023).

    First everybody pulls every arm once. Every N rounds it recomputes the equilibrium of its estimates and takes turns
    through the N seats of it, from its rank on, which pays all players the same in the long run. On a seat that pays
    the least it explores every other time: an arm that is left empty, and that may yet be worth more (by the bound of
    KL-UCB, `pulls * kl(mean, least) <= beta (log t + 4 log log t)`).

    Args:
        env: players of one bandit, sharing by `"average"` or `"equal"`.
        beta: how much it explores.
    """
    return _smaa(env, beta, 0, None)


def smaa_unknown(env: MultiPlayerBandit, num_rounds: int, *, beta: float = 0.1, eta: float = 0.02) -> BanditAlgorithm:
    """SMAA for players who know neither how many they are nor a rank, but see who shares their arm.

    They pull uniform arms for `ceil(50 eta K^2 log(4 T))` rounds, count collisions to tell how many they are, and then
    sit down on numbered arms that nobody else takes for `N log(2 T)` rounds (musical chairs), which gives ranks.

    Args:
        env: as `smaa`; at most as many players as arms.
        num_rounds: T, which everybody knows.
        beta: as `smaa`.
        eta: length of the first phase; 1 is enough for a proof, the authors' 0.02 fails now and then.
    """
    require_int("num_rounds", num_rounds, 1)
    require_positive("eta", eta)
    require(env.num_agents <= env.num_arms, "env", f"{env.num_agents} agents", f"of at most {env.num_arms}, its arms")
    counting = math.ceil(50 * eta * env.num_arms**2 * math.log(4 * num_rounds))
    return _smaa(env, beta, counting, math.log(2 * num_rounds))


def _smaa(env: MultiPlayerBandit, beta: float, counting: int, chairs: float | None) -> BanditAlgorithm:
    """SMAA after `counting` rounds and `chairs` times N more; `chairs` None: everything is known."""
    require_positive("beta", beta)
    shares = env.sharing in ("average", "equal") and env.num_bandits == 1
    require(shares, "env", f"sharing={env.sharing!r}, {env.num_bandits} bandits", "one bandit, shared on average")
    n, k = env.num_agents, env.num_arms
    most = n if chairs is None else k

    def init(chance: Chance) -> SMAAMemory:
        zeros, known = jnp.zeros(n, jnp.int32), chairs is None
        return SMAAMemory(
            tally=empty_tally(env),
            allocation=jnp.zeros((n, k), jnp.int32),
            level=jnp.zeros(n, jnp.float32),
            marginal=jnp.zeros((n, k), bool),
            num_agents=zeros + n if known else zeros + 1,
            rank=jnp.arange(n, dtype=jnp.int32) if known else zeros - 1,
            start=zeros if known else zeros + 2**30,
            collisions=zeros,
        )

    def act(memory: SMAAMemory, t: Array, chance: Chance) -> Array:
        candidates = _worth_exploring(memory, t, beta)
        arms = jax.vmap(_arm, (0, None, 0, 0))(memory, t, candidates, chance)
        if chairs is None:
            return arms
        looking = jnp.where(memory.rank >= 0, memory.rank, uniform_arm(chance[:, 0], memory.num_agents))
        before = jnp.where(t < counting, uniform_arm(chance[:, 0], k), looking)
        return jnp.where(t < memory.start, before, arms)

    def learn(memory: SMAAMemory, seen: Seen, chance: Chance) -> SMAAMemory:
        memory = memory._replace(tally=tallied(memory.tally, seen))
        if chairs is not None:
            memory = _look_around(memory, seen, counting, chairs, k)
        return _replan(memory, seen.t, most)

    name = "smaa" if chairs is None else "smaa_unknown"
    return BanditAlgorithm(init, act, learn, step_chance=Uniform((n, 3)), name=name)


def _first_rounds(num_agents: Array, num_arms: int) -> Array:
    """Rounds in which every arm is pulled once, made up to a multiple of the players by random pulls."""
    return -(-num_arms // num_agents) * num_agents


def _arm(memory: SMAAMemory, t: Array, candidates: Array, chance: Array) -> Array:
    """One player's arm in the algorithm proper."""
    num_arms = candidates.shape[0]
    now = jnp.maximum(t - memory.start, 0)
    seat = seat_of(memory.allocation, (jnp.maximum(memory.rank, 0) + now) % memory.num_agents)
    seat = jnp.minimum(seat, num_arms - 1)
    explores = memory.marginal[seat] & (chance[1] < 0.5) & jnp.any(candidates)
    planned = jnp.where(explores, nth_allowed(candidates, chance[2]), seat)
    first = jnp.where(now < num_arms, now % num_arms, uniform_arm(chance[0], num_arms))
    return jnp.where(now < _first_rounds(memory.num_agents, num_arms), first, planned).astype(jnp.int32)


def _worth_exploring(memory: SMAAMemory, t: Array, beta: float) -> Bool[Array, "N K"]:
    """Empty arms whose mean may be above what the worst seat pays."""
    logs = jnp.log(jnp.maximum(t, 3).astype(jnp.float32))
    allowance = beta * (logs + 4 * jnp.log(logs))
    distance = bernoulli_divergence(sample_means(memory.tally), memory.level[:, None])
    return (memory.allocation == 0) & (memory.tally.pulls * distance <= allowance)


def bernoulli_divergence(p: Float[Array, "*batch"], q: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """`kl(p, q)` of Bernoulli distributions, both kept away from 0 and 1; 0 where p is above q already."""
    p, q = (jnp.clip(x, _EDGE, 1 - _EDGE) for x in (p, q))
    divergence = p * jnp.log(p / q) + (1 - p) * jnp.log((1 - p) / (1 - q))
    return jnp.where(p < q, divergence, 0.0)


def _look_around(memory: SMAAMemory, seen: Seen, counting: int, chairs: float, num_arms: int) -> SMAAMemory:
    """Counts collisions, then players, then finds a rank."""
    met = (seen.crowd > 1).astype(jnp.int32)
    collisions = memory.collisions + jnp.where(seen.t < counting, met, 0)
    share = jnp.minimum(collisions / counting, 1 - _EDGE)
    estimate = jnp.round(1 + jnp.log1p(-share) / math.log1p(-1 / num_arms))
    estimate = jnp.clip(estimate, 1, num_arms).astype(jnp.int32)
    counted = seen.t == counting - 1
    num_agents = jnp.where(counted, estimate, memory.num_agents)
    start = jnp.where(counted, counting + jnp.ceil(num_agents * chairs).astype(jnp.int32), memory.start)
    sits = (seen.t >= counting) & (seen.t < memory.start) & (memory.rank < 0) & (seen.crowd == 1)
    rank = jnp.where(sits, seen.arm, memory.rank)
    return memory._replace(collisions=collisions, num_agents=num_agents, start=start, rank=rank)


def _replan(memory: SMAAMemory, t: Array, most: int) -> SMAAMemory:
    """A new equilibrium of the own estimates before every N-th round."""
    means = sample_means(memory.tally)
    allocation, level = jax.vmap(nash_allocation, (0, None, 0))(means, most, memory.num_agents)
    shares = means / jnp.maximum(allocation, 1)
    marginal = (allocation > 0) & (shares <= level[:, None] + _EDGE)
    following = t + 1 - memory.start
    due = (following >= _first_rounds(memory.num_agents, means.shape[1])) & (following % memory.num_agents == 0)

    def unless(new: Any, old: Any) -> Any:
        return jnp.where(due.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return memory._replace(
        allocation=unless(allocation, memory.allocation),
        level=unless(level, memory.level),
        marginal=unless(marginal, memory.marginal),
    )

"""The loop that all learners of multi-player bandits share; what they remember of arms, and how they compare them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, draw
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.envs.bandits.multi_player import MultiPlayerBandit
from jaxmarl.learners.base import Learner, Metrics

_GAIN = 1e-6  # a smaller one is rounding: the round was an equilibrium


class Tally(NamedTuple):
    """What each player saw of each arm: how often, and the sum of outcomes (float32: whole up to 2^24 pulls)."""

    pulls: Float[Array, "N K"]
    sums: Float[Array, "N K"]


class Seen(NamedTuple):
    """A round as the players saw it; `crowd` counts the players of one's arm, oneself included."""

    t: Int32[Array, ""]
    arm: Int32[Array, " N"]
    outcome: Float[Array, " N"]
    crowd: Int32[Array, " N"]


@dataclass(frozen=True)
class BanditAlgorithm:
    """How all players together choose arms and learn; what one may know of another is the algorithm's business.

    Attributes:
        init: chance -> memory, which has a field `tally`.
        act: (memory, t, chance) -> arms int32 `[N]`; `t` counts rounds from 0.
        learn: (memory, seen, chance) -> memory, with the chance that `act` was given.
        init_chance: what `init` draws.
        step_chance: what a round draws.
        name: for tables and figures.
    """

    init: Callable[[Chance], Any]
    act: Callable[[Any, Array, Chance], Array]
    learn: Callable[[Any, Seen, Chance], Any]
    init_chance: ChanceSpec = ()
    step_chance: ChanceSpec = ()
    name: str = "bandit"


@struct.dataclass
class BanditLearnerState:
    """State of one run.

    Attributes:
        env: state of the environment.
        memory: of the algorithm.
        t: int32, rounds played.
        key: consumed by the next update.
    """

    env: PyTree
    memory: PyTree
    t: Int32[Array, ""]
    key: Array


def bandit_learner(
    env: MultiPlayerBandit, algorithm: BanditAlgorithm, env_params: PyTree = None, *, steps_per_update: int = 1000
) -> Learner:
    """An algorithm at play as a `Learner`: an update is `steps_per_update` rounds, which go on past any horizon.

    `over_seeds` makes many runs of it. Metrics: `reward`, mean over rounds and players; `regret`, what a player lost in
    this update against the best arm of each round given what the others pulled (summed over rounds, mean over players);
    `off_equilibrium`, rounds of this update in which somebody could have gained. Both are exact expectations of what
    was pulled. The policy plays the arm that a player pulled most often.

    Args:
        env: the bandit that the algorithm was made for.
        algorithm: of `jaxmarl.learners.bandits`.
        env_params: of the environment; its defaults where None.
        steps_per_update: rounds.
    """
    require_int("steps_per_update", steps_per_update, 1)
    params = env.default_params if env_params is None else env_params

    def init(key: Array) -> BanditLearnerState:
        start, own, key = jax.random.split(key, 3)
        memory = algorithm.init(draw(algorithm.init_chance, own))
        return BanditLearnerState(
            env.initial(draw(env.reset_chance, start), params), memory, jnp.zeros((), jnp.int32), key
        )

    def play(carry: tuple[Any, Any, Array], chance: Any) -> tuple[tuple[Any, Any, Array], Any]:
        env_state, memory, t = carry
        arms = algorithm.act(memory, t, chance[1])
        env_state, reward, _, info = env.transition(env_state, arms, chance[0], params)
        memory = algorithm.learn(memory, Seen(t, arms, info["outcome"], info["count"]), chance[1])
        found = jnp.mean(reward), jnp.mean(info["regret"]), jnp.any(info["regret"] > _GAIN)
        return (env_state, memory, t + 1), found

    def update(state: BanditLearnerState) -> tuple[BanditLearnerState, Metrics]:
        key, chance_key = jax.random.split(state.key)
        chance = draw((env.step_chance, algorithm.step_chance), chance_key, (steps_per_update,))
        (env_state, memory, t), found = jax.lax.scan(play, (state.env, state.memory, state.t), chance)
        reward, regret, off = found
        metrics = {
            "reward": jnp.mean(reward),
            "regret": jnp.sum(regret),
            "off_equilibrium": jnp.sum(off, dtype=jnp.float32),
        }
        return BanditLearnerState(env_state, memory, t, key), metrics

    return Learner(
        init=init,
        update=update,
        policy=Policy(lambda chance: (), lambda arm, memory, obs, chance: (arm, memory), name=algorithm.name),
        params=lambda state: first_largest(state.memory.tally.pulls),
        steps_per_update=steps_per_update * env.num_agents,
    )


def empty_tally(env: MultiPlayerBandit) -> Tally:
    """Nothing seen."""
    return Tally(*(jnp.zeros((env.num_agents, env.num_arms), jnp.float32) for _ in range(2)))


def tallied(tally: Tally, seen: Seen) -> Tally:
    """With one more round."""
    pulled = (jnp.arange(tally.pulls.shape[-1]) == seen.arm[:, None]).astype(jnp.float32)
    return Tally(tally.pulls + pulled, tally.sums + pulled * seen.outcome[:, None].astype(jnp.float32))


def sample_means(tally: Tally) -> Float[Array, "N K"]:
    """Mean outcome of each arm; 0 where it was never pulled."""
    return tally.sums / jnp.maximum(tally.pulls, 1)


def ucb_arms(
    tally: Tally, rounds: Array, alpha: float, allowed: Bool[Array, "N K"] | bool = True
) -> Int32[Array, " N"]:
    """The arm with the largest `mean + sqrt(alpha log(rounds) / pulls)`, arms that were never pulled first."""
    width = jnp.sqrt(alpha * jnp.log(jnp.maximum(rounds, 1.0)) / jnp.maximum(tally.pulls, 1))
    index = jnp.where(tally.pulls > 0, sample_means(tally) + width, jnp.inf)
    return first_largest(jnp.where(allowed, index, -jnp.inf))


def first_largest(rows: Float[Array, "*batch K"]) -> Int32[Array, "*batch"]:
    """`argmax` as two reductions, which compilers vectorise."""
    columns = jnp.arange(rows.shape[-1], dtype=jnp.int32)
    best = jnp.max(rows, axis=-1, keepdims=True)
    return jnp.min(jnp.where(rows == best, columns, rows.shape[-1]), axis=-1).astype(jnp.int32)


def nth_allowed(allowed: Bool[Array, " K"], unit: Float[Array, ""]) -> Int32[Array, ""]:
    """A uniformly drawn entry that is allowed, by a number in [0, 1); K where none is."""
    wanted = jnp.floor(unit * jnp.sum(allowed)).astype(jnp.int32)
    return jnp.sum(jnp.cumsum(allowed) <= wanted).astype(jnp.int32)


def uniform_arm(unit: Array, num_arms: Any) -> Int32[Array, "*batch"]:
    """A uniform integer below `num_arms`, by numbers in [0, 1)."""
    return jnp.minimum(jnp.floor(unit * num_arms), num_arms - 1).astype(jnp.int32)


def require_positive(argument: str, got: float) -> None:
    """Refuses numbers that are not positive."""
    require(got > 0, argument, got, "positive")

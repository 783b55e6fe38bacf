"""Population training: leagues of a learner's own past, and partners for whom no convention is agreed.

In a league a learner plays itself and snapshots of itself, drawn by how often it beats them: equally (fictitious
self-play, Heinrich et al. 2015), or the hard ones more often (prioritised fictitious self-play, Vinyals et al. 2019).
For cooperation, `run_snapshots` keeps weak, middling and final players of several runs of self-play, whose best
response (`PopulationEnv`) is fictitious co-play (Strouse et al. 2021).
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmarl.core.checks import require, require_choice, require_int, with_field_types
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.matches import play_seating
from jaxmarl.core.population import ProfileEnv
from jaxmarl.core.seating import Player, Seating
from jaxmarl.core.vector import VectorEnv
from jaxmarl.learners.base import Learner, MakeLearner, Metrics, over_seeds

WEIGHTINGS = ("uniform", "linear", "hard", "variance")


def opponent_weights(win_rates: Float[Array, " K"], alive: Bool[Array, " K"], weighting: str) -> Float[Array, " K"]:
    """How often each opponent is played: a distribution over those that are there.

    Args:
        win_rates: p, of the learner against each.
        alive: which are there, at least one.
        weighting: `"uniform"`, `"linear"` in 1 - p, `"hard"` in (1 - p)², `"variance"` in p (1 - p), which leaves out
            the hopeless as well as the beaten (Vinyals et al. 2019). Equal where all weights vanish.

    Raises:
        ValueError: an unknown weighting.
    """
    require_choice("weighting", weighting, WEIGHTINGS)
    lost = 1 - win_rates
    weights = {"uniform": jnp.ones_like(lost), "linear": lost, "hard": lost**2, "variance": win_rates * lost}
    found = jnp.where(alive, weights[weighting], 0)
    found = jnp.where(jnp.sum(found) > 0, found, alive.astype(found.dtype))
    return found / jnp.sum(found)


@struct.dataclass
class Pool:
    """Snapshots, and how the learner did against them: fixed shapes, room for K.

    Attributes:
        members: parameters, stacked `[K, …]`.
        alive: `[K]`, which places are taken.
        wins: `[K]`, matches won lately, a draw counting half.
        matches: `[K]`, matches played lately.
    """

    members: PyTree
    alive: Bool[Array, " K"]
    wins: Float[Array, " K"]
    matches: Float[Array, " K"]

    @property
    def win_rates(self) -> Float[Array, " K"]:
        """Of the learner against each member: the mean of a Beta distribution that starts from (1, 1)."""
        return (self.wins + 1) / (self.matches + 2)


def empty_pool(params: PyTree, capacity: int) -> Pool:
    """Room for `capacity` snapshots of parameters of this shape."""
    require_int("capacity", capacity, 1)
    members = jax.tree.map(lambda leaf: jnp.zeros((capacity, *jnp.shape(leaf)), jnp.result_type(leaf)), params)
    zeros = jnp.zeros(capacity, jnp.float32)
    return Pool(members, jnp.zeros(capacity, bool), zeros, zeros)


def with_snapshot(pool: Pool, params: PyTree, weights: Float[Array, " K"]) -> Pool:
    """The pool with one more member: in a free place, or in that of the member of the lowest weight."""
    place = jnp.where(jnp.all(pool.alive), jnp.argmin(weights), jnp.argmin(pool.alive))
    return Pool(
        jax.tree.map(lambda rows, leaf: rows.at[place].set(leaf), pool.members, params),
        pool.alive.at[place].set(True),
        pool.wins.at[place].set(0.0),
        pool.matches.at[place].set(0.0),
    )


@dataclass(frozen=True)
class LeagueConfig:
    """How a league is played.

    Attributes:
        capacity: K, most snapshots; then each new one replaces the one that is played least.
        weighting: of opponents, see `opponent_weights`.
        self_share: of the opponents that are copies of the learner as it is, rounded to whole opponents.
        opponents: drawn for each update.
        matches: against each of them at once.
        updates: of the learner between two looks at the pool.
        trials: matches against each member of the pool at a look.
        memory: share of the results before that still count.
        enough: a snapshot is taken when the learner beats the pool with this probability, on average,
        patience: or after so many looks without.
    """

    capacity: int = 16
    weighting: str = "hard"
    self_share: float = 0.35
    opponents: int = 16
    matches: int = 4
    updates: int = 20
    trials: int = 32
    memory: float = 0.25
    enough: float = 0.7
    patience: int = 4

    @with_field_types
    def __post_init__(self):
        for name in ("capacity", "opponents", "matches", "updates", "trials", "patience"):
            require_int(name, getattr(self, name), 1)
        require_choice("weighting", self.weighting, WEIGHTINGS)
        for name in ("self_share", "memory", "enough"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")


@struct.dataclass
class LeagueState:
    """State of the learner, its past, looks since the last snapshot, and the key of the next update."""

    learner: PyTree
    pool: Pool
    waited: Int[Array, ""]
    key: Array


class _League:
    """The pieces of `league`."""

    def __init__(self, env: AnyEnvironment, make: MakeLearner, config: LeagueConfig, params: PyTree) -> None:
        self.env, self.make, self.config, self.params = env, make, config, params
        self.template = make(VectorEnv(env, config.opponents * config.matches), params)
        player = Player(self.template.policy, members=config.opponents)
        self.arena = ProfileEnv(env, (player,), config.matches)
        schedule = np.repeat(
            np.stack([np.zeros(config.capacity, int), 1 + np.arange(config.capacity)], 1), config.trials, 0
        )
        players = Player(self.template.policy), Player(self.template.policy, members=config.capacity)
        self.trial = Seating(env, players, schedule)
        self.own = round(config.self_share * config.opponents)

    def against(self, rivals: PyTree) -> Learner:
        return self.make(self.arena, (self.params, (rivals,)))

    def init(self, key: Array) -> LeagueState:
        first_key, learner_key, key = jax.random.split(key, 3)
        first = self.template.params(self.template.init(first_key))
        rivals = jax.tree.map(lambda leaf: jnp.stack([leaf] * self.config.opponents), first)
        learner = self.against(rivals)
        state = learner.init(learner_key)
        pool = empty_pool(first, self.config.capacity)
        pool = with_snapshot(pool, learner.params(state), jnp.zeros(self.config.capacity))
        return LeagueState(state, pool, jnp.zeros((), jnp.int32), key)

    def update(self, state: LeagueState) -> tuple[LeagueState, Metrics]:
        train_key, look_key, key = jax.random.split(state.key, 3)
        weights = opponent_weights(state.pool.win_rates, state.pool.alive, self.config.weighting)

        def step(learner: PyTree, key: Array) -> tuple[PyTree, Metrics]:
            drawn = jax.random.categorical(key, jnp.log(weights), shape=(self.config.opponents - self.own,))
            own = self.template.params(learner)
            rivals = jax.tree.map(
                lambda leaf, rows: jnp.concatenate([jnp.broadcast_to(leaf, (self.own, *leaf.shape)), rows[drawn]]),
                own,
                state.pool.members,
            )
            return self.against(rivals).update(learner)

        learner, metrics = jax.lax.scan(step, state.learner, jax.random.split(train_key, self.config.updates))
        state, found = self._look(replace(state, learner=learner, key=key), look_key)
        return state, {**jax.tree.map(jnp.mean, metrics), **found}

    def _look(self, state: LeagueState, key: Array) -> tuple[LeagueState, Metrics]:
        """Matches against all members, and a snapshot if the learner has come far enough or waited long enough."""
        own, pool = self.template.params(state.learner), state.pool
        returns = play_seating(self.trial, (own, pool.members), key, self.params, self.env.horizon or 0)
        won = (returns[:, 0] > returns[:, 1]) + 0.5 * (returns[:, 0] == returns[:, 1])
        won = jnp.sum(won.reshape(self.config.capacity, self.config.trials), axis=1)
        wins = self.config.memory * pool.wins + won
        matches = self.config.memory * pool.matches + self.config.trials
        pool = replace(pool, wins=jnp.where(pool.alive, wins, 0), matches=jnp.where(pool.alive, matches, 0))
        rates = pool.win_rates
        mean = jnp.sum(jnp.where(pool.alive, rates, 0)) / jnp.sum(pool.alive)
        taken = (mean >= self.config.enough) | (state.waited + 1 >= self.config.patience)
        weights = opponent_weights(rates, pool.alive, self.config.weighting)
        grown = with_snapshot(pool, own, weights)
        pool = jax.tree.map(lambda new, old: jnp.where(taken, new, old), grown, pool)
        metrics = {
            "win_rate": mean,
            "win_rate_worst": jnp.min(jnp.where(pool.alive, rates, 1)),
            "pool_size": jnp.sum(pool.alive).astype(jnp.float32),
            "snapshot": taken.astype(jnp.float32),
        }
        return replace(state, pool=pool, waited=jnp.where(taken, 0, state.waited + 1)), metrics


def league(
    env: AnyEnvironment, make: MakeLearner, config: LeagueConfig | None = None, params: PyTree = None
) -> Learner:
    """A learner that plays itself and its past, drawn by how it does against them; one seat learns.

    One update is `config.updates` updates of the learner, each against opponents drawn anew and of whole episodes, and
    a look at the pool. The pool is part of the state (`LeagueState.pool`).

    Args:
        env: a symmetric game of two players and a fixed horizon.
        make: of batches of environments and their params, such as `lambda env, params: ppo(env, config, params)`; one
            update must be whole episodes, and shapes of parameters must not depend on the batch.
        config: how the league is played.
        params: of the environment (default: its own).

    Raises:
        ValueError: the environment or the learner does not fit.
    """
    config = config or LeagueConfig()
    require(env.num_agents == 2 and env.symmetric, "env", type(env).__name__, "a symmetric game of two players")
    require(env.horizon is not None, "env", "horizon None", "an environment of fixed horizon")
    pieces = _League(env, make, config, env.default_params if params is None else params)
    steps = pieces.template.steps_per_update // (config.opponents * config.matches * 2)
    whole = steps > 0 and steps % (env.horizon or 1) == 0
    require(whole, "make", f"{steps} steps of an environment an update", f"a multiple of {env.horizon}")
    learned = config.updates * pieces.template.steps_per_update // 2
    return Learner(
        pieces.init, pieces.update, pieces.template.policy, lambda s: pieces.template.params(s.learner), learned
    )


def run_snapshots(
    learner: Learner, num_seeds: int, updates: int, key: Array, *, looks: int = 20, metric: str = "episode_return"
) -> tuple[PyTree, Float[Array, "num_seeds looks"]]:
    """Players of three strengths of each of several runs: before learning, half way to the final return, at the end.

    Args:
        learner: of all seats (self-play).
        num_seeds: S, independent runs.
        updates: of each, a multiple of `looks`.
        key: consumed by this call.
        looks: how often a run is looked at.
        metric: of the learner, which says how far it is.

    Returns:
        Parameters, stacked `[3 S, …]` (all first ones, all of half way, all last ones), ready for
        `Player(learner.policy, params, members=3 * num_seeds)`; and the metric at each look.
    """
    require_int("looks", looks, 2)
    require_int("updates", updates, looks)
    require(updates % looks == 0, "updates", updates, f"a multiple of looks ({looks})")
    runs = over_seeds(learner, num_seeds)

    @jax.jit
    def train(key: Array) -> tuple[PyTree, Array]:
        state = runs.init(key)
        first = runs.params(state)

        def look(state: Any, _: None) -> tuple[Any, tuple[PyTree, Array]]:
            state, metrics = jax.lax.scan(lambda s, _: runs.update(s), state, length=updates // looks)
            return state, (runs.params(state), jnp.nanmean(metrics[metric], axis=0))

        params, curve = jax.lax.scan(look, state, length=looks)[1]
        middle = (curve[0] + curve[-1]) / 2
        half = jnp.argmin(jnp.abs(curve - middle), axis=0)
        seeds = jnp.arange(num_seeds)
        kept = jax.tree.map(lambda start, rows: jnp.concatenate([start, rows[half, seeds], rows[-1]]), first, params)
        return kept, curve.T

    return train(key)

"""Environments for PSRO: a `Learner` trained against the mixture is the oracle, matches are the payoffs.

Needs flax and optax, as learners do. Both seats' opponents are drawn once an episode.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.matches import play_seating
from jaxmarl.core.population import ProfileEnv
from jaxmarl.core.seating import Player, Seating
from jaxmarl.core.vector import VectorEnv
from jaxmarl.learners.base import Learner, MakeLearner
from jaxmarl.learners.ppo import PPOConfig, ppo
from jaxmarl.solvers.psro.empirical import Estimates, sample_estimates
from jaxmarl.solvers.psro.game import Populations, Strategy, member
from jaxmarl.solvers.psro.state import PsroState

Oracle: TypeAlias = MakeLearner


def ppo_oracle(config: PPOConfig) -> Oracle:
    """Responses learned by PPO from fresh parameters."""
    return lambda env, params: ppo(env, config, params)


@dataclass(frozen=True, eq=False)
class EnvironmentPsro:
    """An environment of fixed horizon as a `PsroGame`; strategies are the parameters of a learner's policy.

    Every update of the oracle draws `profiles` profiles of opponents anew from the mixture, by systematic resampling,
    and plays whole episodes against them. Gains of responses are estimated from matches that were not trained on:
    they are estimates of lower bounds of what a best response would gain.

    Attributes:
        env: the game.
        oracle: makes the learner of a batch of environments and their params, such as `ppo_oracle(PPOConfig(...))`; one
            update must be whole episodes, and the shape of parameters must not depend on the batch.
        updates: of the learner, for one response.
        profiles: of opponents, drawn for each update.
        matches: against each of them.
        episodes: of every new profile, to estimate payoffs.
        env_params: of the environment (default: its own).
        warm_start: whether a response starts from the newest strategy of the seat's population instead of fresh
            parameters; for learners whose state has `params`, as PPO's.
    """

    env: AnyEnvironment
    oracle: Oracle
    updates: int = 100
    profiles: int = 16
    matches: int = 4
    episodes: int = 200
    env_params: PyTree = None
    warm_start: bool = False

    exact = False
    pure = False

    def __post_init__(self) -> None:
        for name, low in (("updates", 1), ("profiles", 1), ("matches", 1), ("episodes", 2)):
            require_int(name, getattr(self, name), low)
        require(self.env.horizon is not None, "env", "horizon None", "an environment of fixed horizon")
        steps = self._template.steps_per_update // (self.profiles * self.matches * self.num_players)
        whole = steps > 0 and steps % (self.env.horizon or 1) == 0
        require(whole, "oracle", f"{steps} steps of an environment an update", f"a multiple of {self.env.horizon}")

    @property
    def num_players(self) -> int:
        """Number of agents."""
        return self.env.num_agents

    @property
    def zero_sum(self) -> bool:
        """As the environment declares."""
        return bool(self.env.zero_sum)

    @property
    def symmetric(self) -> bool:
        """As the environment declares."""
        return bool(self.env.symmetric)

    def initial_strategy(self, seat: int, key: Array) -> Strategy:
        """Fresh parameters."""
        return self._fresh(key)

    def best_response(self, seat: int, populations: Populations, others: Float[Array, "*others"], key: Array) -> Any:
        """Parameters after `updates` updates against the mixture."""
        rivals = tuple(population for i, population in enumerate(populations) if i != seat)
        return self._train(seat)(rivals, others, key, newest(populations[seat]) if self.warm_start else None)

    def payoff_row(self, seat: int, strategy: Strategy, populations: Populations, key: Array) -> Estimates:
        """Mean returns of `episodes` matches of every profile with the strategy."""
        rivals = tuple(population for i, population in enumerate(populations) if i != seat)
        return self._play(seat, jax.tree.leaves(rivals)[0].shape[0])(strategy, rivals, key)

    def players(self, state: PsroState, seat: int) -> Player:
        """The strategies of a seat that are there, ready for `evaluation.cross_play` and the like."""
        size = int(state.empirical.sizes[seat])
        params = jax.tree.map(lambda leaf: leaf[:size], state.populations[seat])
        return Player(self._template.policy, params, members=size)

    def gains_of(
        self, state: PsroState, seat: int, scripted: Sequence[Player], key: Array
    ) -> tuple[Float[np.ndarray, " members"], Float[np.ndarray, " members"]]:
        """What given players gain in place of the mixture of a seat: another bound, exact if the best one is there.

        Args:
            state: whose mixture the others play.
            seat: whose place the players take.
            scripted: of one member each.
            key: consumed by this call.

        Returns:
            Gains and their standard errors.
        """
        others = jnp.sum(state.joint, axis=seat)
        rivals = tuple(population for i, population in enumerate(state.populations) if i != seat)
        cells = state.empirical.cells
        value = jnp.sum(state.joint * cells.mean[seat])
        variance = jnp.sum((state.joint * cells.standard_error[seat]) ** 2)
        found = []
        for player, own in zip(scripted, jax.random.split(key, len(scripted)), strict=True):
            row = self._play(seat, others.shape[0], player)(player.params, rivals, own)
            error = jnp.sum((others * row.standard_error[seat]) ** 2)
            found.append((jnp.sum(others * row.mean[seat]) - value, jnp.sqrt(error + variance)))
        gains, errors = zip(*found, strict=True)
        return np.asarray(gains), np.asarray(errors)

    @property
    def _params(self) -> PyTree:
        return self.env.default_params if self.env_params is None else self.env_params

    @functools.cached_property
    def _template(self) -> Learner:
        """A learner of all seats at once, for what does not depend on the opponents: policy and parameters."""
        return self.oracle(VectorEnv(self.env, self.profiles * self.matches), self._params)

    @functools.cached_property
    def _fresh(self) -> Callable[[Array], Strategy]:
        return jax.jit(lambda key: self._template.params(self._template.init(key)))

    @functools.cached_property
    def _compiled(self) -> dict[Any, Callable[..., Any]]:
        return {}

    def _train(self, seat: int) -> Callable[..., Strategy]:
        if seat not in self._compiled:
            self._compiled[seat] = jax.jit(self._trainer(seat))
        return self._compiled[seat]

    def _trainer(self, seat: int) -> Callable[..., Strategy]:
        player = Player(self._template.policy, members=self.profiles)
        env = ProfileEnv(self.env, (player,) * (self.num_players - 1), self.matches, seat)

        def learner(rivals: tuple[PyTree, ...], others: Array, key: Array) -> Learner:
            drawn = draw_profiles(key, others, self.profiles)
            params = tuple(member(rival, index) for rival, index in zip(rivals, drawn, strict=True))
            return self.oracle(env, (self._params, params))

        def train(rivals: tuple[PyTree, ...], others: Array, key: Array, first: Strategy | None) -> Strategy:
            init_key, key = jax.random.split(key)
            start = learner(rivals, others, init_key)
            state = start.init(init_key)
            state = state if first is None else state.replace(params=first)

            def update(state: PyTree, key: Array) -> tuple[PyTree, None]:
                return learner(rivals, others, key).update(state)[0], None

            state = jax.lax.scan(update, state, jax.random.split(key, self.updates))[0]
            return start.params(state)

        return train

    def _play(self, seat: int, capacity: int, player: Player | None = None) -> Callable[..., Estimates]:
        """Matches of one strategy (of `player`, or of the population's kind) against all profiles of the others."""
        own = Player(player.policy, view=player.view) if player else Player(self._template.policy)
        call = seat, capacity, own
        if call not in self._compiled:
            self._compiled[call] = jax.jit(self._match(*call))
        return self._compiled[call]

    def _match(self, seat: int, capacity: int, own: Player) -> Callable[..., Estimates]:
        rivals = [Player(self._template.policy, members=capacity) for _ in range(self.num_players - 1)]
        shape = (capacity,) * len(rivals)
        columns = [index.ravel() + 1 + i * capacity for i, index in enumerate(np.indices(shape))]
        columns.insert(seat, np.zeros_like(columns[0]))
        schedule = np.repeat(np.stack(columns, axis=1), self.episodes, axis=0)
        seating = Seating(self.env, (own, *rivals), schedule)

        def play(strategy: Strategy, rival_params: tuple[PyTree, ...], key: Array) -> Estimates:
            horizon = self.env.horizon or 0
            returns = play_seating(seating, (strategy, *rival_params), key, self._params, horizon)
            table = returns.reshape(*shape, self.episodes, self.num_players)
            return sample_estimates(jnp.moveaxis(table, (-2, -1), (0, 1)))

        return play


@jax.jit
def newest(population: PyTree) -> Strategy:
    """The last strategy of a population that is there (missing ones are zeros)."""
    there = jnp.stack([jnp.any(leaf.reshape(len(leaf), -1) != 0, axis=1) for leaf in jax.tree.leaves(population)])
    there = jnp.any(there, axis=0)
    return member(population, len(there) - 1 - jnp.argmax(there[::-1]))


def draw_profiles(key: Array, distribution: Float[Array, "*others"], count: int) -> tuple[Int[Array, " count"], ...]:
    """`count` profiles drawn by systematic resampling: each appears `count` times its probability, up to one.

    Args:
        key: consumed by this call.
        distribution: over profiles, one axis a seat.
        count: how many.

    Returns:
        For each axis the index of each draw; never a profile of probability 0.
    """
    cumulative = jnp.cumsum(distribution.ravel())
    points = (jnp.arange(count) + jax.random.uniform(key)) / count * cumulative[-1]
    index = jnp.sum(cumulative <= points[:, None], axis=1)
    last = distribution.size - 1 - jnp.argmax(distribution.ravel()[::-1] > 0)  # where rounding overshoots
    return jnp.unravel_index(jnp.minimum(index, last), distribution.shape)

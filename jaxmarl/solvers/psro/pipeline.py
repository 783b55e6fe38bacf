"""Pipeline PSRO (McAleer et al. 2020): several responses are trained at once, each to what those below it have become.

PSRO waits for one response before it starts the next. Here a fixed population has L active strategies above it. The
lowest responds to the meta-solver's mixture of the fixed ones, the next to a mixture that includes the lowest as it is
now, and so on. When the lowest no longer gains more it becomes fixed, all move down a level, and a fresh one starts at
the top; those above have been training for a while by then. With one level this is PSRO.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.solvers.psro.empirical import EmpiricalGame, Estimates, empty_game
from jaxmarl.solvers.psro.game import Populations, PsroGame, Strategy, empty_population, mix, with_member
from jaxmarl.solvers.psro.meta_solvers import marginals_of, meta_solver


@dataclass(frozen=True, eq=False)
class Training:
    """A response that is trained bit by bit.

    Attributes:
        start: (seat, key) -> state of training.
        step: (seat, state, populations, others, key) -> state; `others` as in `PsroGame.best_response`.
        strategy: state -> the strategy it is now.
    """

    start: Callable[[int, Array], PyTree]
    step: Callable[[int, PyTree, Populations, Array, Array], PyTree]
    strategy: Callable[[PyTree], Strategy]


def gradual_responses(game: PsroGame, rate: float) -> Training:
    """Strategies that go a share `rate` of the way to a best response at each step; of mixed actions.

    Args:
        game: a pure game whose strategies may be averaged, such as `NormalFormPsro`.
        rate: in (0, 1]; 1 is at the best response at once.
    """
    require(game.pure, "game", type(game).__name__, "a game that can be traced (pure)")
    require(0 < rate <= 1, "rate", rate, "in (0, 1]")

    def step(seat: int, strategy: PyTree, populations: Populations, others: Array, key: Array) -> PyTree:
        best = game.best_response(seat, populations, others, key)
        return jax.tree.map(lambda old, new: old + rate * (new - old), strategy, best)

    return Training(game.initial_strategy, jax.jit(step, static_argnums=0), lambda strategy: strategy)


@dataclass(frozen=True)
class PipelineSettings:
    """How pipeline PSRO runs.

    Attributes:
        capacity: K, most strategies of a seat, active ones included.
        iterations: most steps of training.
        levels: L, strategies of a seat that train at once.
        meta_solver: name, see `meta_solver`.
        patience: steps without improvement after which the lowest level is fixed.
        improvement: of the lowest level's gain, in units of payoffs: what counts as one.
        tolerance: of exact games: stops when best responses gain no more.
    """

    capacity: int = 32
    iterations: int = 200
    levels: int = 3
    meta_solver: str = "nash_lp"
    patience: int = 3
    improvement: float = 1e-2
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        require_int("levels", self.levels, 1)
        require_int("capacity", self.capacity, self.levels + 1)
        require_int("iterations", self.iterations, 1)
        require_int("patience", self.patience, 1)
        require(self.improvement >= 0, "improvement", self.improvement, "non-negative")
        require(self.tolerance >= 0, "tolerance", self.tolerance, "non-negative")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PipelineState:
    """Where a run stands: a pytree of fixed shapes.

    Attributes:
        populations: one a seat, leaves `[K, ...]`: fixed strategies, then active ones, then zeros.
        empirical: payoffs of all profiles of these.
        training: of each seat and level.
        fixed: number of fixed strategies of each seat.
        best: `[n]`, largest gain of the lowest level since it became the lowest.
        stale: steps since that improved.
        joint: `[K, ..., K]`, the mixture of the fixed strategies.
        iteration: finished steps.
        done: whether the run is over.
        key: of the whole run.
        trace: one row a step: `gain [T, n]` of the lowest level, `nash_conv [T]` (exact games: of the mixture of the
            fixed strategies; else the sum of gains) and `fixed [T]`, all before anything was fixed.
    """

    populations: Populations
    empirical: EmpiricalGame
    training: tuple[tuple[PyTree, ...], ...]
    fixed: Int[Array, ""]
    best: Float[Array, " num_players"]
    stale: Int[Array, ""]
    joint: Float[Array, "*cells"]
    iteration: Int[Array, ""]
    done: Bool[Array, ""]
    key: Array
    trace: dict[str, Array]

    @property
    def mixtures(self) -> Float[Array, "num_players capacity"]:
        """`[n, K]`, each seat's own mixture of its fixed strategies."""
        return jnp.stack(marginals_of(self.joint))

    def rows(self) -> dict[str, np.ndarray]:
        """The trace of the finished steps, on the host."""
        return {name: np.asarray(column)[: int(self.iteration)] for name, column in self.trace.items()}


class Pipeline:
    """Pipeline PSRO on one game, with the interface of `Psro`, so that `run_saved` keeps and resumes it too.

    Attributes:
        game: what is played; every seat has a population of its own.
        training: of responses.
        settings: how.
    """

    def __init__(self, game: PsroGame, training: Training, settings: PipelineSettings | None = None) -> None:
        """Refuses an unknown meta-solver."""
        self.game, self.training, self.settings = game, training, settings or PipelineSettings()
        self.solver = meta_solver(self.settings.meta_solver, game.num_players, bool(game.zero_sum))
        self._solve = self.solver.solve if self.solver.on_host else jax.jit(self.solver.solve)
        self._begin = jax.jit(self._begun) if game.pure else self._begun
        self._advance = jax.jit(self._advanced) if game.pure else self._advanced
        self._shift = jax.jit(self._moved_down) if game.pure else self._moved_down

    def start(self, key: Array) -> PipelineState:
        """One fixed strategy a seat, and fresh active ones."""
        return self._begin(key)

    def step(self, state: PipelineState) -> PipelineState:
        """All levels train for a step, are evaluated, and the lowest may become fixed."""
        state = self._advance(state, [self._mixture(state, level) for level in range(self.settings.levels)])
        if int(state.stale) < self.settings.patience:
            return state
        if int(state.fixed) + self.settings.levels >= self.settings.capacity:
            return replace(state, done=jnp.ones((), bool))
        return self._shift(state)

    def finished(self, state: PipelineState) -> bool:
        """Whether the run is over."""
        return bool(state.done) or int(state.iteration) >= self.settings.iterations

    def run(self, key: Array, on_iteration: Callable[[PipelineState], Any] | None = None) -> PipelineState:
        """All steps; `on_iteration` is given the state after each."""
        state = self.start(key)
        while not self.finished(state):
            state = self.step(state)
            if on_iteration:
                on_iteration(state)
        return state

    def _begun(self, key: Array) -> PipelineState:
        settings, seats = self.settings, range(self.game.num_players)
        keys = jax.random.split(jax.random.fold_in(key, 2**31 - 1), (len(seats), settings.levels + 1))
        training = tuple(tuple(self.training.start(i, keys[i, 1 + lv]) for lv in range(settings.levels)) for i in seats)
        firsts = [self.game.initial_strategy(i, keys[i, 0]) for i in seats]
        populations = tuple(with_member(empty_population(x, settings.capacity), 0, x, jnp.array(True)) for x in firsts)
        one, length = jnp.ones((), jnp.int32), settings.iterations
        dtype = jnp.result_type(float)
        state = PipelineState(
            populations,
            empty_game(len(seats), settings.capacity, dtype),
            training,
            one,
            jnp.full(len(seats), -jnp.inf, dtype),
            0 * one,
            jnp.zeros((settings.capacity,) * len(seats), dtype).at[(0,) * len(seats)].set(1),
            0 * one,
            jnp.zeros((), bool),
            key,
            {
                "gain": jnp.zeros((length, len(seats)), dtype),
                "nash_conv": jnp.zeros(length, dtype),
                "fixed": jnp.zeros(length, jnp.int32),
            },
        )
        state = self._with_active(state)
        places = list(range(settings.levels + 1))
        return self._evaluated(state, places, jax.random.fold_in(key, 2**31 - 2))

    def _advanced(self, state: PipelineState, joints: list[Float[Array, "*cells"]]) -> PipelineState:
        """All levels a step of training further, their payoffs, and the row of the trace."""
        key = jax.random.fold_in(state.key, state.iteration)

        def train(seat: int, level: int) -> PyTree:
            own = jax.random.fold_in(jax.random.fold_in(key, seat), level)
            others = jnp.sum(joints[level], axis=seat)
            return self.training.step(seat, state.training[seat][level], state.populations, others, own)

        seats, levels = range(self.game.num_players), range(self.settings.levels)
        state = self._with_active(replace(state, training=tuple(tuple(train(i, lv) for lv in levels) for i in seats)))
        state = self._evaluated(state, [state.fixed + level for level in levels], jax.random.fold_in(key, 2**30))
        gain = self._gains(state, joints[0])
        state = self._recorded(replace(state, joint=joints[0]), gain, jax.random.fold_in(key, 2**30 + 1))
        improved = jnp.any(gain > state.best + self.settings.improvement)
        return replace(state, best=jnp.maximum(state.best, gain), stale=jnp.where(improved, 0, state.stale + 1))

    def _mixture(self, state: PipelineState, level: int) -> Float[Array, "*cells"]:
        """The meta-solver's distribution over the profiles of strategies below a level."""
        there = jnp.arange(self.settings.capacity) < state.fixed + level
        masks = jnp.broadcast_to(there, state.empirical.masks.shape)
        below = EmpiricalGame(state.empirical.cells, masks)
        return self._solve(below.game, state.empirical.cells.variance)

    def _with_active(self, state: PipelineState) -> PipelineState:
        """Populations and masks with the active strategies as they are now."""
        populations = list(state.populations)
        for seat, levels in enumerate(state.training):
            for level, training in enumerate(levels):
                strategy = self.training.strategy(training)
                populations[seat] = with_member(populations[seat], state.fixed + level, strategy, jnp.array(True))
        there = jnp.arange(self.settings.capacity) < state.fixed + self.settings.levels
        masks = jnp.broadcast_to(there, state.empirical.masks.shape)
        return replace(state, populations=tuple(populations), empirical=EmpiricalGame(state.empirical.cells, masks))

    def _evaluated(self, state: PipelineState, places: list[Any], key: Array) -> PipelineState:
        """The state with payoffs of the strategies in these places estimated anew."""
        cells = state.empirical.cells
        for seat in range(self.game.num_players):
            for count, place in enumerate(places):
                own = jax.random.fold_in(jax.random.fold_in(key, seat), count)
                strategy = jax.tree.map(lambda leaf, at=place: leaf[at], state.populations[seat])
                row = self.game.payoff_row(seat, strategy, state.populations, own)
                index = (slice(None),) * (seat + 1) + (place,)
                mean, squares = cells.mean.at[index].set(row.mean), cells.squares.at[index].set(row.squares)
                cells = Estimates(mean, squares, cells.count.at[index[1:]].set(row.count))
        return replace(state, empirical=EmpiricalGame(cells, state.empirical.masks))

    def _gains(self, state: PipelineState, joint: Array) -> Float[Array, " num_players"]:
        """What the lowest level of each seat gains over the mixture of the fixed strategies."""
        gains, mean = [], state.empirical.cells.mean
        for seat in range(self.game.num_players):
            own_first = jnp.moveaxis(mean[seat], seat, 0)
            gains.append(jnp.sum(own_first[state.fixed] * jnp.sum(joint, axis=seat)) - jnp.sum(mean[seat] * joint))
        return jnp.stack(gains)

    def _recorded(self, state: PipelineState, gain: Array, key: Array) -> PipelineState:
        """The state with its row of the trace, one step further."""
        nash_conv = jnp.sum(jnp.maximum(gain, 0))
        if self.game.exact:
            nash_conv = jnp.sum(jnp.stack([self._exact_gain(state, i, key) for i in range(self.game.num_players)]))
        row = {"gain": gain, "nash_conv": nash_conv, "fixed": state.fixed}
        trace = {name: rows.at[state.iteration].set(row[name]) for name, rows in state.trace.items()}
        done = state.done | (self.game.exact & (nash_conv <= self.settings.tolerance))
        return replace(state, trace=trace, iteration=state.iteration + 1, done=done)

    def _exact_gain(self, state: PipelineState, seat: int, key: Array) -> Float[Array, ""]:
        others = jnp.sum(state.joint, axis=seat)
        best = self.game.best_response(seat, state.populations, others, key)
        row = self.game.payoff_row(seat, best, state.populations, key).mean[seat]
        return jnp.maximum(jnp.sum(row * others) - jnp.sum(state.empirical.cells.mean[seat] * state.joint), 0)

    def _moved_down(self, state: PipelineState) -> PipelineState:
        """The lowest level fixed, the others one level lower, a fresh one on top."""
        key = jax.random.fold_in(state.key, state.iteration)
        fresh = jax.random.split(jax.random.fold_in(key, 2**30 + 2), self.game.num_players)
        training = tuple(
            (*levels[1:], self.training.start(seat, fresh[seat])) for seat, levels in enumerate(state.training)
        )
        state = replace(state, training=training, fixed=state.fixed + 1, stale=jnp.zeros_like(state.stale))
        state = self._with_active(replace(state, best=jnp.full_like(state.best, -jnp.inf)))
        top = state.fixed + self.settings.levels - 1
        return self._evaluated(state, [top], jax.random.fold_in(key, 2**30 + 3))


def mixed_strategies(state: PipelineState) -> tuple[Strategy, ...]:
    """Each seat's mixture as one strategy, of games whose strategies may be averaged."""
    return tuple(mix(w, population) for w, population in zip(state.mixtures, state.populations, strict=True))

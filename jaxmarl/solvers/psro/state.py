"""How PSRO runs (settings) and where a run stands (state): pytrees of fixed shapes, allocated for K strategies."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.solvers.psro.empirical import EmpiricalGame, Estimates, empty_game
from jaxmarl.solvers.psro.game import Populations, PsroGame, Strategy, empty_population, with_member
from jaxmarl.solvers.psro.meta_solvers import MetaSolver, marginals_of, meta_solver

VARIANTS = ("standard", "rectified", "anytime", "preference")


@dataclass(frozen=True)
class PsroSettings:
    """How PSRO runs; hashable, so that it can be a static argument.

    Attributes:
        capacity: K, most strategies of a seat.
        iterations: most iterations, the last of which only certifies; `capacity` if 0.
        meta_solver: name, see `meta_solver`.
        meta_options: of the solver, pairs (name, value).
        variant: `"standard"`; `"rectified"`: each strategy that the meta-solver plays is a parent, whose response is
            to the opponents that it does not lose to (PSRO-rN, Balduzzi et al. 2019); `"anytime"`: mixtures are the
            least exploitable ones in the whole game, so that exploitability never rises (McAleer et al. 2022; games
            with a `saddle_points`); `"preference"`: responses do better than what is played as often as possible, by
            however little, which goes with alpha-rank (alpha-PSRO, Muller et al. 2020; games with a
            `preference_response`). It ends when they add nothing, whatever best responses would gain.
        self_play: also adds the strategy that no-regret self-play against the other's population leads to (self-play
            PSRO; games with a `saddle_points`).
        diversity: weight of diverse responses in place of best ones (games with a `diverse_response`); 0 for none.
        diversity_decay: factor of that weight from one iteration to the next.
        shared: whether all seats share one population; None: if the game is symmetric.
        single_oracle: whether only the first seat responds, of a shared population whose meta-solver plays all seats
            alike (zero-sum games of two players do so anyway).
        tremble: the share of uniform play that responses expect of every other population (Slumbers et al. 2023, so
            that what is rare is hedged against). Gains are of the mixture itself.
        tolerance: of exact games: stops when what responses gain adds to no more, in units of payoffs.
    """

    capacity: int = 32
    iterations: int = 0
    meta_solver: str = "nash"
    meta_options: tuple[tuple[str, Any], ...] = ()
    variant: str = "standard"
    self_play: bool = False
    diversity: float = 0.0
    diversity_decay: float = 0.9
    shared: bool | None = None
    single_oracle: bool = False
    tremble: float = 0.0
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        require_int("capacity", self.capacity, 1)
        require_int("iterations", self.iterations, 0)
        require_choice("variant", self.variant, VARIANTS)
        require(self.diversity >= 0, "diversity", self.diversity, "non-negative")
        require(0 <= self.diversity_decay <= 1, "diversity_decay", self.diversity_decay, "in [0, 1]")
        require(0 <= self.tremble < 1, "tremble", self.tremble, "in [0, 1)")
        require(self.tolerance >= 0, "tolerance", self.tolerance, "non-negative")

    @property
    def num_iterations(self) -> int:
        """Most iterations."""
        return self.iterations or self.capacity

    @property
    def dtype(self) -> Any:
        """Of payoffs and mixtures: float32, or float64 under `jax.enable_x64`."""
        return jnp.result_type(float)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PsroState:
    """Where a run stands: a pytree of fixed shapes, all that is needed to go on.

    Attributes:
        populations: one a seat, leaves `[K, ...]`; missing strategies are zeros. (Of a shared population: copies.)
        empirical: payoffs of all profiles, and which strategies are there.
        joint: `[K, ..., K]`, the meta-solver's distribution over profiles.
        iteration: finished iterations.
        done: whether no response improved on the mixture (exact games), or nothing could be added.
        key: of the whole run; an iteration uses what is folded from it.
        trace: one row an iteration, of the mixture *before* it added anything: `gain [T, n]`, what each seat's
            response gains; `gain_error`, its standard error; `value [T, n]`, expected payoffs; `meta_gap [T]`, what
            could be gained within the populations; `size [T, n]`; `mixture [T, n, K]`.
    """

    populations: Populations
    empirical: EmpiricalGame
    joint: Float[Array, "*cells"]
    iteration: Int[Array, ""]
    done: Bool[Array, ""]
    key: Array
    trace: dict[str, Array]

    @property
    def mixtures(self) -> Float[Array, "num_players capacity"]:
        """`[n, K]`, each seat's own mixture."""
        return jnp.stack(marginals_of(self.joint))

    @property
    def nash_conv(self) -> Float[Array, "*games num_iterations"]:
        """`[T]`, what the responses of all seats gained at each iteration (0 after the last).

        Of an exact game the NashConv of independent mixtures, or the sum of the coarse gaps of a correlated one (the
        sum of swap gains, with `meta_solver` a correlated equilibrium); otherwise an estimate of a lower bound.
        """
        return jnp.sum(jnp.maximum(self.trace["gain"], 0), axis=-1)

    @property
    def nash_conv_error(self) -> Float[Array, "*games num_iterations"]:
        """`[T]`, standard error of `nash_conv`."""
        return jnp.sqrt(jnp.sum(self.trace["gain_error"] ** 2, axis=-1))

    def rows(self) -> dict[str, np.ndarray]:
        """The trace of the finished iterations, with `nash_conv` and its error, on the host."""
        columns = {**self.trace, "nash_conv": self.nash_conv, "nash_conv_error": self.nash_conv_error}
        return {name: np.asarray(column)[: int(self.iteration)] for name, column in columns.items()}


def choose_meta_solver(game: PsroGame, settings: PsroSettings) -> MetaSolver:
    """The meta-solver of the settings for a game, once they are seen to go together.

    Raises:
        ValueError: an unknown meta-solver, a shared population in a game that is not symmetric, a variant that the
            game does not offer.
    """
    if settings.shared:
        require(game.symmetric, "shared", True, "False or None in a game that is not symmetric")
    if settings.single_oracle:
        shared = is_shared(game, settings)
        require(shared, "single_oracle", True, "False where seats have populations of their own")
    duel = game.num_players == 2 and game.zero_sum
    if settings.variant == "anytime" or settings.self_play:
        offered = duel and hasattr(game, "saddle_points")
        option = "variant" if settings.variant == "anytime" else "self_play"
        require(offered, option, getattr(settings, option), "left out: the game has no saddle_points")
    if settings.variant == "preference":
        offered = hasattr(game, "preference_response")
        require(offered, "variant", settings.variant, "left out: the game has no preference_response")
    if settings.diversity:
        offered = hasattr(game, "diverse_response") and game.num_players == 2
        require(offered, "diversity", settings.diversity, "0: the game has no diverse_response")
    return _cached_solver(settings.meta_solver, game.num_players, bool(game.zero_sum), settings.meta_options)


@functools.lru_cache(maxsize=256)  # one object a meta-solver, so that compiled iterations are found again
def _cached_solver(name: str, num_players: int, zero_sum: bool, options: tuple[tuple[str, Any], ...]) -> MetaSolver:
    return meta_solver(name, num_players, zero_sum, **dict(options))


def initial_state(game: PsroGame, settings: PsroSettings, solver: MetaSolver, key: Array) -> PsroState:
    """One strategy a seat, its payoffs, and the mixture that plays it."""
    seats, capacity, length = range(game.num_players), settings.capacity, settings.num_iterations
    keys = jax.random.split(jax.random.fold_in(key, 2**31 - 1), 2 * game.num_players)
    shared = is_shared(game, settings)
    filled = (0,) if shared else seats
    firsts = [game.initial_strategy(seat, keys[seat]) for seat in filled]
    firsts = firsts if len(firsts) == game.num_players else firsts * game.num_players
    populations = tuple(empty_population(first, capacity) for first in firsts)
    empirical = empty_game(game.num_players, capacity, settings.dtype)
    for seat in filled:
        row_key = keys[game.num_players + seat]
        row = payoff_row(game, shared, populations, empirical, seat, firsts[seat], row_key)
        populations, empirical = grown(populations, empirical, seat, firsts[seat], row, True, shared=shared)
    table = jnp.zeros((length, game.num_players), empirical.cells.mean.dtype)
    trace = {
        "gain": table,
        "gain_error": table,
        "value": table,
        "meta_gap": table[:, 0],
        "size": jnp.zeros(table.shape, jnp.int32),
        "mixture": jnp.zeros((*table.shape, capacity), table.dtype),
    }
    zero = jnp.zeros((), jnp.int32)
    joint = jnp.zeros_like(empirical.cells.count).at[(0,) * game.num_players].set(1)
    return PsroState(populations, empirical, joint, zero, jnp.zeros((), bool), key, trace)


def is_shared(game: PsroGame, settings: PsroSettings) -> bool:
    """Whether all seats share one population."""
    return game.symmetric if settings.shared is None else settings.shared


def payoff_row(
    game: PsroGame,
    shared: bool,
    populations: Populations,
    empirical: EmpiricalGame,
    seat: int,
    strategy: Strategy,
    key: Array,
) -> Estimates:
    """Payoffs of a new strategy; in a shared population also against itself."""
    if shared:
        populations = _with_strategy(populations, empirical.sizes, seat, strategy, True, shared=True)
    return game.payoff_row(seat, strategy, populations, key)


# compiled by themselves for games whose oracles run outside `jit`; inside another `jit` this changes nothing
@functools.partial(jax.jit, static_argnames=("seat", "shared"))
def grown(
    populations: Populations,
    empirical: EmpiricalGame,
    seat: int,
    strategy: Strategy,
    row: Estimates,
    wanted: Bool[Array, ""] | bool,
    *,
    shared: bool,
) -> tuple[Populations, EmpiricalGame]:
    """Populations and payoffs with one more strategy of a seat, if it is `wanted` and there is room."""
    wanted = jnp.asarray(wanted)
    more = _with_strategy(populations, empirical.sizes, seat, strategy, wanted, shared=shared)
    if shared:
        return more, empirical.with_shared_strategy(_first_seat_row(row, seat), wanted)
    return more, empirical.with_strategy(seat, row, wanted)


@functools.partial(jax.jit, static_argnames=("seat", "shared"))
def _with_strategy(
    populations: Populations,
    sizes: Int[Array, " num_players"],
    seat: int,
    strategy: Strategy,
    wanted: Bool[Array, ""] | bool,
    *,
    shared: bool,
) -> Populations:
    capacity = jax.tree.leaves(populations)[0].shape[0]
    place = jnp.minimum(sizes[seat], capacity - 1)
    more = with_member(populations[seat], place, strategy, wanted & (sizes[seat] < capacity))
    return tuple(more if shared or i == seat else population for i, population in enumerate(populations))


def _first_seat_row(row: Estimates, seat: int) -> Estimates:
    """The payoffs of a strategy of `seat` as those of the same strategy in seat 0 of a symmetric game."""
    if seat == 0:
        return row
    players = np.arange(row.mean.shape[0])
    players[[0, seat]] = seat, 0
    # seat 0 and seat `seat` change places: axis 0 of the others (which was seat 0) becomes axis `seat - 1`
    mean, squares = (jnp.moveaxis(table, 1, seat)[players] for table in (row.mean, row.squares))
    return Estimates(mean, squares, jnp.moveaxis(row.count, 0, seat - 1))

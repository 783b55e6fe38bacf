"""Solvers of normal-form games by name, with what they promise: the command line and the conformance tests read it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import jax

from jaxmarl.core.checks import did_you_mean, require, require_argument_types
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.solvers.solution import GapKind, Solution

GameClass: TypeAlias = Literal["any", "two_player", "zero_sum", "symmetric"]


@dataclass(frozen=True)
class SolverEntry:
    """A registered solver and its promise, which `jaxmarl.testing.check_solver` tests.

    Attributes:
        name: as in `jaxmarl solve --solver NAME`.
        solve: `(game, **options) -> Solution`.
        games: what it takes: any game, two players, two players zero-sum, or symmetric games.
        gap_kind: which gap it drives to zero.
        tolerance: with default options `gap <= tolerance * payoff range` on every game of its class; None where
            there is no such promise (a heuristic, or a regularised equilibrium).
        on_host: runs in NumPy or SciPy outside `jit` (and does not vmap).
    """

    name: str
    solve: Callable[..., Solution]
    games: GameClass
    gap_kind: GapKind
    tolerance: float | None
    on_host: bool

    @property
    def summary(self) -> str:
        """First paragraph of the docstring."""
        return " ".join(inspect.cleandoc(self.solve.__doc__ or "").split("\n\n")[0].split())

    def check_game(self, game: NormalFormGame) -> None:
        """Refuses a game outside the solver's class, in one line. Values are checked outside `jit` only."""
        if self.games in ("two_player", "zero_sum"):
            require(game.num_players == 2, "game", f"{game.num_players} players", f"two-player for solver {self.name}")
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(game)):
            return
        with jax.ensure_compile_time_eval():  # a known game may be closed over by a function under jit
            if self.games == "zero_sum":
                require(bool(game.is_zero_sum()), "game", "a general-sum game", f"zero-sum for solver {self.name}")
            if self.games == "symmetric":
                require(bool(game.is_symmetric()), "game", "an asymmetric game", f"symmetric for solver {self.name}")


_SOLVERS: dict[str, SolverEntry] = {}
F = TypeVar("F", bound=Callable[..., Solution])


def register_solver(
    name: str,
    games: GameClass,
    gap_kind: GapKind = "nash_conv",
    tolerance: float | None = None,
    on_host: bool = False,
) -> Callable[[F], F]:
    """Decorator that enters a function `(game, **options) -> Solution` under `name`; see `SolverEntry`."""

    def enter(solve: F) -> F:
        require(name not in _SOLVERS, "name", name, "a solver that is not registered yet")
        _SOLVERS[name] = SolverEntry(name, solve, games, gap_kind, tolerance, on_host)
        return solve

    return enter


def list_solvers() -> list[str]:
    """Names that `solve` knows, sorted."""
    return sorted(_SOLVERS)


def solver_entry(name: str) -> SolverEntry:
    """The solver called `name`; `ValueError` with the nearest name where there is none."""
    if name not in _SOLVERS:
        raise ValueError(f"unknown solver {name!r}{did_you_mean(name, _SOLVERS)} (known: {', '.join(list_solvers())})")
    return _SOLVERS[name]


def default_solver(game: NormalFormGame) -> str:
    """The solver that suits a game outside `jit`: exact for two players, the logit path for more."""
    if game.num_players != 2:
        return "logit_limit"
    return "zero_sum_lp" if bool(game.is_zero_sum()) else "lemke_howson"


def solve(game: NormalFormGame, solver: str | None = None, **options: Any) -> Solution:
    """Solves a game by the solver called `solver`, as in `solve(zero_sum_game(matrix), "zero_sum_lp")`.

    Args:
        game: one game; games in extensive form go through `games.extensive_normal_form` or PSRO.
        solver: one of `list_solvers()`; by default that of `default_solver(game)`, outside `jit`.
        **options: of the solver.

    Raises:
        ValueError: no game, an unknown solver or option, or a game outside the solver's class.
    """
    made_by = "a NormalFormGame (of payoffs: bimatrix_game, zero_sum_game; of a tree: extensive_normal_form(tree)[0])"
    require(isinstance(game, NormalFormGame), "game", type(game).__name__, made_by)
    solver = default_solver(game) if solver is None else solver
    entry = solver_entry(solver)
    allowed = [name for name in inspect.signature(entry.solve).parameters if name != "game"]
    for option in options:
        if option not in allowed:
            known = ", ".join(allowed) or "none"
            raise ValueError(f"{solver} has no option {option!r}{did_you_mean(option, allowed)} (options: {known})")
    require_argument_types(entry.solve, options)
    entry.check_game(game)
    return entry.solve(game, **options)

"""Solvers of normal-form games against other libraries, seconds a game, on this machine and in this run.

    python scripts/bench/solvers.py [--repeats 5] [--games 4096] [--only NAME ...] [--quick] [--out FILE]

Ours solve a whole batch in one jitted `vmap` (compilation apart), peers one game after the other as their users do.
`open-spiel`, `pygambit` and `nashpy` come with the test extras; a peer that is not installed is left out.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jaxmarl.bench.harness import compiled, parser, start, timed, write
from jaxmarl.bench.peers import (
    gambit,
    linear_program,
    matrices,
    nashpy_linear_program,
    open_spiel_alpha_rank,
    open_spiel_solver,
    zero_sum_games,
)


class Row(NamedTuple):
    """One timed solver."""

    task: str
    solver: str
    seconds_a_game: float
    compile_seconds: float | None
    gap: float | None
    peer: bool


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--games", type=int, default=4096, help="games of the large batch")
    options.add_argument("--quick", action="store_true", help="smaller sizes: a minute in all")
    options.add_argument("--only", nargs="*", choices=sorted(TASKS), default=sorted(TASKS), help="some of the tasks")
    return options.parse_args()


def ours(task: str, name: str, solver: Callable[..., Any], games: Any, repeats: int) -> Row:
    """Times a jitted `vmap` of a solver over a batch."""
    import jax

    ready, compile_seconds = compiled(jax.vmap(solver), games)
    gap = float(jax.numpy.max(ready(games).gap))
    seconds = timed(lambda: ready(games), repeats).median / len(games.payoffs)
    return Row(task, name, seconds, compile_seconds, gap, False)


def peer(task: str, name: str, solve: Callable[[np.ndarray], Any], few: np.ndarray, repeats: int) -> list[Row]:
    """Times a peer on a few matrices, one after the other; nothing where it is not installed."""
    try:
        strategies = solve(few[0])
    except ImportError as error:
        print(f"{name} is left out: {error}")
        return []
    gap = None if strategies is None else _nash_conv(few[0], *strategies)

    def call() -> None:
        for matrix in few:
            solve(matrix)

    return [Row(task, name, timed(call, repeats, warm_up=False).median / len(few), None, gap, True)]


def _nash_conv(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.max(matrix @ y) - np.min(x @ matrix))


def regret_matching(args: argparse.Namespace) -> list[Row]:
    """The same number of rounds of regret matching on each game."""
    from jaxmarl.solvers.no_regret import regret_matching as learner
    from jaxmarl.solvers.no_regret import self_play

    rounds = 1_000 if args.quick else 10_000
    task, payoffs = f"{rounds} rounds of regret matching, 10x10", matrices(args.games, 10)

    def solver(game):
        return self_play(game, learner(), rounds).solution(game)

    rows = [
        ours(task, f"regret matching, {count} at once", solver, zero_sum_games(payoffs[:count]), args.repeats)
        for count in (256, args.games)
    ]
    return rows + peer(task, "open-spiel regret matching", open_spiel_solver("regret_matching", rounds), payoffs[:1], 3)


def to_a_gap(args: argparse.Namespace) -> list[Row]:
    """Zero-sum games to a gap of 1e-4."""
    from jaxmarl.solvers import zero_sum_interior_point
    from jaxmarl.solvers.no_regret import predictive_regret_matching_plus, regret_matching_plus, self_play

    task, payoffs = "zero-sum 10x10 to a gap of 1e-4", matrices(args.games, 10)
    games = zero_sum_games(payoffs)

    def alternating(game):
        return self_play(game, regret_matching_plus(), 2_000, mode="alternating").solution(game)

    def predictive(game):
        return self_play(game, predictive_regret_matching_plus(), 1_000, mode="alternating").solution(game)

    rows = [
        ours(task, "interior point", lambda game: zero_sum_interior_point(game, tolerance=1e-5), games, args.repeats),
        ours(task, "interior point, to rounding", zero_sum_interior_point, games, args.repeats),
        ours(task, "regret matching+, alternating, 2000", alternating, games, args.repeats),
        ours(task, "predictive regret matching+, alternating, 1000", predictive, games, args.repeats),
    ]
    few = payoffs[: 4 if args.quick else 16]
    rows += peer(task, "scipy linprog (HiGHS)", linear_program, few, args.repeats)
    rows += peer(task, "pygambit lp_solve", gambit("lp_solve"), few, args.repeats)
    rows += peer(task, "pygambit lcp_solve", gambit("lcp_solve"), few, args.repeats)
    return rows + peer(task, "nashpy linear_program", nashpy_linear_program, few, args.repeats)


def one_large(args: argparse.Namespace) -> list[Row]:
    """One large zero-sum game."""
    from jaxmarl.solvers import zero_sum_interior_point
    from jaxmarl.solvers.no_regret import predictive_regret_matching_plus, self_play

    size = 200 if args.quick else 1000
    task, payoffs = f"one zero-sum game {size}x{size}", matrices(1, size)
    games = zero_sum_games(payoffs)

    def predictive(game):
        return self_play(game, predictive_regret_matching_plus(), 5_000, mode="alternating").solution(game)

    rows = [
        ours(task, "interior point", zero_sum_interior_point, games, args.repeats),
        ours(task, "predictive regret matching+, alternating, 5000", predictive, games, args.repeats),
    ]
    return rows + peer(task, "scipy linprog (HiGHS)", linear_program, payoffs, 1)


def dynamics(args: argparse.Namespace) -> list[Row]:
    """Projected replicator dynamics and fictitious play, the same number of iterations."""
    from jaxmarl.solvers import fictitious_play, projected_replicator_dynamics

    steps = 1_000 if args.quick else 5_000
    task, payoffs = f"{steps} steps of projected replicator dynamics, 10x10", matrices(256, 10)
    module = "projected_replicator_dynamics"
    rows = [
        ours(
            task,
            "projected replicator, 256 at once",
            lambda game: projected_replicator_dynamics(game, num_iterations=steps),
            zero_sum_games(payoffs),
            args.repeats,
        ),
        *peer(task, "open-spiel projected replicator", _projected_replicator(module, steps), payoffs[:1], 3),
    ]
    plays = 100 if args.quick else 1_000
    task = f"{plays} plays of fictitious play, 10x10"
    rows.append(
        ours(
            task,
            "fictitious play, 256 at once",
            lambda game: fictitious_play(game, num_iterations=plays),
            zero_sum_games(payoffs),
            args.repeats,
        )
    )
    return rows + peer(task, "open-spiel fictitious play (XFP)", _extensive_form_play(plays), payoffs[:1], 1)


def _projected_replicator(module: str, steps: int) -> Callable[[np.ndarray], Any]:
    def solve(matrix: np.ndarray) -> Any:
        import importlib

        library = importlib.import_module(f"open_spiel.python.algorithms.{module}")
        return library.projected_replicator_dynamics([matrix, -matrix], prd_iterations=steps, prd_dt=5e-3)

    return solve


def _extensive_form_play(plays: int) -> Callable[[np.ndarray], None]:
    def solve(matrix: np.ndarray) -> None:
        import pyspiel
        from open_spiel.python.algorithms import fictitious_play

        game = pyspiel.create_matrix_game(matrix.tolist(), (-matrix).tolist())
        solver = fictitious_play.XFPSolver(pyspiel.convert_to_turn_based(game))
        for _ in range(plays):
            solver.iteration()

    return solve


def alpha_ranks(args: argparse.Namespace) -> list[Row]:
    """Alpha-rank of two populations: 900 profiles on the host, and a batch of small games in one `vmap`."""
    from jaxmarl.games import bimatrix_game
    from jaxmarl.solvers import alpha_rank

    rows = []
    for size, count in ((30, 1), (9, 256)):
        task = f"alpha-rank, {size * size} profiles"
        payoffs = matrices(2 * count, size)
        games = [bimatrix_game(*pair) for pair in payoffs.reshape(count, 2, size, size)[:1]]
        if count == 1:
            gap = float(alpha_rank(games[0], alpha=0.1).gap)
            seconds = timed(partial(alpha_rank, games[0], alpha=0.1), args.repeats).median
            rows.append(Row(task, "alpha-rank", seconds, None, gap, False))
        else:
            import jax

            batch = jax.vmap(bimatrix_game)(payoffs[:count].astype(np.float32), payoffs[count:].astype(np.float32))
            name = f"alpha-rank, {count} at once"
            rows.append(ours(task, name, lambda game: alpha_rank(game, alpha=0.1), batch, args.repeats))
        if not (args.quick and size > 9):
            rows += peer(task, "open-spiel alpharank", open_spiel_alpha_rank, payoffs[:1], 3)
    return rows


TASKS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "alpha_rank": alpha_ranks,
    "dynamics": dynamics,
    "gap": to_a_gap,
    "large": one_large,
    "regret_matching": regret_matching,
}


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    from rich.console import Console
    from rich.table import Table

    if args.quick:
        args.games = min(args.games, 512)
    rows = [row for name in args.only for row in TASKS[name](args)]
    table = Table("solver", "ms a game", "largest gap", "compile s", "slower than our best by", title=device)
    for column in range(1, 5):
        table.columns[column].justify = "right"
    for task in dict.fromkeys(row.task for row in rows):
        group = [row for row in rows if row.task == task]
        best = min(row.seconds_a_game for row in group if not row.peer)
        table.add_section()
        table.add_row(f"[bold]{task}[/bold]")
        for row in group:
            gap = "" if row.gap is None else f"{row.gap:.1e}"
            compiled = "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}"
            ratio = f"{row.seconds_a_game / best:.3g}"
            table.add_row(f"  {row.solver}", f"{1e3 * row.seconds_a_game:.4g}", gap, compiled, ratio)
    Console(width=120).print(table)
    write(args.out, {"rows": [row._asdict() for row in rows]})


if __name__ == "__main__":
    main()

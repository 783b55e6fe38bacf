"""PSRO with exact best responses against OpenSpiel's `psro_v2`: seconds to the same NashConv, in this run.

    python scripts/bench/psro.py [--sizes 20 50 100] [--repeats 5] [--batch 64] [--out FILE.json]

Random zero-sum matrix games and Kuhn poker, the same oracle (exact best responses), the same meta-solver (a Nash
equilibrium of the population's payoffs), the same start and target. OpenSpiel takes its faster way (mixtures aggregated
by marginals, not its default); its payoffs are exact (pure strategies play once in a matrix game; in poker they are
its expected payoffs). What it takes to measure its NashConv is not counted, ours includes its certificates; times of
compiling are apart. A peer that is not installed is left out.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxmarl.bench.harness import compiled, parser, start, timed, write

TARGET = 1e-5
POKER = "Kuhn poker"


class Row(NamedTuple):
    """One timed way to solve one game: `seconds` are those of each run, after compiling."""

    game: str
    solver: str
    seconds: list[float]
    compile_seconds: float | None
    iterations: float
    nash_conv: float

    @property
    def median(self) -> float:
        """Of the runs."""
        return statistics.median(self.seconds)


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="*", default=[20, 50, 100], help="actions of each player")
    options.add_argument("--batch", type=int, default=64, help="games in one call of the whole run inside jit; 0: none")
    options.add_argument("--no-poker", action="store_true", help="matrices only")
    return options.parse_args()


def matrix(size: int, seed: int = 0) -> np.ndarray:
    """Payoffs of the row player, uniform in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, (size, size))


def our_game(size: int) -> Any:
    """The matrix game of a size, or Kuhn poker (0)."""
    from jaxmarl.games import zero_sum_game
    from jaxmarl.games.extensive_zoo import kuhn_poker
    from jaxmarl.solvers.psro import ExtensivePsro, NormalFormPsro

    if not size:
        return ExtensivePsro(kuhn_poker())
    return NormalFormPsro(zero_sum_game(matrix(size).astype(np.float32)), True, False)


def runs(call: Callable[[], Any], repeats: int) -> tuple[list[float], Any]:
    """Seconds of each call, and what the last one returned."""
    results: list[Any] = []

    def keep() -> Any:
        results[:] = [call()]
        return results[0]

    return list(timed(keep, repeats, warm_up=False).seconds), results[0]


def host_loop(size: int, repeats: int) -> Row:
    """The host loop over compiled iterations."""
    import jax

    from jaxmarl.solvers.psro import Psro, PsroSettings

    loop = Psro(our_game(size), PsroSettings(capacity=size or 12, tolerance=TARGET))
    first, _ = runs(lambda: loop.run(jax.random.key(0)), 1)
    seconds, state = runs(lambda: loop.run(jax.random.key(0)), repeats)
    compile_seconds = first[0] - statistics.median(seconds)
    gap = float(state.rows()["nash_conv"][-1])
    return Row(named(size), "jaxmarl, host loop", seconds, compile_seconds, float(state.iteration), gap)


def inside_jit(size: int, repeats: int) -> Row:
    """The whole run in one compiled call."""
    import jax

    from jaxmarl.solvers.psro import PsroSettings, run_inside_jit

    settings, game = PsroSettings(capacity=size or 12, tolerance=TARGET), our_game(size)
    ready, compile_seconds = compiled(lambda game: run_inside_jit(game, settings, jax.random.key(0)), game)
    seconds, state = runs(lambda: ready(game), repeats)
    gap = float(state.rows()["nash_conv"][-1])
    return Row(named(size), "jaxmarl, inside jit", seconds, compile_seconds, float(state.iteration), gap)


def batch_inside_jit(size: int, count: int) -> Row:
    """The whole run inside `jit`, for many games at once: seconds are a game's."""
    import jax
    import jax.numpy as jnp

    from jaxmarl.games import zero_sum_game
    from jaxmarl.solvers.psro import NormalFormPsro, PsroSettings, run_inside_jit

    settings = PsroSettings(capacity=size, tolerance=TARGET)
    games = jax.vmap(zero_sum_game)(jnp.asarray(np.stack([matrix(size, seed) for seed in range(count)]), jnp.float32))

    def run(game: Any) -> Any:
        return run_inside_jit(NormalFormPsro(game, True, False), settings, jax.random.key(0))

    ready, compile_seconds = compiled(jax.vmap(run), games)
    seconds, states = runs(lambda: ready(games), 1)
    last = np.asarray(states.iteration) - 1
    gaps = np.asarray(states.nash_conv)[np.arange(count), last]
    name = f"jaxmarl, {count} games at once"
    return Row(named(size), name, [seconds[0] / count], compile_seconds, float(last.mean() + 1), float(gaps.max()))


def open_spiel(size: int) -> Row | None:
    """OpenSpiel's PSRO once, until its mixture's NashConv is below the target."""
    try:
        import pyspiel

        from jaxmarl.interop.open_spiel_psro import psro_v2_iterations

        game = pyspiel.load_game("kuhn_poker")
        if size:
            payoffs = matrix(size)
            game = pyspiel.convert_to_turn_based(pyspiel.create_matrix_game(payoffs.tolist(), (-payoffs).tolist()))
        rows = psro_v2_iterations(game, first_action=0 if size else None, episodes=1 if size else 0)
        for count, row in enumerate(rows, 1):
            if row.nash_conv <= TARGET or count >= 2 * max(size, 12):
                break
    except ImportError as error:
        print(f"open-spiel is left out: {error}")
        return None
    return Row(named(size), "open-spiel psro_v2", [row.seconds], None, count, row.nash_conv)


def named(size: int) -> str:
    """The game of a size."""
    return f"{size} x {size}" if size else POKER


def cells(row: Row, peer: Row | None) -> list[str]:
    """A row of the table."""
    return [
        row.game,
        row.solver,
        f"{1e3 * row.median:.4g}",
        "" if len(row.seconds) == 1 else f"{1e3 * min(row.seconds):.4g} to {1e3 * max(row.seconds):.4g}",
        "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}",
        f"{row.iterations:.1f}",
        f"{max(row.nash_conv, 0):.1e}",
        f"{peer.median / row.median:.3g}" if peer else "",
    ]


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    from rich.console import Console
    from rich.table import Table

    title = f"PSRO to a NashConv of {TARGET:g}; {device}"
    heads = ("ms a game", "range", "compile s", "iterations", "NashConv", "times faster")
    table = Table("game", "solver", *heads, title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    records = []
    for size in [*args.sizes, *([] if args.no_poker else [0])]:
        group = [host_loop(size, args.repeats), inside_jit(size, args.repeats)]
        if size and args.batch:
            group.append(batch_inside_jit(size, args.batch))
        peer = open_spiel(size)
        for row in [*group, *([peer] if peer else [])]:
            table.add_row(*cells(row, peer))
            records.append(row._asdict() | {"median": row.median, "faster": peer and peer.median / row.median})
            print(*cells(row, peer), sep="  ", flush=True)
        table.add_section()
        write(args.out, {"target": TARGET, "rows": records})
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

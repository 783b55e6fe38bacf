"""PSRO with exact best responses against OpenSpiel's `psro_v2`: seconds to the same NashConv, in this run.

    python scripts/bench/psro.py [--sizes 20] [--games 3] [--batch 64] [--out FILE.json]

Random zero-sum matrix games, the same oracle (exact best responses), the same meta-solver (a Nash equilibrium of the
population's payoffs), the same start (action 0) and target. OpenSpiel plays pure strategies against each other once,
which is exact; what it takes to measure its NashConv is not counted. A peer that is not installed is left out.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TARGET = 1e-5


class Row(NamedTuple):
    """One timed way to solve games of one size."""

    size: int
    solver: str
    seconds_a_game: float
    compile_seconds: float | None
    iterations: float
    nash_conv: float


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        default=[20],
        help="actions of each player (OpenSpiel takes minutes a game from 50 on)",
    )
    parser.add_argument("--games", type=int, default=3, help="games of each size")
    parser.add_argument("--batch", type=int, default=64, help="games in one call of the whole run inside jit")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    return parser.parse_args()


def matrices(count: int, size: int) -> list[np.ndarray]:
    """Payoffs of the row player, uniform in [-1, 1]."""
    return [np.random.default_rng(seed).uniform(-1, 1, (size, size)) for seed in range(count)]


def nash_conv(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Of mixed actions."""
    return float(np.max(matrix @ y) - np.min(x @ matrix))


def ours(size: int, count: int) -> Row:
    """The host loop over compiled iterations, one game after the other."""
    import jax

    from jaxmarl.games import zero_sum_game
    from jaxmarl.solvers.psro import NormalFormPsro, Psro, PsroSettings

    settings = PsroSettings(capacity=size, tolerance=TARGET)
    loops = [
        Psro(NormalFormPsro(zero_sum_game(matrix.astype(np.float32)), True, False), settings)
        for matrix in matrices(count, size)
    ]
    started = time.perf_counter()
    loops[0].run(jax.random.key(0))
    first = time.perf_counter() - started
    seconds, states = [], []
    for loop in loops:
        started = time.perf_counter()
        states.append(jax.block_until_ready(loop.run(jax.random.key(0))))
        seconds.append(time.perf_counter() - started)
    gaps = [state.rows()["nash_conv"][-1] for state in states]
    iterations = statistics.mean(int(state.iteration) for state in states)
    return Row(size, "jaxmarl", statistics.mean(seconds), first - seconds[0], iterations, float(max(gaps)))


def ours_in_a_batch(size: int, count: int) -> Row:
    """The whole run inside `jit`, for many games at once."""
    import jax
    import jax.numpy as jnp

    from jaxmarl.games import zero_sum_game
    from jaxmarl.solvers.psro import NormalFormPsro, PsroSettings, run_inside_jit

    settings = PsroSettings(capacity=size, tolerance=TARGET)
    games = jax.vmap(zero_sum_game)(jnp.asarray(np.stack(matrices(count, size)), jnp.float32))

    def run(game: Any) -> Any:
        return run_inside_jit(NormalFormPsro(game, True, False), settings, jax.random.key(0))

    started = time.perf_counter()
    compiled = jax.jit(jax.vmap(run)).lower(games).compile()
    compile_seconds = time.perf_counter() - started
    started = time.perf_counter()
    states = jax.block_until_ready(compiled(games))
    seconds = time.perf_counter() - started
    last = np.asarray(states.iteration) - 1
    gaps = np.asarray(states.nash_conv)[np.arange(count), last]
    name = f"jaxmarl, {count} games at once"
    return Row(size, name, seconds / count, compile_seconds, float(last.mean() + 1), float(gaps.max()))


def open_spiel(size: int, count: int) -> Row | None:
    """OpenSpiel's PSRO, iterations until its mixture's NashConv is below the target."""
    try:
        import pyspiel
        from open_spiel.python import policy as policies
        from open_spiel.python.algorithms.psro_v2 import best_response_oracle, psro_v2
    except ImportError as error:
        print(f"open-spiel is left out: {error}")
        return None
    seconds, iterations, gaps = [], [], []
    for matrix in matrices(count, size):
        game = pyspiel.convert_to_turn_based(pyspiel.create_matrix_game(matrix.tolist(), (-matrix).tolist()))
        first = policies.TabularPolicy(game)
        first.action_probability_array[:] = np.eye(size)[0]
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            solver = psro_v2.PSROSolver(
                game,
                best_response_oracle.BestResponseOracle(game=game, policy=None),
                sims_per_entry=1,
                initial_policies=[first, first],
                meta_strategy_method="nash",
                training_strategy_selector="probabilistic",
            )
        total, count_iterations = time.perf_counter() - started, 1
        while (gap := nash_conv(matrix, *_mixtures(game, solver, size))) > TARGET and count_iterations < 2 * size:
            started = time.perf_counter()
            solver.iteration()
            total += time.perf_counter() - started
            count_iterations += 1
        seconds.append(total)
        iterations.append(count_iterations)
        gaps.append(gap)
    return Row(size, "open-spiel psro_v2", statistics.mean(seconds), None, statistics.mean(iterations), max(gaps))


def _mixtures(game: Any, solver: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    states = [game.new_initial_state()]
    states.append(states[0].child(0))
    mixed = []
    for state, weights, population in zip(states, solver.get_meta_strategies(), solver.get_policies(), strict=True):
        strategy = np.zeros(size)
        for weight, policy in zip(weights, population, strict=True):
            for action, probability in policy.action_probabilities(state).items():
                strategy[action] += weight * probability
        mixed.append(strategy / strategy.sum())
    return mixed[0], mixed[1]


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    import jax
    from rich.console import Console
    from rich.table import Table

    jax.config.update("jax_enable_compilation_cache", False)
    device = f"{jax.devices()[0].device_kind}, {len(os.sched_getaffinity(0))} cores, jax {jax.__version__}"
    title = f"double oracle to a NashConv of {TARGET:g}; {device}"
    table = Table("size", "solver", "ms a game", "compile s", "iterations", "NashConv", "times ours", title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    rows: list[Row] = []
    for size in args.sizes:
        single = ours(size, args.games)
        group = [single, ours_in_a_batch(size, args.batch), open_spiel(size, args.games)]
        for row in (row for row in group if row):
            rows.append(row)
            table.add_row(
                str(row.size),
                row.solver,
                f"{1e3 * row.seconds_a_game:.4g}",
                "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}",
                f"{row.iterations:.1f}",
                f"{row.nash_conv:.1e}",
                f"{row.seconds_a_game / single.seconds_a_game:.3g}",
            )
        table.add_section()
    Console(width=120).print(table)
    if args.out:
        args.out.write_text(json.dumps({"device": device, "rows": [row._asdict() for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()

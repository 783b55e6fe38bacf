"""Dynamic regret in games that drift: restarts on a clock, restarts on a failed test, forgetting, and no restarts.

    python scripts/reproduce/drifting_games.py [--smoke] [--seeds 6] [--power 17] [--folder runs/drifting]

Payoffs stay those of a biased rock-paper-scissors, jump at half time to a game whose first row dominates, or turn into
it slowly. Prints the gap of what is played (NashConv a round, in percent of the spread of payoffs), restarts and
detection delays with their spread over seeds, and the slope of log regret in log T of restarted explore-then-commit
for random pairs of games; writes all of it to `results.json` and draws `drifting_games.png`.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes

from jaxmarl.games import zoo
from jaxmarl.games.normal_form import zero_sum_game
from jaxmarl.solvers import drifting
from jaxmarl.solvers.drifting import DriftingGame, DriftingResult
from jaxmarl.viz import style

Method = Callable[[DriftingGame, Any], DriftingResult]
NUM_WINDOWS = 64
DRIFTS = ("none", "switch", "linear")


def drift(path: str, horizon: int) -> DriftingGame:
    """A game by the kind of its drift; all have four knots, so that one compiled program plays any."""
    end = zero_sum_game(np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]]))
    half = horizon // 2
    knots = [0, half - 1, half, horizon - 1]
    levels: dict[str, list[float]] = {
        "none": [0.0] * 4,
        "switch": [0.0, 0.0, 1.0, 1.0],
        "linear": [knot / (horizon - 1) for knot in knots],
    }
    return drifting.drifting_game(zoo.biased_rps(), end, horizon, knots, levels[path], "linear")


def methods(horizon: int) -> dict[str, Method]:
    """What is compared; all but the last two see only what their own action earned."""
    epsilon = min(0.1, horizon**-0.2)
    learning = math.ceil(drifting.default_sample_constant(drift("none", horizon)) / epsilon**2)
    forgetting = (1 / horizon) ** (2 / 3)
    share = 1 / horizon
    rate = math.sqrt(8 * math.log(3 * horizon) / horizon)

    def play(**options: Any) -> Method:
        return lambda game, key: drifting.explore_then_commit(game, key, num_windows=NUM_WINDOWS, **options)

    return {
        "learn once": play(exploration=learning),
        "restart, Delta known": lambda game, key: drifting.restart_etc(game, key, num_windows=NUM_WINDOWS),
        "restart every T/8": play(exploration=min(learning, horizon // 16), block=horizon // 8),
        "restart on a failed test": lambda game, key: drifting.multiscale_test(game, key, num_windows=NUM_WINDOWS),
        "EXP3-IX, uncommitted": play(),
        "forgetting Hedge": play(learners=drifting.forgetting_hedge(forgetting)),
        "fixed share": play(learners=drifting.fixed_share(share, rate)),
    }


def measure(name: str, method: Method, horizon: int, seeds: int) -> dict[str, dict[str, Any]]:
    """A method's numbers for each kind of drift, seed by seed."""
    play = jax.jit(jax.vmap(method, in_axes=(None, 0)))
    cells = {}
    for path in DRIFTS:
        begin, game = time.perf_counter(), drift(path, horizon)
        result = play(game, jax.random.split(jax.random.key(0), seeds))
        spread = float(game.payoff_bounds()[1].max())
        delays = np.asarray(result.detection_delay(horizon // 2)) if path == "switch" else np.full(seeds, np.inf)
        cells[path] = {
            "gap": np.asarray(result.regret / horizon / spread).tolist(),
            "restarts": np.asarray(result.restarts).tolist(),
            "delay": [float(delay) if math.isfinite(delay) else None for delay in delays],
            "tested": np.asarray(result.phase_rounds[..., 2].sum(-1) / horizon).tolist(),
            "gaps": np.asarray(result.gaps.mean(0) / spread).tolist(),
            "window_ends": np.asarray(result.window_ends[0]).tolist(),
            "seconds": time.perf_counter() - begin,
        }
    print(f"{name}: {sum(cell['seconds'] for cell in cells.values()):.1f} s", flush=True)
    return cells


def regret_slope(powers: list[int], seeds: int) -> dict[str, Any]:
    """Regret of restarted explore-then-commit over horizons `2^p`, for random 3x3 zero-sum pairs that turn slowly."""
    means, errors = [], []
    for power in powers:

        def run(key: Any, horizon: int = 2**power) -> jax.Array:
            first, second, play = jax.random.split(key, 3)
            start, end = zoo.random_zero_sum(first, (3, 3)), zoo.random_zero_sum(second, (3, 3))
            return drifting.restart_etc(drifting.linear_drift(start, end, horizon), play).regret

        regret = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), seeds)))
        means.append(float(regret.mean()))
        errors.append(float(regret.std() / math.sqrt(seeds)))
    slope = float(np.polyfit(powers, np.log2(means), 1)[0])
    return {"powers": powers, "regret": means, "standard_error": errors, "slope": slope, "seeds": seeds}


def show(cells: dict[str, dict[str, Any]], slope: dict[str, Any], horizon: int) -> None:
    """Prints the tables."""
    from rich.console import Console
    from rich.table import Table

    columns = ("drift", "method", "gap a round, %", "dynamic regret", "restarts", "detection delay", "tests, % of T")
    table = Table(*columns, title=f"T = {horizon:,}: mean ± s.d. over seeds, in units of the spread of payoffs")
    for path in DRIFTS:
        for name, row in cells.items():
            cell = row[path]
            delays = [delay for delay in cell["delay"] if delay is not None]
            gap = 100 * np.array(cell["gap"])
            found = f"{np.mean(delays):,.0f} ± {np.std(delays):,.0f} ({len(delays)}/{len(gap)})" if delays else ""
            table.add_row(
                path,
                name,
                f"{gap.mean():.2f} ± {gap.std(ddof=1):.2f}",
                f"{horizon * gap.mean() / 100:,.0f}",
                f"{np.mean(cell['restarts']):.1f} ± {np.std(cell['restarts'], ddof=1):.1f}",
                found,
                f"{100 * np.mean(cell['tested']):.0f}",
            )
        table.add_section()
    console = Console(width=140)
    console.print(table)
    regrets = ", ".join(f"2^{p}: {r:,.0f}" for p, r in zip(slope["powers"], slope["regret"], strict=True))
    console.print(f"Restarted explore-then-commit, random pairs that turn slowly, {slope['seeds']} seeds: {regrets}")
    console.print(f"slope of log regret in log T: {slope['slope']:.3f} (3/4 in the limit)")


def draw(cells: dict[str, dict[str, Any]], slope: dict[str, Any], path: Path) -> Path:
    """Gaps over time for the two drifts, and regret against T."""
    figure = style.new_figure(13.5, 4.6)
    axes = figure.subplots(1, 3)
    for panel, path_name, title in zip(
        axes, ("switch", "linear"), ("One switch, at half time", "One slow turn"), strict=False
    ):
        for look, (name, row) in zip(style.SERIES, cells.items(), strict=False):
            cell = row[path_name]
            panel.plot(cell["window_ends"], 100 * np.array(cell["gaps"]), **look.line, label=name, linewidth=1.4)
        panel.set_xlabel("round", fontsize=style.BODY)
        style.quiet_axes(panel, grid="y")
        style.panel_title(panel, title)
        panel.set_ylim(0, 50)
    axes[0].set_ylabel("NashConv of what was played, % of payoff spread", fontsize=style.BODY)
    style.legend(figure, fontsize=style.SMALL)
    _draw_slope(axes[2], slope)
    return style.write_figure(figure, path)


def _draw_slope(axes: Axes, slope: dict[str, Any]) -> None:
    horizons, regret = 2.0 ** np.array(slope["powers"]), np.array(slope["regret"])
    axes.loglog(horizons, regret, "o-", color=style.ACCENT, markersize=4)
    limit = regret[0] * (horizons / horizons[0]) ** 0.75
    axes.loglog(horizons, limit, "--", color=style.FAINT)
    middle = (horizons[len(horizons) // 2], limit[len(horizons) // 2])
    axes.annotate(
        "slope 3/4", middle, (8, -4), textcoords="offset points", fontsize=style.SMALL, color=style.FAINT, va="top"
    )
    axes.set_xlabel("rounds T", fontsize=style.BODY)
    axes.set_ylabel("dynamic regret", fontsize=style.BODY)
    style.quiet_axes(axes, grid="y")
    style.panel_title(axes, f"Restarts, Delta known: slope {slope['slope']:.2f}")


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--power", type=int, default=17, help="T = 2^power rounds")
    parser.add_argument("--folder", type=Path, default=Path("runs/drifting"))
    args = parser.parse_args()
    power, seeds = (12, 2) if args.smoke else (args.power, args.seeds)
    horizon = 2**power
    cells = {name: measure(name, method, horizon, seeds) for name, method in methods(horizon).items()}
    slope = regret_slope([8, 10], 4) if args.smoke else regret_slope(list(range(12, 18)), 32)
    show(cells, slope, horizon)
    args.folder.mkdir(parents=True, exist_ok=True)
    results = {"horizon": horizon, "seeds": seeds, "cells": cells, "slope": slope}
    (args.folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(draw(cells, slope, args.folder / "drifting_games.png"))


if __name__ == "__main__":
    main()

"""Do Q-learning firms learn to collude, and do they punish deviations? (Calvano et al., AER 2020)

    python scripts/reproduce/collusion.py [--sessions 64] [--firms 2 3] [--cell-sessions 8] [--folder runs/collusion]
    python scripts/reproduce/collusion.py --smoke

Firms set one of 15 prices under logit demand, remember last period's prices, and learn by independent Q-learning until
their greedy policies have not changed for 100 000 periods. A session's profit gain is the share of the way from Nash to
monopoly profits that it earns over its limit cycle. Then firm 1 undercuts for one period and everybody follows its
policy again. The study is made at a representative point (α = 0.15, β = 4e-6), for each number of firms, and over a
coarse grid of learning rates α and of speeds β at which exploration ends, all of its sessions at once. The numbers go
to `collusion.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxmarl.core.files import replace_file
from jaxmarl.envs.pricing import LogitPricing
from jaxmarl.learners import RepeatedQConfig, repeated_q, run_until_stable
from jaxmarl.learners.greedy_play import cycle_mean, deviate, limit_cycle, profit_gain
from jaxmarl.learners.repeated_q import joint_table
from jaxmarl.learners.sessions import is_stable

ALPHA, BETA = 0.15, 4e-6
ALPHAS = (0.05, 0.1, 0.15, 0.2, 0.25)
BETAS = (4e-6, 8e-6, 1.2e-5, 1.6e-5, 2e-5)
PUBLISHED = {2: 0.85, 3: 0.64, 4: 0.56}  # at the representative point, read from the paper
PERIODS_SHOWN = 16
ROUNDING = 1e-5  # of discounted payoffs; a deviation to what would be played anyway gains nothing


def study(args: argparse.Namespace, firms: int, alpha: np.ndarray, beta: np.ndarray, label: str) -> dict[str, Any]:
    """Runs one session for each pair of settings: what they earn in the limit and after a deviation, as arrays."""
    from rich.console import Console

    console = Console(width=120)
    env, num_actions = LogitPricing(num_agents=firms, num_prices=15), 15
    params = env.default_params
    payoffs = env.stage_payoffs(params)
    config = RepeatedQConfig(stable_periods=args.stable)
    learner = repeated_q(payoffs, alpha, beta, config)
    start = time.perf_counter()
    with console.status(label) as status:

        def report(updates: int, metrics: dict[str, float]) -> None:
            done = f"{updates * config.steps_per_update:,} periods, {metrics['stable']:.0%} of sessions stable"
            status.update(f"{label}: {done}, {time.perf_counter() - start:.0f} s")

        most = -(-args.periods // config.steps_per_update)
        state = run_until_stable(learner, learner.init(jax.random.key(args.seed)), most, report=report)
    seconds = time.perf_counter() - start
    policies, table = jnp.swapaxes(learner.params(state), 1, 2), joint_table(payoffs)
    actions = jnp.moveaxis(jnp.indices((num_actions,) * firms), 0, -1).reshape(-1, firms)
    cycles = jax.jit(jax.vmap(partial(limit_cycle, num_actions=num_actions)))(policies, state.history)
    mean = jax.vmap(cycle_mean, (0, None))
    known = env.benchmarks(params)
    levels = (jnp.asarray(known[name].profits, jnp.float32) for name in ("nash", "monopoly"))
    respond = partial(deviate, payoffs=table, num_actions=num_actions, discount=config.discount)
    found = jax.jit(jax.vmap(partial(respond, num_periods=PERIODS_SHOWN)))(policies, cycles)
    return {
        "gain": np.asarray(profit_gain(mean(cycles, table), *levels)),
        "price": np.asarray(mean(cycles, env.prices(actions, params))).mean(-1),
        "length": np.asarray(cycles.length),
        "stable": np.asarray(is_stable(state, config)),
        "periods": np.asarray(state.periods),
        "paths": np.asarray(env.prices(found.actions, params)),
        "deviation_gain": np.asarray(found.gain),
        "immediate_gain": np.asarray(found.immediate_gain),
        "returned": np.asarray(found.returned),
        "periods_to_return": np.asarray(found.periods_to_return),
        "nash_price": float(known["nash"].prices[0]),
        "monopoly_price": float(known["monopoly"].prices[0]),
        "seconds": seconds,
        "session_periods": int(state.periods.sum()),
    }


def summary(found: dict[str, Any]) -> dict[str, float]:
    """The numbers of one study that the table shows."""
    gain, stable = found["gain"], found["stable"]
    names = ("gain_5", "gain_25", "gain_50", "gain_75", "gain_95")
    quantiles = np.quantile(gain, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {
        "sessions": len(gain),
        "gain": float(gain.mean()),
        "gain_error": float(gain.std() / len(gain) ** 0.5),
        "gain_deviation": float(gain.std()),
        **dict(zip(names, quantiles.tolist(), strict=True)),
        "price": float(found["price"].mean()),
        "stable": float(stable.mean()),
        "periods": float(found["periods"].mean()),
        "constant_price": float((found["length"] == 1).mean()),
        "deviation_unprofitable": float((found["deviation_gain"] < ROUNDING).mean()),
        "deviation_gain": float(found["deviation_gain"].mean()),
        "returned": float(found["returned"].mean()),
        "median_periods_to_return": float(np.median(found["periods_to_return"])),
        "session_periods_per_second": found["session_periods"] / found["seconds"],
    }


def run(args: argparse.Namespace) -> tuple[dict[str, Any], dict[int, dict[str, Any]], np.ndarray]:
    """The record that is written, the studies at the representative point, and the grid of mean profit gains."""
    points = {}
    for firms in args.firms:
        sessions = args.sessions if firms == 2 else max(args.sessions // 4, 2)
        points[firms] = study(args, firms, np.full(sessions, ALPHA), np.full(sessions, BETA), f"{firms} firms")
    pairs = np.repeat([(alpha, beta) for alpha in args.alphas for beta in args.betas], args.cell_sessions, axis=0)
    cells = study(args, 2, pairs[:, 0], pairs[:, 1], "grid")
    shape = len(args.alphas), len(args.betas), args.cell_sessions
    grid = cells["gain"].reshape(shape).mean(-1)
    record = {
        "settings": {name: value for name, value in vars(args).items() if name != "folder"},
        "point": {str(firms): summary(found) for firms, found in points.items()},
        "grid": {"alpha": args.alphas, "beta": args.betas, "gain": grid.tolist(), "all": summary(cells)},
        "response": {str(firms): found["paths"].mean(0).tolist() for firms, found in points.items()},
    }
    return record, points, grid


def print_tables(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    title = f"Q-learning firms: learning rate {ALPHA}, exploration ends at speed {BETA:g}"
    columns = ("sessions", "profit gain", "published", "price", "stable", "mean periods", "deviation does not pay")
    table = Table("firms", *columns, "returns", title=title)
    for firms, row in record["point"].items():
        published = f"about {PUBLISHED[int(firms)]:.2f}" if int(firms) in PUBLISHED else ""
        gain = f"{row['gain']:.3f} ± {row['gain_error']:.3f}"
        numbers = [str(row["sessions"]), gain, published, f"{row['price']:.4f}", f"{row['stable']:.0%}"]
        shares = [f"{row['deviation_unprofitable']:.0%}", f"{row['returned']:.0%}"]
        table.add_row(firms, *numbers, f"{row['periods']:,.0f}", *shares)
    console.print(table)
    grid = record["grid"]
    table = Table("rate", *(f"{beta:g}" for beta in grid["beta"]), title="Mean profit gain of two firms")
    for alpha, row in zip(grid["alpha"], grid["gain"], strict=True):
        table.add_row(f"{alpha:g}", *(f"{gain:.2f}" for gain in row))
    console.print(table)


def draw_grid(axes: Axes, args: argparse.Namespace, grid: np.ndarray) -> None:
    """Mean profit gain of each cell, written into it."""
    from jaxmarl.viz.style import BODY, DIVERGING, INK, panel_title

    low = np.floor(10 * min(grid.min(), 0.9)) / 10  # where the colour is white
    axes.imshow(grid, cmap=DIVERGING, vmin=2 * low - 1, vmax=1, origin="lower", aspect="auto")
    for (i, j), gain in np.ndenumerate(grid):
        colour = "white" if gain - low > 0.5 * (1 - low) else INK
        axes.text(j, i, f"{gain:.2f}", ha="center", va="center", color=colour, fontsize=BODY)
    axes.set_xticks(range(len(args.betas)), [f"{1e6 * beta:g}" for beta in args.betas])
    axes.set_yticks(range(len(args.alphas)), [f"{alpha:g}" for alpha in args.alphas])
    axes.tick_params(labelsize=BODY, length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("speed at which exploration ends, in 10⁻⁶ a period", fontsize=BODY, color=INK)
    axes.set_ylabel("learning rate", fontsize=BODY, color=INK)
    panel_title(axes, f"Profit gains of {grid.min():.2f} to {grid.max():.2f}")


def draw_gains(axes: Axes, found: dict[str, Any]) -> None:
    """Distribution of profit gains over sessions."""
    from jaxmarl.viz.style import ACCENT, BODY, FAINT, INK, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    gain = found["gain"]
    edges = np.arange(np.floor(min(gain.min(), 0.0) * 20), 21.5) / 20
    axes.hist(np.minimum(gain, edges[-1]), bins=edges.tolist(), color=ACCENT, edgecolor="white", linewidth=0.8)
    top = axes.get_ylim()[1] * 1.14
    axes.set_ylim(0, top)
    for place, name, side in ((0, "Nash", "left"), (1, "monopoly", "right")):
        axes.axvline(place, color=FAINT, linewidth=1, linestyle="--")
        axes.text(
            place + (0.015 if side == "left" else -0.015),
            top * 0.985,
            name,
            ha=side,
            va="top",
            color=INK,
            fontsize=BODY,
        )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("profit gain", fontsize=BODY, color=INK)
    axes.set_ylabel("sessions", fontsize=BODY, color=INK)
    panel_title(axes, f"Two firms gain {gain.mean():.2f} on average")


def draw_response(axes: Axes, found: dict[str, Any]) -> None:
    """Mean prices around the deviation of one firm."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    paths = found["paths"].mean(0)
    times = np.arange(len(paths)) - 1
    for level, name in ((found["nash_price"], "Nash"), (found["monopoly_price"], "monopoly")):
        axes.axhline(level, color=FAINT, linewidth=1)
        axes.text(times[-1], level, name, ha="right", va="bottom", color=INK, fontsize=BODY)
    axes.plot(times, paths[:, 0], **SERIES[0].marked, markersize=4, label="firm 1, which deviates in period 0")
    axes.plot(times, paths[:, 1], **SERIES[1].marked, markersize=4, label="firm 2")
    axes.set_ylim(found["nash_price"] - 0.03, found["monopoly_price"] + 0.04)
    axes.set_xlabel("period", fontsize=BODY, color=INK)
    axes.set_ylabel("mean price", fontsize=BODY, color=INK)
    legend(axes, loc="lower right", bbox_to_anchor=(1.0, 0.08))
    share = (found["deviation_gain"] < ROUNDING).mean()
    panel_title(axes, f"A deviation does not pay in {share:.0%} of sessions")


def draw_figure(args: argparse.Namespace, found: dict[str, Any], grid: np.ndarray, path: Path) -> Path:
    from jaxmarl.viz.style import new_figure, write_figure

    figure = new_figure(15, 4.4)
    left, middle, right = figure.subplots(1, 3)
    draw_grid(left, args, grid)
    draw_gains(middle, found)
    draw_response(right, found)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=64, help="with two firms; a quarter of them with more")
    parser.add_argument("--firms", type=int, nargs="+", default=[2], help="numbers of firms; the first one is drawn")
    parser.add_argument("--cell-sessions", type=int, default=8, help="sessions of each cell of the grid")
    parser.add_argument("--alphas", type=float, nargs="+", default=list(ALPHAS))
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    parser.add_argument("--periods", type=int, default=3_000_000, help="at most")
    parser.add_argument("--stable", type=int, default=100_000, help="periods without a change that end a session")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--folder", type=Path, default=Path("runs/collusion"))
    parser.add_argument("--smoke", action="store_true", help="a few periods: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.sessions, args.cell_sessions, args.alphas, args.betas = 4, 1, [0.1, 0.2], [1e-5, 2e-5]
        args.periods, args.stable = 50_000, 10_000
    return args


def main() -> None:
    """Learns, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    record, points, grid = run(args)
    record["seconds"] = time.perf_counter() - start
    print_tables(record)
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "collusion.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(args, points[args.firms[0]], grid, args.folder / "collusion.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

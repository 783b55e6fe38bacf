"""Is every member better off when bidders with budgets bid through one agent in repeated second-price auctions?

    python scripts/reproduce/coordinated_bidding.py [--markets 100] [--samples 8000] [--folder runs/coordinated]
    python scripts/reproduce/coordinated_bidding.py --smoke

Three rules (Chen et al. 2023): independent pacing, coordinated pacing and hybrid coordinated pacing, each at its fixed
point on a sample of auctions, in random markets whose members are alike and in markets where laws and budgets differ.
The numbers go to `coordinated_bidding.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.files import replace_file
from jaxmarl.solvers.auctions import PACING_RULES, pacing_fixed_point, symmetric_uniform_pacing

COALITIONS = ("coordinated", "hybrid")
KINDS = {"symmetric": True, "asymmetric": False}
LISTED = ((0.06, 0.06), (0.10, 0.02), (0.20, 0.05), (1.0, 0.01))  # budgets of two members, all laws uniform
RANKS = ("smallest", "middle", "largest")


def random_markets(
    key: Array, count: int, samples: int, symmetric: bool, members: int = 3
) -> tuple[Float[Array, "count samples members"], Float[Array, "count samples"], Float[Array, "count members"]]:
    """Values (powers of uniforms times a scale), outside bids (uniform) and budgets; alike or each member's own."""
    keys = jax.random.split(key, 5)
    shape = (count, 1, 1 if symmetric else members)
    power = jax.random.uniform(keys[0], shape, minval=0.5, maxval=2.5)
    scale = jax.random.uniform(keys[1], shape, minval=0.4, maxval=1.0)
    values = scale * jax.random.uniform(keys[2], (count, samples, members)) ** power
    outside = jax.random.uniform(keys[3], (count, samples))
    rates = jax.random.uniform(keys[4], shape[:1] + shape[2:], minval=0.01, maxval=0.1)
    return values, outside, jnp.broadcast_to(rates, (count, members))


def utilities_of(values: Array, outside: Array, rates: Array, iterations: int) -> dict[str, np.ndarray]:
    """Utilities `[markets, members]` at the fixed point of each rule."""

    def solve(rule: Any) -> np.ndarray:
        points = jax.lax.map(
            lambda market: pacing_fixed_point(*market, rule=rule, num_iterations=iterations).utilities,
            (values, outside, rates),
            batch_size=20,
        )
        return np.asarray(points, np.float64)

    return {rule: solve(rule) for rule in PACING_RULES}


def compare(args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, dict[str, np.ndarray]]]:
    """A row for each kind of market and coalition, and the utilities and budgets behind them."""
    rows, raw = [], {}
    for kind, symmetric in KINDS.items():
        markets = random_markets(jax.random.key(args.seed + symmetric), args.markets, args.samples, symmetric)
        found = utilities_of(*markets, args.iterations)
        raw[kind] = {**found, "rates": np.asarray(markets[2])}
        alone = found["independent"]
        for rule in COALITIONS:
            gain = found[rule] / alone - 1
            welfare = found[rule].sum(axis=1) / alone.sum(axis=1) - 1
            rows.append(
                {
                    "kind": kind,
                    "rule": rule,
                    "members better off": float((found[rule] >= alone).mean()),
                    "smallest gain": float(gain.min()),
                    "median gain": float(np.median(gain)),
                    "welfare gain": float(welfare.mean()),
                }
            )
    return rows, raw


def gains_by_budget(raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean relative gain of the members with the smallest to the largest budget, under each coalition."""
    order = np.argsort(raw["rates"], axis=1)
    gains = {}
    for rule in COALITIONS:
        gain = raw[rule] / raw["independent"] - 1
        gains[rule] = np.take_along_axis(gain, order, axis=1).mean(axis=0)
    return gains


def listed_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Two members, uniform laws: paces and utilities under each rule, with the closed form where there is one."""
    draws = jax.random.uniform(jax.random.key(args.seed + 2), (args.samples * 25, 3))
    rows = []
    for budgets in LISTED:
        for rule in PACING_RULES:
            point = pacing_fixed_point(draws[:, :2], draws[:, 2], jnp.array(budgets), rule=rule)
            alike = budgets[0] == budgets[1]
            row = {"budgets": budgets, "rule": rule, "pace": point.pace.tolist(), "utility": point.utilities.tolist()}
            rows.append({**row, "closed form": symmetric_uniform_pacing(budgets[0], 2, rule) if alike else None})
    return rows


def print_tables(rows: list[dict[str, Any]], listed: list[dict[str, Any]], markets: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    names = ("members better off", "smallest gain", "median gain", "welfare gain")
    table = Table("market", "rule", *names, title=f"{markets} random markets of each kind, against independent pacing")
    for row in rows:
        table.add_row(row["kind"], row["rule"], *(f"{row[name]:.1%}" for name in names))
    console.print(table)
    table = Table("budgets", "rule", "paces", "utilities", "closed form", title="Two members, uniform values")
    for row in listed:
        known = "" if row["closed form"] is None else "{:.4f}, {:.5f}".format(*row["closed form"])
        shown = ["{:.2f}, {:.2f}".format(*row["budgets"]), row["rule"], "{:.4f}, {:.4f}".format(*row["pace"])]
        table.add_row(*shown, "{:.5f}, {:.5f}".format(*row["utility"]), known)
    console.print(table)


def draw_figure(raw: dict[str, dict[str, np.ndarray]], path: Path) -> Path:
    """Every member's gain by joining a coalition, and the mean gains by budget (asymmetric markets)."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11, 4.4)
    left, right = figure.subplots(1, 2)
    looks = dict(zip(COALITIONS, SERIES, strict=False))
    quiet_axes(left, grid="y")
    markets = raw["asymmetric"]
    left.axhline(0, color=FAINT, linewidth=1)
    for rule in COALITIONS:
        gain = 100 * (markets[rule] / markets["independent"] - 1)
        left.scatter(markets["independent"], gain, s=14, **looks[rule].dots, alpha=0.6, label=rule)
    left.set(xscale="log")
    left.set_ylim(bottom=min(0.0, left.get_ylim()[0]))
    left.set_xlabel("a member's utility pacing alone", fontsize=BODY, color=INK)
    left.set_ylabel("gain in the coalition, %", fontsize=BODY, color=INK)
    legend(left, loc="upper right", handlelength=1)
    panel_title(left, "Every member gains by joining")
    quiet_axes(right, grid="y")
    places = np.arange(len(RANKS))
    for shift, (rule, gain) in zip((-0.2, 0.2), gains_by_budget(markets).items(), strict=True):
        right.bar(places + shift, 100 * gain, 0.36, **looks[rule].bars, label=rule)
    right.set_xticks(places, RANKS)
    right.set_xlabel("budget among the three members", fontsize=BODY, color=INK)
    right.set_ylabel("mean gain in utility, %", fontsize=BODY, color=INK)
    right.set_ylim(top=1.2 * right.get_ylim()[1])
    legend(right, loc="upper right", ncols=2)
    panel_title(right, "Coordination favours small budgets, the hybrid less")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markets", type=int, default=100)
    parser.add_argument("--samples", type=int, default=8000, help="auctions sampled of each market")
    parser.add_argument("--iterations", type=int, default=200, help="of the search for a fixed point")
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--folder", type=Path, default=Path("runs/coordinated"))
    parser.add_argument("--smoke", action="store_true", help="a few small markets: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.markets, args.samples, args.iterations = 10, 1000, 60
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    rows, raw = compare(args)
    listed = listed_rows(args)
    print_tables(rows, listed, args.markets)
    settings = {name: getattr(args, name) for name in ("markets", "samples", "iterations", "seed")}
    gains = {rule: gain.tolist() for rule, gain in gains_by_budget(raw["asymmetric"]).items()}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "markets": rows, "listed": listed}
    record["gains by budget"] = dict(zip(("ranks", *gains), (RANKS, *gains.values()), strict=True))
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "coordinated_bidding.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(raw, args.folder / "coordinated_bidding.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

"""Do the intervals of a pacing equilibrium cover the truth, and what does an A/B test by budget splitting find?

    python scripts/reproduce/fppe_coverage.py [--replications 2000] [--items 200 1000 5000] [--folder runs/fppe]
    python scripts/reproduce/fppe_coverage.py --smoke

Items are sampled from a continuum market known in closed form: two buyers with values uniform on [0, 1], in one case
both pacing, in the other one of them bidding her values. Coverage of the 95 % plug-in intervals (Liao and Kroer 2023)
is counted over replications; the A/B tests multiply the first buyer's values by a growing lift in half of the items.
The numbers go to `fppe_coverage.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxmarl.core.files import replace_file
from jaxmarl.solvers.auctions import ab_tests, fppe_coverage, rejections, uniform_pair_fppe, uniform_values

MARKETS = {"one buyer unpaced": (0.6, 0.1), "both buyers pace": (0.3, 0.2)}
LIFTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
QUANTITIES = ("β1", "β2", "revenue", "Nash welfare")


def coverage_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each market, number of items and estimated quantity that is uncertain."""
    rows = []
    for market, budgets in MARKETS.items():
        truth = uniform_pair_fppe(jnp.array(budgets))
        limits = [*np.diag(truth.covariance), truth.revenue_variance, truth.nash_variance]
        for num_items in args.items:
            found = fppe_coverage(
                jax.random.key(args.seed),
                uniform_values,
                jnp.array(budgets),
                jnp.asarray(truth.multipliers, jnp.float32),
                truth.revenue,
                truth.nash_welfare,
                num_items=num_items,
                num_replications=args.replications,
            )
            shares = [*found.multipliers, found.revenue, found.nash]
            widths = [*found.multipliers_width, found.revenue_width, found.nash_width]
            spreads = [*found.multipliers_deviation, found.revenue_deviation, found.nash_deviation]
            for name, limit, share, width, spread in zip(QUANTITIES, limits, shares, widths, spreads, strict=True):
                if limit > 1e-12:  # the others are known with certainty
                    row = {"market": market, "items": num_items, "quantity": name, "coverage": float(share)}
                    rows.append({**row, "width": float(width), "deviation": float(spread), "limit": float(limit**0.5)})
    return rows


def lifted(values: Array, lift: float | Array) -> Array:
    """The values under treatment: the first buyer's are higher."""
    return values * jnp.array([1 + lift, 1.0])


def power_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of items and lift: how often an effect is found, and its mean estimate."""
    rows = []
    for num_items in args.items:
        for lift in LIFTS:
            tests = ab_tests(
                jax.random.key(args.seed + 1),
                uniform_values,
                jax.tree_util.Partial(lifted, lift=lift),
                jnp.array(MARKETS["one buyer unpaced"]),
                num_items=num_items,
                num_replications=args.replications,
            )
            power = {
                "revenue": float(rejections(tests.revenue_interval)),
                "nash": float(rejections(tests.nash_interval)),
            }
            rows.append({"items": num_items, "lift": lift, **power, "effect": float(tests.revenue_effect.mean())})
    return rows


def print_tables(coverage: list[dict[str, Any]], power: list[dict[str, Any]], replications: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    error = (0.95 * 0.05 / replications) ** 0.5
    title = f"Coverage of 95 % intervals, {replications} replications (standard error {error:.4f})"
    table = Table("market", "items", "quantity", "coverage", "mean width", "s.d. by √items", "its limit", title=title)
    for row in coverage:
        numbers = [f"{row['coverage']:.4f}", *(f"{row[name]:.5f}" for name in ("width", "deviation", "limit"))]
        table.add_row(row["market"], str(row["items"]), row["quantity"], *numbers)
    console.print(table)
    table = Table("items", "lift", "revenue: found", "Nash welfare: found", "mean revenue effect", title="A/B tests")
    for row in power:
        numbers = [f"{row['lift']:.2f}", f"{row['revenue']:.3f}", f"{row['nash']:.3f}", f"{row['effect']:+.4f}"]
        table.add_row(str(row["items"]), *numbers)
    console.print(table)


def draw_figure(coverage: list[dict[str, Any]], power: list[dict[str, Any]], replications: int, path: Path) -> Path:
    """Coverage of each quantity against the number of items, and the power curves."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11, 4.4)
    left, right = figure.subplots(1, 2)
    looks = dict(zip(QUANTITIES, SERIES, strict=False))
    error = 2 * (0.95 * 0.05 / replications) ** 0.5
    quiet_axes(left, grid="y")
    left.axhspan(0.95 - error, 0.95 + error, color=FAINT, alpha=0.2, linewidth=0, label="95 % ± 2 s.e.")
    for market, dash in zip(MARKETS, ("-", "--"), strict=True):
        for name in QUANTITIES:
            rows = [row for row in coverage if (row["market"], row["quantity"]) == (market, name)]
            if rows:
                places, heights = [row["items"] for row in rows], [row["coverage"] for row in rows]
                left.plot(places, heights, **looks[name].dots, linestyle=dash, label=f"{name}, {market}")
    left.set_xscale("log")
    left.set_xlabel("items", fontsize=BODY, color=INK)
    legend(left, fontsize=BODY - 2, loc="lower right")
    panel_title(left, "Coverage of 95 % intervals")
    quiet_axes(right, grid="y")
    sizes = list(dict.fromkeys(row["items"] for row in power))
    for num_items, look in zip(sizes, SERIES, strict=False):
        rows = [row for row in power if row["items"] == num_items]
        lifts, found = [row["lift"] for row in rows], [row["revenue"] for row in rows]
        right.plot(lifts, found, **look.marked, label=f"{num_items} items")
    right.axhline(0.05, color=FAINT, linewidth=0.8)
    right.set_ylim(0, 1.02)
    right.set_xlabel("lift of the first buyer's values", fontsize=BODY, color=INK)
    legend(right)
    panel_title(right, "A revenue effect is found")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--items", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--folder", type=Path, default=Path("runs/fppe"))
    parser.add_argument("--smoke", action="store_true", help="a few replications: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.replications, args.items = 40, [100, 200]
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    coverage, power = coverage_rows(args), power_rows(args)
    print_tables(coverage, power, args.replications)
    settings = {"replications": args.replications, "items": args.items, "seed": args.seed}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "coverage": coverage, "power": power}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "fppe_coverage.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(coverage, power, args.replications, args.folder / "fppe_coverage.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

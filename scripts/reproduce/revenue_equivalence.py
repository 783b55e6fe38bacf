"""Five formats, one revenue: what the seller earns when bidders are in equilibrium, and what risk aversion changes.

    python scripts/reproduce/revenue_equivalence.py [--auctions 131072] [--folder runs/auctions]
    python scripts/reproduce/revenue_equivalence.py --smoke

Bidders with independent uniform values bid their equilibrium bids in the environments; mean revenue is compared with
`(n - 1) / (n + 1)`, which is the same for all of these formats (Myerson 1981). Risk aversion (CRRA) raises bids in
first-price auctions and nothing in second-price ones. The numbers go to `revenue_equivalence.json` and `.png`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.experiments.auctions import AuctionSetting, simulated_revenue

FORMATS = ("first_price", "second_price", "third_price", "all_pay", "war_of_attrition")
RISKS = (1.0, 0.75, 0.5, 0.25)
BIDDERS = (2, 3, 4, 5, 6, 8, 10)


def revenue_row(setting: AuctionSetting, seed: int, num_auctions: int) -> dict[str, Any]:
    """Revenue in the environment beside the closed form."""
    env, params = setting.build()
    known = env.benchmarks(params)
    mean, error = simulated_revenue(env, params, jax.jit(known["bid"]), jax.random.key(seed), num_auctions)
    row = {"payment": setting.payment, "bidders": setting.num_bidders, "risk": setting.risk}
    return {**row, "revenue": mean, "standard_error": error, "theory": float(known["revenue"])}


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each format, number of bidders and (in first- and second-price auctions) attitude to risk."""
    settings = [
        AuctionSetting(payment, n, risk=risk, ties="split")
        for payment in FORMATS
        for n in args.bidders
        for risk in (RISKS if payment in FORMATS[:2] else RISKS[:1])
        if n > 2 or payment != "third_price"
    ]
    return [revenue_row(setting, args.seed + k, args.auctions) for k, setting in enumerate(settings)]


def print_tables(rows: list[dict[str, Any]], bidders: list[int], num_auctions: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    title = f"Revenue of {num_auctions} auctions (standard error in the last digits), risk-neutral bidders"
    table = Table("bidders", "(n - 1) / (n + 1)", *(name.replace("_", " ") for name in FORMATS), title=title)
    for n in bidders:
        found = {row["payment"]: row for row in rows if row["bidders"] == n and row["risk"] == 1}
        cells = [_with_error(found[name]) if name in found else "" for name in FORMATS]
        table.add_row(str(n), f"{(n - 1) / (n + 1):.4f}", *cells)
    console.print(table)
    table = Table("bidders", *(f"risk {risk:g}" for risk in RISKS), "second price, risk ¼", title="First price")
    for n in bidders:
        first = [row for row in rows if row["bidders"] == n and row["payment"] == "first_price"]
        second = [row for row in rows if row["bidders"] == n and row["payment"] == "second_price"]
        table.add_row(str(n), *(f"{_with_error(row)} / {row['theory']:.4f}" for row in first), _with_error(second[-1]))
    console.print(table)
    worst = max(abs(row["revenue"] - row["theory"]) / row["standard_error"] for row in rows)
    console.print(f"largest of {len(rows)} deviations from theory: {worst:.1f} standard errors", highlight=False)


def _with_error(row: dict[str, Any]) -> str:
    return f"{row['revenue']:.4f}({1e4 * row['standard_error']:.0f})"


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """Revenue against the number of bidders; deviations from theory; risk aversion."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(12.5, 4.2)
    left, middle, right = figure.subplots(1, 3)
    bidders = np.linspace(2, max(row["bidders"] for row in rows), 200)
    quiet_axes(left, grid="y")
    left.plot(bidders, (bidders - 1) / (bidders + 1), color=FAINT, linewidth=1.2, label=r"$(n-1)/(n+1)$")
    quiet_axes(middle, grid="y")
    middle.axhspan(-2, 2, color=FAINT, alpha=0.18, linewidth=0)
    for k, (name, look) in enumerate(zip(FORMATS, SERIES, strict=False)):
        chosen = [row for row in rows if row["payment"] == name and row["risk"] == 1]
        places = np.array([row["bidders"] for row in chosen]) + 0.11 * (k - 2)
        means, errors = (np.array([row[key] for row in chosen]) for key in ("revenue", "standard_error"))
        deviations = (means - [row["theory"] for row in chosen]) / errors
        label = name.replace("_", " ")
        dots = {**look.dots, "linestyle": "none"}
        left.errorbar(places, means, 2 * errors, **dots, markersize=4, elinewidth=1, label=label)
        middle.plot(places, deviations, **dots, markersize=5)
    legend(left, fontsize=BODY - 1, loc="lower right")
    panel_title(left, "Five formats earn the same")
    middle.set_ylim(-4, 4)
    middle.set_ylabel("standard errors from theory", fontsize=BODY, color=INK)
    panel_title(middle, "Differences are noise")
    quiet_axes(right, grid="y")
    for risk, look in zip(RISKS, SERIES, strict=False):
        chosen = [row for row in rows if row["payment"] == "first_price" and row["risk"] == risk]
        counts = [row["bidders"] for row in chosen]
        right.plot(counts, [row["theory"] for row in chosen], **look.line, linewidth=1.3)
        right.scatter(counts, [row["revenue"] for row in chosen], **look.dots, s=16, label=f"risk {risk:g}")
    legend(right, fontsize=BODY - 1, loc="lower right")
    panel_title(right, "Risk aversion raises first-price bids")
    for axes in (left, middle, right):
        axes.set_xlabel("bidders", fontsize=BODY, color=INK)
    for axes in (left, right):
        axes.set_ylim(0.25, 1.0)
        axes.set_ylabel("revenue", fontsize=BODY, color=INK)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--auctions", type=int, default=1 << 17, help="of each format")
    parser.add_argument("--bidders", type=int, nargs="+", default=list(BIDDERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/auctions"))
    parser.add_argument("--smoke", action="store_true", help="few auctions: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.auctions, args.bidders = 8192, [2, 3]
    return args


def main() -> None:
    """Simulates, prints and draws everything."""
    args = arguments()
    start = time.perf_counter()
    rows = measure(args)
    print_tables(rows, args.bidders, args.auctions)
    record = {"auctions": args.auctions, "seed": args.seed, "seconds": time.perf_counter() - start, "rows": rows}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "revenue_equivalence.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(rows, args.folder / "revenue_equivalence.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

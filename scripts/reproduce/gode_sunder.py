"""Are traders without intelligence efficient? Continuous double auctions of Gode and Sunder (1993).

    python scripts/reproduce/gode_sunder.py [--runs 1500] [--ticks 5000] [--folder runs/gode_sunder]
    python scripts/reproduce/gode_sunder.py --smoke

ZI-U traders name any price, ZI-C traders none at which they would lose. Markets: ten buyers and ten sellers of one unit
each; six and six of four units each, traded in order of value, as in the original experiments. The published
efficiencies of the five original markets, which had other values, are ZI-U 90.0 90.0 76.7 48.8 86.0, ZI-C 99.9 99.2
99.0 98.2 97.1. The numbers go to `gode_sunder.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.envs.markets import ContinuousDoubleAuction
from jaxmarl.envs.markets.simulate import simulate

MARKETS = {"10 + 10 traders, 1 unit": (10, 1), "6 + 6 traders, 4 units": (6, 4)}
TRADERS = {"zi_c": "ZI-C", "zi_u": "ZI-U"}


def play(args: argparse.Namespace, market: str, trader: str) -> dict[str, Any]:
    """Efficiency and prices of one kind of traders in one market."""
    size, units = MARKETS[market]
    env = ContinuousDoubleAuction(size, size, units, num_steps=args.ticks)
    params = env.default_params
    known = env.benchmarks(params)

    @jax.jit
    def run(key):
        def keep(info):
            return info["trade"], jnp.where(info["trade"], info["price"], 0.0)

        _, state, (trades, prices) = simulate(env, params, known[trader], (), key, args.runs, keep)
        return state.surplus, trades, prices

    surplus, trades, prices = (np.asarray(x) for x in run(jax.random.key(args.seed)))
    efficiency, counts = surplus / known["max_surplus"], trades.sum(axis=0)
    mean_price = prices.sum(axis=0)[counts > 0] / counts[counts > 0]
    first = [int(t) for t in np.flatnonzero(trades[:, 0])]
    return {
        "market": market,
        "traders": TRADERS[trader],
        "efficiency": float(efficiency.mean()),
        "standard_error": float(efficiency.std() / np.sqrt(args.runs)),
        "trades": float(counts.mean()),
        "price": float(mean_price.mean()),
        "price_std": float(mean_price.std()),
        "prices_of_first_run": [float(prices[t, 0]) for t in first],
        "values": np.asarray(params.values).ravel().tolist(),
        "units": units,
        "buyers": size,
    }


def print_table(rows: list[dict[str, Any]], runs: int) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = ("market", "traders", "efficiency", "trades", "mean price", "its s.d. over runs")
    table = Table(*heads, title=f"Continuous double auctions, {runs} runs")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        efficiency = f"{100 * row['efficiency']:.2f} ± {100 * row['standard_error']:.2f} %"
        numbers = [f"{row[key]:.2f}" for key in ("trades", "price", "price_std")]
        table.add_row(row["market"], row["traders"], efficiency, *numbers)
    Console(width=120).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """Supply and demand, with the prices of one run of each kind of traders in order of trading."""
    from jaxmarl.viz.style import BODY, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11, 4.4)
    for axes, market in zip(figure.subplots(1, 2), MARKETS, strict=True):
        quiet_axes(axes, grid="y")
        of_market = [row for row in rows if row["market"] == market]
        size = of_market[0]["buyers"] * of_market[0]["units"]
        values = np.array(of_market[0]["values"])
        demand, supply = np.sort(values[:size])[::-1], np.sort(values[size:])
        edges = np.arange(size + 1)
        axes.stairs(demand, edges, baseline=None, color=INK, linewidth=1.2, label="demand")
        axes.stairs(supply, edges, baseline=None, color=INK, linewidth=1.2, linestyle="--", label="supply")
        for row, look in zip(of_market, SERIES, strict=False):
            prices = row["prices_of_first_run"]
            label = f"{row['traders']}: {100 * row['efficiency']:.1f} % efficient"
            axes.scatter(np.arange(len(prices)) + 0.5, prices, **look.dots, s=25, label=label)
        axes.set_ylim(0, 240)
        axes.set_xlabel("units, and trades of one run in order", fontsize=BODY, color=INK)
        axes.set_ylabel("price", fontsize=BODY, color=INK)
        legend(axes, ncols=2, loc="upper left")
        panel_title(axes, market)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--ticks", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1993)
    parser.add_argument("--folder", type=Path, default=Path("runs/gode_sunder"))
    parser.add_argument("--smoke", action="store_true", help="a few short runs: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.runs, args.ticks = 16, 500
    return args


def main() -> None:
    """Plays, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    rows = [play(args, market, trader) for market in MARKETS for trader in TRADERS]
    print_table(rows, args.runs)
    seconds = time.perf_counter() - start
    settings = {"runs": args.runs, "ticks": args.ticks, "seed": args.seed}
    args.folder.mkdir(parents=True, exist_ok=True)
    record = {"settings": settings, "seconds": seconds, "rows": rows}
    written = replace_file(args.folder / "gode_sunder.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(rows, args.folder / "gode_sunder.png")
    print(f"{seconds:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

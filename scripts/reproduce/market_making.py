"""The table of Avellaneda and Stoikov (2008): what managing inventory costs, and what risk it takes away.

    python scripts/reproduce/market_making.py [--paths 20000] [--folder runs/market_making]
    python scripts/reproduce/market_making.py --smoke

Quotes of Avellaneda and Stoikov, symmetric ones with the same spread, stationary ones of Guéant, Lehalle and
Fernandez-Tapia, the exact solution, and constant quotes are simulated on the same market; beside each simulated mean
stands its exact value by recursion. One day of quotes and inventory is drawn, and the depth of a book of random orders.
The numbers go to `market_making.json`, the figures to `market_making.png` and `depth.png` in `--folder`.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.envs.markets import MarketMaking, ZeroIntelligenceBook
from jaxmarl.envs.markets import inventory_quotes as quotes
from jaxmarl.envs.markets.simulate import simulate

RISK_AVERSIONS = (0.1, 0.01, 0.5)
NAMES = {
    "avellaneda_stoikov": "Avellaneda-Stoikov",
    "symmetric": "symmetric",
    "glft": "Guéant et al.",
    "exact": "exact, |q| ≤ 10",
    "constant": "constant 1/k",
}


def policies(env: MarketMaking, params: Any) -> dict[str, tuple[MarketMaking, Any, np.ndarray]]:
    """Market, policy and table of quotes of each name; the exact solution has a limit of 10 units."""
    limited = MarketMaking(env.num_steps, min_offset=env.min_offset, max_offset=env.max_offset, max_inventory=10)
    table, _ = quotes.exact_quotes(params, 10, env.num_steps)
    found = {"exact": (limited, quotes.table_policy(limited, table, "exact"), table)}
    for name, rule in quotes.RULES.items():
        table = quotes.quote_table(rule, params, env.num_steps, max_inventory=60)
        found[name] = (env, quotes.rule_policy(env, rule, name), table)
    return {name: found[name] for name in NAMES}


def play(args: argparse.Namespace, market: MarketMaking, policy: Any, params: Any) -> tuple[np.ndarray, ...]:
    """P&L and final inventory of every path, and the mean spread."""

    def spread(info):
        return info["spread"].mean()

    @jax.jit
    def run(key):
        _, state, spreads = simulate(market, params, policy, params, key, args.paths, spread)
        return state.gain, state.inventory, spreads.mean()

    return tuple(np.asarray(x, np.float64) for x in run(jax.random.key(args.seed)))


def certainty_equivalent(market: MarketMaking, params: Any, table: np.ndarray) -> float | None:
    """Exactly, or None where it hangs on inventories that the table cuts off (heavy tails of unmanaged risk)."""
    size = table.shape[1] // 2
    whole = quotes.exact_values(table, market, params)["certainty_equivalent"]
    if market.max_inventory:
        return whole
    inner = table[:, size // 3 : table.shape[1] - size // 3]
    part = quotes.exact_values(inner, market, params)["certainty_equivalent"]
    return whole if abs(whole - part) < 0.05 else None


def rows_of(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each risk aversion and policy."""
    env, rows = MarketMaking(min_offset=-math.inf, max_offset=math.inf), []
    for gamma in RISK_AVERSIONS:
        params = replace(env.default_params, risk_aversion=jnp.asarray(gamma, float))
        for name, (market, policy, table) in policies(env, params).items():
            gain, held, spread = play(args, market, policy, params)
            exact = quotes.exact_values(table, market, params)
            rows.append(
                {
                    "risk_aversion": gamma,
                    "quotes": name,
                    "spread": float(spread) if name != "exact" else None,
                    "pnl": float(gain.mean()),
                    "pnl_exact": exact["pnl"],
                    "pnl_std": float(gain.std()),
                    "inventory_std": float(held.std()),
                    "worst_5_percent": float(np.sort(gain)[: max(1, args.paths // 20)].mean()),
                    "certainty_equivalent": certainty_equivalent(market, params, table),
                    "pnl_sample": gain[:5000].tolist() if gamma == RISK_AVERSIONS[0] else [],
                }
            )
    return rows


def print_table(rows: list[dict[str, Any]], paths: int) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = ("aversion", "quotes", "spread", "P&L", "exactly", "s.d.", "s.d. of q", "worst 5 %", "certainty equiv.")
    table = Table(*heads, title=f"Market making, {paths} days of 200 steps")
    for column in table.columns[2:]:
        column.justify = "right"
    keys = ("spread", "pnl", "pnl_exact", "pnl_std", "inventory_std", "worst_5_percent", "certainty_equivalent")
    for gamma in RISK_AVERSIONS:
        table.add_section()
        for row in (row for row in rows if row["risk_aversion"] == gamma):
            numbers = ["" if row[key] is None else f"{row[key]:.3f}" for key in keys]
            table.add_row(str(gamma), NAMES[row["quotes"]], *numbers)
    Console(width=120).print(table)


def one_day(seed: int) -> dict[str, np.ndarray]:
    """Price, quotes and inventory of a day of Avellaneda and Stoikov's dealer."""
    env = MarketMaking(min_offset=-math.inf, max_offset=math.inf)
    params = env.default_params
    policy = quotes.rule_policy(env, quotes.avellaneda_stoikov_rule, "dealer")
    _, _, info = simulate(env, params, policy, params, jax.random.key(seed), 1, lambda info: info)
    found = {name: np.asarray(info[name], np.float64)[:, 0] for name in ("price", "inventory", "offsets")}
    # offsets were quoted around the price before it moved
    found["mid"] = np.append(float(params.initial_price), found["price"][:-1])
    return found


def draw_figure(rows: list[dict[str, Any]], seed: int, path: Path) -> Path:
    """A day's quotes and inventory, and the distributions of P&L."""
    from jaxmarl.viz.style import (
        ACCENT,
        BODY,
        FAINT,
        GAIN,
        INK,
        LOSS,
        SERIES,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        write_figure,
    )

    figure = new_figure(11.5, 5.2)
    grid = figure.add_gridspec(2, 2, height_ratios=[2.2, 1], width_ratios=[1.5, 1])
    top, bottom, right = (figure.add_subplot(x) for x in (grid[0, 0], grid[1, 0], grid[:, 1]))
    day = one_day(seed)
    clock = np.arange(len(day["mid"])) / len(day["mid"])
    quiet_axes(top, grid="y")
    top.step(clock, day["mid"] + day["offsets"][:, 1], "--", where="post", color=LOSS, linewidth=1, label="ask")
    top.step(clock, day["mid"], where="post", color=INK, linewidth=1, label="mid price")
    top.step(clock, day["mid"] - day["offsets"][:, 0], where="post", color=GAIN, linewidth=1, label="bid")
    legend(top, ncols=3, loc="upper left")
    low, high = top.get_ylim()
    top.set_ylim(low, high + 0.12 * (high - low))
    panel_title(top, "Quotes of a day lean against the inventory")
    quiet_axes(bottom, grid="y")
    bottom.step(clock, day["inventory"], where="post", color=ACCENT, linewidth=1.2)
    bottom.axhline(0, color=FAINT, linewidth=0.8)
    bottom.set_ylabel("inventory", fontsize=BODY, color=INK)
    bottom.set_xlabel("time of day", fontsize=BODY, color=INK)
    quiet_axes(right)
    samples = {row["quotes"]: row["pnl_sample"] for row in rows if row["pnl_sample"]}
    bins = np.linspace(0, 120, 61).tolist()
    for name, look in zip(("avellaneda_stoikov", "symmetric", "glft"), SERIES, strict=False):
        label = f"{NAMES[name]}: {np.mean(samples[name]):.1f} ± {np.std(samples[name]):.1f}"
        right.hist(samples[name], bins=bins, density=True, histtype="step", **look.line, linewidth=1.5, label=label)
    right.set_yticks([])
    right.spines["left"].set_visible(False)
    right.set_xlabel("P&L of a day", fontsize=BODY, color=INK)
    low, high = right.get_ylim()
    right.set_ylim(low, 1.25 * high)
    legend(right, loc="upper left")
    panel_title(right, "Risk, at a risk aversion of 0.1")
    return write_figure(figure, path)


def draw_depth(seed: int, path: Path) -> Path:
    """A book after 2000 random orders."""
    from jaxmarl.viz import plot_depth

    env = ZeroIntelligenceBook(warm_up=2000)
    _, state = jax.jit(env.reset)(jax.random.key(seed), env.default_params)
    book = state.book
    return plot_depth(np.asarray(book.price), np.asarray(book.quantity), path, "A book after 2000 random orders")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paths", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=2008)
    parser.add_argument("--folder", type=Path, default=Path("runs/market_making"))
    parser.add_argument("--smoke", action="store_true", help="a few paths: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.paths = 200
    return args


def main() -> None:
    """Simulates, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    rows = rows_of(args)
    print_table(rows, args.paths)
    args.folder.mkdir(parents=True, exist_ok=True)
    figures = [
        draw_figure(rows, args.seed, args.folder / "market_making.png"),
        draw_depth(args.seed, args.folder / "depth.png"),
    ]
    kept = [{key: value for key, value in row.items() if key != "pnl_sample"} for row in rows]
    seconds = time.perf_counter() - start
    record = {"settings": {"paths": args.paths, "seed": args.seed}, "seconds": seconds, "rows": kept}
    written = replace_file(args.folder / "market_making.json", (json.dumps(record, indent=1) + "\n").encode())
    print(f"{seconds:.0f} s; wrote {written}, {figures[0]} and {figures[1]}")


if __name__ == "__main__":
    main()

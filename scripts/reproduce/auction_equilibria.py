"""Do gradient steps on discretised auctions find the equilibria that theory knows?

    python scripts/reproduce/auction_equilibria.py [--levels 64] [--npga] [--folder runs/auctions]
    python scripts/reproduce/auction_equilibria.py --smoke

Sixteen sealed-bid auctions, each solved by SODA (Bichler, Fichtl and Oberlechner 2025) from a random start on equally
many types and bids, ties lost by all; unequal bidders by Frank-Wolfe steps. Learned bids are set beside the exact ones.
With `--npga` the first-price auctions of 2, 3 and 5 uniform bidders are also solved by neural pseudo-gradient ascent,
from several seeds. The numbers go to `auction_equilibria.json` and `.png` in `--folder`.
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
from jaxmarl.experiments.auctions import AuctionAnswer, AuctionSetting, answer_record, solve_auction
from jaxmarl.solvers.auctions.bayes_nash import NPGAConfig, npga

SETTINGS = (
    AuctionSetting("first_price", 2, title="First price, n = 2"),
    AuctionSetting("first_price", 3, title="First price, n = 3"),
    AuctionSetting("first_price", 5, title="First price, n = 5"),
    AuctionSetting("first_price", 2, "power", exponent=2.0, title="First price, F = v², n = 2"),
    AuctionSetting("first_price", 3, "power", exponent=0.5, title="First price, F = √v, n = 3"),
    AuctionSetting("first_price", 2, reserve=0.5, title="First price, reserve ½, n = 2"),
    AuctionSetting("first_price", 2, risk=0.5, title="First price, risk ½, n = 2"),
    AuctionSetting("first_price", 2, highs=(1.0, 2.0), max_bid=1.0, title="First price, values to 1 and 2"),
    AuctionSetting("first_price", 2, highs=(1.0, 4 / 3), max_bid=1.0, title="First price, values to 1 and 4/3"),
    AuctionSetting("first_price", 2, "affiliated", title="First price, affiliated"),
    AuctionSetting("second_price", 2, title="Second price, n = 2"),
    AuctionSetting("second_price", 2, "wallet", title="Second price, wallets"),
    AuctionSetting("second_price", 3, "mineral_rights", title="Second price, mineral rights"),
    AuctionSetting("all_pay", 3, title="All-pay, n = 3"),
    AuctionSetting("third_price", 3, title="Third price, n = 3"),
    AuctionSetting("war_of_attrition", 2, title="War of attrition, n = 2"),
)


def npga_rows(seeds: int, config: NPGAConfig) -> list[dict[str, Any]]:
    """L2 distance to the exact bids of first-price auctions with uniform values, over seeds."""
    rows = []
    signals = (jnp.arange(512) + 0.5) / 512
    for n in (2, 3, 5):
        env, params = AuctionSetting("first_price", n, ties="split").build()
        start = time.perf_counter()
        train = jax.vmap(lambda key, e=env, p=params, n=n: npga(e, p, key, config, groups=(0,) * n))
        results = train(jax.random.split(jax.random.key(n), seeds))
        batch = jnp.broadcast_to(signals[:, None], (512, n))
        bids = jax.vmap(lambda result, x=batch: result.bid_function()(x)[:, 0])(results)
        distances = np.asarray(jnp.sqrt(jnp.mean((bids - signals * (n - 1) / n) ** 2, axis=1)))
        rows.append({"bidders": n, "distances": distances.tolist(), "seconds": time.perf_counter() - start})
    return rows


def print_tables(answers: list[AuctionAnswer], rows: list[dict[str, Any]], levels: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=140)
    names = ("auction", "iterations", "L2 to exact bids", "relative loss", "utility", "exact", "revenue", "exact")
    table = Table(*names, title=f"Learned by SODA on {levels} types and bids, ties lost by all")
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for answer in answers:
        known = answer.known_utilities
        table.add_row(
            str(answer.setting),
            str(answer.iterations),
            " ".join(f"{x:.4f}" for x in answer.distances),
            f"{answer.relative_losses.max():.1e}",
            " ".join(f"{x:.4f}" for x in answer.utilities),
            "" if known is None else " ".join(f"{x:.4f}" for x in known),
            f"{answer.revenue:.4f}",
            "" if answer.known_revenue is None else f"{answer.known_revenue:.4f}",
        )
    console.print(table)
    if rows:
        table = Table(
            "bidders", "L2 of each seed", "mean", "seconds", title="Learned by NPGA, first price, uniform values"
        )
        for row in rows:
            each = " ".join(f"{x:.4f}" for x in row["distances"])
            table.add_row(str(row["bidders"]), each, f"{np.mean(row['distances']):.4f}", f"{row['seconds']:.0f}")
        console.print(table)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--levels", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--npga", action="store_true", help="train networks, too")
    parser.add_argument("--seeds", type=int, default=5, help="of the networks")
    parser.add_argument("--folder", type=Path, default=Path("runs/auctions"))
    parser.add_argument("--smoke", action="store_true", help="few levels: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.levels = 8
    return args


def main() -> None:
    """Solves, prints and draws everything."""
    from jaxmarl.viz.auctions import plot_bids

    args = arguments()
    start = time.perf_counter()
    settings = SETTINGS[:3] if args.smoke else SETTINGS
    answers = [solve_auction(setting, levels=args.levels, seed=args.seed) for setting in settings]
    config = NPGAConfig(num_iterations=20, num_pretraining=20) if args.smoke else NPGAConfig()
    rows = npga_rows(args.seeds, config) if args.npga else []
    print_tables(answers, rows, args.levels)
    seconds = time.perf_counter() - start
    record = {"levels": args.levels, "seed": args.seed, "seconds": seconds, "npga": rows}
    record["answers"] = [answer_record(answer) for answer in answers]
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "auction_equilibria.json", (json.dumps(record, indent=1) + "\n").encode())
    title = f"Learned bids (dots, {args.levels} types and bids) and the equilibria of theory (lines)"
    figure = plot_bids(answers, args.folder / "auction_equilibria.png", title)
    print(f"{seconds:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

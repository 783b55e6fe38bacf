"""Does PPO with continuous actions find the quotes of Avellaneda and Stoikov?

    python scripts/reproduce/market_making_ppo.py [--seeds 5] [--updates 160] [--folder runs/market_making_ppo]
    python scripts/reproduce/market_making_ppo.py --smoke

A dealer quotes 200 times a day in their market and earns its P&L less a penalty on inventory. The learned policies (and
the noise they explore with) are compared with the quotes of Avellaneda and Stoikov, the stationary quotes of Guéant,
Lehalle and Fernandez-Tapia, constant quotes, and the optimum by dynamic programming, all valued exactly.
The numbers go to `market_making_ppo.json` and `.png` in `--folder`.
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
from jaxmarl.envs.markets.simulate import simulate
from jaxmarl.experiments import market_making as experiment

LABELS = {
    "optimal": "optimum",
    "glft": "Guéant et al.",
    "avellaneda_stoikov": "Avellaneda-Stoikov",
    "symmetric": "symmetric",
    "constant": "constant 1/k",
}


def learned_quotes(market: experiment.Market, learned: experiment.Learned, key: Any) -> dict[str, list[float]]:
    """Mean bid and ask offset of the first seed's policy by inventory, in the middle of the day."""
    params = jax.tree.map(lambda x: x[0], learned.params)

    def keep(info):
        return info["offsets"], info["inventory"]

    policy = learned.learner.policy
    play = jax.jit(lambda key: simulate(market.env, market.params, policy, params, key, 2000, keep)[2])
    offsets, held = (np.asarray(x) for x in play(key))
    offsets, before = offsets[80:120].reshape(-1, 2), held[79:119].ravel()  # inventories before the quotes are filled
    rows: dict[str, list[float]] = {"inventory": [], "bid": [], "ask": []}
    for inventory in range(-4, 5):
        inside = before == inventory
        if inside.sum() > 50:
            rows["inventory"].append(inventory)
            rows["bid"].append(float(offsets[inside, 0].mean()))
            rows["ask"].append(float(offsets[inside, 1].mean()))
    return rows


def optimal_quotes(market: experiment.Market) -> dict[str, list[float]]:
    """The optimum's offsets in the middle of the day."""
    policy = market.env.benchmarks(market.params)["optimal"]
    held = np.arange(-4, 5)
    obs = jnp.stack([jnp.array([0.5, q / 10, 0.0, 0.0, 0.0]) for q in held])
    offsets = np.asarray(jax.vmap(lambda obs: policy.act((), (), obs, ())[0])(obs))
    return {"inventory": held.tolist(), "bid": offsets[:, 0].tolist(), "ask": offsets[:, 1].tolist()}


def print_table(known: dict[str, float], found: np.ndarray) -> None:
    from rich.console import Console
    from rich.table import Table

    best, reference = known["optimal"], known["avellaneda_stoikov"]
    table = Table("quotes", "objective", "of the optimum", "of Avellaneda-Stoikov", title="Objective of a day")
    rows = {LABELS[name]: known[name] for name in LABELS}
    rows |= {f"PPO, seed {i}": float(value) for i, value in enumerate(found)} | {"PPO, mean": float(found.mean())}
    for name, value in rows.items():
        table.add_row(name, f"{value:.2f}", f"{100 * value / best:.1f} %", f"{100 * value / reference:.1f} %")
    for column in table.columns[1:]:
        column.justify = "right"
    Console(width=120).print(table)


def draw_figure(record: dict[str, Any], path: Path) -> Path:
    """Learning curves against the known values, and the quotes that were learned."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    quiet_axes(left, grid="y")
    for curve in np.array(record["returns"], float).T:
        steps = np.flatnonzero(np.isfinite(curve))
        left.plot(steps + 1, curve[steps], color=FAINT, linewidth=1)
    for name, look in zip(("optimal", "avellaneda_stoikov", "constant"), SERIES, strict=False):
        value = record["known"][name]
        left.axhline(value, **look.line, linewidth=1.5, label=f"{LABELS[name]}: {value:.1f}")
    legend(left, loc="center right")
    lowest = min(record["known"]["constant"], np.nanmin(np.array(record["returns"], float)))
    left.set_ylim(lowest - 3, record["known"]["optimal"] + 3)
    left.set_xlabel("updates (12 800 steps each)", fontsize=BODY, color=INK)
    left.set_ylabel("objective of a day", fontsize=BODY, color=INK)
    panel_title(left, f"PPO ({len(record['found'])} seeds) comes near the optimum")
    quiet_axes(right, grid="y")
    for side, look in zip(("bid", "ask"), SERIES, strict=False):
        best, found = record["optimal_quotes"], record["learned_quotes"]
        right.plot(best["inventory"], best[side], **look.line, linewidth=1.2, label=f"{side}, optimum")
        right.scatter(found["inventory"], found[side], **look.dots, s=25, label=f"{side}, PPO (seed 0)")
    right.axhline(0, color=FAINT, linewidth=0.8)
    right.set_xlabel("inventory", fontsize=BODY, color=INK)
    right.set_ylabel("distance of the quote from the mid", fontsize=BODY, color=INK)
    legend(right, loc="upper center", ncols=2)
    low, high = right.get_ylim()
    right.set_ylim(low, high + 0.25 * (high - low))
    panel_title(right, "It has learned to lean against its inventory")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=experiment.NUM_UPDATES)
    parser.add_argument("--penalty", type=float, default=1.0, help="of a squared unit of inventory held for a day")
    parser.add_argument("--seed", type=int, default=2008)
    parser.add_argument("--folder", type=Path, default=Path("runs/market_making_ppo"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.updates = 2, 8
    return args


def main() -> None:
    """Trains, evaluates, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    market = experiment.market(args.penalty)
    train_key, play_key, quote_key = jax.random.split(jax.random.key(args.seed), 3)
    num_envs = 32 if args.smoke else 256
    learned = experiment.train(market, train_key, args.seeds, args.updates, num_envs)
    seconds = time.perf_counter() - start
    found = experiment.evaluate(market, learned, play_key, 200 if args.smoke else 4000)
    known = experiment.known_values(market)
    print_table(known, found)
    record = {
        "settings": {"seeds": args.seeds, "updates": args.updates, "penalty": args.penalty, "seed": args.seed},
        "training_seconds": seconds,
        "known": known,
        "found": found.tolist(),
        "returns": [[float(x) if np.isfinite(x) else None for x in row] for row in learned.returns],
        "learned_quotes": learned_quotes(market, learned, quote_key),
        "optimal_quotes": optimal_quotes(market),
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "market_making_ppo.json"
    written = replace_file(path, (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(record, path.with_suffix(".png"))
    print(f"trained in {seconds:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

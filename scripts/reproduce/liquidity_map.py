"""When does deep liquidity exist, and when is it chosen, if a dealer does not know how much the other can take?

    python scripts/reproduce/liquidity_map.py [--points 40] [--runs 16] [--folder runs/liquidity_map]
    python scripts/reproduce/liquidity_map.py --smoke

Two dealers are large with probability p and pay c for each parcel posted. Over (p, c) this computes the pure symmetric
Bayesian equilibria, the one that log-linear learning selects (highest potential), and where no-regret learners that see
sampled play, and replicator dynamics from random starts, end up. The numbers go to `liquidity_map.json` and `.png`.
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
from jaxtyping import Array

from jaxmarl.core.files import replace_file
from jaxmarl.games import pure_equilibria
from jaxmarl.games.liquidity_types import type_strategies
from jaxmarl.games.zoo import liquidity_provision_bayesian
from jaxmarl.solvers import log_linear_learning, replicator_dynamics, self_play
from jaxmarl.solvers.no_regret import hedge

STRATEGIES = type_strategies(1, 2)
NAMED = {"none": (0, 0), "shallow": (1, 1), "deep": (1, 2)}
INDEX = {name: int(np.flatnonzero(np.all(np.equal(STRATEGIES, depth), axis=1))[0]) for name, depth in NAMED.items()}
SLICE = 0.25


@jax.jit
def equilibria(share: Array, cost: Array) -> Array:
    """Which strategies are pure symmetric equilibria, `[6]`."""
    return jnp.diagonal(pure_equilibria(liquidity_provision_bayesian(share, cost)))


@jax.jit
def selected(share: Array, cost: Array) -> Array:
    """The strategy that log-linear learning plays most as its noise vanishes."""
    law = log_linear_learning(liquidity_provision_bayesian(share, cost), temperature=2e-3).joint
    assert law is not None
    return jnp.argmax(jnp.diagonal(law))


@partial(jax.jit, static_argnums=(3, 4))
def learned(share: Array, cost: Array, key: Array, runs: int, rounds: int) -> Array:
    """Share of runs of Hedge against itself, on sampled play, in which both players end at each strategy, `[6]`."""
    game = liquidity_provision_bayesian(share, cost)

    def run(key: Array) -> Array:
        last = self_play(game, hedge(), rounds, key=key, feedback="sampled").last
        return agreed(last)

    return jax.vmap(run)(jax.random.split(key, runs)).mean(axis=0)


@partial(jax.jit, static_argnums=(3, 4))
def evolved(share: Array, cost: Array, key: Array, runs: int, rounds: int) -> Array:
    """Share of uniformly random starts from which replicator dynamics of both players end at each strategy, `[6]`."""
    game = liquidity_provision_bayesian(share, cost)

    def run(key: Array) -> Array:
        starts = jax.random.dirichlet(key, jnp.ones(6), (2,))
        initial = (starts[0], starts[1])
        return agreed(replicator_dynamics(game, num_iterations=rounds, initial=initial, output="last").strategies)

    return jax.vmap(run)(jax.random.split(key, runs)).mean(axis=0)


def agreed(strategies: tuple[Array, ...]) -> Array:
    """One where both players' most likely strategy is the same, `[6]`."""
    first, second = (jnp.argmax(x) for x in strategies)
    return (jnp.arange(6) == first) & (first == second)


def compute(args: argparse.Namespace) -> dict[str, Any]:
    shares = costs = (np.arange(args.points) + 0.5) / args.points  # at 0 and 1 a type never occurs
    columns: dict[str, list[np.ndarray]] = {"exists": [], "selected": [], "hedge": [], "replicator": []}
    over_shares = partial(jax.vmap, in_axes=(0, None))
    with_keys = partial(jax.vmap, in_axes=(0, None, 0))
    for row, cost in enumerate(jnp.asarray(costs)):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(args.seed), row), args.points)
        p = jnp.asarray(shares)
        columns["exists"].append(np.asarray(over_shares(equilibria)(p, cost)))
        columns["selected"].append(np.asarray(over_shares(selected)(p, cost)))
        for name, dynamics in (("hedge", learned), ("replicator", evolved)):
            ended = with_keys(lambda p, c, k, dynamics=dynamics: dynamics(p, c, k, args.runs, args.rounds))(
                p, cost, keys
            )
            columns[name].append(np.asarray(ended))
    return {"shares": shares, "costs": costs, **{name: np.stack(rows) for name, rows in columns.items()}}


def slice_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each share of large dealers at the cost nearest to a quarter."""
    row = int(np.argmin(np.abs(found["costs"] - SLICE)))
    rows = []
    for column in np.unique(np.linspace(0, len(found["shares"]) - 1, 11).round().astype(int)):
        stable = [name for name, index in INDEX.items() if found["exists"][row, column, index]]
        chosen = next((n for n, i in INDEX.items() if i == found["selected"][row, column]), "other")
        ends = {
            f"{dynamics}_{name}": float(found[dynamics][row, column, INDEX[name]])
            for dynamics in ("hedge", "replicator")
            for name in INDEX
        }
        cell = {"share": float(found["shares"][column]), "cost": float(found["costs"][row])}
        rows.append({**cell, "equilibria": stable, "selected": chosen, **ends})
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = (
        f"Cost {rows[0]['cost']:.3g} a parcel: equilibria, and where play ends (share of runs: none / shallow / deep)"
    )
    table = Table("p large", "pure equilibria", "highest potential", "Hedge", "replicator", title=title)
    for row in rows:
        ends = [" / ".join(f"{row[f'{d}_{name}']:.2f}" for name in INDEX) for d in ("hedge", "replicator")]
        table.add_row(f"{row['share']:.2f}", ", ".join(row["equilibria"]), row["selected"], *ends)
    Console(width=120).print(table)


def draw_figure(found: dict[str, Any], path: Path) -> Path:
    """Three maps over (p, c): what exists and has the highest potential, and how often learners end deep."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap
    from matplotlib.patches import Patch

    from jaxmarl.viz import style

    figure = style.new_figure(13, 4.9)
    axes = figure.subplots(1, 3, sharey=True)
    extent = (0.0, 1.0, 0.0, 1.0)
    deep_exists = found["exists"][:, :, INDEX["deep"]]
    potential = found["selected"]
    region = np.where(potential == INDEX["deep"], 3, np.where(deep_exists, 2, 1))
    region = np.where(potential == INDEX["none"], np.where(deep_exists, 4, 0), region)
    colours = ["#f4f5f6", "#93aedd", "#f0cf8e", style.GAIN, "#a8503d"]  # of unlike lightness
    labels = [
        "no trade has it; (1, 1) exists",
        "(1, 1) has it; (1, 2) does not exist",
        "(1, 1) has it; (1, 2) exists",
        "(1, 2) has it",
        "no trade has it; (1, 2) exists",
    ]
    axes[0].imshow(region, origin="lower", extent=extent, aspect="auto", cmap=ListedColormap(colours), vmin=0, vmax=4)
    handles = [Patch(color=colour, label=label) for colour, label in zip(colours, labels, strict=True)]
    axes[0].legend(handles=handles, fontsize=style.SMALL, loc="upper left", framealpha=0.9, edgecolor="none")
    style.panel_title(axes[0], "Highest potential")
    shades = LinearSegmentedColormap.from_list("depth", ["#f7f7f5", style.GAIN])
    for panel, name, title in (
        (axes[1], "hedge", "Hedge ends at (1, 2)"),
        (axes[2], "replicator", "Replicator ends at (1, 2)"),
    ):
        ends = found[name][:, :, INDEX["deep"]]
        image = panel.imshow(ends, origin="lower", extent=extent, aspect="auto", cmap=shades, vmin=0, vmax=1)
        style.panel_title(panel, title)
    bar = figure.colorbar(image, ax=axes[1:], shrink=0.9, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, length=2)
    bar.set_label("share of runs", fontsize=style.BODY, color=style.INK)
    for panel in axes:
        style.quiet_axes(panel)
        for slope, dash, label in ((1.0, "-", "c = p"), (0.5, "--", "c = p / 2")):
            panel.plot([0, 1], [0, slope], dash, color=style.INK, linewidth=1.1)
            panel.text(0.79, 0.83 * slope, label, fontsize=style.SMALL, color=style.INK, ha="right", va="bottom")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1)
        panel.set_xlabel("share p of large dealers", fontsize=style.BODY, color=style.INK)
    axes[0].set_ylabel("cost c of a parcel posted", fontsize=style.BODY, color=style.INK)
    return style.write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=40, help="of each axis of the map")
    parser.add_argument("--runs", type=int, default=16, help="of each dynamics at each point")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/liquidity_map"))
    parser.add_argument("--smoke", action="store_true", help="a coarse map: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.points, args.runs, args.rounds = 5, 2, 50
    return args


def main() -> None:
    """Computes, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    found = compute(args)
    rows = slice_rows(found)
    print_table(rows)
    settings = {name: getattr(args, name) for name in ("points", "runs", "rounds", "seed")}
    arrays = {name: np.round(np.asarray(values, float), 4).tolist() for name, values in found.items()}
    record = {
        "settings": settings,
        "seconds": time.perf_counter() - start,
        "slice": rows,
        "strategies": NAMED,
        **arrays,
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "liquidity_map.json", (json.dumps(record) + "\n").encode())
    figure = draw_figure(found, args.folder / "liquidity_map.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

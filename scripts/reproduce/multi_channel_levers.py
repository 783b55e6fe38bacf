"""Budgets or target returns: which lever should an advertiser set in each of several auction channels?

    python scripts/reproduce/multi_channel_levers.py [--markets 200] [--periods 32000] [--folder runs/levers]
    python scripts/reproduce/multi_channel_levers.py --smoke

Deng et al. (2023): budgets alone reach the global optimum, targets alone can be arbitrarily far from it. Measured on
the counterexample, whose ratio is `1 + 1 / epsilon`, and on random markets, where the best pair of targets is searched
for on a grid; then SGD-UCB learns budgets from what its channels buy. The numbers go to `multi_channel_levers.json`
and `.png` in `--folder`.
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
from jaxmarl.solvers.auctions import budget_response, multi_channel_optimum, roi_response, sgd_ucb

EPSILONS = (0.3, 0.1, 0.03, 0.01, 0.003)
VALUES = np.array([[4.0, 3, 2, 1], [3, 3, 2, 0]])
COSTS = np.array([[1.0, 1.5, 2, 2], [0.5, 2, 3, 0]])
GOALS = {"return 1, budget 4": (1.0, 4.0), "return 2, budget 8": (2.0, 8.0)}
MAX_BUDGETS, VALUE_BOUNDS = (6.5, 5.5), (10.0, 8.0)
NOISE, BONUS = 0.2, 0.2

budget_responses = jax.jit(jax.vmap(budget_response))


@jax.jit
def best_by_targets(values: Array, costs: Array, roi: float | Array, targets: Array) -> Array:
    """The most value of any pair of `targets` that keeps to the global return, two channels `[2, auctions]`."""
    value, spend = jax.vmap(lambda v, d: jax.vmap(lambda target: roi_response(v, d, target))(targets))(values, costs)
    total, paid = value[0][:, None] + value[1], spend[0][:, None] + spend[1]
    return jnp.max(jnp.where(total >= roi * paid - 1e-5, total, 0))


def by_budgets(values: np.ndarray, costs: np.ndarray, spend: np.ndarray) -> float:
    """What the channels buy when given the spend of the optimum as budgets."""
    bought, _ = budget_responses(*(jnp.asarray(x, jnp.float32) for x in (values, costs, spend)))
    return float(bought.sum())


def counterexample_rows() -> list[dict[str, float]]:
    """One channel gives `epsilon` for nothing, the other 2 for 2 (1 + epsilon); the target is 1."""
    rows = []
    for epsilon in EPSILONS:
        values, costs = np.array([[epsilon], [2.0]]), np.array([[0.0], [2 * (1 + epsilon)]])
        best = multi_channel_optimum(jnp.asarray(values), jnp.asarray(costs), roi=1.0)
        targets = jnp.linspace(0, 4, 401)
        reached = float(best_by_targets(jnp.asarray(values), jnp.asarray(costs), 1.0, targets))
        budgets = by_budgets(values, costs, best.channel_spend)
        rows.append({"epsilon": epsilon, "optimum": best.value, "budgets": budgets, "targets": reached})
    return rows


def random_market_shares(args: argparse.Namespace) -> dict[str, list[float]]:
    """The share of the optimum that each lever reaches in random markets of two channels with four auctions each."""
    rng = np.random.default_rng(args.seed)
    targets = jnp.concatenate([jnp.linspace(0, 4, args.grid), jnp.geomspace(4, 400, args.grid // 4)])
    shares: dict[str, list[float]] = {"budgets": [], "targets": []}
    while len(shares["budgets"]) < args.markets:
        values, costs = rng.uniform(0, 1, (2, 4)), rng.uniform(0, 1, (2, 4))
        roi = float(rng.uniform(1, 2.5))
        arrays = (jnp.asarray(values, jnp.float32), jnp.asarray(costs, jnp.float32))
        best = multi_channel_optimum(*arrays, roi=roi)
        if best.value < 0.1:  # hardly an auction is worth its price at this target
            continue
        shares["targets"].append(float(best_by_targets(*arrays, roi, targets)) / best.value)
        shares["budgets"].append(by_budgets(values, costs, best.channel_spend) / best.value)
    return shares


def best_fixed_budgets(values: Array, costs: Array, roi: float, budget: float, arms: int) -> float:
    """The most value a period of any fixed pair of budgets on the learner's grid that keeps to both constraints."""
    shares = jnp.arange(1, arms + 1) / arms
    found = []
    for channel, most in enumerate(MAX_BUDGETS):
        response = jax.vmap(jax.vmap(budget_response, in_axes=(0, 0, None)), in_axes=(None, None, 0))
        value, spend = response(values[:, channel], costs[:, channel], shares * most)
        found.append((np.asarray(value, np.float64).mean(axis=1), np.asarray(spend, np.float64).mean(axis=1)))
    (value, spend), (other, paid) = found
    total, cost = value[:, None] + other, spend[:, None] + paid
    return float(np.where((cost <= budget) & (total >= roi * cost), total, 0).max())


def learning_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """For each goal: value and spend a period so far, at points in time, over seeds; and what fixed budgets reach."""
    points = np.unique(np.geomspace(50, args.periods, 40).astype(int))
    rows = []
    for name, (roi, budget) in GOALS.items():
        runs = []
        for seed in range(args.seeds):
            key = jax.random.key(args.seed + seed)
            noise = jax.random.uniform(key, (2, args.periods, *VALUES.shape), minval=1 - NOISE, maxval=1 + NOISE)
            market = (jnp.asarray(VALUES, jnp.float32) * noise[0], jnp.asarray(COSTS, jnp.float32) * noise[1])
            bounds = (jnp.array(MAX_BUDGETS), jnp.array(VALUE_BOUNDS))
            run = sgd_ucb(*market, *bounds, roi=roi, budget=budget, bonus_scale=BONUS)
            value, spend = (np.cumsum(np.asarray(x, np.float64))[points - 1] / points for x in (run.values, run.spend))
            runs.append((value, spend))
            if seed == 0:
                best = best_fixed_budgets(market[0][:2000], market[1][:2000], roi, budget, run.pulls.shape[1])
        value, spend = np.mean(runs, axis=0)
        # what breaks a constraint counts against the learner at the worth of relaxing it
        exact = multi_channel_optimum(jnp.asarray(VALUES), jnp.asarray(COSTS), roi=roi, budget=budget)
        missed = [(np.maximum(roi * s - v, 0), np.maximum(s - budget, 0)) for v, s in runs]
        worth = (exact.roi_dual, exact.budget_dual)
        net = np.array([v - worth[0] * m[0] - worth[1] * m[1] for (v, _), m in zip(runs, missed, strict=True)])
        row = {"goal": name, "roi": roi, "budget": budget, "best fixed budgets": best, "periods": points.tolist()}
        row |= {"value": value.tolist(), "spend": spend.tolist(), "net value": net.mean(axis=0).tolist()}
        rows.append({**row, "net value spread": net.std(axis=0).tolist()})
    return rows


def print_tables(
    counter: list[dict[str, float]], shares: dict[str, list[float]], learning: list[dict[str, Any]]
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    table = Table("ε", "optimum", "budgets", "targets", "ratio", "1 + 1/ε", title="Counterexample")
    for row in counter:
        numbers = [f"{row[name]:.4f}" for name in ("optimum", "budgets", "targets")]
        ratio = row["budgets"] / row["targets"]
        table.add_row(f"{row['epsilon']:g}", *numbers, f"{ratio:.2f}", f"{1 + 1 / row['epsilon']:.2f}")
    console.print(table)
    table = Table(
        "lever", "worst", "10 %", "median", "mean", title=f"Share of the optimum, {len(shares['budgets'])} markets"
    )
    for lever, found in shares.items():
        quantiles = [min(found), *np.quantile(found, (0.1, 0.5)).tolist(), sum(found) / len(found)]
        table.add_row(lever, *(f"{number:.4f}" for number in quantiles))
    console.print(table)
    table = Table("goal", "periods", "value", "spend", "net value", "fixed budgets", title="SGD-UCB, per period")
    for goal in learning:
        for k in (0, len(goal["periods"]) // 2, -1):
            numbers = [f"{goal[name][k]:.3f}" for name in ("value", "spend", "net value")]
            table.add_row(goal["goal"], str(goal["periods"][k]), *numbers, f"{goal['best fixed budgets']:.3f}")
    console.print(table)


def draw_figure(
    counter: list[dict[str, float]], shares: dict[str, list[float]], learning: list[dict[str, Any]], path: Path
) -> Path:
    """The counterexample, the distribution over random markets, and the learning curves."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(13, 4.2)
    left, middle, right = figure.subplots(1, 3)
    quiet_axes(left, grid="y")
    epsilons = [row["epsilon"] for row in counter]
    left.plot(epsilons, [row["budgets"] for row in counter], **SERIES[0].marked, label="budgets (the optimum)")
    left.plot(epsilons, [row["targets"] for row in counter], **SERIES[1].marked, label="best targets")
    left.set(xscale="log", yscale="log")
    left.set_xlabel("ε", fontsize=BODY, color=INK)
    left.set_ylabel("value", fontsize=BODY, color=INK)
    legend(left, loc="lower right")
    panel_title(left, "Targets alone, at their worst")
    quiet_axes(middle, grid="y")
    for (lever, found), look in zip(shares.items(), SERIES, strict=False):
        ranks = 100 * np.arange(1, len(found) + 1) / len(found)
        middle.plot(ranks, np.sort(found), **look.line, label=lever, linewidth=2)
    middle.set_ylim(0, 1.05)
    middle.set_xlabel("markets, from the worst, %", fontsize=BODY, color=INK)
    middle.set_ylabel("share of the optimum", fontsize=BODY, color=INK)
    legend(middle, loc="lower right")
    panel_title(middle, "Random markets: mostly close")
    quiet_axes(right, grid="y")
    for row, look in zip(learning, SERIES, strict=False):
        best, net = row["best fixed budgets"], np.array(row["net value"])
        spread = np.array(row["net value spread"])
        right.fill_between(
            row["periods"], (net - spread) / best, (net + spread) / best, color=look.colour, alpha=0.15, linewidth=0
        )
        right.plot(row["periods"], net / best, **look.line, label=row["goal"])
    right.axhline(1, color=FAINT, linewidth=1)
    right.set(xscale="log")
    right.set_xlabel("periods", fontsize=BODY, color=INK)
    right.set_ylabel("net value so far (best fixed: 1)", fontsize=BODY, color=INK)
    legend(right, loc="lower right")
    panel_title(right, "SGD-UCB learns the budgets")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--grid", type=int, default=201, help="targets up to 4 that are tried for each channel")
    parser.add_argument("--periods", type=int, default=32_000, help="of a learner's run")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--folder", type=Path, default=Path("runs/levers"))
    parser.add_argument("--smoke", action="store_true", help="small runs: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.markets, args.grid, args.periods, args.seeds = 10, 41, 500, 2
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    counter, shares, learning = counterexample_rows(), random_market_shares(args), learning_rows(args)
    print_tables(counter, shares, learning)
    settings = {name: getattr(args, name) for name in ("markets", "grid", "periods", "seeds", "seed")}
    record = {"settings": settings, "seconds": time.perf_counter() - start}
    record |= {"counterexample": counter, "random markets": shares, "learning": learning}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "multi_channel_levers.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(counter, shares, learning, args.folder / "multi_channel_levers.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

"""Selfish players who share the arms of a bandit, and collaborators who do not know who is on the same one.

    python scripts/reproduce/bandits.py [--rounds 30000] [--runs 32] [--folder runs/bandits]
    python scripts/reproduce/bandits.py --smoke

Left: four players share five arms. What a player loses a round, against the best arm given what the others pull, adds
up to its regret: SMAA (Xu et al. 2023) settles in the pure equilibrium, with and without knowing how many players there
are; players who ignore each other do not. Right: sixteen players of two bandits with sixteen arms each. Group regret
when all learn alone, when they recommend arms without knowing who plays the same bandit, and when those of one bandit
pool what they see. There a regret that is logarithmic in time is a straight line in the end. Numbers go to
`bandits.json` and `bandits.png` in `--folder`.
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
from jaxmarl.envs.bandits import MultiPlayerBandit, MultiPlayerBanditParams
from jaxmarl.learners import over_seeds
from jaxmarl.learners.bandits import (
    bandit_learner,
    collaborative_ucb,
    independent_ucb,
    shared_ucb,
    smaa,
    smaa_unknown,
)

MEANS = (0.9, 0.8, 0.5, 0.3, 0.2)
UPDATES = 200


def curves(env: MultiPlayerBandit, algorithm: Any, params: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Cumulative regret of a player, mean and standard error over runs, at multiples of `rounds / UPDATES`."""
    learner = over_seeds(bandit_learner(env, algorithm, params, steps_per_update=args.rounds // UPDATES), args.runs)

    def run(key):
        return jax.lax.scan(lambda state, _: learner.update(state), learner.init(key), None, length=UPDATES)[1]

    metrics = {name: np.asarray(x) for name, x in jax.jit(run)(jax.random.key(args.seed)).items()}
    regret = np.cumsum(metrics["regret"], axis=0)
    tail = UPDATES // 2
    slopes = (regret[-1] - regret[tail - 1]) / np.log(2)
    return {
        "regret": regret.mean(1).tolist(),
        "error": (regret.std(1) / np.sqrt(args.runs)).tolist(),
        "median": np.median(regret[-1]).item(),
        "slope": slopes.mean().item(),
        "reward": metrics["reward"][tail:].mean().item(),
        "off_equilibrium": (metrics["off_equilibrium"][tail:].mean() / (args.rounds // UPDATES)).item(),
        "settled": np.mean(metrics["off_equilibrium"][-UPDATES // 10 :].sum(0) < 0.02 * args.rounds / 10).item(),
    }


def known_means(env: MultiPlayerBandit) -> MultiPlayerBanditParams:
    """Params of the bandit of the left panel."""
    return MultiPlayerBanditParams(jnp.array([MEANS]), env.default_params.concentration)


def sharing_rows(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Selfish players who share arms, by algorithm."""
    env = MultiPlayerBandit(4, 5)
    params = known_means(env)
    algorithms = {
        "SMAA, β = 0.1 (published)": smaa(env),
        "SMAA, β = 0.5": smaa(env, beta=0.5),
        "SMAA, N and ranks unknown": smaa_unknown(env, args.rounds, eta=0.1),
        "UCB1, alone": independent_ucb(env),
    }
    return {name: curves(env, algorithm, params, args) for name, algorithm in algorithms.items()}


def group_rows(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Collaborators on two bandits, by algorithm."""
    env = MultiPlayerBandit(16, 16, sharing="none", bandit_of=(0, 1) * 8)
    algorithms = {
        "UCB1, alone": independent_ucb(env),
        "collaborative, unaware": collaborative_ucb(env),
        "collaborative, aware": collaborative_ucb(env, aware=True),
        "UCB1, all of a bandit pooled": shared_ucb(env),
    }
    return {name: curves(env, algorithm, None, args) for name, algorithm in algorithms.items()}


def print_tables(sharing: dict[str, Any], group: dict[str, Any], args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    known = MultiPlayerBandit(4, 5)
    answer = known.benchmarks(known_means(known))
    equilibrium = f"{answer['welfare'] / 4:.3f}"
    title = f"Four selfish players, {args.rounds} rounds, {args.runs} runs; equilibrium {equilibrium} a round"
    table = Table("algorithm", "regret of a player", "s.e.", "median", "reward (2nd half)", "runs settled", title=title)
    for name, row in sharing.items():
        numbers = [f"{row['regret'][-1]:.0f}", f"{row['error'][-1]:.0f}", f"{row['median']:.0f}"]
        table.add_row(name, *numbers, f"{row['reward']:.3f}", f"{row['settled']:.2f}")
    console.print(table)
    table = Table("algorithm", "group regret", "s.e.", "growth per log t", title="Sixteen players of two bandits")
    for name, row in group.items():
        table.add_row(name, *(f"{16 * x:.0f}" for x in (row["regret"][-1], row["error"][-1], row["slope"])))
    console.print(table)


def draw_figure(sharing: dict[str, Any], group: dict[str, Any], args: argparse.Namespace, path: Path) -> Path:
    """Regret against time on a logarithmic axis: selfish players left, collaborators right."""
    from jaxmarl.viz.style import BODY, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11, 4.4)
    left, right = figure.subplots(1, 2)
    times = args.rounds // UPDATES * np.arange(1, UPDATES + 1)
    for axes, rows, scale in ((left, sharing, 1), (right, group, 16)):
        quiet_axes(axes, grid="y")
        for (name, row), look in zip(rows.items(), SERIES, strict=False):
            mean, error = scale * np.array(row["regret"]), 2 * scale * np.array(row["error"])
            axes.plot(times, mean, **look.line, label=name)
            axes.fill_between(times, mean - error, mean + error, color=look.colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xlabel("rounds", fontsize=BODY, color=INK)
        legend(axes, fontsize=BODY - 1, loc="upper left")
    left.set_yscale("log")
    panel_title(left, "Regret of a player who shares arms")
    panel_title(right, "Group regret on two bandits")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30_000)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--folder", type=Path, default=Path("runs/bandits"))
    parser.add_argument("--smoke", action="store_true", help="a few rounds: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.runs = 1000, 4
    return args


def main() -> None:
    """Plays, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    sharing, group = sharing_rows(args), group_rows(args)
    print_tables(sharing, group, args)
    settings = {"rounds": args.rounds, "runs": args.runs, "seed": args.seed, "means": MEANS}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "sharing": sharing, "group": group}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "bandits.json", (json.dumps(record) + "\n").encode())
    figure = draw_figure(sharing, group, args, args.folder / "bandits.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

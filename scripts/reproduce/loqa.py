"""Does shaping the opponent lead to reciprocity? LOQA, LOLA and naive learners in two social dilemmas.

    python scripts/reproduce/loqa.py [--seeds 3] [--ipd-updates 1200] [--coin-updates 800] [--folder runs/loqa]
    python scripts/reproduce/loqa.py --smoke

In the iterated prisoner's dilemma (payoffs -1, -3, 0, -2; γ = 0.96) policies are five probabilities: they are printed,
with exact values against themselves and against two fixed strategies. In the 3 x 3 Coin Game with one coin the learned
policy plays itself and two scripted players, as learning goes on; for comparison, enumeration gives 0.334 a step to two
cooperators and 0 to two defectors. On one core of a CPU: minutes for the former, `--coin-updates 0` leaves out the
latter. The numbers go to `loqa.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core import Player
from jaxmarl.core.files import replace_file
from jaxmarl.envs.dilemmas import CoinGame, IteratedMatrix, coin_policy
from jaxmarl.evaluation.cross_play import versus
from jaxmarl.games.iterated import MEMORY_ONE, memory_one_values
from jaxmarl.learners import Learner, LOLAConfig, lola_dice, loqa, over_seeds
from jaxmarl.learners.loqa_config import coin_config, ipd_config

STATES = ("start", "CC", "CD", "DC", "DD")
OPPONENTS = ("itself", "cooperate", "defect")


def trained(learner: Learner, key: jax.Array, updates: int) -> Any:
    """State after all updates, as one program."""

    @jax.jit
    def run(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=updates)[0]

    return run(jax.jit(learner.init)(key))


def row_of_logits(params: Any) -> np.ndarray:
    """Probabilities of cooperation `[seeds, 5]` of a LOQA actor without layers."""
    output = params["params"]["output"]
    return np.asarray(jax.nn.softmax(output["kernel"] + output["bias"][..., None, :]))[..., 0]


def ipd_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each learner and seed."""
    env, long, key = IteratedMatrix(num_steps=50), IteratedMatrix(num_steps=150), jax.random.key(args.seed)
    payoffs, rows = env.default_params.payoffs, []
    learners = {
        "LOQA": (loqa(env, ipd_config(**args.ipd_changes)), args.ipd_updates),
        "LOQA without shaping": (loqa(env, ipd_config(shaping_weight=0.0, **args.ipd_changes)), args.ipd_updates),
        "LOLA-DiCE, sampled": (lola_dice(long, LOLAConfig(**args.ipd_changes)), args.lola_updates),
        "LOLA, exact": (lola_dice(env, LOLAConfig(exact=True)), args.lola_updates),
        "naive gradient, exact": (lola_dice(env, LOLAConfig(exact=True, lookaheads=0)), args.lola_updates),
    }
    for name, (learner, updates) in learners.items():
        start = time.process_time()
        runs = over_seeds(learner, args.seeds)
        params = runs.params(trained(runs, key, updates))
        found = row_of_logits(params) if name.startswith("LOQA") else np.asarray(params)
        seconds = (time.process_time() - start) / args.seeds
        for seed, p in enumerate(found.reshape(args.seeds, -1, 5)):
            own, other = p[0], p[-1]
            against = {"itself": other} | {
                x: np.array(MEMORY_ONE[x], np.float32) for x in ("all_cooperate", "all_defect")
            }
            values = {x: float(memory_one_values(own, q, payoffs, 0.96)[0]) for x, q in against.items()}
            rows.append({"learner": name, "seed": seed, "p": own.tolist(), **values, "seconds": seconds})
    return rows


def coin_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each seed and moment: rewards a step of the learner and of each opponent it meets."""
    env, rows = CoinGame(num_steps=50, egocentric=True, show_balance=True), []
    learner = loqa(env, coin_config(**args.coin_changes))
    scripted = [Player(coin_policy(env, kind)) for kind in OPPONENTS[1:]]
    every = min(50, args.coin_updates)

    @jax.jit
    def run(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=every)[0]

    for seed in range(args.coin_seeds):
        start, state = time.process_time(), jax.jit(learner.init)(jax.random.key(args.seed + seed))
        for done in range(every, args.coin_updates + 1, every):
            state = run(state)
            if done % args.coin_report and done + every <= args.coin_updates:
                continue
            player = Player(learner.policy, learner.params(state))
            returns = versus(env, player, [player, *scripted], jax.random.key(done), args.matches)
            means, errors = returns.mean(1) / 50, returns.std(1) / 50 / args.matches**0.5
            row: dict[str, Any] = {"seed": seed, "updates": done, "seconds": time.process_time() - start}
            rows.append(row | {x: [float(m), float(e)] for x, m, e in zip(OPPONENTS, means, errors, strict=True)})
            numbers = ", ".join(f"{x} {row_of:+.3f}" for x, row_of in zip(OPPONENTS, means, strict=True))
            print(f"coin game, seed {seed}, {done} updates, {row['seconds']:.0f} s: {numbers}", flush=True)
    return rows


def print_tables(ipd: list[dict[str, Any]], coin: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    title = "Iterated prisoner's dilemma: probability of cooperation, exact payoff a round"
    columns = [*STATES, "itself", "all cooperate", "all defect", "CPU s"]
    table = Table("learner", "seed", *columns, title=title)
    for row in ipd:
        values = [f"{row[x]:+.3f}" for x in ("itself", "all_cooperate", "all_defect")]
        table.add_row(
            row["learner"], str(row["seed"]), *(f"{x:.2f}" for x in row["p"]), *values, f"{row['seconds']:.0f}"
        )
    console.print(table)
    if coin:
        table = Table("seed", "updates", *OPPONENTS, "CPU s", title="Coin Game, LOQA: reward a step (± s.e.) against")
        for row in [row for row in coin if row["updates"] == coin[-1]["updates"]]:
            values = [f"{row[x][0]:+.3f} ± {row[x][1]:.3f}" for x in OPPONENTS]
            table.add_row(str(row["seed"]), str(row["updates"]), *values, f"{row['seconds']:.0f}")
        console.print(table)


def draw_figure(ipd: list[dict[str, Any]], coin: list[dict[str, Any]], path: Path) -> Path:
    """Probabilities of cooperation by state, and rewards in the Coin Game as learning goes on."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11.5 if coin else 7.5, 4.4)
    axes = figure.subplots(1, 2 if coin else 1, squeeze=False)[0]
    quiet_axes(axes[0], grid="y")
    names = list(dict.fromkeys(row["learner"] for row in ipd))
    for i, (name, look) in enumerate(zip(names, SERIES, strict=False)):
        for row in [row for row in ipd if row["learner"] == name]:
            place = np.arange(5) + 0.15 * (i - 2)
            label = name if row["seed"] == 0 else None
            axes[0].scatter(place, row["p"], **look.dots, alpha=0.75, s=30, label=label)
    axes[0].set_xticks(range(5), STATES)
    axes[0].set_ylim(-0.03, 1.03)
    axes[0].set_xlabel("last round (own action first)", fontsize=BODY, color=INK)
    panel_title(axes[0], "Iterated prisoner's dilemma: probability of cooperation")
    legend(figure, loc="outside lower left", handlelength=1)
    if coin:
        quiet_axes(axes[1], grid="y")
        for name, look in zip(OPPONENTS, SERIES, strict=False):
            for seed in sorted({row["seed"] for row in coin}):
                rows = [row for row in coin if row["seed"] == seed]
                label = f"against {name}" if seed == 0 else None
                axes[1].plot(
                    [r["updates"] for r in rows], [r[name][0] for r in rows], **look.marked, markersize=4, label=label
                )
        axes[1].axhline(0.334, color=FAINT, linewidth=0.8, label="two cooperators")
        axes[1].axhline(0.0, color=FAINT, linewidth=0.8)
        axes[1].set_xlabel("updates", fontsize=BODY, color=INK)
        legend(axes[1], loc="upper right")
        panel_title(axes[1], "Coin Game: reward a step")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ipd-updates", type=int, default=1200)
    parser.add_argument("--lola-updates", type=int, default=200, help="of LOLA and of naive gradients")
    parser.add_argument("--coin-seeds", type=int, default=3)
    parser.add_argument("--coin-updates", type=int, default=800, help="a multiple of 50")
    parser.add_argument("--coin-report", type=int, default=100, help="updates between evaluations, a multiple of 50")
    parser.add_argument("--matches", type=int, default=600, help="of an evaluation, against each opponent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/loqa"))
    parser.add_argument("--smoke", action="store_true", help="a few small updates: that it runs, not what it finds")
    args = parser.parse_args()
    args.ipd_changes, args.coin_changes = {}, {}
    if args.smoke:
        args.seeds, args.coin_seeds, args.matches = 1, 1, 4
        args.ipd_updates, args.lola_updates, args.coin_updates = 3, 3, 2
        args.ipd_changes = args.coin_changes = {"num_envs": 16}
    return args


def main() -> None:
    """Trains, evaluates, prints and writes everything."""
    args = arguments()
    ipd, coin = ipd_rows(args), coin_rows(args) if args.coin_updates else []
    print_tables(ipd, coin)
    settings = {k: v for k, v in vars(args).items() if k not in ("folder", "smoke")}
    args.folder.mkdir(parents=True, exist_ok=True)
    record = {"settings": settings, "ipd": ipd, "coin": coin}
    written = replace_file(args.folder / "loqa.json", (json.dumps(record, indent=1) + "\n").encode())
    print(f"wrote {written} and {draw_figure(ipd, coin, args.folder / 'loqa.png')}")


if __name__ == "__main__":
    main()

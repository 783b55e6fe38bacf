"""How many of n agents must be looked at? SUBSAMPLE-Q in demand response (Anand and Qu, arXiv 2403.00222)

    python scripts/reproduce/subsample_q.py [--locals 6] [--samples 1 3 10 30] [--folder runs/subsample_q]
    python scripts/reproduce/subsample_q.py --smoke

An operator moves a supply level and pays for consumers above it. Planning is done for k consumers; in the system of n
the operator looks at k of them, drawn anew each step. With three levels all histograms of n consumers are listed, so
that the optimum and what looking at k loses are exact, as is what planning with m sampled next states loses. With five
levels and eight consumers the planned policies are played in the environment. Numbers are those of the hard setting,
where the best action depends on the consumers. They go to `subsample_q.json` and `.png` in `--folder`.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from jaxmarl.core.chance import draw
from jaxmarl.core.files import replace_file
from jaxmarl.envs.pricing import DemandResponse
from jaxmarl.solvers.multisets import multisets
from jaxmarl.solvers.subsample_q import policy_values, subsample_q, subsampled_actions, subsampling_policy

DISCOUNT, NUM_ACTIONS, SEEDS = 0.9, 3, 3
MOST_CELLS = 20_000  # multisets that are planned for exactly with five levels


def start_weights(num_kinds: int, n: int) -> np.ndarray:
    """Probabilities of the multisets of `n` uniform local states."""
    weights = [
        math.factorial(n) / np.prod([math.factorial(c) for c in np.bincount(m)]) for m in multisets(num_kinds, n)
    ]
    return np.array(weights) / np.sum(weights)


def exact_rows(args: argparse.Namespace) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """What looking at k consumers loses, and what planning with m samples loses, on average over first states."""
    with jax.enable_x64(True):
        env, n = DemandResponse(levels=3), args.locals
        model = env.tables(env.hard_params)
        weights = start_weights(env.sizes[2], n)
        best = subsample_q(model, n, discount=DISCOUNT).values

        def gap(policy, k: int) -> float:
            actions = subsampled_actions(policy, n, k, NUM_ACTIONS)
            lost = best - policy_values(model, actions, n, discount=DISCOUNT, start=best)
            return max(float((np.asarray(lost) @ weights).mean()), 0.0)  # not below the optimum but by rounding

        value = float((np.asarray(best) @ weights).mean())
        solutions = {k: subsample_q(model, k, discount=DISCOUNT) for k in range(1, n + 1)}
        by_k = [{"k": k, "gap": gap(found.policy, k), "value": value} for k, found in solutions.items()]
        by_m, k = [], args.sampled
        for m in args.samples:
            keys = jax.random.split(jax.random.key(args.seed), SEEDS)
            gaps = [gap(subsample_q(model, k, discount=DISCOUNT, num_samples=m, key=key).policy, k) for key in keys]
            error = float(np.std(gaps) / SEEDS**0.5)
            by_m.append({"m": m, "k": k, "gap": float(np.mean(gaps)), "error": error})
    return by_k, by_m


def played_rows(args: argparse.Namespace) -> list[dict[str, float]]:
    """Discounted returns of all consumers of the published size under policies for k, all with the same chance."""
    env = DemandResponse(num_locals=8, num_steps=200)
    params, rows = env.hard_params, []
    model = env.tables(params)
    num_global, _, num_local = env.sizes

    def returns(k: int, table: jax.Array) -> np.ndarray:
        policy = subsampling_policy(8, k, num_global, num_local)

        def episode(start, drawn):
            def step(state, x):
                seen, chance = x
                action, _ = policy.act(table, (), env.observe(state, params)[0], seen)
                state, reward, _, _ = env.transition(state, action[None], chance, params)
                return state, reward[0]

            _, rewards = jax.lax.scan(step, env.initial(start, params), drawn)
            return rewards @ DISCOUNT ** jnp.arange(env.num_steps)

        start = draw(env.reset_chance, jax.random.key(args.seed), (args.episodes,))
        drawn = draw(
            (policy.act_chance, env.step_chance), jax.random.key(args.seed + 1), (args.episodes, env.num_steps)
        )
        return np.asarray(jax.jit(jax.vmap(episode))(start, drawn))

    best = None
    for k in sorted(args.played, reverse=True):
        exact = math.comb(k + num_local - 1, k) <= MOST_CELLS
        options: dict[str, Any] = {} if exact else {"num_samples": 10, "key": jax.random.key(k)}
        found = returns(k, subsample_q(model, k, discount=DISCOUNT, **options).policy)
        best = found if best is None else best
        less = best - found
        error, less_error = found.std() / len(found) ** 0.5, less.std() / len(found) ** 0.5
        row = {"k": k, "return": float(found.mean()), "error": float(error), "less": float(less.mean())}
        rows.append({**row, "less_error": float(less_error), "exact": exact})
    return rows[::-1]


def print_tables(by_k: list[dict[str, float]], by_m: list[dict[str, float]], played: list[dict[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, n = Console(width=120), len(by_k)
    table = Table("consumers seen", "lost (exact)", "share of the optimum", title=f"Three levels, {n} consumers")
    for row in by_k:
        table.add_row(str(row["k"]), f"{row['gap']:.4f}", f"{row['gap'] / row['value']:.2%}")
    console.print(table)
    table = Table("sampled next states", "lost (exact)", title=f"The same, planned from samples for {by_m[0]['k']}")
    for row in by_m:
        table.add_row(str(row["m"]), f"{row['gap']:.4f} ± {row['error']:.4f}")
    console.print(table)
    title = f"Five levels, 8 consumers, played; less is than seeing {played[-1]['k']}"
    table = Table("consumers seen", "discounted return", "less", "planned", title=title)
    for row in played:
        planned = "exactly" if row["exact"] else "from 10 samples"
        less = f"{row['less']:.3f} ± {row['less_error']:.3f}"
        table.add_row(str(row["k"]), f"{row['return']:.3f} ± {row['error']:.3f}", less, planned)
    console.print(table)


def draw_gap(axes: Axes, by_k: list[dict[str, float]]) -> None:
    """What is lost against k, both on logarithmic scales, beside the rate that theory promises at least."""
    from jaxmarl.viz.style import ACCENT, BODY, FAINT, INK, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    rows = [row for row in by_k if row["gap"] > 1e-6]
    k, gap = np.array([row["k"] for row in rows]), np.array([row["gap"] for row in rows])
    axes.loglog(k, gap, marker="o", color=ACCENT)
    axes.loglog(k, gap[0] / np.sqrt(k), color=FAINT, linestyle="--", linewidth=1)
    axes.text(k[-1], gap[0] / np.sqrt(k[-1]) * 1.08, "1 / √k", color=INK, fontsize=BODY, ha="right", va="bottom")
    axes.set_xticks(k, [str(x) for x in k])
    axes.minorticks_off()
    axes.set_xlabel("consumers seen, k", fontsize=BODY, color=INK)
    axes.set_ylabel("discounted reward lost", fontsize=BODY, color=INK)
    panel_title(axes, f"Seeing k of {len(by_k)} consumers (exact)")


def draw_samples(axes: Axes, by_m: list[dict[str, float]], exact: float) -> None:
    """What is lost against the number of sampled next states."""
    from jaxmarl.viz.style import ACCENT, BODY, FAINT, INK, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    m, gap, error = (np.array([row[name] for row in by_m]) for name in ("m", "gap", "error"))
    axes.errorbar(m, gap, 2 * error, marker="o", color=ACCENT, capsize=3)
    axes.axhline(exact, color=FAINT, linewidth=1, linestyle="--")
    axes.text(m[-1], exact + 0.04 * gap.max(), "exact expectations", color=INK, fontsize=BODY, ha="right", va="bottom")
    axes.set_xscale("log")
    axes.set_xticks(m, [str(x) for x in m])
    axes.minorticks_off()
    axes.set_ylim(0, None)
    axes.set_xlabel("sampled next states, m", fontsize=BODY, color=INK)
    axes.set_ylabel("discounted reward lost", fontsize=BODY, color=INK)
    panel_title(axes, f"Planning for {by_m[0]['k']} from samples")


def draw_played(axes: Axes, played: list[dict[str, float]]) -> None:
    """Returns in the environment against k."""
    from jaxmarl.viz.style import ACCENT, BODY, INK, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    k, less, error = (np.array([row[name] for row in played]) for name in ("k", "less", "less_error"))
    axes.errorbar(k, less, 2 * error, marker="o", color=ACCENT, capsize=3)
    axes.set_xticks(k)
    axes.set_ylim(min(-0.03 * less.max(), (less - 2 * error).min() * 1.1), None)
    axes.set_xlabel("consumers seen, k", fontsize=BODY, color=INK)
    axes.set_ylabel(f"discounted reward less than with k = {k[-1]}", fontsize=BODY, color=INK)
    panel_title(axes, "Five levels, 8 consumers, played")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--locals", type=int, default=6, help="consumers of the exact study")
    parser.add_argument("--sampled", type=int, default=3, help="consumers planned for from samples")
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 3, 10, 30], help="sampled next states")
    parser.add_argument("--played", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="consumers seen of eight")
    parser.add_argument("--episodes", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--folder", type=Path, default=Path("runs/subsample_q"))
    parser.add_argument("--smoke", action="store_true", help="small systems: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.locals, args.sampled, args.samples, args.played, args.episodes = 3, 2, [1, 10], [1, 2], 50
    return args


def main() -> None:
    """Plans, plays, prints and writes everything."""
    from jaxmarl.viz.style import new_figure, write_figure

    args = arguments()
    start = time.perf_counter()
    by_k, by_m = exact_rows(args)
    played = played_rows(args)
    print_tables(by_k, by_m, played)
    settings = {name: value for name, value in vars(args).items() if name != "folder"}
    seconds = time.perf_counter() - start
    record = {"settings": settings, "seconds": seconds, "exact": by_k, "sampled": by_m, "played": played}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "subsample_q.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = new_figure(14, 4.2)
    left, middle, right = figure.subplots(1, 3)
    draw_gap(left, by_k)
    draw_samples(middle, by_m, by_k[args.sampled - 1]["gap"])
    draw_played(right, played)
    drawn = write_figure(figure, args.folder / "subsample_q.png")
    print(f"{seconds:.0f} s; wrote {written} and {drawn}")


if __name__ == "__main__":
    main()

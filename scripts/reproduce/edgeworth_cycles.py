"""Q-learning firms that move in turns: price wars or a price that both keep? (Klein, RAND Journal of Economics 2021)

    python scripts/reproduce/edgeworth_cycles.py [--sessions 400] [--prices 7 13] [--folder runs/edgeworth_cycles]
    python scripts/reproduce/edgeworth_cycles.py --smoke

Two firms sell one good, the cheaper one sells it all, and each sets its price for two periods, in turns. Two
Markov-perfect equilibria are known exactly on seven prices: a price war that starts anew from above again and again
(an Edgeworth cycle), and the monopoly price, kept by the threat of a short war (Maskin and Tirole, Econometrica 1988).
Q-learning firms learn for 500 000 periods; then they play what they learned, without exploring, and earn the mean
profit of their limit cycle. The numbers go to `edgeworth_cycles.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxmarl.core.files import replace_file
from jaxmarl.envs.pricing import SequentialPricing
from jaxmarl.learners import SessionConfig, run_until_stable, sequential_q
from jaxmarl.learners.greedy_play import cycle_mean, limit_cycle
from jaxmarl.learners.reaction_play import deviation_gains, price_path, round_payoffs, round_policies

STEP_SIZE, DISCOUNT = 0.3, 0.95
LEAST_EXPLORATION = 1e-3  # reached halfway
ROUNDING = 1e-4  # of discounted profits
PERIODS_SHOWN = 24
UNDERCUT_AT = 6  # a turn of firm 1


def study(args: argparse.Namespace, num_prices: int) -> dict[str, Any]:
    """Runs all sessions on a grid of prices: what they earn in the limit, how prices move, who could do better."""
    from rich.console import Console

    env = SequentialPricing(num_prices=num_prices)
    params = env.default_params
    payoffs = env.stage_payoffs(params)
    config = SessionConfig(DISCOUNT, stable_periods=2**30)
    decay = -2 * np.log(LEAST_EXPLORATION) / args.periods
    learner = sequential_q(payoffs, STEP_SIZE, decay, config, num_sessions=args.sessions)
    start = time.perf_counter()
    with Console(width=120).status(f"{num_prices} prices") as status:

        def report(updates: int, metrics: dict[str, float]) -> None:
            status.update(f"{num_prices} prices: {updates * config.steps_per_update:,} periods")

        updates = args.periods // config.steps_per_update
        per_call = min(50, updates)
        state = run_until_stable(
            learner, learner.init(jax.random.key(args.seed)), updates, updates_per_call=per_call, report=report
        )
    seconds = time.perf_counter() - start

    @jax.jit
    @jax.vmap
    def after_learning(reactions, history):
        standing = history % num_prices**2
        cycle = limit_cycle(round_policies(reactions), standing, num_prices)
        start = jnp.stack([cycle.history // num_prices, cycle.history % num_prices])
        gains = deviation_gains(reactions, payoffs, DISCOUNT)
        reached = cycle.frequency.reshape(num_prices, num_prices) > 0
        faced = jnp.stack([reached.any(0), reached.any(1)])  # the prices that each firm answers on the cycle
        return {
            "profit": cycle_mean(cycle, round_payoffs(reactions, payoffs)),
            "rounds": cycle.length,
            "path": price_path(reactions, start, 0, PERIODS_SHOWN),
            "gain": jnp.max(jnp.where(faced, gains, 0.0)),
            "gain_anywhere": jnp.max(gains),
        }

    found = {name: np.asarray(x) for name, x in after_learning(learner.params(state), state.history).items()}
    constant = found["rounds"] == 1
    return {
        **found,
        "constant": constant,
        "price_war": ~constant & np.array([is_price_war(path) for path in found["path"]]),
        "reactions": np.asarray(learner.params(state)),
        "benchmarks": env.benchmarks(params),
        "seconds": seconds,
        "session_periods": int(state.periods.sum()),
    }


def is_price_war(path: np.ndarray) -> bool:
    """Whether movers undercut or match until one jumps up: prices fall more often than they rise, and by less."""
    moved = np.where(np.arange(len(path)) % 2 == 0, path[:, 0], path[:, 1])
    change = np.diff(moved)
    rises, falls = change[change > 0], change[change < 0]
    return bool(len(falls) > len(rises) > 0)


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """The numbers of one study that the table shows."""
    profit = found["profit"].mean(-1)
    constant, war = found["constant"], found["price_war"]
    cycle_profit = found["benchmarks"].get("edgeworth_cycle_profit")
    return {
        "sessions": len(profit),
        "profit": float(profit.mean()),
        "profit_error": float(profit.std() / len(profit) ** 0.5),
        "quantiles": np.quantile(profit, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist(),
        "above_exact_price_war": None if cycle_profit is None else float((profit > cycle_profit).mean()),
        "constant": float(constant.mean()),
        "price_war": float(war.mean()),
        "profit_constant": float(profit[constant].mean()) if constant.any() else None,
        "profit_price_war": float(profit[war].mean()) if war.any() else None,
        "equilibrium_on_path": float((found["gain"] < ROUNDING).mean()),
        "equilibrium": float((found["gain_anywhere"] < ROUNDING).mean()),
        "benchmarks": {name: x for name, x in found["benchmarks"].items() if name.endswith("profit")},
        "session_periods_per_second": found["session_periods"] / found["seconds"],
    }


def print_table(rows: dict[int, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("profit a firm", "price war (exact)", "monopoly", "constant price", "price wars", "mutual best replies")
    table = Table("prices", "sessions", *columns, title="Q-learning firms that move in turns, after learning")
    for num_prices, row in rows.items():
        known = row["benchmarks"]
        war = known.get("edgeworth_cycle_profit")
        numbers = [f"{row['profit']:.4f} ± {row['profit_error']:.4f}", "" if war is None else f"{war:.4f}"]
        shares = [f"{row[name]:.0%}" for name in ("constant", "price_war", "equilibrium_on_path")]
        table.add_row(str(num_prices), str(row["sessions"]), *numbers, f"{known['monopoly_profit']:.4f}", *shares)
    Console(width=120).print(table)


def typical(found: dict[str, Any], kind: np.ndarray) -> int:
    """The session of that kind with the median profit; of all sessions where there is none."""
    profit = found["profit"].mean(-1)
    some = np.flatnonzero(kind) if kind.any() else np.arange(len(profit))
    return int(some[np.argsort(profit[some])[len(some) // 2]])


def undercut(found: dict[str, Any], session: int) -> np.ndarray:
    """Standing prices around a deviation of firm 1 from a price that both keep, to the next lower one."""
    kept = found["path"][session][:UNDERCUT_AT]
    deviation = np.array([max(kept[-1, 0] - 1, 0), kept[-1, 1]], np.int32)
    answers = price_path(jnp.asarray(found["reactions"][session]), jnp.asarray(deviation), 1, PERIODS_SHOWN // 2)
    return np.concatenate([kept, deviation[None], np.asarray(answers)])


def draw_path(axes: Axes, found: dict[str, Any], path: np.ndarray, title: str) -> None:
    """Both standing prices of one session over time, after learning."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    top = found["reactions"].shape[-1] - 1
    path = np.concatenate([path, path[-1:]]) / top  # the last price stands for a period, too
    for firm in range(2):
        look = {**SERIES[firm].line, "linewidth": 1.8, "label": f"firm {firm + 1}"}
        axes.step(range(len(path)), path[:, firm], where="post", **look)
    axes.axhline(0.5, color=FAINT, linewidth=1)
    axes.text(1.01, 0.5, "monopoly", transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=BODY)
    axes.set_ylim(-0.03, 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("period", fontsize=BODY, color=INK)
    axes.set_ylabel("price", fontsize=BODY, color=INK)
    legend(axes, loc="upper right", ncols=2)
    panel_title(axes, title)


def draw_reactions(axes: Axes, known: dict[str, Any]) -> None:
    """The two exact equilibria: what is set against each price; mixtures as two points, sized by probability."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, panel_title, quiet_axes

    quiet_axes(axes, grid="both")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    axes.text(0.97, 0.99, "the same price", color=INK, fontsize=BODY, ha="right", va="bottom")
    shown = (("focal_price", "monopoly price", 0.012), ("edgeworth_cycle", "price war", -0.012))
    for (name, label, shift), look in zip(shown, SERIES, strict=False):
        reactions = known[name]
        top = len(reactions) - 1
        rival, own = np.nonzero(reactions > 1e-9)
        likely = reactions.argmax(1)
        axes.plot(np.arange(top + 1) / top + shift, likely / top, **look.line, linewidth=1.2)
        sizes = 60 * reactions[rival, own]
        axes.scatter(rival / top + shift, own / top, s=sizes, **look.dots, label=label, zorder=3)
    axes.set_xlabel("the rival's price", fontsize=BODY, color=INK)
    axes.set_ylabel("the mover's price", fontsize=BODY, color=INK)
    axes.set_ylim(-0.05, 1.1)
    legend(axes, loc="upper left", handlelength=1)
    panel_title(axes, "Two exact equilibria")


def draw_profits(axes: Axes, found: dict[str, Any]) -> None:
    """Distribution of mean profits over sessions, between the two equilibria."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, panel_title, quiet_axes

    quiet_axes(axes, grid="y")
    profit, known = found["profit"].mean(-1), found["benchmarks"]
    low, high = known["edgeworth_cycle_profit"], known["monopoly_profit"]
    edges = np.linspace(min(0.05, profit.min()), high + 1e-3, 31)
    below = np.zeros(len(edges) - 1)
    for label, kind, look in zip(
        ("one price", "prices in cycles"), (found["constant"], ~found["constant"]), SERIES, strict=False
    ):
        count = np.histogram(profit[kind], edges)[0]
        axes.bar(edges[:-1], count, np.diff(edges), below, align="edge", label=label, **look.bars)
        below = below + count
    top = axes.get_ylim()[1] * 1.12
    axes.set_ylim(0, top)
    for place, name, side in ((low, "price war", "left"), (high, "monopoly", "right")):
        axes.axvline(place, color=FAINT, linewidth=1)
        shift = 0.001 if side == "left" else -0.001
        axes.text(place + shift, top * 0.985, name, ha=side, va="top", color=INK, fontsize=BODY)
    axes.set_xlabel("mean profit of a firm and period", fontsize=BODY, color=INK)
    axes.set_ylabel("sessions", fontsize=BODY, color=INK)
    legend(axes, loc="upper left", bbox_to_anchor=(0.0, 0.92))
    panel_title(axes, f"Learners earn {profit.mean():.3f} with 7 prices, between the two")


def draw_figure(studies: dict[int, dict[str, Any]], path: Path) -> Path:
    from jaxmarl.viz.style import new_figure, write_figure

    figure = new_figure(12.5, 8)
    panels = figure.subplots(2, 2)
    found, finest = studies[7], max(studies)
    draw_reactions(panels[0, 0], found["benchmarks"])
    draw_profits(panels[0, 1], found)
    wars = studies[finest]
    path_of_war = wars["path"][typical(wars, wars["price_war"])]
    draw_path(panels[1, 0], wars, path_of_war, f"A price war that was learned, {finest} prices")
    kept = typical(found, found["constant"])
    draw_path(panels[1, 1], found, undercut(found, kept), f"Undercutting in period {UNDERCUT_AT}, 7 prices")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--prices", type=int, nargs="+", default=[7, 13], help="numbers of prices; 7 is drawn")
    parser.add_argument("--periods", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=2021)
    parser.add_argument("--folder", type=Path, default=Path("runs/edgeworth_cycles"))
    parser.add_argument("--smoke", action="store_true", help="a few periods: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.sessions, args.prices, args.periods = 8, [7], 10_000
    return args


def main() -> None:
    """Learns, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    studies = {num_prices: study(args, num_prices) for num_prices in dict.fromkeys([7, *args.prices])}
    rows = {num_prices: summary(found) for num_prices, found in studies.items()}
    print_table(rows)
    settings = {name: value for name, value in vars(args).items() if name != "folder"}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "studies": rows}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "edgeworth_cycles.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(studies, args.folder / "edgeworth_cycles.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

"""The record agent of repeated rock-paper-scissors: its score against the population, to the published protocol.

    python scripts/reproduce/rrps_record.py [--matches 1000] [--weights FILE]   # the committed weights, or others
    python scripts/reproduce/rrps_record.py --train [--folder runs/rrps_record]
    python scripts/reproduce/rrps_record.py --splits 5 --matches 20     # trained without 10 bots, scored on them
    python scripts/reproduce/rrps_record.py --ablate --matches 20       # needs the folder of --train
    python scripts/reproduce/rrps_record.py --exploiters                # learners trained against the frozen agent
    python scripts/reproduce/rrps_record.py --curves                    # of the training that lies in the folder
    python scripts/reproduce/rrps_record.py --smoke

Half of the matches are in each seat, the agent's memory starts anew every match, it plays the stochastic policy that
was trained, and it is shown its own moves and the opponent's. Finished matches and training rounds are kept in
`--folder`; a run that was stopped goes on. Writes `rrps_record.json` (or `splits.json` …) and `rrps_record.png` there.

Published figures: Lanctot et al., "Population-based Evaluation in Repeated Rock-Paper-Scissors as a Benchmark for
Multiagent Reinforcement Learning", TMLR 2023, arXiv 2303.03196.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from jaxmarl.core.checks import require_int
from jaxmarl.core.files import replace_file
from jaxmarl.evaluation.metrics import AgentScore, mean_and_error, score_returns
from jaxmarl.experiments.rrps_record import evaluation, network
from jaxmarl.experiments.rrps_record.agent import CHECKPOINT, load_params, save_params
from jaxmarl.experiments.rrps_record.matches import MatchPlay
from jaxmarl.experiments.rrps_record.predictors import NAMES
from jaxmarl.experiments.rrps_record.training import train, training_curve
from jaxmarl.experiments.rrps_table import load_cross_table

PUBLISHED = {
    "greenberg, best bot": (288.153, 3.648, 284.505),
    "PopRL, best learned agent": (258.00, 10.98, 247.02),
    "iocainebot, second bot": (255.003, 5.006, 249.997),
    "Q-learning, R=10": (None, None, 8.10),
}
"""PopulationReturn, WithinPopExpl, AggregateScore."""
SMOKE = ("copybot", "peterbot", "pibot", "randbot", "switchbot")


@dataclass
class Args:
    """The record agent of repeated rock-paper-scissors."""

    matches: int = 1000
    """Against each bot, half in each seat."""
    folder: Path = Path("runs/rrps_record")
    """Where finished work is kept and results are written."""
    weights: Path = CHECKPOINT
    """Weights to evaluate."""
    seed: int = 1
    """Of the matches."""
    pairs: int = 1
    """Matches of a call against each bot in each seat: few keep the memories of the bots in cache."""
    train: bool = False
    """Train from nothing and evaluate the result."""
    splits: int = 0
    """Number of splits of 33 bots to train with and 10 unseen ones."""
    ablate: bool = False
    """Score variants of the agent."""
    exploiters: bool = False
    """Train learners against the frozen agent."""
    curves: bool = False
    """Draw the course of the training in the folder."""
    smoke: bool = False
    """Five bots, short matches: that it runs, not what it finds."""

    def __post_init__(self):
        require_int("matches", self.matches, 2)
        require_int("splits", self.splits, 0)
        if self.smoke:
            self.matches = 4


def text(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """A figure with its interval."""
    if value is None:
        return ""
    return f"{value:.1f}" + (f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "")


def print_score(score: AgentScore, names: tuple[str, ...], console: Console) -> None:
    """Ours beside the published figures."""
    title = f"{score.num_matches} matches against each of {score.num_opponents} bots, 95 % intervals"
    table = Table("", "PopulationReturn", "WithinPopExpl", "worst opponent", "AggregateScore", title=title)
    for label, found in (("ours", score.plain), ("ours, split-half", score.split_half)):
        if found is not None:
            table.add_row(
                label,
                text(found.population_return, found.population_return_interval),
                text(found.within_pop_expl, found.within_pop_expl_interval),
                names[found.worst_opponent],
                text(found.aggregate_score, found.aggregate_score_interval),
            )
    table.add_section()
    for label, (returned, loss, aggregate) in PUBLISHED.items():
        table.add_row(f"{label} (published)", text(returned), text(loss), "", text(aggregate))
    console.print(table)


def print_bots(returns: np.ndarray, names: tuple[str, ...], console: Console) -> None:
    """The mean return against each bot, best first, beside greenberg's."""
    mean, error = mean_and_error(returns)
    table, bots = Table("bot", "ours", "s.e.", "greenberg", "best bot"), load_cross_table()
    for k in np.argsort(-mean):
        column = bots.mean[:, bots.names.index(names[k])]
        greenberg = column[bots.names.index("greenberg")]
        table.add_row(names[k], f"{mean[k]:.1f}", f"{error[k]:.1f}", f"{greenberg:.1f}", f"{column.max():.1f}")
    console.print(table)


def draw(returns: np.ndarray, names: tuple[str, ...], score: AgentScore, path: Path) -> Path:
    """Ours and greenberg's return against each bot."""
    from jaxmarl.viz import style

    bots = load_cross_table()
    columns = [bots.names.index(name) for name in names]
    other = bots.mean[bots.names.index("greenberg"), columns]
    mean, error = mean_and_error(returns)
    order = np.lexsort((-other, -mean.round()))
    figure = style.new_figure(7.6, 1.6 + 0.2 * len(names))
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.hlines(places, other[order], mean[order], color="#d5d9de", linewidth=2.2, zorder=1)
    axes.scatter(other[order], places, color=style.FAINT, marker="D", s=18, zorder=2, label="greenberg, the best bot")
    axes.errorbar(
        mean[order], places, xerr=1.96 * error[order], fmt="none", ecolor=style.ACCENT, elinewidth=1, zorder=3
    )
    axes.scatter(mean[order], places, color=style.ACCENT, s=26, zorder=4, label="the record agent")
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set_yticks(places, [names[k] for k in order])
    axes.set_ylim(len(names) - 0.4, -0.6)
    style.quiet_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0, labelsize=style.SMALL)
    axes.set_xlabel("mean return of a match of 1000 throws", fontsize=style.BODY, color=style.INK)
    axes.legend(fontsize=style.BODY, frameon=False, loc="lower right")
    ahead = int((mean > other).sum())
    aggregate = style.minus(f"{score.plain.aggregate_score:.0f}")
    style.panel_title(axes, f"AggregateScore {aggregate}; earns more than greenberg from {ahead} of {len(names)} bots")
    return style.write_figure(figure, path)


def write(args: Args, name: str, record: dict[str, Any], console: Console) -> None:
    """Settings and results as JSON."""
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(args).items()}
    content = json.dumps({"settings": settings, "published": PUBLISHED, **record}, indent=1) + "\n"
    args.folder.mkdir(parents=True, exist_ok=True)
    console.print(f"wrote {replace_file(args.folder / name, content.encode())}")


def evaluate(args: Args, console: Console) -> None:
    """The committed (or just trained) weights against the population."""
    params, matches = load_params(args.weights), MatchPlay(pairs=args.pairs)
    if args.smoke:
        matches = MatchPlay(SMOKE, SMOKE, num_throws=100)
        params = network.narrowed(params, [NAMES.index(name) for name in SMOKE])
    elif args.train:
        began = time.process_time()
        params = train(evaluation.FINAL, args.folder / "training", matches=matches, note=console.print)
        console.print(f"trained in {time.process_time() - began:.0f} s of CPU, less what lay in the folder")
        console.print(f"wrote {save_params(params, args.folder / 'agent.npz')}")
    started = time.perf_counter()
    returns = evaluation.play_matches(
        params, args.folder, args.matches, seed=args.seed, matches=matches, note=console.print
    )
    score = score_returns(returns)
    print_bots(returns, matches.names, console)
    print_score(score, matches.names, console)
    console.print(evaluation.beaten(returns, matches.names))
    mean, error = mean_and_error(returns)
    figures = zip(matches.names, mean.round(3).tolist(), error.round(3).tolist(), strict=True)
    per_bot = {name: found for name, *found in figures}
    seconds = round(time.perf_counter() - started, 1)
    record = {"score": asdict(score), "per_bot_mean_and_error": per_bot, "seconds": seconds}
    write(args, "rrps_record.json", record, console)
    console.print(f"wrote {draw(returns, matches.names, score, args.folder / 'rrps_record.png')}")


def splits(args: Args, console: Console) -> None:
    """Agents trained without 10 bots, on those and on the others."""
    matches = MatchPlay(pairs=args.pairs)
    scores = []
    for split in range(args.splits):
        scores += evaluation.split_scores(split, args.folder, args.matches, matches, note=console.print)
        write(args, "splits.json", {"scores": [asdict(score) for score in scores]}, console)
    title = f"mean (s.d.) over {args.splits} splits, {args.matches} matches a bot"
    table = Table("", "bots", "PopulationReturn", "WithinPopExpl", "AggregateScore", title=title)
    for seen in (True, False):
        for agent in dict.fromkeys(score.agent for score in scores):
            rows = [score for score in scores if score.agent == agent and score.seen is seen]
            cells = []
            for name in ("population_return", "within_pop_expl", "aggregate_score"):
                values = np.array([getattr(row, name) for row in rows])
                cells.append(f"{values.mean():.1f}" + (f" ({values.std(ddof=1):.1f})" if len(values) > 1 else ""))
            table.add_row(agent, "33 seen" if seen else "10 unseen", *cells)
        table.add_section()
    console.print(table)


def ablate(args: Args, console: Console) -> None:
    """What each ingredient is worth."""
    matches = MatchPlay(pairs=args.pairs)
    variants = evaluation.ablations(args.folder / "training", args.folder, note=console.print)
    title = f"{args.matches} matches a bot"
    table = Table("", "PopulationReturn", "WithinPopExpl", "worst opponent", "AggregateScore", title=title)
    rows = {}
    for name, params in variants.items():
        returns = evaluation.play_matches(
            params, args.folder, args.matches, seed=args.seed, matches=matches, note=console.print
        )
        plain = score_returns(returns, num_bootstrap=0).plain
        figures = plain.population_return, plain.within_pop_expl, plain.aggregate_score
        rows[name] = {"figures": figures, "worst": matches.names[plain.worst_opponent]}
        table.add_row(name, text(figures[0]), text(figures[1]), matches.names[plain.worst_opponent], text(figures[2]))
        write(args, "ablations.json", {"rows": rows}, console)
    console.print(table)


def exploit(args: Args, console: Console) -> None:
    """Lower bounds on the exploitability of the frozen agent."""
    table, rows = Table("learner", "throws", "return against the agent", "s.e."), []
    params = load_params(args.weights)
    options: dict[str, Any] = {}
    if args.smoke:
        params = network.narrowed(params, [NAMES.index(name) for name in SMOKE])
        options = {"library": SMOKE, "matches": 8, "lanes": 4}
    for found in evaluation.exploiters(params, seed=args.seed, note=console.print, **options):
        table.add_row(found.name, f"{found.throws:,}", f"{found.mean:.1f}", f"{found.standard_error:.1f}")
        rows.append(asdict(found))
        write(args, "exploiters.json", {"rows": rows}, console)
    console.print(table)


def curves(args: Args, console: Console) -> None:
    """How training went: what was earned while it recorded matches, and the losses of the fits between."""
    from jaxmarl.viz import style

    rounds = training_curve(args.folder / "training")
    figure = style.new_figure(9.6, 3.6)
    left, right = figure.subplots(1, 2)
    throws = [each.throws / 1e6 for each in rounds]
    table = Table(
        "round", "throws so far", "PopulationReturn", "s.e.", "worst bot", "cross-entropy", "payoff of a throw"
    )
    points = []
    for k, each in enumerate(rounds):
        mean, error = float(each.returns.mean()), mean_and_error(each.returns)[1]
        points.append((mean, float(np.sqrt((error**2).sum()) / len(error)), float(each.returns.mean(axis=1).min())))
        ends = [np.mean(each.losses[name][-50:]) for name in ("cross_entropy", "payoff")]
        table.add_row(str(k), f"{each.throws:,}", *(f"{x:.1f}" for x in points[-1]), *(f"{x:.3f}" for x in ends))
    console.print(table)
    means, errors, worst = map(np.array, zip(*points, strict=True))
    left.errorbar(throws, means, 1.96 * errors, **style.SERIES[0].marked, label="mean of all bots")
    left.plot(throws, worst, **style.SERIES[1].marked, label="worst bot")
    left.axhline(PUBLISHED["greenberg, best bot"][0], color=style.FAINT, label="greenberg, the best bot")
    left.set_xlabel("million throws, this round's included", fontsize=style.BODY, color=style.INK)
    style.panel_title(left, "Return of the matches recorded in each round")
    start = 0
    for each in rounds:
        payoff = np.convolve(each.losses["payoff"], np.ones(50) / 50, "valid")
        right.plot(start + 50 + np.arange(len(payoff)), payoff, color=style.ACCENT)
        start += len(each.losses["payoff"])
        right.axvline(start, color=style.FAINT, linewidth=0.8)
    right.set_xlabel("gradient step (lines: matches recorded anew)", fontsize=style.BODY, color=style.INK)
    style.panel_title(right, "Payoff of a throw while fitting, mean of 50")
    style.legend(left)
    for axes in (left, right):
        style.quiet_axes(axes, grid="y")
    found = [{"throws": each.throws, "points": point} for each, point in zip(rounds, points, strict=True)]
    write(args, "training.json", {"rows": found}, console)
    console.print(f"wrote {style.write_figure(figure, args.folder / 'rrps_training.png')}")


def main(args: Args) -> int:
    """Does what is asked for."""
    console = Console()
    console.width = max(console.width, 120)
    jobs = ((ablate, args.ablate), (exploit, args.exploiters), (curves, args.curves))
    todo = [job for job, wanted in jobs if wanted]
    if args.splits:
        todo.append(splits)
    for job in todo or [evaluate]:
        job(args, console)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))

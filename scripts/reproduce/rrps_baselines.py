"""Baselines of repeated rock-paper-scissors against the whole population: tabular learners, and the mixture of bots.

    python scripts/reproduce/rrps_baselines.py [--matches 20] [--seeds 1] [--updates 31] [--out baselines.json]

Trains Q-learning and contextual regret matching with `jaxmarl.learners`, evaluates them, the expert mixture and uniform
play in full matches (half in each seat), and prints the three figures beside the published ones. Few matches bias
WithinPopExpl up: uniform play, whose true value is 0, shows by how much. The expert mixture simulates the bots that it
meets; `--held-out N` adds one that simulates all but N of them, scored against those N alone.

Source: Lanctot et al., "Population-based Evaluation in Repeated Rock-Paper-Scissors as a Benchmark for Multiagent
Reinforcement Learning", TMLR 2023, arXiv 2303.03196.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.files import replace_file
from jaxmarl.core.policy import uniform_policy
from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.seating import Player
from jaxmarl.envs.rps import BOTS, RepeatedRPS, bot_players, expert_mixture, expert_params, split_bots
from jaxmarl.evaluation import score_returns
from jaxmarl.evaluation.cross_play import play
from jaxmarl.learners import QLearningConfig, RegretMatchingConfig, over_seeds, q_learning, regret_matching

THROWS = 500  # of an update
FIGURES = ("population_return", "within_pop_expl", "aggregate_score", "split_half_aggregate")
PUBLISHED = {"Q-learning, R=10": 8.10, "uniform": 0.0}  # AggregateScore
REFERENCES = {
    "greenberg, best bot": (288.153, 3.648, 284.505),
    "PopRL, best learned": (258.00, 10.98, 247.02),
}


@dataclass
class Args:
    """Baselines of repeated rock-paper-scissors against the whole population."""

    matches: int = 20
    """Evaluation matches against each bot, half in each seat."""
    seeds: int = 1
    """Training runs of each learner."""
    train_matches: int = 4
    """Simultaneous training matches against each bot."""
    updates: int = 31
    """Updates of 500 throws. Odd: at the end of a match all lanes have just lowered the values of its last throws."""
    held_out: int = 0
    """Bots that a second expert mixture does not simulate, and is scored against."""
    seed: int = 0
    """Of everything."""
    out: Path | None = None
    """JSON file to write."""

    def __post_init__(self):
        for name in ("seeds", "train_matches", "updates"):
            require_int(name, getattr(self, name), 1)
        require_int("matches", self.matches, 2)
        require(self.matches % 2 == 0, "matches", self.matches, "even, half in each seat")
        require_int("held_out", self.held_out, 0, len(BOTS) - 1)


@dataclass
class Row:
    """Figures of one agent, one entry a seed."""

    agent: str
    population_return: list[float]
    within_pop_expl: list[float]
    aggregate_score: list[float]
    split_half_aggregate: list[float]
    worst_opponent: list[str]
    per_bot: dict[str, float]
    agent_steps: int
    seconds: float


def trained(learn: Callable, config: QLearningConfig | RegretMatchingConfig, args: Args) -> tuple[Player, int]:
    """Runs `args.seeds` seeds of a tabular learner on all bots: the player, and the agent steps of each."""
    env = RepeatedRPS(recall=config.recall, layout="moves")
    learner = learn(PopulationEnv(env, bot_players(env), args.train_matches), config)
    many = over_seeds(learner, args.seeds)

    @partial(jax.jit, donate_argnums=0)
    def run(state):
        return jax.lax.scan(lambda s, _: (many.update(s)[0], None), state, length=args.updates)[0]

    state = run(jax.jit(many.init)(jax.random.key(args.seed)))
    player = Player(learner.policy, learner.params(state), view=env, members=args.seeds)
    return player, args.updates * learner.steps_per_update


def evaluated(
    label: str, agent: Player, args: Args, steps: int, started: float, names: Sequence[str] | None = None
) -> Row:
    """Scores every member of `agent` against the bots called `names` (default: all)."""
    env = agent.view if isinstance(agent.view, RepeatedRPS) else RepeatedRPS(layout="moves")
    names = list(BOTS if names is None else names)
    as_first = np.stack(np.meshgrid(np.arange(agent.size), agent.size + np.arange(len(names)), indexing="ij"), -1)
    as_first = as_first.reshape(-1, 2)
    schedule = np.concatenate([as_first, as_first[:, ::-1]])
    half = args.matches // 2
    per_call = max(d for d in range(1, min(half, 25) + 1) if half % d == 0)
    players = agent, *bot_players(env, names)
    returns = play(env, players, schedule, jax.random.key(args.seed + 1), half, matches_per_call=per_call)
    first, second = returns[: len(as_first), :, 0], returns[len(as_first) :, :, 1]
    by_member = np.concatenate([first, second], axis=1).reshape(agent.size, len(names), args.matches)
    scores = [score_returns(one, num_bootstrap=0) for one in by_member]
    return Row(
        agent=label,
        population_return=[s.plain.population_return for s in scores],
        within_pop_expl=[s.plain.within_pop_expl for s in scores],
        aggregate_score=[s.plain.aggregate_score for s in scores],
        split_half_aggregate=[s.split_half.aggregate_score for s in scores if s.split_half],
        worst_opponent=[names[s.plain.worst_opponent] for s in scores],
        per_bot=dict(zip(names, by_member.mean(axis=(0, 2), dtype=np.float64).round(1).tolist(), strict=True)),
        agent_steps=steps,
        seconds=round(time.perf_counter() - started, 1),
    )


def all_rows(args: Args, note: Callable[[str], None]) -> list[Row]:
    """Trains and evaluates every baseline."""
    rows = []

    def add(label: str, make: Callable[[], tuple[Player, int]], names: Sequence[str] | None = None) -> None:
        started = time.perf_counter()
        player, steps = make()
        rows.append(evaluated(label, player, args, steps, started, names))
        note(f"{label}: {rows[-1].seconds} s")

    for recall in (1, 10):
        q_config = QLearningConfig(recall=recall, steps_per_update=THROWS, log2_size=22)
        add(f"Q-learning, R={recall}", partial(trained, q_learning, q_config, args))
    for recall in (1, 2, 4):
        r_config = RegretMatchingConfig(recall=recall, steps_per_update=THROWS)
        add(f"regret matching, R={recall}", partial(trained, regret_matching, r_config, args))
    add("expert mixture", lambda: (Player(expert_mixture(), expert_params()), 0))
    if args.held_out:
        known, unseen = split_bots(args.seed, args.held_out)
        label = f"expert mixture, {len(unseen)} unseen bots"
        add(label, lambda: (Player(expert_mixture(known), expert_params()), 0), unseen)
    add("uniform", lambda: (Player(uniform_policy(3)), 0))
    return rows


def shown(values: Sequence[float]) -> str:
    """A mean, and the standard deviation over seeds where there are several."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def print_table(rows: Sequence[Row], args: Args, console: Console) -> None:
    """One line an agent, best AggregateScore first, with the published figures."""
    title = f"{args.matches} matches against each bot, {args.seeds} seed(s)"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("agent", no_wrap=True)
    for column in ("Population\nReturn", "WithinPop\nExpl", "Aggregate\nScore", "split-half\nAggregate", "published"):
        table.add_column(column, justify="right", no_wrap=True)
    lines: list[tuple[float, list[str]]] = []
    for row in rows:
        published = f"{PUBLISHED[row.agent]:.2f}" if row.agent in PUBLISHED else ""
        cells = [row.agent, *(shown(getattr(row, figure)) for figure in FIGURES), published]
        few = len(row.per_bot) < len(BOTS)  # figures of other opponents have no place among these
        lines.append((float("-inf") if few else statistics.mean(row.aggregate_score), cells))
    for name, (returned, loss, score) in REFERENCES.items():
        lines.append((score, [f"{name} (published)", f"{returned:.1f}", f"{loss:.1f}", "", "", f"{score:.2f}"]))
    for _, cells in sorted(lines, key=lambda line: -line[0]):
        table.add_row(*cells)
    console.print(table)


def main(args: Args) -> int:
    console = Console()
    console.width = max(console.width, 130)  # a pipe has 80 columns, which would cut the figures
    rows = all_rows(args, console.print)
    print_table(rows, args, console)
    if args.out is not None:
        settings = {name: value for name, value in asdict(args).items() if name != "out"}
        record = {"settings": settings, "published": REFERENCES, "rows": [asdict(row) for row in rows]}
        replace_file(args.out, (json.dumps(record, indent=2) + "\n").encode())
        console.print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))

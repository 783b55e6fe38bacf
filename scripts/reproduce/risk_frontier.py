"""What does a better worst case cost? Mean against conditional value at risk, in three environments of the suite.

    python scripts/reproduce/risk_frontier.py [--tasks battery market_making trust_dilemma] [--seeds 2]
    python scripts/reproduce/risk_frontier.py --smoke

A battery in an imbalance market, a dealer who quotes, and a hunter whose companion may leave him alone with the stag.
In each, one learner that carries a stock (`stock_q` with `shortfall`) learns the play of every risk level at once; a
level is chosen afterwards, by the first stock from which simulated returns have the best conditional value at risk at
it. Then it plays afresh: means and tails are of those episodes, with standard errors of means. Beside it, policies that
are known.

A task and seed is a file in `--folder` when it is done, and not repeated. The table, `risk_frontier.json` and
`risk_frontier.png` are of all files in the folder.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxmarl.core.chance import Uniform
from jaxmarl.core.files import replace_file
from jaxmarl.core.policy import Policy
from jaxmarl.core.vector import VectorEnv
from jaxmarl.core.wrappers import AgainstPolicies, ReturnObserved
from jaxmarl.distributional import cvar, shortfall, uniform_quantile
from jaxmarl.envs.gridworlds.stag_hunt import MarkovStagHunt
from jaxmarl.envs.markets import ImbalanceBattery, MarketMaking
from jaxmarl.learners.value import (
    QuantileHead,
    StockHead,
    ValueConfig,
    WithStock,
    first_returns,
    returns_by_stock,
    stock_q,
    tail_start,
)

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
TAIL = 0.1
"""Level at which tails are compared."""


class Task(NamedTuple):
    """A single-agent environment and where its returns lie.

    Attributes:
        title: of its panel.
        unit: of returns.
        env: the environment.
        params: of it.
        lowest: return that stocks must cover,
        highest: the other end.
        scale: returns are shown times it.
        steps: of training.
        known: policies to compare with.
    """

    title: str
    unit: str
    env: Any
    params: Any
    lowest: float
    highest: float
    scale: float
    steps: int
    known: dict[str, Policy]


def battery() -> Task:
    """24 hours; power is a hundredth of a MW, so that returns are small numbers, and shown as those of 1 MW."""
    env = ImbalanceBattery(num_steps=24)
    params = env.default_params
    params = replace(params, capacity=0.01 * params.capacity, power=0.01 * params.power)
    rest = _constant(1, "rest")
    return Task("Battery", "€ a day", env, params, -4.0, 8.0, 100.0, 300_000, {"rest": rest})


def market_making() -> Task:
    """20 steps, 5 offsets a side; quotes that ignore the inventory are the known policies."""
    env = MarketMaking(num_steps=20, num_levels=5, min_offset=0.0, max_offset=2.0, max_inventory=10)
    params = env.default_params
    params = replace(params, intensity=jnp.asarray(20.0), volatility=jnp.asarray(2.0))
    known = {f"offsets {offset:g}": _constant(6 * k, f"{offset}") for k, offset in enumerate((0, 0.5, 1, 1.5, 2))}
    return Task("Market making", "profit of a day", env, params, -12.0, 16.0, 1.0, 300_000, known)


def trust_dilemma() -> Task:
    """The companion hunts with probability 0.6, else it gathers plants; drawn once an episode, and not told."""
    hunt = MarkovStagHunt(size=4, num_plants=1, num_steps=16, charges=False)
    params = replace(hunt.default_params, gore_penalty=jnp.asarray(3.0), mobility=jnp.asarray(0.5))
    policies = hunt.benchmarks(params)
    companion = either(policies["hunter"], policies["gatherer"], 0.6)
    alone = AgainstPolicies(hunt, (companion,))
    shape = hunt.observation_space(params).shape
    known = {name: _reading(policies[name], shape) for name in ("hunter", "wary_hunter", "gatherer")}
    title = "Trust dilemma"
    return Task(title, "return", ReturnObserved(alone), (params, ((),)), -16.0, 40.0, 1.0, 300_000, known)


TASKS: dict[str, Callable[[], Task]] = {
    "battery": battery,
    "market_making": market_making,
    "trust_dilemma": trust_dilemma,
}


def _constant(action: int, name: str) -> Policy:
    return Policy(lambda chance: (), lambda params, memory, obs, chance: (jnp.int32(action), memory), name=name)


def _reading(policy: Policy, shape: tuple[int, ...]) -> Policy:
    """A policy of the game for whoever also sees the return so far and the time."""

    def act(params: Any, memory: Any, obs: Array, chance: Any) -> Any:
        return policy.act(params, memory, obs[:-2].reshape(shape), chance)

    return Policy(policy.init, act, init_chance=policy.init_chance, act_chance=policy.act_chance, name=policy.name)


def either(first: Policy, second: Policy, probability: float) -> Policy:
    """One of two policies without memory, drawn once an episode."""

    def act(params: Any, memory: Any, obs: Array, chance: Any) -> Any:
        actions = (policy.act((), (), obs, drawn)[0] for policy, drawn in zip((first, second), chance, strict=True))
        return jnp.where(memory, *actions), memory

    chances = first.act_chance, second.act_chance
    return Policy(lambda chance: chance < probability, act, init_chance=Uniform(), act_chance=chances, name="either")


class Frontier:
    """The learner of a task, and how it is judged."""

    def __init__(self, task: Task, steps: int, episodes: int) -> None:
        self.task, low, high = task, -task.highest, -task.lowest
        self.env = WithStock(task.env, low, high)
        self.params = replace(self.env.default_params, env=task.params)
        head = StockHead(QuantileHead(32, kappa=(high - low) / 200), low, high, num_knots=25)
        config = ValueConfig(
            hidden=(128, 128),
            collect=4,
            gradient_steps=6,
            rounds=25,
            batch=128,
            capacity=200_000,
            warmup=4000,
            discount=1.0,
            learning_rate=1e-3,
            anneal_steps=steps,
            target_every=1,
            target_rate=0.01,
            epsilon_end=0.1,
            epsilon_steps=steps // 3,
        )
        self.learner = stock_q(VectorEnv(self.env, 64), shortfall(), config, self.params, head=head)
        updates = max(1, steps // self.learner.steps_per_update)

        def train(key: Array) -> Any:
            state, _ = jax.lax.scan(lambda s, _: self.learner.update(s), self.learner.init(key), length=updates)
            return state.params

        self.stocks = jnp.linspace(low, high, 25)
        judged = VectorEnv(self.env, episodes)

        def play(params: Any, key: Array) -> Array:
            settings = self.stocks, key, task.env.horizon, self.params
            return returns_by_stock(judged, self.learner.policy, params, *settings)[..., 0]

        self.train, self.play = jax.jit(train), jax.jit(play)

    def judge(self, params: Any, key: Array) -> list[dict[str, float]]:
        """Mean and tails at each level, of episodes that chose nothing."""
        choosing, fresh = (self.play(params, each) for each in jax.random.split(key))
        rows = []
        for level in LEVELS:
            stock = tail_start(self.stocks, choosing, level).stock
            row = fresh[int(jnp.argmin(jnp.abs(self.stocks - stock)))]
            rows.append({"level": level, "stock": float(stock), **numbers(row, self.task.scale)})
        return rows


def numbers(returns: Array, scale: float) -> dict[str, float]:
    """Mean with its standard error, and tails, of `[episodes]`."""
    law = uniform_quantile(returns * scale)
    error = float(jnp.std(returns)) * scale / returns.size**0.5
    tails = {f"cvar_{level:g}": float(cvar(law, level)) for level in LEVELS}
    return {"mean": float(jnp.mean(returns)) * scale, "error": error, **tails}


def known_policies(task: Task, episodes: int) -> list[dict[str, Any]]:
    """The same of the policies that are known."""
    env, rows = VectorEnv(task.env, episodes), []
    for name, policy in task.known.items():
        play = jax.jit(lambda key, p=policy: first_returns(env, p, (), key, task.params, task.env.horizon)[:, 0])
        rows.append({"policy": name, **numbers(play(jax.random.key(7)), task.scale)})
    return rows


def run(name: str, args: argparse.Namespace) -> None:
    """Trains and judges the seeds of a task that are not there yet."""
    paths = {seed: args.folder / f"{name}-{seed}.json" for seed in range(args.seeds)}
    missing = {seed: path for seed, path in paths.items() if not path.exists()}
    if not missing:
        return
    task = TASKS[name]()
    frontier = Frontier(task, args.steps or task.steps, args.episodes)
    known = known_policies(task, args.episodes)
    for seed, path in missing.items():
        start = time.process_time()
        params = frontier.train(jax.random.key(seed))
        rows = frontier.judge(params, jax.random.key(100 + seed))
        took = time.process_time() - start
        record = {"task": name, "seed": seed, "process_seconds": took, "rows": rows, "known": known}
        replace_file(path, (json.dumps(record, indent=1) + "\n").encode())
        print(f"{name}, seed {seed}: {took:.0f} s", flush=True)


def print_table(records: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "seed", "play", "first stock", "mean", f"CVaR {TAIL:g}", "CVaR at its level")
    for record in records:
        table.add_section()
        for row in record["rows"]:
            mean = f"{row['mean']:.2f} ± {row['error']:.2f}"
            own = f"{row['cvar_{:g}'.format(row['level'])]:.2f}"
            cells = f"level {row['level']:g}", f"{row['stock']:.2f}", mean, f"{row[f'cvar_{TAIL:g}']:.2f}", own
            table.add_row(record["task"], str(record["seed"]), *cells)
        for row in record["known"] if record["seed"] == 0 else ():
            mean = f"{row['mean']:.2f} ± {row['error']:.2f}"
            table.add_row(record["task"], "", row["policy"], "", mean, f"{row[f'cvar_{TAIL:g}']:.2f}", "")
    Console(width=120).print(table)


def draw_figure(records: list[dict[str, Any]], path: Path) -> Path:
    """A panel a task: mean against the tail, a point a level, a line a seed."""
    from jaxmarl.viz.style import (
        BODY,
        FAINT,
        INK,
        SERIES,
        SMALL,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        write_figure,
    )

    shown = [name for name in TASKS if any(record["task"] == name for record in records)]
    figure = new_figure(4.2 * len(shown), 4.0)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        quiet_axes(axes, grid="y")
        task, own = TASKS[name](), [record for record in records if record["task"] == name]
        for k, record in enumerate(own):
            x = [row[f"cvar_{TAIL:g}"] for row in record["rows"]]
            y = [row["mean"] for row in record["rows"]]
            axes.plot(x, y, **SERIES[k % len(SERIES)].marked, ms=4, linewidth=1.2, label=f"seed {record['seed']}")
            if k == 0:
                for row, a, b in zip(record["rows"], x, y, strict=True):
                    if row["level"] in (0.05, 1.0):
                        text = f"level {row['level']:g}"
                        shift, side = ((-6, -3), "right") if row["level"] == 1.0 else ((6, -10), "left")
                        axes.annotate(
                            text, (a, b), shift, textcoords="offset points", ha=side, fontsize=SMALL, color=INK
                        )
        for row in own[0]["known"]:
            point = row[f"cvar_{TAIL:g}"], row["mean"]
            axes.scatter(*point, color=FAINT, marker="D", s=18, zorder=2)
            axes.annotate(
                row["policy"].replace("_", " "), point, (5, 3), textcoords="offset points", fontsize=SMALL, color=INK
            )
        axes.set_xlabel(f"conditional value at risk, worst {TAIL:.0%} ({task.unit})", fontsize=BODY, color=INK)
        axes.set_ylabel(f"mean ({task.unit})", fontsize=BODY, color=INK)
        axes.margins(x=0.2, y=0.1)
        panel_title(axes, task.title)
    legend(figure)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="of training, in place of each task's own")
    parser.add_argument("--episodes", type=int, default=2000, help="from each stock, to choose and to judge")
    parser.add_argument("--folder", type=Path, default=Path("runs/risk_frontier"))
    parser.add_argument("--smoke", action="store_true", help="one seed, few steps: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.steps, args.episodes, args.tasks = 1, 12_800, 200, ["battery"]
    return args


def main() -> None:
    """Trains what is missing, prints and draws everything in the folder."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.tasks:
        run(name, args)
    paths = [args.folder / f"{name}-{seed}.json" for name in TASKS for seed in range(args.seeds)]
    records = [json.loads(path.read_text()) for path in paths if path.exists()]
    print_table(records)
    written = replace_file(args.folder / "risk_frontier.json", (json.dumps(records, indent=1) + "\n").encode())
    print(f"wrote {written} and {draw_figure(records, args.folder / 'risk_frontier.png')}")


if __name__ == "__main__":
    main()

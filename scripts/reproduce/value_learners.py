"""Deep value learners on CartPole, Catch, DeepSea and a MinAtar game of gymnax, beside published scores.

    python scripts/reproduce/value_learners.py [--learners DQN C51] [--environments CartPole] [--folder runs/values]
    python scripts/reproduce/value_learners.py --smoke

Each cell (learner, environment) trains a few seeds one after another and plays greedily now and then. What is done is
written as `LEARNER-ENVIRONMENT.json` in `--folder` after each seed, and not repeated. Scores are returns of greedy play
at the end, means over seeds with their standard error. The table, `value_learners.json` and the curves in
`value_learners.png` are of all cells in the folder. Needs gymnax.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxmarl.core import VectorEnv
from jaxmarl.core.checks import require
from jaxmarl.core.files import replace_file
from jaxmarl.interop import GymnaxEnvironment
from jaxmarl.learners import Learner
from jaxmarl.learners.value import (
    CategoricalHead,
    FractionHead,
    HistogramHead,
    ImplicitQuantileHead,
    LogLinearMap,
    MappedHead,
    MeanHead,
    PQNConfig,
    QuantileHead,
    ReturnHead,
    ValueConfig,
    deep_q,
    first_returns,
    pqn,
)


class Task(NamedTuple):
    """An environment, how long it is learned, and what is known about it.

    Attributes:
        env: the environment.
        steps: environment steps of training, from a replay.
        on_policy_steps: the same of PQN, which reuses nothing and plays fast.
        low: lowest discounted return, by which the ranges of atoms are set.
        high: highest.
        length: steps of an episode, at most.
        settings: of the learners from a replay.
        on_policy: of PQN, which has more environments.
        best: the best return.
        reference: what others report.
    """

    env: GymnaxEnvironment
    steps: int
    on_policy_steps: int
    low: float
    high: float
    length: int
    settings: dict[str, Any]
    on_policy: dict[str, Any]
    best: float
    reference: str


def deep_sea(size: int, steps: int) -> Task:
    """The end is met once in 2^size episodes of uniform play, so most of the training explores."""
    return Task(
        GymnaxEnvironment("DeepSea-bsuite", (("size", size),)),
        steps,
        steps,
        0.0,
        1.0,
        size,
        {"epsilon_steps": steps * 5 // 6, "n_step": 3, "learning_rate": 1e-3, "target_every": 100},
        {"collect": size, "epochs": 4, "minibatches": 4, "trace": 0.95, "learning_rate": 1e-3},
        0.99,
        f"optimum 0.99; uniform play {2.0**-size - 0.005:.5f}",
    )


TASKS = {
    "CartPole": Task(
        GymnaxEnvironment("CartPole-v1"),
        100_000,
        500_000,
        0.0,
        100.0,
        500,
        {"n_step": 3, "reward_scale": 0.1, "epsilon_steps": 10_000, "gradient_steps": 16, "learning_rate": 1e-3}
        | {"target_every": 1, "target_rate": 0.01},
        {"collect": 64, "epochs": 4, "minibatches": 16, "trace": 0.95, "reward_scale": 0.1, "learning_rate": 1e-4}
        | {"hidden": (256, 256), "epsilon_end": 0.2, "epsilon_steps": 100_000},
        500.0,
        "CleanRL, 500k steps: C51 498.5 ± 1.8, DQN 498.4 ± 2.3; rl-zoo, 50k: QR-DQN 500",
    ),
    "Catch": Task(
        GymnaxEnvironment("Catch-bsuite"),
        20_000,
        20_000,
        -1.0,
        1.0,
        9,
        {"epsilon_steps": 8_000, "learning_rate": 1e-3, "target_every": 100},
        {"collect": 9, "epochs": 4, "minibatches": 8, "learning_rate": 1e-3},
        1.0,
        "optimum 1; blind play -0.6",
    ),
    **{f"DeepSea {size}": deep_sea(size, steps) for size, steps in ((8, 60_000), (10, 150_000), (12, 400_000))},
    "Breakout": Task(
        GymnaxEnvironment("Breakout-MinAtar"),
        300_000,
        500_000,
        0.0,
        20.0,
        1000,
        {"n_step": 3, "epsilon_steps": 50_000, "hidden": (128,), "gradient_steps": 4, "batch": 32}
        | {"learning_rate": 5e-4, "target_every": 1, "target_rate": 0.01},
        {"collect": 32, "epsilon_steps": 50_000, "minibatches": 16, "learning_rate": 5e-4, "hidden": (128,)},
        float("nan"),
        "no table published for this learner",
    ),
}
SHARED = {"hidden": (64, 64), "collect": 4, "gradient_steps": 8, "rounds": 25, "batch": 64, "capacity": 50_000}


def heads(task: Task) -> dict[str, ReturnHead]:
    """The learners from a replay, by name."""
    scale = task.settings.get("reward_scale", 1.0)
    span = scale * (task.high - task.low)
    low, high, kappa = scale * task.low - 0.1 * span, scale * task.high + 0.1 * span, span / 100
    return {
        "DQN": MeanHead(),
        "C51": CategoricalHead(low, high, 51),
        "QR-DQN": QuantileHead(32, kappa=kappa),
        "IQN": ImplicitQuantileHead(kappa=kappa),
        "FQF": FractionHead(16, kappa=kappa),
        "HL-Gauss": HistogramHead(low, high, 51),
        "log-mapped": MappedHead(LogLinearMap(), most=1.5 * scale * task.high),
    }


LEARNERS = (*heads(TASKS["Catch"]), "PQN")


def build(name: str, task: Task, steps: int) -> Learner:
    """A learner of the task, whose schedules end with the training."""
    if name == "PQN":
        options = {"hidden": (128, 128), "epsilon_steps": task.settings["epsilon_steps"], **task.on_policy}
        options |= {"anneal_steps": steps, "epsilon_steps": min(options["epsilon_steps"], steps)}
        return pqn(VectorEnv(task.env, 32), PQNConfig(**options))
    exploring = min(task.settings["epsilon_steps"], steps)
    options = {**SHARED, **task.settings, "epsilon_steps": exploring, "anneal_steps": steps}
    return deep_q(VectorEnv(task.env, 8), heads(task)[name], ValueConfig(**options), name=name)


def greedy_return(task: Task, learner: Learner, episodes: int = 32) -> Callable[[Any, Array], Array]:
    """(params, key) to the mean return of first episodes; one that has not ended counts as far as it came."""
    env = VectorEnv(task.env, episodes)

    def play(params: Any, key: Array) -> Array:
        return jnp.mean(first_returns(env, learner.policy, params, key, env.default_params, task.length))

    return play


def train(name: str, place: str, args: argparse.Namespace, path: Path) -> None:
    """Adds curves of greedy returns to the cell at `path`, until it has those of all seeds.

    Raises:
        ValueError: what is there has other steps, by other `--steps` or `--points`.
    """
    known = json.loads(path.read_text()) if path.exists() else {"curves": []}
    curves, task = known["curves"], TASKS[place]
    done = len(curves)
    if done >= args.seeds:
        return
    steps = args.steps or (task.on_policy_steps if name == "PQN" else task.steps)
    learner = build(name, task, steps)
    chunk = max(1, steps // (args.points * learner.steps_per_update))
    points = -(-steps // (chunk * learner.steps_per_update))  # schedules end with the training, or just before
    places = [chunk * learner.steps_per_update * (k + 1) for k in range(points)]
    require(known.get("steps", places) == places, "steps", f"others in {path}", "those of this run, or another folder")
    play = greedy_return(task, learner)

    def advance(state: Any, key: Array) -> tuple[Any, Array]:
        state, _ = jax.lax.scan(lambda state, _: learner.update(state), state, length=chunk)
        return state, play(learner.params(state), key)

    start = time.perf_counter()
    init = jax.jit(learner.init).lower(jax.random.key(0)).compile()
    state = init(jax.random.key(0))
    jitted: Any = jax.jit(advance, donate_argnums=0).lower(state, jax.random.key(0)).compile()
    compiled = time.perf_counter() - start
    for seed in range(done, args.seeds):
        init_key, *keys = jax.random.split(jax.random.key(args.seed + seed), points + 1)
        state, curve = init(init_key), []
        for key in keys:
            state, value = jitted(state, key)
            curve.append(float(value))
        curves.append(curve)
        print(f"{name} on {place}, seed {seed}: {curve[-1]:.3f}", flush=True)
        seconds = (time.perf_counter() - start - compiled) / (seed + 1 - done)
        facts = {"compile_seconds": compiled, "seconds_a_seed": seconds, "steps_per_second": places[-1] / seconds}
        cell = {"learner": name, "environment": place, "steps": places, "curves": curves, **facts}
        replace_file(path, (json.dumps(cell, indent=1) + "\n").encode())


def cell_path(folder: Path, name: str, place: str) -> Path:
    return folder / f"{name}-{place.replace(' ', '_')}.json"


def scores(row: dict[str, Any]) -> tuple[float, float, float]:
    """Mean of the last two points of each seed, over seeds; its standard error; the worst seed."""
    last = np.array(row["curves"])[:, -2:].mean(1)
    error = last.std(ddof=1) / last.size**0.5 if last.size > 1 else float("nan")
    return float(last.mean()), float(error), float(last.min())


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("environment", "learner", "seeds", "steps", "return", "worst seed", "s a seed", "steps/s")
    for place, task in ((place, task) for place, task in TASKS.items() if any(r["environment"] == place for r in rows)):
        table.add_section()
        for row in (row for row in rows if row["environment"] == place):
            mean, error, worst = scores(row)
            numbers = f"{mean:.3f} ± {error:.3f}", f"{worst:.3f}"
            speed = f"{row['seconds_a_seed']:.0f}", f"{row['steps_per_second']:.0f}"
            table.add_row(place, row["learner"], str(len(row["curves"])), str(row["steps"][-1]), *numbers, *speed)
        table.add_row(place, f"[italic]{task.reference}", "", "", "", "", "", "")
    Console(width=150).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """Curves of greedy returns, one panel an environment: mean over seeds, and from the worst to the best of them."""
    from jaxmarl.viz.style import (
        BODY,
        FAINT,
        INK,
        SERIES,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        seed_curves,
        write_figure,
    )

    shown = [place for place in TASKS if any(row["environment"] == place for row in rows)]
    figure = new_figure(3.6 * len(shown) + 1, 3.8)
    looks = dict(zip(LEARNERS, SERIES, strict=False))
    for axes, place in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        quiet_axes(axes, grid="y")
        for row in (row for row in rows if row["environment"] == place):
            steps, curves = np.array(row["steps"]) / 1000, np.array(row["curves"])
            seed_curves(axes, steps, curves, looks[row["learner"]], row["learner"], 1.4, crowded=True)
        if np.isfinite(TASKS[place].best):
            axes.axhline(TASKS[place].best, color=FAINT, linewidth=0.8)
        axes.set_xlabel("thousand steps", fontsize=BODY, color=INK)
        if place == shown[0]:
            axes.set_ylabel("return of greedy play", fontsize=BODY, color=INK)
        panel_title(axes, place)
    legend(figure)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--environments", nargs="+", choices=list(TASKS), default=["CartPole", "Catch", "DeepSea 8"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2017, help="of the first run")
    parser.add_argument("--steps", type=int, default=0, help="of training, in place of each environment's own")
    parser.add_argument("--points", type=int, default=20, help="of a curve, about")
    parser.add_argument("--folder", type=Path, default=Path("runs/value_learners"))
    parser.add_argument("--smoke", action="store_true", help="two learners, few steps: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.learners, args.environments = ["DQN", "PQN"], ["Catch"]
        args.seeds, args.steps, args.points = 2, 4000, 2
    return args


def main() -> None:
    """Trains what is missing, prints and draws everything in the folder."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    for place in args.environments:
        for name in args.learners:
            train(name, place, args, cell_path(args.folder, name, place))
    files = [cell_path(args.folder, name, place) for place in TASKS for name in LEARNERS]
    rows = [json.loads(path.read_text()) for path in files if path.exists()]
    print_table(rows)
    written = replace_file(args.folder / "value_learners.json", (json.dumps(rows, indent=1) + "\n").encode())
    print(f"wrote {written} and {draw_figure(rows, args.folder / 'value_learners.png')}")


if __name__ == "__main__":
    main()

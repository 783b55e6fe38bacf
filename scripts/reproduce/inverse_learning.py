"""Two cooperators are imitated from a few recorded episodes: behaviour cloning and inverse Q-learning (MAMQL).

    python scripts/reproduce/inverse_learning.py [--seeds 5] [--updates 4] [--folder runs/inverse_learning]
    python scripts/reproduce/inverse_learning.py --smoke

The experts cooperate in the Coin Game: each goes to coins of its own, along shortest paths, and leaves the other's.
Learners see what the experts saw and did, never a reward: behaviour cloning, MAMQL from the recording alone, and MAMQL
that also plays, so that values are pushed down where its own play leads. The same networks, batches and gradient steps
serve all three; seeds and numbers of recorded episodes are one program. Returns are sums over both players. The numbers
go to `inverse_learning.json` and `.png` in `--folder`.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl import VectorEnv
from jaxmarl.core.files import replace_file
from jaxmarl.core.rollout import Actor, actor_from_group_policy, actor_from_policy, rollout, start_rollout
from jaxmarl.envs.dilemmas import CoinGame
from jaxmarl.learners.offline import MAMQLConfig, collect, mamql

GAME = CoinGame(size=5, num_steps=16, egocentric=True)
ROWS = 64  # recorded episodes at most, and environments
BASE = MAMQLConfig(
    hidden=(64, 64), batch=64, updates=250, learning_rate=3e-3, discount=0.95, interact=False, collect=GAME.num_steps
)
LEARNERS = {
    "behaviour cloning": replace(BASE, alpha=math.inf, consistency=0.0),
    "MAMQL, recorded": BASE,
    # with play, policies are drawn to uniform ones the more, the smaller α is: 0.5 ends at 0.4, 1.8, 3.8 and 5.1
    "MAMQL, recorded and played": replace(BASE, interact=True, alpha=20.0),
}


def cooperators() -> Actor:
    """Both experts; recorded play says which moves are legal, here all."""
    policy = GAME.benchmarks(GAME.default_params)["cooperate"]
    act = lambda params, memory, seen, chance: policy.act(params, memory, seen.obs, chance)  # noqa: E731
    return actor_from_policy(replace(policy, act=act, masked=True), ROWS, GAME.num_agents)


def team_return(env: VectorEnv, actor: Actor, params: Any, key: jax.Array) -> jax.Array:
    """Mean return of the team over an episode of each environment."""
    numbers = env.default_params
    start_key, key = jax.random.split(key)
    carry = start_rollout(env, actor, start_key, numbers)
    _, played, _ = rollout(env, actor, params, carry, key, numbers, GAME.num_steps, keep_info=False)
    return played.reward.sum((0, 2)).mean()


def imitate(name: str, args: argparse.Namespace, env: VectorEnv, recorded: Any, score: Any) -> np.ndarray:
    """Returns `[seeds, sizes, updates]` of what a learner plays after each update."""
    learner = mamql(env, LEARNERS[name])

    def one(state, steps, size):
        # the first episodes over and over, so that all numbers of them have one shape
        return learner.update(state, jax.tree.map(lambda x: x[:, jnp.arange(ROWS) % size], steps))

    advance = jax.jit(jax.vmap(jax.vmap(one, (0, None, 0)), (0, 0, None)))
    keys = jax.random.split(jax.random.key(args.seed), (args.seeds, len(args.episodes)))
    state = jax.jit(jax.vmap(jax.vmap(learner.init)))(keys)
    returns = []
    for update in range(args.updates):
        state, metrics = advance(state, recorded, jnp.asarray(args.episodes))
        returns.append(np.asarray(score(learner.params(state)["critic"], jax.random.key(args.seed + 1 + update))))
        means, likelihood = returns[-1].mean(0).round(2), np.asarray(metrics["log_likelihood"]).mean(0).round(3)
        print(f"{name}: update {update + 1}, returns {means}, log-likelihoods {likelihood}", flush=True)
    return np.stack(returns, -1)


def print_table(rows: list[dict[str, Any]], expert: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("recorded episodes", *LEARNERS, title=f"Return of the team at the end; experts' {expert:.3f}")
    for size in dict.fromkeys(row["episodes"] for row in rows):
        cells = [f"{row['mean']:.3f} ± {row['error']:.3f}" for row in rows if row["episodes"] == size]
        table.add_row(str(size), *cells)
    Console(width=120).print(table)


def draw_figure(rows: list[dict[str, Any]], expert: float, path: Path) -> Path:
    """Returns against the number of recorded episodes."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    quiet_axes(axes, grid="y")
    axes.axhline(expert, color=FAINT, linewidth=1)
    for name, look in zip(LEARNERS, SERIES, strict=False):
        own = [row for row in rows if row["learner"] == name]
        sizes, means, errors = ([row[key] for row in own] for key in ("episodes", "mean", "error"))
        axes.errorbar(sizes, means, errors, **look.marked, capsize=3, label=name)
    sizes = sorted({row["episodes"] for row in rows})
    axes.text(sizes[0], expert, "experts", color=INK, fontsize=BODY, va="bottom", ha="left")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(min(0, min(row["mean"] for row in rows)), 1.1 * expert)
    axes.set_xlabel("recorded episodes", fontsize=BODY, color=INK)
    legend(axes, loc="lower right")
    panel_title(axes, "Return of the imitating team (mean and standard error of seeds)")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=4, help="of 250 gradient steps each")
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 4, 16, 64], help=f"recorded, at most {ROWS}")
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--folder", type=Path, default=Path("runs/inverse_learning"))
    parser.add_argument("--smoke", action="store_true", help="one seed and one update: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.updates, args.episodes = 1, 1, [4]
    return args


def main() -> None:
    """Records, imitates, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    env = VectorEnv(GAME, ROWS)
    expert = cooperators()
    keys = jax.random.split(jax.random.key(args.seed), args.seeds + 1)
    recorded = jax.jit(jax.vmap(lambda key: collect(env, expert, (), key, GAME.num_steps)))(keys[1:])
    best = float(jax.jit(jax.vmap(partial(team_return, env, expert, ())))(jax.random.split(keys[0], 50)).mean())
    actor = actor_from_group_policy(mamql(env, BASE).policy, ROWS)  # all learners play by their marginal critics
    games = lambda critic, key: team_return(env, actor, {"critic": critic}, key)  # noqa: E731
    score = jax.jit(jax.vmap(jax.vmap(games, (0, None)), (0, None)))
    settings = {name: getattr(args, name) for name in ("seeds", "updates", "episodes", "seed")}
    rows: list[dict[str, Any]] = []
    record: dict[str, Any] = {"settings": settings, "experts": best, "rows": rows, "returns": {}}
    for name in LEARNERS:
        returns = imitate(name, args, env, recorded, score)
        for i, size in enumerate(args.episodes):
            last = returns[:, i, -1]
            error = float(last.std(ddof=1) / len(last) ** 0.5) if len(last) > 1 else 0.0
            rows.append({"learner": name, "episodes": size, "mean": float(last.mean()), "error": error})
        record["returns"][name] = returns.tolist()
        content = json.dumps({**record, "seconds": time.perf_counter() - start}, indent=1) + "\n"
        args.folder.mkdir(parents=True, exist_ok=True)
        written = replace_file(args.folder / "inverse_learning.json", content.encode())
    print_table(rows, best)
    figure = draw_figure(rows, best, args.folder / "inverse_learning.png")
    print(f"{time.perf_counter() - start:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

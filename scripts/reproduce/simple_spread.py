"""Independent PPO of this project on `simple_spread` of the public JaxMARL, through the adapter.

    pip install --no-deps --target PEER jaxmarl==0.2.0
    python scripts/reproduce/simple_spread.py PEER [--seeds 5] [--steps 2000000] [--folder runs/simple_spread]
    python scripts/reproduce/simple_spread.py PEER --smoke

Three agents, three landmarks, 26 steps. Returns are of one agent over an episode: -27.4 by uniform play, -24.9 by
standing still (4096 episodes, computed apart), above -23.5 asked after two million steps of the environment. (The
public package's own logs of this environment multiply by three.) Numbers go to `simple_spread.json` and `.png`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.core.vector import VectorEnv
from jaxmarl.interop import AgentDictEnvironment, import_public
from jaxmarl.learners import ippo_config, mappo, over_seeds

LENGTH, INSTANCES = 26, 80
KNOWN = {"uniform": -27.37, "standing still": -24.87, "asked for": -23.5}


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Mean return of an agent in every update, by seed."""
    public: Any = import_public(args.peer, "jaxmarl.environments.mpe")
    env = AgentDictEnvironment(public.SimpleSpreadMPE(), steps=LENGTH)
    updates = max(args.steps // (LENGTH * INSTANCES), 2)
    config = ippo_config(
        hidden=64,
        chunk_length=LENGTH,
        epochs=4,
        minibatches=4,
        learning_rate=1e-3,
        anneal_updates=updates,
        agent_id=False,
    )
    runs = over_seeds(mappo(VectorEnv(env, INSTANCES), config), args.seeds)
    started = time.perf_counter()
    state = jax.jit(runs.init)(jax.random.key(args.seed))
    chunk = jax.jit(lambda s: jax.lax.scan(lambda s, _: runs.update(s), s, length=max(updates // 10, 1)))
    curves = []
    for _ in range(10 if updates >= 10 else updates):
        state, metrics = chunk(state)
        curves.append(np.asarray(metrics["episode_return"]))
        steps = sum(map(len, curves)) * LENGTH * INSTANCES
        print(f"{steps:,} steps: {curves[-1][-5:].mean():.2f}, {time.perf_counter() - started:.0f} s", flush=True)
    returns = np.concatenate(curves).T
    tail = max(returns.shape[1] // 20, 1)
    final = returns[:, -tail:].mean(1)
    record = {"seconds": time.perf_counter() - started, "steps": LENGTH * INSTANCES, "known": KNOWN}
    return record | {"final": final.round(3).tolist(), "returns": returns.round(3).tolist()}


def draw(found: dict[str, Any], path: Path) -> Path:
    """Returns by steps of the environment, a line a seed."""
    from jaxmarl.viz.style import ACCENT, BODY, FAINT, INK, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    quiet_axes(axes, grid="y")
    for row in found["returns"]:
        width = max(len(row) // 40, 1)
        smooth = np.convolve(row, np.ones(width) / width, "valid")
        steps = (np.arange(len(smooth)) + width) * found["steps"] / 1e6
        axes.plot(steps, smooth, color=ACCENT, linewidth=1.1, alpha=0.8)
    for name, level in KNOWN.items():
        axes.axhline(level, color=FAINT, linewidth=0.9, linestyle="--")
        axes.annotate(name, (0, level), (2, 3), textcoords="offset points", fontsize=BODY, color=INK)
    axes.set_xlabel("million steps of the environment", fontsize=BODY, color=INK)
    panel_title(axes, "simple_spread: return of an agent, learned by independent PPO")
    return write_figure(figure, path)


def main() -> None:
    """Trains, prints and writes everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", type=Path, help="folder in which the public package is installed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2_000_000, help="of the environment, for each seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/simple_spread"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.steps = 1, 4 * LENGTH * INSTANCES
    found = train(args)
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "simple_spread.json", (json.dumps(found) + "\n").encode())
    mean, low, high = np.mean(found["final"]), min(found["final"]), max(found["final"])
    print(f"last twentieth: {mean:.2f} ({low:.2f} to {high:.2f}) over {args.seeds} seeds, {found['seconds']:.0f} s")
    print(f"wrote {written} and {draw(found, args.folder / 'simple_spread.png')}")


if __name__ == "__main__":
    main()

"""How do heterogeneous-agent soft actor-critics learn beside HAPPO, on the climbing game and on foraging?

    python scripts/reproduce/hasac.py [--seeds 5] [--games climbing foraging]
    python scripts/reproduce/hasac.py --smoke

Expected: in the climbing game HASAC of temperature 1 settles where soft responses in turn do, at a payoff of 6.700;
HAPPO, without a temperature, at the safer of its two good equilibria, 7. In foraging, where both agents must load the
one food together, the most is 1/2 each. Curves are returns of play in training, the mean over seeds and their range. A
game and learner is a cell; cells that are in `--folder` are not run again. Numbers go to `hasac.json` and `.png` there.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from learning_cells import all_cells, known_line, print_cells, write_cells

from jaxmarl.core import VectorEnv
from jaxmarl.envs.gridworlds import Foraging
from jaxmarl.learners import HAPPOConfig, HASACConfig, Learner, happo, hasac, over_seeds
from jaxmarl.testing.probes import Climbing

LEARNERS = ("hasac", "happo")
POINTS = 32  # of a curve
GAMES: dict[str, dict[str, float]] = {
    "climbing": {"best": 11.0, "soft responses, T = 1": 6.700},
    "foraging": {"all food": 0.5},
}
TITLES = {"climbing": "Climbing game: payoff", "foraging": "Foraging, 5 x 5, one food for two: return, each"}
STEPS = {"climbing": 16_384, "foraging": 262_144}  # of all instances together


def make_learner(game: str, name: str) -> Learner:
    """The learner of a cell; its updates divide a point of the curve."""
    if game == "climbing":
        if name == "happo":
            common: dict[str, Any] = {"hidden": 16, "chunk_length": 1, "value_norm": False}
            return happo(VectorEnv(Climbing(), 64), HAPPOConfig(**common, learning_rate=1e-2, entropy_weight=0.003))
        tabular = HASACConfig(
            hidden=(32,),
            collect=1,
            rounds=64,
            batch=64,
            capacity=4096,
            warmup=1024,
            learning_rate=0.01,
            actor_learning_rate=0.003,
            anneal_steps=2 * STEPS[game],
            max_grad_norm=100.0,
            target_rate=0.05,
            temperature=0.1,
            reward_scale=0.1,
        )
        return hasac(VectorEnv(Climbing(), 8), tabular)
    env = VectorEnv(Foraging(2, 1, 5, coop=True, num_steps=20), 16)
    if name == "happo":
        return happo(env, HAPPOConfig(hidden=64, chunk_length=64, discount=0.95, learning_rate=1e-3))
    return hasac(env, foraging_config())


def foraging_config() -> HASACConfig:
    """Temperatures keep entropies at a fifth of the most, so that no team gives up before it has found food."""
    return HASACConfig(
        hidden=(64, 64),
        collect=4,
        rounds=128,
        gradient_steps=2,
        batch=128,
        capacity=50_000,
        warmup=2000,
        n_step=3,
        discount=0.95,
        learning_rate=1e-3,
        actor_learning_rate=5e-4,
        temperature=0.02,
        entropy=0.2,
        target_rate=0.01,
    )


def run_cell(game: str, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Curves of all seeds: mean returns of the episodes that ended since the last point."""
    learner = make_learner(game, name)
    agents = 2
    updates = max(STEPS[game] * agents // (POINTS * learner.steps_per_update), 1)
    runs = over_seeds(learner, args.seeds)

    def point(state):
        state, metrics = jax.lax.scan(lambda s, _: runs.update(s), state, length=updates)
        return state, jnp.nanmean(metrics["episode_return"], axis=0)

    begin = time.perf_counter()
    state, curves, advance = jax.jit(runs.init)(jax.random.key(args.seed)), [], jax.jit(point)
    for i in range(2 if args.smoke else POINTS):
        state, value = advance(state)
        curves.append(np.asarray(value))
        if i % 8 == 7:
            print(f"{game} {name} {i + 1}/{POINTS}: {np.round(curves[-1], 3)}", flush=True)
    steps = [(i + 1) * updates * learner.steps_per_update // agents for i in range(len(curves))]
    found = np.stack(curves, 1)
    row = {"game": game, "learner": name, "seconds": time.perf_counter() - begin, "steps": steps}
    return {**row, "curves": np.round(found, 5).tolist(), "final": np.round(found[:, -1], 5).tolist()}


def draw_figure(cells: list[dict[str, Any]], path: Path) -> Path:
    """A panel for each game: means of seeds, their range, and what is known."""
    from jaxmarl.viz.style import (
        BODY,
        INK,
        SERIES,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        seed_curves,
        write_figure,
    )

    looks = dict(zip(LEARNERS, SERIES, strict=False))
    games = list(dict.fromkeys(cell["game"] for cell in cells))
    figure = new_figure(5.5 * len(games), 3.6)
    for axes, game in zip(np.atleast_1d(figure.subplots(1, len(games))), games, strict=True):
        quiet_axes(axes, grid="y")
        for cell in (cell for cell in cells if cell["game"] == game):
            name, steps = cell["learner"], np.array(cell["steps"]) / 1000
            seed_curves(axes, steps, np.array(cell["curves"]), looks[name], name.upper())
        for label, height in GAMES[game].items():
            below = height < max(GAMES[game].values())  # where no curve goes
            known_line(axes, label, height, right=True, below=below)
        axes.set_xlabel("steps of all instances, thousands", fontsize=BODY, color=INK)
        axes.set_ylim(bottom=0)
        legend(axes, fontsize=BODY - 1, loc="lower right")
        panel_title(axes, TITLES[game])
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=list(GAMES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--folder", type=Path, default=Path("runs/hasac"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.games, args.seeds, args.folder = ["climbing"], 2, args.folder / "smoke"
    return args


def main() -> None:
    """Runs what is missing, prints and writes everything."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    cells = all_cells(args, LEARNERS, run_cell)
    print_cells(cells, "Returns of play in the last part of training")
    written = write_cells(args.folder / "hasac.json", cells, args)
    print(f"wrote {written} and {draw_figure(cells, args.folder / 'hasac.png')}")


if __name__ == "__main__":
    main()

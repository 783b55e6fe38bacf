"""What do values of teams add to independent Q-learning? IQL, VDN, QMIX and PQN-VDN on five games of two agents.

    python scripts/reproduce/value_decomposition.py [--seeds 5] [--games two_step climbing foraging ...]
    python scripts/reproduce/value_decomposition.py --smoke

Expected: in the two-step game sums settle for 7 and monotonic mixers find 8 (Rashid et al. 2018); in the climbing game
11 is missed (the best monotone fit prefers 5, the next 6); in the Coin Game independent learners of their own rewards
defect (0 a step), and those of the sum of rewards approach the ceiling of 0.3486 a step each; in the trust dilemma
(a gored hunter loses 2) pairs that gather earn 17.7 each, pairs that hunt 88.9. Curves are of greedy play, the mean
over seeds and their range. A game and learner is a cell; cells that are in `--folder` are not run again. Numbers go to
`value_decomposition.json` and `.png` there. The settings are those of `jaxmarl.experiments.team_values`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from learning_cells import all_cells, known_line, print_cells, write_cells

from jaxmarl.experiments.presets import learn_curves
from jaxmarl.experiments.team_values import GAMES, LEARNERS, POINTS, team_learner, team_score

TITLES = {
    "two_step": "Two-step game: return",
    "climbing": "Climbing game: return",
    "foraging": "Foraging, 6 x 6, two foods: team's return",
    "coin_game": "Coin Game: reward a step, each",
    "trust_dilemma": "Trust dilemma: return, each",
}


def run_cell(game: str, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Curves of all seeds: greedy returns after each twentieth of the training."""
    about = GAMES[game]._replace(rounds=POINTS) if args.smoke else GAMES[game]
    learner = team_learner(name, about)
    updates = max(about.steps // (POINTS * learner.steps_per_update), 1)
    keys = jax.vmap(jax.random.split)(jax.random.split(jax.random.key(args.seed), args.seeds))
    scored = jax.vmap(lambda key: jax.random.split(key, POINTS))(keys[:, 1])
    begin = time.perf_counter()
    curves = learn_curves(learner, team_score(learner, about), updates, keys[:, 0], scored)
    steps = [(i + 1) * updates * learner.steps_per_update // about.env.num_agents for i in range(POINTS)]
    row = {"game": game, "learner": name, "seconds": time.perf_counter() - begin, "steps": steps}
    return {**row, "curves": np.round(curves, 5).tolist(), "final": np.round(curves[:, -3:].mean(1), 5).tolist()}


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
    widths = dict(zip(LEARNERS, (4.5, 3.0, 2.0, 1.0), strict=True))  # so that curves on top of each other are seen
    games = list(dict.fromkeys(cell["game"] for cell in cells))
    rows = -(-len(games) // 2)
    figure = new_figure(11, 3.6 * rows)
    panels = np.atleast_1d(figure.subplots(rows, min(len(games), 2))).ravel()
    for axes, game in zip(panels, games, strict=False):
        quiet_axes(axes, grid="y")
        for cell in (cell for cell in cells if cell["game"] == game):
            name, steps = cell["learner"], np.array(cell["steps"]) / 1000
            label = name.replace("_", "-").upper()
            seed_curves(axes, steps, np.array(cell["curves"]), looks[name], label, widths[name])
        for label, height in GAMES[game].known.items():
            known_line(axes, label, height)
        axes.set_xlabel("steps, thousands", fontsize=BODY, color=INK)
        panel_title(axes, TITLES[game])
    for axes in panels[len(games) :]:
        axes.set_visible(False)
    legend(figure)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=list(GAMES))
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS), choices=LEARNERS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2018)
    parser.add_argument("--folder", type=Path, default=Path("runs/value_decomposition"))
    parser.add_argument("--smoke", action="store_true", help="a few rounds: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.games, args.learners, args.seeds = ["two_step"], ["iql", "pqn_vdn"], 2
        args.folder = args.folder / "smoke"
    return args


def main() -> None:
    """Runs what is missing, prints and writes everything."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    cells = all_cells(args, args.learners, run_cell)
    print_cells(cells, "Greedy play at the end of training")
    written = write_cells(args.folder / "value_decomposition.json", cells, args)
    print(f"wrote {written} and {draw_figure(cells, args.folder / 'value_decomposition.png')}")


if __name__ == "__main__":
    main()

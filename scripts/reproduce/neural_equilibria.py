"""Are equivariant equilibrium approximators beneficial? Trained on the same games, compared on games they never saw.

    python scripts/reproduce/neural_equilibria.py [--steps 2000] [--seeds 5] [--games 1000] [--folder runs/neural]
    python scripts/reproduce/neural_equilibria.py --smoke

An equivariant network and a perceptron of about as many weights learn Nash, correlated and coarse correlated equilibria
of 3x3 games from `--games` random games a seed; the trained perceptron is also averaged over all relabellings of a game
(Duan, Ma and Deng 2023). Gaps are in units of the payoff range, recomputed from each game; the excess loss is how far
the loss is above its minimum. The numbers go to `neural_equilibria.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxmarl.core.files import replace_file
from jaxmarl.games import NormalFormGame, symmetric_game
from jaxmarl.games.zoo import (
    random_congestion,
    random_covariant,
    random_general_sum,
    random_polymatrix,
    random_potential,
    random_symmetric,
    random_ties,
    random_zero_sum,
)
from jaxmarl.learners.base import over_seeds
from jaxmarl.solvers.neural import (
    NeuralApproximator,
    NeuralConfig,
    concept_loss,
    concept_solution,
    least_loss,
    neural_approximator,
    relative_gap,
    welfare_ratio,
)

CONCEPTS = ("nash", "ce", "cce")
LABELS = {
    "equivariant": "equivariant",
    "plain": "plain",
    "orbit_averaged": "plain, orbit-averaged",
    "uniform": "uniform play",
}
SIZE = (3, 3)

FAMILIES: dict[str, Callable[[Array], NormalFormGame]] = {
    "held-out": partial(random_general_sum, num_actions=SIZE),
    "zero-sum": partial(random_zero_sum, num_actions=SIZE),
    "covariant .5": partial(random_covariant, num_actions=SIZE, correlation=0.5),
    "potential": partial(random_potential, num_actions=SIZE),
    "polymatrix": partial(random_polymatrix, num_actions=SIZE),
    "congestion": partial(random_congestion, num_players=2, num_resources=3, num_actions=3),
    "symmetric": partial(random_symmetric, num_actions=3),
    "ties": partial(random_ties, num_actions=SIZE),
}
OTHER_SIZES: dict[str, Callable[[Array], NormalFormGame]] = {
    "2x2": partial(random_general_sum, num_actions=(2, 2)),
    "4x4": partial(random_general_sum, num_actions=(4, 4)),
    "5x3": partial(random_general_sum, num_actions=(5, 3)),
    "6x6": partial(random_general_sum, num_actions=(6, 6)),
    "3x3x3": partial(random_general_sum, num_actions=(3, 3, 3)),
}


def draw(sample: Callable[[Array], NormalFormGame], count: int, key: Array) -> NormalFormGame:
    return jax.jit(jax.vmap(sample))(jax.random.split(key, count))


def train(config: NeuralConfig, steps: int, seeds: int) -> tuple[PyTree, NormalFormGame, float]:
    """Weights and training games with a leading axis of seeds, and the seconds it took."""
    learner = over_seeds(neural_approximator(config), seeds)
    start = time.perf_counter()
    state = jax.jit(learner.init)(jax.random.key(0))
    state, _ = jax.jit(lambda state: jax.lax.scan(lambda s, _: learner.update(s), state, length=steps))(state)
    jax.block_until_ready(state.params)
    return state.params, state.games, time.perf_counter() - start


def evaluator(approximator: NeuralApproximator) -> Callable[[PyTree, NormalFormGame], dict[str, Array]]:
    """(weights, games) -> gap, welfare ratio and loss `[seeds, games]`; both arguments lead with the axis of seeds."""
    config = approximator.config

    def one(params: PyTree, game: NormalFormGame) -> dict[str, Array]:
        outputs = approximator.outputs(params, game)
        solution = concept_solution(game, outputs, config.concept)
        gap, welfare = relative_gap(game, solution), welfare_ratio(game, solution)
        return {"gap": gap, "welfare": welfare, "loss": concept_loss(game, outputs, config.concept)}

    of_seed = jax.vmap(one, in_axes=(None, 0))
    return jax.jit(lambda params, games: jax.lax.map(lambda pair: of_seed(*pair), (params, games)))


def summary(values: dict[str, Array], least: Array | None) -> dict[str, list[float]]:
    """Per seed: mean and largest gap, welfare ratio, and mean excess of the loss where its minimum is given."""
    row = {"mean_gap": values["gap"].mean(1), "max_gap": values["gap"].max(1), "welfare": values["welfare"].mean(1)}
    if least is not None:
        row["excess"] = (values["loss"] - least).mean(1)
    return {name: [float(value) for value in column] for name, column in row.items()}


def uniform_rows(concept: Any, games: dict[str, NormalFormGame]) -> list[dict[str, Any]]:
    """What needs no network: the gap of uniform play."""

    def one(game: NormalFormGame) -> tuple[Array, Array]:
        sizes = game.num_actions
        zeros = tuple(jnp.zeros((size, size) if concept == "ce" else (size,)) for size in sizes)
        solution = concept_solution(game, game.uniform_strategies() if concept == "nash" else zeros, concept)
        return relative_gap(game, solution), welfare_ratio(game, solution)

    rows, measured = [], jax.jit(jax.vmap(one))
    for name, batch in games.items():
        gap, welfare = measured(batch)
        values = {"mean_gap": [float(gap.mean())], "max_gap": [float(gap.max())], "welfare": [float(welfare.mean())]}
        rows.append({"concept": concept, "architecture": "uniform", "games": name, **values})
    return rows


def coordination(approximator: NeuralApproximator, params: PyTree, size: int) -> dict[str, Any]:
    """What is selected in the coordination game: first player's strategy of every seed, gap and welfare ratio."""
    game = symmetric_game(jnp.eye(size))
    solutions = jax.jit(jax.vmap(approximator.solve, in_axes=(0, None)))(params, game)
    welfare = jax.vmap(lambda solution: welfare_ratio(game, solution))(solutions)
    return {
        "mean_gap": [max(float(gap), 0.0) for gap in solutions.gap],
        "welfare": [float(value) for value in welfare],
        "strategies": np.asarray(solutions.strategies[0]).round(4).tolist(),
    }


def configurations(concept: Any, args: argparse.Namespace) -> dict[str, NeuralConfig]:
    plain = NeuralConfig(
        concept=concept,
        architecture="plain",
        num_actions=SIZE,
        width=args.plain_width,
        depth=3,
        batch_size=args.batch,
        num_games=args.games,
        learning_rate=args.learning_rate,
        decay_updates=args.steps,
    )
    equivariant = replace(plain, architecture="equivariant", width=args.width, depth=args.depth)
    return {"equivariant": equivariant, "plain": plain, "orbit_averaged": replace(plain, architecture="orbit_averaged")}


def compare(concept: Any, tests: dict[str, NormalFormGame], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Trains all architectures for one concept and measures them on all games."""
    least = jax.jit(jax.vmap(lambda game: least_loss(game, concept)))(tests["held-out"])
    rows = uniform_rows(concept, tests)
    for name, config in configurations(concept, args).items():
        if name != "orbit_averaged":  # which has the weights of the plain one, trained just before
            params, own, seconds = train(config, args.steps, args.seeds)
        approximator = neural_approximator(config)
        evaluate = evaluator(approximator)
        count = sum(leaf.size for leaf in jax.tree.leaves(params)) // args.seeds
        facts = {"concept": concept, "architecture": name, "weights": count, "train_seconds": seconds}
        print(f"{concept}: {name}, {count:,} weights, trained in {seconds:.0f} s", flush=True)
        rows.append({**facts, "games": "training", **summary(evaluate(params, own), None)})
        for games_name, games in tests.items():
            if games_name in FAMILIES or name == "equivariant":
                seeds = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (args.seeds, *leaf.shape)), games)
                values = summary(evaluate(params, seeds), least if games_name == "held-out" else None)
                rows.append({**facts, "games": games_name, **values})
        for size in (2, 3) if name == "equivariant" else (3,):
            rows.append({**facts, "games": f"identity {size}x{size}", **coordination(approximator, params, size)})
    return rows


def answer(rows: list[dict[str, Any]]) -> list[str]:
    """The seed question, answered from the measured numbers."""
    lines = []
    for concept in dict.fromkeys(row["concept"] for row in rows):
        found = {(row["architecture"], row["games"]): row for row in rows if row["concept"] == concept}
        gaps = {
            name: np.array(found[name, "held-out"]["mean_gap"]) for name in ("equivariant", "plain", "orbit_averaged")
        }
        wins = [int((gaps["equivariant"] < gaps[other]).sum()) for other in ("plain", "orbit_averaged")]
        beaten = sum(
            np.mean(found["equivariant", games]["mean_gap"]) < np.mean(found["plain", games]["mean_gap"])
            for games in FAMILIES
        )
        welfare = [np.mean(found[name, "identity 3x3"]["welfare"]) for name in ("equivariant", "plain")]
        seeds = len(gaps["plain"])
        ratio = gaps["plain"].mean() / gaps["equivariant"].mean()
        verdict = "yes" if wins[0] == seeds else "not clearly" if wins[0] > seeds / 2 else "no"
        lines.append(
            f"{concept}: {verdict}. Held-out gap {gaps['equivariant'].mean():.4f} equivariant,"
            f" {gaps['plain'].mean():.4f} plain ({ratio:.1f} times), {gaps['orbit_averaged'].mean():.4f} averaged;"
            f" equivariant lower than plain for {wins[0]} of {seeds} seeds, than averaged for {wins[1]};"
            f" lower than plain on {beaten} of {len(FAMILIES)} families;"
            f" welfare ratio in the 3x3 coordination game {welfare[0]:.3f}, plain {welfare[1]:.3f}"
        )
    return lines


def print_table(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    def cell(row: dict[str, Any], name: str) -> str:
        values = row.get(name)
        if values is None:
            return ""
        return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")

    title = f"{args.games} training games of 3x3, {args.steps} updates, {args.seeds} seeds: mean ± s.d. over seeds"
    console = Console(width=130)
    for concept in dict.fromkeys(row["concept"] for row in rows):
        table = Table(
            "games", "network", "gap / range", "largest", "welfare ratio", "excess loss", title=f"{concept}: {title}"
        )
        mine = [row for row in rows if row["concept"] == concept]
        kinds = ["training", *dict.fromkeys(row["games"] for row in mine if row["games"] != "training")]
        for games in kinds:
            for row in (row for row in mine if row["games"] == games):
                cells = [cell(row, name) for name in ("mean_gap", "max_gap", "welfare", "excess")]
                table.add_row(games, LABELS[row["architecture"]], *cells)
            table.add_section()
        console.print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """A panel a concept: mean gap on each kind of games, a look an architecture, a line from seed to seed."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    looks = dict(zip(("equivariant", "plain", "orbit_averaged", "uniform"), SERIES, strict=False))
    titles = {"nash": "Nash", "ce": "Correlated", "cce": "Coarse correlated"}
    names = ["training", *FAMILIES, *OTHER_SIZES]
    concepts = list(dict.fromkeys(row["concept"] for row in rows))
    figure = new_figure(4.2 * len(concepts) + 1.2, 5.2)
    panels = np.atleast_1d(figure.subplots(1, len(concepts), sharey=True))
    for axes, concept in zip(panels, concepts, strict=True):
        quiet_axes(axes, grid="x")
        panel_title(axes, titles[concept])
        for shift, (architecture, look) in enumerate(looks.items()):
            chosen = [
                r for r in rows if (r["concept"], r["architecture"]) == (concept, architecture) and r["games"] in names
            ]
            heights = np.array([names.index(row["games"]) for row in chosen]) + 0.12 * (shift - 1.5)
            means = np.array([np.mean(row["mean_gap"]) for row in chosen])
            low, high = (np.array([f(row["mean_gap"]) for row in chosen]) for f in (np.min, np.max))
            axes.hlines(heights, low, high, color=look.colour, linewidth=1.5)
            axes.scatter(means, heights, **look.dots, clip_on=False, s=25, label=LABELS[architecture])
        axes.axhline(len(FAMILIES) + 0.5, color=FAINT, linewidth=0.8)
        axes.set_xlabel("mean gap / payoff range", fontsize=BODY, color=INK)
        axes.set_xlim(left=0)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    legend(figure, handlelength=1)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000, help="updates of each network")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--games", type=int, default=1000, help="training games of each seed")
    parser.add_argument("--tests", type=int, default=1000, help="games of each kind to test on")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=int, default=32, help="channels of the equivariant network")
    parser.add_argument("--depth", type=int, default=3, help="layers of the equivariant network")
    parser.add_argument(
        "--plain-width", type=int, default=140, help="hidden units of the perceptron, which has 3 layers"
    )
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--concepts", nargs="+", choices=CONCEPTS, default=list(CONCEPTS))
    parser.add_argument("--folder", type=Path, default=Path("runs/neural"))
    parser.add_argument(
        "--smoke", action="store_true", help="two seeds, a few updates: that it runs, not what it finds"
    )
    args = parser.parse_args()
    if args.smoke:
        args.steps, args.seeds, args.games, args.tests, args.batch, args.width, args.depth = 20, 2, 50, 20, 16, 8, 2
    return args


def main() -> None:
    """Trains, measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    samples = {**FAMILIES, **OTHER_SIZES}
    if args.smoke:
        samples = {**FAMILIES, "4x4": OTHER_SIZES["4x4"]}
    keys = jax.random.split(jax.random.key(2023), len(samples))
    tests = {name: draw(samples[name], args.tests, key) for name, key in zip(samples, keys, strict=True)}
    rows = [row for concept in args.concepts for row in compare(concept, tests, args)]
    print_table(rows, args)
    lines = answer(rows)
    print("Are equivariant equilibrium approximators beneficial?", *lines, sep="\n  ")
    args.folder.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in vars(args).items() if name != "folder"}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "answer": lines, "rows": rows}
    text = json.dumps(record, indent=1) + "\n"
    written = replace_file(args.folder / "neural_equilibria.json", text.encode())
    figure = draw_figure(rows, args.folder / "neural_equilibria.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()

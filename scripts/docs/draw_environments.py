"""Draws the pictures of environments that the documentation shows.

    python scripts/docs/draw_environments.py [--folder docs/images]

Each picture is a state some steps into an episode of scripted players, or of random ones, side by side with others of
its family, as `env.render(state, params)` draws it.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import matplotlib
import tyro

from jaxmarl.core import Discrete, Policy, make, uniform_policy
from jaxmarl.core.seating import Player
from jaxmarl.core.spaces import Space
from jaxmarl.envs import dilemmas, driving, gridworlds, markov  # noqa: F401  (registers them)
from jaxmarl.evaluation import play_episodes

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# figure -> environment, its fields, scripted player (None: random), step
PICTURES: dict[str, list[tuple[str, dict[str, str], str | None, int]]] = {
    "gridworlds": [
        ("markov_stag_hunt", {}, "hunter", 4),
        ("foraging", {}, "H1", 2),
        ("harvest", {}, "greedy", 12),
        ("clean_up", {}, "gatherer", 12),
        ("pursuit", {}, None, 3),
    ],
    "markov_games": [("soccer", {}, None, 1), ("grid_game", {}, None, 1), ("grid_game", {"which": "common"}, None, 1)],
    "dilemmas": [("coin_game", {}, "defect", 2), ("coin_game", {"version": "two_coins"}, "cooperate", 1)],
    "driving": [("intersection", {}, "yield", 5), ("merge", {}, "yield", 5)],
}


@dataclass
class Arguments:
    """Where the pictures go."""

    folder: Path = Path("docs/images")


def _num_actions(space: Space) -> int:
    assert isinstance(space, Discrete)
    return space.n


def picture(name: str, fields: dict, scripted: str | None, step: int):
    """The state after so many steps, drawn."""
    env, params = make(name, **fields)
    policy = env.benchmarks(params)[scripted] if scripted else uniform_policy(_num_actions(env.action_space(params)))
    assert isinstance(policy, Policy)
    players = [Player(policy, params)] * env.num_agents
    path = play_episodes(env, players, jax.random.key(1), num_steps=step, params=params).path()
    return env.render(path[-1], params)  # type: ignore[attr-defined]


def _canvas(drawn):
    """A figure with an axis for each picture: side by side, or one above the other where they are long roads."""
    shapes = [image.shape[1] / image.shape[0] for image in drawn]
    if min(shapes) > 4:
        height = sum(9 / shape + 0.35 for shape in shapes)
        canvas, axes = plt.subplots(len(drawn), 1, figsize=(9, height), layout="constrained", squeeze=False)
    else:
        size = (2.6 * sum(shapes) + 0.2, 2.9)
        canvas, axes = plt.subplots(
            1, len(drawn), figsize=size, width_ratios=shapes, layout="constrained", squeeze=False
        )
    return canvas, axes.reshape(-1)


def main(arguments: Arguments) -> None:
    """Draws all figures."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for figure, pictures in PICTURES.items():
        drawn = [picture(*each) for each in pictures]
        canvas, axes = _canvas(drawn)
        for axis, image, (name, fields, *_) in zip(axes, drawn, pictures, strict=True):
            axis.imshow(image, interpolation="nearest")
            words = [name, *fields.values()]
            axis.set_title(", ".join(word.replace("_", " ") for word in words), fontsize=9)
            axis.axis("off")
        path = arguments.folder / f"{figure}.png"
        canvas.savefig(path, dpi=110)
        plt.close(canvas)
        print(path)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))

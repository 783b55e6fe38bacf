"""`jaxmarl play`: an episode between scripted players, drawn as a GIF."""

import dataclasses
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from jaxmarl.core.checks import require, require_choice, require_int


def play(
    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV")],
    policy: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("uniform",),
    out: Annotated[str, tyro.conf.arg(metavar="FILE.gif")] = "episode.gif",
    frames: int = 100,
    fps: float = 4.0,
    seed: int = 0,
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = (),
    params: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = (),
) -> None:
    """Plays an episode of ENV, saves it as a GIF and prints what everyone earned.

    Args:
        env: an environment that can be drawn (a wrong name lists them).
        policy: uniform or scripted policies of the environment, one for all agents or one for each.
        out: write the pictures to this GIF file.
        frames: steps played and drawn at most.
        fps: frames a second.
        seed: of everything random.
        settings: fields of the environment, as in --set size=7 num_plants=3.
        params: numbers of the environment, as in --params gore_penalty=2.
    """
    import jax

    from jaxmarl.core.registry import make
    from jaxmarl.evaluation.episodes import play_episodes
    from jaxmarl.experiments.config import assignments
    from jaxmarl.viz.episodes import save_gif

    require_choice("ENV", env, _drawable())
    require_int("frames", frames, 1)
    require(out.endswith(".gif"), "out", out, "the name of a .gif file")
    require(0 < fps <= 50, "fps", fps, "in (0, 50]")
    game: Any
    game, numbers = make(env, **assignments("set", settings))
    numbers = _changed(numbers, assignments("params", params))
    game.validate(numbers)
    names = policy * game.num_agents if len(policy) == 1 else policy
    require(len(names) == game.num_agents, "policy", policy, f"one name, or one for each of {game.num_agents} agents")
    players = _players(game, numbers, names)
    console = Console()
    with console.status("playing …"):
        episode = play_episodes(game, players, jax.random.key(seed), num_steps=frames, params=numbers)
        path = save_gif([game.render(state, numbers) for state in episode.path()], out, fps)
    table = Table("agent", "policy", "return", title=f"{env}, {int(episode.lengths[0])} steps")
    table.columns[2].justify = "right"
    for agent, name, total in zip(game.agent_names, names, episode.returns[0], strict=True):
        table.add_row(agent, name, f"{total:.3f}")
    console.print(table)
    console.print(f"wrote {path}", highlight=False)


def _drawable() -> list[str]:
    """Environments that have pictures."""
    from jaxmarl.core.registry import list_envs, make

    return [name for name in list_envs() if hasattr(make(name)[0], "render")]


def _changed(params: Any, changes: dict[str, Any]) -> Any:
    """The params with numbers replaced, in their types and shapes."""
    import jax.numpy as jnp
    import numpy as np

    fields = [field.name for field in dataclasses.fields(params)] if dataclasses.is_dataclass(params) else []
    for name, value in changes.items():
        require_choice("params", name, fields)
        old = np.asarray(getattr(params, name))
        fits = isinstance(value, (int, float, tuple)) and np.shape(value) == old.shape
        require(fits, name, value, f"{'a number' if not old.shape else f'{old.size} numbers'}")
        params = dataclasses.replace(params, **{name: jnp.asarray(value, old.dtype)})
    return params


def _players(env: Any, params: Any, names: tuple[str, ...]) -> list[Any]:
    """A player for each agent; agents with one policy share it."""
    from jaxmarl.core.policy import Policy, uniform_policy
    from jaxmarl.core.seating import Player
    from jaxmarl.core.spaces import Discrete

    known = {name: policy for name, policy in env.benchmarks(params).items() if isinstance(policy, Policy)}
    space = env.action_space(params)
    if isinstance(space, Discrete):
        known["uniform"] = uniform_policy(space.n)
    for name in names:
        require_choice("policy", name, known)
    players = {name: Player(known[name], params) for name in set(names)}
    return [players[name] for name in names]

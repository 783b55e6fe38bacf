"""Repeated rock-paper-scissors against tournament bots: as an environment, and as players of a population."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxmarl.core.checks import require_int
from jaxmarl.core.registry import register
from jaxmarl.core.seating import Player
from jaxmarl.core.wrappers import AgainstPolicies
from jaxmarl.envs.rps.bots import BOTS, get_bot
from jaxmarl.envs.rps.repeated import RepeatedRPS


@register("repeated_rps_versus")
def repeated_rps_versus(
    bot: str = "copybot",
    seat: int = 0,
    num_throws: int = 1000,
    recall: int = 1,
    layout: str = "own_first",
    append_time: bool = False,
) -> AgainstPolicies:
    """`RepeatedRPS` as a single-agent environment against the tournament bot called `bot`.

    Args:
        bot: name of the opponent (`jaxmarl.envs.rps.BOTS`).
        seat: the agent's seat, 0 or 1.
        num_throws: of `RepeatedRPS`, as the rest.
        recall: of `RepeatedRPS`.
        layout: of `RepeatedRPS`.
        append_time: of `RepeatedRPS`.
    """
    env = RepeatedRPS(num_throws=num_throws, recall=recall, layout=layout, append_time=append_time)
    return AgainstPolicies(env, policies=(get_bot(bot).policy,), seat=seat, view=env.moves_view)


def split_bots(seed: int, held_out: int = 10) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A random split of the bots: names to train against, and `held_out` names to be met only in evaluation.

    Raises:
        ValueError: `held_out` leaves no bot on one of the sides.
    """
    require_int("held_out", held_out, 1, len(BOTS) - 1)
    unseen = set(np.random.default_rng(seed).choice(list(BOTS), held_out, replace=False).tolist())
    return tuple(name for name in BOTS if name not in unseen), tuple(name for name in BOTS if name in unseen)


def bot_players(env: RepeatedRPS, names: Iterable[str] | None = None) -> tuple[Player, ...]:
    """Bots as players of `env`, in the order of `names` (all bots where None)."""
    return tuple(Player(get_bot(name).policy, view=env.moves_view) for name in (BOTS if names is None else names))


def bot_costs() -> tuple[dict[str, float], str]:
    """Nanoseconds a throw of every bot, and where `scripts/bench/rrps.py --costs` measured them."""
    data = json.loads((Path(__file__).parent / "bot_costs.json").read_text())
    return data["nanoseconds_a_throw"], data["measured_on"]

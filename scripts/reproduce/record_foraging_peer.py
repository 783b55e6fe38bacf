"""Records steps of the original level-based foraging, to which tests compare ours.

    pip install lbforaging          # 2.0, in an environment of its own; this script needs nothing else
    python scripts/reproduce/record_foraging_peer.py [--steps 1500] [--out tests/data/foraging_peer.npz]
    python scripts/reproduce/record_foraging_peer.py --smoke

In each of four settings agents play at random (illegal actions included) or follow the package's heuristics, so that
they collide, load together and load in vain. Of every step are recorded: positions, levels, food, legal actions and
observations before it, what each heuristic would do where that is certain, actions, rewards, and whether it ended the
episode. What follows a step is the next row, unless that begins an episode.
"""

import argparse
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import lbforaging.foraging
import numpy as np
from lbforaging.foraging.environment import Action, ForagingEnv

sys.modules["foraging"] = lbforaging.foraging  # the heuristics import it by this name
sys.modules["foraging.environment"] = sys.modules["lbforaging.foraging.environment"]
_agents: Any = ModuleType("lbforaging.agents")  # in place of the package, which also imports learners and pandas
_agents.__path__ = [str(Path(lbforaging.__file__).parent / "agents")]
sys.modules["lbforaging.agents"] = _agents
from lbforaging.agents import heuristic_agent  # noqa: E402

# name -> agents, foods, size, sight, coop, penalty, normalised
SETTINGS = {
    "Foraging-8x8-2p-3f": (2, 3, 8, 8, False, 0.0, True),
    "Foraging-2s-5x5-2p-2f-coop": (2, 2, 5, 2, True, 0.0, True),
    "Foraging-5x5-5p-2f": (5, 2, 5, 5, False, 0.0, True),
    "Foraging-1s-6x6-4p-2f": (4, 2, 6, 1, False, 0.1, False),
}
MAX_LEVEL = 2


class _Undecided(Exception):
    """Raised where a heuristic would draw."""


def _no_draw(options: Any) -> Any:
    raise _Undecided


def decisions(env: Any) -> np.ndarray:
    """What H1 to H4 would do in each agent's place `[4, N]`; -1 where they would draw."""
    out = np.full((4, len(env.players)), -1, np.int8)
    with mock.patch.object(random, "choice", _no_draw):
        for i, player in enumerate(env.players):
            view = env._make_obs(player)
            for h, name in enumerate(("H1", "H2", "H3", "H4")):
                agent = getattr(heuristic_agent, name)(player)
                agent.observed_position = next(p for p in view.players if p.is_self).position
                try:
                    out[h, i] = agent.step(view).value
                except _Undecided:
                    continue
    return out


def snapshot(env: Any, obs: Any) -> dict[str, np.ndarray]:
    """What is known before a step."""
    legal = [[a in env._valid_actions[p] for a in Action] for p in env.players]
    return {
        "agents": np.array([p.position for p in env.players], np.int8),
        "levels": np.array([p.level for p in env.players], np.int8),
        "field": env.field.astype(np.int8),
        "legal": np.array(legal, bool),
        "obs": np.stack(obs).astype(np.int8),
        "decisions": decisions(env),
        "spawned": np.array(env._food_spawned, np.int16),
    }


def record(setting: tuple, num_steps: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`num_steps` steps, time first."""
    agents, foods, size, sight, coop, penalty, normalised = setting
    env: Any = ForagingEnv(
        agents, 1, MAX_LEVEL, 1, None, (size, size), foods, sight, 50, coop, normalised, penalty=penalty
    )
    obs, _ = env.reset(seed=int(rng.integers(2**31)))
    rows, done, start, way = [], False, True, 0
    for _ in range(num_steps):
        if done:
            (obs, _), start = env.reset(), True
        row = snapshot(env, obs)
        way = int(rng.integers(4)) if start else way  # one heuristic an episode, or agents never meet
        scripted = row["decisions"][way]
        follows = (rng.random(agents) < 0.75) & (scripted >= 0)
        action = np.where(follows, scripted, rng.integers(6, size=agents))
        obs, reward, done, _, _ = env.step([int(a) for a in action])
        row |= {"action": action.astype(np.int8), "reward": np.array(reward, np.float32)}
        rows.append(row | {"done": np.array(done), "start": np.array(start)})
        start = False
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="steps of each setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tests/data/foraging_peer.npz"))
    parser.add_argument("--smoke", action="store_true", help="a few steps, written nowhere")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    arrays: dict[str, np.ndarray] = {}
    for name, setting in SETTINGS.items():
        rows = record(setting, 20 if args.smoke else args.steps, rng)
        arrays |= {f"{name}/{key}": value for key, value in rows.items()}
        loads, episodes = (rows["reward"] > 0).sum(), rows["start"].sum()
        print(f"{name}: {len(rows['done'])} steps of {episodes} episodes, {loads} rewards")
    if not args.smoke:
        np.savez_compressed(args.out, **arrays)  # type: ignore[arg-type]
        print(f"wrote {args.out}, {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""Records random play of JaxMARL's Coin Game, which tests compare ours with step by step.

    /path/to/venv/bin/python scripts/reproduce/record_coin_game_peer.py [--output tests/data/coin_game_peer.npz]

Run by the Python of a virtual environment with JaxMARL 0.2 (its import name is ours: do not install both in one).
100 instances play 100 steps (two outer episodes of 5 rounds of 10 steps), 10^4 transitions in all, with observations
of both kinds, absolute and egocentric. `taken` is read off JaxMARL's own counters of pick-ups, so that a test knows
which coins were renewed without asking the code under test.
"""

import argparse
import importlib.metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxmarl.environments.coin_game.coin_game import CoinGame

INSTANCES, STEPS, INNER, OUTER = 100, 100, 10, 5


def cells(state):
    """Cells `[B, 4]` of red, blue, red's coin and blue's coin, numbered row by row."""
    places = [state.red_pos, state.blue_pos, state.red_coin_pos, state.blue_coin_pos]
    return np.stack([np.asarray(3 * place[:, 0] + place[:, 1]) for place in places], axis=1).astype(np.int8)


def picked_up(before, after):
    """Whether each coin `[B, 2]` was taken, from the counters of pick-ups."""
    change = {
        name: np.asarray(getattr(after, name)).sum(1) > np.asarray(getattr(before, name)).sum(1)
        for name in ("red_coop", "red_defect", "blue_coop", "blue_defect")
    }
    return np.stack([change["red_coop"] | change["blue_defect"], change["blue_coop"] | change["red_defect"]], axis=1)


def restarted(over, fresh, state):
    """`fresh` where an episode is over, else `state`."""
    return jax.tree.map(lambda x, y: jnp.where(over.reshape(-1, *[1] * (x.ndim - 1)), x, y), fresh, state)


def record(seed: int) -> dict[str, np.ndarray]:
    """Everything a test needs, time first."""
    env = CoinGame(num_inner_steps=INNER, num_outer_steps=OUTER)
    centred = CoinGame(num_inner_steps=INNER, num_outer_steps=OUTER, egocentric=True)
    step = jax.jit(jax.vmap(env.step_env))
    reset, seen_centred = jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(centred.get_obs))
    key, start = jax.random.split(jax.random.PRNGKey(seed))
    _, state = reset(jax.random.split(start, INSTANCES))
    rows: dict[str, list[np.ndarray]] = {}
    for t in range(STEPS):
        key, act_key, step_key, reset_key = jax.random.split(key, 4)
        action = jax.random.randint(act_key, (INSTANCES, 2), 0, 5)
        keys = jax.random.split(step_key, INSTANCES)
        obs, after, reward, done, info = step(keys, state, {"0": action[:, 0], "1": action[:, 1]})
        ego = seen_centred(after)
        row = {
            "cells": cells(state),
            "t": np.full(INSTANCES, t % (INNER * OUTER), np.int8),
            "action": np.asarray(action, np.int8),
            "reward": np.stack([np.asarray(reward["0"]), np.asarray(reward["1"])], axis=1).astype(np.float32),
            "next_cells": cells(after),
            "taken": picked_up(state, after),
            "obs": np.stack([np.asarray(obs["0"]), np.asarray(obs["1"])], axis=1).astype(bool),
            "egocentric_obs": np.stack([np.asarray(ego["0"]), np.asarray(ego["1"])], axis=1).astype(bool),
            "round_ended": np.asarray(info["inner_episode_done"]),
            "done": np.asarray(done["__all__"]),
        }
        for name, x in row.items():
            rows.setdefault(name, []).append(x)
        fresh = reset(jax.random.split(reset_key, INSTANCES))[1]
        state = restarted(done["__all__"], fresh, after)
    return {name: np.concatenate(x) for name, x in rows.items()}


def main() -> None:
    """Records and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("tests/data/coin_game_peer.npz"))
    args = parser.parse_args()
    rows = record(args.seed)
    for name in ("obs", "egocentric_obs"):
        rows[name] = np.packbits(rows[name].reshape(len(rows[name]), -1), axis=1)
    version = importlib.metadata.version("jaxmarl")
    everything: dict[str, Any] = {"version": np.array(version), **rows}
    np.savez_compressed(args.output, **everything)
    print(
        f"JaxMARL {version}: {len(rows['t'])} transitions, {args.output.stat().st_size / 1e3:.0f} kB in {args.output}"
    )


if __name__ == "__main__":
    main()

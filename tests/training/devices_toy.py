"""Trains PPO on virtual devices, or as one of several processes, and saves what came of it.

`test_devices.py` starts this as a script: how many devices there are is fixed when JAX starts.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import jax
import numpy as np

from jaxmarl.core import VectorEnv
from jaxmarl.learners import PPOConfig, over_seeds, ppo
from jaxmarl.testing.probes import RandomStop, TwoArmed
from jaxmarl.training import connect, make_mesh, restore_state, run, state_shardings
from jaxmarl.training.devices import gather, place
from jaxmarl.training.leaves import is_key

NUM_ENVS, NUM_SEEDS = 16, 4


def small():
    """PPO that compiles in a second or two; two minibatches, so that one takes environments of several devices."""
    settings = {"chunk_length": 1, "chunks_per_update": 2, "epochs": 1, "minibatches": 2, "learning_rate": 1e-2}
    return ppo(VectorEnv(TwoArmed(3), NUM_ENVS), PPOConfig(hidden=4, recurrent=False, **settings))


def recurrent():
    """PPO with memories, on episodes that end at random."""
    return ppo(VectorEnv(RandomStop(), NUM_ENVS), PPOConfig(hidden=8, chunk_length=4, minibatches=2))


def whole_leaves(state) -> dict[str, np.ndarray]:
    """Leaves by path on this host, keys as key data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    arrays = gather([jax.random.key_data(leaf) if is_key(leaf) else leaf for _, leaf in leaves])
    return {jax.tree_util.keystr(path): array for (path, _), array in zip(leaves, arrays, strict=True)}


def keep(path: Path, state) -> None:
    """Saves a state's leaves, and how many devices hold different parts of each."""
    parts = {
        jax.tree_util.keystr(name): len(
            {str(index) for index in leaf.sharding.devices_indices_map(leaf.shape).values()}
        )
        for name, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }
    np.savez(path.with_suffix(".npz"), **whole_leaves(state))
    path.with_suffix(".json").write_text(json.dumps(parts))


def train(learner, folder: Path, mesh=None, num_updates: int = 4, **options):
    """A run in `folder`, its last state saved beside it."""
    settings = {"updates_per_chunk": 2, "show_progress": False}
    result = run(learner, folder, num_updates=num_updates, mesh=mesh, **settings, **options)
    keep(folder, result.state)
    return result


def equal(folder: Path) -> None:
    """One device and two."""
    train(small(), folder / "one")
    train(small(), folder / "many", make_mesh(data=2))


def eight(folder: Path) -> None:
    """One device and eight, with memories."""
    train(recurrent(), folder / "one")
    train(recurrent(), folder / "many", make_mesh())


def seeds(folder: Path) -> None:
    """Stacked seeds on four by two devices, and each seed by itself on one."""
    train(over_seeds(small(), NUM_SEEDS), folder / "stacked", make_mesh(seed=4, data=2))
    learner = small()
    update = jax.jit(learner.update)
    for i, key in enumerate(jax.random.split(jax.random.key(0), NUM_SEEDS)):
        state = jax.jit(learner.init)(key)
        for _ in range(4):
            state, _ = update(state)
        keep(folder / f"seed{i}", state)


def resume(folder: Path) -> None:
    """A run on eight devices, and its continuations on eight, two and one."""
    train(small(), folder / "eight", make_mesh())
    restored, _ = restore_state(small(), folder / "eight")
    keep(folder / "restored1", restored)
    keep(folder / "restored2", place(restored, state_shardings(restored, make_mesh(data=2))))
    for name, mesh in {"to8": make_mesh(), "to2": make_mesh(data=2), "to1": None}.items():
        shutil.copytree(folder / "eight", folder / name)
        train(small(), folder / name, mesh, num_updates=6, resume=True)
    train(small(), folder / "unbroken", make_mesh(), num_updates=6)


def process(folder: Path, coordinator: str, process_id: int, num_updates: int, pause: float, again: bool) -> None:
    """One of two processes."""
    connect(coordinator, 2, process_id)
    mesh = make_mesh()
    result = run(
        small(),
        folder / "shared",
        num_updates=num_updates,
        mesh=mesh,
        updates_per_chunk=2,
        show_progress=False,
        resume=again,
        on_chunk=lambda updates, metrics: time.sleep(pause),
    )
    keep(folder / f"process{process_id}", result.state)
    print(json.dumps({"updates": result.updates, "interrupted": result.interrupted, "devices": jax.device_count()}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("equal", "eight", "seeds", "resume", "process"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--coordinator")
    parser.add_argument("--process-id", type=int)
    parser.add_argument("--num-updates", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.what == "process":
        process(args.folder, args.coordinator, args.process_id, args.num_updates, args.pause, args.resume)
    else:
        globals()[args.what](args.folder)


if __name__ == "__main__":
    sys.exit(main())

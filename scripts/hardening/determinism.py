"""What is the same twice: training with one seed in two processes, and on other numbers of devices; and flat memory.

    python scripts/hardening/determinism.py [--updates 20] [--chunks 400] [--folder runs/determinism] [--smoke]

Each learner is trained in two processes of one device with the same seed: their states must be equal bit for bit. Then
on 2, 4 and 8 virtual devices: sums are then made in another order, and the largest relative difference of a parameter
after these updates must be below --tolerance. Last, one run of many chunks with a checkpoint each, through
`training.run`: the memory of the process may not grow by more than --growth MiB after a quarter. Else exits with 1.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxmarl.core.files import read_arrays, replace_file

DEVICES: tuple[int, ...] = (1, 1, 2, 4, 8)


def coin_game_ppo() -> Any:
    """PPO on the Coin Game."""
    from jaxmarl.core import VectorEnv
    from jaxmarl.envs.dilemmas import CoinGame
    from jaxmarl.learners import PPOConfig, ppo

    config = PPOConfig(hidden=16, recurrent=False, chunk_length=8, epochs=1, minibatches=2)
    return ppo(VectorEnv(CoinGame(num_steps=8), 32), config)


def recurrent_ppo() -> Any:
    """Recurrent PPO in repeated rock-paper-scissors."""
    from jaxmarl.core import VectorEnv
    from jaxmarl.envs.rps import RepeatedRPS
    from jaxmarl.learners import PPOConfig, ppo

    return ppo(
        VectorEnv(RepeatedRPS(num_throws=20), 16), PPOConfig(hidden=16, chunk_length=10, epochs=1, minibatches=2)
    )


LEARNERS: dict[str, Callable[[], Any]] = {"PPO, Coin Game": coin_game_ppo, "recurrent PPO, RPS": recurrent_ppo}


def worker(name: str, devices: int, updates: int, out: Path) -> None:
    """Trains in this process; leaves parameters and a digest of the whole state."""
    import jax

    from jaxmarl.training import make_mesh
    from jaxmarl.training.chunk import compile_chunk

    learner = LEARNERS[name]()
    mesh = None if devices == 1 else make_mesh(data=devices)
    chunk, state = compile_chunk(learner, jax.random.key(0), None, updates, mesh)
    state, _ = chunk.start(state, updates)
    keys = [jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) for x in jax.tree.leaves(state)]
    leaves = [jax.random.key_data(x) if key else x for x, key in zip(jax.tree.leaves(state), keys, strict=True)]
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).digest()
    flat = np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(learner.params(state))])
    np.savez(out, params=flat, digest=np.frombuffer(digest, np.uint8))


def trained(name: str, devices: int, updates: int, out: Path) -> dict[str, np.ndarray]:
    """What `worker` leaves, in a process of its own with so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, __file__, "--worker", name, "--devices", str(devices), "--updates", str(updates)]
    subprocess.run([*command, "--out", str(out)], env=environment, check=True)
    return read_arrays(out)


def differences(name: str, devices: tuple[int, ...], updates: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each number of devices: equal in every bit, and the largest difference of parameters to the first."""
    rows, first = [], None
    for i, count in enumerate(devices):
        found = trained(name, count, updates, folder / f"{i}.npz")
        first = first or found
        scale = np.abs(first["params"]).max()
        gap = float(np.abs(found["params"] - first["params"]).max() / scale)
        same = bool((found["digest"] == first["digest"]).all())
        rows.append({"learner": name, "devices": count, "equal_in_every_bit": same, "difference": gap})
    return rows[1:]


def resident_mib() -> float:
    """Memory of this process now."""
    path = Path("/proc/self/statm")
    if path.exists():
        return int(path.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def memory(chunks: int, folder: Path) -> dict[str, float]:
    """MiB after a quarter of a long run and at its end, a checkpoint and rows after every chunk."""
    from jaxmarl.training import run

    seen: list[float] = []
    run(
        coin_game_ppo(),
        folder / "long",
        num_updates=2 * chunks,
        updates_per_chunk=2,
        show_progress=False,
        on_chunk=lambda updates, rows: seen.append(resident_mib()),
    )
    warm, late = max(seen[chunks // 8 : chunks // 4]), max(seen[-chunks // 8 :])
    return {"chunks": chunks, "after_a_quarter": round(warm, 1), "at_the_end": round(late, 1)}


def main() -> None:
    """Trains, compares, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--chunks", type=int, default=400, help="of the long run")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="relative, of parameters on other device counts")
    parser.add_argument("--growth", type=float, default=8.0, help="MiB that memory may grow by")
    parser.add_argument("--folder", type=Path, default=Path("runs/determinism"))
    parser.add_argument("--smoke", action="store_true", help="one learner, two devices, a short run")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--devices", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args.worker, args.devices, args.updates, args.out)
    names, devices = list(LEARNERS), DEVICES
    if args.smoke:
        names, devices, args.updates, args.chunks = names[:1], (1, 1, 2), 3, 40
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for name in names for row in differences(name, devices, args.updates, Path(scratch))]
        held = memory(args.chunks, Path(scratch))
    table = Table("learner", "devices", "equal in every bit", "largest difference", title=f"{args.updates} updates")
    for row in rows:
        equal = "yes" if row["equal_in_every_bit"] else "no"
        table.add_row(row["learner"], str(row["devices"]), equal, f"{row['difference']:.1e}")
    Console(width=100).print(table)
    print(
        f"memory over {held['chunks']} chunks: {held['after_a_quarter']} MiB after a quarter, then {held['at_the_end']}"
    )
    good = all(row["equal_in_every_bit"] if row["devices"] == 1 else row["difference"] < args.tolerance for row in rows)
    flat = held["at_the_end"] - held["after_a_quarter"] < args.growth
    args.folder.mkdir(parents=True, exist_ok=True)
    record = {"updates": args.updates, "tolerance": args.tolerance, "rows": rows, "memory": held}
    print(f"wrote {replace_file(args.folder / 'determinism.json', (json.dumps(record, indent=1) + chr(10)).encode())}")
    sys.exit(0 if good and flat else 1)


if __name__ == "__main__":
    main()

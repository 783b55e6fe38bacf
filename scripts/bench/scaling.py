"""How training scales over devices and processes: steps a second and CPU time on 1, 2, 4, 8 devices and 2 processes.

    python scripts/bench/scaling.py [--axis data|seed] [--instances 512] [--seeds 8] [--repeats 5] [--smoke]

PPO on the Coin Game, the same total work whatever the devices (strong scaling): `--axis data` splits the instances of
one run, `--axis seed` splits `--seeds` stacked runs. Devices are virtual CPU devices of one process, or one device in
each of two processes on loopback. Virtual devices share the cores of the machine, and a single one may use several
already, so a speed-up is bounded by the cores; `cpu_efficiency`, the CPU seconds of one device over those of many,
tells what partitioning and communication cost, and a busy machine disturbs it less. The best of `--repeats` counts.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxmarl.bench.harness import machine
from jaxmarl.core.files import replace_file

LAYOUTS = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 2))  # processes, devices in all


def worker(args: argparse.Namespace) -> None:
    """Times updates in this process, alone or as one of several, and prints what it found."""
    import jax

    from jaxmarl.core import VectorEnv
    from jaxmarl.envs.dilemmas import CoinGame
    from jaxmarl.learners import PPOConfig, over_seeds, ppo
    from jaxmarl.training import connect, make_mesh
    from jaxmarl.training.chunk import compile_chunk

    if args.coordinator:
        connect(args.coordinator, args.processes, args.process_id)
    config = PPOConfig(hidden=32, recurrent=False, chunk_length=16, epochs=2, minibatches=4)
    learner = ppo(VectorEnv(CoinGame(num_steps=16), args.instances), config)
    learner = over_seeds(learner, args.seeds) if args.axis == "seed" else learner
    mesh = make_mesh(seed=args.devices, data=1) if args.axis == "seed" else make_mesh(data=args.devices)
    chunk, state = compile_chunk(learner, jax.random.key(0), None, args.updates, mesh)
    state, _ = jax.block_until_ready(chunk.start(state, args.updates))
    walls, cpus = [], []
    for _ in range(args.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        state, _ = jax.block_until_ready(chunk.start(state, args.updates))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    steps = args.updates * learner.steps_per_update
    print(json.dumps({"steps": steps, "wall": min(walls), "cpu": min(cpus), "compile": chunk.compile_seconds}))


def measure(args: argparse.Namespace, processes: int, devices: int) -> dict[str, Any]:
    """Starts the workers of a layout; wall-clock of the slowest, CPU seconds of all together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={devices // processes}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, __file__, "--worker", "--devices", str(devices), "--processes", str(processes)]
    for name in ("axis", "instances", "seeds", "repeats", "updates"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--coordinator", address] if processes > 1 else []
    started = [
        subprocess.Popen([*command, "--process-id", str(i)], env=environment, stdout=subprocess.PIPE, text=True)
        for i in range(processes)
    ]
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"{processes} processes, {devices} devices: failed")
    found = [json.loads(text.splitlines()[-1]) for text in said]
    wall = max(row["wall"] for row in found)
    return {
        "processes": processes,
        "devices": devices,
        "steps_per_second": round(found[0]["steps"] / wall),
        "cpu_seconds": round(sum(row["cpu"] for row in found), 4),
        "compile_seconds": round(max(row["compile"] for row in found), 1),
    }


def with_efficiency(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds what each layout makes of its devices, relative to the first row."""
    speed, cpu = rows[0]["steps_per_second"], rows[0]["cpu_seconds"]
    for row in rows:
        row["speed_up"] = round(row["steps_per_second"] / speed, 3)
        row["efficiency"] = round(row["speed_up"] / row["devices"], 3)
        row["cpu_efficiency"] = round(cpu / row["cpu_seconds"], 3)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axis", choices=("data", "seed"), default="data")
    parser.add_argument("--instances", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("runs/scaling"))
    parser.add_argument("--smoke", action="store_true", help="one and two devices, small")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--devices", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--process-id", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--coordinator", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    if args.smoke:
        args.instances, args.seeds, args.repeats, args.updates = 16, 2, 2, 2
    here = machine()
    cores = here["cores"]
    facts: dict[str, Any] = {"axis": args.axis, "machine": here}
    facts |= {name: getattr(args, name) for name in ("instances", "seeds", "repeats", "updates")}
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / f"scaling_{args.axis}.json"
    rows: list[dict[str, Any]] = []
    for processes, devices in LAYOUTS[:2] if args.smoke else LAYOUTS:
        rows = with_efficiency([*rows, measure(args, processes, devices)])
        load = round(os.getloadavg()[0], 1)
        rows[-1]["load"] = load
        print(json.dumps(rows[-1]), flush=True)
        replace_file(path, json.dumps({**facts, "rows": rows}, indent=1).encode())
    names = ("processes", "devices", "steps_per_second", "speed_up", "efficiency", "cpu_efficiency", "compile_seconds")
    table = Table(*names, title=f"PPO on the Coin Game, split over {args.axis!r}, {cores} cores")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    Console().print(table)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

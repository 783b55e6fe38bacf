"""Steps a second of the Coin Game, beside the package JaxMARL's on the same machine.

    python scripts/bench/coin_game.py [--instances 4096] [--steps 100] [--repeats 5] [--smoke]
    python scripts/bench/coin_game.py --peer-python /path/to/venv/bin/python

One call is a roll-out of `--steps` steps of all instances under uniformly random actions, drawn beforehand;
observations and rewards are kept alive. Two coins, ten rounds of ten steps, resets included: ours through
`VectorEnv`, JaxMARL's (0.2, installed in another virtual environment, as its import name is ours) through `vmap` of its
`step`, with a key for each instance as it asks for. The two take turns; the best wall-clock of `--repeats` calls
counts, and process time (all threads) is reported beside it, which a busy machine disturbs less.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxmarl.bench.harness import write
from jaxmarl.core import VectorEnv
from jaxmarl.envs.dilemmas import CoinGame

PEER = """
import json, sys, time
import jax, jax.numpy as jnp
from jaxmarl.environments.coin_game.coin_game import CoinGame

instances, steps, repeats = (int(x) for x in sys.argv[1:])
env = CoinGame(num_inner_steps=10, num_outer_steps=10)

actions = jax.random.randint(jax.random.PRNGKey(2), (steps, instances, 2), 0, 5)

@jax.jit
def play(key, state, actions):
    def step(carry, x):
        state, obs, total = carry
        key, action = x
        keys = jax.random.split(key, instances)
        obs, state, reward, _, _ = jax.vmap(env.step)(keys, state, {"0": action[:, 0], "1": action[:, 1]})
        return (state, obs, total + reward["0"].sum() + reward["1"].sum()), None
    obs, _ = jax.vmap(env.reset)(jax.random.split(key, instances))
    keys = jax.random.split(key, steps)
    (state, obs, total), _ = jax.lax.scan(step, (state, obs, jnp.zeros(())), (keys, actions))
    return state, obs, total

_, state = jax.vmap(env.reset)(jax.random.split(jax.random.PRNGKey(0), instances))
state = jax.block_until_ready(play(jax.random.PRNGKey(1), state, actions))[0]
for i in range(repeats):
    wall, process = time.perf_counter(), time.process_time()
    state = jax.block_until_ready(play(jax.random.PRNGKey(i), state, actions))[0]
    print(json.dumps([time.perf_counter() - wall, time.process_time() - process]), flush=True)
"""


def our_call(env: CoinGame, instances: int, steps: int) -> Callable[[int], list[float]]:
    """A function that plays once, and tells its wall-clock and process seconds."""
    batch, params = VectorEnv(env, instances), env.default_params
    actions = jax.random.randint(jax.random.key(2), (steps, instances, 2), 0, env.action_space(params).n)

    @jax.jit
    def play(key, state, actions):
        def step(carry, x):
            state, obs, total = carry
            key, action = x
            obs, state, reward, _, _, _ = batch.step(key, state, action, params)
            return (state, obs, total + reward.sum()), None

        obs, state = batch.begin(key, state, params)
        carry, _ = jax.lax.scan(step, (state, obs, jnp.zeros(())), (jax.random.split(key, steps), actions))
        return carry

    state = [jax.block_until_ready(play(jax.random.key(0), batch.reset(jax.random.key(1), params)[1], actions))[0]]

    def call(seed: int) -> list[float]:
        wall, process = time.perf_counter(), time.process_time()
        state[0] = jax.block_until_ready(play(jax.random.key(seed), state[0], actions))[0]
        return [time.perf_counter() - wall, time.process_time() - process]

    return call


def peer_calls(python: Path, instances: int, steps: int, repeats: int) -> list[list[float]]:
    """Wall-clock and process seconds of JaxMARL's calls, in a process of its own."""
    # another folder, so that its import does not find ours
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python.absolute()), "-c", PEER, *(str(x) for x in (instances, steps, repeats))]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{python} could not run JaxMARL's Coin Game: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def measure(args: argparse.Namespace) -> list[dict[str, float | str]]:
    """A row for each environment: millions of steps a second by wall-clock and by process time."""
    sizes = args.instances, args.steps
    ours = {
        "two coins, 10 rounds of 10": our_call(CoinGame("two_coins", num_steps=10, num_rounds=10), *sizes),
        "alternating coin, 50 steps": our_call(CoinGame("alternating", num_steps=50), *sizes),
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in ours}
    turns = 2 if args.peer_python else 1
    for turn in range(turns):
        for name, call in ours.items():
            seconds[name] += [call(turn * args.repeats + i) for i in range(args.repeats)]
        if args.peer_python:
            seconds.setdefault("JaxMARL, 10 rounds of 10", []).extend(
                peer_calls(args.peer_python, *sizes, args.repeats)
            )
    steps = args.instances * args.steps / 1e6
    return [
        {"environment": name, "wall": steps / min(x[0] for x in times), "process": steps / min(x[1] for x in times)}
        for name, times in seconds.items()
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--instances", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-python", type=Path, help="Python of a virtual environment with JaxMARL 0.2")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"))
    parser.add_argument("--smoke", action="store_true", help="few instances and steps: that it runs, not how fast")
    args = parser.parse_args()
    if args.smoke:
        args.instances, args.steps, args.repeats = 64, 10, 1
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    from rich.console import Console
    from rich.table import Table

    args = arguments()
    rows = measure(args)
    title = f"Coin Game, {args.instances} instances (millions of steps a second)"
    table = Table("environment", "wall-clock", "process time", "ratio to JaxMARL", title=title)
    peer = rows[-1] if args.peer_python else None
    for row in rows:
        ratio = "" if peer is None else f"{float(row['wall']) / float(peer['wall']):.1f}"
        table.add_row(str(row["environment"]), f"{row['wall']:.2f}", f"{row['process']:.2f}", ratio)
    Console(width=100).print(table)
    settings = {name: getattr(args, name) for name in ("instances", "steps", "repeats")}
    path = args.folder / "coin_game.json"
    write(path, {"settings": settings, "rows": rows})
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

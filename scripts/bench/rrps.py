"""The tournament bots against the compiled originals: whole cross-table and throws a second, in one run.

    python scripts/bench/rrps.py [--matches 1 16] [--repeats 5] [--core 0] [--out FILE]

Peer: `open-spiel`'s compiled bots (one thread), stepped through its own `evaluate_bots` on every pair of `--bots`
(default: all). Ours: the same table, every ordered pair `--matches` times in scans of `--per-call` matches a pair,
compilation apart. A throw is one joint move of a match. The second table has each bot alone: the compiled one against
randbot, ours in 256 matches at once against random moves.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--matches", type=int, nargs="*", default=[1, 16], help="matches of each ordered pair")
    parser.add_argument("--per-call", type=int, default=1, help="matches of a pair in one scan")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls; the median counts")
    parser.add_argument("--bots", nargs="*", help="a subset of the bots")
    parser.add_argument("--skip-peer", action="store_true", help="do not time the compiled originals")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--costs", type=Path, help="write the cost of a throw of each bot to this JSON file")
    parser.add_argument("--core", type=int, help="pin the process to this core")
    return parser.parse_args()


def compiled_match(row: str, column: str, num_throws: int = 1000) -> float:
    """Seconds of one match of two compiled bots."""
    import pyspiel

    game = pyspiel.create_repeated_game("matrix_rps", {"num_repetitions": num_throws})
    bots = [pyspiel.make_roshambo_bot(0, row), pyspiel.make_roshambo_bot(1, column)]
    started = time.perf_counter()
    pyspiel.evaluate_bots(game.new_initial_state(), bots, 0)
    return time.perf_counter() - started


def compiled_table(names: list[str]) -> float:
    """Seconds of one match of every unordered pair, self-matches included, by the compiled bots."""
    return sum(compiled_match(row, column) for i, row in enumerate(names) for column in names[i:])


def cross_table(names: list[str], matches: int, per_call: int, repeats: int) -> dict[str, float]:
    """Compile seconds, and median seconds of `matches` matches of every ordered pair, `per_call` of them at once."""
    import jax
    import numpy as np

    from jaxmarl.core import Seating
    from jaxmarl.envs.rps import RepeatedRPS, bot_players
    from jaxmarl.evaluation.cross_play import play_seating

    env = RepeatedRPS()
    index = np.arange(len(names))
    profiles = np.stack(np.meshgrid(index, index, indexing="ij"), axis=-1).reshape(-1, 2)
    seating = Seating(env, bot_players(env, names), np.repeat(profiles, per_call, axis=0))

    def call(key):
        return play_seating(seating, seating.params, key, env.default_params, env.num_throws)

    started = time.perf_counter()
    compiled = jax.jit(call).lower(jax.random.key(0)).compile()
    compile_seconds = time.perf_counter() - started
    calls = -(-matches // per_call)
    seconds = [sum(timed(compiled, jax.random.key(i * calls + k)) for k in range(calls)) for i in range(repeats)]
    throws = len(profiles) * calls * per_call * env.num_throws
    return {
        "seconds": statistics.median(seconds),
        "throws_per_second": throws / statistics.median(seconds),
        "compile_seconds": compile_seconds,
        "scratch_bytes": getattr(compiled.memory_analysis(), "temp_size_in_bytes", 0),
    }


def single_bot(name: str, matches: int, repeats: int, num_throws: int = 1000) -> float:
    """Throws a second of one bot against random moves."""
    import jax
    import jax.numpy as jnp

    from jaxmarl.core.chance import Integers, draw, repeat
    from jaxmarl.envs.rps import get_bot

    policy = get_bot(name).policy

    def play(key):
        start_key, key = jax.random.split(key)
        memory = jax.vmap(policy.init, axis_size=matches)(draw(repeat(policy.init_chance, matches), start_key))

        def throw(carry, key):
            memory, obs = carry
            chance, other = draw((repeat(policy.act_chance, matches), Integers(3, (matches,))), key)
            move, memory = jax.vmap(policy.act, in_axes=(None, 0, 0, 0))((), memory, obs, chance)
            return (memory, jnp.stack([move, other], axis=1)), jnp.sum(move)

        carry = memory, jnp.full((matches, 2), -1, jnp.int32)
        return jax.lax.scan(throw, carry, jax.random.split(key, num_throws))[1]

    compiled = jax.jit(play).lower(jax.random.key(0)).compile()
    seconds = [timed(compiled, jax.random.key(i)) for i in range(repeats)]
    return matches * num_throws / statistics.median(seconds)


def timed(function: Any, *args: Any) -> float:
    """Seconds of one call."""
    import jax

    started = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - started


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    import jax
    from rich.console import Console
    from rich.table import Table

    from jaxmarl.envs.rps import BOTS

    jax.config.update("jax_enable_compilation_cache", False)
    names = args.bots or list(BOTS)
    console = Console(width=110)
    device = f"{jax.devices()[0].device_kind}, {len(os.sched_getaffinity(0))} cores, jax {jax.__version__}"
    result: dict[str, Any] = {"device": device, "bots": names}
    table = Table("", "seconds", "k throws/s", "ratio", "compile s", "scratch MB", title=f"{len(names)} bots, {device}")
    peer = None
    if not args.skip_peer:
        seconds = statistics.median(compiled_table(names) for _ in range(args.repeats))
        peer = len(names) * (len(names) + 1) / 2 * 1000 / seconds
        result["peer"] = {"seconds": seconds, "throws_per_second": peer}
        table.add_row(
            "compiled originals, each pair once, one thread", f"{seconds:.1f}", f"{peer / 1e3:.1f}", "1", "", ""
        )
    for matches in args.matches:
        row = cross_table(names, matches, args.per_call, args.repeats)
        result[f"table_{matches}"] = row
        ratio = f"{row['throws_per_second'] / peer:.2f}" if peer else ""
        speed, scratch = f"{row['throws_per_second'] / 1e3:.1f}", f"{row['scratch_bytes'] / 1e6:.0f}"
        label = f"ours, each ordered pair x {matches}"
        table.add_row(label, f"{row['seconds']:.1f}", speed, ratio, f"{row['compile_seconds']:.0f}", scratch)
    console.print(table)
    speeds = {name: single_bot(name, 256, args.repeats) for name in names}
    result["throws_per_second"] = speeds
    single = Table("bot", "compiled k throws/s", "ours k throws/s", "ratio", title="each bot alone")
    for name in sorted(names, key=lambda name: speeds[name]):
        cells = ["", f"{speeds[name] / 1e3:.0f}", ""]
        if peer:
            seconds = statistics.median(compiled_match(name, "randbot") for _ in range(args.repeats))
            result.setdefault("compiled_throws_per_second", {})[name] = 1000 / seconds
            cells = [f"{1 / seconds:.0f}", cells[1], f"{speeds[name] * seconds / 1000:.1f}"]
        single.add_row(name, *cells)
    console.print(single)
    if args.costs:
        costs = {name: round(1e9 / speed, 2) for name, speed in speeds.items()}
        args.costs.write_text(json.dumps({"measured_on": device, "nanoseconds_a_throw": costs}, indent=1) + "\n")
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

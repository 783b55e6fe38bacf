"""The tournament bots against the compiled originals: whole cross-table and throws a second, in one run.

    python scripts/bench/rrps.py [--matches 1 16] [--repeats 5] [--core 0] [--out FILE]

Peer: `open-spiel`'s compiled bots (one thread), stepped through its own `evaluate_bots` on every pair of `--bots`
(default: all). Ours: the same table, every ordered pair `--matches` times in scans of `--per-call` matches a pair,
compilation apart. A throw is one joint move of a match. The second table has each bot alone: the compiled one against
randbot, ours in 256 matches at once against random moves.
"""

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

from jaxmarl.bench.harness import compiled, parser, start, timed, write
from jaxmarl.bench.peers import open_spiel_bots as compiled_match


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--matches", type=int, nargs="*", default=[1, 16], help="matches of each ordered pair")
    options.add_argument("--per-call", type=int, default=1, help="matches of a pair in one scan")
    options.add_argument("--bots", nargs="*", help="a subset of the bots")
    options.add_argument("--skip-peer", action="store_true", help="do not time the compiled originals")
    options.add_argument("--costs", type=Path, help="write the cost of a throw of each bot to this JSON file")
    return options.parse_args()


def compiled_table(names: list[str]) -> float:
    """Seconds of one match of every unordered pair, self-matches included, by the compiled bots."""
    return sum(compiled_match(row, column) for i, row in enumerate(names) for column in names[i:])


def cross_table(names: list[str], matches: int, per_call: int, repeats: int) -> dict[str, float]:
    """Compile seconds, and median seconds of `matches` matches of every ordered pair, `per_call` of them at once."""
    import jax
    import numpy as np

    from jaxmarl.core import Seating
    from jaxmarl.core.matches import play_seating
    from jaxmarl.envs.rps import RepeatedRPS, bot_players

    env = RepeatedRPS()
    index = np.arange(len(names))
    profiles = np.stack(np.meshgrid(index, index, indexing="ij"), axis=-1).reshape(-1, 2)
    seating = Seating(env, bot_players(env, names), np.repeat(profiles, per_call, axis=0))

    def call(key):
        return play_seating(seating, seating.params, key, env.default_params, env.num_throws)

    ready, compile_seconds = compiled(call, jax.random.key(0))
    calls, number = -(-matches // per_call), itertools.count()

    def play() -> None:
        for _ in range(calls):
            jax.block_until_ready(ready(jax.random.key(next(number))))

    timing = timed(play, repeats)
    throws = len(profiles) * calls * per_call * env.num_throws
    return {
        "seconds": timing.median,
        "throws_per_second": throws / timing.median,
        "compile_seconds": compile_seconds,
        "scratch_bytes": getattr(ready.memory_analysis(), "temp_size_in_bytes", 0),
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

    ready, _ = compiled(play, jax.random.key(0))
    return matches * num_throws / timed(lambda: ready(jax.random.key(1)), repeats).median


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    from rich.console import Console
    from rich.table import Table

    from jaxmarl.envs.rps import BOTS

    names = args.bots or list(BOTS)
    console = Console(width=110)
    result: dict[str, Any] = {"bots": names}
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
    write(args.out, result)


if __name__ == "__main__":
    main()

"""Speed of the rock-paper-scissors presets: agent steps a second, compile seconds, peak memory.

    python scripts/bench/train_rrps.py [--preset quick] [--repeats 5] [--out bench.json] [--core 0]

Prints a table of medians over `--repeats` timed chunks of updates (compilation apart, no compilation cache), the split
between playing and learning, and the environment alone under random actions; `--out` writes the same as JSON.
`--core` pins the process to one core before JAX starts, for figures per core.
"""

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--updates", type=int, default=5, help="updates in a timed chunk")
    parser.add_argument("--repeats", type=int, default=5, help="timed chunks; the median counts")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--core", type=int, help="pin the process to this core")
    return parser.parse_args()


def timed(function: Callable[[Any], Any], argument: Any, repeats: int) -> tuple[float, list[float]]:
    """Compile seconds, and seconds of each of `repeats` calls; the output of a call is the input of the next."""
    import jax

    started = time.perf_counter()
    compiled = jax.jit(function).lower(argument).compile()
    compile_seconds = time.perf_counter() - started
    argument = jax.block_until_ready(compiled(argument))
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        argument = jax.block_until_ready(compiled(argument))
        seconds.append(time.perf_counter() - started)
    return compile_seconds, seconds


def training(preset: str, updates: int, repeats: int) -> dict[str, float]:
    """Agent steps a second of whole updates."""
    import jax

    from jaxmarl.experiments import rrps

    learner = rrps.make_learner(rrps.preset(preset))

    def chunk(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=updates)[0]

    compile_seconds, seconds = timed(chunk, jax.jit(learner.init)(jax.random.key(0)), repeats)
    return figures(compile_seconds, updates * learner.steps_per_update, seconds)


def playing(preset: str, updates: int, repeats: int) -> dict[str, float]:
    """Agent steps a second of the same matches under a uniformly random agent: no network, no learning."""
    import jax

    from jaxmarl.core import PopulationEnv, actor_from_policy, rollout, start_rollout, uniform_policy
    from jaxmarl.envs.rps import bot_players
    from jaxmarl.experiments import rrps

    config = rrps.preset(preset).resolved()
    env = rrps.make_env(config, config.num_throws)
    population = PopulationEnv(env, bot_players(env, config.bots), config.matches_per_bot)
    actor = actor_from_policy(uniform_policy(3), population.num_envs, 1)
    params, steps = population.default_params, config.ppo.chunk_length

    def chunk(carry):
        def one(carry, _):
            state, key = carry
            key, sub = jax.random.split(key)
            state, trajectory, _ = rollout(population, actor, (), state, sub, params, steps)
            return (state, key), trajectory.reward.mean()

        return jax.lax.scan(one, carry, length=updates)[0]

    start = jax.jit(lambda key: start_rollout(population, actor, key, params))(jax.random.key(0))
    compile_seconds, seconds = timed(chunk, (start, jax.random.key(1)), repeats)
    return figures(compile_seconds, updates * steps * population.num_envs, seconds)


def environment(num_envs: int, repeats: int, num_steps: int = 1000) -> dict[str, float]:
    """Joint steps a second of `num_envs` two-player matches under random actions, rewards summed."""
    import jax

    from jaxmarl.core import Integers, VectorEnv, draw, make

    env, params = make("repeated_rps")
    vector = VectorEnv(env, num_envs)

    def match(key):
        reset_key, steps_key, key = jax.random.split(key, 3)
        _, state = vector.reset(reset_key, params)

        def step(carry, key):
            state, total = carry
            action = draw(Integers(3, (2,)), key, (num_envs,))
            obs, state, reward, *_ = vector.step(key, state, action, params)
            return (state, total + reward.sum() + obs.sum()), None

        (_, total), _ = jax.lax.scan(step, (state, 0.0), jax.random.split(steps_key, num_steps))
        return jax.random.fold_in(key, jax.numpy.int32(total))

    compile_seconds, seconds = timed(match, jax.random.key(0), repeats)
    return figures(compile_seconds, num_envs * num_steps, seconds)


def figures(compile_seconds: float, steps: int, seconds: list[float]) -> dict[str, float]:
    """Median steps a second, its range, and compile seconds."""
    return {
        "steps_per_second": steps / statistics.median(seconds),
        "slowest": steps / max(seconds),
        "fastest": steps / min(seconds),
        "compile_seconds": compile_seconds,
    }


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    import jax
    from rich.console import Console
    from rich.table import Table

    jax.config.update("jax_enable_compilation_cache", False)
    rows = {
        f"train, preset {args.preset}": training(args.preset, args.updates, args.repeats),
        "play the same matches, uniform agent": playing(args.preset, args.updates, args.repeats),
        **{f"repeated_rps, {n} matches, random": environment(n, args.repeats) for n in (1, 1024, 16384)},
    }
    device = f"{jax.devices()[0].device_kind}, {len(os.sched_getaffinity(0))} cores"
    table = Table("what", "M steps/s (median)", "range", "compile s", title=f"jax {jax.__version__}, {device}")
    for name, row in rows.items():
        speed, low, high = (f"{row[key] / 1e6:.3f}" for key in ("steps_per_second", "slowest", "fastest"))
        table.add_row(name, speed, f"{low} - {high}", f"{row['compile_seconds']:.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    Console(width=110).print(table)
    print(f"peak memory of the process: {peak:.2f} GiB")
    if args.out:
        args.out.write_text(json.dumps({"device": device, "peak_memory_gib": peak, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

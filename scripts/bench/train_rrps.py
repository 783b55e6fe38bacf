"""Speed of the rock-paper-scissors presets: agent steps a second, compile seconds, peak memory.

    python scripts/bench/train_rrps.py [--preset quick] [--repeats 5] [--out bench.json] [--core 0]

Prints a table of medians over `--repeats` timed chunks of updates (compilation apart, no compilation cache), the split
between playing and learning, and the environment alone under random actions; `--out` writes the same as JSON.
`--core` pins the process to one core before JAX starts, for figures per core.
"""

import argparse

from jaxmarl.bench.harness import chained, parser, peak_memory, start, write


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--preset", default="quick")
    options.add_argument("--updates", type=int, default=5, help="updates in a timed chunk")
    return options.parse_args()


def training(preset: str, updates: int, repeats: int) -> dict[str, float]:
    """Agent steps a second of whole updates."""
    import jax

    from jaxmarl.experiments import rrps

    learner = rrps.make_learner(rrps.preset(preset))

    def chunk(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=updates)[0]

    timing = chained(chunk, jax.jit(learner.init)(jax.random.key(0)), repeats)
    return timing.rates(updates * learner.steps_per_update)


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

    first = jax.jit(lambda key: start_rollout(population, actor, key, params))(jax.random.key(0))
    timing = chained(chunk, (first, jax.random.key(1)), repeats)
    return timing.rates(updates * steps * population.num_envs)


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

    return chained(match, jax.random.key(0), repeats).rates(num_envs * num_steps)


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    from rich.console import Console
    from rich.table import Table

    rows = {
        f"train, preset {args.preset}": training(args.preset, args.updates, args.repeats),
        "play the same matches, uniform agent": playing(args.preset, args.updates, args.repeats),
        **{f"repeated_rps, {n} matches, random": environment(n, args.repeats) for n in (1, 1024, 16384)},
    }
    table = Table("what", "M steps/s (median)", "range", "compile s", title=device)
    for name, row in rows.items():
        speed, low, high = (f"{row[key] / 1e6:.3f}" for key in ("steps_per_second", "slowest", "fastest"))
        table.add_row(name, speed, f"{low} - {high}", f"{row['compile_seconds']:.1f}")
    peak = peak_memory() / 2**30
    Console(width=110).print(table)
    print(f"peak memory of the process: {peak:.2f} GiB")
    write(args.out, {"peak_memory_gib": peak, "rows": rows})


if __name__ == "__main__":
    main()

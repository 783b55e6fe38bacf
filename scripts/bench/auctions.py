"""Speed of the auction environments under random bids, and of OpenSpiel's sealed-bid auction beside ours.

    python scripts/bench/auctions.py [--sizes 1 1024 65536] [--formats ...] [--agents 8] [--core 0] [--out out.json]

Every registered auction format plays `--sizes` parallel instances, episodes restarted as roll-outs do; a step is one
round of bids of all its bidders, in one-shot formats a whole auction. Prints a table of median steps a second over
`--repeats` timed calls, with compile seconds (no compilation cache), and the discrete first-price auction against
OpenSpiel's `first_sealed_auction`: the same game, values and bids drawn alike. `--agents` asks for so many bidders
instead of a format's default number, where it is a field. `--out` writes the same as JSON; `--core` pins the process
to one core before JAX starts, for figures per core.
"""

import argparse
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

from train_rrps import figures, timed

STEPS = {1: 2048, 1024: 256, 65536: 8}
LONGEST_ROLLOUT = 64


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--formats", nargs="*", help="registered names; all auctions by default")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 1024, 65536], help="parallel instances")
    parser.add_argument("--agents", type=int, help="bidders, in formats for any number of them")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls; the median counts")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--core", type=int, help="pin the process to this core")
    parser.add_argument("--smoke", action="store_true", help="two formats, 8 instances, one call: does it run")
    return parser.parse_args()


def auction_formats() -> list[str]:
    """Registered environments that are defined in the auctions' folder."""
    from jaxmarl.core import list_envs
    from jaxmarl.core.registry import env_factory
    from jaxmarl.envs import auctions

    return [name for name in list_envs() if env_factory(name).__module__.startswith(auctions.__name__)]


def make_format(name: str, num_agents: int | None) -> tuple[Any, Any]:
    """The environment with its default fields, or with `num_agents` bidders where that is one of its fields."""
    import inspect

    from jaxmarl.core import make
    from jaxmarl.core.registry import env_factory

    fields = inspect.signature(env_factory(name)).parameters
    if num_agents is not None and "num_agents" in fields:
        return make(name, num_agents=num_agents)
    if num_agents is not None and "num_buyers" in fields:
        return make(name, num_buyers=-(-num_agents // 2), num_sellers=num_agents // 2)
    return make(name)


def random_actions(env: Any, space: Any, num_envs: int, key: Any, mask: Any) -> Any:
    """Uniform actions `[B, N, ...]`, legal ones where the environment masks; `mask` is called if it does."""
    import math

    import jax.numpy as jnp

    from jaxmarl.core import Discrete, Environment, Integers, Normal, Uniform, draw
    from jaxmarl.core.policy import categorical

    shape = (num_envs, env.num_agents, *space.shape)
    if isinstance(space, Discrete):
        if type(env).action_mask is Environment.action_mask:
            return draw(Integers(space.n, shape), key)
        return categorical(jnp.where(mask(), 0.0, -jnp.inf), draw(Uniform(shape), key))
    if math.isfinite(space.low) and math.isfinite(space.high):
        return draw(Uniform(shape, space.low, space.high), key)
    return jnp.clip(draw(Normal(shape), key), space.low, space.high)


def play(name: str, num_agents: int | None, num_envs: int, repeats: int, steps: int) -> dict[str, float]:
    """Joint steps a second of `num_envs` instances of a format."""
    import jax
    import jax.numpy as jnp

    from jaxmarl.core import VectorEnv

    env, params = make_format(name, num_agents)
    vector = VectorEnv(env, num_envs)
    space, horizon = env.action_space(params), env.horizon or LONGEST_ROLLOUT
    length = max(d for d in range(1, LONGEST_ROLLOUT + 1) if horizon % d == 0)
    rollouts = -(-steps // length)

    def rounds(carry):
        def rollout(carry, key):
            def step(carry, key):
                state, total = carry
                act_key, env_key = jax.random.split(key)
                mask = lambda: vector.action_mask(state, params)  # noqa: E731
                action = random_actions(env, space, num_envs, act_key, mask)
                obs, state, reward, *_ = vector.step(env_key, state, action, params)
                return (state, total + reward.sum() + obs.sum()), None

            state, total = carry
            begin_key, key = jax.random.split(key)
            _, state = vector.begin(begin_key, state, params)
            return jax.lax.scan(step, (state, total), jax.random.split(key, length))[0], None

        state, key = carry
        keys = jax.random.split(key, rollouts + 1)
        (state, total), _ = jax.lax.scan(rollout, (state, jnp.zeros(())), keys[1:])
        # the next call depends on what was measured, so that nothing of it is left out
        return state, jax.random.fold_in(keys[0], jnp.int32(total))

    start = jax.jit(lambda key: vector.reset(key, params)[1])(jax.random.key(0)), jax.random.key(1)
    return {**figures(*timed_steps(rounds, start, repeats, rollouts * length * num_envs)), "num_agents": env.num_agents}


def timed_steps(function: Any, argument: Any, repeats: int, steps: int) -> tuple[float, int, list[float]]:
    """What `figures` takes."""
    compile_seconds, seconds = timed(function, argument, repeats)
    return compile_seconds, steps, seconds


def our_discrete_auction(num_envs: int, repeats: int, steps: int) -> dict[str, float]:
    """Values 1 to 10, bids below them, drawn ties: auctions a second, and the mean payoff of a bidder."""
    import jax
    import jax.numpy as jnp

    from jaxmarl.core import Uniform, draw, make
    from jaxmarl.envs.auctions import SealedBidState

    env, params = make("first_price_auction", num_bid_levels=10, max_bid=9.0, tie_rule="random")

    def rounds(carry):
        def one(total, key):
            values, bids, lots = draw((Uniform((2,)), Uniform((2,)), Uniform((2,))), key, (num_envs,))
            values = 1 + jnp.floor(10 * values)
            actions = jnp.floor(bids * values).astype(jnp.int32)
            reward = jax.vmap(lambda v, b, lot: env.transition(SealedBidState(v, v), b, lot, params)[1])
            return total + reward(values, actions, lots).mean(), None

        keys = jax.random.split(carry[1], steps + 1)
        return jax.lax.scan(one, jnp.zeros(()), keys[1:])[0], keys[0]

    start = jnp.zeros(()), jax.random.key(0)
    row = figures(*timed_steps(rounds, start, repeats, steps * num_envs))
    return {**row, "mean_payoff": float(jax.jit(rounds)(start)[0]) / steps}


def open_spiel_auction(repeats: int, games: int) -> dict[str, float]:
    """The same of OpenSpiel, one game at a time from Python, which is how it is played."""
    import pyspiel

    game = pyspiel.load_game("first_sealed_auction(players=2,max_value=10)")
    random.seed(0)
    seconds, payoff = [], 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(games):
            state = game.new_initial_state()
            while not state.is_terminal():
                # chance is uniform in this game
                state.apply_action(random.choice(state.legal_actions()))
            payoff += state.returns()[0]
        seconds.append(time.perf_counter() - started)
    rates = [games / s for s in seconds]
    return {
        "steps_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "compile_seconds": 0.0,
        "mean_payoff": payoff / (repeats * games),
    }


def print_table(rows: dict[str, dict[str, Any]], title: str) -> None:
    """A line for each measurement."""
    from rich.console import Console
    from rich.table import Table

    table = Table("format", "bidders", "instances", "M steps/s (median)", "range", "compile s", title=title)
    for name, row in rows.items():
        format_name, _, instances = name.partition(" x ")
        speed, low, high = (f"{row[key] / 1e6:.4g}" for key in ("steps_per_second", "slowest", "fastest"))
        bidders = str(row.get("num_agents", 2))
        table.add_row(format_name, bidders, instances, speed, f"{low} - {high}", f"{row['compile_seconds']:.1f}")
    Console(width=120).print(table)


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    formats, sizes, repeats = args.formats or auction_formats(), args.sizes, args.repeats
    if args.smoke:
        formats, sizes, repeats = formats[:2], [8], 1
    rows: dict[str, dict[str, Any]] = {}
    for name in formats:
        for size in sizes:
            rows[f"{name} x {size}"] = play(name, args.agents, size, repeats, STEPS.get(size, 16))
    for size in sizes:
        rows[f"discrete first price x {size}"] = our_discrete_auction(size, repeats, STEPS.get(size, 16))
    try:
        rows["OpenSpiel first_sealed_auction x 1"] = open_spiel_auction(repeats, 200 if args.smoke else 5000)
    except ImportError:
        print("OpenSpiel is not installed: not compared")
    device = f"{jax.devices()[0].device_kind}, {len(os.sched_getaffinity(0))} cores"
    print_table(rows, f"jax {jax.__version__}, {device}")
    payoffs = {name: row["mean_payoff"] for name, row in rows.items() if "mean_payoff" in row}
    print("mean payoff of a random bidder:", ", ".join(f"{name}: {payoff:.3f}" for name, payoff in payoffs.items()))
    if args.out:
        args.out.write_text(json.dumps({"device": device, "jax": jax.__version__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

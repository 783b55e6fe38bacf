"""Training steps a second on CartPole beside other JAX libraries, and two kernels beside rlax's.

    python scripts/bench/value_learning.py [--repeats 5] [--out value_learning.json]
    python scripts/bench/value_learning.py --peer-python /path/to/venv/bin/python    # one with rejax

Whole training: playing, storing, learning. DQN and IQN step ten instances once and make five gradient steps of 100
transitions; PPO and PQN play 64 instances for 64 steps, then 4 passes of 16 minibatches; networks of two layers of 64,
everywhere. Ours, functions written as PureJaxRL writes them (`purejaxrl_style.py`), and rejax (from PyPI, in a process
of its own) take turns in one run; medians of `--repeats` calls, compiling apart. Kernels: the projection of C51 and the
gradient of the quantile loss, of 1024 laws, ours beside `rlax` under `vmap`. Needs gymnax, rlax and flashbax.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxmarl.bench.harness import Timing, chained, compiled, parser, start, timed, write

SIZES = {"off": (10, 5, 100), "on": (64, 64, 4, 16)}

PEER = """
import json, sys, time
import jax, rejax

repeats, off, on = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
replay = dict(num_envs=10, buffer_size=50_000, fill_buffer=1000, batch_size=100, learning_rate=1e-3, num_epochs=5)
played = dict(num_envs=64, num_steps=64, num_epochs=4, num_minibatches=16, learning_rate=2.5e-4)
settings = {
    "DQN": (replay, off),
    "IQN": (dict(replay, num_tau_samples=8, num_tau_prime_samples=8), off),
    "PQN": (played, on),
    "PPO": (played, on),
}
for name, (options, length) in settings.items():
    algorithm = getattr(rejax, name).create(env="CartPole-v1", **options)

    def chunk(state):
        return jax.lax.scan(lambda s, _: (algorithm.train_iteration(s), None), state, length=length)[0]

    state = jax.jit(algorithm.init_state)(jax.random.PRNGKey(0))
    started = time.perf_counter()
    ready = jax.jit(chunk).lower(state).compile()
    compiled = time.perf_counter() - started
    state = jax.block_until_ready(ready(state))
    seconds, first = [], int(state.global_step)
    for _ in range(repeats):
        started = time.perf_counter()
        state = jax.block_until_ready(ready(state))
        seconds.append(time.perf_counter() - started)
    steps = (int(state.global_step) - first) / repeats
    print(json.dumps({"name": name, "seconds": seconds, "compile": compiled, "steps": steps}), flush=True)
"""


def ours(name: str, length: int, repeats: int) -> dict[str, float]:
    """Rates of one of our learners; a call is `length` updates of the sizes above."""
    import jax

    from jaxmarl.core import VectorEnv
    from jaxmarl.interop import GymnaxEnvironment
    from jaxmarl.learners import PPOConfig, ppo
    from jaxmarl.learners.value import ImplicitQuantileHead, MeanHead, PQNConfig, ValueConfig, deep_q, pqn

    env = GymnaxEnvironment("CartPole-v1")
    num_envs, gradient_steps, batch = SIZES["off"]
    replay = ValueConfig(
        hidden=(64, 64),
        collect=1,
        gradient_steps=gradient_steps,
        rounds=length,
        batch=batch,
        capacity=50_000,
        learning_rate=1e-3,
        target_every=1,
        target_rate=0.02,
    )
    instances, steps, epochs, minibatches = SIZES["on"]
    made: dict[str, Callable[[], Any]] = {
        "DQN": lambda: deep_q(VectorEnv(env, num_envs), MeanHead(), replay),
        "IQN": lambda: deep_q(VectorEnv(env, num_envs), ImplicitQuantileHead(8, 8), replay),
        "PQN": lambda: pqn(
            VectorEnv(env, instances), PQNConfig(hidden=(64, 64), collect=steps, epochs=epochs, minibatches=minibatches)
        ),
        "PPO": lambda: ppo(
            VectorEnv(env, instances),
            PPOConfig(hidden=64, recurrent=False, chunk_length=steps, epochs=epochs, minibatches=minibatches),
        ),
    }
    learner = made[name]()
    updates = 1 if name in ("DQN", "IQN") else length

    def chunk(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=updates)[0]

    timing = chained(chunk, jax.jit(learner.init)(jax.random.key(0)), repeats)
    return timing.rates(updates * learner.steps_per_update)


def pure(name: str, length: int, repeats: int) -> dict[str, float]:
    """The same of the functions in PureJaxRL's manner."""
    import jax
    import purejaxrl_style

    num_envs, gradient_steps, batch = SIZES["off"]
    instances, steps, epochs, minibatches = SIZES["on"]
    if name == "DQN":
        init, update = purejaxrl_style.dqn(num_envs, gradient_steps, batch, 50_000)
        each = num_envs
    else:
        init, update = purejaxrl_style.ppo(instances, steps, epochs, minibatches)
        each = instances * steps

    def chunk(state):
        return jax.lax.scan(lambda s, _: (update(s), None), state, length=length)[0]

    return chained(chunk, jax.jit(init)(jax.random.key(0)), repeats).rates(length * each)


def rejax(python: Path, off: int, on: int, repeats: int) -> dict[str, dict[str, float]]:
    """Rates of rejax's learners, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python.absolute()), "-c", PEER, *(str(x) for x in (repeats, off, on))]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        print(f"{python} could not run rejax: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["name"]: Timing(tuple(row["seconds"]), row["compile"]).rates(row["steps"]) for row in rows}


def kernels(repeats: int, laws: int = 1024, atoms: int = 51, quantiles: int = 32) -> dict[str, dict[str, float]]:
    """Laws a second of projections and of gradients of quantile losses, ours and rlax's."""
    import jax
    import jax.numpy as jnp
    import rlax

    from jaxmarl.distributional import midpoint_levels, project, quantile_huber_loss

    keys = jax.random.split(jax.random.key(0), 5)
    grid = jnp.linspace(-10.0, 10.0, atoms)
    probs = jax.nn.softmax(jax.random.normal(keys[0], (laws, atoms)))
    moved = jax.random.normal(keys[1], (laws, 1)) + 0.99 * grid
    values, aims = (jax.random.normal(key, (laws, quantiles)) for key in keys[2:4])
    levels = midpoint_levels(quantiles)
    theirs = jax.vmap(rlax.categorical_l2_project, (0, 0, None))

    def loss(values, aims):
        return jnp.sum(jax.vmap(rlax.quantile_regression_loss, (0, None, 0, None))(values, levels, aims, 1.0))

    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "projection, ours": (lambda x, p: project(x, p, grid), (moved, probs)),
        "projection, rlax": (lambda x, p: theirs(x, p, grid), (moved, probs)),
        "quantile loss and gradient, ours": (
            jax.value_and_grad(lambda v, a: jnp.sum(quantile_huber_loss(v, levels, a, 1.0))),
            (values, aims),
        ),
        "quantile loss and gradient, rlax": (jax.value_and_grad(loss), (values, aims)),
    }
    rows = {}
    for name, (function, arguments) in calls.items():
        ready, seconds = compiled(function, *arguments)

        def twenty(ready: Any = ready, arguments: Any = arguments) -> list[Any]:
            return [ready(*arguments) for _ in range(20)]

        timing = timed(twenty, repeats, compile_seconds=seconds)
        rows[name] = timing.rates(20 * laws)
    return rows


def main() -> None:
    """Measures, prints and writes."""
    options = parser(__doc__)
    options.add_argument("--peer-python", type=Path, help="Python of a virtual environment with rejax")
    options.add_argument("--smoke", action="store_true", help="kernels, and one learner briefly: that it runs")
    args = options.parse_args()
    if args.smoke:
        args.repeats = 1
    device = start(args)
    from rich.console import Console
    from rich.table import Table

    off, on = (20, 1) if args.smoke else (500, 5)
    rows: dict[str, dict[str, float]] = {}
    for name in ("DQN",) if args.smoke else ("DQN", "IQN", "PQN", "PPO"):
        rows[f"{name}, ours"] = ours(name, off if name in ("DQN", "IQN") else on, args.repeats)
        if name in ("DQN", "PPO"):
            rows[f"{name}, PureJaxRL's manner"] = pure(name, off if name == "DQN" else on, args.repeats)
    if args.peer_python:
        found = rejax(args.peer_python, off, on, args.repeats)
        rows.update({f"{name}, rejax": row for name, row in found.items()})
    table = Table("what", "steps/s (median)", "range", "compile s", title=f"CartPole, {device}")
    for name, row in sorted(rows.items()):
        speed, low, high = (f"{row[key]:,.0f}" for key in ("steps_per_second", "slowest", "fastest"))
        table.add_row(name, speed, f"{low} - {high}", f"{row['compile_seconds']:.1f}")
    laws = kernels(args.repeats)
    table.add_section()
    for name, row in laws.items():
        speed, low, high = (f"{row[key]:,.0f}" for key in ("steps_per_second", "slowest", "fastest"))
        table.add_row(f"{name} (laws/s)", speed, f"{low} - {high}", f"{row['compile_seconds']:.1f}")
    Console(width=110).print(table)
    write(args.out, {"rows": rows, "kernels": laws})


if __name__ == "__main__":
    main()

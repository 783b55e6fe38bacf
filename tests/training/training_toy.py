"""A learner small enough to check by hand, and a script that trains it in a process that can be killed."""

import argparse
import json
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmarl.core.policy import Policy
from jaxmarl.learners.base import Learner
from jaxmarl.training import RunError, run

CONFIG = {"size": 5, "learning_rate": 0.1}


class ToyState(NamedTuple):
    params: dict
    target: dict
    opt_state: optax.OptState
    key: jax.Array
    first_key: jax.Array
    count: jax.Array
    nothing: jax.Array


def toy(size: int = 5, learning_rate: float = 0.1, *, bad_update: int = -1) -> Learner:
    """Adam on a noisy quadratic; at update `bad_update` (from 0) a metric is infinite and another NaN."""
    optimiser = optax.adam(learning_rate)

    def init(key):
        params = {"w": jax.random.normal(key, (size,)), "b": jnp.zeros((), jnp.bfloat16)}
        # the same array and the same key twice, a Python number and an array without elements: states hold such things
        return ToyState(params, params, optimiser.init(params), key, key, 0, jnp.zeros((0, 3)))

    def update(state):
        key, noise_key = jax.random.split(state.key)
        noise = jax.random.normal(noise_key, (size,))

        def loss_of(params):
            return jnp.sum((params["w"] - 1.0 + 0.1 * noise) ** 2) + params["b"].astype(jnp.float32) ** 2

        loss, grad = jax.value_and_grad(loss_of)(state.params)
        updates, opt_state = optimiser.update(grad, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        bad = state.count == bad_update
        metrics = {"loss": jnp.where(bad, jnp.nan, loss), "noise": jnp.where(bad, jnp.inf, noise[0]), "n": state.count}
        return ToyState(params, params, opt_state, key, state.first_key, state.count + 1, state.nothing), metrics

    policy = Policy(init=lambda chance: (), act=lambda params, memory, obs, chance: (params["w"], memory))
    return Learner(init, update, policy, lambda state: state.params, steps_per_update=7)


def plain_leaves(state) -> dict[str, np.ndarray]:
    """Leaves by path, keys as key data, to compare bit for bit."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    is_key = [jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for _, leaf in leaves]
    return {
        jax.tree_util.keystr(path): np.asarray(jax.random.key_data(leaf) if key else leaf)
        for (path, leaf), key in zip(leaves, is_key, strict=True)
    }


def same_state(left, right) -> None:
    """Asserts that two states are equal bit for bit."""
    left, right = plain_leaves(left), plain_leaves(right)
    assert left.keys() == right.keys()
    for name, leaf in left.items():
        assert (leaf.dtype, leaf.shape, leaf.tobytes()) == (
            right[name].dtype,
            right[name].shape,
            right[name].tobytes(),
        ), name


def rows_of(run_dir, *, timeless: bool = False) -> list[dict]:
    """The rows of a run's metrics, `timeless` without their wall clock; NaN and Infinity are not JSON."""
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON")) for line in lines]
    return [{k: v for k, v in row.items() if not (timeless and k == "wall_seconds")} for row in rows]


def train(learner, run_dir, **options):
    """`run` in chunks of four updates, without a bar."""
    return run(learner, run_dir, **{"updates_per_chunk": 4, "show_progress": False} | options)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir")
    parser.add_argument("--num-updates", type=int, required=True)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--checkpoint-every", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    try:
        result = run(
            toy(**CONFIG),
            args.run_dir,
            num_updates=args.num_updates,
            updates_per_chunk=4,
            checkpoint_every=args.checkpoint_every,
            resume=args.resume,
            config=CONFIG,
            on_chunk=lambda updates, metrics: time.sleep(args.pause),
            resume_hint="say toy --resume",
        )
    except RunError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"updates={result.updates} interrupted={result.interrupted}")


if __name__ == "__main__":
    main()

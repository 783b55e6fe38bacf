"""Learning from a dataset: the contract of learners without an environment, and chunks of steps on disk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, batch_params, rollout, start_rollout
from jaxmarl.core.spaces import Discrete
from jaxmarl.learners.base import Metrics
from jaxmarl.learners.team.targets import TeamStep
from jaxmarl.learners.value.replay import steps_of


@dataclass(frozen=True)
class OfflineLearner:
    """Turns what others played into policy parameters; pure, so seeds are a `vmap` over `init` and `update`.

        state = learner.init(key)
        for arrays in dataset.chunks(seed=0):
            state, metrics = learner.update(state, steps_from(arrays))

    Attributes:
        init: key -> state.
        update: (state, chunk of steps `[T, B, ...]`) -> (state, metrics): gradient steps on samples of the chunk.
        policy: what it learns to play.
        params: state -> params of `policy`.
    """

    init: Callable[[Array], PyTree]
    update: Callable[[PyTree, TeamStep], tuple[PyTree, Metrics]]
    policy: Policy
    params: Callable[[PyTree], Any]


def collect(
    env: BatchedEnv, actor: Actor, actor_params: PyTree, key: Array, num_steps: int, env_params: PyTree = None
) -> TeamStep:
    """`num_steps` steps `[T, B, ...]` of an actor from fresh episodes, as offline learners read them.

    Args:
        env: batch of environments.
        actor: the behaviour, given a `MaskedObs` where actions are discrete.
        actor_params: its params.
        key: consumed.
        num_steps: T; must divide the horizon of a fixed-horizon environment.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: discrete actions, and an actor that is not given the legal ones.
    """
    env_params = batch_params(env, env_params)
    start_key, key = jax.random.split(key)
    carry = start_rollout(env, actor, start_key, env_params)
    return play(env, actor, actor_params, carry, key, num_steps, env_params)[1]


def play(
    env: BatchedEnv,
    actor: Actor,
    actor_params: PyTree,
    carry: RolloutState,
    key: Array,
    num_steps: int,
    env_params: PyTree,
) -> tuple[RolloutState, TeamStep]:
    """`num_steps` more steps from where a roll-out stands, and where it then stands; arguments as for `collect`."""
    discrete = isinstance(env.action_space(env_params), Discrete)
    require(actor.masked or not discrete, "actor", "not masked", "one that is given a MaskedObs")
    carry, played, last = rollout(env, actor, actor_params, carry, key, env_params, num_steps, keep_info=False)
    steps = steps_of(played, last, env.horizon is not None)
    mask = played.obs.mask if actor.masked else jnp.ones((*played.reward.shape, 1), bool)
    return carry, TeamStep(**vars(steps), mask=mask, start=played.start, memory=())


def arrays_of(steps: TeamStep) -> dict[str, np.ndarray]:
    """Steps as a chunk of a `training.dataset.Dataset`; memories are not kept."""
    flat = {name: getattr(steps, name) for name in ("obs", "action", "reward", "mask", "start", "terminated", "done")}
    return {
        name: np.asarray(x) for name, x in {**flat, "next_obs": steps.next.obs, "next_mask": steps.next.mask}.items()
    }


def steps_from(arrays: dict[str, np.ndarray]) -> TeamStep:
    """Steps of a chunk, on the device.

    Raises:
        ValueError: an array is missing, or there is one too many.
    """
    wanted = {"obs", "action", "reward", "mask", "start", "terminated", "done", "next_obs", "next_mask"}
    require(set(arrays) == wanted, "arrays", sorted(arrays), f"{sorted(wanted)}")
    given = {name: jnp.asarray(x) for name, x in arrays.items()}
    after = MaskedObs(given.pop("next_obs"), given.pop("next_mask"))
    return TeamStep(**given, next=after, memory=())


def train(
    learner: OfflineLearner, state: PyTree, chunks: Iterable[dict[str, np.ndarray]]
) -> tuple[PyTree, list[Metrics]]:
    """One pass over chunks (`dataset.chunks(seed)`): the state after it, and metrics of each chunk."""
    update, metrics = jax.jit(learner.update), []
    for arrays in chunks:
        state, found = update(state, steps_from(arrays))
        metrics.append(found)
    return state, metrics


def draw_sequences(steps: TeamStep, key: Array, batch: int, length: int) -> TeamStep:
    """`batch` sequences of `length` consecutive steps, time first: leaves `[L, batch, ...]` of `[T, B, ...]`."""
    total, rows = steps.done.shape
    row_key, time_key = jax.random.split(key)
    row = jax.random.randint(row_key, (batch,), 0, rows)
    first = jax.random.randint(time_key, (batch,), 0, total - length + 1)
    when = first + jnp.arange(length)[:, None]
    return jax.tree.map(lambda x: x[when, row], steps)


def repeat_steps(
    step: Callable[[PyTree, Array], tuple[PyTree, Metrics]], state: PyTree, count: int
) -> tuple[PyTree, Metrics]:
    """`count` gradient steps `(state, key) -> (state, metrics)`, whose keys come from `state.key`; means of metrics."""
    key, more = jax.random.split(state.key)
    state, metrics = jax.lax.scan(step, replace(state, key=key), jax.random.split(more, count))
    return state, jax.tree.map(jnp.mean, metrics)

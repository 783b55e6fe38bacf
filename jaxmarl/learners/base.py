"""The learner contract: pure functions from state to state, so seeds, settings and members are `vmap`s."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.checks import require_int
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv

Metrics = dict[str, Array]


@dataclass(frozen=True)
class Learner:
    """Turns experience into policy parameters.

        state = learner.init(key)
        state, metrics = learner.update(state)      # one update: roll-out and gradient steps; pure, scannable

    Attributes:
        init: key -> state (a pytree of arrays; it holds the random key that updates consume).
        update: state -> (state, metrics); metrics is a flat dict of scalars, the same keys at every update.
        policy: what it learns to play.
        params: state -> params of `policy`.
        steps_per_update: agent steps that one update collects.
    """

    init: Callable[[Array], PyTree]
    update: Callable[[PyTree], tuple[PyTree, Metrics]]
    policy: Policy
    params: Callable[[PyTree], Any]
    steps_per_update: int


MakeLearner = Callable[[BatchedEnv, PyTree], Learner]
"""Makes the learner of a batch of environments and their params."""


def over_seeds(learner: Learner, num_seeds: int) -> Learner:
    """`num_seeds` independent runs of `learner` as one: every leaf and metric gains a leading axis."""
    require_int("num_seeds", num_seeds, 1)
    return replace(
        learner,
        init=lambda key: jax.vmap(learner.init)(jax.random.split(key, num_seeds)),
        update=jax.vmap(learner.update),
        steps_per_update=num_seeds * learner.steps_per_update,
    )


def reward_metrics(env: BatchedEnv, reward: Float[Array, "T B N"]) -> Metrics:
    """Mean reward a step: `reward` over the kinds of instance (opponents), `reward_worst` against the worst of them."""
    labels, length = env.labels, env.num_labels
    per_env = jnp.mean(reward, axis=(0, 2))
    per_label = jnp.bincount(labels, weights=per_env, length=length) / jnp.bincount(labels, length=length)
    return {"reward": jnp.mean(per_label), "reward_worst": jnp.min(per_label)}

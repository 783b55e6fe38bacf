"""`check_policy`: every invariant of the policy contract, by name."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmarl.core.chance import draw
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.spaces import Space
from jaxmarl.testing.conformance import run_check
from jaxmarl.testing.play import aval_difference, difference, expect


@dataclass(frozen=True)
class PolicySubject:
    """A policy under examination: see `check_policy`."""

    policy: Policy
    obs: Any
    params: PyTree
    action_space: Space | None
    num_steps: int
    seed: int

    def keys(self) -> Any:
        """Keys of the start and of each step."""
        start, steps = jax.random.split(jax.random.key(self.seed))
        return start, jax.random.split(steps, self.num_steps)


def check_policy(
    policy: Policy,
    obs: Any,
    params: PyTree = (),
    *,
    action_space: Space | None = None,
    num_steps: int = 8,
    seed: int = 0,
) -> None:
    """Checks that `policy` keeps the policy contract (`core.policy`).

    Args:
        policy: policy to check.
        obs: one agent's observation, or a `MaskedObs` for a masked policy.
        params: of the policy.
        action_space: where given, actions must lie in it and have its dtype.
        num_steps: actions taken.
        seed: of the chance.

    Raises:
        AssertionError: one line, `<policy>: <invariant>: <what broke it>`.
    """
    subject = PolicySubject(policy, jax.tree.map(jnp.asarray, obs), params, action_space, num_steps, seed)
    for invariant in POLICY_INVARIANTS:
        run_check(policy.name, invariant, subject)


def masked_policies_see_masks(subject: PolicySubject) -> None:
    """`masked` says whether the observation is a `MaskedObs`."""
    masked = isinstance(subject.obs, MaskedObs)
    expect(masked == subject.policy.masked, f"policy.masked is {subject.policy.masked}, obs is masked: {masked}")


def memory_is_stable(subject: PolicySubject) -> None:
    """Memory keeps structure, shapes, dtypes and weak types from the start through every act."""
    policy, key = subject.policy, jax.random.key(subject.seed)
    start = jax.eval_shape(policy.start, key)
    action, after = jax.eval_shape(policy.sample, key, subject.params, start, subject.obs)
    detail = aval_difference(after, start)
    expect(not detail, f"memory after an act is not like memory at the start: {detail} (a scan would fail)")
    action_again, _ = jax.eval_shape(policy.sample, key, subject.params, after, subject.obs)
    detail = aval_difference(action_again, action)
    expect(not detail, f"the action changes from one call to the next: {detail}")


def actions_fit(subject: PolicySubject) -> None:
    """Actions are int32 scalars or float32 arrays (of the action space's shape), legal and within bounds."""
    actions = np.asarray(_scan(subject)[0])
    dtypes = (jnp.int32, jnp.float32) if subject.action_space is None else (subject.action_space.dtype,)
    allowed = " or ".join(jnp.dtype(d).name for d in dtypes)
    expect(any(actions.dtype == d for d in dtypes), f"actions are {actions.dtype}, should be {allowed}")
    expect(np.isfinite(actions).all(), "an action is not finite")
    if subject.action_space is not None:
        expect(actions.shape[1:] == subject.action_space.shape, f"actions have shape {actions.shape[1:]}")
        inside = jax.vmap(subject.action_space.contains)(jnp.asarray(actions))
        expect(np.asarray(inside).all(), f"an action is not in {subject.action_space}")
    if isinstance(subject.obs, MaskedObs):
        expect(np.asarray(subject.obs.mask)[actions].all(), "an illegal action was taken")


def policy_is_pure(subject: PolicySubject) -> None:
    """Given the same chance, two calls outside jit return the same numbers."""
    detail = difference(_loop(subject), _loop(subject), exact=True)
    expect(not detail, f"a second call returned something else: {detail}")


def policy_jit_equals_eager(subject: PolicySubject) -> None:
    """A jitted scan of acts repeats the acts outside jit."""
    detail = difference(_scan(subject), _loop(subject))
    expect(not detail, detail)


def policy_runs_in_x64(subject: PolicySubject) -> None:
    """With 64-bit types enabled, memory is stable and the action keeps its dtype."""
    policy, key = subject.policy, jax.random.key(subject.seed)
    narrow, _ = jax.eval_shape(policy.sample, key, subject.params, jax.eval_shape(policy.start, key), subject.obs)
    with jax.enable_x64(True):
        start = jax.eval_shape(policy.start, key)
        action, after = jax.eval_shape(policy.sample, key, subject.params, start, subject.obs)
        detail = aval_difference(after, start, weak=False)
        expect(not detail, f"memory after an act is not like memory at the start: {detail}")
        detail = aval_difference(action, narrow, widths=False, weak=False)
        expect(not detail, f"the action: {detail}")


def _scan(subject: PolicySubject) -> Any:
    policy = subject.policy
    start_key, keys = subject.keys()

    @jax.jit
    def play(params, obs):
        def act(memory, chance):
            action, memory = policy.act(params, memory, obs, chance)
            return memory, action

        chances = jax.vmap(lambda key: draw(policy.act_chance, key))(keys)
        memory, actions = jax.lax.scan(act, policy.start(start_key), chances, length=len(keys))
        return actions, memory

    return play(subject.params, subject.obs)


def _loop(subject: PolicySubject) -> Any:
    start_key, keys = subject.keys()
    memory, actions = subject.policy.start(start_key), []
    for key in keys:
        action, memory = subject.policy.sample(key, subject.params, memory, subject.obs)
        actions.append(action)
    return jnp.stack(actions), memory


POLICY_INVARIANTS = (
    masked_policies_see_masks,
    memory_is_stable,
    actions_fit,
    policy_is_pure,
    policy_jit_equals_eager,
    policy_runs_in_x64,
)

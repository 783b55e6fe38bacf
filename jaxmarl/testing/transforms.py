"""An environment under jax's transformations, and in a `VectorEnv`, is the same environment."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmarl.core.vector import VectorEnv, VectorState
from jaxmarl.testing.contract import abstract_step
from jaxmarl.testing.play import Subject, at, aval_difference, difference, expect

LANES = 4


def jit_equals_eager(subject: Subject) -> None:
    """Recorded steps (jitted, in a scan) are repeated without jit."""
    env, params, steps = subject.env, subject.params, subject.steps
    for t in subject.picks(3):
        state, action, chance, obs, mask = (
            at(x, t) for x in (steps.state, steps.action, steps.chance, steps.obs, steps.mask)
        )
        detail = difference((env.observe(state, params), subject.legal(state, params)), (obs, mask))
        expect(not detail, f"observation or mask at step {t}: {detail}")
        after, reward, terminated, info = env.transition(state, action, chance, params)
        got = after, env.observe(after, params), reward, terminated, env.truncated(after, params), info
        wanted = (steps.next_state, steps.next_obs, steps.reward, steps.terminated, steps.truncated, steps.info)
        detail = difference(got, at(wanted, t))
        expect(not detail, f"step {t}: {detail}")


def same_key_same_numbers(subject: Subject) -> None:
    """Scanning twice with the same key gives identical numbers."""
    again = subject.play(subject.params)
    detail = difference(again, subject.steps, exact=True)
    expect(not detail, f"second scan: {detail}")


def vector_env_agrees(subject: Subject) -> None:
    """A `VectorEnv` (a `vmap`) given recorded states, actions and chance returns what single environments did."""
    _compare_lanes(subject, subject.params, stacked=False)


def stacked_params_agree(subject: Subject) -> None:
    """Params may be stacked, one market an instance: each instance does what it does alone."""
    _compare_lanes(subject, subject.params, stacked=True)


def _compare_lanes(subject: Subject, params: PyTree, *, stacked: bool) -> None:
    env, steps = subject.env, subject.steps
    picks = subject.picks(LANES)
    states, action, chance = at((steps.state, steps.action, steps.chance), picks)
    vector = VectorEnv(env, LANES, stacked_params=stacked)
    if stacked:
        params = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * LANES), params)
    zero = jnp.zeros((), jnp.int32)
    state = VectorState(states, zero, states if env.horizon is None else (), zero)
    obs, after, reward, terminated, truncated, info = jax.jit(vector.apply)(state, action, chance, params)
    if env.horizon is None:
        obs = info.pop("final_observation")
    got = {"obs": obs, "reward": reward, "terminated": terminated, "truncated": truncated, "info": info}
    wanted = {
        "obs": steps.next_obs,
        "reward": steps.reward,
        "terminated": steps.terminated,
        "truncated": steps.truncated,
        "info": steps.info,
    }
    detail = difference(got, at(wanted, picks))
    expect(not detail, detail)
    going_on = np.flatnonzero(~steps.done[picks])  # where an episode ended, the next one may have begun
    detail = difference(at(after.env, going_on), at(steps.next_state, picks[going_on]))
    expect(not detail, f"state after the step: {detail}")


def no_retracing(subject: Subject) -> None:
    """One trace serves other values of params, equal copies of the environment, and states after resets and steps."""
    env, steps = subject.env, subject.steps
    traces = []

    @partial(jax.jit, static_argnums=0)
    def step(env, state, action, chance, params):
        traces.append(params)
        after, reward, *_ = env.transition(state, action, chance, params)
        return env.observe(after, params), reward

    def nudge(x):
        is_float = jnp.issubdtype(jnp.result_type(x), jnp.floating)
        return x * 1.001 if is_float and isinstance(x, float) else x * np.float32(1.001) if is_float else x

    changed = jax.tree.map(nudge, subject.params)
    state = subject.fresh(subject.key, subject.params)
    action, chance = at((steps.action, steps.chance), 0)
    step.trace(env, state, action, chance, subject.params)
    step.trace(env, state, action, chance, changed)
    weak = [jax.tree_util.keystr(path) for path, x in jax.tree_util.tree_leaves_with_path(subject.params) if _weak(x)]
    expect(len(traces) == 1, f"other values of params trace the step anew (weakly typed leaves: {weak or 'none'})")
    step.trace(dataclasses.replace(env), state, action, chance, changed)
    expect(len(traces) == 1, "an equal copy of the environment traces the step anew")
    step.trace(env, at(steps.next_state, 0), action, chance, changed)
    expect(len(traces) == 1, "a state after a step traces the step anew (weak types?)")


def runs_in_x64(subject: Subject) -> None:
    """With 64-bit types enabled and float64 params, structure and dtypes stay those of 32-bit types, and stable."""
    narrow = abstract_step(subject, subject.params)
    with jax.enable_x64(True):
        params = jax.tree.map(_widen, subject.params)
        start, step = abstract_step(subject, params)
        detail = aval_difference(step["state"], start["state"], weak=False)
        expect(not detail, f"state after a step is not like the state after reset: {detail}")
        detail = aval_difference(step["obs"], start["obs"], weak=False)
        expect(not detail, f"obs after a step is not like obs after reset: {detail}")
        for got, wanted in zip((start, step), narrow, strict=True):
            for name in got:
                detail = aval_difference(got[name], wanted[name], widths=False, weak=False)
                expect(not detail, f"{name} against that of 32-bit types: {detail}")


def _weak(x):
    return not isinstance(x, (bool, int, float)) and jax.typeof(x).weak_type


def _widen(x):
    is_float = jnp.issubdtype(jnp.result_type(x), jnp.floating)
    return jnp.asarray(x, jnp.float64) if is_float else x


TRANSFORMS = (
    jit_equals_eager,
    same_key_same_numbers,
    vector_env_agrees,
    stacked_params_agree,
    no_retracing,
    runs_in_x64,
)

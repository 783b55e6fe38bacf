"""Invariants of the contract itself: what reset, step and the masks return, at every step."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmarl.core.chance import draw
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Discrete, Space
from jaxmarl.core.wrappers import AutoReset
from jaxmarl.testing.play import Steps, Subject, at, aval_difference, difference, expect


def frozen_and_hashable(subject: Subject) -> None:
    """The environment is an immutable value, equal to an equal copy."""
    env: Any = subject.env
    expect(isinstance(env, Environment), f"{env!r} is not an Environment")
    expect(dataclasses.is_dataclass(env) and not isinstance(env, type), "the environment is not a dataclass")
    expect(env.__dataclass_params__.frozen, "the environment is not a frozen dataclass")
    copy = dataclasses.replace(env)
    expect(env == copy, "an equal copy compares unequal (is a field compared by identity?)")
    expect(hash(env) == hash(copy), "an equal copy has another hash")
    expect(len(env.agent_names) == env.num_agents, f"{len(env.agent_names)} agent_names for {env.num_agents} agents")


def default_params_are_valid(subject: Subject) -> None:
    """`validate` accepts the default params, those given, and the corners."""
    for label, params in [("default_params", subject.env.default_params), ("params", subject.params)]:
        _validate(subject, label, params)
    for i, params in enumerate(subject.corners):
        _validate(subject, f"corners[{i}]", params)


def _validate(subject: Subject, label: str, params: PyTree) -> None:
    try:
        subject.env.validate(params)
    except ValueError as error:
        raise AssertionError(f"validate refuses {label}: {error}") from error


def structure_is_stable(subject: Subject) -> None:
    """State and observation keep structure, shapes, dtypes and weak types from reset through steps and restarts."""
    start, step = abstract_step(subject, subject.params)
    detail = aval_difference(step["state"], start["state"])
    expect(not detail, f"state after a step is not like the state after reset: {detail} (a scan would fail)")
    again = abstract_step(subject, subject.params)[1]
    for name in ("obs", "reward", "terminated", "truncated", "info"):
        detail = aval_difference(again[name], step[name])
        expect(not detail, f"{name} changes from one call to the next: {detail}")
    detail = aval_difference(step["obs"], start["obs"])
    expect(not detail, f"obs after a step is not like obs after reset: {detail}")


def abstract_step(subject: Subject, params: PyTree) -> tuple[dict[str, Any], dict[str, Any]]:
    """Abstract values after reset and after one step, by name."""
    env = subject.env

    def start(key, params):
        state = env.initial(draw(env.reset_chance, key), params)
        return {"state": state, "obs": env.observe(state, params), "mask": subject.legal(state, params)}

    def step(key, state, mask, params):
        action = subject.random_action(draw(subject.action_chance, key), mask)
        state, reward, terminated, info = env.transition(state, action, draw(env.step_chance, key), params)
        truncated, obs = env.truncated(state, params), env.observe(state, params)
        return {
            "state": state,
            "obs": obs,
            "mask": subject.legal(state, params),
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "info": info,
        }

    first = jax.eval_shape(start, subject.key, params)
    return first, jax.eval_shape(step, subject.key, first["state"], first["mask"], params)


def dtypes_and_shapes(subject: Subject) -> None:
    """Rewards are float32 `[N]`, the end flags bool scalars, masks bool `[N, A]`, info a dictionary of arrays."""
    n = subject.env.num_agents
    _, step = abstract_step(subject, subject.params)
    space = subject.env.observation_space(subject.params)
    wanted: dict[str, tuple[tuple[int, ...], Any]] = {
        "reward": ((n,), jnp.float32),
        "terminated": ((), jnp.bool_),
        "truncated": ((), jnp.bool_),
        "obs": ((n, *space.shape), space.dtype),
    }
    if isinstance(subject.action_space, Discrete):
        wanted["mask"] = ((n, subject.action_space.n), jnp.bool_)
    for name, (shape, dtype) in wanted.items():
        got = step[name]
        expect(hasattr(got, "shape"), f"{name} is not one array")
        same = got.shape == shape and got.dtype == dtype
        dtype_name = jnp.dtype(dtype).name
        expect(same, f"{name} is {got.dtype}{list(got.shape)}, should be {dtype_name}{list(shape)}")
    expect(isinstance(step["info"], dict), f"info is a {type(step['info']).__name__}, not a dict")


def reset_and_step_compose_the_pieces(subject: Subject) -> None:
    """`reset` and `step` are `initial`, `transition`, `observe` and `truncated` with the chance drawn from the key."""
    env, params, key = subject.env, subject.params, subject.key
    obs, state = env.reset(key, params)
    wanted = env.initial(draw(env.reset_chance, key), params)
    detail = difference((obs, state), (env.observe(wanted, params), wanted))
    expect(not detail, f"reset: {detail}")
    action = at(subject.steps.action, 0)
    got = env.step(key, state, action, params)
    after, reward, terminated, info = env.transition(state, action, draw(env.step_chance, key), params)
    pieces = (env.observe(after, params), after, reward, terminated, env.truncated(after, params), info)
    detail = difference(got, pieces)
    expect(not detail, f"step: {detail}")


def pure(subject: Subject) -> None:
    """Called twice on the same arguments, outside jit, the functions return the same numbers."""
    env, params, steps = subject.env, subject.params, subject.steps
    state, action, chance = (at(x, 0) for x in (steps.state, steps.action, steps.chance))
    first = env.transition(state, action, chance, params), env.observe(state, params)
    second = env.transition(state, action, chance, params), env.observe(state, params)
    detail = difference(second, first, exact=True)
    expect(not detail, f"a second call returned something else: {detail}")


def finite(subject: Subject) -> None:
    """No NaN or infinity in observations and rewards over long random play, at the params and at every corner."""
    for label, _, steps in _all_plays(subject):
        for name, x in [("obs", steps.obs), ("obs", steps.next_obs), ("reward", steps.reward)]:
            bad = ~np.isfinite(x).reshape(len(x), -1).all(axis=1)
            expect(not bad.any(), f"{name} is not finite at step {int(bad.argmax())} of random play at {label}")


def observations_in_space(subject: Subject) -> None:
    """Every observation lies in `observation_space(params)`: at reset, at each step, and at an episode's end."""
    for label, params, steps in _all_plays(subject):
        space = subject.env.observation_space(params)
        for x in (steps.obs, steps.next_obs):
            outside_space("observation", x, space, label)


def actions_in_space(subject: Subject) -> None:
    """Sampled actions lie in `action_space(params)`."""
    outside_space("sampled action", subject.steps.action, subject.action_space, "params")


def outside_space(what: str, x: Any, space: Space, label: str) -> None:
    """Fails where a row of `x` `[T, N, …]` is not in `space`."""
    good = np.asarray(_contains(space)(np.reshape(x, (-1, *x.shape[2:])))).reshape(x.shape[:2])
    if not good.all():
        t, agent = (int(i) for i in np.argwhere(~good)[0])
        value = np.ravel(x[t, agent])[:8]
        raise AssertionError(f"{what} {value} of agent {agent} at step {t} is not in {space} ({label})")


@functools.lru_cache(maxsize=16)
def _contains(space: Space) -> Any:
    return jax.jit(jax.vmap(space.contains))


def masks_leave_a_legal_action(subject: Subject) -> None:
    """Every agent has a legal action at every step, the one after which an episode ends excepted."""
    if not subject.masked:
        return
    stuck = ~subject.steps.mask.any(axis=-1)
    if stuck.any():
        t, agent = (int(i) for i in np.argwhere(stuck)[0])
        raise AssertionError(f"agent {agent} has no legal action at step {t}")


def survives_auto_reset(subject: Subject) -> None:
    """Under `AutoReset`, in each mode, structure and dtypes hold; pooled, observations too, beyond an episode's end."""
    for mode in ("fresh", "fixed", "pooled"):
        wrapped = AutoReset(subject.env, mode=mode, pool_size=3)
        inner = dataclasses.replace(subject, env=wrapped, corners=(), restarts=False)
        # played in one mode only, as each is a program to compile
        played = (observations_in_space, _ends_are_reported) if mode == "pooled" else ()
        for check in (structure_is_stable, dtypes_and_shapes, *played):
            try:
                check(inner)
            except AssertionError as error:
                raise AssertionError(f"mode {mode}: {error}") from error


def _ends_are_reported(subject: Subject) -> None:
    """An episode of an auto-resetting environment ends, and its last observation is in the space."""
    space = subject.env.observation_space(subject.params)
    outside_space("final observation", subject.steps.info["final_observation"], space, "params")
    expect(subject.steps.done.any(), "no episode ended")


def _all_plays(subject: Subject) -> list[tuple[str, PyTree, Steps]]:
    plays = [("params", subject.params, subject.steps)]
    for i, params in enumerate(subject.corners):
        plays.append((f"corners[{i}]", params, subject.play(params, start=2 + i)))
    return plays


CONTRACT = (
    frozen_and_hashable,
    default_params_are_valid,
    structure_is_stable,
    dtypes_and_shapes,
    masks_leave_a_legal_action,
    pure,
    reset_and_step_compose_the_pieces,
    finite,
    observations_in_space,
    actions_in_space,
)

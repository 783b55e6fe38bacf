"""What an environment declares about itself is true: horizon, zero-sum, symmetric, deterministic, differentiable."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from jaxmarl.core.chance import draw, is_leaf, repeat
from jaxmarl.testing.play import MAX_CHUNKS, Subject, at, difference, expect, is_key


def episodes_end_as_declared(subject: Subject) -> None:
    """Every episode ends exactly at `horizon`; where that is None, random play comes to an end at all."""
    horizon, done = subject.env.horizon, subject.steps.done
    if horizon is None:
        expect(done.any(), f"horizon is None and no episode ended in {MAX_CHUNKS * subject.num_steps} random steps")
        return
    expect(horizon >= 1, f"horizon is {horizon}")
    ends = np.flatnonzero(done) + 1
    expect(len(ends), f"horizon is {horizon}, but no episode ended in {len(done)} steps")
    lengths = np.diff(ends, prepend=0)
    wrong = lengths[lengths != horizon]
    expect(not len(wrong), f"horizon is {horizon}, but an episode ended after {wrong[:1]} steps")


def zero_sum_rewards(subject: Subject) -> None:
    """Where `zero_sum` is declared, rewards sum to zero at every step."""
    if not subject.env.zero_sum:
        return
    reward = subject.steps.reward.astype(np.float64)
    total, scale = np.abs(reward.sum(axis=1)), np.maximum(1.0, np.abs(reward).max(axis=1))
    worst = int((total / scale).argmax())
    expect(total[worst] <= 1e-4 * scale[worst], f"rewards {reward[worst]} at step {worst} do not sum to zero")


def deterministic_play(subject: Subject) -> None:
    """Where `deterministic` is declared, nothing is drawn and the key does not matter."""
    env, params = subject.env, subject.params
    if not env.deterministic:
        return
    specs = {"reset_chance": env.reset_chance, "step_chance": env.step_chance}
    for name, spec in specs.items():
        expect(not jax.tree.leaves(spec, is_leaf=is_leaf), f"declared, but {name} draws {spec}")
    keys = [jax.random.fold_in(subject.key, i) for i in (101, 102)]
    first, second = (env.reset(key, params) for key in keys)
    expect(not (detail := difference(second, first, exact=True)), f"reset depends on its key: {detail}")
    action = at(subject.steps.action, 0)
    one, two = (env.step(key, first[1], action, params) for key in keys)
    expect(not (detail := difference(two, one, exact=True)), f"step depends on its key: {detail}")


def symmetric_play(subject: Subject) -> None:
    """Where `symmetric` is declared, exchanging the agents exchanges observations, masks and rewards.

    The agents' actions are exchanged, and with them what chance deals to each: of the drawn arrays that have an axis of
    length `num_agents`, some subset (found by trial) belongs to the agents and is exchanged along that axis.
    """
    env = subject.env
    if not env.symmetric or env.num_agents == 1:
        return
    n = env.num_agents
    paired = jax.jit(lambda *args: _paired_play(subject, *args))
    owned = _agent_axes((env.reset_chance, env.step_chance), n)
    for order in {tuple(range(n))[::-1], tuple(np.roll(np.arange(n), 1).tolist())}:
        details = []
        for exchanged in _subsets(len([axis for axis in owned if axis is not None])):
            first, second = paired(np.asarray(order), np.asarray(exchanged, bool), subject.params)
            details.append(_first_difference(second, first))
            if not details[-1]:
                break
        expect(not details[-1], f"exchanging agents (order {list(order)}) does not exchange {details[0]}")


def _subsets(count: int) -> list[tuple[bool, ...]]:
    """All exchanged, none exchanged, then every other subset (where they are few)."""
    ends = [(True,) * count, (False,) * count]
    return ends + ([x for x in itertools.product([True, False], repeat=count) if x not in ends] if count <= 6 else [])


def _agent_axes(spec: PyTree, n: int) -> list[int | None]:
    """For each leaf of a chance specification, its first axis of length `n`."""
    leaves = jax.tree.leaves(spec, is_leaf=is_leaf)
    return [leaf.shape.index(n) if n in leaf.shape else None for leaf in leaves]


def _exchange(chance: PyTree, axes: list[int | None], order: Array, exchanged: Array) -> Any:
    """`chance` with its agents' leaves permuted; `exchanged` has an entry for each leaf with an axis."""
    leaves, treedef = jax.tree.flatten(chance, is_leaf=is_key)
    out, k = [], 0
    for leaf, axis in zip(leaves, axes, strict=True):
        if axis is not None:
            index = jnp.where(exchanged[k], order, jnp.arange(len(order)))
            leaf, k = jnp.take(leaf, index, axis=axis), k + 1
        out.append(leaf)
    return jax.tree.unflatten(treedef, out)


def _paired_play(subject: Subject, order: Array, exchanged: Array, params: PyTree):
    """16 short episodes played twice, the second time with agents exchanged; rows after an end are blanked."""
    env = subject.env
    length = min(env.horizon or 32, 32)
    resets, steps = (_agent_axes(spec, env.num_agents) for spec in (env.reset_chance, env.step_chance))
    axes = resets + [None if axis is None else axis + 1 for axis in steps]  # the steps' draws are stacked in time

    def play(drawn):
        reset_chance, chances, units = drawn
        swapped_reset, swapped_chances = _exchange((reset_chance, chances), axes, order, exchanged)
        states = env.initial(reset_chance, params), env.initial(swapped_reset, params)

        def step(carry, x):
            (one, two), alive = carry
            chance, swapped, unit = x
            action = subject.random_action(unit, subject.legal(one, params))
            seen = [{"obs": env.observe(s, params), "masks": subject.legal(s, params)} for s in (one, two)]
            one, reward, ended, _ = env.transition(one, action, chance, params)
            two, reward_two, ended_two, _ = env.transition(two, action[order], swapped, params)
            over = ended | env.truncated(one, params), ended_two | env.truncated(two, params)
            first = jax.tree.map(lambda x: x[order], {**seen[0], "rewards": reward}) | {"the end": over[0]}
            second = {**seen[1], "rewards": reward_two, "the end": over[1]}
            blank = jax.tree.map(lambda x: jnp.where(alive, x, 0), (first, second))
            return ((one, two), alive & ~over[0]), blank

        return jax.lax.scan(step, (states, jnp.ones((), bool)), (chances, swapped_chances, units), length=length)[1]

    spec = env.reset_chance, repeat(env.step_chance, length), repeat(subject.action_chance, length)
    return jax.vmap(play)(draw(spec, jax.random.fold_in(subject.key, 7), (16,)))


def _first_difference(got: dict[str, Any], wanted: dict[str, Any]) -> str:
    for name in wanted:
        if detail := difference(got[name], wanted[name]):
            return f"{name}: {detail}"
    return ""


def gradients_match_differences(subject: Subject) -> None:
    """Each of `differentiable_params` has finite gradients of the rewards, equal to central finite differences."""
    fields = {}
    for name in subject.env.differentiable_params:
        field = field_of(subject.params, name)
        expect(field is not None, f"params have no field {name!r}")
        expect(jnp.issubdtype(jnp.asarray(field).dtype, jnp.floating), f"params.{name} is not a float")
        fields[name] = jnp.asarray(field)
    if not fields:
        return
    directions = {name: _direction(subject, field) for name, field in fields.items()}
    parts = []
    for fn, samples in _reward_functions(subject):
        slopes = jax.vmap(lambda x, fn=fn: _slopes(lambda changed: fn(changed, x), fields, directions))
        parts.append(jax.jit(slopes)(samples))
    for name in fields:
        _check_slopes(name, *(np.concatenate(x) for x in zip(*(part[name] for part in parts), strict=True)))


def field_of(params: PyTree, name: str) -> Any:
    """A field of params (dataclass or dictionary), or None."""
    return params.get(name) if isinstance(params, dict) else getattr(params, name, None)


def with_fields(params: PyTree, changed: dict[str, Any]) -> Any:
    """Params with fields replaced."""
    return {**params, **changed} if isinstance(params, dict) else dataclasses.replace(params, **changed)


def _direction(subject: Subject, field: Array) -> Array:
    """Step of each entry: its size, with a random sign."""
    size = jnp.maximum(jnp.abs(field), 0.1 * jnp.max(jnp.abs(field)))
    signs = jax.random.rademacher(jax.random.fold_in(subject.key, 11), field.shape, field.dtype)
    return signs * jnp.where(size > 0, size, 1.0)


def _check_slopes(name: str, finite, slope, wide, narrow, total, change) -> None:
    expect(finite.all(), f"the gradient of the rewards in params.{name} is not finite")
    # rounding of the rewards over the step, relative error, and what two step lengths disagree about (kinks)
    tolerance = 1e-4 * total + 1e-2 * np.maximum(np.abs(slope), np.abs(narrow)) + 2 * np.abs(wide - narrow)
    bad = np.abs(slope - narrow) > tolerance
    i = int(bad.argmax())
    expect(not bad.any(), f"gradient in params.{name} is {slope[i]:.5g}, finite differences say {narrow[i]:.5g}")
    dead = not slope.any() and bool((change > 1e-4 * (total + 1e-3)).any())
    expect(not dead, f"gradients in params.{name} are all zero, though the rewards depend on it")


def _slopes(fn: Callable[[dict], Array], x: dict, directions: dict, h: float = 1e-2) -> dict[str, tuple[Array, ...]]:
    """For each field: finiteness, slope by `grad`, by differences of steps `h` and `h / 2`, size of `fn`, wide change.

    All fields are moved in one `vmap`, each alone, so that however many there are, `fn` is compiled once.
    """
    offsets = jnp.array([h, -h, h / 2, -h / 2, 0.2, -0.2])
    moved: dict[str, Array] = {}
    for i, name in enumerate(x):
        steps = jnp.zeros((len(x), len(offsets))).at[i].set(offsets).ravel()
        moved[name] = x[name] + steps.reshape(-1, *(1,) * x[name].ndim) * directions[name]
    values = jax.vmap(fn)(moved).reshape(len(x), len(offsets))
    size, gradients = jax.value_and_grad(fn)(x)
    out: dict[str, tuple[Array, ...]] = {}
    for name, (up, down, half_up, half_down, far_up, far_down) in zip(x, values, strict=True):
        gradient = gradients[name]
        slope = jnp.sum(gradient * directions[name])
        wide, narrow = (up - down) / (2 * h), (half_up - half_down) / h
        out[name] = (jnp.isfinite(gradient).all(), slope, wide, narrow, jnp.abs(size), jnp.abs(far_up - far_down))
    return out


def _reward_functions(subject: Subject):
    """Functions `(changed fields, sample) -> weighted rewards` with samples: single steps, first steps of episodes."""
    env, params, steps = subject.env, subject.params, subject.steps
    # unequal weights, as the rewards of a zero-sum game have no sum to differentiate
    weights = jnp.linspace(1.0, 0.5, env.num_agents)
    length = min(env.horizon or 3, 3)

    def one_step(changed, sample):
        state, action, chance = sample
        return jnp.sum(weights * env.transition(state, action, chance, with_fields(params, changed))[1])

    def from_start(fields, sample):
        reset_chance, actions, chances = sample
        changed = with_fields(params, fields)
        state, total = env.initial(reset_chance, changed), jnp.zeros(())
        alive: Bool[Array, ""] = jnp.ones((), bool)
        for t in range(length):
            state, reward, ended, _ = env.transition(state, actions[t], at(chances, t), changed)
            total = total + jnp.where(alive, jnp.sum(weights * reward), 0.0)
            alive = alive & ~(ended | env.truncated(state, changed))
        return total

    picks = subject.picks(8)
    first = np.arange(length) % len(steps.done)
    starts = draw(env.reset_chance, jax.random.fold_in(subject.key, 12), (4,))
    repeated = at((steps.action, steps.chance), np.stack([first] * 4))
    return (
        (one_step, at((steps.state, steps.action, steps.chance), picks)),
        (from_start, (starts, *repeated)),
    )


CLAIMS = (
    episodes_end_as_declared,
    zero_sum_rewards,
    deterministic_play,
    symmetric_play,
    gradients_match_differences,
)

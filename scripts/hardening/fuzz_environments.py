"""Random wrong and extreme fields and params of every registered environment."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from fuzz_report import Report, examine
from hypothesis import strategies as st

from jaxmarl.core import list_envs
from jaxmarl.core.chance import draw
from jaxmarl.core.registry import env_factory, make
from jaxmarl.testing.play import Subject

NOISE: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        "",
        "x",
        "nan",
        "\n",
        0.5,
        -1.0,
        float("nan"),
        float("inf"),
        (),
        (1,),
        [1],
        {},
        object,
        1 + 1j,
        b"1",
    ]
)
WHOLE = st.one_of(st.integers(-2, 9), st.sampled_from([-(10**9), 10**6, 2**31 - 1, 2**31, 2**63, 10**30]))
REAL = st.one_of(
    st.floats(-2, 2, width=32),
    st.sampled_from(
        [0.0, -0.0, 1e-30, -1e-30, 1e-6, 1e6, 1e30, -1e30, 3.4e38, float("nan"), float("inf"), -float("inf")]
    ),
)
FAR = 1e15  # beyond it, squares have no place in float32: results may be infinite, though never NaN
STEPS = 24  # of play at params that are accepted


def field_values(parameter: inspect.Parameter, hints: Any) -> st.SearchStrategy[Any]:
    """Values for a field: of its type, near the allowed ones and far from them, and of other types."""
    options = [NOISE, st.just(parameter.default)]
    kinds = [hints, *typing.get_args(hints)]
    options += [WHOLE] * 3 if int in kinds else []
    options += [REAL] * 3 if float in kinds else []
    options += [st.booleans()] if bool in kinds else []
    if str in kinds:
        options.append(st.text(max_size=6))
    if typing.get_origin(hints) is tuple or any(typing.get_origin(kind) is tuple for kind in kinds):
        numbers = st.one_of(WHOLE, REAL) if float in typing.get_args(hints) else WHOLE
        options += [st.lists(numbers, max_size=4).map(tuple)] * 2
        options.append(st.lists(st.lists(WHOLE, max_size=3).map(tuple), max_size=3).map(tuple))
    return st.one_of(options)


def constructors(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields of an environment, changed."""
    factory = env_factory(name)
    hints = typing.get_type_hints(factory) if inspect.isclass(factory) else factory.__annotations__
    parameters = inspect.signature(factory).parameters
    if not parameters:
        return st.just({})
    values = {key: field_values(parameter, hints.get(key, int)) for key, parameter in parameters.items()}
    chosen = st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({key: values[key] for key in keys}))


def try_constructor(report: Report, name: str, fields: dict[str, Any]) -> None:
    """An environment of these fields is refused, or has params, spaces and steps without a NaN in sight."""
    factory = env_factory(name)

    def attempt() -> Any:
        env = factory(**fields)
        # fields that fit no default params are refused here, unless they ask for more than can be made
        return env, None if any(map(_huge, fields.values())) else env.default_params

    made = examine(report, f"{name}({_shown(fields)})", attempt, sorted(inspect.signature(factory).parameters))
    if made is None or made[1] is None:
        return
    env, params = made

    def use() -> Any:
        hash(env)
        env.validate(params)
        env.observation_space(params), env.action_space(params)
        state = jax.eval_shape(lambda: env.initial(draw(env.reset_chance, jax.random.key(0)), params))
        action = jnp.zeros((env.num_agents, *env.action_space(params).shape), env.action_space(params).dtype)
        return jax.eval_shape(lambda state: env.step(jax.random.key(0), state, action, params), state)

    report.accepted_use(f"{name}({_shown(fields)}) accepted, then", use)


def changed_params(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    """The params of an environment with one leaf changed, and what was done."""
    params = make(name)[1]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        return st.just(("nothing", params))
    return st.tuples(st.integers(0, len(leaves) - 1), REAL, WHOLE, st.integers(0, 7)).map(
        lambda drawn: _changed(params, leaves, *drawn)
    )


def _changed(params: Any, leaves: Any, index: int, real: float, whole: int, how: int) -> tuple[str, Any]:
    path, leaf = leaves[index]
    leaf = np.asarray(leaf)
    if np.issubdtype(leaf.dtype, np.floating):
        value: Any = real
    else:
        value = bool(whole % 2) if leaf.dtype == bool else int(np.clip(whole, -(2**31), 2**31 - 1))
    new = leaf.copy()
    if how <= 3 or not leaf.size:
        new[...] = value
    else:
        new.flat[how % leaf.size] = value  # one of many
    what = f"{jax.tree_util.keystr(path)} = {value!r}" + ("" if how <= 3 else f" at {how % max(leaf.size, 1)}")
    if how == 7:
        new, what = np.broadcast_to(new, (2, *leaf.shape)), what + " with one axis more"
    flat, tree = jax.tree.flatten(params)
    flat[index] = jnp.asarray(new, leaf.dtype)
    return what, jax.tree.unflatten(tree, flat)


class ParamsFuzzer:
    """Plays one environment at whatever params it accepts; compiled once."""

    def __init__(self, name: str) -> None:
        env, params = make(name)
        self.name, self.env, self.params = name, env, params
        self.subject = Subject(env, params, num_steps=STEPS)
        self.shapes = jax.tree.map(np.shape, params)
        self.names = _leaf_names(params)
        self.subject.piece(params)  # compiled before any input is timed

    def attempt(self, report: Report, what: str, params: Any) -> None:
        """Params are refused in one line, or random play at them is finite."""
        what = f"{self.name}: params{what}"

        def validate() -> bool:
            self.env.validate(params)
            return True

        if examine(report, what, validate, self.names) is None:
            return
        if jax.tree.map(np.shape, params) != self.shapes:
            return  # a stack of markets may be checked in one call

        finite = [np.abs(x[np.isfinite(x)]).max(initial=0) for x in map(np.asarray, jax.tree.leaves(params))]
        largest = max([*map(float, finite), 0.0])

        def play() -> None:
            steps = self.subject.piece(params)
            for label, x in (("obs", steps.obs), ("reward", steps.reward)):
                if np.isnan(x).any():
                    raise FloatingPointError(f"{label} is NaN")
                if not np.isfinite(x).all() and largest < FAR:
                    raise FloatingPointError(f"{label} is infinite")

        report.accepted_use(f"{what} accepted, then", play)


def _constructor(name: str, report: Report, fields: dict[str, Any]) -> None:
    try_constructor(report, name, fields)


def _params(fuzzer: ParamsFuzzer, report: Report, drawn: tuple[str, Any]) -> None:
    fuzzer.attempt(report, *drawn)


def fuzzers(names: list[str] | None = None) -> list[tuple[str, st.SearchStrategy[Any], Callable[[Report, Any], None]]]:
    """What is tried of each environment: a label, a strategy, and what to do with its values."""
    found: list[tuple[str, st.SearchStrategy[Any], Callable[[Report, Any], None]]] = []
    for name in names or list_envs():
        fuzzer = ParamsFuzzer(name)
        found.append(("fields", constructors(name), partial(_constructor, name)))
        found.append(("params", changed_params(name), partial(_params, fuzzer)))
    return found


def _leaf_names(params: Any) -> list[str]:
    names = [
        word
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
        for word in jax.tree_util.keystr(path).split(".")
    ]
    if dataclasses.is_dataclass(params):
        names += [field.name for field in dataclasses.fields(params)]
    return sorted({"params", *(name for name in names if name)})


def _huge(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_huge, value))
    return isinstance(value, int | float) and value > 1000


def _shown(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())

"""Pages of environments: what is declared in the code, as Markdown, so that a page cannot say anything else."""

import dataclasses
import importlib
import inspect
from typing import Any

import jax
import numpy as np
from docs_docstrings import attributes, entries, reference, table, text_of

from jaxmarl.core import Box, Discrete, Environment, list_envs, make
from jaxmarl.core.chance import is_leaf
from jaxmarl.core.registry import env_factory

FAMILIES = "jaxmarl.envs."


def family_of(name: str) -> str:
    """The folder in `jaxmarl/envs` that the environment `name` lives in."""
    return env_factory(name).__module__.removeprefix(FAMILIES).split(".")[0]


def environments_of(family: str) -> list[str]:
    """Names of the registered environments of a family."""
    return [name for name in list_envs() if family_of(name) == family]


def overview(family: str, page: str = "") -> str:
    """One row for each environment of a family: agents, length, spaces, declared facts; links into `page`."""
    rows = []
    for name in environments_of(family):
        env, params = make(name)
        spaces = (space_cells(env.observation_space(params)), space_cells(env.action_space(params)))
        shown, chosen = (f"{shape} {kind}" if shape else kind for shape, kind, _ in spaces)
        rows.append(
            [f"[`{name}`]({page}#{name})", str(env.num_agents), length_of(env), shown, chosen, ", ".join(facts_of(env))]
        )
    return table(["environment", "agents", "steps", "observation", "action", "declared"], rows)


def section(name: str) -> str:
    """Everything the code says about an environment: rules, spaces, fields, params, known answers."""
    env, params = make(name)
    factory: Any = env_factory(name)
    title = f"### `{name}` {{ #{name} }}"
    parts = [title, f"{reference(factory)}{_kin(factory)}: {facts_line(env, params)}", text_of(factory)]
    parts.append(interface(env, params))
    fields = _fields(factory)
    if fields:
        rows = [[f"`{field}`", f"`{default!r}`", text] for field, default, text in fields]
        parts += [
            f'Fields, as in `jaxmarl.make("{name}", {fields[0][0]}=…)`:',
            table(["field", "default", "meaning"], rows),
        ]
    numbers = list(_numbers(params))
    if numbers:
        parts += ["Numbers, in `params`:", table(["number", "default", "meaning"], numbers)]
    known = _benchmarks(type(env))
    if known:
        parts += [f"Known answers, `env.benchmarks(params)`: {known}"]
    return "\n\n".join(parts) + "\n"


def shared(path: str) -> str:
    """The rules that the environments derived from the class at `path` share."""
    module, name = path.rsplit(".", 1)
    cls = getattr(importlib.import_module(f"{FAMILIES}{module}"), name)
    return f"### What every {reference(cls)} shares\n\n{text_of(cls)}\n"


def facts_of(env: Environment) -> list[str]:
    """What the environment declares, and the conformance suite tests."""
    facts = [fact.replace("_", "-") for fact in ("zero_sum", "symmetric", "deterministic") if getattr(env, fact)]
    return facts + (["masked"] if type(env).action_mask is not Environment.action_mask else [])


def length_of(env: Environment) -> str:
    """Steps of an episode."""
    return "varies" if env.horizon is None else str(env.horizon)


def facts_line(env: Environment, params: Any) -> str:
    """Agents, length, declared facts and chance, in one line."""
    count = "one agent" if env.num_agents == 1 else f"{env.num_agents} agents"
    steps = {None: "episodes vary in length", 1: "one step"}.get(env.horizon, f"always {env.horizon} steps")
    facts = [count, steps, *facts_of(env)]
    if env.differentiable_params:
        facts.append("rewards have gradients in " + ", ".join(f"`{each}`" for each in env.differentiable_params))
    for when, spec in (("a reset", env.reset_chance), ("a step", env.step_chance)):
        facts.append(f"{when} draws {chance_of(spec)}")
    return "; ".join(facts) + "."


def chance_of(spec: Any) -> str:
    """What a chance specification draws."""
    counts: dict[str, int] = {}
    for leaf in jax.tree.leaves(spec, is_leaf=is_leaf):
        kind = {"Integers": "integer", "Key": "key"}.get(type(leaf).__name__, type(leaf).__name__.lower())
        counts[kind] = counts.get(kind, 0) + int(np.prod(leaf.shape))
    named = [
        f"{count} {kind}{'s' if count > 1 and kind in ('integer', 'key') else ''}" for kind, count in counts.items()
    ]
    return " and ".join(named) or "nothing"


def space_cells(space: Any) -> tuple[str, str, str]:
    """Shape, type and range of a space."""
    if isinstance(space, Discrete):
        return "", "int32", f"0 … {space.n - 1}"
    assert isinstance(space, Box)
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in (space.low, space.high))
    return shape_cell(space.shape), np.dtype(space.dtype).name, f"{low} … {high}"


def shape_cell(shape: tuple[int, ...]) -> str:
    """A shape as code; nothing for a scalar."""
    return f"`[{', '.join(map(str, shape))}]`" if shape else ""


def interface(env: Environment, params: Any) -> str:
    """Observation, action, reward and measurements: shape, type, range."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    _, state = jax.eval_shape(env.reset, key, params)
    space = env.action_space(params)
    action = jax.ShapeDtypeStruct((env.num_agents, *space.shape), space.dtype)
    reward, info = [jax.eval_shape(env.step, key, state, action, params)[i] for i in (2, 5)]
    rows = [
        ["observation of an agent", *space_cells(env.observation_space(params))],
        ["action of an agent", *space_cells(space)],
        ["reward", shape_cell(reward.shape), reward.dtype.name, "adds to 0" if env.zero_sum else ""],
    ]
    rows += [[f'`info["{name}"]`', shape_cell(leaf.shape), leaf.dtype.name, ""] for name, leaf in info.items()]
    return table(["", "shape", "type", "range"], rows)


def _kin(factory: Any) -> str:
    """The classes of the family that an environment's class derives from."""
    bases = factory.__mro__[1:] if inspect.isclass(factory) else ()
    kin = [reference(base) for base in bases if base.__module__.startswith(FAMILIES) and issubclass(base, Environment)]
    return f" (a {', a '.join(kin)})" if kin else ""


def _fields(factory: Any) -> list[tuple[str, Any, str]]:
    texts = attributes(factory) if inspect.isclass(factory) else entries(factory, "Args")
    return [(name, each.default, texts.get(name, "")) for name, each in inspect.signature(factory).parameters.items()]


def _numbers(params: Any, prefix: str = ""):
    """Rows of the table of params; nested records are flattened."""
    texts = attributes(type(params))
    alone = "" if texts else text_of(type(params))  # a record of one number, whose docstring is about it
    for field in dataclasses.fields(params) if dataclasses.is_dataclass(params) else ():
        value = getattr(params, field.name)
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{prefix}{field.name}.")
        else:
            yield [f"`{prefix}{field.name}`", value_cell(value), texts.get(field.name, alone)]


def value_cell(value: Any) -> str:
    """A default number, or the shape of many."""
    if not all(hasattr(leaf, "dtype") or isinstance(leaf, (int, float)) for leaf in jax.tree.leaves(value)):
        return f"`{type(value).__name__}`"
    if isinstance(value, tuple):
        return "`()`" if not value else f"`{type(value).__name__}`"
    array = np.asarray(value)
    if array.size > 5:
        spread = f"{array.min():g} … {array.max():g}" if array.min() < array.max() else f"{array.min():g}"
        return f"{shape_cell(array.shape)} {spread}".replace("inf", "∞")
    text = np.array2string(array, separator=", ", formatter={"float_kind": lambda x: f"{x:g}"}).replace("\n", "")
    return f"`{text}`".replace("inf", "∞")


def _benchmarks(cls: type) -> str:
    for base in cls.__mro__:
        if "benchmarks" in vars(base) and base is not Environment:
            return text_of(vars(base)["benchmarks"])
    return ""

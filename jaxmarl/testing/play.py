"""What the checks share: a subject with its recorded random play, comparison of trees, and one-line failures."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmarl.core.chance import ChanceSpec, Normal, Uniform, draw
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import categorical
from jaxmarl.core.spaces import Discrete, Space
from jaxmarl.core.wrappers import where_done

MAX_CHUNKS = 200
RTOL, ATOL = 1e-4, 1e-5


@struct.dataclass
class Steps:
    """`T` recorded steps of random legal play; a step that ends an episode is followed by a fresh start.

    Attributes:
        state: before the step.
        obs: in `state` `[T, N, …]`.
        mask: in `state` `[T, N, A]` (`()` for continuous actions).
        action: `[T, N, …]`.
        chance: what the transition was given.
        next_state: after the step, before any fresh start.
        next_obs: in `next_state`.
        reward: `[T, N]`.
        terminated: `[T]`.
        truncated: `[T]`.
        info: of the transition.
    """

    state: PyTree
    obs: Array
    mask: PyTree
    action: Array
    chance: PyTree
    next_state: PyTree
    next_obs: Array
    reward: Float[Array, "num_steps num_agents"]
    terminated: Bool[Array, " num_steps"]
    truncated: Bool[Array, " num_steps"]
    info: PyTree

    @property
    def done(self) -> Bool[np.ndarray, " num_steps"]:
        """Whether an episode ended with the step."""
        return np.asarray(self.terminated) | np.asarray(self.truncated)


@dataclass(frozen=True)
class Subject:
    """An environment under examination.

    Attributes:
        env: it.
        params: its params.
        corners: further params that it must stand.
        num_steps: steps recorded in one piece.
        seed: of all keys.
        restarts: whether the recording starts ended episodes anew (False where the environment does so itself).
    """

    env: AnyEnvironment
    params: PyTree
    corners: tuple[PyTree, ...] = ()
    num_steps: int = 256
    seed: int = 0
    restarts: bool = True

    @property
    def key(self) -> Array:
        """The key that all others are folded from."""
        return jax.random.key(self.seed)

    @cached_property
    def action_space(self) -> Space:
        """Of the environment at `params`."""
        return self.env.action_space(self.params)

    @property
    def masked(self) -> bool:
        """Whether actions are discrete, hence have a mask."""
        return isinstance(self.action_space, Discrete)

    @cached_property
    def steps(self) -> Steps:
        """Recorded play at `params` on the host: past the horizon, or until an episode has ended."""
        return self.play(self.params)

    def play(self, params: PyTree, *, start: int = 1) -> Steps:
        """Recorded play at other params; `start` tells the streams apart."""
        horizon, chunks, length, ended = self.env.horizon, [], 0, False
        for chunk in self._chunks(params, start):
            chunks.append(to_host(chunk))
            length, ended = length + self.num_steps, ended or bool(chunks[-1].done.any())
            if (ended if horizon is None else length > horizon) or len(chunks) == MAX_CHUNKS:
                break
        return concatenate(chunks)

    def piece(self, params: PyTree) -> Steps:
        """One recording of `num_steps` steps at other params of the same shapes, on the host; compiled once."""
        return to_host(next(self._chunks(params, 1)))

    def _chunks(self, params: PyTree, start: int) -> Iterator[Steps]:
        state = self.fresh(jax.random.fold_in(self.key, start), params)
        for i in range(MAX_CHUNKS):
            key = jax.random.fold_in(jax.random.fold_in(self.key, start), i + 1)
            state, chunk = self._recorder(key, state, params)
            yield chunk

    @cached_property
    def fresh(self) -> Any:
        """Jitted `(key, params) -> state` at the start of an episode."""
        env = self.env
        return jax.jit(lambda key, params: env.initial(draw(env.reset_chance, key), params))

    @cached_property
    def _recorder(self) -> Any:
        env = self.env

        def step(state, drawn, params):
            units, chance, reset_chance = drawn
            obs, mask = env.observe(state, params), self.legal(state, params)
            action = self.random_action(units, mask)
            after, reward, terminated, info = env.transition(state, action, chance, params)
            truncated, next_obs = env.truncated(after, params), env.observe(after, params)
            steps = Steps(state, obs, mask, action, chance, after, next_obs, reward, terminated, truncated, info)
            if not self.restarts:
                return after, steps
            return where_done(terminated | truncated, env.initial(reset_chance, params), after), steps

        @jax.jit
        def record(key, state, params):
            # all in one draw: generators inside the loop would dominate the time to compile
            spec = (self.action_chance, env.step_chance, env.reset_chance if self.restarts else ())
            drawn = draw(spec, key, (self.num_steps,))
            return jax.lax.scan(lambda s, x: step(s, x, params), state, drawn, length=self.num_steps)

        return record

    def legal(self, state: PyTree, params: PyTree) -> PyTree:
        """The action mask `[N, A]`, or `()` for continuous actions."""
        return self.env.action_mask(state, params) if self.masked else ()

    @property
    def action_chance(self) -> ChanceSpec:
        """What `random_action` takes."""
        space, shape = self.action_space, (self.env.num_agents, *self.action_space.shape)
        if isinstance(space, Discrete):
            return Uniform(shape)
        bounded = math.isfinite(space.low) and math.isfinite(space.high)
        return Uniform(shape, float(space.low), float(space.high)) if bounded else Normal(shape)

    def random_action(self, drawn: Array, mask: PyTree) -> Array:
        """The legal joint action that `drawn` selects: uniform on finite spaces, clipped normal on unbounded ones."""
        space = self.action_space
        if isinstance(space, Discrete):
            return categorical(jnp.where(mask, 0.0, -jnp.inf), drawn)
        return jnp.clip(drawn, space.low, space.high).astype(space.dtype)

    def picks(self, count: int) -> Int[np.ndarray, " count"]:
        """Indices into `steps`: the first, the one that ends the first episode, and others spread between."""
        done = self.steps.done
        last = int(done.argmax()) if done.any() else len(done) - 1
        return np.linspace(0, last, count).round().astype(int)


def expect(condition: Any, message: str) -> None:
    """Raises `AssertionError` with one line, unless `condition`."""
    if not condition:
        raise AssertionError(" ".join(message.split()))


def is_key(x: Any) -> bool:
    """Whether `x` is an array of typed keys."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def to_host(tree: PyTree) -> Any:
    """The tree with numpy leaves (keys stay as they are)."""
    return jax.tree.map(lambda x: x if is_key(x) else np.asarray(x), tree)


def concatenate(trees: list[Any]) -> Any:
    """Trees joined along the leading axis of their leaves."""
    if len(trees) == 1:
        return trees[0]
    return jax.tree.map(lambda *x: jnp.concatenate(x) if is_key(x[0]) else np.concatenate(x), *trees)


def at(tree: PyTree, index: Any) -> Any:
    """Row (or rows) `index` of every leaf, on the device."""
    return jax.tree.map(lambda x: jnp.asarray(x[index]), tree)


def difference(got: PyTree, wanted: PyTree, *, exact: bool = False) -> str:
    """Where two trees first differ, in words; empty where they agree (floats to a tolerance unless `exact`)."""
    structures: Any = jax.tree.structure(got), jax.tree.structure(wanted)
    if structures[0] != structures[1]:
        return f"structure {structures[0]} against {structures[1]}"
    left, right = (jax.tree_util.tree_leaves_with_path(x) for x in (got, wanted))
    for (path, x), (_, y) in zip(left, right, strict=True):
        x, y = (np.asarray(jax.random.key_data(z) if is_key(z) else z) for z in (x, y))
        name = jax.tree_util.keystr(path) or "value"
        if x.shape != y.shape:
            return f"{name} of shape {x.shape} against {y.shape}"
        floats = np.issubdtype(x.dtype, np.floating) and not exact
        same = np.isclose(x, y, RTOL, ATOL, equal_nan=True) if floats else (x == y) | ((x != x) & (y != y))
        if not same.all():
            where = tuple(int(i) for i in np.argwhere(~same)[0]) if same.ndim else ()
            return f"{name}{list(where) or ''} is {x[where]} against {y[where]}"
    return ""


def aval_difference(got: PyTree, wanted: PyTree, *, widths: bool = True, weak: bool = True) -> str:
    """Where two trees of abstract values first differ in structure, shape, dtype or weak type; empty where nowhere.

    Args:
        got: from `jax.eval_shape`.
        wanted: from `jax.eval_shape`.
        widths: whether the width of floats counts (float32 against float64).
        weak: whether weak types count.
    """
    structures: Any = jax.tree.structure(got), jax.tree.structure(wanted)
    if structures[0] != structures[1]:
        return f"structure {structures[0]} against {structures[1]}"
    left, right = (jax.tree_util.tree_leaves_with_path(x) for x in (got, wanted))
    for (path, x), (_, y) in zip(left, right, strict=True):
        both_float = jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(y.dtype, jnp.floating)
        same_dtype = x.dtype == y.dtype or (both_float and not widths)
        if x.shape != y.shape or not same_dtype or (weak and x.weak_type != y.weak_type):
            return f"{jax.tree_util.keystr(path) or 'value'} is {_aval(x)} against {_aval(y)}"
    return ""


def _aval(x: Any) -> str:
    return f"{x.dtype}{list(x.shape)}" + (" (weakly typed)" if x.weak_type else "")

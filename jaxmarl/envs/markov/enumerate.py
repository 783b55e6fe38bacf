"""A small environment as a table: its own `transition`, called on every state, joint action and chance outcome."""

import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.spaces import Discrete
from jaxmarl.envs.markov.finite import FiniteChance
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import SuccessorKernel

_ROWS_AT_ONCE = 2**16


class Enumeration(NamedTuple):
    """A table, and what its rows stand for.

    Attributes:
        game: the table.
        states: environment states in the order of the table, stacked, in NumPy.
    """

    game: MarkovGame
    states: PyTree


def enumerate_game(
    env: AnyEnvironment,
    params: PyTree = None,
    *,
    discount: Any,
    horizon: int | None = None,
    max_states: int = 100_000,
) -> Enumeration:
    """The Markov game that an environment with discrete actions and finite chance plays.

    What is drawn, and which states there are, the hooks of `FiniteChance` say (environments that draw only `Integers`
    need none). Without a declared list, states are numbered as breadth-first search finds them, those of resets first.
    Endings become missing probability; time limits (`truncated`) are not part of the game. On the host.

    Args:
        env: the environment.
        params: its params, the default ones where None.
        discount: of the game.
        horizon: of the game.
        max_states: where the search gives up.

    Returns:
        The game, with a `SuccessorKernel` of as many successors as the row with most of them has, and its states.

    Raises:
        ValueError: continuous actions, chance that is not finite, a successor outside the declared states, more states
            than `max_states` (does a step counter tell them apart? see `FiniteChance.essence`).
    """
    params = env.default_params if params is None else params
    space = env.action_space(params)
    require(isinstance(space, Discrete), "env", type(env).__name__, "an environment with discrete actions")
    assert isinstance(space, Discrete)
    profiles = np.array(list(itertools.product(range(space.n), repeat=env.num_agents)), np.int32)
    register = _Register(env, params, max_states)
    initial = register.starts()
    size = max(1, min(256, _ROWS_AT_ONCE // len(profiles)))
    blocks: list[_Block] = []
    done = 0
    while done < len(register.rows):
        rows = register.rows[done : done + size]
        padded = rows + rows[-1:] * (size - len(rows))
        block = jax.device_get(_expand(env, jax.tree.map(lambda *x: np.stack(x), *padded), profiles, params))
        blocks.append(register.number(_first(block, len(rows))))
        done += len(rows)
    every = _Block(*(np.concatenate([block[i] for block in blocks]) for i in range(len(_Block._fields))))
    return Enumeration(
        _game(every, initial, space.n, env.num_agents, discount, horizon),
        jax.tree.map(lambda *x: np.stack(x), *register.rows),
    )


class _Block(NamedTuple):
    """What follows on `B` states and all `M` profiles, with `K` outcomes each."""

    rewards: Any  # [B, M, N], expected
    mask: Any  # [B, N, A]
    weights: Any  # [B, M, K], probability of an outcome after which the game goes on
    successors: PyTree  # states [B, M, K, ...], later their numbers


@partial(jax.jit, static_argnums=0)
def _expand(env: AnyEnvironment, states: PyTree, profiles: Any, params: PyTree) -> _Block:
    def after(state: PyTree, action: Any) -> tuple[Any, Any, PyTree]:
        chance, weights = _hook(env, "step_outcomes")(state, action, params)
        step = jax.vmap(env.transition, (None, None, 0, None), axis_size=weights.shape[0])
        following, reward, ended, _ = step(state, action, chance, params)
        return jnp.sum(weights[:, None] * reward, 0), jnp.where(ended, 0, weights), following

    def of_state(state: PyTree) -> _Block:
        rewards, weights, successors = jax.vmap(after, (None, 0))(state, profiles)
        mask = env.action_mask(state, params)
        legal = jnp.all(mask[jnp.arange(env.num_agents), profiles], axis=-1)
        return _Block(jnp.where(legal[:, None], rewards, 0), mask, jnp.where(legal[:, None], weights, 0), successors)

    return jax.vmap(of_state)(states)


def _first(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda x: x[:count], tree)


def _hook(env: AnyEnvironment, name: str) -> Any:
    # The environment's own, or the default one, which works on any environment.
    return getattr(env, name, partial(getattr(FiniteChance, name), env))


class _Register:
    """States found so far, by the bytes of their essence."""

    def __init__(self, env: AnyEnvironment, params: PyTree, max_states: int):
        require_int("max_states", max_states, 1)
        self.env, self.params, self.max_states = env, params, max_states
        self.rows: list[PyTree] = []
        self.numbers: dict[bytes, int] = {}
        self.essence = partial(_hook(env, "essence"), params=params)
        declared = _hook(env, "all_states")(params)
        self.closed = False
        if declared is not None:
            given = jax.tree.leaves(declared)[0].shape[0]
            self.find(jax.device_get(declared), np.ones(given, bool))
            require(len(self.rows) == given, "all_states", f"{len(self.rows)} of {given}", "different from each other")
            self.closed = True

    def starts(self) -> np.ndarray:
        """Probabilities of the first states, `[states found so far]`."""
        chance, weights = _hook(self.env, "reset_outcomes")(self.params)
        initial = jax.jit(jax.vmap(self.env.initial, (0, None), axis_size=weights.shape[0]))(chance, self.params)
        weights = np.asarray(weights, float)
        numbers = self.find(jax.device_get(initial), weights > 0)
        return np.bincount(numbers, weights, len(self.rows))

    def number(self, block: _Block) -> _Block:
        """The block with numbers in place of successors (0 where the game does not go on)."""
        live = block.weights > 0
        flat = jax.tree.map(lambda x: x.reshape(live.size, *x.shape[3:]), block.successors)
        return block._replace(successors=self.find(flat, live.ravel()).reshape(live.shape))

    def find(self, states: PyTree, live: np.ndarray) -> np.ndarray:
        """Numbers of stacked states, new ones entered; 0 where not `live`."""
        numbers = np.zeros(live.size, int)
        if not live.any():
            return numbers
        chosen = jax.tree.map(lambda x: x[live], states)
        keys = _keys(jax.device_get(jax.vmap(self.essence)(chosen)))
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        found = np.zeros(len(unique), int)
        for i in np.argsort(first):
            key = unique[i].tobytes()
            if key not in self.numbers:
                row = jax.tree.map(lambda x, at=first[i]: x[at], chosen)
                self._enter(key, row)
            found[i] = self.numbers[key]
        numbers[live] = found[inverse.ravel()]
        return numbers

    def _enter(self, key: bytes, row: PyTree) -> None:
        require(not self.closed, "all_states", row, "closed under play: it reached a state that is not listed")
        require(len(self.rows) < self.max_states, "max_states", self.max_states, "at least the number of states")
        self.numbers[key] = len(self.rows)
        self.rows.append(row)


def _keys(states: PyTree) -> np.ndarray:
    leaves = [
        np.ascontiguousarray(leaf + np.zeros((), leaf.dtype)) for leaf in jax.tree.leaves(states)
    ]  # no minus zero
    parts = [leaf.reshape(len(leaf), -1).view(np.uint8).reshape(len(leaf), -1) for leaf in leaves]
    rows = np.ascontiguousarray(np.concatenate(parts, axis=1))
    return rows.view(np.dtype((np.void, rows.shape[1]))).ravel()


def _game(
    block: _Block, initial: np.ndarray, num_actions: int, num_agents: int, discount: Any, horizon: int | None
) -> MarkovGame:
    num_states, actions = len(block.rewards), [num_actions] * num_agents
    successors, weights = _merged(block.successors, np.asarray(block.weights, float))
    shape = (num_states, *actions, successors.shape[-1])
    kernel = SuccessorKernel(jnp.asarray(successors.reshape(shape)), jnp.asarray(weights.reshape(shape), float))
    rewards = np.moveaxis(block.rewards, -1, 0).reshape(num_agents, num_states, *actions)
    masks = None if block.mask.all() else tuple(np.moveaxis(block.mask, 1, 0))
    first = np.zeros(num_states)
    first[: len(initial)] = initial
    return MarkovGame(
        jnp.asarray(rewards, float), kernel, jnp.asarray(first, float), jnp.asarray(discount, float), horizon, masks
    )


def _merged(successors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes that lead to one state are one: `[S, M, K]` with as few K as the longest row needs."""
    absent = successors.max() + 1
    keys = np.where(weights > 0, successors, absent)
    order = np.argsort(keys, axis=-1, kind="stable")
    keys, weights = np.take_along_axis(keys, order, -1), np.take_along_axis(weights, order, -1)
    group = np.cumsum(np.diff(keys, axis=-1, prepend=keys[..., :1]) != 0, axis=-1)
    width = max(1, int(np.max(np.where(keys < absent, group + 1, 0))))
    kept = group < width
    at = (*np.indices(keys.shape)[:-1][:, kept], group[kept])
    new_keys, new_weights = np.zeros((*keys.shape[:-1], width), int), np.zeros((*keys.shape[:-1], width))
    new_keys[at] = np.where(keys < absent, keys, 0)[kept]
    np.add.at(new_weights, at, np.where(keys < absent, weights, 0)[kept])
    return new_keys, new_weights

"""Environments of the public JaxMARL package (0.x), or of anything with its interface, as environments of this project.

That package has our import name, so that the two cannot be imported side by side in the ordinary way:
`import_public` imports parts of it from a folder where it was installed alone.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PyTree

from jaxmarl.core.chance import Key
from jaxmarl.core.checks import require
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete, Space

OURS = __name__.partition(".")[0]


@struct.dataclass
class AgentDictState:
    """State of an `AgentDictEnvironment`: the environment's own, and what agents see `[N, …]`."""

    inner: PyTree
    obs: Array


@dataclass(frozen=True)
class AgentDictEnvironment(Environment[AgentDictState, tuple[()]]):
    """An environment whose observations, actions and rewards are dictionaries keyed by agent names.

    `wrapped` has `agents`, `observation_space(agent)`, `action_space(agent)`, `reset(key)` and `step_env(key, state,
    actions)`, which does not reset, as in the public JaxMARL; all agents have spaces alike. What it draws is hidden
    from us: its chance is an opaque key. It does not tell time limits from ends of the game; all count as the latter.
    It has no params, and equals another one if it is of the same object.

    Attributes:
        wrapped: the environment.
        steps: of every episode, where all have one length; else None.

    Raises:
        ValueError: spaces that differ between agents, or of a kind that we do not have.
    """

    wrapped: Any
    steps: int | None = None

    reset_chance = Key()
    step_chance = Key()

    def __post_init__(self):
        for name in ("observation_space", "action_space"):
            spaces = [_space(getattr(self.wrapped, name)(agent)) for agent in self.wrapped.agents]
            require(all(space == spaces[0] for space in spaces), "wrapped", f"{name}s that differ", "agents alike")

    @property
    def num_agents(self) -> int:
        return len(self.wrapped.agents)

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(self.wrapped.agents)

    @property
    def horizon(self) -> int | None:
        return self.steps

    @property
    def default_params(self) -> tuple[()]:
        return ()

    def observation_space(self, params) -> Space:
        return _space(self.wrapped.observation_space(self.wrapped.agents[0]))

    def action_space(self, params) -> Space:
        return _space(self.wrapped.action_space(self.wrapped.agents[0]))

    def initial(self, chance, params) -> AgentDictState:
        obs, inner = self.wrapped.reset(chance)
        # as a step would leave it: some start from other types than their steps return
        space = self.action_space(params)
        actions = dict.fromkeys(self.wrapped.agents, jnp.zeros(space.shape, space.dtype))
        later = jax.eval_shape(self.wrapped.step_env, chance, inner, actions)[1]
        return AgentDictState(_like(inner, later), self._stack(obs))

    def transition(self, state, action, chance, params):
        actions = {agent: action[i] for i, agent in enumerate(self.wrapped.agents)}
        obs, inner, reward, done, _ = self.wrapped.step_env(chance, state.inner, actions)
        following = AgentDictState(_like(inner, state.inner), self._stack(obs))
        rewards = jnp.stack([jnp.asarray(reward[agent], jnp.float32).reshape(()) for agent in self.wrapped.agents])
        return following, rewards, jnp.asarray(done["__all__"], bool), {}

    def observe(self, state, params):
        return state.obs

    def _stack(self, obs: dict[str, Array]) -> Array:
        return jnp.stack([jnp.asarray(obs[agent]) for agent in self.wrapped.agents])


def import_public(folder: Path, module: str) -> ModuleType:
    """Imports a module of the public JaxMARL, such as `jaxmarl.environments.mpe`, beside this project's.

    Args:
        folder: where it is installed (`pip install --no-deps --target FOLDER jaxmarl==0.2.0`).
        module: its name there.

    Raises:
        ValueError: no `jaxmarl` in the folder.
        ImportError: the module needs what is not installed.
    """
    require((folder / OURS / "__init__.py").is_file(), "folder", str(folder), f"a folder with the package {OURS}")
    with in_place_of_ours({}):
        sys.path.insert(0, str(folder))
        try:
            importlib.invalidate_caches()
            return importlib.import_module(module)
        finally:
            sys.path.remove(str(folder))


@contextmanager
def in_place_of_ours(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Within the block these modules are imported and none of this project's; after it, the other way round."""
    ours = _taken_away()
    sys.modules.update(modules)
    try:
        yield
    finally:
        _taken_away()
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(ours)


def _taken_away() -> dict[str, ModuleType]:
    """The modules of our name that are imported, which no longer are."""
    names = [name for name in sys.modules if name == OURS or name.startswith(f"{OURS}.")]
    return {name: sys.modules.pop(name) for name in names}


def _like(tree: PyTree, template: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: jax.lax.convert_element_type(x, y.dtype), tree, template)


def _space(space: Any) -> Space:
    """A space of the other package."""
    if isinstance(space, (Box, Discrete)):
        return space
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    require(hasattr(space, "low"), "wrapped", f"a space {space}", "Discrete or Box spaces")
    return Box(float(jnp.min(space.low)), float(jnp.max(space.high)), tuple(space.shape), jnp.float32)

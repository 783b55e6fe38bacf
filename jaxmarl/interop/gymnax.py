"""Single-agent environments of gymnax (1.x, an optional extra) as environments of this project."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, PyTree

from jaxmarl.core.chance import Key
from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete, Space


@struct.dataclass
class GymnaxState:
    """State of a `GymnaxEnvironment`.

    Attributes:
        inner: gymnax's own.
        obs: its observation, kept because making it may draw.
    """

    inner: PyTree
    obs: Array


@dataclass(frozen=True)
class GymnaxEnvironment(Environment[GymnaxState, Any]):
    """A gymnax environment with one agent; `step` does not reset, as gymnax's own does.

        env = GymnaxEnvironment("DeepSea-bsuite", (("size", 10),))

    Its params are gymnax's. What it draws is hidden from us: its chance is an opaque key. Time limits are truncations.
    For 32-bit types only, as gymnax's own steps are.

    Attributes:
        name: as registered with gymnax.
        options: arguments of its constructor, as pairs.

    Raises:
        ValueError: a name that is not registered, or without gymnax.
    """

    name: str = "CartPole-v1"
    options: tuple[tuple[str, Any], ...] = ()

    num_agents = 1
    reset_chance = Key()
    step_chance = Key()

    def __post_init__(self):
        try:
            import gymnax
        except ImportError:
            require(False, "name", self.name, "used where gymnax is installed (pip install gymnax)")
        require_choice("name", self.name, tuple(gymnax.registered_envs))

    @property
    def wrapped(self) -> Any:
        """The gymnax environment."""
        return _make(self.name, self.options)

    @property
    def default_params(self) -> Any:
        params = jax.tree.map(jnp.asarray, self.wrapped.default_params)
        return _like(params, params)  # Python's numbers would be weakly typed, and other values trace anew

    def observation_space(self, params) -> Space:
        shape = jax.eval_shape(self.wrapped.reset_env, jax.random.key(0), self.wrapped.default_params)[0]
        return _space(self.wrapped.observation_space(self.wrapped.default_params), shape.dtype)

    def action_space(self, params) -> Space:
        return _space(self.wrapped.action_space(self.wrapped.default_params), jnp.float32)

    def initial(self, chance, params) -> GymnaxState:
        obs, state = self.wrapped.reset_env(chance, params)
        action = self.action_space(params).sample(jax.random.key(0))
        later = jax.eval_shape(self.wrapped.step_env, chance, state, action, params)[:2]
        # gymnax starts from Python numbers that its steps turn into arrays
        return GymnaxState(*_like((state, obs), (later[1], later[0])))

    def transition(self, state, action, chance, params):
        obs, inner, reward, terminated, _ = self.wrapped.step_env(chance, state.inner, action[0], params)
        following = GymnaxState(*_like((inner, obs), (state.inner, state.obs)))
        return following, jnp.asarray(reward, jnp.float32)[None], jnp.asarray(terminated, bool), {}

    def observe(self, state, params):
        return state.obs[None]

    def truncated(self, state, params):
        return jnp.asarray(self.wrapped.is_truncated(state.inner, params), bool)


@cache
def _make(name: str, options: tuple[tuple[str, Any], ...]) -> Any:
    import gymnax

    return gymnax.make(name, **dict(options))[0]


def _like(tree: PyTree, template: PyTree) -> PyTree:
    """The leaves with the types of a template's, and none of them weak."""
    return jax.tree.map(lambda x, y: lax.convert_element_type(x, y.dtype), tree, template)


def _space(space: Any, dtype: Any) -> Space:
    """A gymnax space; a box's bounds are the widest of its entries, and infinite where they are the type's own."""
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    low, high = float(np.min(space.low)), float(np.max(space.high))
    unbounded = float(jnp.finfo(jnp.float32).max)
    return Box(
        low if low > -unbounded else -float("inf"), high if high < unbounded else float("inf"), space.shape, dtype
    )

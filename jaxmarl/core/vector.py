"""Many instances of an environment advancing together, with resets that cost nothing in the inner loop."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, draw, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment, Environment
from jaxmarl.core.wrappers import AutoReset, where_done


@struct.dataclass
class VectorState:
    """State of `B` instances.

    Attributes:
        env: stacked environment states.
        elapsed: int32, steps since the common reset (fixed-horizon environments).
        starts: stacked initial states, drawn once a roll-out (`()` for fixed-horizon environments).
        next_start: int32, which of them comes next.
    """

    env: PyTree
    elapsed: Int32[Array, ""]
    starts: PyTree
    next_start: Int32[Array, ""]


@dataclass(frozen=True)
class VectorEnv:
    """`num_envs` instances of `env`: one draw of chance a step, and no reset in the step.

    Instances of a fixed-horizon environment end together, and `begin`, called once a roll-out, resets them all. Others
    take the next of `num_envs` fresh starts that `begin` draws; the observation that ended an episode is then
    `info["final_observation"]`. (With stacked params a start belongs to its own market, so an instance that ends twice
    in one roll-out starts twice alike.)

    Attributes:
        env: the environment.
        num_envs: `B`, number of instances.
        stacked_params: whether params have a leading axis `B`, one market an instance.
    """

    env: AnyEnvironment
    num_envs: int
    stacked_params: bool = False

    def __post_init__(self):
        require(isinstance(self.env, Environment), "env", self.env, "an Environment, as jaxmarl.make gives")
        require_int("num_envs", self.num_envs, 1)
        resets_itself = isinstance(self.env, AutoReset)
        require(not resets_itself, "env", type(self.env).__name__, "an environment that does not reset itself")

    @property
    def num_agents(self) -> int:
        """Agents in each instance."""
        return self.env.num_agents

    @property
    def horizon(self) -> int | None:
        """Steps after which all instances end, or None."""
        return self.env.horizon

    @property
    def truncates(self) -> bool:
        """Whether a time limit may end episodes."""
        return self.env.truncates

    @property
    def masks_actions(self) -> bool:
        """Whether actions may be illegal."""
        return self.env.masks_actions

    @property
    def num_labels(self) -> int:
        """Number of kinds of instance that `labels` tells apart."""
        return 1

    @property
    def labels(self) -> Int32[Array, " num_envs"]:
        """Kind of each instance (which opponent, in a population)."""
        return jnp.zeros(self.num_envs, jnp.int32)

    @property
    def default_params(self) -> PyTree:
        """Default params of the environment, shared by all instances."""
        require(not self.stacked_params, "params", None, "given where they are stacked")
        return self.env.default_params

    def observation_space(self, params: PyTree) -> Any:
        """Space of one agent's observation."""
        return self.env.observation_space(self.one(params))

    def action_space(self, params: PyTree) -> Any:
        """Space of one agent's action."""
        return self.env.action_space(self.one(params))

    def one(self, params: PyTree) -> PyTree:
        """Params of the first instance."""
        return jax.tree.map(lambda x: x[0], params) if self.stacked_params else params

    @property
    def step_chance(self) -> ChanceSpec:
        """What one step of all instances draws."""
        return repeat(self.env.step_chance, self.num_envs)

    def vmap(self, function, *args: PyTree, params: PyTree) -> Any:
        """`function(*args, params)` on every instance."""
        axes = (*(0 for _ in args), 0 if self.stacked_params else None)
        return jax.vmap(function, in_axes=axes, axis_size=self.num_envs)(*args, params)

    def observe(self, state: VectorState, params: PyTree) -> Array:
        """Observations `[B, N, …]`."""
        return self.vmap(self.env.observe, state.env, params=params)

    def action_mask(self, state: VectorState, params: PyTree) -> Bool[Array, "num_envs num_agents num_actions"]:
        """Legal actions `[B, N, A]`."""
        return self.vmap(self.env.action_mask, state.env, params=params)

    def reset(self, key: Array, params: PyTree) -> tuple[Array, VectorState]:
        """Starts every instance: `(obs, state)`."""
        first_key, pool_key = jax.random.split(key)
        zero = jnp.zeros((), jnp.int32)
        starts = self._draw_starts(pool_key, params) if self.horizon is None else ()
        state = VectorState(self._draw_starts(first_key, params), zero, starts, zero)
        return self.observe(state, params), state

    def begin(self, key: Array, state: VectorState, params: PyTree) -> tuple[Array, VectorState]:
        """Prepares a roll-out: ended fixed-horizon episodes restart, or a new pool of starts is drawn."""
        if self.horizon is None:
            starts = self._draw_starts(key, params)
            state = replace(state, starts=starts, next_start=jnp.zeros((), jnp.int32))
        else:
            ended = state.elapsed >= self.horizon
            env = jax.lax.cond(ended, lambda: self._draw_starts(key, params), lambda: state.env)
            state = replace(state, env=env, elapsed=jnp.where(ended, 0, state.elapsed))
        return self.observe(state, params), state

    def step(self, key: Array, state: VectorState, action: Array, params: PyTree):
        """One step of every instance from one draw: `(obs, state, reward, terminated, truncated, info)`."""
        return self.apply(state, action, draw(self.step_chance, key), params)

    def apply(
        self, state: VectorState, action: Array, chance: Chance, params: PyTree
    ) -> tuple[
        Array,
        VectorState,
        Float[Array, "num_envs num_agents"],
        Bool[Array, " num_envs"],
        Bool[Array, " num_envs"],
        dict,
    ]:
        """`step` with its chance given."""
        env_state, reward, terminated, info = self.vmap(self.env.transition, state.env, action, chance, params=params)
        truncated = self.vmap(self.env.truncated, env_state, params=params)
        state = replace(state, env=env_state, elapsed=state.elapsed + 1)
        if self.horizon is None:
            info = {**info, "final_observation": self.observe(state, params)}
            state = self._restart(state, terminated | truncated)
        return self.observe(state, params), state, reward, terminated, truncated, info

    def _draw_starts(self, key: Array, params: PyTree) -> PyTree:
        chance = draw(self.env.reset_chance, key, (self.num_envs,))
        return self.vmap(self.env.initial, chance, params=params)

    def _restart(self, state: VectorState, done: Bool[Array, " num_envs"]) -> VectorState:
        if self.stacked_params:
            fresh = state.starts
        else:
            taken = (state.next_start + jnp.cumsum(done) - 1) % self.num_envs
            fresh = jax.tree.map(lambda x: x[taken], state.starts)
        next_start = (state.next_start + jnp.sum(done, dtype=jnp.int32)) % self.num_envs
        return replace(state, env=where_done(done, fresh, state.env), next_start=next_start)

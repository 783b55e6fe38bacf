"""Environments made from environments: automatic reset, shields, and other seats played by policies."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import repeat
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import AnyEnvironment, Environment
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.spaces import Box


def where_done(done: Bool[Array, "..."], fresh: PyTree, current: PyTree) -> PyTree:
    """`fresh` where `done`, else `current`, on every leaf; `done` covers the leading axes of the leaves."""

    def select(new, old):
        return jnp.where(done.reshape(done.shape + (1,) * (jnp.ndim(old) - done.ndim)), new, old)

    return jax.tree.map(select, fresh, current)


@dataclass(frozen=True)
class Wrapper(Environment):
    """Passes everything on to `env`; the base of wrappers, which override what they change.

    A wrapper whose state or params hold more than the environment's own says where those are, by `inner_state` and
    `inner_params`.
    """

    env: AnyEnvironment

    def __post_init__(self):
        require(isinstance(self.env, Environment), "env", self.env, "an Environment")

    def inner_state(self, state: Any) -> Any:
        """State of `env` within the wrapper's."""
        return state

    def inner_params(self, params: Any) -> Any:
        """Params of `env` within the wrapper's."""
        return params

    @property
    def num_agents(self) -> int:
        return self.env.num_agents

    @property
    def agent_names(self) -> tuple[str, ...]:
        return self.env.agent_names

    @property
    def zero_sum(self) -> bool:
        return self.env.zero_sum

    @property
    def symmetric(self) -> bool:
        return self.env.symmetric

    @property
    def deterministic(self) -> bool:
        return self.env.deterministic

    @property
    def horizon(self) -> int | None:
        return self.env.horizon

    @property
    def default_params(self) -> Any:
        return self.env.default_params

    @property
    def reset_chance(self):
        return self.env.reset_chance

    @property
    def step_chance(self):
        return self.env.step_chance

    def observation_space(self, params):
        return self.env.observation_space(self.inner_params(params))

    def action_space(self, params):
        return self.env.action_space(self.inner_params(params))

    def benchmarks(self, params):
        return self.env.benchmarks(params)

    def validate(self, params):
        self.env.validate(self.inner_params(params))

    def initial(self, chance, params):
        return self.env.initial(chance, params)

    def transition(self, state, action, chance, params):
        return self.env.transition(state, action, chance, params)

    def truncated(self, state, params):
        return self.env.truncated(self.inner_state(state), self.inner_params(params))

    def observe(self, state, params):
        return self.env.observe(self.inner_state(state), self.inner_params(params))

    def action_mask(self, state, params):
        return self.env.action_mask(self.inner_state(state), self.inner_params(params))


@struct.dataclass
class AutoResetState:
    """State of an `AutoReset` environment.

    Attributes:
        env: state of the environment (already the fresh one after an episode's end).
        starts: stacked initial states to reset to (`()` in the fresh mode).
        next_start: int32, which of them comes next.
        truncated: whether the last transition ended the episode by a time limit.
    """

    env: PyTree
    starts: PyTree
    next_start: Int32[Array, ""]
    truncated: Bool[Array, ""]


@dataclass(frozen=True)
class AutoReset(Wrapper):
    """Starts a new episode in the step that ends one, as gymnax does; for code outside this project.

    The observation returned at an episode's end is the new episode's first; the old one's last is
    `info["final_observation"]`. The project's own roll-outs do not pay for this (`core.vector`).

    Attributes:
        env: environment to wrap.
        mode: `"fresh"` draws a start in every step (exact, slowest), `"pooled"` takes the next of `pool_size` starts
            drawn at `reset`, `"fixed"` always returns to the first one.
        pool_size: number of pooled starts.
    """

    mode: str = "fresh"
    pool_size: int = 16

    def __post_init__(self):
        super().__post_init__()
        require_choice("mode", self.mode, ("fresh", "pooled", "fixed"))
        require_int("pool_size", self.pool_size, 1)

    horizon = None

    def inner_state(self, state):
        return state.env

    @property
    def _num_starts(self) -> int:
        return {"fresh": 0, "pooled": self.pool_size, "fixed": 1}[self.mode]

    @property
    def reset_chance(self):
        return repeat(self.env.reset_chance, max(self._num_starts, 1))

    @property
    def step_chance(self):
        return self.env.step_chance, self.env.reset_chance if self.mode == "fresh" else ()

    def initial(self, chance, params):
        starts = jax.vmap(self.env.initial, in_axes=(0, None), axis_size=max(self._num_starts, 1))(chance, params)
        first = jax.tree.map(lambda x: x[0], starts)
        next_start = jnp.asarray(1 % max(self._num_starts, 1), jnp.int32)
        return AutoResetState(first, starts if self._num_starts else (), next_start, jnp.zeros((), bool))

    def transition(self, state, action, chance, params):
        step_chance, reset_chance = chance
        env_state, reward, terminated, info = self.env.transition(state.env, action, step_chance, params)
        truncated = self.env.truncated(env_state, params)
        done = terminated | truncated
        if self._num_starts:
            fresh = jax.tree.map(lambda x: x[state.next_start], state.starts)
            next_start = (state.next_start + done.astype(jnp.int32)) % self._num_starts
        else:
            fresh, next_start = self.env.initial(reset_chance, params), state.next_start
        info = {**info, "final_observation": self.env.observe(env_state, params)}
        env_state = where_done(done, fresh, env_state)
        return AutoResetState(env_state, state.starts, next_start, truncated), reward, terminated, info

    def truncated(self, state, params):
        return state.truncated


@dataclass(frozen=True)
class Shielded(Wrapper):
    """Allows only what a shield does: its mask joins the environment's own, and other actions are corrected.

    Where the shield forbids everything that is legal, it is ignored. An action outside the mask is replaced by the
    lowest one inside, so that learners that know nothing of masks are safe, too.

    Attributes:
        env: an environment with discrete actions.
        shield: `(state of env, params) -> bool [N, A]`; hashable (a function is).
    """

    shield: Callable[[Any, Any], Bool[Array, "N A"]]

    @property
    def differentiable_params(self):
        return self.env.differentiable_params

    def transition(self, state, action, chance, params):
        mask = self.action_mask(state, params)
        allowed = jnp.take_along_axis(mask, action[:, None], axis=1)[:, 0]
        lowest = jnp.argmax(mask, axis=1).astype(action.dtype)
        return self.env.transition(state, jnp.where(allowed, action, lowest), chance, params)

    def action_mask(self, state, params):
        legal = self.env.action_mask(state, params)
        both = legal & self.shield(state, params)
        return jnp.where(jnp.any(both, axis=1, keepdims=True), both, legal)


@struct.dataclass
class ReturnObservedState:
    """State of a `ReturnObserved` environment: the game's, steps so far, and what each agent has collected."""

    env: PyTree
    t: Int32[Array, ""]
    returns: Float[Array, " N"]


@dataclass(frozen=True)
class ReturnObserved(Wrapper):
    """Agents also see what they have collected in the episode, and how much of it is over.

    With that, objectives of the whole return, such as its variance, are Markovian. The horizon is then part of the
    game, which ends there: learners must not look beyond it, as they do where a time limit cuts an episode. An
    observation is the one of `env`, flattened, then the return times `scale`, then steps so far / horizon. An agent
    that sees nothing but zeros has left the game, and sees zeros.

    Attributes:
        env: an environment of fixed horizon whose observations are boxes.
        scale: of the return.
    """

    scale: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        require(self.env.horizon is not None, "env", "horizon None", "an environment of fixed horizon")

    def inner_state(self, state):
        return state.env

    def observation_space(self, params):
        shape = self.env.observation_space(params).shape
        return Box(-np.inf, np.inf, (math.prod(shape) + 2,))

    def benchmarks(self, params):
        return {}

    def initial(self, chance, params):
        zeros = jnp.zeros(self.num_agents, jnp.float32)
        return ReturnObservedState(self.env.initial(chance, params), jnp.zeros((), jnp.int32), zeros)

    def transition(self, state, action, chance, params):
        env_state, reward, terminated, info = self.env.transition(state.env, action, chance, params)
        state = ReturnObservedState(env_state, state.t + 1, state.returns + reward)
        return state, reward, terminated | (state.t >= self.horizon), info

    def truncated(self, state, params):
        return jnp.zeros((), bool)

    def observe(self, state, params):
        seen = self.env.observe(state.env, params).reshape(self.num_agents, -1).astype(jnp.float32)
        over = jnp.broadcast_to(state.t / (self.horizon or 1), (self.num_agents,))
        more = jnp.stack([self.scale * state.returns, over.astype(jnp.float32)], axis=1)
        present = jnp.any(seen != 0, axis=1, keepdims=True)
        return jnp.concatenate([seen, jnp.where(present, more, 0.0)], axis=1)


@struct.dataclass
class AgainstState:
    """State of an `AgainstPolicies` environment: the game's state and the other seats' memories."""

    env: PyTree
    memories: tuple[PyTree, ...]


@dataclass(frozen=True)
class AgainstPolicies(Wrapper):
    """A single-agent environment: you play `seat`, policies play the others.

    Its params are `(params of env, (params of each policy, …))`, the latter `()` by default.

    Attributes:
        env: game of N agents.
        policies: N - 1 policies, in the order of the other seats.
        seat: the seat left to the agent.
        view: the environment through which the policies observe, where it differs from `env` (same dynamics and state,
            another observation layout).
    """

    policies: tuple[Policy, ...] = ()
    seat: int = 0
    view: AnyEnvironment | None = None

    def __post_init__(self):
        super().__post_init__()
        others = self.env.num_agents - 1
        require(len(self.policies) == others, "policies", len(self.policies), f"{others} policies, one a seat")
        require_int("seat", self.seat, 0, others)

    num_agents = 1
    zero_sum = False
    symmetric = False
    deterministic = False

    @property
    def agent_names(self) -> tuple[str, ...]:
        return (self.env.agent_names[self.seat],)

    def inner_state(self, state):
        return state.env

    def inner_params(self, params):
        return params[0]

    @property
    def default_params(self):
        return self.env.default_params, ((),) * len(self.policies)

    @property
    def reset_chance(self):
        return self.env.reset_chance, tuple(policy.init_chance for policy in self.policies)

    @property
    def step_chance(self):
        return self.env.step_chance, tuple(policy.act_chance for policy in self.policies)

    @property
    def _other_seats(self) -> list[int]:
        return [i for i in range(self.env.num_agents) if i != self.seat]

    def benchmarks(self, params):
        return {}

    def initial(self, chance, params):
        memories = tuple(policy.init(drawn) for policy, drawn in zip(self.policies, chance[1], strict=True))
        return AgainstState(self.env.initial(chance[0], params[0]), memories)

    def transition(self, state, action, chance, params):
        env_params, policy_params = params
        obs = (self.view or self.env).observe(state.env, env_params)

        def seen(seat: int, policy: Policy) -> Any:
            if not policy.masked:
                return obs[seat]
            return MaskedObs(obs[seat], self.env.action_mask(state.env, env_params)[seat])

        actions: list[Any] = [None] * self.env.num_agents
        actions[self.seat] = action[0]
        memories = []
        for k, (seat, policy) in enumerate(zip(self._other_seats, self.policies, strict=True)):
            actions[seat], memory = policy.act(policy_params[k], state.memories[k], seen(seat, policy), chance[1][k])
            memories.append(memory)
        env_state, reward, terminated, info = self.env.transition(state.env, jnp.stack(actions), chance[0], env_params)
        return AgainstState(env_state, tuple(memories)), reward[self.seat, None], terminated, info

    def observe(self, state, params):
        return super().observe(state, params)[self.seat, None]

    def action_mask(self, state, params):
        return super().action_mask(state, params)[self.seat, None]

"""Environments under PettingZoo's parallel interface: NumPy dictionaries keyed by agent names, on the host."""

from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree
from pettingzoo import ParallelEnv

from jaxmarl.core.checks import require
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.spaces import Discrete
from jaxmarl.interop.agent_dict import in_order
from jaxmarl.interop.gymnasium import array_of, new_key, to_space

ByAgent = dict[str, Any]


class PettingZooEnv(ParallelEnv):
    """An environment as a `pettingzoo.ParallelEnv`.

        env = PettingZooEnv(*jaxmarl.make("repeated_rps"))
        obs, infos = env.reset(seed=0)
        obs, rewards, terminations, truncations, infos = env.step({"agent_0": 0, "agent_1": 2})

    Episodes end for all agents together. `infos[agent]["action_mask"]` has the legal actions where actions are
    discrete, as int8; the environment's own `info` is left out, as its entries need not belong to agents.

    Args:
        env: an environment.
        params: its params (default: its own).
    """

    def __init__(self, env: AnyEnvironment, params: PyTree = None):
        self._env = env
        self._params = env.default_params if params is None else params
        self.metadata = {"name": type(env).__name__, "render_modes": [], "is_parallelizable": True}
        self.render_mode = None
        self.possible_agents = list(env.agent_names)
        self.agents: list[str] = []
        self._masked = isinstance(env.action_space(self._params), Discrete)
        self._spaces = {
            agent: (to_space(env.observation_space(self._params)), to_space(env.action_space(self._params)))
            for agent in self.possible_agents
        }
        self._random = np.random.default_rng()
        self._reset, self._step = jax.jit(self._reset_pure), jax.jit(self._step_pure)

    def observation_space(self, agent: str) -> gymnasium.Space:
        """Space of the agent's observation, the same object at every call."""
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> gymnasium.Space:
        """Space of the agent's action, the same object at every call."""
        return self._spaces[agent][1]

    def _mask(self, state: PyTree, params: PyTree) -> Any:
        return self._env.action_mask(state, params).astype(np.int8) if self._masked else ()

    def _reset_pure(self, key, params):
        obs, state = self._env.reset(key, params)
        return obs, state, self._mask(state, params)

    def _step_pure(self, key, state, action, params):
        obs, state, reward, terminated, truncated, _ = self._env.step(key, state, action, params)
        return obs, state, reward, terminated, truncated, self._mask(state, params)

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[ByAgent, ByAgent]:
        """Starts an episode: `(obs, infos)`; without `seed`, the stream of random numbers goes on."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        obs, self._state, mask = self._reset(new_key(self._random), self._params)
        return self._by_agent(np.asarray(obs)), self._infos(mask)

    def step(self, actions: ByAgent) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent, ByAgent]:
        """One step: `(obs, rewards, terminations, truncations, infos)`; `agents` is empty after the last."""
        require(bool(self.agents), "step", "no running episode", "called after reset, until an episode ends")
        given = zip(self.possible_agents, in_order(actions, self.possible_agents), strict=True)
        space = self._spaces[self.possible_agents[0]][1]
        joint = np.stack([array_of(action, space, name=f"action of {name}") for name, action in given])
        obs, self._state, reward, *ends, mask = self._step(new_key(self._random), self._state, joint, self._params)
        terminated, truncated = (bool(x) for x in ends)
        if terminated or truncated:
            self.agents = []
        rewards = dict(zip(self.possible_agents, np.asarray(reward).tolist(), strict=True))
        ended = [dict.fromkeys(self.possible_agents, x) for x in (terminated, truncated)]
        return self._by_agent(np.asarray(obs)), rewards, ended[0], ended[1], self._infos(mask)

    def _by_agent(self, x: Any) -> ByAgent:
        return dict(zip(self.possible_agents, x, strict=True))

    def _infos(self, mask: Any) -> ByAgent:
        if not self._masked:
            return {agent: {} for agent in self.possible_agents}
        return {agent: {"action_mask": row} for agent, row in self._by_agent(np.asarray(mask)).items()}

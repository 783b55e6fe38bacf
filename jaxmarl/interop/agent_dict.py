"""The interface of the public JaxMARL package: dictionaries keyed by agent names, and reset inside every step."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.wrappers import AutoReset, AutoResetState

ByAgent = dict[str, Array]


def in_order(actions: Mapping[str, Any], agents: Sequence[str]) -> list[Any]:
    """Actions of all agents; refused where one is missing."""
    require(
        all(agent in actions for agent in agents), "actions", list(actions), f"of every agent ({', '.join(agents)})"
    )
    return [actions[agent] for agent in agents]


class AgentDictEnv:
    """An environment as the public JaxMARL (0.x) presents one.

        env = AgentDictEnv(*jaxmarl.make("repeated_rps"))
        obs, state = env.reset(key)
        obs, state, rewards, dones, infos = env.step(key, state, {"agent_0": 0, "agent_1": 2})

    As there, `step` starts a new episode when one ends, `dones["__all__"]` ends the episode for everybody, a time limit
    is not told from an end of the game, and spaces are asked for by agent. Of the environment's `info` only entries
    with one number for each agent are told, since baselines reshape them all to `[num_actors]`. Convenient at the
    border to code written for that interface; inside a training loop, the arrays of `Environment` are several times
    faster. Whole scripts run through `interop.public_jaxmarl.stand_in`.

    Args:
        env: an environment.
        params: its params (default: its own).
    """

    def __init__(self, env: AnyEnvironment, params: PyTree = None):
        self._env = AutoReset(env)
        self._params = env.default_params if params is None else params
        self.agents = list(env.agent_names)
        self.num_agents = env.num_agents

    @property
    def name(self) -> str:
        """Class name of the environment."""
        return type(self._env.env).__name__

    def observation_space(self, agent: str) -> Any:
        """Space of the agent's observation."""
        self._check(agent)
        return self._env.observation_space(self._params)

    def action_space(self, agent: str) -> Any:
        """Space of the agent's action."""
        self._check(agent)
        return self._env.action_space(self._params)

    def reset(self, key: Array) -> tuple[ByAgent, AutoResetState]:
        """Starts an episode: `(obs, state)`."""
        obs, state = self._env.reset(key, self._params)
        return self._by_agent(obs), state

    def step(
        self, key: Array, state: AutoResetState, actions: ByAgent
    ) -> tuple[ByAgent, AutoResetState, ByAgent, ByAgent, dict]:
        """One step: `(obs, state, rewards, dones, infos)`."""
        shape = self._env.action_space(self._params).shape
        # baselines leave an axis of size 1 on discrete actions
        joint = jnp.stack([jnp.reshape(action, shape) for action in in_order(actions, self.agents)])
        obs, state, reward, terminated, truncated, info = self._env.step(key, state, joint, self._params)
        done = terminated | truncated
        dones = {**dict.fromkeys(self.agents, done), "__all__": done}
        infos = {name: x for name, x in info.items() if jnp.shape(x) == (self.num_agents,)}
        return self._by_agent(obs), state, self._by_agent(reward), dones, infos

    def get_avail_actions(self, state: AutoResetState) -> ByAgent:
        """Legal actions of each agent."""
        return self._by_agent(self._env.action_mask(state, self._params))

    def _by_agent(self, x: Array) -> ByAgent:
        return {agent: x[i] for i, agent in enumerate(self.agents)}

    def _check(self, agent: str) -> None:
        if agent not in self.agents:
            raise ValueError(f"agent must be one of {', '.join(self.agents)}; got {agent!r}")

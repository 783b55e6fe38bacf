"""Baseline scripts of the public JaxMARL package on our environments, unchanged.

    import runpy
    from jaxmarl.interop.public_jaxmarl import stand_in

    with stand_in():
        runpy.run_path("ippo_ff_mpe.py", run_name="__main__")  # ENV_NAME is then one of `jaxmarl.list_envs()`

Both packages are imported as `jaxmarl`, so only one can be installed. Within the block, `import jaxmarl` gives a module
whose `make(name, **fields)` is one of our environments as `AgentDictEnv`, and `jaxmarl.wrappers.baselines` has the
wrappers that log returns. What else a script imports (hydra, wandb, distrax, ...) it must find.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.registry import list_envs, make
from jaxmarl.interop.agent_dict import AgentDictEnv, ByAgent
from jaxmarl.interop.agent_dict_environment import in_place_of_ours


@struct.dataclass
class LogState:
    """State of `LogWrapper`, `[N]` numbers each.

    Attributes:
        env_state: of the environment.
        episode_returns: so far.
        episode_lengths: so far.
        returned_episode_returns: of the last episode that ended.
        returned_episode_lengths: of the last episode that ended.
    """

    env_state: PyTree
    episode_returns: Float[Array, " N"]
    episode_lengths: Float[Array, " N"]
    returned_episode_returns: Float[Array, " N"]
    returned_episode_lengths: Float[Array, " N"]


class LogWrapper:
    """Adds to `infos` the return and length of the last episode that ended, as the public package's wrapper does.

    Args:
        env: what is wrapped; all else is asked of it.
        replace_info: whether its own infos are dropped.
    """

    scale_by_agents = False

    def __init__(self, env: AgentDictEnv, replace_info: bool = False):
        self._env, self.replace_info = env, replace_info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, key: Array) -> tuple[ByAgent, LogState]:
        """Starts an episode: `(obs, state)`."""
        obs, state = self._env.reset(key)
        zeros = jnp.zeros(self._env.num_agents)
        return obs, LogState(state, zeros, zeros, zeros, zeros)

    def step(
        self, key: Array, state: LogState, actions: ByAgent
    ) -> tuple[ByAgent, LogState, ByAgent, ByAgent, dict[str, Array]]:
        """One step: `(obs, state, rewards, dones, infos)`."""
        obs, env_state, rewards, dones, infos = self._env.step(key, state.env_state, actions)
        ended = dones["__all__"]
        earned = jnp.stack([rewards[agent] for agent in self._env.agents])
        total = state.episode_returns + earned * (self._env.num_agents if self.scale_by_agents else 1)
        length = state.episode_lengths + 1
        state = LogState(
            env_state,
            total * (1 - ended),
            length * (1 - ended),
            jnp.where(ended, total, state.returned_episode_returns),
            jnp.where(ended, length, state.returned_episode_lengths),
        )
        logged = {
            "returned_episode_returns": state.returned_episode_returns,
            "returned_episode_lengths": state.returned_episode_lengths,
            "returned_episode": jnp.full((self._env.num_agents,), ended),
        }
        return obs, state, rewards, dones, logged if self.replace_info else {**infos, **logged}


class MPELogWrapper(LogWrapper):
    """The same with rewards times the number of agents, which is what particle environments report."""

    scale_by_agents = True


@contextmanager
def stand_in() -> Iterator[ModuleType]:
    """Within the block, `import jaxmarl` gives the public package's interface to our environments."""
    package, wrappers, baselines = (
        ModuleType(name) for name in ("jaxmarl", "jaxmarl.wrappers", "jaxmarl.wrappers.baselines")
    )
    package.__path__, wrappers.__path__ = [], []
    vars(package).update(
        make=lambda name, **fields: AgentDictEnv(*make(name, **fields)),
        registered_envs=list_envs(),
        wrappers=wrappers,
    )
    vars(baselines).update(LogWrapper=LogWrapper, MPELogWrapper=MPELogWrapper, LogEnvState=LogState)
    vars(wrappers).update(baselines=baselines)
    with in_place_of_ours({module.__name__: module for module in (package, wrappers, baselines)}):
        yield package

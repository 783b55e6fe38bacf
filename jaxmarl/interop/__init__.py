"""The same environments under other libraries' interfaces."""

from jaxmarl.interop.agent_dict import AgentDictEnv

__all__ = ["AgentDictEnv"]

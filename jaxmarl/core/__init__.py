"""Environment, chance, policy, roll-out: the contracts that everything else is built on."""

from jaxmarl.core.chance import Integers, Key, Normal, Uniform, draw
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import MaskedObs, Policy, uniform_policy
from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.registry import list_envs, make, register
from jaxmarl.core.rollout import Actor, Trajectory, actor_from_policy, rollout, start_rollout
from jaxmarl.core.seating import Player, Seating
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.core.vector import VectorEnv
from jaxmarl.core.wrappers import AgainstPolicies, AutoReset

__all__ = [
    "Actor",
    "AgainstPolicies",
    "AutoReset",
    "Box",
    "Discrete",
    "Environment",
    "Integers",
    "Key",
    "MaskedObs",
    "Normal",
    "Player",
    "Policy",
    "PopulationEnv",
    "Seating",
    "Trajectory",
    "Uniform",
    "VectorEnv",
    "actor_from_policy",
    "draw",
    "list_envs",
    "make",
    "register",
    "rollout",
    "start_rollout",
    "uniform_policy",
]

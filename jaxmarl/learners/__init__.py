"""Learners: pure functions that turn experience into policy parameters."""

from jaxmarl.learners.base import Learner, over_seeds
from jaxmarl.learners.ppo import PPOConfig, ppo
from jaxmarl.learners.repeated_q import RepeatedQConfig, repeated_q
from jaxmarl.learners.sequential_q import sequential_q
from jaxmarl.learners.sessions import SessionConfig, run_until_stable
from jaxmarl.learners.tabular import QLearningConfig, RegretMatchingConfig, q_learning, regret_matching

__all__ = [
    "Learner",
    "PPOConfig",
    "QLearningConfig",
    "RegretMatchingConfig",
    "RepeatedQConfig",
    "SessionConfig",
    "over_seeds",
    "ppo",
    "q_learning",
    "regret_matching",
    "repeated_q",
    "run_until_stable",
    "sequential_q",
]

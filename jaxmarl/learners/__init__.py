"""Learners: pure functions that turn experience into policy parameters."""

from jaxmarl.learners.base import Learner, over_seeds
from jaxmarl.learners.ppo import PPOConfig, ppo

__all__ = ["Learner", "PPOConfig", "over_seeds", "ppo"]

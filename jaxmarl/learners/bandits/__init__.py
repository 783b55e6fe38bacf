"""Learners of multi-player bandits: each an algorithm for all players, run by `bandit_learner`."""

from jaxmarl.learners.bandits.base import BanditAlgorithm, BanditLearnerState, Seen, Tally, bandit_learner
from jaxmarl.learners.bandits.collaborative import collaborative_ucb
from jaxmarl.learners.bandits.smaa import bernoulli_divergence, smaa, smaa_unknown
from jaxmarl.learners.bandits.ucb import independent_ucb, shared_ucb

__all__ = [
    "BanditAlgorithm",
    "BanditLearnerState",
    "Seen",
    "Tally",
    "bandit_learner",
    "bernoulli_divergence",
    "collaborative_ucb",
    "independent_ucb",
    "shared_ucb",
    "smaa",
    "smaa_unknown",
]

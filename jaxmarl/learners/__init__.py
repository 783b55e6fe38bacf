"""Learners: pure functions that turn experience into policy parameters."""

from jaxmarl.learners.base import Learner, over_seeds
from jaxmarl.learners.graph_attention import GraphAttention, adjacency_matrix
from jaxmarl.learners.happo import HAPPOConfig, happo
from jaxmarl.learners.hasac import HASACConfig, hasac
from jaxmarl.learners.league import LeagueConfig, league, run_snapshots
from jaxmarl.learners.lola_dice import LOLAConfig, lola_dice
from jaxmarl.learners.loqa import loqa
from jaxmarl.learners.loqa_config import LOQAConfig
from jaxmarl.learners.mappo import MAPPOConfig, ippo_config, mappo
from jaxmarl.learners.nfsp import NFSPConfig, nfsp
from jaxmarl.learners.policy_gradient import PPOConfig
from jaxmarl.learners.ppo import ppo
from jaxmarl.learners.regularised import MMDConfig, mmd
from jaxmarl.learners.repeated_q import RepeatedQConfig, repeated_q
from jaxmarl.learners.rnad import RNaDConfig, rnad
from jaxmarl.learners.sequential_q import sequential_q
from jaxmarl.learners.sessions import SessionConfig, run_until_stable
from jaxmarl.learners.spo import SPOConfig, spo
from jaxmarl.learners.tabular import QLearningConfig, RegretMatchingConfig, q_learning, regret_matching

__all__ = [
    "GraphAttention",
    "HAPPOConfig",
    "HASACConfig",
    "LOLAConfig",
    "LOQAConfig",
    "LeagueConfig",
    "Learner",
    "MAPPOConfig",
    "MMDConfig",
    "NFSPConfig",
    "PPOConfig",
    "QLearningConfig",
    "RNaDConfig",
    "RegretMatchingConfig",
    "RepeatedQConfig",
    "SPOConfig",
    "SessionConfig",
    "adjacency_matrix",
    "happo",
    "hasac",
    "ippo_config",
    "league",
    "lola_dice",
    "loqa",
    "mappo",
    "mmd",
    "nfsp",
    "over_seeds",
    "ppo",
    "q_learning",
    "regret_matching",
    "repeated_q",
    "rnad",
    "run_snapshots",
    "run_until_stable",
    "sequential_q",
    "spo",
]

"""Solvers of tabular Markov games: planning with a known model, learning from play, gradients, data, and safety."""

from jaxmarl.solvers.markov.certified import VisitRecords, certificate, certified_returns
from jaxmarl.solvers.markov.joint_policies import JointPolicyResult, mamex, pure_joint_policies, pure_policy_game
from jaxmarl.solvers.markov.offline import (
    OfflineDataset,
    OfflineSolution,
    collect_dataset,
    empirical_game,
    offline_equilibrium,
    value_intervals,
)
from jaxmarl.solvers.markov.optimistic_gradient import markov_optimistic_gradient, markov_self_play
from jaxmarl.solvers.markov.planning import (
    cce_value_iteration,
    ce_value_iteration,
    hoffman_karp,
    nash_value_iteration,
    shapley_iteration,
    value_iteration,
)
from jaxmarl.solvers.markov.policy_gradient import (
    asymmetric_policies,
    independent_policy_gradient,
    sampled_policy_gradient,
)
from jaxmarl.solvers.markov.primal_dual import (
    LinearOptimum,
    PrimalDualResult,
    constrained_optimum,
    linear_utility,
    primal_dual,
    state_entropy,
)
from jaxmarl.solvers.markov.q_learning import (
    QLearningOptions,
    QLearningResult,
    ce_q,
    foe_q,
    friend_q,
    independent_q,
    minimax_q,
    nash_q,
    q_learning,
)
from jaxmarl.solvers.markov.sampling import Episodes, sample_episodes
from jaxmarl.solvers.markov.shields import (
    LocalSafetyGame,
    Shield,
    attractor,
    compositional_shields,
    safety_game,
    safety_shield,
    shield_masks,
)
from jaxmarl.solvers.markov.solution import MarkovSolution, markov_solution
from jaxmarl.solvers.markov.stage import correlated_stage, has_saddle, minimax
from jaxmarl.solvers.markov.v_learning import VLearningResult, v_learning

__all__ = [
    "Episodes",
    "JointPolicyResult",
    "LinearOptimum",
    "LocalSafetyGame",
    "MarkovSolution",
    "OfflineDataset",
    "OfflineSolution",
    "PrimalDualResult",
    "QLearningOptions",
    "QLearningResult",
    "Shield",
    "VLearningResult",
    "VisitRecords",
    "asymmetric_policies",
    "attractor",
    "cce_value_iteration",
    "ce_q",
    "ce_value_iteration",
    "certificate",
    "certified_returns",
    "collect_dataset",
    "compositional_shields",
    "constrained_optimum",
    "correlated_stage",
    "empirical_game",
    "foe_q",
    "friend_q",
    "has_saddle",
    "hoffman_karp",
    "independent_policy_gradient",
    "independent_q",
    "linear_utility",
    "mamex",
    "markov_optimistic_gradient",
    "markov_self_play",
    "markov_solution",
    "minimax",
    "minimax_q",
    "nash_q",
    "nash_value_iteration",
    "offline_equilibrium",
    "primal_dual",
    "pure_joint_policies",
    "pure_policy_game",
    "q_learning",
    "safety_game",
    "safety_shield",
    "sample_episodes",
    "sampled_policy_gradient",
    "shapley_iteration",
    "shield_masks",
    "state_entropy",
    "v_learning",
    "value_intervals",
    "value_iteration",
]

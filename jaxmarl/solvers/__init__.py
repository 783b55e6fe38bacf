"""Equilibrium solvers: pure functions of a game whose answers carry a gap recomputed from the game.

By name: `solve(game, "zero_sum_lp")`. Learners of repeated games are in `no_regret`, solvers of Markov games in
`markov`, players who dislike risk in `risk`, games that drift in `drifting`, the neural approximator (which needs flax
and optax) in `neural`.
"""

from jaxmarl.solvers import correlated, no_regret
from jaxmarl.solvers.alpharank import alpha_rank, alpha_rank_symmetric, rank_profiles
from jaxmarl.solvers.beliefs import fictitious_play, smooth_fictitious_play
from jaxmarl.solvers.bimatrix import all_equilibria, support_enumeration
from jaxmarl.solvers.complementarity import lemke_howson, lemke_howson_all_labels
from jaxmarl.solvers.correlated import (
    correlated_equilibrium,
    robust_price_of_anarchy,
    select_correlated,
    smallest_epsilon,
)
from jaxmarl.solvers.descent import (
    exploitability_descent,
    smoothed_nash_conv,
    stationarity_loss,
    stationarity_loss_estimate,
)
from jaxmarl.solvers.factored_preferences import FactoredSolution, factored_self_play
from jaxmarl.solvers.interior_point import solve_matrix_game
from jaxmarl.solvers.log_linear import log_linear_learning
from jaxmarl.solvers.markov_chain import stationary_distribution
from jaxmarl.solvers.max_entropy import max_entropy_nash
from jaxmarl.solvers.no_regret import OnlineLearner, SelfPlayResult, self_play
from jaxmarl.solvers.preferences import (
    borda_scores,
    condorcet_winner,
    copeland_scores,
    estimate_preferences,
    minimax_winner,
    preference_game,
    spo_self_play,
)
from jaxmarl.solvers.pure import pure_nash
from jaxmarl.solvers.quantal_response import (
    LogitPath,
    logit_equilibrium_path,
    logit_limit,
    logit_residual,
    logit_response,
    quantal_response,
    sequential_logit_responses,
)
from jaxmarl.solvers.registry import default_solver, list_solvers, register_solver, solve, solver_entry
from jaxmarl.solvers.replicator import (
    discrete_replicator_dynamics,
    projected_replicator_dynamics,
    replicator_dynamics,
)
from jaxmarl.solvers.risk import rae_damped, rae_extragradient, rae_fictitious_play, risk_averse_quantal_response
from jaxmarl.solvers.solution import Solution, correlated_solution, nash_solution
from jaxmarl.solvers.supports import enumerate_supports, support_enumeration_jit
from jaxmarl.solvers.symmetric import symmetric_nash
from jaxmarl.solvers.zero_sum import zero_sum_interior_point, zero_sum_lp

__all__ = [
    "FactoredSolution",
    "LogitPath",
    "OnlineLearner",
    "SelfPlayResult",
    "Solution",
    "all_equilibria",
    "alpha_rank",
    "alpha_rank_symmetric",
    "borda_scores",
    "condorcet_winner",
    "copeland_scores",
    "correlated",
    "correlated_equilibrium",
    "correlated_solution",
    "default_solver",
    "discrete_replicator_dynamics",
    "enumerate_supports",
    "estimate_preferences",
    "exploitability_descent",
    "factored_self_play",
    "fictitious_play",
    "lemke_howson",
    "lemke_howson_all_labels",
    "list_solvers",
    "log_linear_learning",
    "logit_equilibrium_path",
    "logit_limit",
    "logit_residual",
    "logit_response",
    "max_entropy_nash",
    "minimax_winner",
    "nash_solution",
    "no_regret",
    "preference_game",
    "projected_replicator_dynamics",
    "pure_nash",
    "quantal_response",
    "rae_damped",
    "rae_extragradient",
    "rae_fictitious_play",
    "rank_profiles",
    "register_solver",
    "replicator_dynamics",
    "risk_averse_quantal_response",
    "robust_price_of_anarchy",
    "select_correlated",
    "self_play",
    "sequential_logit_responses",
    "smallest_epsilon",
    "smooth_fictitious_play",
    "smoothed_nash_conv",
    "solve",
    "solve_matrix_game",
    "solver_entry",
    "spo_self_play",
    "stationarity_loss",
    "stationarity_loss_estimate",
    "stationary_distribution",
    "support_enumeration",
    "support_enumeration_jit",
    "symmetric_nash",
    "zero_sum_interior_point",
    "zero_sum_lp",
]

"""Games as arrays: normal form, Markov games, extensive form, zoos, and how far a solution is from equilibrium."""

from jaxmarl.games.deviations import deviation_adjoint, deviation_gains_of, deviation_matrix, num_deviations
from jaxmarl.games.dominance import dominated_actions, eliminate_dominated, eliminate_dominated_by_mixtures
from jaxmarl.games.efficiency import price_of_anarchy, price_of_stability
from jaxmarl.games.extensive import ExtensiveGame, extensive_game
from jaxmarl.games.extensive_metrics import (
    extensive_best_response,
    extensive_deviation_gains,
    extensive_nash_conv,
    extensive_normal_form,
    mixture_policy,
)
from jaxmarl.games.extensive_rules import game_from_rules
from jaxmarl.games.extensive_zoo import goofspiel, kuhn_poker, leduc_poker, list_extensive_games, make_extensive_game
from jaxmarl.games.markov import MarkovGame, markov_game_from_normal_form, step_in_state
from jaxmarl.games.markov_kernels import DenseKernel, SuccessorKernel, dense_kernel, successor_kernel
from jaxmarl.games.markov_metrics import (
    best_response,
    markov_cce_gap,
    markov_ce_gap,
    markov_nash_conv,
    occupancy,
    policy_values,
)
from jaxmarl.games.metrics import (
    best_responses,
    cce_gap,
    ce_gap,
    coarse_deviation_gains,
    deviation_gains,
    exploitability,
    nash_conv,
    optimal_welfare,
    pure_equilibria,
    swap_gains,
    swap_gap,
    welfare,
)
from jaxmarl.games.normal_form import (
    NormalFormGame,
    Strategies,
    bimatrix_game,
    stack_games,
    symmetric_game,
    zero_sum_game,
)
from jaxmarl.games.zoo import (
    congestion_game,
    game_entry,
    game_factory,
    list_games,
    make_game,
    register_game,
    robinson_goforth,
)

__all__ = [
    "DenseKernel",
    "ExtensiveGame",
    "MarkovGame",
    "NormalFormGame",
    "Strategies",
    "SuccessorKernel",
    "best_response",
    "best_responses",
    "bimatrix_game",
    "cce_gap",
    "ce_gap",
    "coarse_deviation_gains",
    "congestion_game",
    "dense_kernel",
    "deviation_adjoint",
    "deviation_gains",
    "deviation_gains_of",
    "deviation_matrix",
    "dominated_actions",
    "eliminate_dominated",
    "eliminate_dominated_by_mixtures",
    "exploitability",
    "extensive_best_response",
    "extensive_deviation_gains",
    "extensive_game",
    "extensive_nash_conv",
    "extensive_normal_form",
    "game_entry",
    "game_factory",
    "game_from_rules",
    "goofspiel",
    "kuhn_poker",
    "leduc_poker",
    "list_extensive_games",
    "list_games",
    "make_extensive_game",
    "make_game",
    "markov_cce_gap",
    "markov_ce_gap",
    "markov_game_from_normal_form",
    "markov_nash_conv",
    "mixture_policy",
    "nash_conv",
    "num_deviations",
    "occupancy",
    "optimal_welfare",
    "policy_values",
    "price_of_anarchy",
    "price_of_stability",
    "pure_equilibria",
    "register_game",
    "robinson_goforth",
    "stack_games",
    "step_in_state",
    "successor_kernel",
    "swap_gains",
    "swap_gap",
    "symmetric_game",
    "welfare",
    "zero_sum_game",
]

"""The zoo: named normal-form games and random families, also by name through `make_game`."""

from jaxmarl.games.zoo.congestion import affine_costs, braess, congestion_game, parallel_links, pigou
from jaxmarl.games.zoo.contests import all_pay, allocations, blotto, first_price, second_price, war_of_attrition
from jaxmarl.games.zoo.coordination import coordination, dispersion, el_farol, guess, min_effort
from jaxmarl.games.zoo.cyclic import biased_rps, rps, shapley, weighted_rps, zero_sum_3x4
from jaxmarl.games.zoo.economic import bertrand, cournot, public_goods, travelers
from jaxmarl.games.zoo.liquidity import (
    liquidity_matrix,
    liquidity_proposer,
    liquidity_provision,
    liquidity_provision_bayesian,
)
from jaxmarl.games.zoo.ordinal import ordinal_2x2, robinson_goforth
from jaxmarl.games.zoo.random_payoffs import (
    random_covariant,
    random_duplicates,
    random_general_sum,
    random_potential,
    random_symmetric,
    random_ties,
    random_zero_sum,
)
from jaxmarl.games.zoo.random_structured import (
    random_congestion,
    random_graphical,
    random_local_effect,
    random_polymatrix,
)
from jaxmarl.games.zoo.registry import GameEntry, game_entry, game_factory, list_games, make_game, register_game
from jaxmarl.games.zoo.two_by_two import (
    asymmetric_matching_pennies,
    battle_of_the_sexes,
    chicken,
    deadlock,
    hawk_dove,
    matching_pennies,
    prisoners_dilemma,
    stag_hunt,
)

__all__ = [
    "GameEntry",
    "affine_costs",
    "all_pay",
    "allocations",
    "asymmetric_matching_pennies",
    "battle_of_the_sexes",
    "bertrand",
    "biased_rps",
    "blotto",
    "braess",
    "chicken",
    "congestion_game",
    "coordination",
    "cournot",
    "deadlock",
    "dispersion",
    "el_farol",
    "first_price",
    "game_entry",
    "game_factory",
    "guess",
    "hawk_dove",
    "liquidity_matrix",
    "liquidity_proposer",
    "liquidity_provision",
    "liquidity_provision_bayesian",
    "list_games",
    "make_game",
    "matching_pennies",
    "min_effort",
    "ordinal_2x2",
    "parallel_links",
    "pigou",
    "prisoners_dilemma",
    "public_goods",
    "random_congestion",
    "random_covariant",
    "random_duplicates",
    "random_general_sum",
    "random_graphical",
    "random_local_effect",
    "random_polymatrix",
    "random_potential",
    "random_symmetric",
    "random_ties",
    "random_zero_sum",
    "register_game",
    "robinson_goforth",
    "rps",
    "second_price",
    "shapley",
    "stag_hunt",
    "travelers",
    "war_of_attrition",
    "weighted_rps",
    "zero_sum_3x4",
]

"""Games of imperfect information: trees in extensive form, one move of a player a step."""

from jaxmarl.envs.trees.goofspiel import Goofspiel
from jaxmarl.envs.trees.poker import KuhnPoker, LeducPoker, kuhn_equilibrium
from jaxmarl.envs.trees.strategies import behaviour_strategies, info_state_masks, strategy_policy, strategy_table
from jaxmarl.envs.trees.tree import ExplicitTree, GivenTree, TreeGame, TreeParams, TreeState, TreeTables, tree_game

__all__ = [
    "ExplicitTree",
    "GivenTree",
    "Goofspiel",
    "KuhnPoker",
    "LeducPoker",
    "TreeGame",
    "TreeParams",
    "TreeState",
    "TreeTables",
    "behaviour_strategies",
    "info_state_masks",
    "kuhn_equilibrium",
    "strategy_policy",
    "strategy_table",
    "tree_game",
]

"""Tabular Markov games as environments, and small environments as tables."""

from jaxmarl.envs.markov.distancing import DistancingGame, DistancingParams
from jaxmarl.envs.markov.enumerate import Enumeration, enumerate_game
from jaxmarl.envs.markov.finite import FiniteChance, FiniteEnvironment, equally_likely, table_policy
from jaxmarl.envs.markov.grid_games import GridGame, GridGameParams, GridGameState
from jaxmarl.envs.markov.modes import ModeGame, ModeState
from jaxmarl.envs.markov.pollution_tax import PollutionTax, PollutionTaxParams
from jaxmarl.envs.markov.routing import (
    MarkovRouting,
    RoutingParams,
    affine_flows,
    latencies,
    rosenthal_potential,
)
from jaxmarl.envs.markov.soccer import Soccer, SoccerParams, SoccerState
from jaxmarl.envs.markov.tabular import TabularGame, TabularState, tabular_game

__all__ = [
    "DistancingGame",
    "DistancingParams",
    "Enumeration",
    "FiniteChance",
    "FiniteEnvironment",
    "GridGame",
    "GridGameParams",
    "GridGameState",
    "MarkovRouting",
    "ModeGame",
    "ModeState",
    "PollutionTax",
    "PollutionTaxParams",
    "RoutingParams",
    "Soccer",
    "SoccerParams",
    "SoccerState",
    "TabularGame",
    "TabularState",
    "affine_flows",
    "enumerate_game",
    "equally_likely",
    "latencies",
    "rosenthal_potential",
    "table_policy",
    "tabular_game",
]

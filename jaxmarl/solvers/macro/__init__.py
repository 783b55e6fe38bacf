"""Macro-economies: stationary equilibria, the law of motion of Krusell and Smith, structural learning."""

from jaxmarl.envs.macro.stationary import (
    Production,
    StationaryEquilibrium,
    complete_markets,
    solve_stationary,
    stationary_equilibrium,
)
from jaxmarl.solvers.macro.law_of_motion import (
    Forecast,
    household_step,
    iterate_rule,
    krusell_smith_forecast,
    productivity_path,
    simulate_histogram,
)
from jaxmarl.solvers.macro.structural import (
    BondMarket,
    CapitalMarket,
    Crowd,
    StructuralPolicy,
    simulate_crowd,
    structural_policy_gradient,
)

__all__ = [
    "BondMarket",
    "CapitalMarket",
    "Crowd",
    "Forecast",
    "Production",
    "StationaryEquilibrium",
    "StructuralPolicy",
    "complete_markets",
    "household_step",
    "iterate_rule",
    "krusell_smith_forecast",
    "productivity_path",
    "simulate_crowd",
    "simulate_histogram",
    "solve_stationary",
    "stationary_equilibrium",
    "structural_policy_gradient",
]

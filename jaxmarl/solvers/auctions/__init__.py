"""Auctions: pacing equilibria, what a sample says of them, pacing over time, positions, optimal reserves."""

from jaxmarl.envs.auctions.budget_closed_forms import (
    PACING_RULES,
    ContinuumFPPE,
    PacingRule,
    symmetric_uniform_pacing,
    uniform_pair_fppe,
    uniform_values,
)
from jaxmarl.envs.auctions.channels import (
    MultiChannelOptimum,
    budget_response,
    multi_channel_optimum,
    roi_response,
)
from jaxmarl.solvers.auctions.fppe import FPPE, duality_gap, fppe
from jaxmarl.solvers.auctions.fppe_allocation import AllocatedFPPE, fppe_with_allocation
from jaxmarl.solvers.auctions.fppe_experiments import Coverage, ab_tests, fppe_coverage, rejections
from jaxmarl.solvers.auctions.fppe_inference import (
    ABTest,
    FPPEInference,
    ab_test,
    fppe_inference,
    price_curvature,
    split_items,
)
from jaxmarl.solvers.auctions.pace import PaceRun, pace
from jaxmarl.solvers.auctions.pacing import (
    PacingRound,
    PacingRun,
    PacingState,
    elected_price,
    pacing_dynamics,
    pacing_round,
    second_price,
)
from jaxmarl.solvers.auctions.pacing_fixed_points import PacingFixedPoint, pacing_fixed_point
from jaxmarl.solvers.auctions.position import envy, envy_free_bids
from jaxmarl.solvers.auctions.reserve import OptimalReserve, equilibrium_bid, optimal_reserve
from jaxmarl.solvers.auctions.sgd_ucb import SgdUcbRun, sgd_ucb

__all__ = [
    "FPPE",
    "PACING_RULES",
    "ABTest",
    "AllocatedFPPE",
    "ContinuumFPPE",
    "Coverage",
    "FPPEInference",
    "MultiChannelOptimum",
    "OptimalReserve",
    "PaceRun",
    "PacingFixedPoint",
    "PacingRound",
    "PacingRule",
    "PacingRun",
    "PacingState",
    "SgdUcbRun",
    "ab_test",
    "ab_tests",
    "budget_response",
    "duality_gap",
    "elected_price",
    "envy",
    "envy_free_bids",
    "equilibrium_bid",
    "fppe",
    "fppe_coverage",
    "fppe_inference",
    "fppe_with_allocation",
    "multi_channel_optimum",
    "optimal_reserve",
    "pace",
    "pacing_dynamics",
    "pacing_fixed_point",
    "pacing_round",
    "price_curvature",
    "rejections",
    "roi_response",
    "second_price",
    "sgd_ucb",
    "split_items",
    "symmetric_uniform_pacing",
    "uniform_pair_fppe",
    "uniform_values",
]

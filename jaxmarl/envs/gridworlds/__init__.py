"""Spatial games on a grid: stag hunts, foraging, commons, pursuit."""

from jaxmarl.envs.gridworlds.foraging import Foraging, ForagingParams, ForagingState
from jaxmarl.envs.gridworlds.foraging_heuristics import HEURISTICS, heuristic
from jaxmarl.envs.gridworlds.pursuit import Pursuit, PursuitParams, PursuitState, chase_policy
from jaxmarl.envs.gridworlds.stag_hunt import MarkovStagHunt, StagHuntParams, StagHuntState

__all__ = [
    "HEURISTICS",
    "Foraging",
    "ForagingParams",
    "ForagingState",
    "MarkovStagHunt",
    "Pursuit",
    "PursuitParams",
    "PursuitState",
    "StagHuntParams",
    "StagHuntState",
    "chase_policy",
    "heuristic",
]

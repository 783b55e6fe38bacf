"""Spatial games on a grid: stag hunts, foraging, commons, pursuit."""

from jaxmarl.envs.gridworlds.clean_up import CleanUp, CleanUpParams
from jaxmarl.envs.gridworlds.commons import CommonsState, equality, sustainability
from jaxmarl.envs.gridworlds.foraging import Foraging, ForagingParams, ForagingState
from jaxmarl.envs.gridworlds.foraging_heuristics import HEURISTICS, heuristic
from jaxmarl.envs.gridworlds.harvest import Harvest, HarvestParams
from jaxmarl.envs.gridworlds.pursuit import Pursuit, PursuitParams, PursuitState, chase_policy
from jaxmarl.envs.gridworlds.stag_hunt import MarkovStagHunt, StagHuntParams, StagHuntState

__all__ = [
    "HEURISTICS",
    "CleanUp",
    "CleanUpParams",
    "CommonsState",
    "Foraging",
    "ForagingParams",
    "ForagingState",
    "Harvest",
    "HarvestParams",
    "MarkovStagHunt",
    "Pursuit",
    "PursuitParams",
    "PursuitState",
    "StagHuntParams",
    "StagHuntState",
    "chase_policy",
    "equality",
    "heuristic",
    "sustainability",
]

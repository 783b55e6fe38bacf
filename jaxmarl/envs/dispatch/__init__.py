"""Ride-hailing dispatch."""

from jaxmarl.envs.dispatch.assignment import greedy_matching, matching_value, optimal_matching
from jaxmarl.envs.dispatch.bounds import hindsight_bound, myopic_bound
from jaxmarl.envs.dispatch.dispatchers import earnings, nearest
from jaxmarl.envs.dispatch.ride_hailing import RideHailing, RideHailingParams

__all__ = [
    "RideHailing",
    "RideHailingParams",
    "earnings",
    "greedy_matching",
    "hindsight_bound",
    "matching_value",
    "myopic_bound",
    "nearest",
    "optimal_matching",
]

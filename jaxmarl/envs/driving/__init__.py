"""Cars that share a stretch of road: merging and crossing."""

from jaxmarl.envs.driving.intersection import Intersection
from jaxmarl.envs.driving.kinematics import Driving, DrivingParams, DrivingState, advance, giving_way
from jaxmarl.envs.driving.merge import Merge

__all__ = ["Driving", "DrivingParams", "DrivingState", "Intersection", "Merge", "advance", "giving_way"]

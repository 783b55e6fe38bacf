"""Cars that share a stretch of road: merging, crossing and following."""

from jaxmarl.envs.driving.car_platoon import CarPlatoon, CarPlatoonParams, CarPlatoonState
from jaxmarl.envs.driving.intersection import Intersection
from jaxmarl.envs.driving.kinematics import Driving, DrivingParams, DrivingState, advance, giving_way
from jaxmarl.envs.driving.merge import Merge
from jaxmarl.envs.driving.overtaking import Overtaking, OvertakingParams, OvertakingState

__all__ = [
    "CarPlatoon",
    "CarPlatoonParams",
    "CarPlatoonState",
    "Driving",
    "DrivingParams",
    "DrivingState",
    "Intersection",
    "Merge",
    "Overtaking",
    "OvertakingParams",
    "OvertakingState",
    "advance",
    "giving_way",
]

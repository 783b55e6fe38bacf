"""Probe environments: a few lines each, with known answers, for tests of learners and wrappers (not registered).

`benchmarks(params)["value"]` is a function of the discount: the value of the best policy at an episode's start, for one
agent. Each probe can fail for one reason, which its docstring names.
"""

from jaxmarl.testing.probes.base import Probe
from jaxmarl.testing.probes.decisions import Decisions, decisions, slippery_cliff, two_bets, two_steps
from jaxmarl.testing.probes.games import BoxMarket, MaskedChoice, Recall
from jaxmarl.testing.probes.teams import Climbing, SpeakerListener
from jaxmarl.testing.probes.values import DelayedReward, OneStep, RandomStop, TimeLimited, TwoArmed

PROBES = (
    OneStep,
    TwoArmed,
    DelayedReward,
    RandomStop,
    TimeLimited,
    MaskedChoice,
    BoxMarket,
    Recall,
    Decisions,
    Climbing,
    SpeakerListener,
)

__all__ = [
    "PROBES",
    "BoxMarket",
    "Climbing",
    "Decisions",
    "DelayedReward",
    "MaskedChoice",
    "OneStep",
    "Probe",
    "RandomStop",
    "Recall",
    "SpeakerListener",
    "TimeLimited",
    "TwoArmed",
    "decisions",
    "slippery_cliff",
    "two_bets",
    "two_steps",
]

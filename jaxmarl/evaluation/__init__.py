"""Evaluation: cross-play of any policies, population metrics, and reports."""

from jaxmarl.evaluation.cross_play import CrossPlay, cross_play, versus
from jaxmarl.evaluation.episodes import Episodes, play_episodes, play_profiles
from jaxmarl.evaluation.metrics import rank, score_returns
from jaxmarl.evaluation.report import PopulationReport, load_report, make_report
from jaxmarl.evaluation.tables import load_table, score_table

__all__ = [
    "CrossPlay",
    "Episodes",
    "PopulationReport",
    "cross_play",
    "load_report",
    "load_table",
    "make_report",
    "play_episodes",
    "play_profiles",
    "rank",
    "score_returns",
    "score_table",
    "versus",
]

"""Mechanisms: contracts, information bought from agents, decision markets, and whether telling the truth pays."""

from jaxmarl.envs.mechanisms.truthfulness import (
    DirectMechanism,
    Misreports,
    best_misreports,
    is_truthful,
    misreport_gain,
)

__all__ = [
    "DirectMechanism",
    "Misreports",
    "best_misreports",
    "is_truthful",
    "misreport_gain",
]

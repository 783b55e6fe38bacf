"""Environments, one family a folder. Importing this registers them all, and pulls nothing heavier than jax and flax."""

from jaxmarl.envs import (
    auctions,
    bandits,
    dilemmas,
    dispatch,
    driving,
    gridworlds,
    liquidity,
    macro,
    marketplaces,
    markets,
    markov,
    mechanisms,
    negotiation,
    pricing,
    rps,
    trees,
)

__all__ = [
    "auctions",
    "bandits",
    "dilemmas",
    "dispatch",
    "driving",
    "gridworlds",
    "liquidity",
    "macro",
    "marketplaces",
    "markets",
    "markov",
    "mechanisms",
    "negotiation",
    "pricing",
    "rps",
    "trees",
]

"""Environments, one family a folder. Importing this registers them all, and pulls nothing heavier than jax and flax."""

from jaxmarl.envs import auctions, liquidity, markets, pricing, rps

__all__ = ["auctions", "liquidity", "markets", "pricing", "rps"]

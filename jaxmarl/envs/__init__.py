"""Environments, one family a folder. Importing this registers them all, and pulls nothing heavier than jax and flax."""

from jaxmarl.envs import rps

__all__ = ["rps"]

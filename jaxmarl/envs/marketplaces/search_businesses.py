"""Scripted businesses of the two-sided search market; their params are those of the market."""

import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require
from jaxmarl.core.policy import Policy
from jaxmarl.envs.marketplaces.search_closed_forms import burdett_judd_price
from jaxmarl.envs.marketplaces.two_sided_search import TwoSidedSearch


def fixed_offer(env: TwoSidedSearch, price: float, effort: float) -> Policy:
    """Always the same price and effort."""
    require(price >= 0, "price", price, "at least 0")
    require(effort >= 0, "effort", effort, "at least 0")

    def act(params, memory, obs: Array, chance):
        return env.position(price, effort, params).astype(jnp.float32), memory

    return Policy(lambda chance: (), act, name="fixed_offer")


def quality_markup(env: TwoSidedSearch, share: float, effort: float) -> Policy:
    """Asks `share` of what its quality is worth above cost, with a fixed effort."""
    require(0 <= share <= 1, "share", share, "in [0, 1]")
    require(effort >= 0, "effort", effort, "at least 0")

    def act(params, memory, obs: Array, chance):
        price = params.cost + share * jnp.maximum(obs[0] - params.cost, 0.0)
        return env.position(price, effort, params).astype(jnp.float32), memory

    return Policy(lambda chance: (), act, name="quality_markup")


def dispersed_pricing(env: TwoSidedSearch, effort: float = 1.0) -> Policy:
    """Draws a price a round from Burdett and Judd's equilibrium distribution (for customers who value all alike)."""
    require(effort >= 0, "effort", effort, "at least 0")

    def act(params, memory, obs: Array, chance):
        price = burdett_judd_price(chance, params.single_quote, params.highest_quality, params.cost)
        return env.position(price, effort, params).astype(jnp.float32), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name="dispersed_pricing")

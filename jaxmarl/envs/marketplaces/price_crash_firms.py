"""Scripted firms of the price crash: undercutters, fixed markups, and stabilisers, who never sell below a floor.

Each plays the price step that comes nearest to the price it wants; params are unused. Markups are shares of unit cost.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.envs.marketplaces.price_crash import FirmView, PriceCrash, firm_view


def undercutter(env: PriceCrash, discount: float = 0.98, supply_level: int = -1) -> Policy:
    """Wants `discount` times the cheapest rival's price, whatever that costs; holds its own where no rival is left.

    Args:
        env: for its price steps and supply levels.
        discount: in (0, 1].
        supply_level: index into `env.supply_levels`.
    """
    require(0 < discount <= 1, "discount", discount, "in (0, 1]")
    return _firm(
        env,
        lambda seen: _cheapest(seen) + jnp.where(seen.rivals_alive > 0, math.log(discount), 0.0),
        supply_level,
        "undercutter",
    )


def fixed_markup(env: PriceCrash, markup: float = 0.5, supply_level: int = -2) -> Policy:
    """Wants `(1 + markup)` times unit cost, whatever rivals do."""
    require(markup > -1, "markup", markup, "above -1")
    return _firm(env, lambda seen: jnp.asarray(math.log1p(markup)), supply_level, "fixed_markup")


def stabiliser(env: PriceCrash, margin: float = 0.25, markup: float = 0.5, supply_level: int = -2) -> Policy:
    """Follows the cheapest rival between a floor and a ceiling: it leaves ruinous sales to others, and never gouges.

    Args:
        env: for its price steps and supply levels.
        margin: of the floor, at least 0.
        markup: of the ceiling, at least `margin`.
        supply_level: index into `env.supply_levels`.
    """
    require(margin >= 0, "margin", margin, "at least 0")
    require(markup >= margin, "markup", markup, f"at least margin ({margin})")
    bounds = math.log1p(margin), math.log1p(markup)
    return _firm(env, lambda seen: jnp.clip(_cheapest(seen), *bounds), supply_level, "stabiliser")


def _cheapest(seen: FirmView) -> Float[Array, ""]:
    """Log markup of the cheapest rival, the own where none is left."""
    return jnp.where(seen.rivals_alive > 0, seen.rivals[0, 0], seen.own[0])


def _firm(env: PriceCrash, target: Callable[[FirmView], Float[Array, ""]], supply_level: int, name: str) -> Policy:
    """A firm that wants the log markup `target(seen)`."""
    levels = len(env.supply_levels)
    require_int("supply_level", supply_level, -levels, levels - 1)
    level = supply_level % levels

    def act(params, memory, obs: Array, chance):
        seen = firm_view(obs)
        reached = seen.own[0] + jnp.asarray(env.price_steps, jnp.float32)
        step = jnp.argmin(jnp.abs(reached - target(seen)))
        return (step * levels + level).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, name=name)

"""Scripted traders of the lemon market: buyers who trust or read reputations, and a principal that never changes.

Params are unused.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require_int
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.envs.marketplaces.lemon_market import LemonMarket, buyer_view


def random_buyer(env: LemonMarket) -> Policy:
    """Picks any listing with equal chances, and always picks one."""
    return _guarded(env, 0, 0, "random_buyer")


def guardian(env: LemonMarket, min_up_votes: int = 8, min_age: int = 0) -> Policy:
    """Picks with equal chances among listings of good repute, and none where there are none.

    Args:
        env: for the length of its window, and of its episodes; it must show reputations.
        min_up_votes: among the last `env.window` votes of the seller.
        min_age: of the seller's identity, in steps.
    """
    require_int("min_up_votes", min_up_votes, 0, env.window)
    require_int("min_age", min_age, 0)
    if not env.show_reputation:
        raise ValueError("env must show reputations to a guardian, got show_reputation=False")
    return _guarded(env, min_up_votes, min_age, "guardian")


def _guarded(env: LemonMarket, min_up_votes: int, min_age: int, name: str) -> Policy:
    def act(params, memory, obs: Array, chance):
        seen = buyer_view(obs)
        # votes and steps are integers: compared as such, not as float32 shares
        votes, age = jnp.round(seen.reputation * env.window), jnp.round(seen.age * env.num_steps)
        trusted = (votes >= min_up_votes) & (age >= min_age)
        pick = categorical(jnp.where(trusted, 0.0, -1e9), chance)
        return jnp.where(jnp.any(trusted), pick, env.num_sellers).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name=name)


def fixed_principal(env: LemonMarket, tier: int = 0, rotate_below: int = 3) -> Policy:
    """Always claims `tier` (0 the best), and replaces identities with fewer than `rotate_below` up-votes (0: never)."""
    action = env.principal_action(tier, rotate_below)

    def act(params, memory, obs: Array, chance):
        return jnp.full((), action, jnp.int32), memory

    return Policy(lambda chance: (), act, name=f"claims_{tier}_rotates_below_{rotate_below}")

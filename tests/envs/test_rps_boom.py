"""Boom where its play can be worked out: against itself, and two opponents whom it reads without ever losing."""

import jax
import jax.numpy as jnp
import pytest

from jaxmarl.envs.rps import BOTS
from jaxmarl.envs.rps.bots.base import score


@pytest.mark.parametrize(("opponent", "expected"), [("boom", 0), ("rockbot", 997), ("freqbot2", 753)])
def test_returns_in_closed_form(opponent, expected):
    # draws of 2³¹ - 1 never make boom bail out unless it is certain to
    never = jnp.full(2, 2**31 - 1, jnp.int32)
    policies = BOTS["boom"].policy, BOTS[opponent].policy

    def throw(carry, _):
        memories, obs = carry
        acted = [policy.act((), m, obs[i], never) for i, (policy, m) in enumerate(zip(policies, memories, strict=True))]
        (mine, first), (theirs, second) = acted
        obs = jnp.stack([jnp.stack([mine, theirs]), jnp.stack([theirs, mine])])
        return ((first, second), obs), score(mine, theirs)

    start = tuple(policy.init(()) for policy in policies), jnp.full((2, 2), -1, jnp.int32)
    _, scores = jax.jit(lambda start: jax.lax.scan(throw, start, length=1000))(start)
    assert int(scores.sum()) == expected
    if opponent == "boom":
        assert not scores.any()

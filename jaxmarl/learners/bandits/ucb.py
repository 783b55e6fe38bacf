"""Upper confidence bounds (Auer, Cesa-Bianchi and Fischer 2002), everyone alone or all of one bandit together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmarl.core.chance import Chance
from jaxmarl.envs.bandits.multi_player import MultiPlayerBandit
from jaxmarl.learners.bandits.base import (
    BanditAlgorithm,
    Seen,
    Tally,
    empty_tally,
    require_positive,
    tallied,
    ucb_arms,
)


class UCBMemory(NamedTuple):
    """What everybody saw."""

    tally: Tally


def independent_ucb(env: MultiPlayerBandit, *, alpha: float = 2.0) -> BanditAlgorithm:
    """Everyone plays UCB1 on the outcomes of its own pulls, as if alone: `mean + sqrt(alpha log t / pulls)`."""
    require_positive("alpha", alpha)

    def act(memory: UCBMemory, t: jax.Array, chance: Chance) -> jax.Array:
        return ucb_arms(memory.tally, t.astype(jnp.float32), alpha)

    return BanditAlgorithm(_init(env), act, _learn, name="independent_ucb")


def shared_ucb(env: MultiPlayerBandit, *, alpha: float = 2.0) -> BanditAlgorithm:
    """Everyone plays UCB1 on what all players of its bandit saw: full communication by players who know their peers.

    Time counts their pulls. Players of a bandit agree on the arm, so that they pull it together.
    """
    require_positive("alpha", alpha)
    peers = (env.bandits[:, None] == env.bandits).astype("float32")

    def act(memory: UCBMemory, t: jax.Array, chance: Chance) -> jax.Array:
        pooled = Tally(*(jnp.dot(peers, table, precision="highest") for table in memory.tally))
        return ucb_arms(pooled, jnp.sum(pooled.pulls, axis=1, keepdims=True), alpha)

    return BanditAlgorithm(_init(env), act, _learn, name="shared_ucb")


def _init(env: MultiPlayerBandit):
    return lambda chance: UCBMemory(empty_tally(env))


def _learn(memory: UCBMemory, seen: Seen, chance: Chance) -> UCBMemory:
    return UCBMemory(tallied(memory.tally, seen))

"""The policy contract: pure functions of one agent, with the same explicit chance as environments."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform, draw

Memory: TypeAlias = Any


class MaskedObs(NamedTuple):
    """What a policy with `masked=True` is given: the observation and the legal actions."""

    obs: Array
    mask: Bool[Array, " num_actions"]


@dataclass(frozen=True)
class Policy:
    """One agent, unbatched: a scripted bot, a network, a tabular strategy, an equilibrium mixture.

        memory = policy.init(chance)                                    # at the start of an episode
        action, memory = policy.act(params, memory, obs, chance)        # once a step

    `init_chance` and `act_chance` declare what is drawn, so a recorded stream replays a policy move by move and a
    batch of policies draws everything at once. A population of one architecture is one `Policy` with stacked `params`;
    policies whose code differs are batched by type (`core.seating`).

    Attributes:
        init: chance -> memory.
        act: (params, memory, obs, chance) -> (action, memory).
        init_chance: what `init` draws.
        act_chance: what `act` draws.
        masked: whether `act` is given a `MaskedObs` in place of the observation.
        name: for tables and figures.
        probabilities: (params, memory, obs) -> `[A]`, chances of discrete actions; None where a policy does not say.
    """

    init: Callable[[Chance], Memory]
    act: Callable[[PyTree, Memory, Any, Chance], tuple[Array, Memory]]
    init_chance: ChanceSpec = ()
    act_chance: ChanceSpec = ()
    masked: bool = False
    name: str = "policy"
    probabilities: Callable[[PyTree, Memory, Any], Array] | None = None

    def start(self, key: Array) -> Memory:
        """Memory at the start of an episode, drawn from `key`."""
        return self.init(draw(self.init_chance, key))

    def sample(self, key: Array, params: PyTree, memory: Memory, obs: Any) -> tuple[Array, Memory]:
        """One action, drawn from `key`: `(action, memory)`."""
        return self.act(params, memory, obs, draw(self.act_chance, key))

    def named(self, name: str) -> "Policy":
        """The same policy under another name."""
        return replace(self, name=name)


def uniform_policy(num_actions: int) -> Policy:
    """Plays every legal action with equal probability."""

    def act(params, memory, obs, chance):
        return categorical(jnp.where(obs.mask, 0.0, -jnp.inf), chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), masked=True, name="uniform")


def categorical(logits: Array, unit: Array) -> Array:
    """The action that the uniform number `unit` selects from `softmax(logits)` by inversion.

    Args:
        logits: `[..., A]`; `-inf` (or very negative) where an action is illegal.
        unit: `[...]`, in `[0, 1)`.

    Returns:
        int32 `[...]`, never an action of probability zero.
    """
    cumulative = jnp.cumsum(jax.nn.softmax(logits), axis=-1)
    # scaling by the total keeps the last cell reachable when the float32 sum is not exactly one
    threshold = unit[..., None] * cumulative[..., -1:]
    return jnp.sum(cumulative <= threshold, axis=-1).astype(jnp.int32)

"""Advantage estimates, and a running scale of values."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float


def mean_of(x: Float[Array, "..."], counts: Bool[Array, "..."] | None) -> Float[Array, ""]:
    """The mean over entries that count (None: over all), 0 where none does."""
    if counts is None:
        return jnp.mean(x)
    return jnp.sum(jnp.where(counts, x, 0.0)) / jnp.maximum(jnp.sum(counts), 1)


@struct.dataclass
class ValueScale:
    """Running mean and variance of value targets, exponentially averaged and debiased (Yu et al. 2022).

    Attributes:
        mean: average of targets, times `weight`.
        square: average of their squares, times `weight`.
        weight: 1 less the weight that remains on the start.
    """

    mean: Float[Array, ""]
    square: Float[Array, ""]
    weight: Float[Array, ""]

    @classmethod
    def empty(cls) -> "ValueScale":
        """Before any target: mean 0, standard deviation 1."""
        return cls(*(jnp.zeros((), jnp.float32) for _ in range(3)))

    def update(self, target: Float[Array, "..."], counts: Bool[Array, "..."] | None, decay: float) -> "ValueScale":
        """With a batch of targets (those that count; None: all); the past keeps the weight `decay`."""
        batch = mean_of(target, counts), mean_of(target**2, counts), jnp.ones(())
        past = self.mean, self.square, self.weight
        return ValueScale(*(old + (1 - decay) * (new - old) for old, new in zip(past, batch, strict=True)))

    def moments(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and standard deviation (at least 0.01)."""
        weight = jnp.where(self.weight > 0, self.weight, 1.0)
        mean = self.mean / weight
        variance = jnp.where(self.weight > 0, self.square / weight - mean**2, 1.0)
        return mean, jnp.sqrt(jnp.maximum(variance, 1e-4))

    def normalise(self, value: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """From units of rewards to those of the network."""
        mean, spread = self.moments()
        return (value - mean) / spread

    def restore(self, value: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """From units of the network to those of rewards."""
        mean, spread = self.moments()
        return mean + spread * value


def gae(
    reward: Float[Array, "T *batch"],
    value: Float[Array, "T *batch"],
    next_value: Float[Array, "T *batch"],
    terminated: Bool[Array, "T *batch"],
    truncated: Bool[Array, "T *batch"],
    discount: float,
    trace: float,
) -> Float[Array, "T *batch"]:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16), with both kinds of episode end.

    Args:
        reward: of each step.
        value: estimate at the observation before each step.
        next_value: estimate at the observation after it, in the same episode (the final one where the episode ended).
        terminated: the game ended: nothing follows.
        truncated: a time limit ended the episode: `next_value` still follows, but no later step does.
        discount: γ.
        trace: λ.

    Returns:
        Advantages; add `value` for λ-returns.
    """
    delta = reward + discount * jnp.where(terminated, 0.0, next_value) - value
    carry_on = discount * trace * (1.0 - (terminated | truncated))

    def step(advantage, inputs):
        delta_t, carry_t = inputs
        advantage = delta_t + carry_t * advantage
        return advantage, advantage

    return jax.lax.scan(step, jnp.zeros_like(value[0]), (delta, carry_on), reverse=True, unroll=8)[1]


def turn_gae(
    reward: Float[Array, "T *batch"],
    value: Float[Array, "T *batch"],
    turn: Bool[Array, "T *batch"],
    ended: Bool[Array, "T *batch"],
    discount: float,
    trace: float,
) -> Float[Array, "T *batch"]:
    """`gae` from one own turn of a player to its next, in episodes that end within the roll-out.

    Rewards on the way are summed, and values of the steps at which others move are not read; λ counts own turns.

    Args:
        reward: of each step.
        value: estimate at the observation before each step.
        turn: whether it is the player's turn at that observation.
        ended: the game ended with the step.
        discount: γ, a step.
        trace: λ.

    Returns:
        Advantages, 0 where it is not the player's turn.
    """

    def step(carry, inputs):
        reward_t, value_t, turn_t, ended_t = inputs
        gained, following, advantage = (jnp.where(ended_t, 0.0, discount * x) for x in carry)
        gained = reward_t + gained
        found = gained + following - value_t + trace * advantage
        carry = jnp.where(turn_t, 0.0, gained), jnp.where(turn_t, value_t, following)
        return (*carry, jnp.where(turn_t, found, advantage)), jnp.where(turn_t, found, 0.0)

    zero = jnp.zeros_like(value[0])
    return jax.lax.scan(step, (zero, zero, zero), (reward, value, turn, ended), reverse=True, unroll=8)[1]

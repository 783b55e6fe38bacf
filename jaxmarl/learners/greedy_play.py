"""What deterministic policies with bounded memory do in a repeated game: limit cycles, exact values, deviations.

Functions take one session, and `vmap` over many. Policies are tables `[S, N]`: the action of each player after each
history, numbered as in `repeated_q`; payoffs are `[A^N, N]`, a row for each joint action (`repeated_q.joint_table`).
Functional graphs are followed by doubling, so that nothing is simulated for long.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.checks import require, require_int

PRECISION = 1e-9  # weight of the future beyond which values are cut


class LimitCycle(NamedTuple):
    """Where play ends up.

    Attributes:
        history: int32, a history on the cycle.
        length: int32, periods of the cycle.
        frequency: `[S]`, share of the cycle's periods that each history has.
    """

    history: Int32[Array, ""]
    length: Int32[Array, ""]
    frequency: Float[Array, " S"]


class Deviation(NamedTuple):
    """What follows when one player deviates for one period from a limit cycle.

    Attributes:
        actions: int32 `[T + 1, N]`, of the last period before the deviation, of its period, and of those after it.
        gain: the deviator's discounted payoffs less those without the deviation, for all time.
        immediate_gain: the same of the period of the deviation.
        returned: whether play comes back to the same cycle.
        periods_to_return: int32, periods after the deviation before it does; `T - 1` if it takes as long or longer.
    """

    actions: Int32[Array, "periods N"]
    gain: Float[Array, ""]
    immediate_gain: Float[Array, ""]
    returned: Bool[Array, ""]
    periods_to_return: Int32[Array, ""]


def following_history(history: Array, action: Int32[Array, "*batch N"], num_actions: int, num_states: int) -> Array:
    """Number of the history after a joint action `[..., N]`."""
    n = action.shape[-1]
    joint = jnp.sum(action * jnp.asarray(num_actions ** np.arange(n)[::-1], jnp.int32), axis=-1)
    return joint + num_actions**n * (history % (num_states // num_actions**n))


def limit_cycle(policies: Int32[Array, "S N"], start: Int32[Array, ""], num_actions: int) -> LimitCycle:
    """The cycle that play from `start` reaches, and how often each history occurs on it."""
    num_states = _check(policies, num_actions)
    step = _graph(policies, num_actions)
    anchor = _far_along(step)[start]

    def walk(carry):
        history, length, visits = carry
        history = step[history]
        return history, length + 1, visits.at[history].add(1.0)

    first = walk((anchor, jnp.zeros((), jnp.int32), jnp.zeros(num_states)))
    _, length, visits = jax.lax.while_loop(lambda carry: carry[0] != anchor, walk, first)
    return LimitCycle(anchor, length, visits / length)


def cycle_mean(cycle: LimitCycle, table: Float[Array, "joint *features"]) -> Float[Array, "*features"]:
    """Mean over a cycle of what joint actions are worth, exactly (payoffs, prices, …)."""
    by_joint = jnp.sum(cycle.frequency.reshape(-1, len(table)), axis=0)
    return jnp.tensordot(by_joint, table, 1)


def greedy_values(
    policies: Int32[Array, "S N"], payoffs: Float[Array, "joint N"], num_actions: int, discount: float
) -> Float[Array, "S N"]:
    """Discounted payoffs of every player from every history on, for all time."""
    _check(policies, num_actions)
    require(0 <= discount < 1, "discount", discount, "in [0, 1)")
    step = _graph(policies, num_actions)
    values, weight = payoffs[step % len(payoffs)], discount
    periods = math.log(PRECISION) / math.log(discount) if discount > 0 else 1.0
    for _ in range(max(math.ceil(math.log2(max(periods, 1.0))), 0)):
        values, step, weight = values + weight * values[step], step[step], weight * weight
    return values


def deviate(
    policies: Int32[Array, "S N"],
    cycle: LimitCycle,
    payoffs: Float[Array, "joint N"],
    *,
    num_actions: int,
    discount: float,
    num_periods: int = 25,
    player: int = 0,
    action: Array | int | None = None,
) -> Deviation:
    """`player` deviates once, at the history of `cycle`, to its best reply in the stage game or to a given action.

    Args:
        policies: of all players.
        cycle: from `limit_cycle`.
        payoffs: of the stage game.
        num_actions: `A`.
        discount: δ.
        num_periods: `T`, from that of the deviation on, whose actions are returned.
        player: who deviates.
        action: what it plays, None for the lowest of its best replies.
    """
    num_states, n = _check(policies, num_actions), policies.shape[1]
    require_int("num_periods", num_periods, 1)
    require_int("player", player, 0, n - 1)
    usual = policies[cycle.history]
    replies = jnp.tile(usual, (num_actions, 1)).at[:, player].set(jnp.arange(num_actions, dtype=jnp.int32))
    following = following_history(cycle.history, replies, num_actions, num_states)
    earned = payoffs[following % len(payoffs), player]
    chosen = jnp.argmax(earned) if action is None else jnp.asarray(action)
    values = greedy_values(policies, payoffs, num_actions, discount)[:, player]
    step, start = _graph(policies, num_actions), following[chosen]
    _, path = jax.lax.scan(lambda history, _: (step[history], history), start, length=num_periods)
    shown = jnp.concatenate([cycle.history[None], path])
    radix = jnp.asarray(num_actions ** np.arange(n)[::-1], jnp.int32)
    return Deviation(
        actions=(shown[:, None] // radix % num_actions).astype(jnp.int32),
        gain=earned[chosen] + discount * values[start] - values[cycle.history],
        immediate_gain=earned[chosen] - earned[usual[player]],
        returned=cycle.frequency[_far_along(step)[start]] > 0,
        periods_to_return=jnp.sum(cycle.frequency[path[1:]] == 0, dtype=jnp.int32),
    )


def profit_gain(
    profits: Float[Array, "*batch N"], nash: Float[Array, " N"], monopoly: Float[Array, " N"]
) -> Float[Array, "*batch"]:
    """Share of the way from Nash to monopoly profits that mean profits go (Calvano et al.'s Δ)."""
    low, high = jnp.mean(nash), jnp.mean(monopoly)
    return (jnp.mean(profits, axis=-1) - low) / (high - low)


def _graph(policies: Int32[Array, "S N"], num_actions: int) -> Int32[Array, " S"]:
    """The history that follows each history."""
    num_states = policies.shape[0]
    return following_history(jnp.arange(num_states, dtype=jnp.int32), policies, num_actions, num_states)


def _far_along(step: Int32[Array, " S"]) -> Int32[Array, " S"]:
    """The history that each leads to after more periods than there are histories."""
    for _ in range(step.shape[0].bit_length()):
        step = step[step]
    return step


def _check(policies: Array, num_actions: int) -> int:
    """Number of histories."""
    num_states, n = policies.shape
    require_int("num_actions", num_actions, 1)
    joint = num_actions**n
    power = 1
    while joint > 1 and power < num_states:
        power *= joint
    require(power == num_states, "policies", policies.shape, f"of shape [S, N] with S a power of {joint}")
    return num_states

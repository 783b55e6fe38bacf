"""Independent Q-learning in a repeated game with bounded memory, many sessions at once.

Every player keeps a table of action values for each history of the last `memory` joint actions, explores less and less,
and learns from what it alone earns. All players update at the same time, and only the visited cell of each changes. It
is the experiment of Calvano, Calzolari, Denicolò and Pastorello, "Artificial Intelligence, Algorithmic Pricing, and
Collusion", AER 2020; what the learned policies do is the business of `greedy_play`.

Histories are numbered `Σ_k A^(N k) Σ_i a_i A^(N-1-i)`, k periods ago, as `LogitPricing(layout="index")` shows them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Integers, Uniform, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.learners.base import Learner
from jaxmarl.learners.sessions import (
    MOST_CELLS,
    SessionConfig,
    SessionState,
    Settings,
    check_payoffs,
    exploration,
    greedy_actions,
    initial_q,
    one_step_move,
    session_learner,
    session_settings,
)


@dataclass(frozen=True)
class RepeatedQConfig(SessionConfig):
    """Settings of `repeated_q`; the defaults are those of the published study.

    Attributes:
        memory: periods that make a history.
    """

    memory: int = 1

    def __post_init__(self):
        super().__post_init__()
        require_int("memory", self.memory, 1)


def joint_table(payoffs: Float[Array, "N *A"]) -> Float[Array, "joint N"]:
    """Payoffs `[N, A, ..., A]` as one row for each joint action, the first player's action varying slowest."""
    return jnp.reshape(payoffs, (payoffs.shape[0], -1)).T


def repeated_q(
    payoffs: Float[Array, "N *A"],
    step_size: Any = 0.15,
    decay: Any = 4e-6,
    config: RepeatedQConfig | None = None,
    *,
    epsilon: Any = 1.0,
    num_sessions: int | None = None,
) -> Learner:
    """Q-learners that play a game of theirs again and again; sessions are independent, and may have their own settings.

    A player explores with probability `ε exp(-β t)`: it then plays a uniform action. Ties go to the lowest action. The
    learner's policy is greedy, for observations that are the number of the history; its params are `[B, N, S]`.

    Args:
        payoffs: `[N, A, ..., A]` of the stage game; all players have `A` actions.
        step_size: α: a scalar, `[B]`, or `[B, N]`, one for each player.
        decay: β: likewise.
        config: settings.
        epsilon: ε: likewise.
        num_sessions: `B`, where no other argument tells it.

    Raises:
        ValueError: payoffs of another shape, numbers out of range, or tables too large to be indexed.
    """
    config = config or RepeatedQConfig()
    n, num_actions = check_payoffs(payoffs)
    num_states = num_actions ** (n * config.memory)
    settings = session_settings(step_size, decay, epsilon, n, num_sessions)
    sessions = len(settings["epsilon"])
    fits = num_states * n * num_actions * sessions <= MOST_CELLS
    require(fits, "memory", config.memory, f"so short that the tables have at most {MOST_CELLS} cells")
    return session_learner(
        initial_q(payoffs, config.discount),
        lambda state, drawn: play(payoffs, state, drawn, settings, config),
        repeat((Uniform((n,)), Integers(num_actions, (n,))), config.steps_per_update, sessions),
        settings,
        config,
        num_states=num_states,
        num_histories=num_states,
        policy=Policy(lambda chance: (), lambda table, memory, obs, chance: (table[obs], memory), name="repeated_q"),
    )


def play(
    payoffs: Float[Array, "N *A"],
    state: SessionState,
    drawn: tuple[Float[Array, "T B N"], Int32[Array, "T B N"]],
    settings: Settings,
    config: RepeatedQConfig,
) -> tuple[SessionState, Float[Array, "B N"]]:
    """`T` periods of all sessions with their chance given, and the mean payoffs a period.

    Args:
        payoffs: `[N, A, ..., A]`.
        state: before.
        drawn: uniform numbers that decide whether a player explores, and the actions that it then plays.
        settings: `step_size`, `decay` and `epsilon`.
        config: settings.
    """
    unit, random_action = drawn
    times = state.periods + jnp.arange(len(unit), dtype=jnp.int32)[:, None]
    forced = jnp.where(unit < exploration(times[..., None], settings), random_action, -1)
    period = jax.vmap(partial(_period, joint_table(payoffs), config))
    rows = jax.vmap(lambda q, history: q[history])(state.q, state.history)
    carry = state.q, state.history, state.stable, rows, greedy_actions(rows), jnp.zeros(rows.shape[:2], rows.dtype)
    carry, _ = jax.lax.scan(lambda c, x: (period(*c, x, settings["step_size"]), None), carry, forced)
    q, history, stable, _, _, earned = carry
    periods = state.periods + len(unit)
    return SessionState(q, history, periods, stable, state.key), earned / len(unit)


def _period(table, config: RepeatedQConfig, q, history, stable, rows, greedy, earned, forced, step_size):
    """One period of one session; the row of the history and its greedy actions are carried along."""
    n, num_actions = rows.shape
    action = jnp.where(forced < 0, greedy, forced)
    joint = jnp.sum(action * jnp.asarray(num_actions ** np.arange(n)[::-1], jnp.int32))
    older = history % num_actions ** (n * (config.memory - 1)) if config.memory > 1 else 0
    following = joint + num_actions**n * older
    reward, next_rows = table[joint], q[following]
    target = reward + config.discount * jnp.max(next_rows, axis=-1)
    new_rows = one_step_move(rows, action, target, step_size)
    new_greedy = greedy_actions(new_rows)
    stable = jnp.where(jnp.any(new_greedy != greedy), 0, stable + 1)
    q, again = q.at[history].set(new_rows), following == history
    rows = jnp.where(again, new_rows, next_rows)
    return q, following, stable, rows, jnp.where(again, new_greedy, greedy_actions(next_rows)), earned + reward

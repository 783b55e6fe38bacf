"""Independent Q-learning where two players move in turns and actions stand for two periods, many sessions at once.

The mover sees the other's standing action and keeps a value for each pair of that and its own. When it moves again it
knows what its last action earned in both periods, and updates

    Q(a_j, a_i) ← (1 - α) Q(a_j, a_i) + α [π(a_i, a_j) + δ π(a_i, a_j') + δ² max_a Q(a_j', a)]

where the other answered `a_i` by `a_j'`. It is the experiment of Klein, "Autonomous algorithmic collusion: Q-learning
under sequential pricing", RAND Journal of Economics 2021, on `SequentialPricing`. What learned reactions do is the
business of `reaction_play`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Integers, Uniform, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.policy import Policy
from jaxmarl.learners.base import Learner
from jaxmarl.learners.sessions import (
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


def sequential_q(
    payoffs: Float[Array, "2 A A"],
    step_size: Any = 0.3,
    decay: Any = 2.763e-5,
    config: SessionConfig | None = None,
    *,
    epsilon: Any = 1.0,
    num_sessions: int | None = None,
) -> Learner:
    """Two Q-learners that move in turns; sessions are independent, and may have their own settings.

    In period t a mover explores with probability `ε exp(-β t)`: it then plays a uniform action. Ties go to the lowest
    action. The default β brings that to 0.001 halfway through the 500 000 periods of the published study. A history is
    the last three actions, the oldest varying slowest. The learner's policy reads the observations of
    `SequentialPricing`; its params are reactions `[B, 2, A]` to the other's standing action.

    Args:
        payoffs: `[2, A, A]` of one period in which these actions stand, by the first and the second player's action.
        step_size: α: a scalar, `[B]`, or `[B, 2]`, one for each player.
        decay: β: likewise.
        config: settings; updates have an even number of periods.
        epsilon: ε: likewise.
        num_sessions: `B`, where no other argument tells it.

    Raises:
        ValueError: payoffs of another shape, numbers out of range, or updates of an odd number of periods.
    """
    config = config or SessionConfig()
    n, num_actions = check_payoffs(payoffs)
    require(n == 2, "payoffs", jnp.shape(payoffs), "of shape [2, A, A]")
    require(config.steps_per_update % 2 == 0, "steps_per_update", config.steps_per_update, "even")
    settings = session_settings(step_size, decay, epsilon, n, num_sessions)
    sessions = len(settings["epsilon"])

    def act(reactions, memory, obs, chance):
        return reactions[jnp.round(obs[0] * (num_actions - 1)).astype(jnp.int32)], memory

    return session_learner(
        initial_q(payoffs, config.discount),
        lambda state, drawn: play(payoffs, state, drawn, settings, config),
        repeat((Uniform((2,)), Integers(num_actions, (2,))), config.steps_per_update // 2, sessions),
        settings,
        config,
        num_states=num_actions,
        num_histories=num_actions**3,
        policy=Policy(lambda chance: (), act, name="sequential_q"),
    )


def play(
    payoffs: Float[Array, "2 A A"],
    state: SessionState,
    drawn: tuple[Float[Array, "R B 2"], Int32[Array, "R B 2"]],
    settings: Settings,
    config: SessionConfig,
) -> tuple[SessionState, Float[Array, "B 2"]]:
    """`R` rounds of two periods of all sessions with their chance given, and the mean payoffs a period.

    Args:
        payoffs: `[2, A, A]`.
        state: before; the first player moves.
        drawn: uniform numbers that decide whether the two movers explore, and the actions that they then play.
        settings: `step_size`, `decay` and `epsilon`.
        config: settings.
    """
    unit, random_action = drawn
    times = state.periods[:, None] + jnp.arange(2, dtype=jnp.int32)
    times = times + 2 * jnp.arange(len(unit), dtype=jnp.int32)[:, None, None]
    forced = jnp.where(unit < exploration(times, settings), random_action, -1)
    own_payoffs = jnp.stack([payoffs[0], payoffs[1].T])
    one_round = jax.vmap(partial(_round, own_payoffs, config.discount))
    m = payoffs.shape[-1]
    recent = tuple((state.history // m**k % m).astype(jnp.int32) for k in (2, 1, 0))
    carry = state.q, recent, state.stable, jnp.zeros((len(state.history), 2), state.q.dtype)
    carry, _ = jax.lax.scan(lambda c, x: (one_round(*c, x, settings["step_size"]), None), carry, forced)
    q, (third, second, last), stable, earned = carry
    history, periods = (third * m + second) * m + last, state.periods + 2 * len(unit)
    return SessionState(q, history, periods, stable, state.key), earned / (2 * len(unit))


def _round(own_payoffs, discount: float, q, recent, stable, earned, forced, step_size):
    """Two periods of one session: each player in turn learns from its last action, and then moves."""
    for player in (0, 1):
        mine, theirs = own_payoffs[player], own_payoffs[1 - player]
        faced, own, rival = recent
        row, ahead = q[faced, player], q[rival, player]
        target = mine[own, faced] + discount * (mine[own, rival] + discount * jnp.max(ahead))
        learned = one_step_move(row, own, target, step_size[player])
        stable = jnp.where(greedy_actions(learned) != greedy_actions(row), 0, stable + 1)
        q = q.at[faced, player].set(learned)
        greedy = greedy_actions(jnp.where(rival == faced, learned, ahead))
        action = jnp.where(forced[player] < 0, greedy, forced[player])
        recent = own, rival, action
        paid = jnp.stack([mine[action, rival], theirs[rival, action]])
        earned = earned + (paid if player == 0 else paid[::-1])
    return q, recent, stable, earned

"""Independent Q-learning in a repeated game with bounded memory, many sessions at once.

Every player keeps a table of action values for each history of the last `memory` joint actions, explores less and less,
and learns from what it alone earns. All players update at the same time, and only the visited cell of each changes. It
is the experiment of Calvano, Calzolari, Denicolò and Pastorello, "Artificial Intelligence, Algorithmic Pricing, and
Collusion", AER 2020; what the learned policies do is the business of `greedy_play`.

Histories are numbered `Σ_k A^(N k) Σ_i a_i A^(N-1-i)`, k periods ago, as `LogitPricing(layout="index")` shows them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Integers, Uniform, draw, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.learners.base import Learner, Metrics

MOST_CELLS = 2**31 - 1


@dataclass(frozen=True)
class RepeatedQConfig:
    """Settings of `repeated_q`; the defaults are those of the published study.

    Attributes:
        discount: δ, in [0, 1).
        memory: periods that make a history.
        stable_periods: a session is over once no player's greedy policy, counted over all histories, has changed for so
            many consecutive periods.
        steps_per_update: periods of one update, at whose end sessions stop that are over.
    """

    discount: float = 0.95
    memory: int = 1
    stable_periods: int = 100_000
    steps_per_update: int = 1000

    def __post_init__(self):
        require(0 <= self.discount < 1, "discount", self.discount, "in [0, 1)")
        require_int("memory", self.memory, 1)
        require_int("stable_periods", self.stable_periods, 1, 2**30)
        require_int("steps_per_update", self.steps_per_update, 1)


@struct.dataclass
class RepeatedQState:
    """State of `B` sessions.

    Attributes:
        q: `[B, S, N, A]`, action values.
        history: int32 `[B]`, number of the current history.
        periods: int32 `[B]`, periods played.
        stable: int32 `[B]`, consecutive periods without a change of a greedy policy.
        key: consumed by the next update.
    """

    q: Float[Array, "B S N A"]
    history: Int32[Array, " B"]
    periods: Int32[Array, " B"]
    stable: Int32[Array, " B"]
    key: Array


def joint_table(payoffs: Float[Array, "N *A"]) -> Float[Array, "joint N"]:
    """Payoffs `[N, A, ..., A]` as one row for each joint action, the first player's action varying slowest."""
    return jnp.reshape(payoffs, (payoffs.shape[0], -1)).T


def initial_q(payoffs: Float[Array, "N *A"], discount: float) -> Float[Array, "N A"]:
    """Discounted payoff of each action for ever, against others who play uniformly."""
    n = payoffs.shape[0]
    means = [jnp.mean(payoffs[i], axis=tuple(j for j in range(n) if j != i)) for i in range(n)]
    return jnp.stack(means) / (1 - discount)


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
    n, num_actions = _check_payoffs(payoffs)
    num_states = num_actions ** (n * config.memory)
    settings = _per_session({"step_size": step_size, "decay": decay, "epsilon": epsilon}, n, num_sessions)
    sessions = len(settings["epsilon"])
    fits = num_states * n * num_actions * sessions <= MOST_CELLS
    require(fits, "memory", config.memory, f"so short that the tables have at most {MOST_CELLS} cells")
    chance = repeat((Uniform((n,)), Integers(num_actions, (n,))), sessions)

    def init(key: Array) -> RepeatedQState:
        start, key = jax.random.split(key)
        q = jnp.broadcast_to(initial_q(payoffs, config.discount), (sessions, num_states, n, num_actions))
        history = jax.random.randint(start, (sessions,), 0, num_states, jnp.int32)
        return RepeatedQState(q, history, jnp.zeros(sessions, jnp.int32), jnp.zeros(sessions, jnp.int32), key)

    def update(state: RepeatedQState) -> tuple[RepeatedQState, Metrics]:
        key, chance_key = jax.random.split(state.key)
        drawn = draw(chance, chance_key, (config.steps_per_update,))
        after, earned = play(payoffs, state, drawn, settings, config)
        over = is_stable(state, config)

        def unless_over(old, new):
            return jnp.where(over.reshape(-1, *[1] * (old.ndim - 1)), old, new)

        state = RepeatedQState(
            q=unless_over(state.q, after.q),
            history=unless_over(state.history, after.history),
            periods=unless_over(state.periods, after.periods),
            stable=unless_over(state.stable, after.stable),
            key=key,
        )
        explored = _exploration(state.periods, settings)
        metrics = {
            "reward": jnp.mean(earned),
            "epsilon": jnp.mean(explored),
            "stable": jnp.mean(is_stable(state, config), dtype=jnp.float32),
        }
        return state, metrics

    return Learner(
        init=init,
        update=update,
        policy=Policy(lambda chance: (), lambda table, memory, obs, chance: (table[obs], memory), name="repeated_q"),
        params=lambda state: jnp.swapaxes(greedy_actions(state.q), 1, 2),
        steps_per_update=config.steps_per_update * sessions * n,
    )


def is_stable(state: RepeatedQState, config: RepeatedQConfig) -> Bool[Array, " B"]:
    """Which sessions are over."""
    return state.stable >= config.stable_periods


def greedy_actions(q: Float[Array, "*batch A"]) -> Int32[Array, "*batch"]:
    """The lowest of the best actions of each row (as two reductions, which compilers vectorise, unlike `argmax`)."""
    actions = jnp.arange(q.shape[-1], dtype=jnp.int32)
    return jnp.min(jnp.where(q == jnp.max(q, axis=-1, keepdims=True), actions, q.shape[-1]), axis=-1).astype(jnp.int32)


def play(
    payoffs: Float[Array, "N *A"],
    state: RepeatedQState,
    drawn: tuple[Float[Array, "T B N"], Int32[Array, "T B N"]],
    settings: dict[str, Float[Array, "B N"]],
    config: RepeatedQConfig,
) -> tuple[RepeatedQState, Float[Array, "B N"]]:
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
    explores = unit < jax.vmap(_exploration, (0, None))(times, settings)
    forced = jnp.where(explores, random_action, -1)
    period = jax.vmap(partial(_period, joint_table(payoffs), config))
    rows = jax.vmap(lambda q, history: q[history])(state.q, state.history)
    carry = state.q, state.history, state.stable, rows, greedy_actions(rows), jnp.zeros(rows.shape[:2], rows.dtype)
    carry, _ = jax.lax.scan(lambda c, x: (period(*c, x, settings["step_size"]), None), carry, forced)
    q, history, stable, _, _, earned = carry
    periods = state.periods + len(unit)
    return RepeatedQState(q, history, periods, stable, state.key), earned / len(unit)


def run_until_stable(
    learner: Learner,
    state: RepeatedQState,
    max_updates: int,
    *,
    updates_per_call: int = 50,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> RepeatedQState:
    """Updates until all sessions are over, or `max_updates` have been made (rounded up to whole calls).

    Args:
        learner: of `repeated_q`.
        state: consumed (its memory is reused).
        max_updates: updates at most.
        updates_per_call: updates compiled into one call, between which the host looks at the sessions.
        report: is told the updates made so far and the last metrics.
    """
    require_int("max_updates", max_updates, 0)
    require_int("updates_per_call", updates_per_call, 1)

    @partial(jax.jit, donate_argnums=0)
    def several(state):
        state, metrics = jax.lax.scan(lambda s, _: learner.update(s), state, length=updates_per_call)
        return state, jax.tree.map(lambda x: x[-1], metrics)

    for done in range(0, max_updates, updates_per_call):
        state, metrics = several(state)
        numbers = {name: float(x) for name, x in metrics.items()}
        if report is not None:
            report(done + updates_per_call, numbers)
        if numbers["stable"] == 1.0:
            break
    return state


def _period(table, config: RepeatedQConfig, q, history, stable, rows, greedy, earned, forced, step_size):
    """One period of one session; the row of the history and its greedy actions are carried along."""
    n, num_actions = rows.shape
    action = jnp.where(forced < 0, greedy, forced)
    joint = jnp.sum(action * jnp.asarray(num_actions ** np.arange(n)[::-1], jnp.int32))
    older = history % num_actions ** (n * (config.memory - 1)) if config.memory > 1 else 0
    following = joint + num_actions**n * older
    reward, next_rows = table[joint], q[following]
    target = reward + config.discount * jnp.max(next_rows, axis=-1)
    played = jnp.arange(num_actions, dtype=jnp.int32) == action[:, None]
    value = jnp.sum(jnp.where(played, rows, 0.0), axis=-1)
    new_rows = jnp.where(played, (value + step_size * (target - value))[:, None], rows)
    new_greedy = greedy_actions(new_rows)
    stable = jnp.where(jnp.any(new_greedy != greedy), 0, stable + 1)
    q, again = q.at[history].set(new_rows), following == history
    rows = jnp.where(again, new_rows, next_rows)
    return q, following, stable, rows, jnp.where(again, new_greedy, greedy_actions(next_rows)), earned + reward


def _exploration(periods: Int32[Array, " B"], settings: dict[str, Array]) -> Float[Array, "B N"]:
    return settings["epsilon"] * jnp.exp(-settings["decay"] * periods[:, None].astype(jnp.float32))


def _check_payoffs(payoffs: Array) -> tuple[int, int]:
    """Number of players and of actions."""
    shape = jnp.shape(payoffs)
    square = len(shape) >= 2 and len(shape) == shape[0] + 1 and len(set(shape[1:])) == 1
    require(square, "payoffs", shape, "of shape [N, A, ..., A], with as many axes of A actions as players")
    return shape[0], shape[1]


def _per_session(numbers: dict[str, Any], n: int, num_sessions: int | None) -> dict[str, Float[Array, "B N"]]:
    """The settings as float32 `[B, N]`."""
    arrays = {name: np.asarray(x, np.float64) for name, x in numbers.items()}
    lengths = {x.shape[0] for x in arrays.values() if x.ndim} | ({num_sessions} if num_sessions else set())
    require(len(lengths) == 1, "num_sessions", sorted(lengths) or num_sessions, "given, and the same for all settings")
    sessions = lengths.pop()
    require_int("num_sessions", sessions, 1)
    for name, x in arrays.items():
        require(
            x.shape in ((), (sessions,), (sessions, n)), name, x.shape, f"a scalar, [{sessions}] or [{sessions}, {n}]"
        )
        high = np.inf if name == "decay" else 1.0
        inside = bool((np.isfinite(x) & (x >= 0) & (x <= high)).all())
        require(inside, name, x.tolist(), "finite and at least 0" if name == "decay" else "in [0, 1]")
    spread = {name: x[:, None] if x.ndim == 1 else x for name, x in arrays.items()}
    return {name: jnp.asarray(np.broadcast_to(x, (sessions, n)), jnp.float32) for name, x in spread.items()}

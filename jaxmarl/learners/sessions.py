"""Many sessions of tabular learners at once: their settings, exploration that fades, and which sessions are over.

A session is one run of all players of a game, from the first period until no greedy policy has changed for long. It is
the unit of studies of algorithmic pricing, which report distributions over sessions; `repeated_q` and `sequential_q`
say what players learn in a period.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, draw
from jaxmarl.core.checks import require, require_int, with_field_types
from jaxmarl.core.policy import Policy
from jaxmarl.learners.base import Learner, Metrics

Settings: TypeAlias = dict[str, Float[Array, "B N"]]
MOST_CELLS = 2**31 - 1


@dataclass(frozen=True)
class SessionConfig:
    """When sessions end, and what the future is worth.

    Attributes:
        discount: δ, in [0, 1).
        stable_periods: a session is over once no player's greedy policy, counted over all states, has changed for so
            many consecutive periods.
        steps_per_update: periods of one update, at whose end sessions stop that are over.
    """

    discount: float = 0.95
    stable_periods: int = 100_000
    steps_per_update: int = 1000

    @with_field_types
    def __post_init__(self):
        require(0 <= self.discount < 1, "discount", self.discount, "in [0, 1)")
        require_int("stable_periods", self.stable_periods, 1, 2**30)
        require_int("steps_per_update", self.steps_per_update, 1)


@struct.dataclass
class SessionState:
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


def session_learner(
    first_q: Float[Array, "N A"],
    play: Callable[[SessionState, Chance], tuple[SessionState, Float[Array, "B N"]]],
    chance: ChanceSpec,
    settings: Settings,
    config: SessionConfig,
    *,
    num_states: int,
    num_histories: int,
    policy: Policy,
) -> Learner:
    """A learner of `B` sessions, each of which stops when it is over; its params are greedy policies `[B, N, S]`.

    Args:
        first_q: action values at the start, the same in every state.
        play: `(state, drawn) -> (state, mean payoffs a period)`: the periods of one update.
        chance: what `play` needs for one update.
        settings: `step_size`, `decay` and `epsilon`, each `[B, N]` (`session_settings`).
        config: settings that all sessions share.
        num_states: `S`, rows of a player's table.
        num_histories: numbers of histories, of which the first is uniform.
        policy: what is learned, for one player.

    Raises:
        ValueError: tables too large to be indexed.
    """
    (sessions, n), num_actions = settings["epsilon"].shape, first_q.shape[-1]
    cells = num_states * n * num_actions * sessions
    require(cells <= MOST_CELLS, "num_sessions", sessions, f"so few that tables have at most {MOST_CELLS} cells")

    def init(key: Array) -> SessionState:
        start, key = jax.random.split(key)
        q = jnp.broadcast_to(first_q, (sessions, num_states, n, num_actions))
        history = jax.random.randint(start, (sessions,), 0, num_histories, jnp.int32)
        return SessionState(q, history, jnp.zeros(sessions, jnp.int32), jnp.zeros(sessions, jnp.int32), key)

    def update(state: SessionState) -> tuple[SessionState, Metrics]:
        key, chance_key = jax.random.split(state.key)
        after, earned = play(state, draw(chance, chance_key))
        state = replace(_unless_over(is_stable(state, config), state, after), key=key)
        metrics = {
            "reward": jnp.mean(earned),
            "epsilon": jnp.mean(exploration(state.periods[:, None], settings)),
            "stable": jnp.mean(is_stable(state, config), dtype=jnp.float32),
        }
        return state, metrics

    return Learner(
        init=init,
        update=update,
        policy=policy,
        params=lambda state: jnp.swapaxes(greedy_actions(state.q), 1, 2),
        steps_per_update=config.steps_per_update * sessions * n,
    )


def is_stable(state: SessionState, config: SessionConfig) -> Bool[Array, " B"]:
    """Which sessions are over."""
    return state.stable >= config.stable_periods


def greedy_actions(q: Float[Array, "*batch A"]) -> Int32[Array, "*batch"]:
    """The lowest of the best actions of each row (as two reductions, which compilers vectorise, unlike `argmax`)."""
    actions = jnp.arange(q.shape[-1], dtype=jnp.int32)
    return jnp.min(jnp.where(q == jnp.max(q, axis=-1, keepdims=True), actions, q.shape[-1]), axis=-1).astype(jnp.int32)


def exploration(periods: Int32[Array, "*#batch"], settings: Settings) -> Float[Array, "*batch"]:
    """Probability `ε exp(-β t)` of exploring; `periods` broadcasts against the settings `[B, N]`."""
    return settings["epsilon"] * jnp.exp(-settings["decay"] * periods.astype(jnp.float32))


def one_step_move(
    row: Float[Array, "*batch A"], action: Int32[Array, "*batch"], target: Float[Array, "*batch"], step_size: Array
) -> Float[Array, "*batch A"]:
    """Rows of action values in which that of `action` has moved towards its target."""
    played = jnp.arange(row.shape[-1], dtype=jnp.int32) == action[..., None]
    value = jnp.sum(jnp.where(played, row, 0.0), axis=-1)
    return jnp.where(played, (value + step_size * (target - value))[..., None], row)


def initial_q(payoffs: Float[Array, "N *A"], discount: float) -> Float[Array, "N A"]:
    """Discounted payoff of each action for ever, against others who play uniformly."""
    n = payoffs.shape[0]
    means = [jnp.mean(payoffs[i], axis=tuple(j for j in range(n) if j != i)) for i in range(n)]
    return jnp.stack(means) / (1 - discount)


def run_until_stable(
    learner: Learner,
    state: SessionState,
    max_updates: int,
    *,
    updates_per_call: int = 50,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> SessionState:
    """Updates until all sessions are over, or `max_updates` have been made (rounded up to whole calls).

    Args:
        learner: of `repeated_q` or `sequential_q`.
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


def check_payoffs(payoffs: Array) -> tuple[int, int]:
    """Number of players and of actions; refuses payoffs of another shape than `[N, A, ..., A]`."""
    shape = jnp.shape(payoffs)
    square = len(shape) >= 2 and len(shape) == shape[0] + 1 and len(set(shape[1:])) == 1
    require(square, "payoffs", shape, "of shape [N, A, ..., A], with as many axes of A actions as players")
    return shape[0], shape[1]


def session_settings(step_size: Any, decay: Any, epsilon: Any, n: int, num_sessions: int | None) -> Settings:
    """The settings as float32 `[B, N]`; each is given as a scalar, `[B]` or `[B, N]`."""
    numbers = {"step_size": step_size, "decay": decay, "epsilon": epsilon}
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


def _unless_over(over: Bool[Array, " B"], old: SessionState, new: SessionState) -> SessionState:
    """The new state, and the old one of sessions that are over."""

    def choose(before, after):
        return jnp.where(over.reshape(-1, *[1] * (before.ndim - 1)), before, after)

    chosen = {name: choose(getattr(old, name), getattr(new, name)) for name in ("q", "history", "periods", "stable")}
    return replace(old, **chosen)

"""Experience replay: what was played, as n-step transitions drawn uniformly or by priority.

Storage and sampling are flashbax's trajectory buffers, one row an environment; what is added here is how n consecutive
steps become one transition: rewards are summed up to the first end of an episode, and the law of what follows is taken
from the observation after that, unless the game terminated there.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.rollout import Trajectory

_LEAST_PRIORITY = 1e-6


@struct.dataclass
class Step:
    """Steps as they are stored; leaves `[..., N, ...]`, but flags of ends, which all agents share, `[...]`.

    Attributes:
        obs: before the step; a `MaskedObs` where a learner needs to know what was legal.
        action: int32, or entries of a box.
        reward: of the step.
        next: observation after the step, in the same episode, with its legal actions.
        terminated: the game ended: nothing follows.
        done: the episode ended, by the game or a time limit.
    """

    obs: Any
    action: Array
    reward: Float[Array, "*steps num_agents"]
    next: MaskedObs
    terminated: Bool[Array, "*steps"]
    done: Bool[Array, "*steps"]


@struct.dataclass
class Transition:
    """Up to n steps as one: leaves `[batch, N, ...]`.

    Attributes:
        obs: before the first step, as it was stored.
        action: of the first step.
        reward: discounted sum of the steps' rewards.
        discount: of what follows: `span`, or 0 where the game terminated.
        span: `γ^m`, m the number of steps.
        next: observation after the last step, with its legal actions.
    """

    obs: Any
    action: Array
    reward: Float[Array, "*batch num_agents"]
    discount: Float[Array, "*batch num_agents"]
    span: Float[Array, "*batch num_agents"]
    next: MaskedObs


class Sample(NamedTuple):
    """A batch from the replay.

    Attributes:
        transition: leaves `[batch, N, ...]`.
        weight: `[batch]`, importance weights, at most 1 (all 1 in a uniform replay).
        indices: where the batch was stored; None in a uniform replay.
    """

    transition: Transition
    weight: Float[Array, " batch"]
    indices: Int32[Array, " batch"] | None


def steps_of(trajectory: Trajectory, last: Any, fixed_horizon: bool) -> Step:
    """What a roll-out stores, time first: `[T, B, N, ...]`.

    After a time limit that is no horizon every action counts as legal, as the environments do not say. Masks of actors
    that see none are one True.

    Args:
        trajectory: from `core.rollout`.
        last: observation after the last step.
        fixed_horizon: whether episodes end with roll-outs only.
    """
    lanes = trajectory.reward.shape
    seen, last = _masked(trajectory.obs, lanes), _masked(last, lanes[1:])
    after = jax.tree.map(lambda x, y: jnp.concatenate([x[1:], y[None]]), seen, last)
    done = trajectory.terminated | trajectory.truncated
    if not fixed_horizon:
        final = trajectory.info["final_observation"]
        ended = done.reshape(*done.shape, *(1 for _ in range(final.ndim - done.ndim)))
        after = MaskedObs(jnp.where(ended, final, after.obs), after.mask | done[..., None, None])
    return Step(seen.obs, trajectory.action, trajectory.reward, after, trajectory.terminated, done)


def _masked(seen: Any, lanes: tuple[int, ...]) -> MaskedObs:
    return seen if isinstance(seen, MaskedObs) else MaskedObs(seen, jnp.ones((*lanes, 1), bool))


def merge(steps: Step, discount: float) -> Transition:
    """Sequences of n consecutive steps `[batch, n, ...]` as transitions, cut at the first end of an episode."""
    length = steps.done.shape[1]
    ended_before = jnp.cumsum(steps.done, axis=1) - steps.done > 0
    powers = discount ** jnp.arange(length, dtype=steps.reward.dtype)
    reward = jnp.einsum("bt,btn->bn", jnp.where(ended_before, 0.0, powers), steps.reward)
    last = length - 1 - jnp.sum(ended_before, axis=1)

    def at_last(x: Array) -> Array:
        if length == 1:  # a gather is slow, and there is nothing to choose
            return x[:, 0]
        return jnp.take_along_axis(x, last.reshape(-1, *(1 for _ in x.shape[1:])), axis=1)[:, 0]

    span = jnp.broadcast_to((discount * powers[last])[:, None], reward.shape)
    follows = jnp.where(at_last(steps.terminated)[:, None], 0.0, span)
    obs = jax.tree.map(lambda x: x[:, 0], steps.obs)
    return Transition(obs, steps.action[:, 0], reward, follows, span, jax.tree.map(at_last, steps.next))


@dataclass(frozen=True)
class Replay:
    """A ring of the newest steps of each environment.

    Attributes:
        num_envs: B, rows.
        capacity: steps of all environments together.
        batch: transitions of a sample.
        n_step: n, steps merged into a transition.
        discount: γ.
        priority: exponent of priorities; 0 draws uniformly (Schaul et al. 2016).
        importance: exponent of the weights that correct for priorities.
    """

    num_envs: int
    capacity: int
    batch: int
    n_step: int = 1
    discount: float = 0.99
    priority: float = 0.0
    importance: float = 0.4

    def __post_init__(self):
        for name in ("num_envs", "capacity", "batch", "n_step"):
            require_int(name, getattr(self, name), 1)
        require(self.row > self.n_step, "capacity", self.capacity, f"above {self.num_envs} x {self.n_step} steps")
        for name in ("priority", "importance", "discount"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")

    @property
    def row(self) -> int:
        """Steps kept of each environment."""
        return self.capacity // self.num_envs

    @cached_property
    def _buffer(self) -> Any:
        import flashbax  # slow to import, and needed by learners with a replay only

        sizes = {
            "add_batch_size": self.num_envs,
            "sample_batch_size": self.batch,
            "sample_sequence_length": self.n_step,
            "period": 1,
            "min_length_time_axis": self.n_step,
            "max_length_time_axis": self.row,
        }
        if not self.priority:
            return flashbax.make_trajectory_buffer(**sizes)
        device = jax.default_backend()
        return flashbax.make_prioritised_trajectory_buffer(**sizes, priority_exponent=self.priority, device=device)

    def init(self, step: Step) -> PyTree:
        """An empty replay; `step` is one step of one environment, of which shapes and types are taken."""
        return self._buffer.init(step)

    def add(self, state: PyTree, steps: Step) -> PyTree:
        """With `[T, B, ...]` more steps; those of one environment must follow on from one call to the next."""
        return self._buffer.add(state, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), steps))

    def sample(self, state: PyTree, key: Array) -> Sample:
        """A batch; there must be n steps of each environment at least."""
        drawn = self._buffer.sample(state, key)
        transition = merge(drawn.experience, self.discount)
        if not self.priority:
            return Sample(transition, jnp.ones(self.batch), None)
        weight = jnp.maximum(drawn.probabilities, _LEAST_PRIORITY**2) ** -self.importance
        return Sample(transition, weight / jnp.max(weight), drawn.indices)

    def rank(self, state: PyTree, sample: Sample, losses: Float[Array, " batch"]) -> PyTree:
        """With the priorities of a sample set to its losses; nothing happens in a uniform replay."""
        if sample.indices is None:
            return state
        return self._buffer.set_priorities(state, sample.indices, jnp.maximum(losses, 0) + _LEAST_PRIORITY)


def merge_turns(steps: Step, discount: float) -> tuple[Transition, Bool[Array, "batch N"]]:
    """Sequences `[batch, n, ...]` as transitions from one own turn of an agent to its next, or to the episode's end.

    Args:
        steps: whose `obs` is a `MaskedObs`; it is an agent's turn where it has a choice.
        discount: γ, a step.

    Returns:
        Transitions, and which of them count: those that begin with the agent's turn and end within the n steps.
    """
    length = steps.done.shape[1]
    turn, again = (jnp.sum(seen.mask, axis=-1) > 1 for seen in (steps.obs, steps.next))
    stop = steps.done[..., None] | again
    past = jnp.cumsum(stop, axis=1) - stop > 0
    powers = discount ** jnp.arange(length, dtype=steps.reward.dtype)
    reward = jnp.einsum("btn,btn->bn", jnp.where(past, 0.0, powers[:, None]), steps.reward)
    last = jnp.minimum(jnp.sum(~past, axis=1), length) - 1

    def at_last(x: Array) -> Array:
        index = last.reshape(last.shape[0], 1, last.shape[1], *(1 for _ in x.shape[3:]))
        return jnp.take_along_axis(x, index, axis=1)[:, 0]

    terminated = jnp.broadcast_to(steps.terminated[..., None], stop.shape)
    span = discount * powers[last]
    follows = jnp.where(at_last(terminated), 0.0, span)
    first = jax.tree.map(lambda x: x[:, 0], steps.obs)
    merged = Transition(first, steps.action[:, 0], reward, follows, span, jax.tree.map(at_last, steps.next))
    return merged, turn[:, 0] & jnp.any(stop, axis=1)

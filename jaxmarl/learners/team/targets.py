"""Sequences of a team's steps, and what its values are regressed on."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.rollout import Trajectory
from jaxmarl.learners.team.config import TeamConfig
from jaxmarl.learners.team.network import TeamNetwork, legal
from jaxmarl.learners.value.heads import chosen
from jaxmarl.learners.value.pqn import lambda_returns
from jaxmarl.learners.value.replay import Replay, Sample, Step


@struct.dataclass
class TeamStep(Step):
    """Steps as they are stored; see `Step`.

    Attributes:
        mask: legal actions before the step.
        start: whether the step is the first of its episode.
        memory: of the actor before the step, `()` without one.
    """

    mask: Bool[Array, "*steps num_agents A"]
    start: Bool[Array, "*steps"]
    memory: PyTree


def team_steps(steps: Step, trajectory: Trajectory) -> TeamStep:
    """`steps` of a trajectory of `team_actor` with what a sequence needs besides."""
    return TeamStep(**vars(steps), mask=trajectory.obs.mask, start=trajectory.start, memory=trajectory.extras)


class SequenceReplay(Replay):
    """A replay that is drawn from in sequences of `n_step` consecutive steps, time first: leaves `[L, batch, ...]`."""

    def sample(self, state: PyTree, key: Array) -> Sample:
        # the merged transition is never computed: under jit, what nobody reads is dropped
        sequences = self._buffer.sample(state, key).experience
        drawn: Any = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), sequences)
        return super().sample(state, key)._replace(transition=drawn)


class Evaluation(NamedTuple):
    """What a batch of sequences is worth, by the networks and by what happened.

    Attributes:
        outputs: `[L, batch, N, A]`, values of the agents' actions.
        value: `[L, batch, M]`, of the actions taken: the team's (M = 1) or each agent's (M = N).
        target: `[L, batch, M]`, without gradient.
    """

    outputs: Float[Array, "L batch N A"]
    value: Float[Array, "L batch M"]
    target: Float[Array, "L batch M"]


def evaluate(network: TeamNetwork, config: TeamConfig, params: PyTree, target: PyTree, steps: TeamStep) -> Evaluation:
    """Values and targets of sequences of steps.

    What follows a step is valued from the memory after it and the observation that its own episode went on to, so that
    time limits are bootstrapped from whatever comes next in the sequence.

    Args:
        network: of the team.
        config: settings: `reward`, `discount`, `trace`, `double`.
        params: online ones.
        target: those of the target network.
        steps: time first, leaves `[L, batch, N, ...]`, flags `[L, batch]`; the memory before the first step counts.
    """
    memory = jax.tree.map(lambda x: x[0], steps.memory)
    start = jnp.broadcast_to(steps.start[..., None], steps.action.shape)
    memories, outputs = network.run(params, memory, steps.obs, start)
    old_memories, _ = network.run(target, memory, steps.obs, start)
    never, after = jnp.zeros_like(steps.start), steps.next
    _, following = network.step(target, old_memories, after.obs, never)
    judged = network.step(params, memories, after.obs, never)[1] if config.double else following
    best = jnp.argmax(legal(judged, after.mask), -1)
    next_value = network.mix(target, chosen(following, best), network.state_of(after.obs))
    value = network.mix(params, chosen(outputs, steps.action), network.state_of(steps.obs))
    reward = team_reward(steps.reward, config.reward)
    reward = jnp.broadcast_to(reward, next_value.shape)
    goal = bootstrapped(reward, next_value, steps.terminated, steps.done, config.discount, config.trace)
    return Evaluation(outputs, value, jax.lax.stop_gradient(goal))


def team_reward(reward: Float[Array, "*batch N"], kind: str) -> Float[Array, "*batch M"]:
    """The agents' own rewards (M = N), their sum or mean (M = 1)."""
    if kind == "own":
        return reward
    return (jnp.sum if kind == "sum" else jnp.mean)(reward, axis=-1, keepdims=True)


def bootstrapped(
    reward: Float[Array, "T *batch M"],
    next_value: Float[Array, "T *batch M"],
    terminated: Bool[Array, "T *batch"],
    done: Bool[Array, "T *batch"],
    discount: float,
    trace: float,
) -> Float[Array, "T *batch M"]:
    """λ-returns of consecutive steps `r + γ (λ G' + (1 - λ) V')`; at an episode's and the sequence's end `r + γ V'`.

    Args:
        reward: of each step.
        next_value: of what follows it in its own episode.
        terminated: nothing follows.
        done: the episode ended with the step.
        discount: γ.
        trace: λ.
    """
    if trace == 0:
        return reward + discount * jnp.where(terminated[..., None], 0.0, next_value)
    # in an episode, the value at a step is the one after the step before; elsewhere it is not read
    value = jnp.concatenate([jnp.zeros_like(next_value[:1]), next_value[:-1]])
    over, cut = (jnp.broadcast_to(x[..., None], value.shape) for x in (terminated, done & ~terminated))
    return lambda_returns(reward, value, next_value, over, cut, discount, trace)

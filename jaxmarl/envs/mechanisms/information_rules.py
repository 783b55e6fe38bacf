"""Agents who are paid to look: what plans of effort and report are worth to each, and to who decides on the reports."""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require

Number = Float[Array, "..."]


@struct.dataclass
class InformationProblem:
    """k agents choose one of b efforts, then each sees one of s signals of which of W states it is.

    Attributes:
        prior: `[W]`.
        signals: `[b] * k + [W] + [s] * k`, probability of each profile of signals, given efforts and the state.
        costs: `[k, b]`, of efforts.
        decisions: `[D, W]`, what each decision is worth to the principal in each state.
    """

    prior: Float[Array, " W"]
    signals: Number
    costs: Float[Array, "k b"]
    decisions: Float[Array, "D W"]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """`(k, b, W, s)`."""
        k, b = self.costs.shape[-2:]
        return k, b, self.prior.shape[-1], self.signals.shape[-1]


def independent_looks(accuracies: tuple[float, ...], costs: tuple[float, ...], num_agents: int) -> InformationProblem:
    """Two equally likely states; signals are right with the accuracy of the own effort, independently; guess the state.

    Args:
        accuracies: q of each effort.
        costs: of each effort, the same for all agents.
        num_agents: k.
    """
    right = np.asarray(accuracies, float)
    one = np.stack([np.stack([right, 1 - right], -1), np.stack([1 - right, right], -1)], axis=1)  # [b, W, s]
    signals = np.ones((1,) * num_agents + (2,) + (1,) * num_agents)
    for i in range(num_agents):
        shape = [1] * (2 * num_agents + 1)
        shape[i], shape[num_agents], shape[num_agents + 1 + i] = len(right), 2, 2
        signals = signals * one.reshape(shape)
    every = np.tile(np.asarray(costs, float), (num_agents, 1))
    numbers: list[Any] = [np.full(2, 0.5), signals, every, np.eye(2)]
    return InformationProblem(*numbers)


def reporting_maps(num_signals: int) -> np.ndarray:
    """`[s^s, s]`: what is reported for each signal, by every way of reporting; see `truthful_map`."""
    return np.array(list(itertools.product(range(num_signals), repeat=num_signals)), np.int32)


def truthful_map(num_signals: int) -> int:
    """The row of `reporting_maps` that reports every signal as it is."""
    return int(np.flatnonzero((reporting_maps(num_signals) == np.arange(num_signals)).all(axis=1))[0])


def best_decisions(problem: InformationProblem, efforts: Int32[Array, " k"]) -> tuple[Array, Array]:
    """Which decision `[s] * k` is best after each profile of true reports, given efforts, and what it is worth.

    Worth `[s] * k` is weighted by the probability of the reports: the sum is the principal's expected utility.
    """
    law = problem.signals[tuple(efforts)]  # [W, s, ...]
    worth = jnp.tensordot(problem.decisions * problem.prior, law, axes=1, precision="highest")
    return jnp.argmax(worth, axis=0).astype(jnp.int32), jnp.max(worth, axis=0)


def plan_utilities(problem: InformationProblem, payments: Number, plans: Int32[Array, " k"]) -> Float[Array, " k"]:
    """Expected payment minus cost of each agent, for plans `effort * s^s + map`, by summing over states and signals.

    Args:
        problem: not batched.
        payments: `[k] + [s] * k + [W]`, to each agent for the profile of reports and the state.
        plans: of all agents.
    """
    k, _, _, s = problem.sizes
    maps = reporting_maps(s)
    efforts, reports = plans // len(maps), jnp.asarray(maps)[plans % len(maps)]
    law = jnp.moveaxis(problem.signals[tuple(efforts)] * problem.prior.reshape(-1, *(1,) * k), 0, -1)
    index = tuple(reports[i].reshape([-1 if j == i else 1 for j in range(k)]) for i in range(k))
    paid = payments[(slice(None), *index)]  # [k, s, ..., W]
    return jnp.sum(paid * law, axis=tuple(range(1, k + 2))) - problem.costs[jnp.arange(k), efforts]


def validate_information(problem: InformationProblem) -> None:
    """Raises a one-line `ValueError` where a number of the problem is not allowed (on the host)."""
    prior, signals, costs = (np.asarray(x) for x in (problem.prior, problem.signals, problem.costs))
    k, b, num_states, s = problem.sizes
    shape = (b,) * k + (num_states,) + (s,) * k
    require(signals.shape[-len(shape) :] == shape, "signals", signals.shape, f"of shape {shape}")
    totals = signals.sum(axis=tuple(range(-k, 0)))
    proper = (signals >= 0).all() and np.allclose(totals, 1, atol=1e-4)
    require(bool(proper), "signals", "an array", "probabilities that add to 1 over profiles of signals")
    proper = (prior >= 0).all() and np.allclose(prior.sum(axis=-1), 1, atol=1e-4)
    require(bool(proper), "prior", prior.tolist(), "probabilities that add to 1")
    require(bool((np.isfinite(costs) & (costs >= 0)).all()), "costs", costs.tolist(), "at least 0 and finite")

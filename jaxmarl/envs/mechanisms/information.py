"""Agents hired to find something out, who choose how hard to look and what to say of it."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.mechanisms.contracts import drawn_outcome
from jaxmarl.envs.mechanisms.information_optimum import InformationMechanism, optimal_information
from jaxmarl.envs.mechanisms.information_rules import (
    InformationProblem,
    best_decisions,
    independent_looks,
    plan_utilities,
    reporting_maps,
    truthful_map,
    validate_information,
)
from jaxmarl.envs.mechanisms.truthfulness import misreport_gain


@struct.dataclass
class InformationParams:
    """Numbers of the market for information.

    Attributes:
        problem: states, signals, costs and decisions.
        recommended: int32 `[k]`, efforts that are asked for, on which the principal's decisions rely.
        payments: `[k] + [s] * k + [W]`, to each agent for the profile of reports and the state.
    """

    problem: InformationProblem
    recommended: Int32[Array, " k"]
    payments: Float[Array, "..."]


@struct.dataclass
class InformationState:
    """State of the market for information.

    Attributes:
        t: int32, rounds played.
        world: int32, the state that was revealed last, -1 before the first round.
    """

    t: Int32[Array, ""]
    world: Int32[Array, ""]


@register("information_acquisition")
@dataclass(frozen=True)
class InformationAcquisition(Environment[InformationState, InformationParams]):
    """Each round agents choose efforts, see signals of a hidden state, and report; they are paid when it is revealed.

    An action is a plan: an effort, and what to report on each signal, `effort * s^s + row of reporting_maps(s)`. The
    principal decides as is best if all did as recommended and told the truth. An agent earns its payment for the
    reports and the state, minus the cost of its effort. An observation is `[recommended effort, one-hot; the state
    revealed last, one-hot]`. Rounds do not depend on each other.

    `info`: `world`, `decision`, `utility` (of the principal, after payments), `payment` (to all).

    Attributes:
        num_agents: k.
        num_efforts: b.
        num_signals: s.
        num_worlds: W, states of the world.
        num_steps: rounds of an episode.
    """

    num_agents: int = 2
    num_efforts: int = 3
    num_signals: int = 2
    num_worlds: int = 2
    num_steps: int = 20

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1, 4)
        require_int("num_efforts", self.num_efforts, 1)
        require_int("num_signals", self.num_signals, 2, 4)
        require_int("num_worlds", self.num_worlds, 2)
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def num_maps(self) -> int:
        """Ways of reporting, s^s."""
        return self.num_signals**self.num_signals

    @property
    def default_params(self) -> InformationParams:
        """Accuracies from ½ to 0.9 (0.5, 0.7, 0.9) at costs `(q - ½)² / 2` (0, .02, .08), of which the second is asked
        for; 0.15 for reporting the state that it is. Only for two states and two signals.

        Raises:
            ValueError: other numbers of states or signals, for which params must be made.
        """
        two = self.num_signals == self.num_worlds == 2
        require(two, "num_worlds", (self.num_worlds, self.num_signals), "2, as num_signals, for default params")
        accuracies = np.linspace(0.5, 0.9, self.num_efforts)
        costs = (accuracies - 0.5) ** 2 / 2
        problem = independent_looks(tuple(accuracies), tuple(costs), self.num_agents)
        asked = jnp.full(self.num_agents, min(1, self.num_efforts - 1), jnp.int32)
        pay = np.full((self.num_agents,), 0.15)
        return InformationParams(_device(problem), asked, jnp.asarray(individual_pay(pay), float))

    def validate(self, params: InformationParams) -> None:
        validate_information(params.problem)
        payments, asked = np.asarray(params.payments), np.asarray(params.recommended)
        require(bool(np.isfinite(payments).all()), "payments", "an array", "finite")
        inside = bool(((asked >= 0) & (asked < self.num_efforts)).all())
        require(inside, "recommended", asked.tolist(), f"in [0, {self.num_efforts - 1}]")

    def action_space(self, params: InformationParams) -> Discrete:
        return Discrete(self.num_efforts * self.num_maps)

    def observation_space(self, params: InformationParams) -> Box:
        return Box(0.0, 1.0, (self.num_efforts + self.num_worlds,))

    @property
    def step_chance(self) -> ChanceSpec:
        """The state of the world, and the profile of signals."""
        return Uniform((2,))

    def initial(self, chance, params: InformationParams) -> InformationState:
        return InformationState(jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32))

    def transition(self, state: InformationState, action: Int32[Array, " k"], chance, params: InformationParams):
        problem, s = params.problem, self.num_signals
        efforts = action // self.num_maps
        world = drawn_outcome(problem.prior, chance[0])
        profile = drawn_outcome(problem.signals[(*efforts, world)].reshape(-1), chance[1])
        places = s ** np.arange(self.num_agents - 1, -1, -1)
        signals = profile // places % s
        maps = jnp.asarray(reporting_maps(s))[action % self.num_maps]
        reports = jnp.take_along_axis(maps, signals[:, None], axis=1)[:, 0]
        paid = params.payments[(slice(None), *reports, world)]
        decision = best_decisions(problem, params.recommended)[0][tuple(reports)]
        reward = paid - problem.costs[jnp.arange(self.num_agents), efforts]
        payment = jnp.sum(paid)
        info = {
            "world": world,
            "decision": decision,
            "utility": problem.decisions[decision, world] - payment,
            "payment": payment,
        }
        after = InformationState(state.t + 1, world)
        return after, reward.astype(jnp.float32), after.t >= self.num_steps, info

    def observe(self, state: InformationState, params: InformationParams) -> Float[Array, "k observed"]:
        asked = params.recommended[:, None] == jnp.arange(self.num_efforts)
        seen = jnp.broadcast_to(jnp.arange(self.num_worlds) == state.world, (self.num_agents, self.num_worlds))
        return jnp.concatenate([asked, seen], axis=1).astype(jnp.float32)

    def truthful(self, params: InformationParams) -> Policy:
        """Makes the effort that is asked for and reports what it sees."""
        honest = truthful_map(self.num_signals)

        def act(own, memory, obs, chance):
            effort = jnp.argmax(obs[: self.num_efforts]).astype(jnp.int32)
            return effort * self.num_maps + honest, memory

        return Policy(lambda chance: (), act, name="truthful")

    def optimal(self, params: InformationParams, margin: float = 0.0) -> InformationMechanism:
        """The best mechanism for the problem (on the host; see `optimal_information`)."""
        return optimal_information(params.problem, margin=margin)

    def misreport_gain(self, params: InformationParams) -> Float[Array, " k"]:
        """The most that each agent gains by another plan while the others obey and tell the truth."""
        truth = params.recommended * self.num_maps + truthful_map(self.num_signals)
        plans = jnp.arange(self.num_efforts * self.num_maps, dtype=jnp.int32)
        return misreport_gain(lambda plan: plan_utilities(params.problem, params.payments, plan), truth, plans)

    def benchmarks(self, params: InformationParams) -> dict[str, Any]:
        """`truthful` (policy), `truthful_utility` `[k]` of agents who follow it, `decision_utility`: of the principal
        who is told the truth, before payments.
        """
        truth = params.recommended * self.num_maps + truthful_map(self.num_signals)
        return {
            "truthful": self.truthful(params),
            "truthful_utility": np.asarray(plan_utilities(params.problem, params.payments, truth)),
            "decision_utility": float(jnp.sum(best_decisions(params.problem, params.recommended)[1])),
        }


def individual_pay(pay: Float[np.ndarray, " k"]) -> Float[np.ndarray, "..."]:
    """Payments `[k] + [2] * k + [2]` that give agent i `pay[i]` where it reports the state of two that it is."""
    k = len(pay)
    reports = np.moveaxis(np.indices((2,) * k), 0, 0)[..., None]
    return np.asarray(pay).reshape(-1, *(1,) * (k + 1)) * (reports == np.arange(2))


def _device(problem: InformationProblem) -> InformationProblem:
    return jax.tree.map(lambda x: jnp.asarray(x, float), problem)

"""Contracts posted round after round to an agent whose action stays hidden (Holmström 1979; Zhu et al. 2023)."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.mechanisms.contract_optimum import OptimalContract, optimal_contract
from jaxmarl.envs.mechanisms.contract_rules import (
    HiddenAction,
    agent_utilities,
    best_linear_contract,
    best_response,
    contract_utility,
    disobedience_gain,
    first_best,
    four_efforts,
    linear_grid,
    principal_utilities,
    random_hidden_action,
    validate_hidden_action,
)

AgentKind: TypeAlias = Literal["informed", "learning"]


@struct.dataclass
class ContractParams:
    """Numbers of repeated contracting.

    Attributes:
        problem: laws of outcomes, costs and rewards.
        exploration: ε of a learning agent, which tries a uniform action with this probability.
    """

    problem: HiddenAction
    exploration: Float[Array, ""]


@struct.dataclass
class ContractState:
    """State of repeated contracting.

    Attributes:
        t: int32, rounds played.
        contract: `[m]`, posted last; zeros before the first round.
        outcome: int32, of the last round; -1 before the first.
        counts: `[n, m]`, outcomes that a learning agent has seen of each action; `()` for an informed one.
    """

    t: Int32[Array, ""]
    contract: Float[Array, " m"]
    outcome: Int32[Array, ""]
    counts: Any


@register("hidden_action_contract")
@dataclass(frozen=True)
class HiddenActionContract(Environment[ContractState, ContractParams]):
    """A principal posts a contract each round; the agent acts, an outcome is drawn, and the contract pays for it.

    The principal is the only player: its action is a payment for each outcome, in `[0, max_payment]`, its reward
    `r - p` at the outcome, which it observes; the agent's action it does not. An `"informed"` agent takes the action
    that is best for itself (ties within 1e-6 to the principal's liking). A `"learning"` one knows its costs but not the
    laws of outcomes: it plays a best response to the outcomes it has counted (each once to begin with), or, with
    probability ε, any action. An observation is `[last outcome, one-hot; last contract / max_payment; t / T]`.

    `info`: `agent_action`, `outcome`, `agent_utility` (paid minus cost), `utility` (expected, of the principal, given
    the action), so that the regret of T rounds is `T * optimal(params).utility - sum(utility)`.

    Attributes:
        num_actions: n.
        num_outcomes: m.
        max_payment: B.
        num_steps: rounds of an episode.
        agent: `"informed"` or `"learning"`.
    """

    num_actions: int = 4
    num_outcomes: int = 3
    max_payment: float = 1.0
    num_steps: int = 100
    agent: str = "informed"

    num_agents = 1
    agent_names = ("principal",)

    def __post_init__(self):
        require_int("num_actions", self.num_actions, 1)
        require_int("num_outcomes", self.num_outcomes, 2)
        require(np.isfinite(self.max_payment) and self.max_payment > 0, "max_payment", self.max_payment, "positive")
        require_int("num_steps", self.num_steps, 1)
        require_choice("agent", self.agent, get_args(AgentKind))

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> ContractParams:
        """A problem of four actions with a known optimum, or a random one of another size."""
        return ContractParams(default_problem(self.num_actions, self.num_outcomes), jnp.full((), 0.1, float))

    def validate(self, params: ContractParams) -> None:
        validate_hidden_action(params.problem, self.num_actions, self.num_outcomes)
        exploration = np.asarray(params.exploration)
        inside = bool(((exploration >= 0) & (exploration <= 1)).all())
        require(inside, "exploration", exploration.tolist(), "in [0, 1]")

    def action_space(self, params: ContractParams) -> Box:
        return Box(0.0, self.max_payment, (self.num_outcomes,))

    def observation_space(self, params: ContractParams) -> Box:
        return Box(0.0, 1.0, (2 * self.num_outcomes + 1,))

    @property
    def step_chance(self) -> ChanceSpec:
        """The outcome, whether the agent explores, and what it then tries."""
        return Uniform((3,))

    def initial(self, chance, params: ContractParams) -> ContractState:
        m = self.num_outcomes
        counts = jnp.ones((self.num_actions, m), jnp.float32) if self.agent == "learning" else ()
        return ContractState(jnp.zeros((), jnp.int32), jnp.zeros(m, jnp.float32), jnp.full((), -1, jnp.int32), counts)

    def transition(self, state: ContractState, action: Float[Array, "1 m"], chance, params: ContractParams):
        problem, contract = params.problem, jnp.clip(action[0], 0.0, self.max_payment)
        chosen = self._agent(state.counts, contract, chance, params)
        outcome = drawn_outcome(problem.laws[chosen], chance[0])
        earned = (problem.rewards[outcome] - contract[outcome]).astype(jnp.float32)
        counts = state.counts
        if self.agent == "learning":
            counts = counts.at[chosen, outcome].add(1.0)
        after = ContractState(state.t + 1, contract.astype(jnp.float32), outcome, counts)
        info = {
            "agent_action": chosen,
            "outcome": outcome,
            "agent_utility": contract[outcome] - problem.costs[chosen],
            "utility": principal_utilities(problem, contract)[chosen],
        }
        return after, earned[None], after.t >= self.num_steps, info

    def _agent(self, counts: Any, contract: Array, chance: Array, params: ContractParams) -> Int32[Array, ""]:
        if self.agent == "informed":
            return best_response(params.problem, contract)
        believed = replace(params.problem, laws=counts / jnp.sum(counts, axis=1, keepdims=True))
        tried = jnp.minimum(chance[2] * self.num_actions, self.num_actions - 1).astype(jnp.int32)
        return jnp.where(chance[1] < params.exploration, tried, best_response(believed, contract))

    def observe(self, state: ContractState, params: ContractParams) -> Float[Array, "1 observed"]:
        seen = (jnp.arange(self.num_outcomes) == state.outcome).astype(jnp.float32)
        elapsed = jnp.minimum(state.t / self.num_steps, 1.0)
        parts = [seen, state.contract / self.max_payment, elapsed[None]]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts])[None]

    def optimal(self, params: ContractParams, margin: float = 0.0) -> OptimalContract:
        """The best contract with payments up to `max_payment` (on the host; see `optimal_contract`)."""
        return optimal_contract(params.problem, cap=self.max_payment, margin=margin)

    def misreport_gain(self, contract: Array, params: ContractParams) -> Float[Array, "*batch n"]:
        """What the agent gains by disobeying, for each action that the contract might recommend."""
        return disobedience_gain(params.problem, contract)

    def benchmarks(self, params: ContractParams) -> dict[str, Any]:
        """`first_best` (the largest welfare), `optimal_utility`, `linear_utility` and `linear_share` (the best linear
        contract, whatever the cap), `policy`: posts the optimal contract with a margin of 1e-4. On the host.
        """
        linear, posted = best_linear_contract(params.problem), self.optimal(params, margin=1e-4).contract
        policy = Policy(lambda chance: (), lambda own, memory, obs, chance: (jnp.asarray(posted, jnp.float32), memory))
        return {
            "first_best": float(first_best(params.problem)),
            "optimal_utility": self.optimal(params).utility,
            "linear_utility": float(linear.utility),
            "linear_share": float(linear.share),
            "policy": policy.named("optimal_contract"),
        }


def default_problem(num_actions: int, num_outcomes: int) -> HiddenAction:
    """`four_efforts` where it fits, or a random problem that depends on the sizes alone."""
    if (num_actions, num_outcomes) == (4, 3):
        return jax.tree.map(lambda x: jnp.asarray(x, float), four_efforts())
    return random_hidden_action(jax.random.key(0), num_actions, num_outcomes)


def drawn_outcome(law: Float[Array, " m"], unit: Float[Array, ""]) -> Int32[Array, ""]:
    """The outcome that a uniform number selects; never one of probability 0."""
    cumulative = jnp.cumsum(law)
    return jnp.sum(cumulative <= unit * cumulative[-1]).astype(jnp.int32)


@struct.dataclass
class ContractGameParams:
    """Numbers of the game.

    Attributes:
        problem: laws of outcomes, costs and rewards.
        menu: `[K, m]`, payments of the contracts that the principal chooses from.
    """

    problem: HiddenAction
    menu: Float[Array, "K m"]


@struct.dataclass
class ContractGameState:
    """State of the game.

    Attributes:
        t: int32, moves made; the principal moves where it is even.
        offered: int32, the contract that stands, -1 where none does.
        outcome: int32, of the last round; -1 before the first.
    """

    t: Int32[Array, ""]
    offered: Int32[Array, ""]
    outcome: Int32[Array, ""]


@register("contract_game")
@dataclass(frozen=True)
class ContractGame(Environment[ContractGameState, ContractGameParams]):
    """The principal offers a contract of a menu, the agent sees it and acts: two learners, in turns.

    A round is two steps: at even ones the principal's choice counts, at odd ones the agent's, which is when both are
    paid. Whoever does not move has the one legal action 0. An observation is `[1 if it is one's turn; the offer that
    stands, one-hot; the last outcome, one-hot]`; what the agent did is not in it.

    `info`: `agent_action` and `outcome` (-1 at the principal's moves), `utility` (expected, of the principal).

    Attributes:
        num_actions: n.
        num_outcomes: m.
        num_contracts: K.
        num_rounds: rounds of an episode.
    """

    num_actions: int = 4
    num_outcomes: int = 3
    num_contracts: int = 11
    num_rounds: int = 20

    num_agents = 2
    agent_names = ("principal", "agent")

    def __post_init__(self):
        require_int("num_actions", self.num_actions, 1)
        require_int("num_outcomes", self.num_outcomes, 2)
        require_int("num_contracts", self.num_contracts, 2)
        require_int("num_rounds", self.num_rounds, 1)

    @property
    def horizon(self) -> int:
        return 2 * self.num_rounds

    @property
    def default_params(self) -> ContractGameParams:
        """The problem of `hidden_action_contract`, and linear contracts with equally spaced shares."""
        problem = default_problem(self.num_actions, self.num_outcomes)
        menu = linear_grid(np.asarray(problem.rewards), self.num_contracts)
        return ContractGameParams(problem, jnp.asarray(menu, float))

    def validate(self, params: ContractGameParams) -> None:
        validate_hidden_action(params.problem, self.num_actions, self.num_outcomes)
        menu = np.asarray(params.menu)
        require(bool((np.isfinite(menu) & (menu >= 0)).all()), "menu", menu.tolist(), "at least 0 and finite")

    def action_space(self, params: ContractGameParams) -> Discrete:
        return Discrete(max(self.num_contracts, self.num_actions))

    def observation_space(self, params: ContractGameParams) -> Box:
        return Box(0.0, 1.0, (1 + self.num_contracts + self.num_outcomes,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform()

    def initial(self, chance, params: ContractGameParams) -> ContractGameState:
        return ContractGameState(jnp.zeros((), jnp.int32), *(jnp.full((), -1, jnp.int32) for _ in range(2)))

    def transition(self, state: ContractGameState, action: Int32[Array, " 2"], chance, params: ContractGameParams):
        principal_moves, problem = state.t % 2 == 0, params.problem
        chosen = jnp.clip(action[1], 0, self.num_actions - 1).astype(jnp.int32)
        contract = params.menu[jnp.maximum(state.offered, 0)]
        outcome = drawn_outcome(problem.laws[chosen], chance)
        paid = contract[outcome]
        rewards = jnp.stack([problem.rewards[outcome] - paid, paid - problem.costs[chosen]])
        offer = jnp.clip(action[0], 0, self.num_contracts - 1).astype(jnp.int32)
        after = ContractGameState(
            state.t + 1, jnp.where(principal_moves, offer, -1), jnp.where(principal_moves, state.outcome, outcome)
        )
        info = {
            "agent_action": jnp.where(principal_moves, -1, chosen),
            "outcome": jnp.where(principal_moves, -1, outcome),
            "utility": jnp.where(principal_moves, 0.0, principal_utilities(problem, contract)[chosen]),
        }
        reward = jnp.where(principal_moves, 0.0, rewards).astype(jnp.float32)
        return after, reward, after.t >= self.horizon, info

    def action_mask(self, state: ContractGameState, params: ContractGameParams) -> Bool[Array, "2 A"]:
        moves = state.t % 2 == jnp.arange(2)
        every = np.arange(self.action_space(params).n)
        legal = every < np.array([[self.num_contracts], [self.num_actions]])
        return jnp.where(moves[:, None], legal, every == 0)

    def observe(self, state: ContractGameState, params: ContractGameParams) -> Float[Array, "2 observed"]:
        moves = state.t % 2 == jnp.arange(2)
        seen = [jnp.arange(self.num_contracts) == state.offered, jnp.arange(self.num_outcomes) == state.outcome]
        common = jnp.broadcast_to(jnp.concatenate(seen), (2, self.num_contracts + self.num_outcomes))
        return jnp.concatenate([moves[:, None], common], axis=1).astype(jnp.float32)

    def truthful(self, params: ContractGameParams) -> Policy:
        """The agent's best response to the contract it sees; the policy's params are the game's."""

        def act(params, memory, obs, chance):
            offered = jnp.argmax(obs[1 : 1 + self.num_contracts])
            return jnp.where(obs[0] > 0, best_response(params.problem, params.menu[offered]), 0), memory

        return Policy(lambda chance: (), act, name="best_response")

    def optimal(self, params: ContractGameParams) -> dict[str, Any]:
        """The best contract of the menu: `offer`, its number, `utility` of the principal, `policy`, which offers it."""
        utilities = contract_utility(params.problem, params.menu)
        best = jnp.argmax(utilities).astype(jnp.int32)
        policy = Policy(lambda chance: (), lambda own, memory, obs, chance: (best * (obs[0] > 0), memory))
        return {"offer": int(best), "utility": float(utilities[best]), "policy": policy.named("best_offer")}

    def misreport_gain(self, params: ContractGameParams) -> Float[Array, "K n"]:
        """For each contract of the menu, what the agent loses by each action against its best."""
        return disobedience_gain(params.problem, params.menu)

    def benchmarks(self, params: ContractGameParams) -> dict[str, Any]:
        """`offer_utility`, of the best contract of the menu; `agent_utility`, of the agent under it; `offer` and
        `best_response`: policies of the principal and of the agent (whose params are the game's). On the host.
        """
        best = self.optimal(params)
        utilities = agent_utilities(params.problem, params.menu[best["offer"]])
        action = best_response(params.problem, params.menu[best["offer"]])
        known = {"offer_utility": best["utility"], "agent_utility": float(utilities[action])}
        return {**known, "offer": best["policy"], "best_response": self.truthful(params)}

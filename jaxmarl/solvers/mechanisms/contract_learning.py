"""Learning to contract with an agent whose actions, costs and laws of outcomes are unknown."""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.mechanisms.contract_optimum import optimal_contract
from jaxmarl.envs.mechanisms.contract_rules import TIE, HiddenAction, Numbers, best_response

_WHOLE = 1e-9


def ucb_contracts(
    problem: HiddenAction, contracts: Float[Numbers, "K m"], key: Array, num_rounds: int, *, alpha: float = 0.5
) -> Float[Array, " num_rounds"]:
    """Upper confidence bounds on a finite set of contracts (pure, jit-able): the principal's expected utility by round.

    A contract is an arm, its outcome's reward minus payment what it pays; indices are
    `mean + range * sqrt(alpha log t / pulls)`. With `linear_grid(rewards, ceil(T^(1/3)))` the regret against the best
    linear contract is of order T^(2/3); against the best contract it is linear wherever that one is not linear.

    Args:
        problem: that the agent knows; it responds as in the environment.
        contracts: the arms.
        key: consumed by this call.
        num_rounds: T.
        alpha: width of the bounds.
    """
    contracts = jnp.asarray(contracts, problem.laws.dtype)
    laws = problem.laws[best_response(problem, contracts)]
    gains = problem.rewards - contracts
    expected, spread = jnp.sum(laws * gains, axis=1), jnp.max(gains) - jnp.min(gains)
    cumulative = jnp.cumsum(laws, axis=1)
    num_arms = len(contracts)

    def play(carry, drawn):
        pulls, sums = carry
        t, unit = drawn
        width = spread * jnp.sqrt(alpha * jnp.log(t + 1.0) / jnp.maximum(pulls, 1))
        arm = jnp.argmax(jnp.where(pulls > 0, sums / jnp.maximum(pulls, 1) + width, jnp.inf))
        outcome = jnp.sum(cumulative[arm] <= unit * cumulative[arm, -1])
        return (pulls.at[arm].add(1.0), sums.at[arm].add(gains[arm, outcome])), expected[arm]

    start = jnp.zeros(num_arms, jnp.float32), jnp.zeros(num_arms, gains.dtype)
    units = jax.random.uniform(key, (num_rounds,))
    return jax.lax.scan(play, start, (jnp.arange(num_rounds), units))[1]


class DiscoveredContract(NamedTuple):
    """What `discover_and_cover` found and what it cost.

    Attributes:
        contract: `[m]`, the one that is posted in the end.
        laws: `[k, m]`, estimated laws of the meta-actions.
        costs: `[k]`, their estimated costs, minus that of what the agent does for nothing.
        exploration: rounds played before the last commitment.
        rounds: `[s]`, lengths of the stretches of rounds with one contract each; they sum to T.
        utilities: `[s]`, the principal's expected utility in a round of each stretch.
    """

    contract: Float[np.ndarray, " m"]
    laws: Float[np.ndarray, "k m"]
    costs: Float[np.ndarray, " k"]
    exploration: int
    rounds: Int[np.ndarray, " s"]
    utilities: Float[np.ndarray, " s"]

    def regret(self, optimum: float, at: Int[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
        """Rounds times the optimum minus what was earned in expectation, after each number of rounds in `at`."""
        ends = np.concatenate([[0], np.cumsum(self.rounds)])
        lost = np.concatenate([[0.0], np.cumsum(self.rounds * (optimum - self.utilities))])
        return np.interp(at, ends, lost)


class _OutOfRoundsError(Exception):
    """All rounds are played."""


class _Market:
    """The agent as a principal meets it: contracts in, counts of outcomes out; plays and records."""

    def __init__(self, problem: HiddenAction, num_rounds: int, rng: np.random.Generator):
        self.laws, self.costs, self.rewards = (
            np.asarray(x, float) for x in (problem.laws, problem.costs, problem.rewards)
        )
        self.rng, self.left = rng, num_rounds
        self.rounds: list[int] = []
        self.utilities: list[float] = []

    def post(self, contract: np.ndarray, times: int) -> np.ndarray:
        """Posts a contract for some rounds, or as many as are left; counts of outcomes."""
        times = min(times, self.left)
        if times == 0:
            raise _OutOfRoundsError
        utilities, mine = self.laws @ contract - self.costs, self.laws @ (self.rewards - contract)
        action = np.argmax(np.where(utilities >= utilities.max() - TIE, mine, -np.inf))
        self.left -= times
        self.rounds.append(times)
        self.utilities.append(float(mine[action]))
        law = np.maximum(self.laws[action], 0)
        return self.rng.multinomial(times, law / law.sum())


class _MetaActions:
    """Actions told apart by their laws of outcomes, and who prefers what under which contract."""

    def __init__(self, market: _Market, sample: int, tolerance: float):
        self.market, self.sample, self.tolerance = market, sample, tolerance
        self.counts: list[np.ndarray] = []
        self.seen: list[tuple[np.ndarray, int]] = []

    def law(self, index: int) -> np.ndarray:
        return self.counts[index] / self.counts[index].sum()

    def query(self, contract: np.ndarray) -> tuple[int, np.ndarray]:
        """The meta-action that a contract induces (a new one if it resembles none), and the outcomes of this query."""
        counts = self.market.post(contract, self.sample)
        observed = counts / counts.sum()
        distances = [np.abs(observed - self.law(d)).max() for d in range(len(self.counts))]
        index = int(np.argmin(distances)) if distances and min(distances) <= self.tolerance else len(self.counts)
        if index == len(self.counts):
            self.counts.append(np.zeros(counts.size))
        self.counts[index] = self.counts[index] + counts
        self.seen.append((contract, index))
        return index, counts

    def separate(self, steps: int) -> np.ndarray:
        """Costs of all meta-actions minus that of the first, by bisection between contracts that induce different ones.

        A tree grows from the first meta-action. A segment from a contract that induces one in the tree to one that
        induces another outside is halved until the two ends are close; where the agent switches it is indifferent, so
        that the difference of expected payments there is that of costs. What else is met on the way takes the place of
        an end, and new meta-actions are joined later.
        """
        costs = {0: 0.0}
        while len(costs) < len(self.counts):
            inside, outside = self._closest(set(costs))
            inner, outer = inside[1], outside[1]
            low, high = inside[0], outside[0]
            for _ in range(steps):
                middle = (low + high) / 2
                index, _ = self.query(middle)
                if index in costs:
                    low, inner = middle, index
                else:
                    high, outer = middle, index
            switch = (low + high) / 2
            costs[outer] = costs[inner] + float((self.law(outer) - self.law(inner)) @ switch)
        return np.array([costs[d] for d in range(len(self.counts))])

    def _closest(self, tree: set[int]) -> tuple[tuple[np.ndarray, int], tuple[np.ndarray, int]]:
        inside = [point for point in self.seen if point[1] in tree]
        outside = [point for point in self.seen if point[1] not in tree]
        return min(itertools.product(inside, outside), key=lambda pair: np.abs(pair[0][0] - pair[1][0]).sum())


def discover_and_cover(
    problem: HiddenAction,
    num_rounds: int,
    seed: int,
    *,
    cap: float = 1.0,
    accuracy: float | None = None,
    num_probes: int = 8,
) -> DiscoveredContract:
    """Finds the agent's actions by their outcomes, bounds the contracts that induce each, and posts the best one.

    After Bacchiocchi et al. (2023), with a simpler cover: each contract queried is posted often enough to know its law
    of outcomes within ε, laws within 2ε are one *meta-action*; switching points between contracts that induce
    different ones, found by bisection, give the differences of costs; linear programs on the estimates, with several
    margins, give candidates, which are tried once each. If a trial meets a new meta-action, all but the
    queries starts anew. The candidate (or probe) that earned most in its trial is posted to the end. On the host, in
    float64.

    Args:
        problem: known to the agent only; the principal knows the rewards and sees outcomes.
        num_rounds: T.
        seed: of outcomes and probes.
        cap: largest payment.
        accuracy: ε, `T^(-1/5)` where None.
        num_probes: random contracts queried at first, besides 0 and the largest payment for each single outcome.
    """
    require_int("num_rounds", num_rounds, 1)
    require_int("num_probes", num_probes, 0)
    require(cap > 0, "cap", cap, "positive")
    epsilon = num_rounds ** (-1 / 5) if accuracy is None else accuracy
    require(epsilon > 0, "accuracy", epsilon, "positive")
    rng = np.random.default_rng(seed)
    market = _Market(problem, num_rounds, rng)
    num_outcomes = market.rewards.size
    sample = math.ceil(math.log(2 * num_outcomes * num_rounds) / (2 * epsilon**2))
    found = _MetaActions(market, sample, 2 * epsilon)
    probes = [np.zeros(num_outcomes), *(cap * np.eye(num_outcomes)), *rng.uniform(0, cap, (num_probes, num_outcomes))]
    earned: list[tuple[float, np.ndarray]] = []
    costs = np.zeros(0)

    def attempt(contract: np.ndarray) -> None:
        _, counts = found.query(contract)
        earned.append((float(counts / counts.sum() @ (market.rewards - contract)), contract))

    try:
        for probe in probes:
            attempt(probe)
        known = 0
        while known < len(found.counts):
            costs = found.separate(max(1, math.ceil(math.log2(cap / epsilon)) + 2))
            known = len(found.counts)
            for contract in _candidates(found, costs, market.rewards, cap, epsilon):
                attempt(contract)
        exploration = num_rounds - market.left
        market.post(max(earned, key=lambda pair: pair[0])[1], market.left)
    except _OutOfRoundsError:
        exploration = num_rounds
    best = max(earned, key=lambda pair: pair[0])[1]
    laws = np.array([found.law(d) for d in range(len(found.counts))])
    return DiscoveredContract(best, laws, costs, exploration, np.array(market.rounds), np.array(market.utilities))


def _candidates(
    found: _MetaActions, costs: np.ndarray, rewards: np.ndarray, cap: float, epsilon: float
) -> list[np.ndarray]:
    """Optimal contracts of the estimated problem with margins, and the same mixed with the reward itself."""
    laws = np.array([found.law(d) for d in range(len(found.counts))])
    numbers: list[Any] = [laws, costs, rewards]
    estimate = HiddenAction(*numbers)
    contracts: list[np.ndarray] = []
    for margin in (0.0, epsilon / 8, epsilon / 4, epsilon / 2, epsilon):
        try:
            contract = optimal_contract(estimate, cap=cap, margin=margin).contract
        except ValueError:  # the margin is too large for every action
            continue
        # a share of the reward turns almost obeying into obeying
        share = math.sqrt(margin)
        for mixed in (contract, (1 - share) * contract + share * np.clip(rewards, 0, cap)):
            if all(np.abs(mixed - other).max() > _WHOLE for other in contracts):
                contracts.append(mixed)
    return contracts

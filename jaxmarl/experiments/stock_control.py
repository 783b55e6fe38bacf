"""Learners of returns with a stock, on finite processes whose optimum is known: what play is worth, exactly.

Laws of what a learned policy plays are computed from the process, not estimated, so that nothing is left to chance but
what was learned.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.vector import VectorEnv
from jaxmarl.distributional import (
    Categorical,
    StockSolution,
    TabularMDP,
    Utility,
    cvar,
    cvar_from_solution,
    linear,
    stock_laws,
    stock_value_iteration,
)
from jaxmarl.learners.base import Learner
from jaxmarl.learners.value import CategoricalHead, StockHead, StockParams, ValueConfig, WithStock
from jaxmarl.learners.value.stock import returns_by_stock, stock_q, tail_start
from jaxmarl.testing.probes import decisions, slippery_cliff, two_steps

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)


class Process(NamedTuple):
    """A finite process of whole-numbered rewards, and where its returns and useful stocks lie.

    Attributes:
        mdp: the process.
        num_steps: of an episode.
        first: state where episodes start.
        stocks: least and largest first stock.
        returns: least and largest return, from any state.
        agent_steps: of training.
        gradient_steps: for each round of 256 agent steps.
    """

    mdp: TabularMDP
    num_steps: int
    first: int
    stocks: tuple[int, int]
    returns: tuple[int, int]
    agent_steps: int
    gradient_steps: int


def processes() -> dict[str, Process]:
    """Two steps of bets, and twelve beside a cliff; see `testing.probes`."""
    return {
        "two steps": Process(two_steps(), 2, 0, (-26, 2), (-2, 26), 64_000, 12),
        "slippery cliff": Process(slippery_cliff(), 12, 8, (-10, 12), (-18, 9), 640_000, 12),
    }


class Attained(NamedTuple):
    """What a learned policy attains of one objective.

    Attributes:
        aim: level of the tail, or target.
        stock: it starts with.
        value: exactly, of the learned policy from that stock.
        optimum: over all policies.
        neutral: of the policy of the best mean.
    """

    aim: float
    stock: float
    value: float
    optimum: float
    neutral: float

    @property
    def share(self) -> float:
        """Of the way from the risk-neutral policy to the optimum; of the optimum's size where that way is no way."""
        way = self.optimum - self.neutral
        return 1 - (self.optimum - self.value) / (way if way > 0.01 * abs(self.optimum) else abs(self.optimum))


class StockControl:
    """Training and exact judgement of learners that maximise `E f(c + G)` in a process.

    Args:
        process: the process.
        utility: f.
        num_envs: instances played side by side.
    """

    def __init__(self, process: Process, utility: Utility, num_envs: int = 64) -> None:
        low, high = process.stocks
        self.process, self.utility = process, utility
        self.env = WithStock(decisions(process.mdp, process.num_steps, process.first), float(low), float(high))
        self.params = StockParams(process.mdp, jnp.float32(low), jnp.float32(high))
        lowest, highest = process.returns
        laws = CategoricalHead(float(lowest), float(highest), highest - lowest + 1)
        head = StockHead(laws, float(low), float(high), high - low + 1, on_knots=True)
        self.config = ValueConfig(
            hidden=(128, 128),
            collect=256 // num_envs,
            gradient_steps=process.gradient_steps,
            rounds=25,
            batch=256,
            capacity=process.agent_steps,
            warmup=2000,
            discount=1.0,
            learning_rate=2e-3,
            anneal_steps=process.agent_steps,
            target_every=1,
            target_rate=0.01,
            epsilon_end=0.5,
            epsilon_steps=process.agent_steps // 4,
        )
        self.learner: Learner = stock_q(VectorEnv(self.env, num_envs), utility, self.config, self.params, head=head)

    @cached_property
    def run(self):
        """Key to the parameters of a trained network."""
        updates = self.process.agent_steps // self.learner.steps_per_update

        def train(key: Array) -> PyTree:
            state, _ = jax.lax.scan(lambda s, _: self.learner.update(s), self.learner.init(key), length=updates)
            return self.learner.params(state)

        return jax.jit(train)

    @property
    def grid(self) -> Float[Array, " C"]:
        """Stocks that first ones lead to."""
        low, high = self.process.stocks
        lowest, highest = self.process.returns
        return jnp.arange(low + min(lowest, 0), high + max(highest, 0) + 1.0)

    @property
    def first_stocks(self) -> Float[Array, " C"]:
        """All first stocks."""
        low, high = self.process.stocks
        return jnp.arange(low, high + 1.0)

    @cached_property
    def exact(self) -> StockSolution:
        """The optimum."""
        return stock_value_iteration(self.process.mdp, self.utility, self.grid, self.process.num_steps)

    @cached_property
    def neutral(self) -> Categorical:
        """The law of the policy of the best mean."""
        process = self.process
        policy = stock_value_iteration(process.mdp, linear(), self.grid, process.num_steps).policy
        laws = self.laws(policy)
        return replace(laws, probs=laws.probs[0])

    def laws(self, policy: Int[Array, "T S C"]) -> Categorical:
        """`[C, K]`: exact laws of the return from each stock of the grid."""
        process = self.process
        atoms = jnp.arange(process.returns[0], process.returns[1] + 1.0)
        found = stock_laws(process.mdp, policy, self.grid, atoms)
        return replace(found, probs=found.probs[process.first])

    @cached_property
    def judge(self):
        """Parameters of a network to `laws` of what it plays."""
        process, grid = self.process, self.grid
        sizes = process.num_steps, process.mdp.num_states, grid.size
        parts = (
            jnp.eye(process.mdp.num_states)[None, :, None],
            jnp.eye(process.num_steps)[:, None, None],
            grid[None, None, :, None],
        )
        seen = jnp.concatenate([jnp.broadcast_to(part, (*sizes, part.shape[-1])) for part in parts], -1)
        mask = jnp.ones((*sizes, process.mdp.num_actions), bool)
        return jax.jit(lambda params: self.laws(self.learner.policy.act(params, (), MaskedObs(seen, mask), None)[0]))

    def tails(self, params: PyTree, key: Array, levels: Iterable[float] = LEVELS) -> list[Attained]:
        """Conditional values at risk from the stocks that simulated returns choose; the utility must be `shortfall`."""
        laws, returns = self.judge(params), self.simulate(params, key)
        rows = []
        for level in levels:
            begin = tail_start(self.first_stocks, returns, level)
            law = self._from(laws, begin.stock)
            optimum = cvar_from_solution(self.exact, level, self.process.first).value
            numbers = begin.stock, cvar(law, level), optimum, cvar(self.neutral, level)
            rows.append(Attained(level, *(float(x) for x in numbers)))
        return rows

    @cached_property
    def simulate(self):
        """(params, key) to simulated returns `[C, episodes]` from each first stock.

        As many as it takes to tell stocks by the mean of a twentieth of them: the best of noisy estimates is no best.
        """
        env = VectorEnv(self.env, 16_000)

        def play(params: PyTree, key: Array) -> Array:
            steps = self.process.num_steps
            return returns_by_stock(env, self.learner.policy, params, self.first_stocks, key, steps, self.params)[
                ..., 0
            ]

        return jax.jit(play)

    def utilities(self, params: PyTree, stocks: Iterable[float]) -> list[Attained]:
        """Expected utilities from given first stocks; the aim is minus the stock."""
        laws, rows = self.judge(params), []
        for stock in stocks:
            optimum = float(self.exact.value(self.process.first, stock))
            values = (float(self._worth(law, stock)) for law in (self._from(laws, stock), self.neutral))
            value, neutral = values
            rows.append(Attained(-stock, stock, value, optimum, neutral))
        return rows

    def _worth(self, law: Categorical, stock: float) -> Array:
        return jnp.sum(law.probs * self.utility.function(law.atoms + stock))

    def _from(self, laws: Categorical, stock: float | Array) -> Categorical:
        return replace(laws, probs=laws.probs[np.searchsorted(np.asarray(self.grid), float(stock))])

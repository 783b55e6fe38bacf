"""Income taxation as a game of two levels: a planner sets marginal rates, workers choose hours (Mirrlees 1971)."""

from dataclasses import dataclass
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.macro.gb2 import IncomeLaw
from jaxmarl.envs.macro.tax_optimum import optimal_linear_rate, optimal_rates, respond, saez_schedule
from jaxmarl.envs.macro.tax_rules import (
    THREE_THRESHOLDS,
    US_THRESHOLDS,
    Objective,
    TaxEconomy,
    TaxOutcome,
    best_hours,
    income_gini,
    marginal_rate,
    mimicking_gain,
    tax_outcome,
    validate_economy,
    welfare,
)

BRACKETS = {1: (0.0,), 3: THREE_THRESHOLDS, 7: US_THRESHOLDS}


def default_economy(num_workers: int, num_brackets: int) -> TaxEconomy:
    """Workers with the skills of `IncomeLaw` over 40 hours, in thousands of dollars; the median one works 40 hours at a
    rate of 12 %. A planner with logarithmic utility.
    """
    thresholds = BRACKETS.get(num_brackets, tuple(np.linspace(0, 200, num_brackets + 1)[:-1]))
    numbers = {"effort_cost": 2.367e-5, "effort_power": 3.5, "max_hours": 100.0, "aversion": 1.0, "floor": 1e-3}
    return TaxEconomy(
        skills=jnp.asarray(IncomeLaw().even(num_workers) / 40, float),
        thresholds=jnp.asarray(thresholds, float),
        **{name: jnp.full((), value, float) for name, value in numbers.items()},
    )


def _measured(economy: TaxEconomy, outcome: TaxOutcome, ascending: Array, worth: Array) -> dict[str, Array]:
    """What a planner sees of a year; incomes over those of the mean skill in the longest hours."""
    unit = jnp.mean(economy.skills) * economy.max_hours
    n = ascending.shape[0]
    return {
        "mean_income": jnp.mean(ascending) / unit,
        "income_spread": jnp.std(ascending) / unit,
        "median_income": (ascending[(n - 1) // 2] + ascending[n // 2]) / (2 * unit),
        "gini": income_gini(ascending),
        "mean_hours": jnp.mean(outcome.hours) / economy.max_hours,
        "welfare": worth,
    }


@struct.dataclass
class IncomeTaxState:
    """State of the planner's problem.

    Attributes:
        t: int32, years.
        rates: `[K]`, of the last year; zeros before the first.
        seen: `[6]`, of the last year: mean, spread and median of incomes, their Gini coefficient, mean hours, welfare.
    """

    t: Int32[Array, ""]
    rates: Float[Array, " K"]
    seen: Float[Array, " 6"]


@register("income_tax")
@dataclass(frozen=True)
class IncomeTax(Environment[IncomeTaxState, TaxEconomy]):
    """A planner sets a marginal rate for each bracket of income; all workers respond at once in their own best way.

    Revenue is shared out equally. The reward is welfare (`tax_rules.welfare`): under `"crra"` the income for everybody
    that would be worth as much, in thousands. An observation is `[mean, standard deviation and median of incomes over
    those of the mean skill in the longest hours; their Gini coefficient; mean hours over the longest; welfare; rates]`
    of the last year. A year takes memory of a few numbers a worker, so that a million workers are one step.

    `info`: the first six entries of the observation, and `revenue`, the mean tax.

    Attributes:
        num_workers: N.
        num_brackets: K; 3 and 7 are those of `tax_rules`, other ones are even up to 200 thousand.
        num_years: of an episode.
        objective: `"crra"`, `"inverse_income"` or `"rawls"`.
    """

    num_workers: int = 200
    num_brackets: int = 3
    num_years: int = 16
    objective: str = "crra"

    num_agents = 1
    agent_names = ("planner",)
    deterministic = True

    def __post_init__(self):
        _check(self)

    @property
    def horizon(self) -> int:
        return self.num_years

    @property
    def default_params(self) -> TaxEconomy:
        return default_economy(self.num_workers, self.num_brackets)

    def validate(self, params: TaxEconomy) -> None:
        validate_economy(params)

    def action_space(self, params: TaxEconomy) -> Box:
        return Box(0.0, 1.0, (self.num_brackets,))

    def observation_space(self, params: TaxEconomy) -> Box:
        return Box(-np.inf, np.inf, (6 + self.num_brackets,))

    def initial(self, chance, params: TaxEconomy) -> IncomeTaxState:
        rates = jnp.zeros(self.num_brackets, jnp.float32)
        return IncomeTaxState(jnp.zeros((), jnp.int32), rates, jnp.zeros(6, jnp.float32))

    def transition(self, state: IncomeTaxState, action: Float[Array, "1 K"], chance, params: TaxEconomy):
        rates = jnp.clip(action[0], 0.0, 1.0)
        outcome = respond(params, rates.astype(params.skills.dtype))
        # incomes never fall in skill, so that nothing has to be sorted
        info = _measured(params, outcome, outcome.incomes, welfare(params, outcome, self.objective))
        seen = jnp.stack(list(info.values())).astype(jnp.float32)
        after = IncomeTaxState(state.t + 1, rates.astype(jnp.float32), seen)
        reward = info["welfare"].astype(jnp.float32)
        return after, reward[None], after.t >= self.num_years, {**info, "revenue": outcome.rebate}

    def observe(self, state: IncomeTaxState, params: TaxEconomy) -> Float[Array, "1 observed"]:
        return jnp.concatenate([state.seen, state.rates])[None]

    def optimal(self, params: TaxEconomy) -> dict[str, Any]:
        """The best rates by direct search: `rates` `[K]`, `welfare`."""
        found = jax.jit(lambda economy: optimal_rates(economy, self.objective))(params)
        return {"rates": np.asarray(found.rates), "welfare": float(found.welfare)}

    def truthful(self, rates: Float[Array, " K"], params: TaxEconomy) -> Float[Array, " N"]:
        """What each worker earns where the income meant for it is its own best choice."""
        return respond(params, rates).incomes

    def misreport_gain(self, rates: Float[Array, " K"], params: TaxEconomy) -> Float[Array, "N N"]:
        """What worker i gains by earning what is meant for j: as a direct mechanism, by reporting j's skill.

        Never positive, whatever the rates: who faces a tax and chooses has nothing to hide. Minus infinity where i
        cannot earn so much.
        """
        return mimicking_gain(params, respond(params, rates))

    def benchmarks(self, params: TaxEconomy) -> dict[str, Any]:
        """`untaxed`, `linear`, `saez` and `optimal` welfare (of no tax, of the best single rate by Saez's condition, of
        his conditions for brackets, and of the best rates by search), `saez_rates`, `optimal_rates`, and `policy`,
        which sets the best rates.
        """

        @jax.jit
        def known(economy):
            saez = saez_schedule(economy, self.objective)
            linear = optimal_linear_rate(economy, self.objective)
            flat = jnp.stack([jnp.zeros_like(linear), linear])[:, None] * jnp.ones_like(economy.thresholds)
            worth = [welfare(economy, respond(economy, rates), self.objective) for rates in flat]
            return saez, optimal_rates(economy, self.objective), worth

        saez, best, (untaxed, linear) = known(params)
        rates = best.rates.astype(jnp.float32)
        policy = Policy(lambda chance: (), lambda own, memory, obs, chance: (rates, memory))
        values = {"untaxed": untaxed, "linear": linear, "saez": saez.welfare, "optimal": best.welfare}
        return {
            **{name: float(value) for name, value in values.items()},
            "saez_rates": np.asarray(saez.rates),
            "optimal_rates": np.asarray(best.rates),
            "policy": policy.named("optimal_rates"),
        }


def _check(env: Any) -> None:
    require_int("num_workers", env.num_workers, 2)
    require_int("num_brackets", env.num_brackets, 1)
    require_int("num_years", env.num_years, 1)
    require_choice("objective", env.objective, get_args(Objective))


@struct.dataclass
class TaxGameParams:
    """Numbers of the game.

    Attributes:
        economy: the workers and their brackets.
        regard: `[N]`, 0 where a worker minds its own utility, 1 where it minds the mean of all, -1 where it minds the
            mean of all with the sign reversed.
    """

    economy: TaxEconomy
    regard: Float[Array, " N"]


@struct.dataclass
class TaxGameState:
    """State of the game.

    Attributes:
        t: int32, steps.
        rates: `[K]`, in force; zeros before the first step.
        hours: `[N]`, of the last step; zeros before the first.
    """

    t: Int32[Array, ""]
    rates: Float[Array, " K"]
    hours: Float[Array, " N"]


@register("income_tax_game")
@dataclass(frozen=True)
class IncomeTaxGame(Environment[TaxGameState, TaxGameParams]):
    """The planner and every worker are agents: rates last for a tax year, hours are chosen at each of its steps.

    The first agent is the planner, unless workers vote. An action is `[hours over the longest; a rate for each
    bracket]`, of which a worker's first entry counts and the planner's others, at the first step of a year. Where
    workers vote, the median of their proposals is in force. The planner earns welfare, a worker its utility (or, by
    `regard`, what it minds). With one step a year this is `income_tax` in which workers have to learn.

    An observation is `[1 for the planner; share of the year that is over; own skill over the mean; own income, own
    hours and own marginal rate; rebate; mean, spread and median of incomes, their Gini coefficient, mean hours and
    welfare, which only the planner sees; rates]`, money over the income of the mean skill in the longest hours.

    `info`: `welfare`, `rebate`, `mean_income`, `gini`, `mean_hours` (over the longest), and `regret`, how much utility
    the workers miss on average against their best response to the rates.

    Attributes:
        num_workers: N.
        num_brackets: K.
        num_years: of an episode.
        steps_per_year: between two settings of rates.
        objective: `"crra"`, `"inverse_income"` or `"rawls"`.
        voting: whether workers set the rates by the median of their proposals.
    """

    num_workers: int = 8
    num_brackets: int = 3
    num_years: int = 4
    steps_per_year: int = 25
    objective: str = "crra"
    voting: bool = False

    def __post_init__(self):
        _check(self)
        require_int("steps_per_year", self.steps_per_year, 1)

    @property
    def num_agents(self) -> int:
        return self.num_workers + (not self.voting)

    @property
    def agent_names(self) -> tuple[str, ...]:
        workers = tuple(f"worker_{i}" for i in range(self.num_workers))
        return workers if self.voting else ("planner", *workers)

    @property
    def horizon(self) -> int:
        return self.num_years * self.steps_per_year

    @property
    def deterministic(self) -> bool:
        return True

    @property
    def default_params(self) -> TaxGameParams:
        return TaxGameParams(default_economy(self.num_workers, self.num_brackets), jnp.zeros(self.num_workers, float))

    def validate(self, params: TaxGameParams) -> None:
        validate_economy(params.economy)
        regard = np.asarray(params.regard)
        require(bool(np.isin(regard, (-1, 0, 1)).all()), "regard", regard.tolist(), "-1, 0 or 1")

    def action_space(self, params: TaxGameParams) -> Box:
        return Box(0.0, 1.0, (1 + self.num_brackets,))

    def observation_space(self, params: TaxGameParams) -> Box:
        return Box(-np.inf, np.inf, (13 + self.num_brackets,))

    def initial(self, chance, params: TaxGameParams) -> TaxGameState:
        sizes = self.num_brackets, self.num_workers
        return TaxGameState(jnp.zeros((), jnp.int32), *(jnp.zeros(size, jnp.float32) for size in sizes))

    def transition(self, state: TaxGameState, action: Float[Array, "num_agents entries"], chance, params):
        economy, dtype = params.economy, params.economy.skills.dtype
        action = jnp.clip(action, 0.0, 1.0)
        proposed = jnp.median(action[:, 1:], axis=0) if self.voting else action[0, 1:]
        rates = jnp.where(state.t % self.steps_per_year == 0, proposed, state.rates).astype(jnp.float32)
        hours = action[self._first :, 0].astype(dtype) * economy.max_hours
        outcome = tax_outcome(economy, hours, rates.astype(dtype))
        worth = welfare(economy, outcome, self.objective)
        mean = jnp.mean(outcome.utilities)
        minded = jnp.where(params.regard == 0, outcome.utilities, params.regard * mean)
        reward = minded if self.voting else jnp.concatenate([worth[None], minded])
        best = tax_outcome(economy, best_hours(economy, rates.astype(dtype)), rates.astype(dtype))
        kept, best_kept = (each.utilities - each.rebate for each in (outcome, best))
        measured = _measured(economy, outcome, jnp.sort(outcome.incomes), worth)
        info = {name: measured[name] for name in ("welfare", "mean_income", "gini", "mean_hours")}
        info |= {"rebate": outcome.rebate, "regret": jnp.mean(best_kept - kept)}
        after = TaxGameState(state.t + 1, rates, hours.astype(jnp.float32))
        return after, reward.astype(jnp.float32), after.t >= self.horizon, info

    @property
    def _first(self) -> int:
        """The first worker's number among the agents."""
        return int(not self.voting)

    def observe(self, state: TaxGameState, params: TaxGameParams) -> Float[Array, "num_agents observed"]:
        economy, dtype = params.economy, params.economy.skills.dtype
        unit = jnp.mean(economy.skills) * economy.max_hours
        outcome = tax_outcome(economy, state.hours.astype(dtype), state.rates.astype(dtype))
        worth = jnp.where(state.t > 0, welfare(economy, outcome, self.objective), 0.0)
        seen = _measured(economy, outcome, jnp.sort(outcome.incomes), worth)
        elapsed = (state.t % self.steps_per_year) / self.steps_per_year
        own = jnp.stack(
            [
                economy.skills / jnp.mean(economy.skills),
                outcome.incomes / unit,
                outcome.hours / economy.max_hours,
                marginal_rate(outcome.incomes, state.rates, economy.thresholds),
            ],
            axis=1,
        )
        n = self.num_workers
        common = [jnp.broadcast_to(x, (n, 1)) for x in (outcome.rebate / unit,)]
        workers = [jnp.zeros((n, 1)), jnp.broadcast_to(elapsed, (n, 1)), own, *common, jnp.zeros((n, 6))]
        rows = jnp.concatenate([x.astype(jnp.float32) for x in workers], axis=1)
        if not self.voting:
            parts = [
                jnp.ones(1),
                elapsed[None],
                jnp.zeros(4),
                outcome.rebate[None] / unit,
                jnp.stack(list(seen.values())),
            ]
            planner = jnp.concatenate([x.astype(jnp.float32) for x in parts])
            rows = jnp.concatenate([planner[None], rows])
        rates = jnp.broadcast_to(state.rates, (self.num_agents, self.num_brackets))
        return jnp.concatenate([rows, rates], axis=1)

    def truthful(self, params: TaxGameParams) -> Policy:
        """A worker that takes its best response to the rates it saw last (policy params are the economy's)."""

        def act(economy, memory, obs, chance):
            rates = obs[-self.num_brackets :].astype(economy.skills.dtype)
            own = economy.replace(skills=obs[2:3] * jnp.mean(economy.skills))
            share = best_hours(own, rates) / economy.max_hours
            return jnp.concatenate([share, rates]).astype(jnp.float32), memory

        return Policy(lambda chance: (), act, name="best_response")

    def benchmarks(self, params: TaxGameParams) -> dict[str, Any]:
        """Those of `income_tax` for the same workers, and `best_response`, a worker's policy, whose params are the
        economy.
        """
        planner = IncomeTax(self.num_workers, self.num_brackets, objective=self.objective)
        return {**planner.benchmarks(params.economy), "best_response": self.truthful(params)}

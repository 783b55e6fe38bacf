"""A decision market: forecasters move prices in turn, the prices choose an arm, and only its outcome is seen."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.mechanisms.contracts import drawn_outcome
from jaxmarl.envs.mechanisms.truthfulness import misreport_gain

Rule: TypeAlias = Literal["stochastic", "greedy"]

LOWEST = 0.01  # of prices
_MOST_BITS = 12


@struct.dataclass
class DecisionMarketParams:
    """Numbers of the market.

    Attributes:
        prior: `[A]`, chance of success of each arm, known to all; the first prices.
        accuracy: `[k, A]`, how often each agent's signal about each arm is right, in (0, 1).
        temperature: of the softmax of prices that chooses the arm.
        floor: least probability of each arm, below `1 / A`.
    """

    prior: Float[Array, " A"]
    accuracy: Float[Array, "k A"]
    temperature: Float[Array, ""]
    floor: Float[Array, ""]


@struct.dataclass
class DecisionMarketState:
    """State of the market.

    Attributes:
        t: int32, reports made; agent t is next.
        prices: `[k + 1, A]`, the first ones and after each report; later rows repeat the last.
        success: bool `[A]`, what each arm would bring.
        signals: `[k, A]`, 1 or -1, what each agent was told of each arm.
    """

    t: Int32[Array, ""]
    prices: Float[Array, "reports A"]
    success: Array
    signals: Float[Array, "k A"]


@register("decision_market")
@dataclass(frozen=True)
class DecisionMarket(Environment[DecisionMarketState, DecisionMarketParams]):
    """Agents with different parts of the context report, in turn, each arm's chance of success; then one arm is pulled.

    An arm succeeds with its prior chance, independently; each agent is told of each arm whether it does, rightly with
    its accuracy. In step t agent t moves the prices to its report, in [0.01, 0.99] (what others play is ignored). After
    the last one an arm is drawn, `floor + (1 - A floor) softmax(prices / temperature)` under the `"stochastic"` rule,
    the highest price under `"greedy"`, and agent i is paid `(S(p_i) - S(p_{i-1})) / P(arm)` for the arm's outcome o,
    `S(p) = 1 - (o - p)²` (Chen et al. 2014). Dividing by the probability makes all arms' prices count alike, so that
    the truth is best however the arm is chosen; greedy choice leaves no probability to divide by, and an agent gains by
    talking down the better arm whose price is already right. An observation is `[own signals, prices, own accuracies,
    1 if it is one's turn]`.

    `info`: `arm` (-1 before the end), `success` (of that arm), `chance` (of success of that arm given all signals).

    Attributes:
        num_agents: k.
        num_arms: A.
        rule: `"stochastic"` or `"greedy"`.
    """

    num_agents: int = 2
    num_arms: int = 3
    rule: str = "stochastic"

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("num_arms", self.num_arms, 2)
        require_choice("rule", self.rule, get_args(Rule))

    @property
    def horizon(self) -> int:
        return self.num_agents

    @property
    def default_params(self) -> DecisionMarketParams:
        """Priors from 0.4 to 0.6, accuracies from 0.6 to 0.9, temperature 0.1, floor `min(0.05, 1 / (2 A))`."""
        prior = np.linspace(0.4, 0.6, self.num_arms)
        accuracy = np.linspace(0.6, 0.9, self.num_agents * self.num_arms).reshape(self.num_arms, self.num_agents).T
        floor = min(0.05, 0.5 / self.num_arms)
        return DecisionMarketParams(*(jnp.asarray(x, float) for x in (prior, accuracy, 0.1, floor)))

    def validate(self, params: DecisionMarketParams) -> None:
        for name in ("prior", "accuracy"):
            number = np.asarray(getattr(params, name))
            require(bool(((number > 0) & (number < 1)).all()), name, number.tolist(), "strictly between 0 and 1")
        temperature, floor = np.asarray(params.temperature), np.asarray(params.floor)
        require(bool((temperature > 0).all()), "temperature", temperature.tolist(), "positive")
        inside = bool(((floor > 0) & (floor < 1 / self.num_arms)).all())
        require(inside, "floor", floor.tolist(), f"strictly between 0 and 1 / {self.num_arms}")

    def action_space(self, params: DecisionMarketParams) -> Box:
        return Box(LOWEST, 1 - LOWEST, (self.num_arms,))

    def observation_space(self, params: DecisionMarketParams) -> Box:
        return Box(-1.0, 1.0, (3 * self.num_arms + 1,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Success of arms, and whether signals are right."""
        return Uniform((1 + self.num_agents, self.num_arms))

    @property
    def step_chance(self) -> ChanceSpec:
        """The arm."""
        return Uniform()

    def initial(self, chance, params: DecisionMarketParams) -> DecisionMarketState:
        success = chance[0] < params.prior
        right = chance[1:] < params.accuracy
        signals = jnp.where(right == success, 1.0, -1.0).astype(jnp.float32)
        first = jnp.clip(params.prior, LOWEST, 1 - LOWEST).astype(jnp.float32)
        prices = jnp.broadcast_to(first, (self.num_agents + 1, self.num_arms))
        return DecisionMarketState(jnp.zeros((), jnp.int32), prices, success, signals)

    def transition(self, state: DecisionMarketState, action: Float[Array, "k A"], chance, params: DecisionMarketParams):
        turn = jnp.minimum(state.t, self.num_agents - 1)
        report = jnp.clip(action[turn], LOWEST, 1 - LOWEST)
        later = jnp.arange(self.num_agents + 1)[:, None] > turn
        prices = jnp.where(later, report, state.prices).astype(jnp.float32)
        over = state.t + 1 >= self.num_agents

        law = self.choice(prices[-1], params)
        arm = drawn_outcome(law, chance)
        outcome = state.success[arm].astype(jnp.float32)
        scores = 1 - (outcome - prices[:, arm]) ** 2
        paid = jnp.diff(scores) / self.divisor(law)[arm]
        info = {
            "arm": jnp.where(over, arm, -1),
            "success": jnp.where(over, outcome, 0.0),
            "chance": jnp.where(over, self.posterior(state.signals, params)[arm], 0.0),
        }
        after = DecisionMarketState(state.t + 1, prices, state.success, state.signals)
        return after, jnp.where(over, paid, 0.0).astype(jnp.float32), over, info

    def observe(self, state: DecisionMarketState, params: DecisionMarketParams) -> Float[Array, "k observed"]:
        prices = jnp.broadcast_to(state.prices[-1], (self.num_agents, self.num_arms))
        turn = (jnp.arange(self.num_agents) == state.t)[:, None]
        parts = [state.signals, prices, params.accuracy, turn]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=1)

    def choice(self, prices: Float[Array, " A"], params: DecisionMarketParams) -> Float[Array, " A"]:
        """Probability of each arm, given the last prices."""
        if self.rule == "greedy":
            return (jnp.arange(self.num_arms) == jnp.argmax(prices)).astype(prices.dtype)
        return params.floor + (1 - self.num_arms * params.floor) * jax.nn.softmax(prices / params.temperature)

    def divisor(self, law: Float[Array, " A"]) -> Float[Array, " A"]:
        """What payments on each arm are divided by: its probability, or nothing where the choice is certain."""
        return jnp.ones_like(law) if self.rule == "greedy" else law

    def posterior(self, signals: Float[Array, "k A"], params: DecisionMarketParams) -> Float[Array, " A"]:
        """Chance of success of each arm given these agents' signals, all of them."""
        evidence = jnp.sum(signals * jax.scipy.special.logit(params.accuracy), axis=0)
        return jax.nn.sigmoid(jax.scipy.special.logit(params.prior) + evidence)

    def truthful(self, params: DecisionMarketParams) -> Policy:
        """Moves the prices to its posterior, given the own signals and that the prices tell all others'."""
        a = self.num_arms

        def act(own, memory, obs, chance):
            signals, prices, accuracy = obs[:a], obs[a : 2 * a], obs[2 * a : 3 * a]
            odds = jax.scipy.special.logit(prices) + signals * jax.scipy.special.logit(accuracy)
            return jnp.clip(jax.nn.sigmoid(odds), LOWEST, 1 - LOWEST), memory

        return Policy(lambda chance: (), act, name="truthful")

    def expected_payment(
        self, report: Float[Array, " A"], incoming: Float[Array, " A"], belief: Float[Array, " A"], params: Any
    ) -> Float[Array, ""]:
        """What the last agent expects from a report, given the prices that it found and its true posterior."""
        law = self.choice(report, params)
        gained = (1 - belief) * (incoming**2 - report**2) + belief * ((1 - incoming) ** 2 - (1 - report) ** 2)
        return jnp.sum(law * gained / self.divisor(law))

    def misreport_gain(
        self, incoming: Float[Array, " A"], belief: Float[Array, " A"], params: Any, num_levels: int = 11
    ) -> Float[Array, " 1"]:
        """The most that the last agent gains by other prices than its belief, of a grid of `num_levels` in each arm."""
        levels = np.linspace(LOWEST, 1 - LOWEST, num_levels)
        grid = np.stack(np.meshgrid(*[levels] * self.num_arms, indexing="ij"), -1).reshape(-1, self.num_arms)

        def utilities(reports):
            return self.expected_payment(reports[0], incoming, belief, params)[None]

        return misreport_gain(utilities, belief[None], jnp.asarray(grid, belief.dtype))

    def optimal(self, params: DecisionMarketParams) -> dict[str, float]:
        """Chances of success of the arm that is chosen by one who sees all signals, or none.

        `best_arm`: of the highest posterior; `centralised`: of the rule's choice at the posteriors, which is what
        truthful agents reach; `prior`: of the rule's choice without signals. Sums over all signals; empty where
        `num_agents * num_arms` is above 12. On the host.
        """
        k, a = self.num_agents, self.num_arms
        if k * a > _MOST_BITS:
            return {}
        signals = jnp.asarray(list(itertools.product([1.0, -1.0], repeat=k * a)), float).reshape(-1, k, a)

        def one(told):
            agrees = jnp.where(told > 0, params.accuracy, 1 - params.accuracy)
            weight = params.prior * jnp.prod(agrees, axis=0) + (1 - params.prior) * jnp.prod(1 - agrees, axis=0)
            chance = self.posterior(told, params)
            law = self.choice(jnp.clip(chance, LOWEST, 1 - LOWEST), params)
            return jnp.prod(weight) * jnp.stack(
                [jnp.max(chance), law @ chance, self.choice(params.prior, params) @ chance]
            )

        values = jax.jit(lambda told: jnp.sum(jax.vmap(one)(told), axis=0))(signals)
        return dict(zip(("best_arm", "centralised", "prior"), (float(x) for x in values), strict=True))

    def benchmarks(self, params: DecisionMarketParams) -> dict[str, Any]:
        """`truthful` (policy), and the chances of success of `optimal`."""
        return {"truthful": self.truthful(params), **self.optimal(params)}

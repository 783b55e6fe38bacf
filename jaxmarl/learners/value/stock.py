"""Control of whole returns: values of pairs of observation and stock (Pires et al. 2025, "D-eta-N").

The stock starts at c and becomes `(c + reward) / discount`. Acting to maximise `E f(c + G)` at every step then
maximises it at the first, for the utilities of `distributional.utility`; with `shortfall`, and the right first stock,
that is the conditional value at risk. `distributional.stock` has the exact answers of tables.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv, batch_params
from jaxmarl.distributional.categorical import two_hot
from jaxmarl.distributional.law import Law, ReturnLaw
from jaxmarl.distributional.quantile import Quantile, uniform_quantile
from jaxmarl.distributional.risk import cvar
from jaxmarl.distributional.stock import first_best
from jaxmarl.distributional.utility import Utility
from jaxmarl.learners.base import Learner
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.heads import CategoricalHead, QuantileHead, ReturnHead
from jaxmarl.learners.value.loop import deep_q
from jaxmarl.learners.value.play import first_returns
from jaxmarl.learners.value.replay import Transition
from jaxmarl.learners.value.stock_environment import WithStock, from_stock


@dataclass(frozen=True)
class StockHead(ReturnHead):
    """Laws of the return given a stock; actions are judged by the law of stock plus return.

    Stocks of replayed transitions are drawn anew: how they move is known, so that one transition teaches all of them.

    Attributes:
        inner: how laws are represented and learned.
        low: stocks are drawn from here,
        high: to here.
        num_knots: the network reads a stock by its place between equally spaced knots, the ends included, so that a
            function with kinks there is easily said.
        on_knots: whether only the knots are drawn. Where all rewards are multiples of their gap, and first stocks too,
            no others are met.
    """

    inner: ReturnHead = field(default_factory=lambda: QuantileHead(32, kappa=0.1))
    low: float = -1.0
    high: float = 1.0
    num_knots: int = 32
    on_knots: bool = False

    def __post_init__(self):
        laws = QuantileHead, CategoricalHead
        require(isinstance(self.inner, laws), "inner", self.inner, "a head of quantiles or of categorical laws")
        require(self.low < self.high, "low, high", (self.low, self.high), "in order")
        require_int("num_knots", self.num_knots, 2)

    @property
    def knots(self) -> Float[Array, " knots"]:
        """From `low` to `high`."""
        return jnp.linspace(self.low, self.high, self.num_knots)

    def see(self, obs):
        """The observation, and the stock as a part of its range, beyond which its sign alone counts."""
        stock = obs[..., -1:]
        place = (jnp.clip(stock, self.low, self.high) - self.low) / (self.high - self.low)
        sign = (stock >= 0).astype(obs.dtype)
        return jnp.concatenate([obs[..., :-1], 2 * place - 1, sign, two_hot(stock[..., 0], self.knots)], -1)

    def outputs(self, features, num_actions, key):
        return self.inner.outputs(features, num_actions, key)

    def law(self, outputs, obs) -> Law:
        """Of stock plus return; atoms are in no order."""
        dist = self.inner.law(outputs, obs)
        atoms, weights = (dist.values, dist.weights) if isinstance(dist, Quantile) else dist.law()
        return Law(atoms + obs[..., -1, None, None], jnp.broadcast_to(weights, atoms.shape))

    def target(self, outputs, reward, discount):
        return self.inner.target(outputs, reward, discount)

    def loss(self, outputs, target):
        return self.inner.loss(outputs, target)

    def prepare(self, batch: Transition, key: Array) -> Transition:
        shape = batch.reward.shape
        if self.on_knots:
            stock = self.knots[jax.random.randint(key, shape, 0, self.num_knots)]
        else:
            stock = jax.random.uniform(key, shape, minval=self.low, maxval=self.high)
        following = (stock + batch.reward) / batch.span
        after = batch.next._replace(obs=batch.next.obs.at[..., -1].set(following))
        return replace(batch, obs=batch.obs.at[..., -1].set(stock), next=after)


def expected(utility: Utility, dist: ReturnLaw) -> Float[Array, "*batch"]:
    """`E f`, of atoms in any order."""
    atoms, weights = dist if isinstance(dist, Law) else dist.law()
    return jnp.sum(utility.function(atoms) * weights, -1)


def stock_q(
    env: BatchedEnv,
    utility: Utility,
    config: ValueConfig,
    env_params: PyTree = None,
    *,
    head: ReturnHead | None = None,
) -> Learner:
    """A learner that maximises `E f(c + G)` from every observation and stock c.

    Args:
        env: a `VectorEnv` (or `PopulationEnv`) of a `WithStock` environment.
        utility: f; with a discount below 1 it must have a degree.
        config: settings; its discount is that of the stock, rewards are not scaled and steps not merged.
        env_params: of the environments (default: `env.default_params`).
        head: how laws of the return are represented (default: 32 quantiles). Quantiles lose events rarer than half of
            their probability; where returns are numbers of a lattice, a `CategoricalHead` on it loses nothing. A
            `StockHead` says how stocks are read and drawn, too.

    Raises:
        ValueError: environments without stock, or settings that do not fit it.
    """
    wrapper = _with_stock(env)
    require(config.n_step == 1, "n_step", config.n_step, "1: later actions were chosen for another stock")
    require(config.reward_scale == 1, "reward_scale", config.reward_scale, "1 where there is a stock")
    require(config.discount == wrapper.discount, "discount", config.discount, f"the stock's, {wrapper.discount}")
    require(config.discount == 1 or utility.degree is not None, "discount", config.discount, "1 for this utility")
    worth = partial(expected, utility)
    return deep_q(env, _head(wrapper, head), config, env_params, behaviour=worth, target=worth, name="stock_q")


class TailStart(NamedTuple):
    """The first stock for a level of the lower tail, and what play from it is worth.

    Attributes:
        stock: c.
        value: conditional value at risk of the simulated returns from it.
    """

    stock: Float[Array, ""]
    value: Float[Array, ""]


def returns_by_stock(
    env: BatchedEnv,
    policy: Policy,
    params: PyTree,
    stocks: Float[Array, " C"],
    key: Array,
    num_steps: int,
    env_params: PyTree = None,
) -> Float[Array, "C B N"]:
    """Simulated returns of the first episode of each instance, started at each stock, with common random numbers.

    Args:
        env: as for `stock_q`; each of its B instances plays once from each stock.
        policy: of the learner.
        params: of the learner.
        stocks: `[C]`.
        key: of the play.
        num_steps: of an episode, at most.
        env_params: of the environments (default: `env.default_params`).
    """
    wrapper = _with_stock(env)
    env_params = batch_params(env, env_params)

    def play(stock):
        return first_returns(env, policy, params, key, from_stock(env_params, stock), num_steps, wrapper.discount)

    return jax.lax.map(play, stocks)


def tail_start(stocks: Float[Array, " C"], returns: Float[Array, "C episodes"], level: Any) -> TailStart:
    """The first stock from which the conditional value at risk of returns that were played is largest.

    What the network believes is no guide: it is optimistic, most so where the tail is thin. From the best stock the
    conditional value at risk is `max_c (-c + E min(c + G, 0) / level)` if play is optimal for every stock.

    Args:
        stocks: `[C]`.
        returns: `[C, episodes]`, for example of an agent, by `returns_by_stock`.
        level: of the conditional value at risk, in (0, 1].
    """
    values = cvar(uniform_quantile(returns), level)
    best = first_best(values)
    return TailStart(stocks[best], values[best])


def _with_stock(env: BatchedEnv) -> WithStock:
    inner = getattr(env, "env", None)
    require(isinstance(inner, WithStock), "env", type(inner).__name__, "a batch of WithStock")
    assert isinstance(inner, WithStock)
    return inner


def _head(wrapper: WithStock, inner: ReturnHead | None) -> StockHead:
    if isinstance(inner, StockHead):
        return inner
    head = StockHead(low=wrapper.low, high=wrapper.high)
    return head if inner is None else replace(head, inner=inner)

"""Control of whole returns: values of pairs of observation and stock (Pires et al. 2025, "D-eta-N").

The stock starts at c and becomes `(c + reward) / discount`. Acting to maximise `E f(c + G)` at every step then
maximises it at the first, for the utilities of `distributional.utility`; with `shortfall`, and the right first stock,
that is the conditional value at risk. `distributional.stock` has the exact answers of tables.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require
from jaxmarl.core.rollout import BatchedEnv
from jaxmarl.core.spaces import Box
from jaxmarl.core.vector import VectorEnv
from jaxmarl.core.wrappers import Wrapper
from jaxmarl.distributional.law import Law, ReturnLaw
from jaxmarl.distributional.quantile import Quantile
from jaxmarl.distributional.utility import Utility, shortfall
from jaxmarl.learners.base import Learner
from jaxmarl.learners.value.acting import value_network
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.heads import CategoricalHead, QuantileHead, ReturnHead
from jaxmarl.learners.value.loop import deep_q
from jaxmarl.learners.value.replay import Transition


@struct.dataclass
class StockParams:
    """Params of `WithStock`.

    Attributes:
        env: of the environment.
        low: first stocks are uniform from here,
        high: to here. Equal where an episode is played from a given stock.
    """

    env: PyTree
    low: Float[Array, ""]
    high: Float[Array, ""]


@struct.dataclass
class StockState:
    """State of the environment, and the stock of each agent `[N]`."""

    env: PyTree
    stock: Float[Array, " N"]


@dataclass(frozen=True)
class WithStock(Wrapper):
    """Each agent also sees its stock: the last entry of its observation, after those of `env`, flattened.

    Attributes:
        low: default of the lowest first stock: minus the highest return, from any state on the way. Learners draw
            stocks between `low` and `high`, and tell them apart there only.
        high: default of the highest: minus the lowest return.
        discount: γ.
    """

    low: float = -1.0
    high: float = 1.0
    discount: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require(self.low <= self.high, "low, high", (self.low, self.high), "in order")
        require(0 < self.discount <= 1, "discount", self.discount, "in (0, 1]")

    @property
    def horizon(self) -> int | None:
        return self.env.horizon

    @property
    def default_params(self) -> StockParams:
        return StockParams(self.env.default_params, jnp.float32(self.low), jnp.float32(self.high))

    @property
    def reset_chance(self):
        return self.env.reset_chance, Uniform((self.num_agents,))

    @property
    def step_chance(self):
        return self.env.step_chance

    def observation_space(self, params) -> Box:
        return Box(-np.inf, np.inf, (prod(self.env.observation_space(params.env).shape) + 1,))

    def action_space(self, params):
        return self.env.action_space(params.env)

    def benchmarks(self, params):
        return {}

    def validate(self, params) -> None:
        self.env.validate(params.env)
        low, high = float(params.low), float(params.high)
        require(low <= high, "low, high", (low, high), "in order")

    def initial(self, chance, params) -> StockState:
        env_chance, share = chance
        return StockState(self.env.initial(env_chance, params.env), params.low + (params.high - params.low) * share)

    def transition(self, state, action, chance, params):
        env, reward, terminated, info = self.env.transition(state.env, action, chance, params.env)
        return StockState(env, (state.stock + reward) / self.discount), reward, terminated, info

    def truncated(self, state, params):
        return self.env.truncated(state.env, params.env)

    def action_mask(self, state, params):
        return self.env.action_mask(state.env, params.env)

    def observe(self, state, params):
        seen = self.env.observe(state.env, params.env).reshape(self.num_agents, -1).astype(jnp.float32)
        return jnp.concatenate([seen, state.stock[:, None]], -1)


@dataclass(frozen=True)
class StockHead(ReturnHead):
    """Laws of the return given a stock; actions are judged by the law of stock plus return.

    Stocks of replayed transitions are drawn anew: how they move is known, so that one transition teaches all of them.

    Attributes:
        inner: how laws are represented and learned.
        low: stocks are drawn from here,
        high: to here.
    """

    inner: ReturnHead = field(default_factory=lambda: QuantileHead(32, kappa=0.1))
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self):
        laws = QuantileHead, CategoricalHead
        require(isinstance(self.inner, laws), "inner", self.inner, "a head of quantiles or of categorical laws")
        require(self.low < self.high, "low, high", (self.low, self.high), "in order")

    def see(self, obs):
        """The observation, and the stock as a part of its range, beyond which its sign alone counts."""
        stock = obs[..., -1:]
        place = (jnp.clip(stock, self.low, self.high) - self.low) / (self.high - self.low)
        return jnp.concatenate([obs[..., :-1], 2 * place - 1, (stock >= 0).astype(obs.dtype)], -1)

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
        stock = jax.random.uniform(key, batch.reward.shape, minval=self.low, maxval=self.high)
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
        env: a `VectorEnv` of a `WithStock` environment.
        utility: f; with a discount below 1 it must have a degree.
        config: settings; its discount is that of the stock, rewards are not scaled and steps not merged.
        env_params: of the environments (default: `env.default_params`).
        head: how laws of the return are represented (default: 32 quantiles). Quantiles lose events rarer than half of
            their probability; where returns are numbers of a lattice, a `CategoricalHead` on it loses nothing.

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
    """The first stock for a level of the lower tail, and what the network believes of it.

    Attributes:
        stock: c.
        value: conditional value at risk from it.
    """

    stock: Float[Array, ""]
    value: Float[Array, ""]


def tail_start(
    env: BatchedEnv,
    config: ValueConfig,
    params: PyTree,
    level: Any,
    obs: Float[Array, " F"],
    stocks: Float[Array, " C"],
    head: ReturnHead | None = None,
) -> TailStart:
    """The first stock that maximises `-c + E min(c + G, 0) / level`, by the network of `stock_q` with `shortfall`.

    Args:
        env: as for `stock_q`.
        config: as for `stock_q`.
        params: of the learner.
        level: of the conditional value at risk, in (0, 1].
        obs: `[F]`, a first observation, without stock.
        stocks: `[C]`, among which it is looked for.
        head: as for `stock_q`.
    """
    full = _head(_with_stock(env), head)
    network = value_network(env, env.default_params, full, config.hidden, config.layer_norm)
    seen = jnp.concatenate([jnp.broadcast_to(obs, (stocks.size, obs.size)), stocks[:, None]], -1)
    law = full.law(network.apply(params, seen), seen)
    values = -stocks + jnp.max(expected(shortfall(), law), -1) / level
    best = jnp.argmax(values)
    return TailStart(stocks[best], values[best])


def from_stock(params: StockParams, stock: Any) -> StockParams:
    """The params with which every episode starts from one stock."""
    return replace(params, low=jnp.asarray(stock, jnp.float32), high=jnp.asarray(stock, jnp.float32))


def _with_stock(env: BatchedEnv) -> WithStock:
    inner = getattr(env, "env", None)
    require(isinstance(env, VectorEnv) and isinstance(inner, WithStock), "env", type(inner).__name__, "WithStock")
    assert isinstance(inner, WithStock)
    return inner


def _head(wrapper: WithStock, inner: ReturnHead | None) -> StockHead:
    head = StockHead(low=wrapper.low, high=wrapper.high)
    return head if inner is None else replace(head, inner=inner)

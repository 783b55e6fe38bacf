"""SGD-UCB: learning per-channel budgets from bandit feedback, with dual prices for the global constraints."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.auctions.arguments import require_numbers
from jaxmarl.envs.auctions.channels import budget_response


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SgdUcbRun:
    """What was bought, period by period. A pytree.

    Attributes:
        values: `[periods]`, bought in all channels.
        spend: `[periods]`.
        budgets: `[periods, channels]`, the arms played.
        roi_dual, budget_dual: `[periods]`, as they were when the budgets were chosen.
        pulls: `[channels, arms]`, how often each arm was played.
    """

    values: Float[Array, " periods"]
    spend: Float[Array, " periods"]
    budgets: Float[Array, "periods channels"]
    roi_dual: Float[Array, " periods"]
    budget_dual: Float[Array, " periods"]
    pulls: Float[Array, "channels arms"]


def sgd_ucb(
    values: Float[Array, "periods channels auctions"],
    costs: Float[Array, "periods channels auctions"],
    max_budgets: Float[Array, " channels"],
    value_bounds: Float[Array, " channels"],
    *,
    roi: float,
    budget: float,
    num_arms: int | None = None,
    step_size: float | None = None,
    dual_bound: float = 10.0,
    bonus_scale: float = 1.0,
) -> SgdUcbRun:
    """Chooses a budget for every channel in every period, seeing only what each channel bought and spent.

    Arms are equal steps up to each channel's largest budget; an arm is judged by its mean value with an optimistic
    bonus, less its mean spend at the dual prices of the two constraints, which follow stochastic gradients (Deng et
    al. 2023). Once the next budgets could break the total, nothing more is spent; the return on investment is met
    approximately, with a breach that vanishes per period. One scan; works under `vmap`.

    Args:
        values: `[periods, channels, auctions]`, alike and independent over periods.
        costs: `[periods, channels, auctions]`.
        max_budgets: `[channels]`, positive.
        value_bounds: `[channels]`, the most a channel can bring in a period: the scale of its bonus.
        roi: the target `γ`.
        budget: per period, positive.
        num_arms: per channel; None for `ceil(periods^(1/3))`.
        step_size: of the duals; None for `periods^(-1/2)`.
        dual_bound: the largest either dual may be, above the optimal ones.
        bonus_scale: 1 for the bonus of the regret bound; less explores less.

    Raises:
        ValueError: shapes that disagree; numbers out of range.
    """
    require(values.ndim == 3 and values.size > 0, "values", values.shape, "[periods, channels, auctions], not empty")
    require(costs.shape == values.shape, "costs", costs.shape, f"of the shape of values, {values.shape}")
    channels = values.shape[1:2]
    require(max_budgets.shape == channels, "max_budgets", max_budgets.shape, f"one a channel, {channels}")
    require(value_bounds.shape == channels, "value_bounds", value_bounds.shape, f"one a channel, {channels}")
    for name, array in (("values", values), ("costs", costs)):
        require_numbers(name, array)
    require_numbers("max_budgets", max_budgets, positive=True)
    require(budget > 0, "budget", budget, "a positive number")
    require(roi >= 0, "roi", roi, "non-negative")
    periods = values.shape[0]
    arms = max(round(periods ** (1 / 3) + 0.5), 1) if num_arms is None else num_arms
    require_int("num_arms", arms, 1)
    step = periods**-0.5 if step_size is None else step_size
    return _run(values, costs, max_budgets, value_bounds * bonus_scale, roi, budget, arms, step, dual_bound)


@functools.partial(jax.jit, static_argnames=("num_arms",))
def _run(
    values: Float[Array, "periods channels auctions"],
    costs: Float[Array, "periods channels auctions"],
    max_budgets: Float[Array, " channels"],
    bonus_scale: Float[Array, " channels"],
    roi: float | Array,
    budget: float | Array,
    num_arms: int,
    step_size: float | Array,
    dual_bound: float | Array,
) -> SgdUcbRun:
    periods, channels, _ = values.shape
    arms = max_budgets[:, None] * jnp.arange(1, num_arms + 1) / num_arms
    optimism = bonus_scale[:, None] * jnp.sqrt(2 * jnp.log(periods))
    total = jnp.asarray(budget * periods, values.dtype)

    def period(carry: tuple, market: tuple) -> tuple[tuple, tuple]:
        counts, mean_values, mean_spend, roi_dual, budget_dual, left = carry
        bonus = optimism / jnp.sqrt(jnp.maximum(counts, 1))
        score = (1 + roi_dual) * (mean_values + bonus) - (roi * roi_dual + budget_dual) * mean_spend
        chosen = jnp.argmax(jnp.where(counts > 0, score, jnp.inf), axis=1)
        played = jax.nn.one_hot(chosen, num_arms, dtype=values.dtype)
        wanted = jnp.sum(arms * played, axis=1)
        open_ = wanted.sum() <= left
        budgets = jnp.where(open_, wanted, 0)
        bought, spend = jax.vmap(budget_response)(market[0], market[1], budgets)
        bought = jnp.where(open_, bought, 0)
        seen = played * open_
        counts = counts + seen
        rate = seen / jnp.maximum(counts, 1)
        mean_values = mean_values + rate * (bought[:, None] - mean_values)
        mean_spend = mean_spend + rate * (spend[:, None] - mean_spend)
        value, paid = bought.sum(), spend.sum()
        new_roi = jnp.clip(roi_dual - step_size * (value - roi * paid), 0, dual_bound)
        new_budget = jnp.clip(budget_dual - step_size * (budget - paid), 0, dual_bound)
        carry = (counts, mean_values, mean_spend, new_roi, new_budget, left - paid)
        return carry, (value, paid, budgets, roi_dual, budget_dual)

    table, zero = jnp.zeros((channels, num_arms), values.dtype), jnp.zeros((), values.dtype)
    last, history = jax.lax.scan(period, (table, table, table, zero, zero, total), (values, costs))
    bought, spend, budgets, roi_dual, budget_dual = history
    return SgdUcbRun(bought, spend, budgets, roi_dual, budget_dual, pulls=last[0])

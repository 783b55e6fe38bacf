"""Repeated second-price auctions with budgets: bidders who pace alone, and coalitions that bid through one agent."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require, require_choice
from jaxmarl.envs.auctions.arguments import require_numbers
from jaxmarl.envs.auctions.budget_closed_forms import PACING_RULES, PacingRule
from jaxmarl.envs.auctions.ledger import compensated_add


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PacingState:
    """Where each member stands. A pytree.

    Attributes:
        multipliers: `μ >= 0`; a member with value `v` bids `v / (1 + μ)`.
        shadow: `λ >= μ`, the multipliers of simulated independent pacing, which elect the bidder of the hybrid rule;
            equal to `multipliers` under the other rules.
        spent: money paid so far.
        spent_rounding: what rounding has added to `spent` (compensated summation).
    """

    multipliers: Float[Array, " members"]
    shadow: Float[Array, " members"]
    spent: Float[Array, " members"]
    spent_rounding: Float[Array, " members"]


class PacingRound(NamedTuple):
    """One round: who won, what they paid, and the multipliers it was played with."""

    won: Bool[Array, " members"]
    payments: Float[Array, " members"]
    utilities: Float[Array, " members"]
    multipliers: Float[Array, " members"]
    shadow: Float[Array, " members"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PacingRun:
    """A whole run. A pytree; under `vmap` every array gets a leading axis.

    Attributes:
        state: after the last round.
        spend, utilities: per round, of each member.
        pace: the mean of `1 / (1 + μ)` over the second half of the rounds.
        shadow_pace: the same for `λ`.
        rounds: every round, with a leading axis of time, where `record` was asked for; else None.
    """

    state: PacingState
    spend: Float[Array, " members"]
    utilities: Float[Array, " members"]
    pace: Float[Array, " members"]
    shadow_pace: Float[Array, " members"]
    rounds: PacingRound | None


def pacing_dynamics(
    values: Float[Array, "rounds members"],
    outside: Float[Array, " rounds"],
    budgets: Float[Array, " members"],
    *,
    rule: PacingRule = "independent",
    initial: float = 0.0,
    step_size: float | None = None,
    max_multiplier: float | None = None,
    value_bound: float = 1.0,
    record: bool = False,
) -> PacingRun:
    """Members with budgets bid in repeated second-price auctions and adapt their multipliers to their spend.

    `"independent"`: each paces alone (adaptive pacing, Balseiro and Gur 2019) and they also bid against each other.
    `"coordinated"`: the member with the highest paced value bids for the coalition, the others stay out.
    `"hybrid"`: independent pacing is simulated beside the auctions; its bids elect who bids, and the elected bids by a
    multiplier of her own that follows her real spend and never exceeds the simulated one. Each member then wins at
    least what she wins in the simulation, at no higher price. The coordinated rules follow the properties stated by
    Chen et al. (2023, "Coordinated dynamic bidding in repeated second-price auctions with budgets"); the hybrid one
    needs the outside bid to be revealed.

    One scan; works inside `jit`, and under `vmap` over markets and seeds.

    Args:
        values: `[rounds, members]`, in `[0, value_bound]`.
        outside: `[rounds]`, the highest bid from outside the coalition, or the reserve price.
        budgets: `[members]`, for all rounds together, positive.
        rule: see above.
        initial: multipliers before the first round.
        step_size: of the multipliers; None for `1 / (value_bound sqrt(rounds))`.
        max_multiplier: None for `value_bound / (budget per round) - 1`, the least with which no budget can run out.
        value_bound: the largest value there can be.
        record: whether to keep every round.

    Raises:
        ValueError: shapes that disagree, budgets that are not positive, an unknown rule.
    """
    _require_auctions(values, outside, budgets, rule)
    require_numbers("budgets", budgets, positive=True)
    rounds = values.shape[0]
    step = 1 / (value_bound * rounds**0.5) if step_size is None else step_size
    rates = budgets.astype(values.dtype) / rounds
    highest = (
        jnp.maximum(value_bound / rates - 1, 0) if max_multiplier is None else jnp.full_like(rates, max_multiplier)
    )
    return _run(values, outside, rates, rule, jnp.minimum(initial, highest), step, highest, record)


def pacing_round(
    state: PacingState,
    values: Float[Array, " members"],
    outside: Float[Array, ""],
    budgets: Float[Array, " members"],
    *,
    rule: PacingRule,
    rates: Float[Array, " members"],
    step_size: float | Array,
    max_multiplier: float | Array,
) -> tuple[PacingState, PacingRound]:
    """One auction and the members' response to it; `budgets` are in all, `rates` what each means to spend a round."""
    left = jnp.maximum((budgets - state.spent) + state.spent_rounding, 0)
    real = values / (1 + state.multipliers)
    simulated = values / (1 + state.shadow)
    if rule == "independent":
        won, payments = second_price(jnp.minimum(real, left), outside)
    else:
        won, payments = elected_price(jnp.minimum(simulated, left), jnp.minimum(real, left), outside)
    multipliers = jnp.clip(state.multipliers - step_size * (rates - payments), 0, max_multiplier)
    shadow = multipliers
    if rule == "hybrid":
        simulated_payments = second_price(simulated, outside)[1]
        shadow = jnp.clip(state.shadow - step_size * (rates - simulated_payments), 0, max_multiplier)
        multipliers = jnp.minimum(multipliers, shadow)
    spent, rounding = compensated_add(state.spent, state.spent_rounding, payments)
    utilities = jnp.where(won, values - payments, 0)
    played = PacingRound(won, payments, utilities, state.multipliers, state.shadow)
    return PacingState(multipliers, shadow, spent, rounding), played


def second_price(
    bids: Float[Array, "*batch members"], outside: Float[Array, "*batch"]
) -> tuple[Bool[Array, "*batch members"], Float[Array, "*batch members"]]:
    """Who wins and what each pays when all members bid against each other and against `outside`, which wins ties."""
    highest = bids.max(axis=-1, keepdims=True)
    first = jax.nn.one_hot(jnp.argmax(bids, axis=-1), bids.shape[-1], dtype=bool)
    second = jnp.max(jnp.where(first, 0, bids), axis=-1, keepdims=True)
    won = first & (highest > outside[..., None])
    return won, jnp.where(won, jnp.maximum(second, outside[..., None]), 0)


def elected_price(
    votes: Float[Array, "*batch members"], bids: Float[Array, "*batch members"], outside: Float[Array, "*batch"]
) -> tuple[Bool[Array, "*batch members"], Float[Array, "*batch members"]]:
    """Who wins and what each pays when only the member with the highest vote bids."""
    elected = jax.nn.one_hot(jnp.argmax(votes, axis=-1), votes.shape[-1], dtype=bool)
    return second_price(jnp.where(elected, bids, 0), outside)


def _require_auctions(values: Array, outside: Array, per_member: Array, rule: str) -> None:
    require_choice("rule", rule, PACING_RULES)
    require(values.ndim == 2 and values.size > 0, "values", values.shape, "an array [rounds, members], not empty")
    require(outside.shape == values.shape[:1], "outside", outside.shape, f"one a round, {values.shape[:1]}")
    require(per_member.shape == values.shape[1:], "budgets", per_member.shape, f"one a member, {values.shape[1:]}")
    require_numbers("values", values)
    require_numbers("outside", outside)


@functools.partial(jax.jit, static_argnames=("rule", "record"))
def _run(
    values: Float[Array, "rounds members"],
    outside: Float[Array, " rounds"],
    rates: Float[Array, " members"],
    rule: PacingRule,
    initial: Float[Array, " members"],
    step_size: float | Array,
    highest: Float[Array, " members"],
    record: bool,
) -> PacingRun:
    rounds, members = values.shape
    zeros = jnp.zeros(members, values.dtype)
    start = jnp.asarray(initial, values.dtype)

    def play(carry: tuple, auction: tuple) -> tuple[tuple, PacingRound | None]:
        state, gained, rounding, paces, shadow_paces = carry
        value, bid, late = auction
        state, played = pacing_round(
            state, value, bid, rates * rounds, rule=rule, rates=rates, step_size=step_size, max_multiplier=highest
        )
        gained, rounding = compensated_add(gained, rounding, played.utilities)
        paces = paces + late * (1 / (1 + played.multipliers) - paces)
        shadow_paces = shadow_paces + late * (1 / (1 + played.shadow) - shadow_paces)
        return (state, gained, rounding, paces, shadow_paces), played if record else None

    # Running means over the second half of the rounds: the weight of the k-th of them is 1 / k.
    age = jnp.arange(rounds) - rounds // 2
    late = jnp.where(age >= 0, 1 / (1 + jnp.maximum(age, 0)), 0).astype(values.dtype)
    first = (PacingState(start, start, zeros, zeros), zeros, zeros, zeros, zeros)
    (state, gained, _, paces, shadow_paces), history = jax.lax.scan(play, first, (values, outside, late))
    return PacingRun(state, state.spent / rounds, gained / rounds, paces, shadow_paces, history)

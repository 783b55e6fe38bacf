"""Deal or no deal: two sides divide items that they value differently (Lewis et al. 2017), without words."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.environment import Info
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.negotiation.bargaining import subgame_perfect_outcome
from jaxmarl.envs.negotiation.division_rules import (
    MOST,
    NUM_BUNDLES,
    PLACES,
    TOTAL_VALUE,
    bundles,
    division_problems,
    mean_maxima,
    solve_division,
    split_payoffs,
)
from jaxmarl.envs.negotiation.turns import Bargaining, BargainingState, validate_discounts

Closing: TypeAlias = Literal["acceptance", "selection"]


@struct.dataclass
class DealOrNoDealParams:
    """Numbers of the division.

    Attributes:
        counts: int32 `[3]`, items of each kind, where problems are not random.
        values: `[2, 3]`, of an item of each kind to both sides, where problems are not random.
        discounts: `[2]`, of each side for each offer that was rejected.
    """

    counts: Int32[Array, " 3"]
    values: Float[Array, "2 3"]
    discounts: Float[Array, " 2"]


@struct.dataclass
class DivisionProblem:
    """What is on the table.

    Attributes:
        counts: int32 `[3]`, items of each kind.
        values: `[2, 3]`, of an item of each kind to both sides.
    """

    counts: Int32[Array, " 3"]
    values: Float[Array, "2 3"]


@register("deal_or_no_deal")
@dataclass(frozen=True)
class DealOrNoDeal(Bargaining[DealOrNoDealParams]):
    """Items of three kinds are divided; the action `25 a + 5 b + c` proposes to keep a, b, c of them, 125 accepts.

    In a random problem counts are uniform among those with 1 to 4 of each kind and 5 to 7 in total, then values among
    pairs for which all items together are worth 10 to each side, each kind something to somebody and some kind to both.
    Each side knows its own values only. An observation is `[counts / 4, own values / 10, what the last offer gives to
    oneself / 4, 1 if it is one's turn, t / T, what each offer so far gave to oneself / 4]`, with -1 for those not made.

    With `closing="selection"`, as in the recorded conversations, nothing is accepted: T offers are talk, then both
    sides select at once what they take, and get it if the selections add up to what there is.

    `info`: `agreement`, `rejected` (offers so far), and of the agreement (0 without one) `joint` (sum of both payoffs),
    `nash_product`, `pareto` (no split is better for one side and as good for the other).

    Attributes:
        num_offers: T, offers of both sides together; an episode has at most T + 1 turns.
        closing: `"acceptance"` or `"selection"`.
        random_problems: whether each episode draws a problem; else it is in `params`.
    """

    closing: str = "acceptance"
    random_problems: bool = True

    def __post_init__(self):
        super().__post_init__()
        require_choice("closing", self.closing, get_args(Closing))
        require(isinstance(self.random_problems, bool), "random_problems", self.random_problems, "a bool")

    @property
    def horizon(self) -> int | None:
        return self.num_offers + 1 if self.closing == "selection" else None

    @property
    def default_params(self) -> DealOrNoDealParams:
        """The problem of 3, 2, 1 items with values 1, 3, 1 and 2, 1, 2; no discounting."""
        values = jnp.asarray([[1, 3, 1], [2, 1, 2]], float)
        return DealOrNoDealParams(jnp.array([3, 2, 1], jnp.int32), values, jnp.ones(2, float))

    def validate(self, params: DealOrNoDealParams) -> None:
        counts, values = np.asarray(params.counts), np.asarray(params.values)
        require(bool(((counts >= 0) & (counts <= MOST)).all()), "counts", counts.tolist(), f"in [0, {MOST}]")
        inside = bool(((values >= 0) & (values <= TOTAL_VALUE)).all())
        require(inside, "values", values.tolist(), f"in [0, {TOTAL_VALUE}]")
        validate_discounts(params.discounts)

    @property
    def num_outcomes(self) -> int:
        return NUM_BUNDLES

    def observation_space(self, params: DealOrNoDealParams) -> Box:
        return Box(-1.0, 1.0, (11 + 3 * self.num_offers,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """The counts, and the values given the counts."""
        return Uniform((2,)) if self.random_problems else ()

    def initial(self, chance, params: DealOrNoDealParams) -> BargainingState:
        problem = DivisionProblem(params.counts.astype(jnp.int32), params.values.astype(jnp.float32))
        if self.random_problems:
            table = division_problems()
            counts, starts, sizes, values = (jnp.asarray(column) for column in table)
            row = (chance[0] * len(table.counts)).astype(jnp.int32)
            # the product with a number below 1 may still round to the size
            pick = jnp.minimum((chance[1] * sizes[row]).astype(jnp.int32), sizes[row] - 1)
            problem = DivisionProblem(counts[row], values[starts[row] + pick].astype(jnp.float32))
        return BargainingState(jnp.zeros((), jnp.int32), jnp.full(self.num_offers, -1, jnp.int32), problem)

    def outcome(self, offer: Int32[Array, ""], mover: Int32[Array, ""], types: DivisionProblem) -> Int32[Array, ""]:
        kept = jnp.minimum(jnp.asarray(bundles())[offer], types.counts)
        return jnp.sum(jnp.where(mover == 0, kept, types.counts - kept) * PLACES).astype(jnp.int32)

    def payoffs(self, types: DivisionProblem, outcome: Int32[Array, ""]) -> Float[Array, " 2"]:
        taken = jnp.asarray(bundles())[outcome]
        return jnp.sum(types.values * jnp.stack([taken, types.counts - taken]), axis=1)

    def measures(self, types: DivisionProblem, outcome: Int32[Array, ""], agreed: Bool[Array, ""]) -> Info:
        taken = jnp.asarray(bundles())
        every = jnp.stack([taken @ types.values[0], (types.counts - taken) @ types.values[1]], axis=1)
        real = jnp.all(taken <= types.counts, axis=1)
        gains = self.payoffs(types, outcome)
        beaten = jnp.any(real & jnp.all(every >= gains, axis=1) & jnp.any(every > gains, axis=1))
        return {
            "joint": jnp.where(agreed, jnp.sum(gains), 0.0),
            "nash_product": jnp.where(agreed, gains[0] * gains[1], 0.0),
            "pareto": agreed & ~beaten,
        }

    def possible(self, types: DivisionProblem) -> Bool[Array, "2 125"]:
        return jnp.broadcast_to(jnp.all(jnp.asarray(bundles()) <= types.counts, axis=1), (2, NUM_BUNDLES))

    def settled(self, state: BargainingState, action: Int32[Array, " 2"]) -> tuple[Bool[Array, ""], Int32[Array, ""]]:
        if self.closing == "acceptance":
            return super().settled(state, action)
        selected = jnp.clip(action, 0, NUM_BUNDLES - 1)
        together = jnp.sum(jnp.asarray(bundles())[selected], axis=0)
        return (state.t == self.num_offers) & jnp.all(together == state.types.counts), selected[0]

    def action_mask(self, state: BargainingState, params: DealOrNoDealParams) -> Bool[Array, "2 126"]:
        if self.closing == "acceptance":
            return super().action_mask(state, params)
        moves = (state.t % 2 == jnp.arange(2)) | (state.t >= self.num_offers)
        first = jnp.arange(NUM_BUNDLES) == 0
        offers = jnp.where(moves[:, None], self.possible(state.types), first)
        return jnp.concatenate([offers, jnp.zeros((2, 1), bool)], axis=1)

    def observe(self, state: BargainingState, params: DealOrNoDealParams) -> Float[Array, "2 observed"]:
        counts = state.types.counts
        made = jnp.concatenate([self.standing(state)[None], state.offers])
        taken = jnp.asarray(bundles())[jnp.maximum(made, 0)]
        own = jnp.stack([taken, counts - taken]) / MOST
        own = jnp.where((made >= 0)[:, None], own, -1.0)
        moves = (state.t % 2 == jnp.arange(2)) | (self.closing == "selection") & (state.t >= self.num_offers)
        time = jnp.broadcast_to(jnp.minimum(state.t / self.num_offers, 1.0), 2)
        table = jnp.broadcast_to(counts / MOST, (2, 3))
        turn = jnp.stack([moves, time], axis=1)
        seen = [table, state.types.values / TOTAL_VALUE, own[:, 0], turn, own[:, 1:].reshape(2, -1)]
        return jnp.concatenate(seen, axis=1).astype(jnp.float32)

    def conceder(self, exponent: float, floor: float = 0.0) -> Policy:
        """A time-dependent bargainer (Faratin, Sierra and Jennings 1998), of either side.

        It demands `1 - (1 - floor) (t / T) ** (1 / exponent)` of what everything is worth to it: proposes the split
        that gives it least above that (among equals, fewest items), and accepts what gives as much. Where sides select
        at once it takes its part of the last offer, if that was its own or is as good.
        """
        require(exponent > 0, "exponent", exponent, "positive")
        require(0 <= floor <= 1, "floor", floor, "in [0, 1]")

        def act(params, memory, obs, chance):
            taken = jnp.asarray(bundles())
            counts, values = jnp.round(obs[:3] * MOST), jnp.round(obs[3:6] * TOTAL_VALUE)
            worth = taken @ values
            level = (1 - (1 - floor) * obs[10] ** (1 / exponent)) * (counts @ values) - 1e-4
            enough = jnp.all(taken <= counts, axis=1) & (worth >= level)
            target = jnp.argmin(jnp.where(enough, worth * 100 + jnp.sum(taken, axis=1), jnp.inf))
            offered = jnp.round(obs[6:9] * MOST)
            good, last, moves = (obs[6] >= 0) & (offered @ values >= level), obs[10] >= 1, obs[9] > 0
            if self.closing == "acceptance":
                action = jnp.where(good, NUM_BUNDLES, jnp.where(last, 0, target))
            else:
                action = jnp.where(last & (good | memory), offered @ PLACES.astype(np.float32), target)
            return jnp.where(moves, action, 0).astype(jnp.int32), moves

        # memory: whether the last turn was one's own
        return Policy(lambda chance: jnp.zeros((), bool), act, name=f"conceder {exponent:g}")

    def benchmarks(self, params: DealOrNoDealParams) -> dict[str, Any]:
        """Policies of either side: `boulware`, `linear` and `conceder`, which concede late, evenly and early, and
        `fair`, which insists on half of what everything is worth to it.

        Of the problem in `params`, where problems are not random: `frontier` (payoffs of Pareto-optimal splits),
        `max_joint`, `nash_split`, `nash_payoffs`, and with `closing="acceptance"` `subgame_perfect` `[2]`, payoffs of
        that equilibrium between sides who know all. Else, over all problems: means `mean_max_joint` and
        `mean_max_nash`, of the largest product. On the host.
        """
        known: dict[str, Any] = {
            name: self.conceder(exponent, floor).named(name)
            for name, exponent, floor in (("boulware", 0.2, 0.0), ("linear", 1.0, 0.0), ("conceder", 5.0, 0.0))
        }
        known["fair"] = self.conceder(1e9, 0.5).named("fair")
        if self.random_problems:
            joint, nash = mean_maxima()
            return {**known, "mean_max_joint": joint, "mean_max_nash": nash}
        counts, values = np.asarray(params.counts), np.asarray(params.values, float)
        known |= solve_division(counts, values)._asdict()
        if self.closing == "acceptance":
            payoffs = split_payoffs(counts, values)
            first, second = np.asarray(params.discounts, float)
            real = payoffs[~np.isnan(payoffs[:, 0])]
            known["subgame_perfect"] = subgame_perfect_outcome(real, (first, second), self.num_offers)[0]
        return known

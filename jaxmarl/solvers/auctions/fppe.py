"""First-price pacing equilibria by the convex dual: one smooth problem, sharpened until its duality gap is closed."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.auctions.arguments import require_numbers
from jaxmarl.solvers.auctions._arguments import require_market

_WARM_ITEMS = 16384  # of a large market, this many are solved first
_SHARPEN = 4.0  # growth of the sharpness from one stage to the next
_LONGEST_STEP = 2.0  # in log multipliers
_POLISH = 2  # steps after the gap is closed: it is of second order in the multipliers, which still gain digits
_FAR = 0.01  # offsets beyond this are moved into the anchor
_CENTRED = 0.01  # the sharpness grows once unmet budgets cost at most this share of what the smoothing costs


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FPPE:
    """A first-price pacing equilibrium and its certificate. A pytree: under `vmap` every array gets a leading axis.

    Attributes:
        multipliers: the pacing multipliers `β` in (0, 1]; buyer `i` bids `β_i v_it`.
        prices: per item, the highest paced bid.
        spend: of each buyer, under the allocation that certifies the gap.
        utilities: `b / β`: value bought, plus the budget that is left over.
        revenue: the prices' sum, weighted with the supply.
        nash_welfare: `Σ b log(b / β)`, the logarithm of the Nash social welfare.
        duality_gap: of the multipliers and that allocation in the Eisenberg-Gale program, in units of money.
        iterations: passes over the market.
    """

    multipliers: Float[Array, " buyers"]
    prices: Float[Array, " items"]
    spend: Float[Array, " buyers"]
    utilities: Float[Array, " buyers"]
    revenue: Float[Array, ""]
    nash_welfare: Float[Array, ""]
    duality_gap: Float[Array, ""]
    iterations: Int[Array, ""]

    @property
    def relative_gap(self) -> Float[Array, "*batch"]:
        """The duality gap as a share of the revenue (0 in a market that pays nothing)."""
        return self.duality_gap / jnp.where(self.revenue > 0, self.revenue, 1)


def fppe(
    values: Float[Array, "items buyers"],
    budgets: Float[Array, " buyers"],
    *,
    supply: Float[Array, " items"] | None = None,
    tolerance: float | None = None,
    max_iterations: int = 300,
    chunk_size: int = 8192,
) -> FPPE:
    """The first-price pacing equilibrium of a finite market.

    Its multipliers are the unique minimiser of `H(β) = Σ_t s_t max_i β_i v_it - Σ_i b_i log β_i` over `0 < β <= 1`
    (Conitzer et al. 2022; Gao, Kroer and Peysakhovich 2021). In `log β`, with the maximum replaced by the norm
    `(Σ_i (β_i v_it)^σ)^{1/σ}`, `H` is smooth and convex, and its gradient is spend minus budget: the market whose
    buyers split items as under a constant elasticity of substitution. Projected Newton steps with a predictor follow
    its minimiser while the sharpness `σ` grows. Every pass over the items computes the duality gap of the *unsmoothed*
    market, whose terms are all non-negative, so that it is exact to rounding even in float32; the best iterate is
    returned. A large market is started from the solution of a sample of its items. Works inside `jit` and `vmap`.

    Args:
        values: `[items, buyers]`, non-negative.
        budgets: `[buyers]`, positive, in the unit of `supply`-weighted prices.
        supply: `[items]`, the mass of each item; None for `1 / items` each.
        tolerance: stops at this duality gap relative to the revenue; None for 1e-6 in float32, 1e-12 in float64.
        max_iterations: most passes over the market (20 to 60 are typical).
        chunk_size: items in memory at once, beside `values`; a pass holds about four arrays `[chunk_size, buyers]`.

    Returns:
        the equilibrium; `relative_gap` says how exact it is.

    Raises:
        ValueError: shapes that disagree, negative or non-finite values, budgets that are not positive.
    """
    require_market(values, budgets)
    require_int("max_iterations", max_iterations, 1)
    require_int("chunk_size", chunk_size, 1)
    require(tolerance is None or tolerance > 0, "tolerance", tolerance, "a positive number or None")
    if supply is None:
        supply = jnp.full(values.shape[0], 1 / values.shape[0], values.dtype)
    else:
        require(supply.shape == values.shape[:1], "supply", supply.shape, f"one an item, {values.shape[:1]}")
        require_numbers("supply", supply)
    if tolerance is None:
        tolerance = 1e-6 if values.dtype == jnp.float32 else 1e-12
    return _solve(values, budgets.astype(values.dtype), supply, tolerance, max_iterations, chunk_size)


def duality_gap(
    values: Float[Array, "items buyers"],
    budgets: Float[Array, " buyers"],
    multipliers: Float[Array, " buyers"],
    allocation: Float[Array, "items buyers"],
    *,
    supply: Float[Array, " items"] | None = None,
) -> Float[Array, ""]:
    """What separates multipliers and an allocation from equilibrium, in units of money; zero exactly at an FPPE.

    The gap of the quasi-linear Eisenberg-Gale program and its dual, as a sum of non-negative terms: items held by
    others than the highest bidders, budgets that spend does not meet, budget left over by buyers who pace.

    Args:
        values: `[items, buyers]`.
        budgets: `[buyers]`.
        multipliers: `[buyers]`, in (0, 1].
        allocation: `[items, buyers]`, shares of each item, non-negative, at most 1 in sum.
        supply: `[items]`, the mass of each item; None for `1 / items` each.
    """
    weights = jnp.full(values.shape[0], 1 / values.shape[0], values.dtype) if supply is None else supply
    bids = values * multipliers
    prices = bids.max(axis=1)
    sold = (prices[:, None] - bids) * allocation
    unsold = prices * (1 - allocation.sum(axis=1))
    forgone = weights @ (sold.sum(axis=1) + unsold)
    bought = jnp.matmul(weights, bids * allocation, precision="highest")
    return forgone + jnp.sum(_budget_gaps(bought, budgets, multipliers))


class _Totals(NamedTuple):
    """Sums over the items at one point; `q` is the smoothed allocation, `P` the smoothed price, `p` the price."""

    spend: Float[Array, " buyers"]  # of P q
    drift: Float[Array, " buyers"]  # derivative of spend in log σ
    joint: Float[Array, "buyers buyers"]  # of P q q'
    bought: Float[Array, " buyers"]  # of bid * q
    forgone: Float[Array, ""]  # of (p - bid) q
    revenue: Float[Array, ""]  # of p


class _Loop(NamedTuple):
    anchor: Float[Array, " buyers"]  # log multipliers are anchor + offset, <= 0
    offset: Float[Array, " buyers"]  # small, so that it resolves what rounding the sum would lose
    gradient: Float[Array, " buyers"]
    move: Float[Array, " buyers"]  # the step that is tried next
    slope: Float[Array, ""]  # along that step; minus infinity where the objective has just changed
    sharpness: Float[Array, ""]
    best: Float[Array, " buyers"]
    best_spend: Float[Array, " buyers"]
    best_gap: Float[Array, ""]  # relative to the revenue
    iterations: Int[Array, ""]
    hits: Int[Array, ""]  # points so far whose gap was within the tolerance
    finished: Bool[Array, ""]


@functools.partial(jax.jit, static_argnames=("max_iterations", "chunk_size"))
def _solve(
    values: Float[Array, "items buyers"],
    budgets: Float[Array, " buyers"],
    supply: Float[Array, " items"],
    tolerance: float | Array,
    max_iterations: int,
    chunk_size: int,
) -> FPPE:
    items = values.shape[0]
    start, sharpness = _separable_start(values, budgets, supply), jnp.asarray(2.0, values.dtype)
    if items >= 4 * _WARM_ITEMS:
        stride = items // _WARM_ITEMS
        sample, mass = values[::stride], supply[::stride]
        mass = mass * (supply.sum() / jnp.where(mass.sum() > 0, mass.sum(), 1))
        warm = _minimise(
            sample, budgets, mass, start, sharpness, jnp.maximum(tolerance, 1e-4), max_iterations, chunk_size
        )
        # A pass over the sample costs little: those are not counted.
        start, sharpness = warm.best, jnp.maximum(warm.sharpness / _SHARPEN, 2)
    last = _minimise(values, budgets, supply, start, sharpness, tolerance, max_iterations, chunk_size)
    multipliers = jnp.exp(last.best)
    prices = _prices(values, multipliers)
    revenue = supply @ prices
    return FPPE(
        multipliers=multipliers,
        prices=prices,
        spend=last.best_spend,
        utilities=budgets / multipliers,
        revenue=revenue,
        nash_welfare=jnp.sum(budgets * (jnp.log(budgets) - last.best)),
        duality_gap=last.best_gap * jnp.where(revenue > 0, revenue, 1),
        iterations=last.iterations,
    )


def _prices(values: Float[Array, "items buyers"], multipliers: Float[Array, " buyers"]) -> Float[Array, " items"]:
    return jnp.max(values * multipliers, axis=1)


def _separable_start(
    values: Float[Array, "items buyers"], budgets: Float[Array, " buyers"], supply: Float[Array, " items"]
) -> Float[Array, " buyers"]:
    """The minimiser at sharpness 1, where items cost the sum of all bids and every buyer's problem is its own."""
    cost = jnp.matmul(supply, values, precision="highest")
    return jnp.minimum(jnp.log(budgets) - jnp.log(jnp.maximum(cost, jnp.finfo(values.dtype).tiny)), 0)


def _minimise(
    values: Float[Array, "items buyers"],
    budgets: Float[Array, " buyers"],
    supply: Float[Array, " items"],
    start: Float[Array, " buyers"],
    sharpness: Float[Array, ""],
    tolerance: float | Array,
    max_iterations: int,
    chunk_size: int,
) -> _Loop:
    """Newton steps at growing sharpness until the gap of the market itself, relative to its revenue, is small."""
    epsilon = float(jnp.finfo(values.dtype).eps)
    sharpest = 0.25 / epsilon  # beyond this, the Hessian is singular to rounding

    def try_step(loop: _Loop) -> _Loop:
        offset = jnp.minimum(loop.offset + loop.move, -loop.anchor)
        point = loop.anchor + offset
        totals = _totals(values, supply, loop.anchor, offset, loop.sharpness, chunk_size)
        gradient = totals.spend - budgets
        scale = jnp.where(totals.revenue > 0, totals.revenue, 1)
        gap = (totals.forgone + jnp.sum(_budget_gaps(totals.bought, budgets, jnp.exp(point)))) / scale
        better = gap < loop.best_gap
        # The objective is convex: while the slope along the step stays negative, it has fallen.
        rise = gradient @ (offset - loop.offset)
        accept = rise <= -0.5 * loop.slope
        shrink = jnp.clip(-loop.slope / jnp.maximum(rise - loop.slope, 1e-30), 0.1, 0.7)
        newton, predictor = _newton(point, gradient, totals, budgets, loop.sharpness)
        precision = 0.1 * epsilon + 1e-4 / loop.sharpness
        off_centre = jnp.sum(_budget_gaps(totals.spend, budgets, jnp.exp(point)))
        precise = (off_centre <= _CENTRED * totals.forgone) | (jnp.max(jnp.abs(newton)) <= precision)
        stuck = ~accept & (jnp.max(jnp.abs(loop.move)) <= precision)
        centred = (accept & precise) | stuck
        move = jnp.where(accept, jnp.where(centred, predictor, newton), shrink * loop.move)
        offset, gradient = jnp.where(accept, offset, loop.offset), jnp.where(accept, gradient, loop.gradient)
        slope = gradient @ (jnp.minimum(offset + move, -loop.anchor) - offset)
        far = jnp.max(jnp.abs(offset)) > _FAR
        return _Loop(
            anchor=jnp.where(far, loop.anchor + offset, loop.anchor),
            offset=jnp.where(far, 0, offset),
            gradient=gradient,
            move=move,
            slope=jnp.where(centred, -jnp.inf, slope),
            sharpness=jnp.where(centred, jnp.minimum(_SHARPEN * loop.sharpness, sharpest), loop.sharpness),
            best=jnp.where(better, point, loop.best),
            best_spend=jnp.where(better, totals.bought, loop.best_spend),
            best_gap=jnp.minimum(gap, loop.best_gap),
            iterations=loop.iterations + 1,
            hits=loop.hits + (gap <= tolerance),
            finished=centred & (loop.sharpness >= sharpest),
        )

    def goes_on(loop: _Loop) -> Bool[Array, ""]:
        return (loop.hits <= _POLISH) & ~loop.finished & (loop.iterations < max_iterations)

    infinity, zeros = jnp.asarray(jnp.inf, values.dtype), jnp.zeros_like(start)
    none = jnp.zeros((), jnp.int32)
    first = _Loop(
        start, zeros, zeros, zeros, -infinity, sharpness, start, zeros, infinity, none, none, jnp.zeros((), bool)
    )
    return jax.lax.while_loop(goes_on, try_step, first)


def _newton(
    point: Float[Array, " buyers"],
    gradient: Float[Array, " buyers"],
    totals: _Totals,
    budgets: Float[Array, " buyers"],
    sharpness: Float[Array, ""],
) -> tuple[Float[Array, " buyers"], Float[Array, " buyers"]]:
    """Projected Newton steps (Bertsekas 1982): to the minimiser, and to where it will be when `σ` has grown.

    Buyers at the bound who would raise their bids stay there. The Hessian is `σ L + joint`, where `L`, the Laplacian
    of who shares items with whom, is singular along the components of that graph. Its diagonal is summed rather than
    subtracted from spend, which keeps it so in float32. The minimiser moves along a line in `1 / σ` once it is settled
    who ties with whom, hence the predictor.
    """
    identity = jnp.eye(point.size, dtype=point.dtype)
    shared = totals.joint * (1 - identity)
    hessian = totals.joint + sharpness * (jnp.diag(shared.sum(axis=1)) - shared) + 1e-6 * jnp.diag(budgets)
    free = (point < -0.1 / sharpness) | (gradient > 0)
    hessian = jnp.where(free[:, None] & free[None, :], hessian, identity * jnp.diag(hessian))
    scale = jax.lax.rsqrt(jnp.diag(hessian))
    factor = jax.scipy.linalg.cho_factor(hessian * scale[:, None] * scale[None, :])

    def step(residual: Array) -> Array:
        solved = -scale * jax.scipy.linalg.cho_solve(factor, scale * jnp.where(free, residual, 0))
        # Where rounding has made the factorisation fail, the scaled gradient still descends.
        solved = jnp.where(jnp.all(jnp.isfinite(solved)), solved, -(scale**2) * residual)
        return jnp.where(free, jnp.clip(solved, -_LONGEST_STEP, _LONGEST_STEP), -point)

    return step(gradient), step(gradient + (1 - 1 / _SHARPEN) * totals.drift)


def _budget_gaps(
    bought: Float[Array, " buyers"], budgets: Float[Array, " buyers"], multipliers: Float[Array, " buyers"]
) -> Float[Array, " buyers"]:
    """Per buyer, the gap that spend (at her own bids) and left-over budget leave: non-negative, second order in both.

    With the best use of left-over money `δ`, it is `b (r - 1 - log r) + δ (1 - β)` for `r = (bought + β δ) / b`.
    """
    left = jnp.maximum(budgets - bought / multipliers, 0)
    excess = (bought + multipliers * left - budgets) / budgets
    excess = jnp.maximum(excess, -1 + jnp.finfo(excess.dtype).eps)
    return budgets * jnp.maximum(excess - jnp.log1p(excess), 0) + left * (1 - multipliers)


def _totals(
    values: Float[Array, "items buyers"],
    supply: Float[Array, " items"],
    anchor: Float[Array, " buyers"],
    offset: Float[Array, " buyers"],
    sharpness: Float[Array, ""],
    chunk_size: int,
) -> _Totals:
    """One pass over the items, `chunk_size` at a time."""
    items = values.shape[0]
    if items <= chunk_size:
        return _chunk_totals(values, supply, anchor, offset, sharpness)

    def add(k: Int[Array, ""], sums: _Totals) -> _Totals:
        # The last chunk starts early and leaves out what the one before it has counted: no padded copy of the market.
        start = jnp.minimum(k * chunk_size, items - chunk_size)
        fresh = start + jnp.arange(chunk_size) >= k * chunk_size
        mass = jnp.where(fresh, jax.lax.dynamic_slice_in_dim(supply, start, chunk_size), 0)
        part = jax.lax.dynamic_slice_in_dim(values, start, chunk_size)
        return jax.tree.map(jnp.add, sums, _chunk_totals(part, mass, anchor, offset, sharpness))

    shapes = jax.eval_shape(_chunk_totals, values, supply, anchor, offset, sharpness)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.fori_loop(0, -(-items // chunk_size), add, zeros)


def _chunk_totals(
    values: Float[Array, "chunk buyers"],
    supply: Float[Array, " chunk"],
    anchor: Float[Array, " buyers"],
    offset: Float[Array, " buyers"],
    sharpness: Float[Array, ""],
) -> _Totals:
    bids = values * jnp.exp(anchor)
    anchored = bids.max(axis=1)
    ratios = bids / jnp.where(anchored > 0, anchored, 1)[:, None]
    # Moving the offset alone leaves the rounding of `ratios` as it is: ties are resolved far below its size.
    logs = jnp.log(ratios) + offset
    top = jnp.where(anchored > 0, logs.max(axis=1), 0)
    logs = logs - top[:, None]
    prices = anchored * jnp.exp(top)
    ratios = jnp.minimum(ratios * jnp.exp(offset) * jnp.exp(-top)[:, None], 1)
    powers = jnp.exp(sharpness * logs)
    total = jnp.maximum(powers.sum(axis=1), 1)  # below 1 only for an item that nobody wants
    shares = powers / total[:, None]
    smoothed = supply * prices * jnp.exp(jnp.log(total) / sharpness)
    weighted = shares * jnp.where(powers > 0, logs, 0)
    mean = weighted.sum(axis=1)
    steeper = weighted * sharpness - shares * ((sharpness - 1) * mean + jnp.log(total) / sharpness)[:, None]
    paid = shares * (supply * prices)[:, None]
    ones = jnp.ones_like(supply)
    bought = jnp.matmul(ones, paid * ratios, precision="highest")
    forgone = jnp.sum(jnp.matmul(ones, paid * (1 - ratios), precision="highest"))
    return _Totals(
        spend=jnp.matmul(smoothed, shares, precision="highest"),
        drift=jnp.matmul(smoothed, steeper, precision="highest"),
        joint=jnp.matmul(shares.T, shares * smoothed[:, None], precision="highest"),
        bought=bought,
        forgone=forgone,
        revenue=jnp.sum(supply * prices),
    )

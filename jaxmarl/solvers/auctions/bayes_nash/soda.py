"""SODA: simultaneous online dual averaging of distributional strategies in a discretised auction."""

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.solvers.auctions.bayes_nash.discretised import DiscretisedAuction, Strategies
from jaxmarl.solvers.auctions.bayes_nash.update_rules import UPDATE_RULES


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BayesNashSolution:
    """Strategies in a discretised auction and their certificate. A pytree: under `vmap` arrays get a leading axis.

    Attributes:
        strategies: `[G, n, m]`, joint probabilities of types and bids of a bidder of each group.
        mean_bids: `[G, n]`, of each type.
        utilities: `[G]`, before types are known.
        losses: `[G]`, what a best response in the discretised auction would add, recomputed from the auction.
        relative_losses: `[G]`, the same as a share of the best response's utility (of 1e-4 of the highest bid, where
            that is more).
        revenue: expected payments of all bidders.
        iterations: how many were taken.
        trace: `"iteration"` and the largest `"relative_loss"` every so many iterations, `[R]`; after the stop, the
            last ones.
    """

    strategies: Strategies
    mean_bids: Float[Array, "G n"]
    utilities: Float[Array, " G"]
    losses: Float[Array, " G"]
    relative_losses: Float[Array, " G"]
    revenue: Float[Array, ""]
    iterations: Int[Array, ""]
    trace: dict[str, Array] = field(default_factory=dict)

    @property
    def relative_loss(self) -> Float[Array, "*batch"]:
        """The largest of the groups'."""
        return jnp.max(self.relative_losses, axis=-1)


class _Loop(NamedTuple):
    t: Int[Array, ""]
    state: tuple  # of the update rule, or whatever pytree it keeps
    best: Strategies
    best_loss: Float[Array, ""]
    trace: Float[Array, " R"]


def soda(
    auction: DiscretisedAuction,
    *,
    method: str = "entropic",
    step_size: float | Array | None = None,
    decay: float | Array | None = None,
    tolerance: float | Array = 1e-4,
    max_iterations: int = 1000,
    key: Array | None = None,
    record_every: int = 10,
) -> BayesNashSolution:
    """An approximate Bayes-Nash equilibrium of a discretised auction, by simultaneous gradient steps of all groups.

    With distributional strategies ex-ante utility is linear in the own strategy, and its gradient is the expected
    utility of each bid of each type (Bichler, Fichtl and Oberlechner, *Operations Research* 2025). Convergence is not
    guaranteed; the answer is the iterate with the least relative loss, whose certificate is recomputed from the
    auction. Works inside `jit`, and under `vmap` over auctions, step sizes and keys.

    Args:
        auction: from `discretise`.
        method: of `UPDATE_RULES`: `"entropic"` (multiplicative weights, in logarithms) and `"euclidean"` dual
            averaging, `"euclidean_mirror"` ascent (SOMA), `"frank_wolfe"`, `"fictitious_play"`.
        step_size: `eta` of the steps `eta / (t + 1)^decay`, for utilities in units of the highest bid; None for 50 with
            entropic steps and 1 with Euclidean ones.
        decay: None for 0.05 and 0.5.
        tolerance: stops when no group can gain more than this share of its utility.
        max_iterations: most steps.
        key: of random first strategies (rows uniform on the simplex); None for uniform rows.
        record_every: steps between two entries of the trace.

    Raises:
        ValueError: an unknown method, numbers out of range.
    """
    require_choice("method", method, UPDATE_RULES)
    require_int("max_iterations", max_iterations, 1)
    require_int("record_every", record_every, 1, max_iterations)
    rule = UPDATE_RULES[method]
    step_size = rule.step_size if step_size is None else step_size
    decay = rule.decay if decay is None else decay
    for name, number in (("step_size", step_size), ("tolerance", tolerance)):
        if not isinstance(number, jax.Array):
            require(number > 0, name, number, "positive")
    return _solve(auction, method, step_size, decay, tolerance, max_iterations, key, record_every)


def relative_losses(auction: DiscretisedAuction, utility: Float[Array, " G"], best: Float[Array, " G"]) -> Array:
    """`(best - utility) / best`; a best response that earns next to nothing counts as 1e-4 of the highest bid."""
    return (best - utility) / jnp.maximum(best, 1e-4 * auction.bids[-1])


def certified(
    auction: DiscretisedAuction,
    strategies: Strategies,
    iterations: Array | int = 0,
    trace: dict[str, Array] | None = None,
) -> BayesNashSolution:
    """Strategies with what the auction says of them."""
    utility, best = auction.utility_losses(strategies)
    return BayesNashSolution(
        strategies=strategies,
        mean_bids=auction.mean_bids(strategies),
        utilities=utility,
        losses=best - utility,
        relative_losses=relative_losses(auction, utility, best),
        revenue=auction.revenue(strategies),
        iterations=jnp.asarray(iterations, jnp.int32),
        trace=trace or {},
    )


@functools.partial(jax.jit, static_argnames=("method", "max_iterations", "record_every"))
def _solve(
    auction: DiscretisedAuction,
    method: str,
    step_size: float | Array,
    decay: float | Array,
    tolerance: float | Array,
    max_iterations: int,
    key: Array | None,
    record_every: int,
) -> BayesNashSolution:
    rule, mass = UPDATE_RULES[method], auction.mass
    start = _first_strategies(auction, key)
    records = max_iterations // record_every

    def unfinished(loop: _Loop) -> Bool[Array, ""]:
        return (loop.t < max_iterations) & (loop.best_loss >= tolerance)

    def step(loop: _Loop) -> _Loop:
        strategies = rule.strategies(loop.state, mass)
        gradient = auction.utility_of_bids(strategies)
        utility = jnp.sum(strategies * gradient, axis=(1, 2))
        best = jnp.sum(mass * gradient.max(axis=-1), axis=1)
        loss = jnp.max(relative_losses(auction, utility, best))
        better = loss < loop.best_loss
        eta = step_size / auction.bids[-1] / (loop.t + 1.0) ** decay
        state = rule.update(loop.state, gradient, auction.best_response(gradient), mass, eta, loop.t)
        trace = jnp.where(jnp.arange(records) >= loop.t // record_every, loss, loop.trace)
        kept = jnp.where(better, strategies, loop.best)
        return _Loop(loop.t + 1, state, kept, jnp.minimum(loss, loop.best_loss), trace)

    first = rule.init(start, mass)
    infinite = jnp.full((), jnp.inf, mass.dtype)
    last = jax.lax.while_loop(
        unfinished, step, _Loop(jnp.zeros((), jnp.int32), first, start, infinite, jnp.zeros(records, mass.dtype))
    )
    times = jnp.minimum(jnp.arange(records, dtype=jnp.int32) * record_every, last.t - 1)
    return certified(auction, last.best, last.t, {"iteration": times, "relative_loss": last.trace})


def _first_strategies(auction: DiscretisedAuction, key: Array | None) -> Strategies:
    shape, dtype = auction.shape, auction.mass.dtype
    weights = jnp.ones(shape, dtype) if key is None else jax.random.exponential(key, shape, dtype)
    return auction.mass[..., None] * weights / weights.sum(axis=-1, keepdims=True)

"""How distributional strategies follow the gradient of ex-ante utility: mirror steps and averages of best responses."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.solvers.simplex import project_simplex

Matrices: TypeAlias = Float[Array, "G n m"]


class UpdateRule(NamedTuple):
    """One way to improve strategies `[G, n, m]` whose rows sum to the types' probabilities `mass` `[G, n]`.

    Attributes:
        init: `(strategies, mass)` to the first state.
        strategies: `(state, mass)` to strategies.
        update: `(state, gradient, best_response, mass, step_size, t)` to the next state, `t` from 0.
        step_size, decay: defaults of the steps `step_size / (t + 1)^decay`; rules that average take no step size.
    """

    init: Callable[[Matrices, Array], Any]
    strategies: Callable[[Any, Array], Matrices]
    update: Callable[[Any, Matrices, Matrices, Array, Array, Array], Any]
    step_size: float = 1.0
    decay: float = 0.5


def _log_rows(strategies: Matrices, mass: Array) -> Matrices:
    tiny = jnp.finfo(strategies.dtype).tiny
    return jax.nn.log_softmax(jnp.log(jnp.maximum(strategies, tiny)), axis=-1)


def _scaled_softmax(logits: Matrices, mass: Array) -> Matrices:
    return mass[..., None] * jax.nn.softmax(logits, axis=-1)


def _project_rows(points: Matrices, mass: Array) -> Matrices:
    """Nearest matrices with non-negative rows that sum to `mass`."""
    possible = (mass > 0)[..., None]
    scale = jnp.where(possible, mass[..., None], 1)
    rows = jax.vmap(jax.vmap(project_simplex))(points / scale)
    return jnp.where(possible, scale * rows, 0)


def _averaging(numerator: float) -> UpdateRule:
    def update(strategies, gradient, best_response, mass, step_size, t):
        return strategies + numerator / (t + 2) * (best_response - strategies)

    return UpdateRule(lambda strategies, mass: strategies, lambda strategies, mass: strategies, update)


# Logits, not strategies, are the state: no probability underflows for good, however long it is not played.
_ENTROPIC = UpdateRule(
    _log_rows,
    _scaled_softmax,
    lambda logits, gradient, best, mass, step, t: jax.nn.log_softmax(logits + step * gradient, axis=-1),
    step_size=50.0,
    decay=0.05,
)
_EUCLIDEAN = UpdateRule(
    lambda strategies, mass: strategies,
    _project_rows,
    lambda scores, gradient, best, mass, step, t: scores + step * gradient,
)
_MIRROR = UpdateRule(
    lambda strategies, mass: strategies,
    lambda strategies, mass: strategies,
    lambda strategies, gradient, best, mass, step, t: _project_rows(strategies + step * gradient, mass),
)

UPDATE_RULES: dict[str, UpdateRule] = {
    "entropic": _ENTROPIC,
    "euclidean": _EUCLIDEAN,
    "euclidean_mirror": _MIRROR,
    "frank_wolfe": _averaging(2.0),
    "fictitious_play": _averaging(1.0),
}
"""Of `soda`: dual averaging with two regularisers, mirror ascent with the second (with the first they coincide), and
two averages of best responses."""

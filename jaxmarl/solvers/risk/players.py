"""A game and everybody's attitude to risk: what each player faces, what a profile is worth, how far it is from best."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require
from jaxmarl.games.metrics import own_axis_first
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.risk.measures import Prospect, RiskMeasure, Variance, mean_payoffs, prospect
from jaxmarl.solvers.risk.responses import ascend, certified
from jaxmarl.solvers.simplex import normalise

Profile: TypeAlias = Float[Array, "num_players num_actions"]

_RESPONSE_STEPS = 200  # of the best responses that certify, from the strategy that is judged


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RiskReport:
    """What a profile is worth to risk-averse players, `[n]` each; the others tremble.

    Attributes:
        gap: no strategy of a player's own would add more to its utility: 0 at a risk-averse equilibrium.
        utility: by the measure of risk.
        mean: expected payoff.
        variance: of the payoff expected over the own randomisation, over what the others play.
        total_variance: of the payoff itself, own randomisation included: what a sample of play shows.
    """

    gap: Float[Array, " num_players"]
    utility: Float[Array, " num_players"]
    mean: Float[Array, " num_players"]
    variance: Float[Array, " num_players"]
    total_variance: Float[Array, " num_players"]


@dataclass(frozen=True, eq=False)
class RiskAversePlayers:
    """A game with everybody's attitude to risk; closed over by the solvers, one game at a time.

    All players' actions are padded to the same number A, so that one program serves all of them: profiles of strategies
    are matrices `[n, A]`, and a player's contingencies are the `B = A^(n-1)` profiles of the others.

    Attributes:
        game: any number of players.
        outcomes: `[n, A, B]`, payoffs.
        mask: `[n, A]`, legal actions.
        aversion: `[n]`, >= 0.
        tremble: `[n]`, share of uniform play that is expected of each player.
        measure: of risk.
        variances: `[n, A, B]`, or None; see `rae_extragradient`.
    """

    game: NormalFormGame
    outcomes: Float[Array, "num_players num_actions contingencies"]
    mask: Bool[Array, "num_players num_actions"]
    aversion: Float[Array, " num_players"]
    tremble: Float[Array, " num_players"]
    measure: RiskMeasure
    variances: Float[Array, "num_players num_actions contingencies"] | None = None

    def stacked(self, strategies: Strategies) -> Profile:
        """A profile as a matrix."""
        size = self.mask.shape[1]
        return jnp.stack([jnp.pad(x, (0, size - x.shape[0])) for x in strategies])

    def split(self, profile: Profile) -> Strategies:
        """A profile as one vector a player, normalised."""
        return tuple(normalise(row, self.game.mask(i)) for i, row in enumerate(self.unpadded(profile)))

    def unpadded(self, rows: Profile) -> Strategies:
        """The rows of a matrix, each as long as its player has actions."""
        return tuple(row[:size] for row, size in zip(rows, self.game.num_actions, strict=True))

    def legal(self) -> Bool[Array, "num_players num_actions contingencies"]:
        """Where the own action and all of the others' are legal."""
        others = self.faced(self.mask.astype(self.outcomes.dtype)).weights > 0
        return self.mask[:, :, None] & others[:, None, :]

    def faced(self, profile: Profile) -> Prospect:
        """What each player faces when the others play their part of `profile` and tremble; leaves are stacked."""
        uniform = self.mask / self.mask.sum(1, keepdims=True).astype(profile.dtype)
        expected = profile + self.tremble[:, None] * (uniform - profile)
        rows = []
        for player in range(self.game.num_players):
            product = jnp.ones((), profile.dtype)
            for j in range(self.game.num_players):
                product = product if j == player else product[..., None] * expected[j]
            rows.append(product.ravel())
        weights = jnp.stack(rows)
        outcomes = jnp.where(weights[:, None] > 0, self.outcomes, 0)
        if self.variances is None:
            return jax.vmap(prospect)(outcomes, weights, self.mask)
        penalty = self.aversion[:, None] * jnp.einsum("nab,nb->na", self.variances, weights, precision="highest")
        return jax.vmap(prospect)(outcomes, weights, self.mask, penalty)

    def of_each(self, evaluate: Callable[..., Any], profile: Profile, *rows: Any) -> Any:
        """`evaluate(objective, mask, *rows)` of every player, its objective given the others' part of `profile`."""

        def one(faced: Prospect, aversion: Array, *own: Any) -> Any:
            return evaluate(self.measure.objective(faced, aversion), faced.mask, *own)

        return jax.vmap(one)(self.faced(profile), self.aversion, *rows)

    def gradients(self, profile: Profile) -> Profile:
        """Gradient of each player's utility in its own strategy."""
        return self.of_each(lambda objective, mask, own: objective.gradient(own), profile, profile)

    def bound(self, profile: Profile) -> Float[Array, ""]:
        """Sum of the players' certificates, 0 at an equilibrium: cheaper than the gaps, and never below them."""
        return jnp.sum(self.of_each(lambda f, mask, own: certified(f, own, mask).certificate, profile, profile))

    def report(self, strategies: Strategies) -> RiskReport:
        """See `RiskReport`."""
        profile = self.stacked(strategies)

        def one(faced: Prospect, aversion: Array, x: Array) -> RiskReport:
            objective = self.measure.objective(faced, aversion)
            own = certified(objective, x, faced.mask)
            best = certified(objective, ascend(objective, x, faced.mask, _RESPONSE_STEPS), faced.mask)
            gap = jnp.minimum(own.certificate, jnp.maximum(best.utility - own.utility, 0) + best.certificate)
            mean = x @ mean_payoffs(faced)
            deviations = jnp.dot(x, faced.outcomes, precision="highest") - mean
            variance = faced.weights @ jnp.square(deviations)
            total = x @ jnp.dot(jnp.square(faced.outcomes - mean), faced.weights, precision="highest")
            return RiskReport(gap, own.utility, mean, variance, total)

        return jax.vmap(one)(self.faced(profile), self.aversion, profile)


def risk_averse_players(
    game: NormalFormGame,
    risk_aversion: Any,
    tremble: Any,
    measure: RiskMeasure | None,
    variances: Float[Array, "num_players *num_actions"] | None = None,
) -> RiskAversePlayers:
    """`RiskAversePlayers` from the arguments of the solvers, which are checked."""
    vectors = []
    for name, numbers, high in (("risk_aversion", risk_aversion, np.inf), ("tremble", tremble, 1.0)):
        shape, allowed = jnp.shape(numbers), "at least 0 and finite" if high > 1 else "in [0, 1)"
        require(shape in ((), (game.num_players,)), name, shape, f"a scalar or [{game.num_players}]")
        if not isinstance(numbers, jax.core.Tracer):
            known = np.asarray(numbers, np.float64)
            require(bool(np.all((known >= 0) & (known < high))), name, known.tolist(), allowed)
        vectors.append(jnp.broadcast_to(jnp.asarray(numbers, game.payoffs.dtype), (game.num_players,)))
    if variances is not None:
        shape = jnp.shape(variances)
        require(shape == game.payoffs.shape, "variances", shape, f"of the shape of the payoffs, {game.payoffs.shape}")
    largest = max(game.num_actions)
    return RiskAversePlayers(
        game,
        _tables(game.payoffs),
        jnp.stack([jnp.pad(game.mask(i), (0, largest - size)) for i, size in enumerate(game.num_actions)]),
        vectors[0],
        vectors[1],
        measure or Variance(),
        None if variances is None else _tables(jnp.asarray(variances, game.payoffs.dtype)),
    )


def _tables(payoffs: Float[Array, "num_players *num_actions"]) -> Float[Array, "num_players size contingencies"]:
    """Every player's payoffs by its own action and the others' profile, with sizes padded to the largest."""
    largest = max(payoffs.shape[1:])
    padded = jnp.pad(payoffs, [(0, 0), *((0, largest - size) for size in payoffs.shape[1:])])
    return jnp.stack([own_axis_first(padded[i], i) for i in range(payoffs.shape[0])])

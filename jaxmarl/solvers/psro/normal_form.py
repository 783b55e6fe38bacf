"""Normal-form games for PSRO: strategies are mixed actions, oracles pick the best action (double oracle)."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.solvers.interior_point import solve_matrix_game
from jaxmarl.solvers.psro.diversity import expected_cardinality
from jaxmarl.solvers.psro.empirical import Estimates, exact_estimates
from jaxmarl.solvers.psro.game import ExactGame, Populations
from jaxmarl.solvers.zero_sum import zero_sum_matrix

_PLAYED = 1e-5  # probabilities below this are what float32 leaves of an interior-point method's zeros


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class NormalFormPsro(ExactGame):
    """A normal-form game as a `PsroGame`: the double oracle of McMahan, Gordon and Blum (2003) and its relatives.

    Strategies are vectors `[A_i]`; best responses are the legal action of the lowest number among equals.

    Attributes:
        game: any number of players.
        zero_sum: None to ask the game's numbers, which must then be known (not traced).
        symmetric: the same.
        first_action: what every seat's population starts with; None for uniform strategies.
    """

    game: NormalFormGame
    zero_sum: bool = None  # type: ignore[assignment]  # filled by __post_init__
    symmetric: bool = None  # type: ignore[assignment]
    first_action: int | None = 0

    def __post_init__(self) -> None:
        if self.first_action is not None:
            require_int("first_action", self.first_action, 0, min(self.game.num_actions) - 1)
        if self.zero_sum is None:
            object.__setattr__(self, "zero_sum", self.num_players == 2 and bool(self.game.is_zero_sum()))
        if self.symmetric is None:
            object.__setattr__(self, "symmetric", bool(self.game.is_symmetric()))

    def tree_flatten(self) -> tuple[tuple[NormalFormGame], tuple[Any, ...]]:
        return (self.game,), (self.zero_sum, self.symmetric, self.first_action)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any]) -> "NormalFormPsro":
        # Transformations put placeholders in the leaves: nothing is checked here.
        psro = object.__new__(cls)
        for name, value in zip(("game", "zero_sum", "symmetric", "first_action"), (*leaves, *static), strict=True):
            object.__setattr__(psro, name, value)
        return psro

    @property
    def num_players(self) -> int:
        """Number of players n."""
        return self.game.num_players

    def initial_strategy(self, seat: int, key: Array) -> Float[Array, " num_actions"]:
        """`first_action`, or the uniform strategy."""
        if self.first_action is None:
            return self.game.uniform_strategies()[seat]
        return jax.nn.one_hot(self.first_action, self.game.num_actions[seat], dtype=self.game.payoffs.dtype)

    def action_payoffs(
        self, seat: int, populations: Populations, others: Float[Array, "*others"]
    ) -> Float[Array, " num_actions"]:
        """Expected payoff of each own action when the others' profile is drawn from `others`."""
        played = others
        for population in _without(populations, seat):
            # axes turn from strategies to actions one after the other, each going to the end
            played = jnp.tensordot(played, population, ((0,), (0,)), precision="highest")
        payoffs = jnp.moveaxis(self.game.payoffs[seat], seat, 0)
        return jnp.matmul(payoffs.reshape(len(payoffs), -1), played.ravel(), precision="highest")

    def best_response(
        self, seat: int, populations: Populations, others: Float[Array, "*others"], key: Array
    ) -> Float[Array, " num_actions"]:
        """The best action, as a vector."""
        return self._best(seat, self.action_payoffs(seat, populations, others))

    def payoffs(self, profile: tuple[Array, ...]) -> Float[Array, " num_players"]:
        """Expected payoffs of independent mixed actions."""
        return self.game.expected_payoffs(profile)

    def payoff_row(
        self, seat: int, strategy: Float[Array, " num_actions"], populations: Populations, key: Array
    ) -> Estimates:
        """Payoffs against all profiles of the others, by one contraction an axis."""
        table = jnp.tensordot(self.game.payoffs, strategy, ((seat + 1,), (0,)), precision="highest")
        for population in _without(populations, seat):
            table = jnp.tensordot(table, population, ((1,), (1,)), precision="highest")
        return exact_estimates(table)

    def saddle_points(
        self, populations: Populations, masks: Bool[Array, "2 capacity"]
    ) -> tuple[Float[Array, "2 capacity"], tuple[Array, Array], tuple[Array, Array]]:
        """The least exploitable mixture of each population, and what opponents play against it who may play anything.

        The limit of no-regret play between a population and such an opponent (anytime and self-play PSRO, McAleer
        et al. 2022): two matrix games. Two-player zero-sum games only.

        Returns:
            Weights `[2, K]` of the seats' own strategies. For each seat its mixed strategy against the other's
            population, and of the actions that plays, all of them best responses, the likeliest that the own
            population does not have yet (if it has all, one of them).
        """
        matrix, sizes = zero_sum_matrix(self.game), self.game.num_actions
        rows, legal = [], []
        for seat, own in enumerate((matrix, -matrix.T)):
            spare = max(sizes) - sizes[1 - seat]
            table = jnp.matmul(populations[seat], own, precision="highest")
            rows.append(jnp.pad(table, ((0, 0), (0, spare))))
            legal.append(jnp.pad(self.game.mask(1 - seat), (0, spare)))
        mixtures, replies, _ = jax.vmap(solve_matrix_game)(jnp.stack(rows), masks, jnp.stack(legal))
        counters = replies[1, : sizes[0]], replies[0, : sizes[1]]
        fresh = []
        for seat, counter in enumerate(counters):
            had = jnp.max(jnp.where(masks[seat][:, None], populations[seat], 0), axis=0) > 1 - 1e-6
            played = counter > _PLAYED
            best = jnp.argmax(jnp.where(played & ~had, 1 + counter, jnp.where(played, counter, 0)))
            fresh.append(jax.nn.one_hot(best, sizes[seat], dtype=matrix.dtype))
        return mixtures, counters, (fresh[0], fresh[1])

    def diverse_response(
        self,
        seat: int,
        populations: Populations,
        others: Float[Array, "*others"],
        features: Float[Array, "capacity capacity"],
        mask: Array,
        strength: Array | float,
    ) -> Float[Array, " num_actions"]:
        """The action with the largest payoff plus `strength` times what it adds to the expected cardinality.

        Args:
            seat: who responds.
            populations: of both seats.
            others: as in `best_response`.
            features: `[K, K]`, payoffs of the own strategies against the opponent's.
            mask: own strategies that are there.
            strength: weight of diversity (tau of Perez-Nieves et al. 2021).
        """
        require(self.num_players == 2, "game", f"{self.num_players} players", "two-player for diverse responses")
        payoffs = jnp.moveaxis(self.game.payoffs[seat], seat, 0)
        rows = jnp.matmul(payoffs, populations[1 - seat].T, precision="highest")

        def gain(row: Array) -> Array:
            return expected_cardinality(jnp.concatenate([features, row[None]]), jnp.append(mask, True))

        bonus = jax.vmap(gain)(rows) - expected_cardinality(features, mask)
        return self._best(seat, self.action_payoffs(seat, populations, others) + strength * bonus)

    def preference_response(
        self,
        seat: int,
        populations: Populations,
        joint: Float[Array, "capacity *others"],
        payoffs: Float[Array, "capacity *others"],
    ) -> Float[Array, " num_actions"]:
        """The action that most often pays more than what the seat plays (Muller et al. 2020).

        Args:
            seat: who responds.
            populations: of all seats.
            joint: distribution over profiles, the seat's own axis first.
            payoffs: of the seat in these profiles.
        """
        table = jnp.moveaxis(self.game.payoffs[seat], seat, 0)
        for population in _without(populations, seat):
            table = jnp.tensordot(table, population, ((1,), (1,)), precision="highest")
        better = table[:, None] > payoffs + 1e-6 * jnp.max(jnp.abs(table))
        return self._best(seat, jnp.sum(jnp.where(better, joint, 0), axis=tuple(range(1, better.ndim))))

    def _best(self, seat: int, values: Array) -> Array:
        best = jnp.argmax(jnp.where(self.game.mask(seat), values, -jnp.inf))
        return jax.nn.one_hot(best, values.size, dtype=values.dtype)


def _without(populations: Populations, seat: int) -> Populations:
    """Those of the other seats, in order."""
    return tuple(population for i, population in enumerate(populations) if i != seat)

"""What a game must offer to be played by policy-space response oracles (PSRO): oracles and payoffs of strategies.

A *strategy* is a pytree of arrays (a mixed action, a table of a policy, the parameters of a network); those of one
seat have one structure. A *population* is K of them stacked on a leading axis, the missing ones zeros, and
`populations` holds one a seat. Which are there is told by weights: an oracle is given a distribution over the others'
profiles, 0 wherever a strategy is missing. A profile of the population is drawn **once an episode**: a mixture is one
of strategies, not of moves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.solvers.psro.empirical import Estimates, exact_estimates

Strategy: TypeAlias = Any
Populations: TypeAlias = tuple[Any, ...]


@runtime_checkable
class PsroGame(Protocol):
    """Oracles and payoffs, for `Psro`. `ExactGame` has a payoff row for games whose payoffs are computed.

    Two attributes say what may be concluded. With `exact`, responses and payoffs are exact, so that the gains of the
    responses add to the NashConv of the mixture in the whole game; otherwise they are an estimate of a lower bound.
    With `pure`, methods can be traced: an iteration is one jitted call.

    Extensive-form games fit as follows: a strategy is the table `[I_i, A_i]` of a behaviour strategy by information
    state, `best_response` turns the mixture into the realisation-equivalent behaviour strategy (by the player's own
    reach of each information state) and responds to it, and `payoffs` walks the tree.
    """

    @property
    def num_players(self) -> int:
        """Number of seats n."""

    @property
    def zero_sum(self) -> bool:
        """Whether payoffs of every profile add to the same constant: what `"nash"` means depends on it."""

    @property
    def symmetric(self) -> bool:
        """Whether seats are interchangeable, so that all may share one population."""

    @property
    def exact(self) -> bool:
        """Whether responses are best responses and payoffs have no error."""

    @property
    def pure(self) -> bool:
        """Whether all methods can be traced by `jit`."""

    def initial_strategy(self, seat: int, key: Array) -> Strategy:
        """The first strategy of a seat's population."""

    def best_response(
        self, seat: int, populations: Populations, others: Float[Array, "*others"], key: Array
    ) -> Strategy:
        """A (nearly) best response to the others.

        Args:
            seat: who responds.
            populations: of all seats, leaves `[K, ...]`; the own one may serve as a start.
            others: distribution over profiles of the other seats in order, n - 1 axes of length K. For independent
                mixtures it is their product.
            key: for what is random.
        """

    def payoff_row(self, seat: int, strategy: Strategy, populations: Populations, key: Array) -> Estimates:
        """Payoffs of all players when `seat` plays `strategy`, the others each profile of their populations.

        Returns:
            `Estimates` with n - 1 axes of length K. Entries of profiles with a missing strategy are not read.
        """


class ExactGame:
    """A game whose payoffs are computed: a subclass writes `payoffs(profile)`, `best_response`, `initial_strategy`."""

    exact = True
    pure = True

    def payoffs(self, profile: tuple[Strategy, ...]) -> Float[Array, " num_players"]:
        """Every player's expected payoff when each seat plays the one strategy given for it."""
        raise NotImplementedError

    def payoff_row(self, seat: int, strategy: Strategy, populations: Populations, key: Array) -> Estimates:
        """`payoffs` of the strategy against all profiles of the others, by `vmap`."""

        def cell(*others: Strategy) -> Array:
            return self.payoffs((*others[:seat], strategy, *others[seat:]))

        call: Callable[..., Array] = cell
        count = len(populations) - 1
        for axis in reversed(range(count)):
            call = jax.vmap(call, in_axes=tuple(0 if j == axis else None for j in range(count)))
        payoffs = call(*(population for i, population in enumerate(populations) if i != seat))
        return exact_estimates(jnp.moveaxis(payoffs, -1, 0))


@dataclass(frozen=True, eq=False)
class PolicyGame(ExactGame):
    """An exact game whose strategies are policies of one underlying game; a subclass registers itself as a pytree.

    Attributes:
        game: what the methods of a subclass read.
        zero_sum: None to ask the game's numbers, which must then be known (not traced).
    """

    game: Any
    zero_sum: bool = None  # type: ignore[assignment]  # filled by __post_init__
    symmetric = False

    def __post_init__(self) -> None:
        if self.zero_sum is None:
            object.__setattr__(self, "zero_sum", self.num_players == 2 and bool(self.tree.is_zero_sum()))

    @property
    def tree(self) -> Any:
        """The game with `num_players`, `is_zero_sum()` and `uniform_policies()`."""
        return self.game

    def tree_flatten(self) -> tuple[tuple[Any], bool]:
        return (self.game,), self.zero_sum

    @classmethod
    def tree_unflatten(cls, zero_sum: bool, leaves: tuple[Any]) -> "PolicyGame":
        # Transformations put placeholders in the leaves: nothing is checked here.
        psro = object.__new__(cls)
        object.__setattr__(psro, "game", leaves[0])
        object.__setattr__(psro, "zero_sum", zero_sum)
        return psro

    @property
    def num_players(self) -> int:
        """Number of players n."""
        return self.tree.num_players

    def initial_strategy(self, seat: int, key: Array) -> Float[Array, "rows num_actions"]:
        """Uniform over legal actions."""
        return self.tree.uniform_policies()[seat]


def member(population: PyTree, index: Any) -> Strategy:
    """One strategy of a population."""
    return jax.tree.map(lambda leaf: leaf[index], population)


@jax.jit
def is_member(population: PyTree, mask: Bool[Array, " capacity"], strategy: Strategy) -> Bool[Array, ""]:
    """Whether a strategy is there already, up to 1e-6 in each number."""
    same = mask
    for stacked, leaf in zip(jax.tree.leaves(population), jax.tree.leaves(strategy), strict=True):
        near = jnp.abs(stacked - leaf) <= 1e-6
        same &= jnp.all(near.reshape(len(mask), -1), axis=1)
    return jnp.any(same)


def empty_population(strategy: Strategy, capacity: int) -> PyTree:
    """Room for `capacity` strategies like the one given (arrays or their shapes)."""
    return jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), strategy)


def with_member(population: PyTree, index: Any, strategy: Strategy, wanted: Bool[Array, ""]) -> PyTree:
    """The population with `strategy` at `index` if it is `wanted`."""
    return jax.tree.map(
        lambda stacked, leaf: stacked.at[index].set(jnp.where(wanted, leaf, stacked[index])), population, strategy
    )


def mix(weights: Float[Array, " capacity"], population: PyTree) -> Strategy:
    """The weighted mean of a population's parameters: of mixed actions, the mixture."""
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1, precision="highest"), population)

"""The empirical game of a population: estimated payoffs of every profile of strategies, in pre-allocated arrays."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.games.normal_form import NormalFormGame


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Estimates:
    """Estimated payoffs of some profiles, whose axes are `*cells`.

    Attributes:
        mean: `[n, *cells]`, each player's mean return.
        squares: `[n, *cells]`, sum of squared deviations from the mean within the cell; 0 for exact payoffs.
        count: `[*cells]`, number of episodes; 1 for exact payoffs.
    """

    mean: Float[Array, "num_players *cells"]
    squares: Float[Array, "num_players *cells"]
    count: Float[Array, "*cells"]

    @property
    def variance(self) -> Float[Array, "num_players *cells"]:
        """`[n, *cells]`, variance of one episode's return (unbiased; 0 for exact payoffs)."""
        return self.squares / jnp.maximum(self.count - 1, 1)

    @property
    def standard_error(self) -> Float[Array, "num_players *cells"]:
        """`[n, *cells]`, standard error of `mean` (0 for exact payoffs)."""
        return jnp.sqrt(self.variance / jnp.maximum(self.count, 1))


def exact_estimates(payoffs: Float[Array, "num_players *cells"]) -> Estimates:
    """Payoffs that are known."""
    return Estimates(payoffs, jnp.zeros_like(payoffs), jnp.ones_like(payoffs[0]))


def sample_estimates(returns: Float[Array, "num_episodes num_players *cells"]) -> Estimates:
    """Estimates from the returns of at least two independent episodes a cell."""
    mean = jnp.mean(returns, axis=0)
    squares = jnp.sum((returns - mean) ** 2, axis=0)
    return Estimates(mean, squares, jnp.full(mean.shape[1:], returns.shape[0], mean.dtype))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EmpiricalGame:
    """The game whose actions are the strategies of a population: at most K a player, some of which are there.

    Attributes:
        cells: payoffs of all profiles, `*cells` being n axes of length K; 0 where a strategy is missing.
        masks: `[n, K]`, which strategies are there: always the first ones.
    """

    cells: Estimates
    masks: Bool[Array, "num_players capacity"]

    @property
    def num_players(self) -> int:
        """Number of players n."""
        return self.masks.shape[0]

    @property
    def sizes(self) -> Int[Array, " num_players"]:
        """`[n]`, strategies of each player."""
        return jnp.sum(self.masks, axis=1, dtype=jnp.int32)

    @property
    def game(self) -> NormalFormGame:
        """The mean payoffs as a normal-form game whose legal actions are the strategies that are there."""
        return NormalFormGame(self.cells.mean, tuple(self.masks))

    def value_errors(self, joint: Float[Array, "*cells"]) -> Float[Array, " num_players"]:
        """`[n]`, standard errors of the players' payoffs under a distribution over profiles (cells independent)."""
        return weighted_error(joint, self.cells.standard_error)

    def with_strategy(self, seat: int, row: Estimates, wanted: Bool[Array, ""]) -> "EmpiricalGame":
        """The game with one more strategy of a player, after the ones that are there.

        Args:
            seat: whose strategy.
            row: its payoffs against all profiles of the others, `*cells` being n - 1 axes of length K. Those of
                profiles with a strategy that is missing are not read.
            wanted: where false, or where there is no room, the game stays as it is.
        """
        capacity, size = self.masks.shape[1], self.sizes[seat]
        fits = wanted & (size < capacity)
        place = jnp.minimum(size, capacity - 1)
        there = profiles_there(self.masks, seat)

        def write(table: Array, new: Array, axis: int) -> Array:
            new = jnp.where(there, new, 0).astype(table.dtype)
            return jnp.where(fits, jax.lax.dynamic_update_index_in_dim(table, new, place, axis), table)

        cells = Estimates(
            write(self.cells.mean, row.mean, seat + 1),
            write(self.cells.squares, row.squares, seat + 1),
            write(self.cells.count, row.count, seat),
        )
        return EmpiricalGame(cells, self.masks.at[seat, place].set(self.masks[seat, place] | fits))

    def with_shared_strategy(self, row: Estimates, wanted: Bool[Array, ""]) -> "EmpiricalGame":
        """The game of a shared population with one more strategy, in a game that is symmetric.

        Args:
            row: payoffs of the new strategy in seat 0 against all profiles of the population with it, K - 1 axes.
            wanted: as in `with_strategy`.
        """
        size, capacity = self.sizes[0], self.masks.shape[1]
        fits = wanted & (size < capacity)
        place = jnp.minimum(size, capacity - 1)
        masks = self.masks.at[:, place].set(self.masks[:, place] | fits)
        first = EmpiricalGame(self.cells, masks.at[0].set(self.masks[0])).with_strategy(0, row, wanted)
        cells = first.cells
        for other in range(1, self.num_players):
            cells = _mirrored(cells, other, place, fits)
        mean, squares = _symmetrised(cells.mean), _symmetrised(cells.squares)
        return EmpiricalGame(Estimates(mean, squares, cells.count), masks)


def _mirrored(cells: Estimates, other: int, place: Array, fits: Array) -> Estimates:
    """Fills the profiles in which player `other` plays the strategy at `place`, as they are with seat 0 exchanged."""
    players = jnp.arange(cells.mean.shape[0]).at[jnp.array([0, other])].set(jnp.array([other, 0]))

    def copy(table: Array, swapped: Array, axis: int) -> Array:
        new = jax.lax.dynamic_index_in_dim(swapped, place, axis, keepdims=False)
        return jnp.where(fits, jax.lax.dynamic_update_index_in_dim(table, new, place, axis), table)

    return Estimates(
        copy(cells.mean, jnp.swapaxes(cells.mean, 1, other + 1)[players], other + 1),
        copy(cells.squares, jnp.swapaxes(cells.squares, 1, other + 1)[players], other + 1),
        copy(cells.count, jnp.swapaxes(cells.count, 0, other), other),
    )


def _symmetrised(table: Float[Array, "num_players *cells"]) -> Float[Array, "num_players *cells"]:
    """The mean over exchanges of players: estimates of profiles where players do the same differ by noise."""
    orders = list(itertools.permutations(range(table.shape[0])))
    exchanged = [jnp.transpose(table, (0, *(i + 1 for i in order)))[jnp.array(order)] for order in orders]
    return jnp.mean(jnp.stack(exchanged), axis=0)


def empty_game(num_players: int, capacity: int, dtype: jnp.dtype) -> EmpiricalGame:
    """A game of `num_players` without strategies, with room for `capacity` each."""
    shape = (capacity,) * num_players
    table = jnp.zeros((num_players, *shape), dtype)
    masks = jnp.zeros((num_players, capacity), bool)
    return EmpiricalGame(Estimates(table, table, jnp.zeros(shape, dtype)), masks)


def profiles_there(masks: Bool[Array, "num_players capacity"], without: int) -> Bool[Array, "*others"]:
    """Which profiles of all players but one have only strategies that are there: n - 1 axes of length K."""
    there = jnp.ones((), bool)
    for i in range(masks.shape[0]):
        if i != without:
            there = there[..., None] & masks[i]
    return there


def weighted_error(weights: Float[Array, "*cells"], errors: Float[Array, "num_players *cells"]) -> Float[Array, " n"]:
    """`[n]`, standard error of `sum weights * estimates` over independent cells."""
    axes = tuple(range(1, errors.ndim))
    return jnp.sqrt(jnp.sum((weights * errors) ** 2, axis=axes))

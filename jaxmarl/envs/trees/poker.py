"""Kuhn's and Leduc poker, one move a step."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.envs.trees.strategies import strategy_policy, strategy_table
from jaxmarl.envs.trees.tree import TreeGame, TreeParams
from jaxmarl.games.extensive import ExtensiveGame
from jaxmarl.games.extensive_zoo import kuhn_poker, leduc_poker


@register("kuhn_poker")
@dataclass(frozen=True)
class KuhnPoker(TreeGame):
    """Kuhn's poker (1950): one card each of n + 1, an ante of 1, at most one bet of 1.

    Actions: pass (or fold), bet (or call). The first bet is answered once by every other player, in order; the highest
    card of those who bet takes the pot. With two players its value is -1/18 for the first, who may bet a jack with any
    probability up to 1/3. Information states are numbered as in `games.extensive_zoo.kuhn_poker`.

    Attributes:
        num_players: n, 2 to 4.
    """

    num_players: int = 2

    def __post_init__(self):
        super().__post_init__()
        require_int("num_players", self.num_players, 2, 4)

    def build(self) -> ExtensiveGame:
        return kuhn_poker(self.num_players)

    def benchmarks(self, params: TreeParams) -> dict[str, Any]:
        """With two players and the game's own numbers: `value` of the first, and the policy `equilibrium`."""
        if self.num_players != 2 or not self.has_own_numbers(params):
            return {}
        table = strategy_table(kuhn_equilibrium())
        return {"value": -1 / 18, "equilibrium": strategy_policy(table, "equilibrium")}


def kuhn_equilibrium(alpha: float = 1 / 3) -> tuple[Float[Array, "6 2"], Float[Array, "6 2"]]:
    """Kuhn's equilibria (1950) as behaviour strategies of `kuhn_poker()`; all of them for the second player's one.

    Args:
        alpha: probability with which the first player bets a jack, at most 1/3; a king is bet with three times it.

    Raises:
        ValueError: `alpha` that is not allowed.
    """
    require(0 <= alpha <= 1 / 3, "alpha", alpha, "in [0, 1/3]")
    # rows: jack, queen, king at the first move; then jack, queen, king facing a bet after a pass
    first = jnp.array([alpha, 0.0, 3 * alpha, 0.0, alpha + 1 / 3, 1.0])
    # rows: facing a pass or a bet, in the order in which the tree numbers them
    bets = {(0, 0): 1 / 3, (1, 0): 0.0, (2, 0): 1.0, (0, 1): 0.0, (1, 1): 1 / 3, (2, 1): 1.0}
    second = jnp.array([bets[key] for key in _SECOND_ROWS])
    return jnp.stack([1 - first, first], axis=1), jnp.stack([1 - second, second], axis=1)


_SECOND_ROWS = ((1, 0), (1, 1), (2, 0), (2, 1), (0, 0), (0, 1))  # (card, whether a bet is faced)


@register("leduc_poker")
@dataclass(frozen=True)
class LeducPoker(TreeGame):
    """Leduc poker (Southey et al. 2005): three ranks in two suits, a private card each, then a public one.

    An ante of 1; two rounds of betting with raises of 2 and 4, at most two raises a round. A pair with the public card
    wins, otherwise the higher rank; equal ranks split the pot. Actions: fold (only of a raise), call (or check), raise.

    Attributes:
        suits: whether players tell cards of one rank apart (936 information states; without suits, the same game, 288).
    """

    suits: bool = False

    def __post_init__(self):
        super().__post_init__()
        require(isinstance(self.suits, bool), "suits", self.suits, "True or False")

    def build(self) -> ExtensiveGame:
        return leduc_poker(self.suits)

    def benchmarks(self, params: TreeParams) -> dict[str, Any]:
        """`value` of the first player, to four digits, with the game's own numbers."""
        return {"value": -0.0856} if self.has_own_numbers(params) else {}

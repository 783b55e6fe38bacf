"""Goofspiel, one bid a step."""

from dataclasses import dataclass

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.registry import register
from jaxmarl.envs.trees.tree import TreeGame
from jaxmarl.games.extensive import ExtensiveGame
from jaxmarl.games.extensive_zoo import goofspiel


@register("goofspiel")
@dataclass(frozen=True)
class Goofspiel(TreeGame):
    """Goofspiel: everyone bids one of the cards 1, ..., N for each of the prizes 1, ..., N.

    The highest bid takes the prize, which is lost if two are highest; bids are spent. Seats bid one after the other
    without seeing the bids of the round; the last card is played by itself. Action a bids the card a + 1.

    Attributes:
        num_cards: N, 2 to 8, as long as the tree has at most 300 000 nodes.
        num_players: n, 2 to 4.
        points_order: of the prizes: `"descending"`, `"ascending"` or `"random"`.
        returns: `"win_loss"`, `"point_difference"` or `"total_points"` (not a zero-sum game), see
            `games.extensive_zoo.goofspiel`.
        hidden_bids: whether players see only who won each prize.
    """

    num_cards: int = 3
    num_players: int = 2
    points_order: str = "descending"
    returns: str = "win_loss"
    hidden_bids: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_int("num_cards", self.num_cards, 2, 8)
        require_int("num_players", self.num_players, 2, 4)
        require_choice("points_order", self.points_order, ("descending", "ascending", "random"))
        require_choice("returns", self.returns, ("win_loss", "point_difference", "total_points"))
        require(isinstance(self.hidden_bids, bool), "hidden_bids", self.hidden_bids, "True or False")

    def build(self) -> ExtensiveGame:
        return goofspiel(self.num_cards, self.num_players, self.points_order, self.returns, self.hidden_bids)

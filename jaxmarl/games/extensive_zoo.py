"""Standard extensive-form games: Kuhn poker, Leduc poker, Goofspiel."""

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from jaxmarl.core.checks import did_you_mean, require_choice, require_int
from jaxmarl.games.extensive import ExtensiveGame
from jaxmarl.games.extensive_rules import Chance, Decision, End, Turn, game_from_rules

PASS, BET = 0, 1
FOLD, CALL, RAISE = 0, 1, 2
LEDUC_RAISES = (2, 4)
MAX_RAISES = 2


def kuhn_poker(num_players: int = 2) -> ExtensiveGame:
    """Kuhn's poker (1950): one card each of n + 1, an ante of 1, at most one bet of 1. Actions: pass (or fold), bet.

    With two players its value is -1/18 for the first. The first bet is answered once by every other player, in order;
    the highest card of those who bet takes the pot.

    Args:
        num_players: n, 2 to 4.
    """
    require_int("num_players", num_players, 2, 4)

    def turn(state: tuple[tuple[int, ...], tuple[int, ...]]) -> Turn:
        cards, moves = state
        if len(cards) < num_players:
            return _draw([card for card in range(num_players + 1) if card not in cards])
        last = moves.index(BET) + num_players if BET in moves else num_players
        if len(moves) == last:
            return End(_kuhn_payoffs(cards, moves))
        player = len(moves) % num_players
        return Decision(player, (cards[player], moves), (PASS, BET))

    def after(state: tuple[tuple[int, ...], tuple[int, ...]], move: int) -> Any:
        cards, moves = state
        return ((*cards, move), moves) if len(cards) < num_players else (cards, (*moves, move))

    return game_from_rules(((), ()), turn, after)


def _kuhn_payoffs(cards: tuple[int, ...], moves: tuple[int, ...]) -> tuple[float, ...]:
    count = len(cards)
    bettors = {t % count for t, move in enumerate(moves) if move == BET} or set(range(count))
    bet = BET in moves
    paid = [1 + (bet and i in bettors) for i in range(count)]
    winner = max(bettors, key=lambda i: cards[i])
    return tuple(float(sum(paid) * (i == winner) - paid[i]) for i in range(count))


def leduc_poker(suits: bool = True) -> ExtensiveGame:
    """Leduc poker (Southey et al. 2005): three ranks in two suits, a private card each, then a public one.

    An ante of 1; two rounds of betting with raises of 2 and 4, at most two raises a round, the first player first in
    both. A pair with the public card wins, otherwise the higher rank; equal ranks split the pot. Actions: fold (only
    of a raise), call (or check), raise. Its value is about -0.0856 for the first player.

    Args:
        suits: whether cards of one rank are told apart (936 information states, the usual form). They are of no
            consequence: without them the game is the same with 288.
    """
    kinds, copies = (6, 1) if suits else (3, 2)

    def rank(card: int) -> int:
        return card * copies // 2

    def turn(state: Any) -> Turn:
        cards, first, second = state
        if len(cards) < 2 or (len(cards) == 2 and _closed(first) and first[-1] != FOLD):
            return _draw([card for card in range(kinds) for _ in range(copies - cards.count(card))])
        moves = second if len(cards) == 3 else first
        if _closed(moves):
            return End(_leduc_payoffs([rank(card) for card in cards], (first, second)))
        player = len(moves) % 2
        facing = bool(moves) and moves[-1] == RAISE
        actions = ((FOLD,) if facing else ()) + (CALL,) + ((RAISE,) if moves.count(RAISE) < MAX_RAISES else ())
        return Decision(player, (cards[player], cards[2:], first, second), actions)

    def after(state: Any, move: int) -> Any:
        cards, first, second = state
        if len(cards) < 2 or (len(cards) == 2 and _closed(first)):
            return ((*cards, move), first, second)
        return (cards, first, (*second, move)) if len(cards) == 3 else (cards, (*first, move), second)

    return game_from_rules(((), (), ()), turn, after)


def _closed(moves: tuple[int, ...]) -> bool:
    """Whether a round of betting of two is over: a fold, or a call that is not the first move."""
    return bool(moves) and (moves[-1] == FOLD or (moves[-1] == CALL and len(moves) > 1))


def _leduc_payoffs(ranks: list[int], rounds: tuple[tuple[int, ...], ...]) -> tuple[float, float]:
    paid, level = [1, 1], 1
    for moves, size in zip(rounds, LEDUC_RAISES, strict=True):
        for t, move in enumerate(moves):
            level += size * (move == RAISE)
            if move != FOLD:
                paid[t % 2] = level
    last = rounds[1] or rounds[0]
    if last[-1] == FOLD:
        winner = len(last) % 2
    else:
        strength = [10 * (rank == ranks[2]) + rank for rank in ranks[:2]]
        if strength[0] == strength[1]:
            return 0.0, 0.0
        winner = int(strength[1] > strength[0])
    won = float(paid[1 - winner])
    return (won, -won) if winner == 0 else (-won, won)


def goofspiel(
    num_cards: int = 4,
    num_players: int = 2,
    points_order: str = "descending",
    returns: str = "win_loss",
    hidden_bids: bool = False,
) -> ExtensiveGame:
    """Goofspiel: everyone bids one of the cards 1, ..., N for each of the prizes 1, ..., N, all at once.

    The highest bid takes the prize, which is lost if two are highest; bids are spent. Seats bid one after the other
    in the tree without seeing the bids of the round. The last card is played by itself. Action a bids the card a + 1.

    Args:
        num_cards: N, 2 to 8.
        num_players: n, 2 to 4.
        points_order: of the prizes: `"descending"`, `"ascending"` or `"random"`.
        returns: `"win_loss"`: those with most points share 1, the others -1 (0 if all have the same);
            `"point_difference"`: points less everyone's mean; `"total_points"`: points (not a zero-sum game).
        hidden_bids: whether players see only who won each prize, not the others' bids.

    Raises:
        ValueError: an argument that is not allowed, or a tree of more than 300 000 nodes.
    """
    require_int("num_cards", num_cards, 2, 8)
    require_int("num_players", num_players, 2, 4)
    require_choice("points_order", points_order, ("descending", "ascending", "random"))
    require_choice("returns", returns, _RETURNS)
    order = tuple(range(num_cards) if points_order == "ascending" else reversed(range(num_cards)))
    full = frozenset(range(num_cards))

    def turn(state: Any) -> Turn:
        prizes, rounds, bids = state
        if len(rounds) == num_cards - 1:  # what is left is bid for the prize that is left
            last = tuple(min(full - {played[i] for played in rounds}) for i in range(num_players))
            points = _points((*prizes, min(full - set(prizes))), (*rounds, last))
            return End(tuple(float(value) for value in _RETURNS[returns](points)))
        if len(prizes) == len(rounds):
            return _draw(sorted(full - set(prizes)))
        player = len(bids)
        own = tuple(played[player] for played in rounds)
        seen = (own, tuple(_winner(played) for played in rounds)) if hidden_bids else rounds
        return Decision(player, (prizes, seen), tuple(sorted(full - set(own))))

    def after(state: Any, move: int) -> Any:
        prizes, rounds, bids = state
        if len(prizes) == len(rounds):
            return (*prizes, move), rounds, bids
        if len(bids) < num_players - 1:
            return prizes, rounds, (*bids, move)
        rounds = (*rounds, (*bids, move))
        known = order[: len(rounds) + 1] if points_order != "random" and len(rounds) < num_cards - 1 else prizes
        return known, rounds, ()

    return game_from_rules(((() if points_order == "random" else order[:1]), (), ()), turn, after)


def _winner(bids: tuple[int, ...]) -> int:
    """Who bid most, -1 if several did."""
    return bids.index(max(bids)) if bids.count(max(bids)) == 1 else -1


def _points(prizes: tuple[int, ...], rounds: tuple[tuple[int, ...], ...]) -> np.ndarray:
    points = np.zeros(len(rounds[0]))
    for prize, bids in zip(prizes, rounds, strict=True):
        if (winner := _winner(bids)) >= 0:
            points[winner] += prize + 1
    return points


def _win_loss(points: np.ndarray) -> np.ndarray:
    first = points == points.max()
    if first.all():
        return np.zeros_like(points)
    return np.where(first, 1 / first.sum(), -1 / (~first).sum())


_RETURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "win_loss": _win_loss,
    "point_difference": lambda points: points - points.mean(),
    "total_points": lambda points: points,
}


def _draw(cards: list[int]) -> Chance:
    """One of the cards (with repetitions), each as likely."""
    starts = [0, *(k for k, (left, right) in enumerate(pairwise(cards), 1) if left != right), len(cards)]
    counts = [stop - begin for begin, stop in pairwise(starts)]
    return Chance(tuple(cards[k] for k in starts[:-1]), tuple(count / len(cards) for count in counts))


EXTENSIVE_GAMES: dict[str, Callable[..., ExtensiveGame]] = {
    "goofspiel": goofspiel,
    "kuhn_poker": kuhn_poker,
    "leduc_poker": leduc_poker,
}


def list_extensive_games() -> list[str]:
    """Names that `make_extensive_game` knows, sorted."""
    return sorted(EXTENSIVE_GAMES)


def make_extensive_game(name: str, **parameters: Any) -> ExtensiveGame:
    """The extensive-form game called `name`.

    Raises:
        ValueError: an unknown name, or a parameter that the game does not have or allow.
    """
    if name not in EXTENSIVE_GAMES:
        known = list_extensive_games()
        raise ValueError(f"unknown extensive-form game {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
    build = EXTENSIVE_GAMES[name]
    allowed = list(inspect.signature(build).parameters)
    for parameter in parameters:
        require_choice(f"parameter of {name}", parameter, allowed)
    return build(**parameters)

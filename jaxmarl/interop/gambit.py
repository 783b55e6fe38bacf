"""Gambit's strategic-form files (`.nfg`), read and written."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.core.files import read_text, replace_file
from jaxmarl.games.normal_form import NormalFormGame

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]|[^\s{},"]+')


class GambitFile(NamedTuple):
    """What a `.nfg` file says beside the payoffs."""

    game: NormalFormGame
    title: str
    players: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]


def read_nfg(path: str | Path) -> GambitFile:
    """Reads a strategic game in Gambit's format, version 1: payoffs listed for each profile, or outcomes by number.

    Args:
        path: a `.nfg` file; numbers may be integers, decimals or fractions (`2/3`).

    Returns:
        The game, with the names that the file gives.

    Raises:
        ValueError: one line with the file's name, where it is not such a file.
        OSError: where it cannot be read.
    """
    path = Path(path)
    try:
        return _parse(_Tokens(_TOKEN.findall(read_text(path))))
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"{path} is not a Gambit strategic-form file: {error}") from error


def write_nfg(
    game: NormalFormGame,
    path: str | Path,
    title: str = "",
    players: tuple[str, ...] | None = None,
) -> Path:
    """Writes a game in Gambit's payoff format; reading it back gives the same payoffs bit for bit.

    Illegal actions are left out, since the format has no masks.

    Args:
        game: one game, not a batch.
        path: where to; replaced in one step.
        title: the game's name.
        players: their names, "1", "2" ... by default.

    Returns:
        The path.
    """
    names = players or tuple(str(i + 1) for i in range(game.num_players))
    require(len(names) == game.num_players, "players", names, f"{game.num_players} names")
    legal = [np.flatnonzero(np.asarray(game.mask(i))) for i in range(game.num_players)]
    payoffs = np.asarray(game.payoffs)[np.ix_(np.arange(game.num_players), *legal)]
    head = (
        f"NFG 1 R {_quoted(title)} {{ {' '.join(map(_quoted, names))} }} {{ {' '.join(map(str, payoffs.shape[1:]))} }}"
    )
    profiles = np.moveaxis(payoffs, 0, -1)  # the first player's action varies fastest in the file
    rows = profiles.transpose(*reversed(range(game.num_players)), game.num_players).reshape(-1, game.num_players)
    lines = (" ".join(np.format_float_positional(x, trim="-") for x in row) for row in rows)
    text = head + "\n\n" + "\n".join(lines) + "\n"
    return replace_file(Path(path), text.encode())


class _Tokens:
    """A reader of the file's words, brackets and quoted strings."""

    def __init__(self, words: list[str]):
        self.words = words
        self.at = 0

    def peek(self) -> str:
        if self.at >= len(self.words):
            raise ValueError("it ends too early")
        return self.words[self.at]

    def next(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def expect(self, word: str) -> None:
        got = self.next()
        if got != word:
            raise ValueError(f"expected {word!r}, got {got!r}")

    def is_next(self, word: str) -> bool:
        return self.at < len(self.words) and self.words[self.at] == word

    def text(self) -> str:
        word = self.next()
        if not word.startswith('"'):
            raise ValueError(f"expected a quoted string, got {word!r}")
        return re.sub(r"\\(.)", r"\1", word[1:-1])

    def texts(self) -> tuple[str, ...]:
        self.expect("{")
        found = []
        while not self.is_next("}"):
            found.append(self.text())
        self.expect("}")
        return tuple(found)

    def rest(self) -> list[str]:
        words, self.at = self.words[self.at :], len(self.words)
        return words


def _parse(tokens: _Tokens) -> GambitFile:
    tokens.expect("NFG")
    tokens.expect("1")
    if tokens.next() not in ("R", "D"):
        raise ValueError("expected R or D after NFG 1")
    title, players = tokens.text(), tokens.texts()
    actions = _actions(tokens)
    if len(actions) != len(players):
        raise ValueError(f"{len(players)} players but {len(actions)} sets of strategies")
    if tokens.peek().startswith('"'):
        tokens.text()  # a comment
    sizes = tuple(len(names) for names in actions)
    num_profiles = math.prod(sizes)
    rows = (
        _outcomes(tokens, num_profiles, len(players))
        if tokens.is_next("{")
        else _numbers(tokens.rest(), num_profiles * len(players)).reshape(num_profiles, len(players))
    )
    reverse = tuple(reversed(sizes))
    payoffs = rows.T.reshape(len(players), *reverse).transpose(0, *range(len(players), 0, -1))
    return GambitFile(NormalFormGame(payoffs), title, players, actions)


def _actions(tokens: _Tokens) -> tuple[tuple[str, ...], ...]:
    """Either a number of strategies a player, or their names."""
    tokens.expect("{")
    actions: list[tuple[str, ...]] = []
    while not tokens.is_next("}"):
        if tokens.is_next("{"):
            actions.append(tokens.texts())
        else:
            count = int(tokens.next())
            # every strategy has its numbers in the file
            require(1 <= count <= len(tokens.words), "strategies", count, "a number that the file is long enough for")
            actions.append(tuple(str(k + 1) for k in range(count)))
    tokens.expect("}")
    return tuple(actions)


def _outcomes(tokens: _Tokens, num_profiles: int, num_players: int) -> np.ndarray:
    """Payoffs `[profiles, n]` from a list of outcomes and the number of each profile's (0: everybody gets 0)."""
    tokens.expect("{")
    outcomes = [np.zeros(num_players)]
    while not tokens.is_next("}"):
        tokens.expect("{")
        tokens.text()
        outcomes.append(_numbers([tokens.next() for _ in range(num_players)], num_players))
        tokens.expect("}")
    tokens.expect("}")
    indices = _numbers(tokens.rest(), num_profiles).astype(int)
    if indices.min() < 0 or indices.max() >= len(outcomes):
        raise ValueError(f"outcomes are numbered 0 to {len(outcomes) - 1}, got {indices.min()} to {indices.max()}")
    return np.stack(outcomes)[indices]


def _numbers(words: list[str], count: int) -> np.ndarray:
    if len(words) != count:
        raise ValueError(f"expected {count} numbers, got {len(words)}")
    return np.array([_number(word) for word in words])


def _number(word: str) -> float:
    """An integer, a decimal or a fraction."""
    above, slash, below = word.partition("/")
    number = float(above) / float(below) if slash else float(above)
    require(math.isfinite(number), "number", word, "finite")
    return number


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Drawings of grids as arrays of pixels, in plain NumPy: coloured tiles and discs with a letter on them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxmarl.core.checks import require_choice, require_int

Colour = tuple[int, int, int]

PAPER, LINE, INK = (250, 250, 247), (226, 228, 232), (34, 39, 46)
WHITE, GREY, WALL = (255, 255, 255), (139, 148, 158), (87, 96, 106)
PITCH = (205, 226, 208)
GREEN, RED, BROWN, WATER, GOLD = (10, 143, 105), (204, 65, 37), (130, 84, 45), (150, 196, 226), (221, 164, 32)
AGENTS: tuple[Colour, ...] = (
    (36, 86, 166),
    (217, 106, 20),
    (125, 73, 160),
    (20, 140, 150),
    (190, 40, 100),
    (110, 120, 30),
    (80, 80, 90),
    (60, 130, 220),
)

# three columns by five rows, one octal digit a row, most significant bit left
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+-?! "
_ROWS = (
    "755572622771747717175571174717747577112275757757172575565656344436555674647746443455355755"
    "722271115255655444475775565555255526564425563656553421672222555575555255775552555522271247"
    "0272000700712022220200000"
)
_GLYPHS = {letter: _ROWS[5 * i : 5 * i + 5] for i, letter in enumerate(_LETTERS)}


class Mark(NamedTuple):
    """Something drawn in one cell.

    Attributes:
        position: row and column of the cell.
        colour: red, green, blue, each 0 to 255.
        kind: `"tile"` or `"disc"`.
        label: up to three letters (A-Z), digits or signs, drawn on it.
        size: width, as a share of the cell.
        offset: of the centre from the cell's, (down, right) as shares of the cell; what leaves the cell is drawn, too.
        ink: colour of the label.
    """

    position: Sequence[int] | np.ndarray
    colour: Colour
    kind: str = "disc"
    label: str = ""
    size: float = 0.75
    offset: tuple[float, float] = (0.0, 0.0)
    ink: Colour = WHITE


def draw_grid(shape: tuple[int, int], marks: Iterable[Mark], tile: int = 40) -> UInt8[np.ndarray, "H W 3"]:
    """A grid with marks on it, later ones over earlier ones.

    Args:
        shape: rows and columns.
        marks: what is drawn; those off the grid are left out.
        tile: pixels of a cell's side, at least 12.

    Returns:
        RGB pixels `[rows · tile + 1, columns · tile + 1, 3]`.
    """
    require_int("tile", tile, 12)
    height, width = (n * tile + 1 for n in shape)
    image = np.empty((height, width, 3))
    image[:] = PAPER
    image[::tile] = LINE
    image[:, ::tile] = LINE
    for mark in marks:
        row, column = (int(x) for x in mark.position)
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            _draw(image, mark, ((row + 0.5 + mark.offset[0]) * tile, (column + 0.5 + mark.offset[1]) * tile), tile)
    return np.round(image).astype(np.uint8)


def agent_marks(positions: Any, labels: Sequence[str] | None = None) -> list[Mark]:
    """Discs in the agents' colours, numbered from 0 or labelled; those in one cell stand side by side.

    Args:
        positions: `[N, 2]`.
        labels: one an agent.
    """
    cells = [tuple(int(x) for x in cell) for cell in np.asarray(positions)]
    marks = []
    for i, cell in enumerate(cells):
        together = [j for j, other in enumerate(cells) if other == cell]
        size = max(0.75 / len(together) ** 0.5, 0.35)
        across = (together.index(i) / max(len(together) - 1, 1) - 0.5) * (1 - size) if len(together) > 1 else 0.0
        label = str(i % 1000) if labels is None else labels[i]
        marks.append(Mark(cell, AGENTS[i % len(AGENTS)], label=label, size=size, offset=(0.0, across)))
    return marks


def tiles(mask: Any, colour: Colour, size: float = 1.0) -> list[Mark]:
    """Tiles on the true cells of `mask [rows, columns]`."""
    return [Mark(cell, colour, "tile", size=size) for cell in np.argwhere(np.asarray(mask))]


def discs(mask: Any, colour: Colour, size: float = 0.5) -> list[Mark]:
    """Discs on the true cells of `mask [rows, columns]`."""
    return [Mark(cell, colour, size=size) for cell in np.argwhere(np.asarray(mask))]


def _draw(image: np.ndarray, mark: Mark, centre: tuple[float, float], tile: int) -> None:
    """Paints a mark around a point of the image, in place."""
    require_choice("kind", mark.kind, ("tile", "disc"))
    half = mark.size * tile / 2
    low = [max(int(c - half) - 1, 0) for c in centre]
    area = image[low[0] : int(centre[0] + half) + 3, low[1] : int(centre[1] + half) + 3]
    down, right = (np.abs(first + np.arange(n) - c) for first, n, c in zip(low, area.shape, centre, strict=False))
    if mark.kind == "disc":
        outside = np.hypot(down[:, None], right[None, :]) - half
    else:  # half a pixel more: full tiles cover the lines around them
        outside = np.maximum(down[:, None], right[None, :]) - half - 0.5
    cover = np.clip(0.5 - outside, 0.0, 1.0)[..., None]
    area[:] = area * (1 - cover) + np.array(mark.colour) * cover
    if mark.label:
        _write(image, mark, centre, half)


def _write(image: np.ndarray, mark: Mark, centre: tuple[float, float], half: float) -> None:
    """Writes a mark's label, as large as fits."""
    glyphs = [_GLYPHS.get(letter, _GLYPHS["?"]) for letter in mark.label.upper()]
    bits = np.array([[int(b) for glyph in glyphs for b in f"{int(glyph[r]):03b}0"][:-1] for r in range(5)], bool)
    scale = max(1, int(min(half * 1.15 / 5, half * 1.5 / bits.shape[1])))
    block = np.kron(bits, np.ones((scale, scale), bool))
    top, left = (round(c - n / 2 + 0.5) for c, n in zip(centre, block.shape, strict=True))
    if top < 0 or left < 0:
        return
    area = image[top : top + block.shape[0], left : left + block.shape[1]]
    area[block[: area.shape[0], : area.shape[1]]] = mark.ink

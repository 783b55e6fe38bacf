"""Normal-form games on disk: NumPy archives and Gambit files, told apart by their suffix."""

import io
from pathlib import Path

import numpy as np

from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.files import read_arrays, replace_file
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.interop.gambit import read_nfg, write_nfg

SUFFIXES = (".nfg", ".npy", ".npz")


def load_game(path: str | Path) -> NormalFormGame:
    """A game from a file.

    Args:
        path: `.npz` with an array `payoffs` `[n, A_1, ..., A_n]` (and, if actions are illegal, bool arrays `mask_0`,
            `mask_1`, ...); `.npy` with the payoffs alone; or `.nfg`, Gambit's format. A matrix of two or more rows
            (two axes) is the row player's payoffs of a zero-sum game.

    Raises:
        ValueError: not such a file, or payoffs that make no game; one line that names the file.
        OSError: it cannot be read.
    """
    path = Path(path)
    require_choice("path's suffix", path.suffix, SUFFIXES)
    if path.suffix == ".nfg":
        return read_nfg(path).game
    try:
        payoffs, masks = _load_arrays(path)
        if payoffs.ndim == 2 and len(payoffs) > 1:
            payoffs = np.stack([payoffs, -payoffs])
        return NormalFormGame(payoffs, masks)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a game: {error}") from error


def save_game(game: NormalFormGame, path: str | Path) -> Path:
    """Writes a game to `.npz` (payoffs and masks), `.npy` (payoffs; every action legal) or `.nfg`; returns the path."""
    path = Path(path)
    require_choice("path's suffix", path.suffix, SUFFIXES)
    if path.suffix == ".nfg":
        return write_nfg(game, path, title=path.stem)
    content = io.BytesIO()
    if path.suffix == ".npy":
        require(game.masks is None, "path", str(path), "a .npz file, since the game has illegal actions")
        np.save(content, np.asarray(game.payoffs))
    else:
        masks = {f"mask_{i}": np.asarray(mask) for i, mask in enumerate(game.masks or ())}
        np.savez(content, allow_pickle=False, payoffs=np.asarray(game.payoffs), **masks)
    return replace_file(path, content.getvalue())


def _load_arrays(path: Path) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
    arrays = read_arrays(path)
    if "" in arrays:
        return arrays[""], None
    require("payoffs" in arrays, "arrays", sorted(arrays), "payoffs, and possibly mask_0, mask_1, ...")
    payoffs = arrays["payoffs"]
    has_masks = any(name.startswith("mask_") for name in arrays)
    masks = tuple(arrays[f"mask_{i}"] for i in range(payoffs.ndim - 1)) if has_masks else None
    return payoffs, masks

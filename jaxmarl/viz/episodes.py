"""Episodes as moving pictures."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxmarl.core.checks import require
from jaxmarl.core.files import replace_file

LAST_FRAME = 1500  # ms for which the end is shown


def save_gif(frames: Sequence[UInt8[np.ndarray, "H W 3"]], path: str | Path, fps: float = 4.0) -> Path:
    """Writes an animated GIF that repeats for ever, making its folder if needed.

    Args:
        frames: RGB pictures of one size.
        path: of the file, ending in `.gif`.
        fps: frames a second.

    Raises:
        ValueError: no frames, frames of different sizes, another suffix, or a rate that is not in (0, 50].
    """
    path = Path(path)
    require(path.suffix == ".gif", "path", str(path), "the name of a .gif file")
    require(0 < fps <= 50, "fps", fps, "in (0, 50]")
    sizes = {frame.shape for frame in frames}
    require(len(sizes) == 1, "frames", sorted(sizes), "at least one picture, all of one size")
    # one palette, chosen from frames all over the episode, so that colours do not flicker
    some = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(len(frames), 12))]
    palette = Image.fromarray(np.concatenate(some)).quantize(256)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [round(1000 / fps)] * (len(images) - 1) + [LAST_FRAME]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, disposal=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, buffer.getvalue())

"""Files that are there in full or not at all, and readers that trust nothing they are given.

No reader unpickles, extracts or follows a name out of a file; what is damaged, or claims more than it holds, is a
one-line `ValueError` that names the file, before memory is taken for it.
"""

import io
import json
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxmarl.core.checks import require

MOST_TEXT = 2**28  # bytes of a text that is read in one piece
MOST_ARRAYS = 2**33  # bytes of the arrays of a file, unpacked


def replace_file(path: Path, content: bytes) -> Path:
    """Writes `content` to `path` in one step: a temporary neighbour on the disk, then `os.replace`.

    Raises:
        OSError: it cannot be written; what was at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # the reader knows the file by its own name
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return path


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a UTF-8 file, a byte order mark left out.

    Raises:
        ValueError: one line: it has more than `most` bytes, or is no text.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(most + 1)
    require(len(data) <= most, str(path), "more", f"a file of at most {most} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text: {error}") from None


def read_json(path: Path, most: int = MOST_TEXT) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: one line: it has more than `most` bytes, or is not JSON.
        OSError: it cannot be read.
    """
    try:
        return json.loads(read_text(path, most))
    except RecursionError:
        raise ValueError(f"{path} is not JSON that can be read: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def read_arrays(path: Path, most: int = MOST_ARRAYS) -> dict[str, np.ndarray]:
    """Arrays by name of a `.npz` file, or the one of a `.npy` file under the name "".

    Args:
        path: the file.
        most: bytes of all arrays together.

    Raises:
        ValueError: one line: it is damaged, has arrays of Python objects, or claims more than it holds or `most`.
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return {"": _array(file, path.stat().st_size, most)}
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                total = sum(member.file_size for member in members)
                require(total <= most, "size of the arrays", total, f"at most {most} bytes")
                arrays = {}
                for member in members:
                    with archive.open(member) as packed:
                        arrays[member.filename.removesuffix(".npy")] = _array(packed, member.file_size, most)
                return arrays
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{path} has no arrays that can be read: {str(error).splitlines()[0]}") from error


def _array(file: Any, size: int, most: int) -> np.ndarray:
    """One array of NumPy's format, whose header tells no more than the `size` bytes of the file hold."""
    data = file.read(min(size, most) + 1)
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    require(version in read_header, "version of NumPy's format", version, "1.0 or 2.0")
    shape, _, dtype = read_header[version](stream)
    require(not dtype.hasobject, "dtype", str(dtype), "one of plain numbers, without Python objects")
    claimed = math.prod(shape) * dtype.itemsize
    require(claimed <= len(data) - stream.tell(), "size of an array", claimed, "what the file holds")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)

"""Files that are there in full or not at all."""

import os
from pathlib import Path


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
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path

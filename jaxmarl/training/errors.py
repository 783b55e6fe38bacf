"""What a run says when it cannot go on, and the notes it prints: one line each."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunError(RuntimeError):
    """A run cannot start, go on or be resumed; the message is one line that says why and what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` of the block (disk full, no permission) into a one-line `RunError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def say(line: str) -> None:
    """Prints one line on stderr, where it also passes above a running progress bar."""
    print(line, file=sys.stderr, flush=True)

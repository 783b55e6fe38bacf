"""Experience on disk: a folder of compressed chunks and a manifest, written as it comes and read piece by piece.

A dataset is a sequence of chunks, each a flat dictionary of arrays with common leading axes (`[T, B]`: steps of
instances). Names, types and trailing shapes are the same in all chunks, and are in the manifest with a version of the
format, so that a file of another layout is refused and not misread.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.core.files import read_arrays, read_json, replace_file

SCHEMA_VERSION = 1
MANIFEST = "dataset.json"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Dataset:
    """A folder of chunks; `create_dataset` and `open_dataset` make it.

    Attributes:
        folder: where it is.
        about: what was told about it when it was created (environment, behaviour, …).
        leading: number of leading axes, whose sizes may differ from chunk to chunk.
    """

    folder: Path
    about: dict[str, Any]
    leading: int

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """Leading shape of each chunk."""
        return [tuple(size) for size in self._manifest()["sizes"]]

    def __len__(self) -> int:
        return len(self.sizes)

    def append(self, arrays: Arrays) -> None:
        """Writes one more chunk; a crash leaves the dataset without it.

        Raises:
            ValueError: names, types or shapes are not those of the chunks before.
            OSError: it cannot be written.
        """
        manifest = self._manifest()
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        require(len(arrays) > 0, "arrays", sorted(arrays), "one or more arrays")
        fields = {name: [str(x.dtype), list(x.shape[self.leading :])] for name, x in sorted(arrays.items())}
        size = next(iter(arrays.values())).shape[: self.leading]
        require(not manifest["sizes"] or fields == manifest["fields"], "arrays", fields, f"like {manifest['fields']}")
        for name, array in arrays.items():
            same = array.shape[: self.leading] == size
            require(same, f"arrays[{name!r}]", array.shape, f"of leading shape {size}")
        content = BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        replace_file(self._path(len(manifest["sizes"])), content.getvalue())
        self._write({**manifest, "fields": fields, "sizes": [*manifest["sizes"], list(size)]})

    def read(self, index: int) -> Arrays:
        """One chunk.

        Raises:
            ValueError: it is missing, damaged, or not what the manifest says.
        """
        manifest, path = self._manifest(), self._path(index)
        require(0 <= index < len(manifest["sizes"]), "index", index, f"one of {len(manifest['sizes'])} chunks")
        try:
            arrays = read_arrays(path)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        found = {name: [str(x.dtype), list(x.shape[self.leading :])] for name, x in sorted(arrays.items())}
        require(found == manifest["fields"], str(path), found, f"like {manifest['fields']}")
        size = manifest["sizes"][index]
        fits = all(list(x.shape[: self.leading]) == size for x in arrays.values())
        require(fits, str(path), {name: x.shape for name, x in arrays.items()}, f"of leading shape {size}")
        return arrays

    def chunks(self, seed: int | None = None) -> Iterator[Arrays]:
        """All chunks, one in memory at a time, in order or shuffled by `seed`."""
        order = np.arange(len(self))
        if seed is not None:
            np.random.default_rng(seed).shuffle(order)
        for index in order:
            yield self.read(int(index))

    def _path(self, index: int) -> Path:
        return self.folder / f"chunk-{index:05d}.npz"

    def _manifest(self) -> dict[str, Any]:
        return _read_manifest(self.folder)

    def _write(self, manifest: dict[str, Any]) -> None:
        replace_file(self.folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())


def create_dataset(folder: Path, about: dict[str, Any] | None = None, leading: int = 2) -> Dataset:
    """An empty dataset in `folder`, which is made.

    Args:
        folder: without a dataset so far.
        about: what should be known of it, of JSON's types.
        leading: number of leading axes of its arrays.

    Raises:
        ValueError: there is a dataset.
    """
    folder = Path(folder)
    require(not (folder / MANIFEST).exists(), "folder", str(folder), "without a dataset")
    folder.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(folder, about or {}, leading)
    dataset._write(
        {"schema_version": SCHEMA_VERSION, "about": dataset.about, "leading": leading, "fields": {}, "sizes": []}
    )
    return dataset


def open_dataset(folder: Path) -> Dataset:
    """The dataset in `folder`.

    Raises:
        ValueError: there is none, or it is of another version.
    """
    manifest = _read_manifest(Path(folder))
    return Dataset(Path(folder), manifest["about"], manifest["leading"])


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_json(folder / MANIFEST)
        version, wanted = manifest["schema_version"], {"about": dict, "leading": int, "fields": dict, "sizes": list}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"folder must hold a dataset, got {str(folder)!r} ({error})") from error
    require(version == SCHEMA_VERSION, "schema_version", version, f"{SCHEMA_VERSION}, which this release reads")
    for name, kind in wanted.items():
        good = isinstance(manifest.get(name), kind)
        require(good, f"{name} in {folder / MANIFEST}", manifest.get(name), f"a {kind.__name__}")
    return manifest

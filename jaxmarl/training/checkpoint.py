"""Checkpoints of a learner's state: written atomically by orbax, verified when they are read."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmarl.core.checks import require_int
from jaxmarl.learners.base import Learner
from jaxmarl.training import storage
from jaxmarl.training.devices import gather
from jaxmarl.training.errors import RunError, say, writing
from jaxmarl.training.leaves import data_shape, describe, first_difference, is_key, key_impl

Snapshot = dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints of one run, a folder named by its number of updates each.

    A checkpoint is a flat dict from the path of a leaf to a host array (random keys as their key data), with the dtypes
    and shapes of all leaves. Arrays are whole, so nothing on disk tells which devices they were spread over.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path, abstract: PyTree, keep: int = 1) -> None:
        """For states like `abstract` (of `jax.eval_shape`); the `keep` newest are kept."""
        self.folder, self._keep = folder, keep
        paths, self._treedef = jax.tree_util.tree_flatten_with_path(abstract)
        self._leaves = {jax.tree_util.keystr(path): leaf for path, leaf in paths}
        self._spec = {name: describe(leaf) for name, leaf in self._leaves.items()}

    def snapshot(self, state: PyTree) -> Snapshot:
        """A copy of `state` on the host, which outlives the donation of its buffers; every process must call it."""
        data = [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in jax.tree.leaves(state)]
        return dict(zip(self._spec, gather(data), strict=True))

    def save(self, updates: int, snapshot: Snapshot) -> None:
        """Writes a checkpoint, atomically, then removes the ones beyond `keep`.

        Raises:
            RunError: it cannot be written; the previous ones are intact.
        """
        path = self.folder / str(updates)
        # orbax refuses arrays without elements; they hold nothing, and restore makes them anew
        arrays = {name: array for name, array in snapshot.items() if array.size}
        with writing(self.folder):
            self.folder.mkdir(exist_ok=True)
        try:
            storage.write(path, arrays, {"updates": updates, "leaves": self._spec})
        except Exception as error:
            storage.clean(self.folder)
            kept = f"checkpoint {self.saved()[-1]} is intact" if self.saved() else "there is no earlier one"
            raise RunError(f"cannot write checkpoint {path}: {storage.one_line(error)}; {kept}") from error
        for old in self.saved()[: -self._keep]:
            shutil.rmtree(self.folder / str(old), ignore_errors=True)

    def saved(self) -> list[int]:
        """Numbers of updates of the finished checkpoints, oldest first."""
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdecimal() and path.is_dir())

    def read(self, updates: int) -> Snapshot:
        """What was saved after `updates` updates, on the host (see `assemble`).

        Raises:
            storage.CorruptError: its files are damaged.
            RunError: it holds a state of other shapes or dtypes.
        """
        path = self.folder / str(updates)
        stored = storage.verify(path)["leaves"]
        if difference := first_difference(stored, self._spec):
            raise RunError(f"checkpoint {path} does not fit this learner: {difference} (has its config changed?)")
        arrays = {name: np.empty(*data_shape(leaf)) for name, leaf in self._leaves.items()}
        return arrays | storage.read(path, {name: array for name, array in arrays.items() if array.size})

    def assemble(self, snapshot: Snapshot) -> PyTree:
        """The state of a snapshot, on the default device."""
        leaves = [
            jax.random.wrap_key_data(jnp.asarray(snapshot[name]), impl=key_impl(leaf))
            if is_key(leaf)
            else jax.device_put(snapshot[name])
            for name, leaf in self._leaves.items()
        ]
        return jax.tree.unflatten(self._treedef, leaves)

    def read_newest(self, *, set_aside: bool = False) -> tuple[Snapshot, int] | None:
        """The newest snapshot that can be read and its number of updates, with a warning for each that cannot.

        Args:
            set_aside: rename the damaged ones, so that the run can write these numbers again, and clean up.

        Returns:
            None if there is no checkpoint at all.

        Raises:
            RunError: no checkpoint can be read, or it holds a state of other shapes or dtypes.
        """
        damaged: list[int] = []
        for updates in reversed(self.saved()):
            try:
                snapshot = self.read(updates)
            except storage.CorruptError as error:
                say(f"warning: checkpoint {self.folder / str(updates)} is damaged and skipped: {error}")
                damaged.append(updates)
            else:
                if set_aside:
                    storage.clean(self.folder)
                    self._set_aside(damaged)
                return snapshot, updates
        if damaged:
            raise RunError(f"no checkpoint in {self.folder} can be read: start anew in another folder")
        return None

    def restore_newest(self, *, set_aside: bool = False) -> tuple[PyTree, int] | None:
        """The state of `read_newest`, on the default device."""
        newest = self.read_newest(set_aside=set_aside)
        return None if newest is None else (self.assemble(newest[0]), newest[1])

    def _set_aside(self, damaged: list[int]) -> None:
        for updates in damaged:
            aside = self.folder / f"damaged-{updates}"
            with writing(aside):
                shutil.rmtree(aside, ignore_errors=True)
                (self.folder / str(updates)).rename(aside)


def restore_state(learner: Learner, run_dir: str | Path, updates: int | None = None) -> tuple[PyTree, int]:
    """A state that `run` saved, to evaluate `learner.params(state)` or to train on by hand.

    Args:
        learner: made as for the run.
        run_dir: folder of the run.
        updates: which checkpoint; by default the newest that can be read.

    Returns:
        The state, and the number of updates behind it.

    Raises:
        RunError: there is no such checkpoint, it is damaged, or it does not fit `learner`.
    """
    folder = Path(run_dir).expanduser().absolute() / "checkpoints"
    checkpoints = Checkpoints(folder, jax.eval_shape(learner.init, jax.random.key(0)))
    if updates is None:
        if (newest := checkpoints.restore_newest()) is None:
            raise RunError(f"there is no checkpoint in {folder}")
        return newest
    require_int("updates", updates, 1)
    if updates not in checkpoints.saved():
        raise RunError(f"there is no checkpoint {updates} in {folder}; it has {checkpoints.saved()}")
    try:
        return checkpoints.assemble(checkpoints.read(updates)), updates
    except storage.CorruptError as error:
        raise RunError(f"checkpoint {folder / str(updates)} is damaged: {error}") from error

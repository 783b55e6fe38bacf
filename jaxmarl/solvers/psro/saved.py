"""PSRO in a folder: a checkpoint after every iteration, resumed bit for bit, reloaded to be evaluated."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array

from jaxmarl.core.checks import require_int
from jaxmarl.training.checkpoint import Checkpoints
from jaxmarl.training.errors import RunError
from jaxmarl.training.record import CHECKPOINTS, RUN_FILE, claim_folder, plain, write_json

ROWS_FILE = "iterations.json"


@runtime_checkable
class Loop(Protocol):
    """What is kept: a `Psro`, a `pipeline.Pipeline`, or what has their methods and a state like theirs."""

    settings: Any

    def start(self, key: Array) -> Any:
        """The first state."""

    def step(self, state: Any) -> Any:
        """The next one."""

    def finished(self, state: Any) -> bool:
        """Whether it is the last."""


def run_saved(
    psro: Loop,
    run_dir: str | Path,
    *,
    seed: int = 0,
    resume: bool = False,
    config: Mapping[str, Any] | None = None,
    on_iteration: Callable[[Any], Any] | None = None,
) -> Any:
    """`psro.run` that keeps populations, payoffs and trace in a folder.

    Args:
        psro: game and settings.
        run_dir: folder of the run; it is made, its parent is not.
        seed: of the run's key.
        resume: go on from the newest checkpoint of the run in `run_dir`, under the same seed, settings and `config`.
        config: what the game was made from, kept in `run.json`.
        on_iteration: called with the state after each iteration.

    Returns:
        The last state. `iterations.json` has its rows.

    Raises:
        RunError: the folder cannot be written, holds a run that was not to be resumed or another one.
    """
    require_int("seed", seed, 0, 2**32 - 1)
    folder = Path(run_dir).expanduser().absolute()
    record = {"seed": seed, "config": plain({**(config or {}), "psro": psro.settings}), "steps_per_update": 0}
    claim_folder(folder, record, resume)
    state = psro.start(jax.random.key(seed))
    checkpoints = Checkpoints(folder / CHECKPOINTS, state)
    restored = checkpoints.restore_newest(set_aside=True) if resume else None
    state = restored[0] if restored else state
    write_json(folder / RUN_FILE, record)
    while not psro.finished(state):
        state = psro.step(state)
        checkpoints.save(int(state.iteration), checkpoints.snapshot(state))
        write_json(folder / ROWS_FILE, {name: column.tolist() for name, column in state.rows().items()})
        if on_iteration:
            on_iteration(state)
    return state


def load_state(psro: Loop, run_dir: str | Path) -> Any:
    """The newest state of a run, to be evaluated.

    Args:
        psro: made as for the run.
        run_dir: its folder.

    Raises:
        RunError: there is no checkpoint that can be read and fits.
    """
    folder = Path(run_dir).expanduser().absolute() / CHECKPOINTS
    restored = Checkpoints(folder, psro.start(jax.random.key(0))).restore_newest()
    if restored is None:
        raise RunError(f"there is no checkpoint in {folder}")
    return restored[0]

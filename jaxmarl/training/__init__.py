"""The one host loop of the library: progress, metrics, checkpoints, clean stops and bit-for-bit resumption."""

from jaxmarl.training.checkpoint import restore_state
from jaxmarl.training.errors import RunError
from jaxmarl.training.loop import RunResult, run

__all__ = ["RunError", "RunResult", "restore_state", "run"]

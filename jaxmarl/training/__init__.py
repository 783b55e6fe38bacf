"""The one host loop of the library: progress, metrics, checkpoints, clean stops and bit-for-bit resumption."""

from jaxmarl.training.checkpoint import restore_state
from jaxmarl.training.devices import make_mesh, state_shardings
from jaxmarl.training.errors import RunError
from jaxmarl.training.loop import RunResult, run
from jaxmarl.training.processes import connect

__all__ = ["RunError", "RunResult", "connect", "make_mesh", "restore_state", "run", "state_shardings"]

"""Several processes that train together: one writes, all agree on what was read and on when to stop."""

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxmarl.core.checks import require, require_int

T = TypeVar("T")


def connect(coordinator: str, num_processes: int, process_id: int) -> None:
    """Joins `num_processes` processes; call it before anything else of JAX, with the same coordinator in each.

    On CPUs the processes talk by gloo. Afterwards `jax.devices()` are those of all of them.

    Args:
        coordinator: HOST:PORT at which process 0 can be reached; it listens there.
        num_processes: how many there are.
        process_id: which one this is, from 0.

    Raises:
        ValueError: an argument is out of its range.
        RuntimeError: the others cannot be reached, or JAX has started already.
    """
    host, _, port = coordinator.rpartition(":")
    require(bool(host) and port.isdecimal(), "coordinator", coordinator, "HOST:PORT")
    require_int("num_processes", num_processes, 1)
    require_int("process_id", process_id, 0, num_processes - 1)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, num_processes, process_id)


def is_first() -> bool:
    """Whether this process writes the records; true where it is alone."""
    return jax.process_index() == 0


def by_first(function: Callable[[], T]) -> T:
    """What `function` returns, or raises, in the first process; the others do not call it, and get a copy."""
    if jax.process_count() == 1:
        return function()
    answer: tuple[Any, Exception | None] = (None, None)
    if is_first():
        try:
            answer = function(), None
        except Exception as error:
            answer = None, error
    data = np.frombuffer(pickle.dumps(answer), np.uint8)
    # all must give arrays of one size, which only the first knows; bytes, since sums of floats may change a zero's sign
    size = int(multihost_utils.broadcast_one_to_all(np.int32(data.size)))
    sent = multihost_utils.broadcast_one_to_all(np.resize(data, size))
    result, failure = pickle.loads(sent.tobytes())
    if failure is not None:
        raise failure
    return result


def greatest(number: int) -> int:
    """The greatest of the numbers that the processes give; every one must call it."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())

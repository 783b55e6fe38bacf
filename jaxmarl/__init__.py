"""Markets and games as pure JAX functions, and the solvers, learners and population evaluations that run on them."""

from jaxmarl import envs
from jaxmarl.core import *  # noqa: F403
from jaxmarl.core import __all__ as _core
from jaxmarl.core.registry import list_envs, make

__version__ = "0.1.0"
__all__ = [*_core, "__version__", "envs", "list_envs", "make"]

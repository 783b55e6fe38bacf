"""The public JaxMARL's own IPPO script, read from its file, as something to be timed."""

import importlib.util
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxmarl.interop import import_public
from jaxmarl.interop.agent_dict_environment import in_place_of_ours

# of `baselines/IPPO/config/ippo_ff_mpe.yaml`, but for the sizes and the environment
SETTINGS = {
    "LR": 2.5e-4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ANNEAL_LR": True,
    "ENV_KWARGS": {},
}


def load_script(path: Path, folder: Path) -> Callable[[dict[str, Any]], Callable[[Any], Any]]:
    """`make_train` of `baselines/IPPO/ippo_ff_mpe.py`, which finds the public package where it imports `jaxmarl`.

    Hydra, OmegaConf and wandb, which only configure and log, are stood in for where they are not installed.

    Args:
        path: of the script.
        folder: where the public package is installed.
    """
    package, baselines = (import_public(folder, name) for name in ("jaxmarl", "jaxmarl.wrappers.baselines"))
    absent = {name: module for name, module in _loggers().items() if importlib.util.find_spec(name) is None}
    with in_place_of_ours({"jaxmarl": package, "jaxmarl.wrappers.baselines": baselines, **absent}):
        return runpy.run_path(str(path))["make_train"]


def _loggers() -> dict[str, ModuleType]:
    """Modules that do nothing."""
    hydra, omegaconf, wandb = ModuleType("hydra"), ModuleType("omegaconf"), ModuleType("wandb")
    vars(hydra).update(main=lambda **_: lambda function: function)
    vars(omegaconf).update(OmegaConf=None)
    vars(wandb).update(log=lambda _: None)
    return {module.__name__: module for module in (hydra, omegaconf, wandb)}

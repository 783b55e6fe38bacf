"""Importing the environments costs what jax and flax cost: no learners, solvers, plots or command line, no backend."""

import subprocess
import sys
import textwrap

FORBIDDEN = (
    "jaxmarl.bench",
    "optax",
    "orbax",
    "distrax",
    "tensorflow_probability",
    "matplotlib",
    "tyro",
    "beartype",
    "pytest",
    "scipy",
    "pyspiel",
    "flax.nnx",
    "jaxmarl.learners",
    "jaxmarl.solvers",
    "jaxmarl.training",
    "jaxmarl.evaluation",
    "jaxmarl.viz",
    "jaxmarl.experiments",
    "jaxmarl.testing",
    "jaxmarl.cli",
)


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def modules_after(statement: str) -> set[str]:
    return set(run(f"import sys\n{statement}\nprint('\\n'.join(sys.modules))").split())


def test_environments_bring_in_nothing_heavy():
    loaded = modules_after("import jaxmarl.envs")
    assert "jaxmarl.core.environment" in loaded
    assert not [name for name in loaded if name.startswith(FORBIDDEN)]


def test_beyond_jax_and_flax_only_jaxtyping_comes():
    baseline = {name.split(".")[0] for name in modules_after("import jax; from flax import struct")}
    loaded = {name.split(".")[0] for name in modules_after("import jaxmarl.envs")}
    assert loaded - baseline - set(sys.stdlib_module_names) <= {"jaxmarl", "jaxtyping", "wadler_lindig"}


def test_import_starts_no_jax_backend():
    code = """
        import jaxmarl.envs
        from jax._src import xla_bridge
        print(xla_bridge.backends_are_initialized())
        import jax
        jax.devices()
        print(xla_bridge.backends_are_initialized())
    """
    assert run(code).split() == ["False", "True"]


def test_import_prints_nothing_and_its_time_is_shown():
    assert run("import jaxmarl") == ""
    code = """
        import time, jax
        start = time.perf_counter()
        import jaxmarl.envs
        print(time.perf_counter() - start)
    """
    seconds = min(float(run(code)) for _ in range(3))
    print(f"import jaxmarl.envs takes {seconds:.2f} s beyond jax (best of 3)")

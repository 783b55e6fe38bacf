"""A compilation cache that outlives the test run, and run-time checks of shapes and types in the contracts."""

import gc
import os
from pathlib import Path

import jax
from jaxtyping import install_import_hook

# the user's, so that a fresh clone on the same machine starts warm: compiling is two thirds of a cold run
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxmarl" / "tests"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)

CHECKED = ("core", "distributional", "envs", "games", "solvers")
install_import_hook([f"jaxmarl.{package}" for package in CHECKED], "typecheck.functions_only")

gc.set_threshold(10_000, 20, 20)  # tracing makes and drops many small objects: 4 % less time, the same memory

MOST_MAPPINGS = 15_000  # of a test process; Linux allows 65530, and every compiled program takes a few


def pytest_runtest_teardown(item, nextitem):
    """Forgets compiled programs between test files once there are many; the cache on disk brings them back."""
    mappings = Path("/proc/self/maps")
    if (nextitem is None or nextitem.path != item.path) and mappings.exists():
        with mappings.open("rb") as lines:
            if sum(1 for _ in lines) > MOST_MAPPINGS:
                jax.clear_caches()
                gc.collect()

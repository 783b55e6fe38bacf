"""Programs here run once on a few numbers: they are compiled in a hurry."""

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def unoptimised():
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)

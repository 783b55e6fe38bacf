"""What a state's leaves are, for those who write them to disk."""

from typing import Any

import jax
import numpy as np


def is_key(leaf: Any) -> bool:
    """Whether a leaf, concrete or abstract, holds typed random keys."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def key_impl(leaf: Any) -> Any:
    """The random number implementation of an abstract leaf of keys."""
    impls: list[Any] = []
    # the leaf is abstract, and only a (traced) key tells its implementation
    jax.eval_shape(lambda key: impls.append(jax.random.key_impl(key)), leaf)
    return impls[0]


def data_shape(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an abstract leaf as plain numbers: keys as their key data."""
    data = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
    return data.shape, data.dtype


def describe(leaf: Any) -> str:
    """A leaf's dtype and shape in one word, such as `float32[3,4]` or `key<fry>[]`."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def first_difference(stored: dict[str, str], wanted: dict[str, str]) -> str:
    """The first leaf in which two descriptions of a state differ, in words; empty if there is none."""
    for name in {**wanted, **stored}:
        if stored.get(name) != wanted.get(name):
            return f"{name} is stored as {stored.get(name, 'nothing')}, wanted as {wanted.get(name, 'nothing')}"
    return ""

"""Whatever is registered keeps its contract: no list to keep by hand, no exemption."""

import jax.numpy as jnp
import pytest

from jaxmarl.core import Discrete, list_envs
from jaxmarl.envs.rps import BOTS
from jaxmarl.testing import check_policy, check_registered


@pytest.mark.parametrize("name", list_envs())
def test_environment(name):
    check_registered(name)


@pytest.mark.parametrize("name", BOTS)
@pytest.mark.parametrize("last", [(-1, -1), (2, 0)], ids=["start", "midgame"])
def test_bot(name, last):
    check_policy(BOTS[name].policy, jnp.asarray(last, jnp.int32), action_space=Discrete(3))

"""Policies: `categorical`, `uniform_policy`, and `check_policy`, which names what is broken."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DRAWN, ROTATE, constant

from jaxmarl.core import Box, Discrete, MaskedObs, Policy, Uniform, uniform_policy
from jaxmarl.core.policy import categorical
from jaxmarl.testing import POLICY_INVARIANTS, check_policy

OBS = jnp.zeros(3)
CALLS = itertools.count()
LAST_UNIT = 1 - 2**-24


def test_categorical_inverts_the_distribution():
    logits = jnp.log(jnp.asarray([0.1, 0.2, 0.7]))
    units = jnp.asarray([0.0, 0.05, 0.15, 0.25, 0.35, LAST_UNIT])
    actions = categorical(jnp.broadcast_to(logits, (6, 3)), units)
    np.testing.assert_array_equal(actions, [0, 0, 1, 1, 2, 2])
    assert actions.dtype == jnp.int32


def test_categorical_never_takes_what_has_no_probability():
    logits = jax.random.normal(jax.random.key(0), (5000, 9)) * 10
    legal = jax.random.bernoulli(jax.random.key(1), 0.4, (5000, 9)).at[:, 4].set(True)
    for unit in (0.0, 0.5, LAST_UNIT):
        for illegal in (-jnp.inf, -1e30):
            masked = jnp.where(legal, logits, illegal)
            actions = categorical(masked, jnp.full(5000, unit))
            assert bool(jnp.take_along_axis(legal, actions[:, None], axis=1).all())


def test_uniform_policy_is_uniform_on_the_legal_actions():
    policy = uniform_policy(5)
    mask = jnp.asarray([False, True, True, False, True])
    keys = jax.random.split(jax.random.key(0), 30_000)
    actions, _ = jax.vmap(lambda key: policy.sample(key, (), (), MaskedObs(OBS, mask)))(keys)
    np.testing.assert_allclose(np.bincount(actions, minlength=5) / 30_000, [0, 1 / 3, 1 / 3, 0, 1 / 3], atol=0.015)


@pytest.mark.parametrize("policy", [constant(1), ROTATE, DRAWN], ids=lambda policy: policy.name)
def test_scripted_policies_conform(policy):
    check_policy(policy, OBS, action_space=Discrete(3))


def test_masked_and_continuous_policies_conform():
    mask = jnp.asarray([True, False, True])
    check_policy(uniform_policy(3), MaskedObs(OBS, mask), action_space=Discrete(3))
    bid = Policy(lambda chance: (), lambda p, m, obs, u: (p["scale"] * u[None] + 0 * obs[:1], m), act_chance=Uniform())
    check_policy(bid, OBS, {"scale": jnp.float32(0.5)}, action_space=Box(0.0, 1.0, (1,)))


def policy_of(act, init=lambda chance: jnp.zeros((), jnp.int32), **kwargs) -> Policy:
    return Policy(init, act, **kwargs)


BROKEN = [
    (policy_of(lambda p, m, o, c: (jnp.int32(0), m), masked=True), "masked_policies_see_masks"),
    (policy_of(lambda p, m, o, c: (jnp.int32(0), m + 0.5)), "memory_is_stable"),
    (policy_of(lambda p, m, o, c: (jnp.int32(0), (m, m))), "memory_is_stable"),
    (policy_of(lambda p, m, o, c: (jnp.int32(3), m)), "actions_fit"),
    (policy_of(lambda p, m, o, c: (jnp.float32(1), m)), "actions_fit"),
    (policy_of(lambda p, m, o, c: (jnp.int32([0]), m)), "actions_fit"),
    (policy_of(lambda p, m, o, c: (jnp.int32(next(CALLS) % 3), m)), "policy_is_pure"),
    (policy_of(lambda p, m, o, c: (jnp.int32(isinstance(m, jax.core.Tracer)), m)), "policy_jit_equals_eager"),
    (policy_of(lambda p, m, o, c: (jnp.int32(0), m + jnp.sum(o > 0))), "policy_runs_in_x64"),
    (policy_of(lambda p, m, o, c: (jnp.int32(0) if o[0] > 0 else jnp.int32(1), m)), "memory_is_stable"),
]


@pytest.mark.parametrize(("policy", "invariant"), BROKEN, ids=[f"{i}-{name}" for i, (_, name) in enumerate(BROKEN)])
def test_check_policy_names_what_is_broken(policy, invariant):
    with pytest.raises(AssertionError, match=rf"^policy: {invariant}: [^\n]+$"):
        check_policy(policy, OBS, action_space=Discrete(3))


def test_an_illegal_action_is_caught():
    policy = policy_of(lambda p, m, o, c: (jnp.int32(1), m), masked=True)
    with pytest.raises(AssertionError, match="actions_fit: an illegal action was taken"):
        check_policy(policy, MaskedObs(OBS, jnp.asarray([True, False])))


def test_every_policy_invariant_is_seen_to_fail():
    assert {invariant.__name__ for invariant in POLICY_INVARIANTS} == {name for _, name in BROKEN}

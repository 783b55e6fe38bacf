"""`check_env` accepts what keeps the contract, and names the invariant of what does not."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from broken_envs import BROKEN, NarrowState

from jaxmarl.core import AgainstPolicies, uniform_policy
from jaxmarl.envs.rps import RepeatedRPS
from jaxmarl.testing import INVARIANTS, check_env
from jaxmarl.testing.conformance import run_check
from jaxmarl.testing.play import Subject
from jaxmarl.testing.probes import PROBES, BoxMarket, MaskedChoice, OneStep, Recall, TimeLimited

BY_NAME = {invariant.__name__: invariant for invariant in INVARIANTS}
RPS = RepeatedRPS(num_throws=10)


@pytest.mark.parametrize("env", [*(probe() for probe in PROBES), TimeLimited(declared=True)], ids=repr)
def test_probes_conform(env):
    check_env(env)


@pytest.mark.parametrize(
    "fields",
    [
        {"layout": "own_first", "recall": 3},
        {"layout": "open_spiel", "recall": 3},
        {"layout": "moves"},
        {"layout": "moves", "recall": 3},
        {"append_time": True},
    ],
    ids=str,
)
def test_layouts_of_repeated_rps_conform(fields):
    check_env(dataclasses.replace(RPS, **fields))


@pytest.mark.parametrize(
    "env",
    [
        AgainstPolicies(MaskedChoice(), (uniform_policy(4),), seat=1),
        AgainstPolicies(RPS, (uniform_policy(3),)),
    ],
    ids=lambda env: f"{type(env).__name__} of {type(env.env).__name__}",
)
def test_wrapped_environments_conform(env):
    check_env(env)


@pytest.mark.parametrize(("env", "invariant", "detail"), BROKEN, ids=[f"{type(e).__name__}-{i}" for e, i, _ in BROKEN])
def test_the_invariant_catches_what_breaks_it(env, invariant, detail):
    with pytest.raises(AssertionError) as caught:
        run_check(type(env).__name__, BY_NAME[invariant], Subject(env, env.default_params))
    message = str(caught.value)
    assert message.startswith(f"{type(env).__name__}: {invariant}: ")
    assert detail in message
    assert "\n" not in message


@pytest.mark.parametrize("env", [env for env, _, _ in BROKEN], ids=lambda env: type(env).__name__)
def test_the_whole_check_catches_it(env):
    with pytest.raises(AssertionError, match=rf"^{type(env).__name__}: \w+: [^\n]+$"):
        check_env(env)


def test_every_invariant_is_seen_to_fail():
    assert set(BY_NAME) == {invariant for _, invariant, _ in BROKEN}


def test_every_invariant_says_what_it_means():
    assert all(invariant.__doc__ for invariant in INVARIANTS)


def test_corners_are_played():
    params = OneStep().default_params
    check_env(OneStep(), corners=[params.replace(reward=jnp.float32(1e6))])
    with pytest.raises(AssertionError, match=r"^OneStep: finite: reward is not finite at step 0 .* at corners\[1\]$"):
        check_env(OneStep(), corners=[params, params.replace(reward=jnp.float32(jnp.inf))])


def test_params_may_be_given():
    check_env(BoxMarket(), BoxMarket().default_params.replace(target=jnp.float32(-1.0)), num_steps=16, seed=3)


def test_a_policy_sees_no_more_than_the_probe_shows():
    """`Recall` needs memory: after the first step observations do not depend on the cue."""
    env = Recall(length=3, num_cues=5)
    states = jax.vmap(lambda cue: env.initial(cue, ()))(jnp.arange(5))
    for t in range(3):
        obs = jax.vmap(env.observe, in_axes=(0, None))(states, ())
        assert bool((obs == obs[0]).all()) is (t > 0)
        states = jax.vmap(lambda s: env.transition(s, jnp.zeros(1, jnp.int32), (), ())[0])(states)


def test_an_invariant_is_left_out_by_name():
    check_env(NarrowState(), without=("runs_in_x64",))
    with pytest.raises(AssertionError, match=r"^NarrowState: runs_in_x64: "):
        check_env(NarrowState(), without=("no_retracing",))
    with pytest.raises(ValueError, match="did you mean 'no_retracing'"):
        check_env(NarrowState(), without=("no_retrace",))

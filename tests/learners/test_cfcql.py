"""The counterfactual penalty by its limits, and learning from chunks on disk."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs, uniform_policy
from jaxmarl.core.rollout import actor_from_policy
from jaxmarl.envs.dilemmas import TwoStepGame
from jaxmarl.learners.offline import (
    CFCQLConfig,
    arrays_of,
    cfcql,
    collect,
    counterfactual_penalty,
    deviation_weights,
    draw_sequences,
    steps_from,
    train,
)
from jaxmarl.learners.offline.cfcql import _CFCQL
from jaxmarl.learners.team import MonotonicMixer, SumMixer, TeamNetwork, team_network
from jaxmarl.learners.team.targets import evaluate
from jaxmarl.learners.value.heads import chosen
from jaxmarl.training.dataset import create_dataset, open_dataset

ENV = VectorEnv(TwoStepGame(), 16)
CONFIG = CFCQLConfig(hidden=(16,), embed=8, hypernet=16, reward="mean", learning_rate=5e-3, target_every=20, batch=32)


@partial(jax.jit, static_argnames="mixer")
def penalty(outputs, action, mixer=None, mask=None, weights=None):
    """The penalty of values `[batch, N, A]`, and the team's value of the actions."""
    num = outputs.shape[-2]
    network = TeamNetwork(None, mixer or SumMixer(), lambda obs: obs, num)
    state = jnp.linspace(-1, 1, outputs.shape[0])[:, None]
    params = {"mixer": network.mixer.init(jax.random.key(7), outputs[..., 0], state)}
    value = network.mix(params, chosen(outputs, action), state)
    mask = jnp.ones(outputs.shape, bool) if mask is None else mask
    weights = jnp.full(action.shape, 1 / num) if weights is None else weights
    return counterfactual_penalty(network, params, outputs, value, state, action, mask, weights), value


def drawn(batch, num, actions):
    draws = np.random.default_rng(num)
    values = 3 * draws.normal(size=(batch, num, actions)).astype(np.float32)
    return values, draws.integers(0, actions, (batch, num), dtype=np.int32)


def test_the_penalty_is_never_negative_and_of_constant_values_is_a_mean_of_logarithms():
    outputs, action = drawn(200, 3, 4)
    mixer = MonotonicMixer(4, 8)
    # one of the agents has two legal actions
    mask = np.ones((200, 3, 4), bool)
    mask[:, 0, 2:] = False
    weights = np.broadcast_to(np.array([0.5, 0.2, 0.3], np.float32), (200, 3))
    action = np.minimum(action, [1, 3, 3])
    assert float(penalty(outputs, action, mixer, mask, weights)[0].min()) >= -1e-5
    flat, _ = penalty(np.zeros_like(outputs), action, mixer, mask, weights)
    np.testing.assert_allclose(flat, 0.5 * np.log(2) + 0.5 * np.log(4), rtol=1e-5)


def test_one_agent_is_conservative_q_learning_and_many_alike_cost_no_more():
    outputs, action = drawn(50, 1, 4)
    single, value = penalty(outputs, action)
    np.testing.assert_allclose(single, jax.nn.logsumexp(outputs[:, 0], -1) - value[:, 0], atol=1e-5)
    five, _ = penalty(np.repeat(outputs, 5, 1), np.repeat(action, 5, 1))
    np.testing.assert_allclose(five, single, atol=1e-4)  # the joint penalty would be five times as much


def test_weights_grow_with_the_deviation_from_the_behaviour():
    logits = jnp.zeros((1, 3, 2))
    outputs = jnp.array([[[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]]])
    weights = deviation_weights(outputs, logits, jnp.ones((1, 3, 2), bool), 2.0)[0]
    probabilities = np.array([1 / (1 + np.exp(-x)) for x in (0.0, 1.0, 4.0)])
    distance = np.log(2) + probabilities * np.log(probabilities) + (1 - probabilities) * np.log(1 - probabilities)
    np.testing.assert_allclose(weights, np.exp(2 * distance) / np.exp(2 * distance).sum(), rtol=1e-5)


@pytest.fixture(scope="module")
def played():
    """Steps `[8, 16]` of uniform play."""
    actor = actor_from_policy(uniform_policy(2), 16, 2)
    once = jax.jit(lambda key: collect(ENV, actor, (), key, 2))
    several = [once(jax.random.key(i)) for i in range(4)]
    return jax.tree.map(lambda *x: jnp.concatenate(x), *several)


def test_without_a_weight_it_is_the_square_error_of_the_team(played):
    batch = draw_sequences(played, jax.random.key(0), 32, 1)
    network = team_network(ENV, CONFIG)
    params, old = (network.init(jax.random.key(i), batch.obs[0]) for i in range(2))

    def error(params):
        found = evaluate(network, CONFIG, params, old, batch)
        return jnp.mean(0.5 * (found.value - found.target) ** 2)

    def gradients(params):
        settings = replace(CONFIG, alpha=0.0), replace(CONFIG, alpha=1.0)
        losses = (lambda p, c=c: _CFCQL(ENV, c, None, network).loss(p, old, batch)[0] for c in settings)
        return [jax.grad(loss)(params) for loss in (error, *losses)]

    plain, without, with_penalty = jax.jit(gradients)(params)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(without), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    outputs = (found["agents"]["params"]["outputs"]["bias"] for found in (plain, with_penalty))
    assert not np.allclose(*outputs, atol=1e-3)


def test_chunks_come_back_as_they_were_and_damage_is_refused(played, tmp_path):
    dataset = create_dataset(tmp_path / "data", {"env": "two_step_game"})
    arrays = arrays_of(played)
    dataset.append(arrays)
    dataset.append({name: x[:4] for name, x in arrays.items()})
    again = open_dataset(tmp_path / "data")
    assert (again.about, again.sizes) == ({"env": "two_step_game"}, [(8, 16), (4, 16)])
    for one, other in zip(jax.tree.leaves(steps_from(again.read(0))), jax.tree.leaves(played), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(len(x["action"]) for x in again.chunks(seed=3)) == [4, 8]
    with pytest.raises(ValueError, match="arrays"):
        again.append({**arrays, "reward": arrays["reward"].astype(np.float64)})
    with pytest.raises(ValueError, match="without a dataset"):
        create_dataset(tmp_path / "data")
    chunk = tmp_path / "data" / "chunk-00001.npz"
    chunk.write_bytes(chunk.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read"):
        again.read(1)
    manifest = tmp_path / "data" / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ValueError, match="schema_version"):
        open_dataset(tmp_path / "data")
    with pytest.raises(ValueError, match="folder"):
        open_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("alpha", "best"), [(0.05, 8.0), pytest.param(30.0, 7.0, marks=pytest.mark.slow)], ids=["little", "much"]
)
def test_conservatism_keeps_to_the_data(played, tmp_path, alpha, best):
    """With little of it, the data's best team is found; with much, what most of the data do: here, the safe game."""
    if alpha > 1:
        safe = played.action[::2, :, 0] == 0  # first steps into the safe game, and few of the others
        rows = jnp.flatnonzero(jnp.mean(safe, axis=0) >= 0.75)
        played = jax.tree.map(lambda x: x[:, rows], played)
    dataset = create_dataset(tmp_path / "data")
    dataset.append(arrays_of(played))
    learner = cfcql(ENV, replace(CONFIG, alpha=alpha, weights="deviation", updates=800))
    state, metrics = train(learner, learner.init(jax.random.key(1)), dataset.chunks())
    env, numbers, paid = TwoStepGame(), TwoStepGame().default_params, 0.0
    now = env.initial((), numbers)
    for _ in range(2):
        seen = MaskedObs(env.observe(now, numbers), env.action_mask(now, numbers))
        now, reward, _, _ = env.transition(now, learner.policy.act(state.params, (), seen, ())[0], (), numbers)
        paid += float(reward[0])
    assert paid == best
    assert float(metrics[-1]["imitation"]) < np.log(2) + 0.05


@pytest.mark.parametrize(
    ("wrong", "name"), [({"alpha": -1.0}, "alpha"), ({"weights": "none"}, "weights"), ({"mixer": "none"}, "mixer")]
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        CFCQLConfig(**wrong)

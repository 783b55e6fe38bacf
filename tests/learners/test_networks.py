"""The recurrent core against flax's cell, and its resets."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.learners.networks import GRU, ILLEGAL_LOGIT, Dense, RecurrentActorCritic

T, B, F, H = 7, 3, 5, 8


@pytest.fixture(scope="module")
def gru():
    module = GRU(H)
    x = jax.random.normal(jax.random.key(0), (T, B, F))
    start = jnp.zeros((T, B), bool)
    memory = jax.random.normal(jax.random.key(1), (B, H))
    params = module.init(jax.random.key(2), memory, x, start)
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(3), p.shape), params)
    return module, params, memory, x, start


def flax_cell_params(params):
    """Our stacked kernels, in the names of `flax.linen.GRUCell`."""
    p = params["params"]
    parts = {}
    for i, gate in enumerate("rzn"):
        columns = slice(i * H, (i + 1) * H)
        parts[f"i{gate}"] = {"kernel": p["input"]["kernel"][:, columns], "bias": p["input"]["bias"][columns]}
        parts[f"h{gate}"] = {"kernel": p["recurrent"][:, columns]}
    parts["hn"]["bias"] = p["recurrent_bias"]
    return {"params": parts}


def test_equals_the_flax_cell(gru):
    module, params, memory, x, start = gru
    last, outputs = module.apply(params, memory, x, start)
    cell, theirs, expected = nn.GRUCell(H), flax_cell_params(params), memory
    for t in range(T):
        expected, _ = cell.apply(theirs, expected, x[t])
        np.testing.assert_allclose(outputs[t], expected, atol=1e-5)
    np.testing.assert_array_equal(last, outputs[-1])


def test_two_episodes_in_a_row_equal_two_runs(gru):
    module, params, memory, x, start = gru
    cut = 4
    _, joined = module.apply(params, memory, x, start.at[cut].set(True))
    _, first = module.apply(params, memory, x[:cut], start[:cut])
    _, second = module.apply(params, jnp.zeros_like(memory), x[cut:], start[cut:])
    np.testing.assert_allclose(joined, jnp.concatenate([first, second]), atol=1e-6)


def test_a_reset_touches_only_its_own_sequence(gru):
    module, params, memory, x, start = gru
    _, plain = module.apply(params, memory, x, start)
    _, reset = module.apply(params, memory, x, start.at[2, 1].set(True))
    np.testing.assert_array_equal(plain[:, [0, 2]], reset[:, [0, 2]])
    assert float(jnp.abs(plain[2:, 1] - reset[2:, 1]).min(axis=0).max()) > 1e-4


def test_step_by_step_equals_the_whole_sequence():
    network = RecurrentActorCritic(num_outputs=4, num_labels=2, hidden=H)
    obs = jax.random.normal(jax.random.key(0), (T, B, 2, 3))
    mask = jax.random.bernoulli(jax.random.key(1), 0.7, (T, B, 4)).at[..., 0].set(True)
    start = jax.random.bernoulli(jax.random.key(2), 0.3, (T, B))
    memory = network.initial_memory((B,))
    params = network.init(jax.random.key(3), memory, obs, mask, start)
    _, whole = network.apply(params, memory, obs, mask, start)
    assert whole.policy.shape == (T, B, 4)
    assert whole.label_logits.shape == (T, B, 2)
    np.testing.assert_array_equal(whole.policy == ILLEGAL_LOGIT, ~mask)
    for t in range(T):
        memory, heads = network.apply(params, memory, obs[t : t + 1], mask[t : t + 1], start[t : t + 1])
        np.testing.assert_allclose(heads.value[0], whole.value[t], atol=1e-5)
        np.testing.assert_allclose(heads.label_logits[0], whole.label_logits[t], atol=1e-5)


@pytest.mark.parametrize("shape", [(7,), (5, 7), (3, 2, 4, 7), (0, 2, 7)])
def test_dense_layers_are_those_of_flax(shape):
    """Outputs and gradients agree, whatever the axes of the batch."""
    x = jax.random.normal(jax.random.key(0), shape)
    params = nn.Dense(4).init(jax.random.key(1), x)

    def run(layer):
        loss = jax.value_and_grad(lambda params, x: jnp.sum(jnp.sin(layer(4).apply(params, x))), argnums=(0, 1))
        return layer(4).apply(params, x), loss(params, x)

    ours, theirs = run(Dense), run(nn.Dense)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)
    assert ours[0].shape == (*shape[:-1], 4)

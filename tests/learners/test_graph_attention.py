"""Attention over a graph: its limits, symmetries, and that nobody hears strangers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.learners.graph_attention import GraphAttention, adjacency_matrix, attention_weights

N, LAYER = 6, GraphAttention(heads=4, features=3)
GRAPH = adjacency_matrix(
    [[1, 2], [0, 0], [0, 3], [2, 0], [5, 0], [4, 0]], [[1, 1], [1, 0], [1, 1], [1, 0], [1, 0], [0, 0]]
)


@pytest.fixture(scope="module")
def case():
    """Parameters, and features of a batch of two instances."""
    x = jax.random.normal(jax.random.key(1), (2, N, 12))
    return LAYER.init(jax.random.key(0), x, GRAPH), x


def test_the_graph_of_padded_lists():
    wanted = np.eye(N, dtype=bool)
    for i, j in [(0, 1), (0, 2), (1, 0), (2, 0), (2, 3), (3, 2), (4, 5)]:
        wanted[i, j] = True
    np.testing.assert_array_equal(GRAPH, wanted)


def test_with_only_itself_to_hear_an_agent_is_an_mlp(case):
    params, x = case
    kernel = params["params"]["values"]["kernel"]
    got = LAYER.apply(params, x, np.eye(N, dtype=bool))
    np.testing.assert_allclose(got, x + jax.nn.elu(x @ kernel), atol=1e-6)
    assert np.abs(np.asarray(LAYER.apply(params, x, GRAPH) - got))[:, :5].max() > 0.1, "others are heard where linked"


def test_attention_is_that_of_the_paper(case):
    """Each head's weights written out for one agent."""
    params, x = case
    p = params["params"]
    w = np.asarray(x[0] @ p["values"]["kernel"]).reshape(N, 4, 3)
    for i in (0, 4):
        heard = []
        for h in range(4):
            listener, speaker = np.asarray(p["listener"])[h], np.asarray(p["speaker"])[h]
            score = np.array([w[i, h] @ listener + w[j, h] @ speaker for j in np.nonzero(GRAPH[i])[0]])
            odds = np.exp(np.where(score > 0, score, 0.2 * score))
            heard.append((odds / odds.sum()) @ w[np.nonzero(GRAPH[i])[0], h])
        expected = np.asarray(x[0, i]) + np.asarray(jax.nn.elu(jnp.asarray(np.concatenate(heard))))
        np.testing.assert_allclose(LAYER.apply(params, x, GRAPH)[0, i], expected, atol=1e-5)


def test_agents_and_graph_may_be_permuted_together(case):
    params, x = case
    order = np.random.default_rng(0).permutation(N)
    got = LAYER.apply(params, x[:, order], GRAPH[np.ix_(order, order)])
    np.testing.assert_allclose(got, LAYER.apply(params, x, GRAPH)[:, order], atol=1e-5)


def test_weights_are_shares_of_neighbours(case):
    _, x = case
    weights = np.asarray(attention_weights(x[..., 0], 3 * x[..., 1], GRAPH))
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
    assert (weights[:, ~GRAPH] == 0).all()
    assert (weights[:, GRAPH] > 0).all()


def test_gradients_reach_neighbours_and_nobody_else(case):
    params, x = case
    slope = jax.jacrev(lambda x: LAYER.apply(params, x, GRAPH)[:, :, 0].sum(axis=0))(x)
    heard = np.abs(np.asarray(slope)).sum(axis=(1, 3)) > 0
    np.testing.assert_array_equal(heard, GRAPH)
    assert np.isfinite(slope).all()


def test_parameters_do_not_depend_on_the_number_of_agents(case):
    shapes = [jax.tree.map(jnp.shape, case[0])]
    other = jnp.zeros((3, 12))
    shapes.append(jax.tree.map(jnp.shape, LAYER.init(jax.random.key(0), other, np.eye(3, dtype=bool))))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: adjacency_matrix([[1], [0]], [[True]]), "linked must be of the shape of neighbours, (2, 1)"),
        (lambda: adjacency_matrix([[2], [0]], [[True], [True]]), "neighbours must be from 0 to 1"),
        (
            lambda: LAYER.init(jax.random.key(0), jnp.zeros((2, 5)), np.eye(2, dtype=bool)),
            "x must be of 4 heads of 3, got '5 features'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match="must be") as error:
        make()
    assert words in str(error.value)

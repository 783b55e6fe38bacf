"""MAPPO and independent PPO: who reads what, masks of the dead, scales of values, and that prices are learned."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import MaskedObs, VectorEnv, rollout, start_rollout
from jaxmarl.envs.pricing import RetailGraph, synthetic_catalogue
from jaxmarl.learners import MAPPOConfig, adjacency_matrix, ippo_config, mappo, over_seeds
from jaxmarl.learners.actions import CategoricalActions
from jaxmarl.learners.group_networks import GroupActorCritic
from jaxmarl.learners.mappo import greedy_actor, group_policy, member_policy
from jaxmarl.learners.networks import orthonormal
from jaxmarl.learners.policy_gradient import ClippedPolicyGradient, Sequences
from jaxmarl.learners.returns import ValueScale

N, F, A = 4, 7, 7
GRAPH = adjacency_matrix([[1], [0], [3], [2]], np.ones((N, 1)))
SMALL = {"hidden": 8, "chunk_length": 2, "minibatches": 1}
VECTOR = VectorEnv(RetailGraph(num_agents=N, num_steps=2), 2)


@cache
def network(**options):
    """A small network, parameters so large that its heads say something, and a jitted pass over one step."""
    graph = tuple(map(tuple, GRAPH.tolist())) if options.pop("attend", False) else ()
    net = GroupActorCritic(N, A, hidden=8, actor_graph=graph, critic_graph=graph, **options)
    _, mask, start = inputs()
    memory = net.initial_memory((2, N))
    return net, spread(net), jax.jit(lambda params, obs: net.apply(params, memory, obs, mask, start)[1])


def spread(net):
    """Random parameters of a network (drawing its own initial ones would be slow to compile)."""
    obs, mask, start = inputs()
    shapes = jax.eval_shape(net.init, jax.random.key(0), net.initial_memory((2, N)), obs, mask, start)
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape) / 2, jnp.float32), shapes)


def inputs(num_steps=1):
    shape = num_steps, 2, N
    obs = jax.random.normal(jax.random.key(7), (*shape, F))
    return obs, jnp.ones((*shape, A), bool), jnp.zeros(shape, bool)


def readers(**options):
    """Whose observation (column) moves whose policy, and whose value (row)."""
    _, params, run = network(**options)
    obs, _, _ = inputs()
    before = run(params, obs)
    policy, value = np.zeros((2, N, N), bool)
    for j in range(N):
        after = run(params, obs.at[:, :, j].add(0.5))
        policy[:, j] = np.abs(np.asarray(after[0] - before[0])[0, 0]).max(axis=-1) > 1e-5
        value[:, j] = np.abs(np.asarray(after[1] - before[1])[0, 0]) > 1e-5
    return policy, value


@pytest.mark.parametrize(
    ("options", "policy", "value"),
    [
        ({"critic": "own"}, np.eye(N), np.eye(N)),
        ({"critic": "own", "share": False}, np.eye(N), np.eye(N)),
        ({"critic": "mean"}, np.eye(N), np.ones((N, N))),
        ({"critic": "concat"}, np.eye(N), np.ones((N, N))),
        ({"critic": "mean", "attend": True}, GRAPH, np.ones((N, N))),
    ],
    ids=["independent", "unshared", "mean", "concat", "attention"],
)
def test_policies_and_values_read_what_they_should(options, policy, value):
    got = readers(**options)
    np.testing.assert_array_equal(got[0], policy)
    np.testing.assert_array_equal(got[1], value)


def test_agents_without_identity_may_be_permuted_together_with_their_graph():
    options = {"critic": "mean", "agent_id": False, "hidden": 8}
    order = np.array([2, 0, 3, 1])
    obs, mask, start = inputs()
    outputs = []
    for rows in (np.arange(N), order):
        graph = tuple(map(tuple, GRAPH[np.ix_(rows, rows)].tolist()))
        net = GroupActorCritic(N, A, actor_graph=graph, critic_graph=graph, **options)
        _, heads = net.apply(spread(net), net.initial_memory((2, N)), obs[:, :, rows], mask, start)
        outputs.append(heads)
    for straight, permuted in zip(outputs[0][:2], outputs[1][:2], strict=True):
        np.testing.assert_allclose(np.asarray(straight)[:, :, order], permuted, atol=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_one_agent_alone_plays_as_it_does_in_the_group(share):
    net, params, _ = network(critic="own" if not share else "mean", share=share)
    config = MAPPOConfig(critic=net.critic, share=share, **SMALL)
    obs, mask, _ = inputs()
    group = group_policy(net, CategoricalActions(A))
    members = [member_policy(VECTOR, config, agent) for agent in range(N)]

    @jax.jit
    @jax.vmap
    def both(unit):
        seen = MaskedObs(obs[0, 0], mask[0, 0])
        together, _ = group.act(params, group.init(()), seen, jnp.full((N,), unit))
        alone = [
            member.act(params, member.init(()), jax.tree.map(lambda x, i=i: x[i], seen), unit)[0]
            for i, member in enumerate(members)
        ]
        return together, jnp.stack(alone)

    together, alone = both(jnp.linspace(0.01, 0.98, 12))
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(together)) > 3


def test_memories_of_two_episodes_are_those_of_each():
    net, params, _ = network(critic="concat", recurrent=True)
    obs, _, start = inputs(6)
    start = start.at[3].set(True).at[0].set(True)
    run = jax.jit(lambda obs, start: net.apply(params, net.initial_memory((2, N)), obs, None, start))
    memory, heads = run(obs, start)
    again, second = run(obs[3:], start[:3])
    for a, b in zip(memory, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(heads[0][3:], second[0], atol=1e-6)
    np.testing.assert_allclose(heads[1][3:], second[1], atol=1e-6)
    assert np.abs(np.asarray(heads[1][0] - run(obs[1:4], start[:3])[1][1][0])).max() > 1e-4


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_initial_weights_are_orthonormal(shape):
    weights = np.asarray(orthonormal(2.0)(jax.random.key(0), shape))
    assert weights.shape == shape
    gram = weights @ weights.T if shape[0] <= shape[1] else weights.T @ weights
    np.testing.assert_allclose(gram, 4 * np.eye(min(shape)), atol=1e-4)


def test_the_scale_of_values_is_debiased_and_invertible():
    rng = np.random.default_rng(0)
    one, two = (jnp.asarray(rng.normal(5, 3, 1000), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(ValueScale.empty().restore(one), one)
    first = ValueScale.empty().update(one, None, 0.99)
    np.testing.assert_allclose(first.moments(), (one.mean(), one.std()), rtol=1e-3)
    second = first.update(two, None, 0.5)
    weights = np.array([0.01 * 0.5, 0.5])
    mean = (weights * [one.mean(), two.mean()]).sum() / weights.sum()
    np.testing.assert_allclose(second.moments()[0], mean, rtol=1e-4)
    np.testing.assert_allclose(second.restore(second.normalise(one)), one, rtol=1e-5, atol=1e-5)
    counted = ValueScale.empty().update(one, one > 5, 0.9)
    np.testing.assert_allclose(counted.moments()[0], one[one > 5].mean(), rtol=1e-4)


def batch(obs):
    """Two sequences of three steps of all agents, of random numbers."""
    rng = np.random.default_rng(1)
    seen = MaskedObs(obs, jnp.ones((2, N, 3, A), bool))
    steps = [jnp.asarray(rng.normal(size=(2, N, 3)), jnp.float32) for _ in range(4)]
    raw, start = jnp.asarray(rng.integers(A, size=(2, N, 3))), jnp.zeros((2, N, 3), bool)
    memory = jnp.zeros((2, N, 0)), jnp.zeros((2, N, 0))
    return Sequences(memory, jnp.zeros((2, N), jnp.int32), seen, start, raw, *steps)


def test_the_dead_are_in_no_loss():
    """With death masking, what happened to agents that see zeros changes nothing; without, it does."""
    net, params, _ = network(critic="own")
    obs = jax.random.normal(jax.random.key(3), (2, N, 3, F)).at[:, 1, 1:].set(0.0)
    dead = jnp.zeros((2, N, 3), bool).at[:, 1, 1:].set(True)
    one = batch(obs)
    other = one._replace(
        advantage=jnp.where(dead, 9.0, one.advantage),
        target=jnp.where(dead, -9.0, one.target),
        log_prob=jnp.where(dead, -99.0, one.log_prob),
    )
    for masking in (True, False):
        config = ippo_config(death_masking=masking, **SMALL)
        algorithm = ClippedPolicyGradient(VECTOR, config, None, net, CategoricalActions(A))
        loss = algorithm._loss if not masking else jax.value_and_grad(algorithm._loss, has_aux=True)
        first, second = (jax.jit(loss)(params, data) for data in (one, other))
        same = jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-5), first, second)
        assert all(jax.tree.leaves(same)) == masking, "loss, its metrics and its gradient"


def priced(params, graph=None, seeds=1, updates=60, num_steps=24, **settings):
    """Trains MAPPO on a catalogue: `reward [updates, seeds]`, first ratios, and greedy play's profits `[seeds, N]`.

    Profits are those of a week in the second half of an episode, when prices have arrived; without noise.
    """
    zero = jnp.zeros(())
    params = replace(params, noise=zero, season=zero, volatility_weight=zero, fairness_weight=zero)
    env = RetailGraph(num_agents=len(params.cost), num_steps=num_steps, poisson=False)
    options = {"hidden": 16, "learning_rate": 1e-2, "entropy_weight": 0.003, "discount": 0.9, **settings}
    config = MAPPOConfig(chunk_length=num_steps, anneal_updates=updates, **options)
    learner = over_seeds(mappo(VectorEnv(env, 8), config, params, graph), seeds)
    one = VectorEnv(env, 1)
    actor = greedy_actor(one, config, params, graph)

    def play(learned):
        start = start_rollout(one, actor, jax.random.key(1), params)
        return rollout(one, actor, learned, start, jax.random.key(2), params, num_steps)[1].info["profit"]

    @jax.jit
    def run(key):
        state, metrics = jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), length=updates)
        return metrics["reward"], metrics["first_ratio"], jax.vmap(play)(learner.params(state))

    reward, ratio, profits = run(jax.random.key(0))
    return np.asarray(reward), np.asarray(ratio), np.asarray(profits)[:, num_steps // 2 :, 0].mean(axis=1), env, params


def test_the_static_optimum_is_reached_within_three_per_cent():
    """Four products without cross effects, one seed."""
    params = synthetic_catalogue(N, seed=4)
    reward, ratio, profits, env, params = priced(replace(params, cross=0 * params.cross))
    best = env.benchmarks(params)["static_profit"]
    assert 0.97 * best < profits.sum() < 1.0001 * best
    assert reward[0] < 0.95 * reward[-1], "something was learned"
    np.testing.assert_allclose(ratio, 1.0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("linked", [False, True])
def test_ten_seeds_with_attention_come_within_three_per_cent_of_the_optimum(linked):
    """Ten products: of the static optimum without cross effects, else of the joint one, which is 11 % above it."""
    params = synthetic_catalogue(10, num_categories=2, seed=1)
    graph = adjacency_matrix(params.neighbours, params.linked)
    params = params if linked else replace(params, cross=0 * params.cross)
    settings = {"hidden": 32, "learning_rate": 3e-3, "discount": 0.95}
    _, _, profits, env, params = priced(params, graph, seeds=10, updates=150, num_steps=52, **settings)
    known = env.benchmarks(params)
    assert profits.sum(axis=1).mean() > 0.97 * known["joint_profit"]
    if linked:
        assert profits.sum(axis=1).min() > 1.03 * known["static_profit"]


@pytest.mark.parametrize(
    ("settings", "graph", "words"),
    [
        ({"critic": "all"}, None, "critic must be one of own, mean, concat; got 'all'"),
        ({"hearers": "actor"}, None, "hearers must be one of both, critic"),
        ({"minibatches": 8}, None, "minibatches must be a divisor of the 2 sequences of an update, got 8"),
        ({"value_decay": 1.0}, None, "value_decay must be in [0, 1), got 1.0"),
        ({}, np.eye(3), "graph must be a matrix of the shape (4, 4), got (3, 3)"),
        ({}, np.ones((4, 4)) - np.eye(4), "graph must be true on the diagonal"),
        ({"share": False}, GRAPH, "share must be True with a graph, got False"),
        ({"critic": "own"}, GRAPH, "critic must be mean with a graph, got 'own'"),
        ({"heads": 3}, GRAPH, "heads must be a divisor of hidden, 8, got 3"),
    ],
)
def test_wrong_settings_are_refused(settings, graph, words):
    with pytest.raises(ValueError, match="must be") as error:
        mappo(VECTOR, MAPPOConfig(**{**SMALL, **settings}), graph=graph)
    assert words in str(error.value)

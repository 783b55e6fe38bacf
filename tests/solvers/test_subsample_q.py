"""SUBSAMPLE-Q: multisets, exact value iteration against known numbers and ordered states, samples, deployment."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import draw
from jaxmarl.envs.pricing import DemandResponse, ServiceRate
from jaxmarl.solvers.multisets import expectation, multisets, num_multisets, rank, with_one_more
from jaxmarl.solvers.subsample_q import policy_values, subsample_q, subsampled_actions, subsampling_policy
from jaxmarl.testing import check_policy


def orders(num_kinds, k):
    """In how many orders the members of each multiset come: shares of ordered states."""
    counts = [np.unique(m, return_counts=True)[1] for m in multisets(num_kinds, k)]
    return np.array([math.factorial(k) / np.prod([math.factorial(c) for c in x]) for x in counts])


def mean_value(values, k, num_kinds=25):
    """Over all global and ordered local states."""
    weight = orders(num_kinds, k)
    return float((np.asarray(values, np.float64) * weight).sum(1).mean() / weight.sum())


@pytest.fixture(scope="module")
def small():
    """Three levels, four consumers, where it matters how many are looked at."""
    env = DemandResponse(num_locals=4, num_steps=120, levels=3)
    model = env.tables(env.hard_params)
    return env, model, {k: subsample_q(model, k) for k in (1, 2, 4)}


def solved_in_float64(params, k):
    with jax.enable_x64(True):
        env = DemandResponse()
        solution = subsample_q(env.tables(getattr(env, params)), k, num_sweeps=250)
        return np.asarray(solution.values), np.asarray(solution.policy), float(solution.residual)


@pytest.mark.parametrize(("num_kinds", "size"), [(4, 0), (3, 1), (4, 3), (25, 2)])
def test_numbers_of_multisets(num_kinds, size):
    listed = multisets(num_kinds, size)
    assert listed.shape == (num_multisets(num_kinds, size), size)
    assert rank(jnp.asarray(listed), num_kinds).tolist() == list(range(len(listed)))
    larger = multisets(num_kinds, size + 1)
    for kind in range(num_kinds):
        added = larger[with_one_more(num_kinds, size)[:, kind]]
        assert np.array_equal(added, np.sort(np.c_[listed, np.full(len(listed), kind)], axis=1))


def test_expectations_over_all_orders():
    rng, kinds, size = np.random.default_rng(0), 3, 3
    kernel, values = rng.dirichlet(np.ones(kinds), kinds), rng.normal(size=num_multisets(kinds, size))
    found = jax.jit(lambda v, p: expectation(v, p, size))(jnp.asarray(values), jnp.asarray(kernel))
    for i, members in enumerate(multisets(kinds, size)):
        total = 0.0
        for after in itertools.product(range(kinds), repeat=size):
            number = int(rank(jnp.sort(jnp.array(after)), kinds))
            total += math.prod(kernel[s, r] for s, r in zip(members, after, strict=True)) * values[number]
        np.testing.assert_allclose(found[i], total, rtol=1e-5)


def test_published_setting_is_easy():
    for k in (1, 2):
        values, policy, residual = solved_in_float64("default_params", k)
        assert (policy[0] == 1).all()  # keep the lowest supply
        assert (policy[1:] == 0).all()  # lower any other, whatever consumers do
        np.testing.assert_allclose(mean_value(values, k), 154.186176, atol=6e-7)
        lowest = [170.042492, 161.542492, 151.545060, 141.289908, 131.513213]
        highest = [174.866429, 166.472275, 156.800853, 147.232926, 138.590084]
        np.testing.assert_allclose(values[:, 0], lowest, atol=6e-7)
        np.testing.assert_allclose(values[:, -1], highest, atol=6e-7)
        assert residual < 1e-8


def test_hard_setting():
    for k, mean in ((1, 36.043690), (2, 35.523717)):
        values, policy, _ = solved_in_float64("hard_params", k)
        np.testing.assert_allclose(mean_value(values, k), mean, atol=6e-7)
        assert len(np.unique(policy[1])) == 3  # at supply 2 any action may be best


@pytest.mark.parametrize(("speed_cost", "levels"), [(0.5, {0}), (0.05, {0, 1, 2})])
def test_speed_of_queues(speed_cost, levels):
    """At a cost of 0.5 the lowest speed is best, however long queues are; at a tenth of it that depends on them."""
    env = ServiceRate()
    model = env.tables(env.default_params.replace(speed_cost=jnp.float32(speed_cost)))
    assert set(np.unique(subsample_q(model, 1).policy)) == levels


def test_two_agents_against_ordered_states(small):
    """Value iteration on all pairs of local states, which knows nothing of multisets."""
    _, model, solutions = small
    global_kernel, local_kernel, alone, local = (np.asarray(x, np.float64) for x in model)
    reward = alone[:, None, None, :] + ((local[:, :, None] + local[:, None, :]) / 2)[..., None]
    values = np.zeros((3, 9, 9))
    for _ in range(180):
        following = np.einsum("gah,gir,gjs,hrs->gija", global_kernel, local_kernel, local_kernel, values, optimize=True)
        values = (reward + 0.9 * following).max(-1)
    np.testing.assert_allclose(values, values.swapaxes(1, 2), rtol=1e-12)
    number = np.asarray(rank(jnp.asarray(np.sort(np.stack(np.indices((9, 9)), -1), axis=-1)), 9))
    np.testing.assert_allclose(np.asarray(solutions[2].values)[:, number], values, rtol=1e-6)


def test_many_samples_are_nearly_exact(small):
    _, model, solutions = small
    sampled = subsample_q(model, 2, num_samples=1000, key=jax.random.key(0))
    error = float(jnp.abs(sampled.q - solutions[2].q).max())
    # a mean of 1000 values that differ by at most 10 has a standard error of 0.16; errors of states average out
    assert 1e-3 < error < 0.2
    assert sampled.residual < 1e-4


def test_gap_of_deployment_falls_with_the_sample(small):
    _, model, solutions = small
    best = solutions[4].values
    gaps = []
    for k in (1, 2, 4):
        values = policy_values(model, subsampled_actions(solutions[k].policy, 4, k, 3), 4, start=best)
        assert (values <= best + 1e-4).all()
        gaps.append(mean_value(best - values, 4, 9))
    assert gaps[0] > 2**0.5 * gaps[1] > 0.1  # steeper than 1 / √k
    assert abs(gaps[2]) < 1e-4


def test_returns_in_the_environment(small):
    """Discounted rewards of all consumers, acting on two of four: as computed."""
    env, model, solutions = small
    policy, params = subsampling_policy(4, 2, 3, 9), env.hard_params
    values = policy_values(model, subsampled_actions(solutions[2].policy, 4, 2, 3), 4)

    @jax.jit
    @jax.vmap
    def episode(drawn):
        def step(state, x):
            seen, chance = x
            action, _ = policy.act(solutions[2].policy, (), env.observe(state, params)[0], seen)
            state, reward, _, _ = env.transition(state, action[None], chance, params)
            return state, reward[0]

        state = env.initial((jnp.int32(2), jnp.array([0, 4, 8, 8])), params)
        _, rewards = jax.lax.scan(step, state, drawn)
        return rewards @ (0.9 ** jnp.arange(120))

    spec = policy.act_chance, env.step_chance
    returns = np.asarray(episode(draw(spec, jax.random.key(1), (4000, 120))))
    wanted = float(values[2, rank(jnp.array([0, 4, 8, 8]), 9)])
    assert abs(returns.mean() - wanted) < 4 * returns.std() / 4000**0.5


def test_policy_looks_at_k_and_not_at_their_order(small):
    env, _, solutions = small
    policy, params = subsampling_policy(4, 4, 3, 9), env.hard_params
    rng = np.random.default_rng(0)

    @jax.jit
    def act(local, chance):
        obs = env.observe(env.initial((jnp.int32(1), local), params), params)[0]
        return policy.act(solutions[4].policy, (), obs, chance)[0], obs

    for _ in range(5):
        local, chance = rng.integers(0, 9, 4, np.int32), rng.random((2, 4), np.float32)
        actions = set()
        for order, unit in zip((local, rng.permutation(local)), chance, strict=True):
            action, obs = act(order, unit)
            actions.add(int(action))
        assert actions == {int(solutions[4].policy[1, rank(jnp.asarray(np.sort(local)), 9)])}
    check_policy(policy, obs, params=solutions[4].policy, action_space=env.action_space(params))


def test_refusals_of_subsampling(small):
    _, model, solutions = small
    for word, call in [
        ("k must", lambda: subsample_q(model, 0)),
        ("discount", lambda: subsample_q(model, 1, discount=1.0)),
        ("key", lambda: subsample_q(model, 1, num_samples=3)),
        ("num_locals", lambda: subsampled_actions(solutions[2].policy, 1, 2, 3)),
        ("size", lambda: multisets(25, 8)),
    ]:
        with pytest.raises(ValueError, match=word):
            call()

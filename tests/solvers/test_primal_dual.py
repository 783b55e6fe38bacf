"""Constrained and general utilities: against linear programs, against first-order conditions, with neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import DenseKernel
from jaxmarl.games.markov_metrics import occupancy
from jaxmarl.solvers.markov.primal_dual import constrained_optimum, linear_utility, primal_dual, state_entropy

STATES, ACTIONS = 4, 3


def problem(seed):
    """A decision problem of one agent: the game, a reward and a second one to be constrained, `[S, A]`."""
    rng = np.random.default_rng(seed)
    kernel = DenseKernel(jnp.asarray(rng.dirichlet(np.ones(STATES), (STATES, ACTIONS)), jnp.float32))
    rewards, costs = rng.uniform(size=(2, STATES, ACTIONS)).astype(np.float32)
    return MarkovGame(jnp.asarray(rewards[None]), kernel, discount=0.9), rewards, costs


@pytest.fixture(scope="module")
def constrained():
    """Solutions and exact optima of three problems whose constraint binds."""
    found = []
    solve = jax.jit(
        lambda game, costs, threshold: primal_dual(
            game,
            [linear_utility(game.rewards[0])],
            [linear_utility(costs, threshold)],
            iterations=3000,
            record_every=1000,
        )
    )
    for seed in range(3):
        game, rewards, costs = problem(seed)
        free, most = constrained_optimum(game, rewards), constrained_optimum(game, costs)
        threshold = 0.75 * most.value + 0.25 * float(np.sum(free.occupancy * costs))
        exact = constrained_optimum(game, rewards, costs[None], [threshold])
        found.append((solve(game, jnp.asarray(costs), threshold), exact, free))
    return found


def test_it_finds_the_optimum_of_the_linear_program(constrained):
    for solution, exact, free in constrained:
        assert exact.value < free.value - 1e-3
        assert float(solution.utilities[0]) == pytest.approx(exact.value, abs=1e-4)
        assert float(solution.slacks[0]) == pytest.approx(0, abs=1e-4)
        assert float(solution.multipliers[0]) == pytest.approx(exact.multipliers[0], rel=1e-3, abs=1e-4)
        assert float(solution.gains[0]) < 1e-4
        np.testing.assert_allclose(np.sum(solution.occupancies[0]), 1, atol=1e-5)


def test_progress_is_recorded(constrained):
    trace = constrained[0][0].trace
    assert trace["iteration"].tolist() == [1000, 2000, 3000]
    assert trace["slacks"].shape == (3, 1)
    assert float(jnp.abs(trace["slacks"][-1]).max()) < 1e-4


def test_occupancies_of_the_program_satisfy_the_flow():
    game, rewards, _ = problem(0)
    optimum = constrained_optimum(game, rewards)
    assert optimum.occupancy.sum() == pytest.approx(1)
    inflow = 0.1 * np.asarray(game.initial) + 0.9 * np.einsum(
        "sa,sat->t", optimum.occupancy, np.asarray(game.kernel.probabilities, float)
    )
    np.testing.assert_allclose(optimum.occupancy.sum(1), inflow, atol=1e-7)
    with pytest.raises(ValueError, match="thresholds must be such that some policy reaches them"):
        constrained_optimum(game, rewards, rewards[None], [2.0])


def test_entropy_of_states_is_maximised():
    """Concave in occupancies: a policy from which no first-order gain is left is the optimum."""
    game, _, _ = problem(4)
    solution = jax.jit(lambda game: primal_dual(game, [state_entropy], iterations=2000))(game)
    assert float(solution.gains[0]) < 1e-4
    best = float(solution.utilities[0])
    rng = np.random.default_rng(0)
    others = jnp.asarray(rng.dirichlet(np.ones(ACTIONS), (50, STATES)), jnp.float32)
    visits = jax.jit(jax.vmap(lambda policy: occupancy(game, (policy,))))(others)
    entropies = jax.vmap(state_entropy)(visits[:, :, None])
    assert float(entropies.max()) <= best + 1e-5  # any other policy visits less evenly
    assert float(entropies.mean()) < best - 0.01
    assert best <= np.log(STATES)


def pair():
    """Two agents side by side that do not interact: the joint game, local rewards `[n, S, A]`, and `[n, S, A, A]`."""
    rng = np.random.default_rng(7)
    kernels = rng.dirichlet(np.ones(2), (2, 2, 2))  # [agent, own state, own action, own next state]
    joint = np.einsum("sau,tbv->stabuv", *kernels).reshape(4, 2, 2, 4)
    local = rng.uniform(size=(2, 2, 2))
    lifted = np.stack([np.repeat(local[0], 2, axis=0), np.tile(local[1], (2, 1))])  # own states in the joint state
    rewards = np.stack([np.repeat(lifted[0][:, :, None], 2, 2), np.repeat(lifted[1][:, None], 2, 1)])
    game = MarkovGame(jnp.asarray(rewards, jnp.float32), DenseKernel(jnp.asarray(joint, jnp.float32)), discount=0.8)
    return game, jnp.asarray(lifted, jnp.float32), rewards


def test_agents_who_do_not_interact_need_no_neighbours():
    game, lifted, rewards = pair()
    costs = 1 - jnp.asarray(lifted)
    free = constrained_optimum(game, rewards.sum(0))
    least = [float(constrained_optimum(game, 1 - rewards[i]).value) for i in range(2)]
    used = [float(np.sum(free.occupancy * (1 - rewards[i]))) for i in range(2)]
    thresholds = (np.array(least) + used) / 2
    exact = constrained_optimum(game, rewards.sum(0), 1 - rewards, thresholds)
    solve = jax.jit(
        lambda game: primal_dual(
            game,
            [linear_utility(lifted[i]) for i in range(2)],
            [linear_utility(costs[i], thresholds[i]) for i in range(2)],
            iterations=3000,
            neighbours=np.eye(2, dtype=bool),
        )
    )
    solution = solve(game)
    assert float(solution.utilities.sum()) == pytest.approx(exact.value, abs=2e-4)
    assert float(jnp.min(solution.slacks)) > -1e-4
    np.testing.assert_allclose(solution.multipliers, exact.multipliers, rtol=1e-2, atol=1e-3)


def test_bad_arguments_are_refused():
    game, _, _ = problem(0)
    with pytest.raises(ValueError, match=r"^utilities must be 1, one an agent, got '2 functions'$"):
        primal_dual(game, [state_entropy] * 2)
    with pytest.raises(ValueError, match=r"^neighbours must be of shape \(1, 1\), got \(2, 2\)$"):
        primal_dual(game, [state_entropy], neighbours=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"^damping must be at least 0, got -1.0$"):
        primal_dual(game, [state_entropy], damping=-1.0)

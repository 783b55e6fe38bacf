"""Return distributions of fixed policies: closed-form laws, moments, contraction, Markov games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.distributional import risk
from jaxmarl.distributional.categorical import Categorical
from jaxmarl.distributional.evaluation import (
    bellman_operator,
    categorical_operator,
    ctd_update,
    entropic_values,
    evaluate_categorical,
    evaluate_quantile,
    game_laws_categorical,
    game_laws_quantile,
    qtd_update,
    quantile_operator,
    return_covariance,
    return_statistics,
)
from jaxmarl.distributional.law import Law, mean
from jaxmarl.distributional.mdp import mdp_from_tables, mdp_of_game, tabular_mdp
from jaxmarl.distributional.metrics import wasserstein
from jaxmarl.distributional.quantile import uniform_quantile
from jaxmarl.games.markov import MarkovGame, markov_game_from_normal_form
from jaxmarl.games.markov_kernels import DenseKernel
from jaxmarl.games.normal_form import bimatrix_game

ALWAYS = np.ones((2, 1))
TRANSITIONS = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
ONLY = np.ones((3, 1))

statistics = jax.jit(return_statistics)
tails = jax.jit(lambda laws: jnp.stack([risk.cvar(laws, level) for level in (0.1, 0.25, 0.5)]))


def described(law):
    """Means and variances, by NumPy."""
    atoms, probs = np.asarray(law.atoms), np.asarray(law.probs)
    means = probs @ atoms
    return means, np.sum(probs * (atoms - means[..., None]) ** 2, -1)


def on_host(function, *arguments):
    """What a function returns, as NumPy arrays: indexing those compiles nothing."""
    return jax.tree.map(np.asarray, function(*arguments))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def three_states():
    return mdp_from_tables(TRANSITIONS, [1, -0.5, 2], 0.9)


def coins(discount, outcomes, chances):
    """One state a row, each staying where it is and paying random rewards."""
    return tabular_mdp(
        np.array(chances)[:, None], np.array(outcomes)[:, None], np.arange(2)[:, None, None], True, discount
    )


HALF = (0.5, [[0, 1, 0], [-1, 1, 0]], [[0.5, 0.5, 0], [0.5, 0.5, 0]])
THIRD = (1 / 3, [[-1, 0, 1], [0, 2 / 3, 0]], [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])


def evaluate_coins(coin, high, num_atoms):
    return on_host(
        evaluate_categorical,
        coins(*coin),
        jnp.asarray(ALWAYS),
        jnp.asarray(np.linspace(-high, high, num_atoms)),
        200,
        1e-14,
    )


@pytest.mark.parametrize("gaps", [2, 20])
def test_uniform_laws_of_fair_coins(x64, gaps):
    found = evaluate_coins(HALF, 2, 2 * gaps + 1)
    inner = np.full(gaps + 1, 1 / gaps) * np.array([0.5, *[1] * (gaps - 1), 0.5])
    np.testing.assert_allclose(found.law.probs[0, gaps:], inner, atol=1e-12)  # Π(U[0, 2])
    whole = np.full(2 * gaps + 1, 0.5 / gaps) * np.array([0.5, *[1] * (2 * gaps - 1), 0.5])
    np.testing.assert_allclose(found.law.probs[1], whole, atol=1e-12)  # Π(U[-2, 2])
    means, spreads = described(found.law)
    np.testing.assert_allclose(means, [1, 0], atol=1e-12)
    np.testing.assert_allclose(spreads, [1 / 3 + 2 / 3 / gaps**2, 4 / 3 + 8 / 3 / (2 * gaps) ** 2], atol=1e-12)
    assert float(found.error_bound) < 1e-12
    assert int(found.sweeps) < 200

    if gaps == 2:
        points = (np.arange(100_000) + 0.5) / 50_000  # of U[0, 2]
        apart = np.cumsum(found.law.probs[0])[2 + points.astype(int)] - points / 2
        distances = [2 * np.abs(apart).mean(), np.sqrt(2 * (apart**2).mean())]
        np.testing.assert_allclose(distances, [0.25, 0.2041241], atol=1e-7)  # 1/(2(K-1)), 1/(√6(K-1))
    else:
        np.testing.assert_allclose(tails(found.law)[:, 1], -2 + 2 * np.array([0.1, 0.25, 0.5]), atol=4 / 40)


def test_uniform_and_cantor_laws_of_discount_a_third(x64):
    found = evaluate_coins(THIRD, 1.5, 41)
    means, spreads = described(found.law)
    exact = on_host(statistics, coins(*THIRD), jnp.asarray(ALWAYS))
    np.testing.assert_allclose(exact.mean, [0, 0.5], atol=1e-12)
    np.testing.assert_allclose(exact.variance, [3 / 4, 1 / 8], atol=1e-12)
    np.testing.assert_allclose(exact.skewness, 0, atol=1e-12)
    np.testing.assert_allclose(means, [0, 0.5], atol=1e-12)
    # the grid adds at most a quarter of a squared gap a sweep, discounted by 1/9
    assert np.all((spreads > exact.variance) & (spreads < exact.variance + 9 / 8 * 0.075**2 / 4))
    np.testing.assert_allclose(tails(found.law)[:, 0], -1.5 + 1.5 * np.array([0.1, 0.25, 0.5]), atol=0.075)


def test_moments_of_any_reward_law(x64):
    exact = statistics(coins(0.5, [[-1, 1, 0], [3, 5, 0]], [[0.4, 0.6, 0], [0.5, 0.5, 0]]), jnp.asarray(ALWAYS))
    np.testing.assert_allclose(exact.mean, [0.4, 8], atol=1e-12)  # mean/(1 - γ), variance/(1 - γ²)
    np.testing.assert_allclose(exact.variance, [1.28, 1 / 0.75], atol=1e-12)


@pytest.mark.parametrize(("tie", "start"), [("mid", 1), ("left", 0)])
def test_quantile_fixed_point_depends_on_ties(x64, tie, start):
    found = on_host(evaluate_quantile, coins(*HALF), jnp.asarray(ALWAYS), 8, 200, 1e-13, tie)
    np.testing.assert_allclose(found.law.values[0], (2 * np.arange(8) + start) / 8, atol=1e-12)
    assert float(found.error_bound) < 1e-12


def test_lifetime_before_death_is_geometric(x64):
    ends, certain = [True, False, False], [[[0.7, 0.3, 0]], [[0.5, 0.3, 0.2]]]
    mdp = tabular_mdp(certain, [[[1, 0, 0]], [[1, 0, 2]]], np.arange(2)[:, None, None], ends)
    found = on_host(evaluate_categorical, mdp, jnp.asarray(ALWAYS), jnp.asarray(np.arange(41.0)), 200, 1e-14)
    np.testing.assert_allclose(found.law.probs[0, :40], 0.3 * 0.7 ** np.arange(40), atol=1e-12)
    np.testing.assert_allclose(found.law.probs[0, 40], 0.7**40, atol=1e-12)
    np.testing.assert_allclose(found.law.probs[1, :3], [0.3, 0.15, 0.075 + 0.2], atol=1e-12)
    assert float(found.error_bound) < 1e-12  # γ = 1: the ends make it contract


EXACT = np.array([[7.6198901, 5.7482075, 9.1051308], [7.7276510, 8.7214047, 8.1892674]])
SPREADS = {
    51: [7.9443671, 8.9383996, 8.4061408],
    201: [7.7412071, 8.7349607, 8.2028233],
    801: [7.7284990, 8.7222528, 8.1901155],
}


@pytest.mark.parametrize("num_atoms", [51, *(pytest.param(size, marks=pytest.mark.slow) for size in (201, 801))])
def test_categorical_laws_of_three_states(x64, num_atoms):
    found = on_host(
        evaluate_categorical, three_states(), jnp.asarray(ONLY), jnp.asarray(np.linspace(-5, 20, num_atoms)), 800, 1e-12
    )
    means, spreads = described(found.law)
    # -5 to 20 holds every return
    np.testing.assert_allclose(means, EXACT[0], atol=1e-7)
    np.testing.assert_allclose(spreads, SPREADS[num_atoms], atol=5e-7)


@pytest.mark.slow
def test_tails_of_three_states_on_a_fine_grid(x64):
    found = on_host(
        evaluate_categorical, three_states(), jnp.asarray(ONLY), jnp.asarray(np.linspace(-5, 20, 5001)), 400, 1e-9
    )
    expected = [[2.64915, 0.59124, 3.94353], [4.01005, 1.94755, 5.36966], [5.37840, 3.35498, 6.79588]]
    np.testing.assert_allclose(tails(found.law), expected, atol=6e-6)


def test_moments_of_three_states(x64):
    exact = statistics(three_states(), jnp.asarray(ONLY))
    np.testing.assert_allclose([exact.mean, exact.variance], EXACT, atol=5e-8)
    np.testing.assert_allclose(exact.skewness, [-0.1076534, -0.0245504, -0.1511565], atol=5e-8)


@pytest.mark.parametrize(
    ("size", "error"),
    [(11, 1.26759), *(pytest.param(*row, marks=pytest.mark.slow) for row in ((51, 0.25268), (201, 0.06772)))],
)
def test_quantile_laws_of_three_states_are_biased_like_one_over_n(x64, size, error):
    found = on_host(evaluate_quantile, three_states(), jnp.asarray(ONLY), size, 300, 0.0, "left")
    np.testing.assert_allclose(np.abs(found.law.values.mean(1) - EXACT[0]).max(), error, atol=6e-6)
    if size == 11:  # the lowest quantile only ever sees its own loop: r / (1 - γ)
        np.testing.assert_allclose(found.law.values[1].min(), -5, atol=1e-9)


def test_backups_contract(x64):
    mdp, policy = three_states(), jnp.asarray(ONLY)
    rng = np.random.default_rng(0)
    atoms = np.linspace(-5, 20, 11)
    probs, values = rng.dirichlet(np.ones(11), (200, 2, 3)), np.sort(rng.normal(5, 5, (200, 2, 3, 11)))

    def backups(p, v):
        exact = bellman_operator(mdp, policy)(Categorical(jnp.asarray(atoms), p).law())
        return exact, categorical_operator(mdp, policy, jnp.asarray(atoms))(p), quantile_operator(mdp, policy)(v)

    batched = jax.jit(jax.vmap(jax.vmap(backups)))
    exact, projected, quantiles = on_host(batched, jnp.asarray(probs), jnp.asarray(values))

    def apart(points, mass):  # W1 and l2 of pairs with one support, the larger over states
        differences = np.cumsum(mass[:, 0] - mass[:, 1], -1)[..., :-1] * (np.diff(points) > 1e-12)
        gaps = np.diff(points)
        return np.sum(np.abs(differences) * gaps, -1).max(-1), np.sqrt(np.sum(differences**2 * gaps, -1)).max(-1)

    order = np.argsort(exact.atoms, -1)
    ordered = np.take_along_axis(exact.atoms, order, -1)[:, 0], np.take_along_axis(exact.weights, order, -1)
    (w1, l2), before, after = apart(*ordered), apart(atoms, probs), apart(atoms, projected)
    assert (w1 / before[0]).max() <= 0.9
    assert (l2 / before[1]).max() <= 0.9**0.5
    assert (after[0] / before[0]).max() <= 0.9
    assert 0.6 < (after[1] / before[1]).max() <= 0.9**0.5
    moved = np.abs(quantiles[:, 0] - quantiles[:, 1]).max((1, 2))
    assert (moved / np.abs(values[:, 0] - values[:, 1]).max((1, 2))).max() <= 0.9 + 1e-12


def test_greedy_backups_of_laws_expand(x64):
    # s1 -> s2 for nothing; there a sure 0, or 0.1 ± 1. The estimate of the second action lies 0.2 too low.
    sure, best = Law(jnp.zeros(1), jnp.ones(1)), Law(jnp.array([0.1 - 1, 0.1 + 1]), jnp.full(2, 0.5))
    guess = best._replace(atoms=best.atoms - 0.2)

    @jax.jit
    def one_backup(guess, sure):
        greedy_is_sure = mean(guess) < mean(sure)
        after = Law(jnp.where(greedy_is_sure, sure.atoms, guess.atoms), guess.weights)
        return greedy_is_sure, wasserstein(guess, best), wasserstein(after, best)

    greedy_is_sure, before, after = one_backup(guess, sure)
    assert greedy_is_sure
    np.testing.assert_allclose([before, after], [0.2, 1], atol=1e-12)


def test_temporal_differences_find_the_fixed_points():
    rewards = jax.random.bernoulli(jax.random.key(0), 0.5, (4000,)).astype(jnp.float32)

    @jax.jit
    def learn(rewards):
        def step(carry, at):
            (laws, quantiles), (reward, time) = carry, at
            laws = ctd_update(laws, 0, reward, 0.5, 0, 1 / (1 + 0.1 * time) ** 0.7)
            return (laws, qtd_update(quantiles, 0, reward, 0.5, 0, 0.5 / (1 + 0.05 * time) ** 0.7)), None

        start = Categorical(jnp.array([0.0, 1, 2]), jnp.array([[1.0, 0, 0]])), uniform_quantile(jnp.zeros((1, 4)))
        (laws, quantiles), _ = jax.lax.scan(step, start, (rewards, jnp.arange(rewards.size)))
        wild = qtd_update(quantiles, 0, 1e30, 0.5, 0, 0.1).values - quantiles.values
        once = ctd_update(start[0], 0, 1.0, 0.5, 0, 0.25).probs
        return laws.probs[0], quantiles.values[0], wild, once

    probs, values, wild, once = learn(rewards)
    np.testing.assert_allclose(once, [[0.75, 0.25, 0]], atol=1e-6)
    np.testing.assert_allclose(probs, [0.25, 0.5, 0.25], atol=0.05)
    np.testing.assert_allclose(values, [0.25, 0.75, 1.25, 1.75], atol=0.1)
    assert np.all(np.abs(wild) <= 0.1)  # however large the reward


def test_certainty_equivalents_of_a_chain(x64):
    mdp = tabular_mdp(
        np.array([[[0.3, 0.4, 0.3]], [[0.2, 0.3, 0.5]]]),
        np.array([[[1, -1, 2]], [[0, 0.5, -2]]]),
        np.array([0, 1, 0]),
        np.array([True, True, False]),
    )
    aversions = jnp.array([0.1, 0.5, 1, 1e-6, 2.4037, 2.4038])
    values = np.asarray(jax.jit(jax.vmap(entropic_values, (None, None, 0)))(mdp, jnp.asarray(ALWAYS), aversions))
    expected = [[-0.30236981, -1.33678055], [-1.36779451, -1.65766669], [-2.07156003, -1.86514167]]
    np.testing.assert_allclose(values[:3], expected, atol=5e-9)
    np.testing.assert_allclose(values[3], [0.02439024, -1.20731707], atol=1e-5)
    np.testing.assert_allclose(statistics(mdp, jnp.asarray(ALWAYS)).mean, [0.02439024, -1.20731707], atol=5e-9)
    assert np.isfinite(values[4]).all()  # the critical aversion is 2.40372006
    assert np.all(values[5] == -np.inf)


FIRST = np.array([[[1, -1], [-1, 1]], [[2, 0], [3, 1]]], float)
SECOND = np.array([-FIRST[0], [[2, 3], [0, 1]]])
UP = np.array([[[0.5, 0.2], [0.8, 0.5]], [[0.9, 0.4], [0.4, 0.1]]])


def two_state_game():
    game = MarkovGame(jnp.asarray([FIRST, SECOND]), DenseKernel(jnp.asarray(np.stack([1 - UP, UP], -1))), discount=0.8)
    return game, (jnp.array([[0.5, 0.5], [0.7, 0.3]]), jnp.array([[0.5, 0.5], [0.6, 0.4]]))


@jax.jit
def of_game(game, policies):
    laws = game_laws_categorical(game, policies, jnp.asarray(np.linspace(-5, 15, 51)), 400, 1e-10).law
    return return_covariance(game, policies), Categorical(laws.atoms[0], laws.probs)


def test_returns_of_a_markov_game(x64):
    covariance, laws = jax.tree.map(np.asarray, of_game(*two_state_game()))
    np.testing.assert_allclose(covariance[0, 0], [4.3506759, 4.8491501], atol=5e-8)
    np.testing.assert_allclose(covariance[1, 1], [4.6696106, 4.9676305], atol=5e-8)
    np.testing.assert_allclose(covariance[0, 1], [-1.0787440, -0.6925745], atol=5e-8)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    np.testing.assert_allclose(correlation, [-0.2393314, -0.1411104], atol=5e-8)
    means, spreads = described(laws)
    np.testing.assert_allclose(means, [[3.1887755, 4.7831633], [3.8265306, 5.7397959]], atol=1e-7)
    np.testing.assert_allclose(spreads[0], [4.4225726, 4.9224063], atol=5e-7)


@pytest.mark.slow
def test_tails_of_a_markov_game_on_a_fine_grid(x64):
    game, policies = two_state_game()
    found = on_host(game_laws_categorical, game, policies, jnp.asarray(np.linspace(-5, 15, 4001)), 200, 1e-8)
    worst = tails(Categorical(found.law.atoms[0], found.law.probs))[:2]
    expected = [[[-0.42383, 0.89400], [0.03306, 1.68401]], [[0.52247, 1.92572], [1.04300, 2.80696]]]
    np.testing.assert_allclose(worst, expected, atol=6e-6)


def test_matching_pennies_makes_both_returns_uniform(x64):
    pennies = jnp.asarray(FIRST[0])
    game = markov_game_from_normal_form(bimatrix_game(pennies, -pennies), discount=0.5)
    found = on_host(jax.jit(lambda game: game_laws_quantile(game, game.uniform_policies(), 8, 60, 1e-13)), game)
    uniform = -2 + 4 * (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(found.law.values, np.broadcast_to(uniform, (2, 1, 8)), atol=1e-12)


def test_games_that_end_are_seen_to_end():
    ending = MarkovGame(jnp.ones((1, 1, 2)), DenseKernel(jnp.array([[[0.25], [1.0]]])), discount=0.5)
    mdp = mdp_of_game(ending)
    np.testing.assert_allclose(mdp.probabilities, [[[0.25, 0.75], [1, 0]]])
    np.testing.assert_array_equal(mdp.continues, [[[True, False], [True, False]]])
    with pytest.raises(ValueError, match="horizon"):
        mdp_of_game(MarkovGame(jnp.ones((1, 1, 2)), ending.kernel, horizon=3))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([[[0.5, 0.4]]], 0, 0), "probabilities"),
        (([[[0.5, 0.5]]], np.nan, 0), "rewards"),
        (([[[0.5, 0.5]]], 0, 1), "successors"),
        (([[[0.5, 0.5]]], 0, 0, True, 1.5), "discount"),
        (([[[0.5, 0.5]]], np.zeros(3), 0), "broadcast"),
        (([0.5, 0.5], 0, 0), "probabilities"),
    ],
)
def test_wrong_processes_are_refused(arguments, name):
    with pytest.raises(ValueError, match=name):
        tabular_mdp(*arguments)


def test_tables_become_outcomes():
    mdp = mdp_from_tables([[[0.5, 0.25]], [[0, 1]]], [3, 4], 0.9)
    np.testing.assert_allclose(mdp.probabilities[:, 0], [[0.5, 0.25, 0.25], [0, 1, 0]])
    np.testing.assert_allclose(mdp.rewards[:, 0], [[3, 3, 3], [4, 4, 4]])
    np.testing.assert_array_equal(mdp.continues[0, 0], [True, True, False])
    by_successor = mdp_from_tables([[[0.5, 0.25]], [[0, 1]]], [[[1, 2]], [[3, 4]]])
    np.testing.assert_allclose(by_successor.rewards[:, 0], [[1, 2, 0], [3, 4, 0]])
    with pytest.raises(ValueError, match="transitions"):
        mdp_from_tables(np.ones((2, 3)), [0, 0])
    with pytest.raises(ValueError, match="policy"):
        evaluate_categorical(mdp, jnp.ones((2, 2)), jnp.arange(3.0))

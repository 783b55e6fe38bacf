"""Multi-player bandits: equilibria with known means, the rules of sharing, outcomes, regrets."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core.chance import draw
from jaxmarl.envs.bandits import MultiPlayerBandit, nash_allocation
from jaxmarl.testing import check_env

# means, players: allocation, threshold, payoffs of the arms in use, welfare, best welfare
EQUILIBRIA = {
    ((0.9, 0.8, 0.5, 0.3, 0.2), 4): ((2, 1, 1, 0, 0), 0.45, (0.45, 0.8, 0.5), 2.2, 2.5),
    (tuple(np.arange(0.95, 0, -0.1).round(2)), 8): (
        (2, 2, 1, 1, 1, 1, 0, 0, 0, 0),
        0.425,
        (0.475, 0.425, 0.75, 0.65, 0.55, 0.45),
        4.2,
        4.8,
    ),
}


def bandit(means, num_agents, **fields):
    env = MultiPlayerBandit(num_agents, np.shape(means)[-1], **fields)
    return env, env.default_params.replace(means=jnp.asarray(np.atleast_2d(means), jnp.float32))


@pytest.mark.parametrize(("means", "num_agents"), EQUILIBRIA)
def test_equilibria_with_known_means(means, num_agents):
    allocation, threshold, payoffs, welfare, best = EQUILIBRIA[means, num_agents]
    env, params = bandit(means, num_agents)
    known = env.benchmarks(params)
    np.testing.assert_array_equal(known["allocation"], [allocation])
    np.testing.assert_allclose(known["threshold"], threshold, rtol=1e-6)
    expected = np.repeat(payoffs, [m for m in allocation if m])
    np.testing.assert_allclose(known["payoffs"], expected, rtol=1e-6)
    assert known["welfare"] == pytest.approx(welfare, abs=1e-5)
    assert known["optimal_welfare"] == pytest.approx(best, abs=1e-5)


def test_ties_are_broken_either_way():
    allocation, threshold = nash_allocation(jnp.array([1.0, 0.2]), 5)
    assert tuple(allocation.tolist()) in {(5, 0), (4, 1)}
    assert float(threshold) == pytest.approx(0.2)


def test_allocations_are_the_pure_equilibria_found_by_enumeration():
    rng = np.random.default_rng(0)
    allocate = jax.jit(jax.vmap(lambda means, n: nash_allocation(means, 4, n)[0]))
    means, counts = rng.uniform(size=(30, 3)).astype(np.float32), rng.integers(1, 5, 30)
    for own, n, found in zip(means, counts, np.asarray(allocate(means, counts)), strict=True):
        equilibria = []
        for m in itertools.product(range(n + 1), repeat=3):
            if sum(m) == n:
                gains = [own[k] / (m[k] + 1) - own[j] / m[j] for j in range(3) if m[j] for k in range(3) if k != j]
                equilibria += [m] if max(gains) <= 0 else []
        assert equilibria == [tuple(found)]


CASES = [
    {"sharing": "collision0", "observe_counts": False},
    {"sharing": "none", "bandit_of": (0, 1, 1, 0)},
]
SLOW = [{"sharing": "equal"}, {"sharing": "average", "arms": "beta"}, {"sharing": "none", "arms": "beta"}]


@pytest.mark.parametrize(
    "fields",
    CASES + [pytest.param(fields, marks=pytest.mark.slow) for fields in SLOW],
    ids=lambda fields: "-".join(str(x) for x in fields.values()),
)
def test_the_contract_holds_for_every_rule(fields):
    env, params = jaxmarl.make("multi_player_bandit", num_agents=4, num_steps=8, **fields)
    check_env(env, params)


@pytest.fixture(scope="module")
def many_rounds():
    """20000 rounds in which two of three players share arm 0, for each rule: rewards and infos."""

    def play(sharing):
        env, params = bandit([0.6, 0.3], 3, sharing=sharing)
        chance = draw(env.step_chance, jax.random.key(1), (20_000,))
        state, action = env.initial((), params), jnp.array([0, 0, 1])
        _, rewards, _, infos = jax.jit(jax.vmap(lambda drawn: env.transition(state, action, drawn, params)))(chance)
        return np.asarray(rewards), infos

    return {sharing: play(sharing) for sharing in ("average", "equal", "collision0", "none")}


def test_mean_rewards_by_rule(many_rounds):
    expected = {
        "average": (0.3, 0.3, 0.3),
        "equal": (0.3, 0.3, 0.3),
        "collision0": (0, 0, 0.3),
        "none": (0.6, 0.6, 0.3),
    }
    for sharing, (rewards, _) in many_rounds.items():
        error = 4 * rewards.std(0) / np.sqrt(len(rewards)) + 1e-9
        assert (np.abs(rewards.mean(0) - expected[sharing]) < error).all(), sharing


def test_what_is_shared_adds_to_the_outcome(many_rounds):
    for sharing in ("average", "equal"):
        rewards, info = many_rounds[sharing]
        np.testing.assert_allclose(rewards[:, 0] + rewards[:, 1], info["outcome"][:, 0], atol=1e-6)
        np.testing.assert_array_equal(info["outcome"][:, 0], info["outcome"][:, 1])
    weighted = many_rounds["average"][0][:, 0]
    assert np.unique(weighted).size > 1000
    outcomes = np.asarray(many_rounds["none"][1]["outcome"])
    assert (outcomes[:, 0] != outcomes[:, 1]).mean() == pytest.approx(2 * 0.6 * 0.4, abs=0.02)


def test_regret_is_what_the_best_arm_would_have_added():
    env, params = bandit([0.9, 0.8, 0.5, 0.3, 0.2], 4)
    rounds = jnp.array([[0, 0, 1, 2], [0, 0, 0, 0], [4, 0, 1, 2]])
    chance = (jnp.zeros((1, 5)), jnp.zeros(4))
    info = jax.vmap(lambda arms: env.transition(env.initial((), params), arms, chance, params)[3])(rounds)
    np.testing.assert_allclose(info["regret"][0], 0, atol=1e-7)
    np.testing.assert_allclose(info["regret"][1], 0.8 - 0.9 / 4, atol=1e-6)
    np.testing.assert_allclose(info["regret"][2], [0.45 - 0.2, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(info["count"][0], [2, 2, 1, 1])


@pytest.mark.slow
def test_beta_arms_have_their_mean_and_spread():
    env, params = bandit([0.7, 0.2], 1, arms="beta")
    chance = draw(env.step_chance, jax.random.key(0), (4000,))
    outcomes = jax.jit(jax.vmap(lambda c: env.transition(env.initial((), params), jnp.array([0]), c, params)[1]))(
        chance
    )
    variance = 0.7 * 0.3 / (4 + 1)
    assert float(outcomes.mean()) == pytest.approx(0.7, abs=4 * np.sqrt(variance / 4000))
    assert float(outcomes.var()) == pytest.approx(variance, rel=0.1)


def test_bandits_apart_do_not_meet():
    env, params = bandit([[0.9, 0.1], [0.2, 0.6]], 4, sharing="equal", bandit_of=(0, 1, 0, 1))
    payoffs = env.deviation_payoffs(jnp.zeros(4, jnp.int32), params)
    np.testing.assert_allclose(payoffs, [[0.45, 0.1], [0.1, 0.6]] * 2, rtol=1e-6)
    known = env.benchmarks(params)
    np.testing.assert_array_equal(known["allocation"], [[2, 0], [0, 2]])
    assert known["policy"].sample(jax.random.key(0), jnp.asarray(known["arms"][1]), (), None)[0] == 1


def test_other_rules_have_known_answers_too():
    env, params = bandit([0.2, 0.9, 0.5], 2, sharing="collision0")
    known = env.benchmarks(params)
    np.testing.assert_array_equal(known["allocation"], [[0, 1, 1]])
    assert known["welfare"] == pytest.approx(1.4)
    env, params = bandit([0.2, 0.9, 0.5], 2, sharing="none")
    known = env.benchmarks(params)
    np.testing.assert_array_equal(known["allocation"], [[0, 2, 0]])
    assert known["welfare"] == known["optimal_welfare"] == pytest.approx(1.8)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="sharing must be one of average, equal, collision0, none; got 'equals'"):
        MultiPlayerBandit(sharing="equals")
    with pytest.raises(ValueError, match=r"^bandit_of must be 4 entries, one a player, got '2 entries'$"):
        MultiPlayerBandit(bandit_of=(0, 1))
    with pytest.raises(ValueError, match=r"^bandit_of must be numbers of bandits from 0 on without gaps"):
        MultiPlayerBandit(bandit_of=(0, 2, 2, 0))
    env, params = bandit([0.9, 1.2], 2)
    with pytest.raises(ValueError, match=r"^means must be in \[0, 1\], got"):
        env.validate(params)

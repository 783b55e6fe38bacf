"""The study of risk-averse populations: its numbers by hand, and that every method trains."""

import jax
import numpy as np
import pytest

from jaxmarl.experiments.risk_averse import METHODS, Opposed, Sizes, Trained, make_task, trainer
from jaxmarl.experiments.risk_averse_evaluation import CrossTable, evaluate, lower_tail_mean, statistics


def test_statistics_by_hand():
    # two own strategies and two opponents, two episodes a pair
    tables = {
        "return": np.array([[[1.0, 3.0], [2.0, 2.0]], [[0.0, 0.0], [-4.0, 8.0]]]),
        "hurt": np.array([[[0.0, 1.0], [0.0, 0.0]], [[2.0, 0.0], [1.0, 1.0]]]),
    }
    found = statistics(tables, "hurt", np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    # means of cells 2, 2, 0, 2 at weights 1/8, 3/8, 1/8, 3/8
    assert found["mean"] == pytest.approx(1.75)
    second = (1 + 9) / 16 + 4 * 3 / 8 + 0 + (16 + 64) * 3 / 16
    assert found["variance"] == pytest.approx(second - 1.75**2)
    assert found["between"] == pytest.approx(0.25 * 0.75**2 + 0.75 * 0.25**2)  # 1 and 2 against each opponent
    assert found["min"] == -4
    assert found["harm_rate"] == pytest.approx(1000 * (1 / 16 + 1 / 16 + 3 / 8))
    assert found["hurt"] == pytest.approx(1 / 16 + 2 / 16 + 3 / 8)
    assert found["cvar"] == pytest.approx(-4)
    alone = statistics(tables, "hurt", np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert (alone["mean"], alone["variance"], alone["min"], alone["harm_rate"]) == (2, 0, 2, 0)


def test_tail_mean_splits_the_last_value():
    values, weights = np.array([3.0, -1.0, 0.0, 5.0]), np.array([0.25, 0.03, 0.22, 0.5])
    assert lower_tail_mean(values, weights, 0.05) == pytest.approx((0.03 * -1 + 0.02 * 0) / 0.05)
    assert lower_tail_mean(values, weights, 1.0) == pytest.approx(np.sum(values * weights))


def test_the_second_player_of_an_opposed_game_is_paid_the_losses():
    task = make_task("trust_dilemma")
    game = Opposed(task.env)
    state = game.reset(jax.random.key(0), task.params)[1]
    step = jax.jit(game.step)
    rewards = []
    for key in jax.random.split(jax.random.key(1), 25):
        state, reward = step(key, state, jax.random.randint(key, (2,), 0, 5), task.params)[1:3]
        rewards.append(np.asarray(reward))
    assert np.any(np.array(rewards) != 0)
    assert np.all(np.sum(rewards, axis=1) == 0)


def test_unknown_tasks_are_refused():
    with pytest.raises(ValueError, match="task"):
        make_task("chess")


@pytest.mark.slow
def test_a_population_is_trained_and_evaluated():
    sizes = Sizes(responses=2, updates=2, episodes=4, hidden=4)
    task = make_task("overtaking")
    averse = trainer(task, METHODS["psro_rae"], sizes)(jax.random.key(0))
    assert averse.weights.shape == (2,)
    assert abs(averse.weights.sum() - 1) < 1e-6
    assert len(averse.certificates["gain"]) == 2
    assert max(averse.certificates["risk_gap"]) < 1e-3
    other = Trained(jax.tree.map(lambda leaf: leaf[:1], averse.population), np.ones(1))
    found = evaluate(CrossTable(task, sizes, 3, 4), {"averse": averse, "other": other}, jax.random.key(9))
    for by_opponents in found.values():
        assert set(by_opponents) == {"held_out", "populations", "scripted", "itself"}
        for row in by_opponents.values():
            assert row["min"] <= row["cvar"] <= row["mean"]
            assert 0 <= row["between"] <= row["variance"]
            assert 0 <= row["harm_rate"] <= 1000

"""Presets: records of all of them, comparison with what is on record, and the command that repeats them."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.cli import main
from jaxmarl.core.policy import uniform_policy
from jaxmarl.core.rollout import actor_from_policy
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.gridworlds.stag_hunt import gatherer, hunter
from jaxmarl.envs.rps.repeated import RepeatedRPS
from jaxmarl.experiments import presets
from jaxmarl.experiments.team_values import GAMES, mean_return
from jaxmarl.games.markov_fixtures import soccer
from jaxmarl.learners import Learner
from jaxmarl.viz.presets import plot_records


def test_all_presets_are_on_record_as_they_are():
    references = presets.load_references()
    assert set(references) == set(presets.PRESETS)
    for name, found in references.items():
        chosen = presets.preset(name)
        assert len(found.scores) >= presets.REFERENCE_SEEDS
        assert (found.updates, found.score_is) == (chosen.updates, chosen.score_is)
        assert set(found.versions) == {"jax", "flax", "optax"}
        curves = np.array(found.curves)
        assert curves.shape == (len(found.scores), presets.curve_points(chosen.updates))


def test_records_reach_what_is_known():
    scores = {name: np.array(found.scores) for name, found in presets.load_references().items()}
    np.testing.assert_allclose(scores["vdn-two_step"], 7.0)
    np.testing.assert_allclose(scores["qmix-two_step"], 8.0)
    assert scores["ppo-soccer"].mean() >= 0.99
    assert scores["ppo-soccer"].min() > 0.985
    assert scores["pqn_vdn-trust_dilemma"].min() > 2 * 17.7  # of gatherers
    assert scores["loqa-prisoners"].min() > -1.1


def test_curves_have_points_that_divide_the_updates():
    assert [presets.curve_points(updates) for updates in (20, 375, 7, 23)] == [20, 15, 7, 1]
    with pytest.raises(ValueError, match="points must be a divisor of 20, got 3"):
        presets.run_curves(presets.preset("vdn-two_step"), 1, points=3)


def test_curves_end_with_the_scores():
    chosen = replace(presets.preset("pqn_vdn-foraging"), updates=4, make=_toy)
    curves = presets.run_curves(chosen, 3, seed=5, points=2)
    np.testing.assert_array_equal(curves, [[2.0, 4.0]] * 3)
    np.testing.assert_array_equal(presets.run_scores(chosen, 3, seed=5), [4.0] * 3)


def test_the_best_reply_to_uniform_soccer():
    """Its share of the goals in games drawn with probability 0.1 a step, by dynamic programming in the table."""
    game = soccer()
    states = game.initial.size
    following = np.zeros((states, 5, states))
    chances = np.asarray(game.kernel.probabilities) / 5
    for other, k in np.ndindex(5, 2):
        for action in range(5):
            index = np.asarray(game.kernel.successors)[:, action, other, k]
            np.add.at(following, (np.arange(states), action, index), chances[:, action, other, k])
    goals, lead = 1 - following.sum(-1), np.asarray(game.rewards[0]).mean(-1)
    values = np.zeros(states)
    for _ in range(300):
        values = (lead + 0.9 * following @ values).max(-1)
    rows, best = np.arange(states), (lead + 0.9 * following @ values).argmax(-1)
    visits = np.linalg.solve(np.eye(states) - 0.9 * following[rows, best].T, np.asarray(game.initial))
    won = visits @ (goals + lead)[rows, best] / 2
    assert won / (visits @ goals[rows, best]) == pytest.approx(0.9936, abs=5e-5)


def test_returns_of_pairs_in_the_trust_dilemma():
    game = GAMES["trust_dilemma"]
    tester = VectorEnv(game.env, 2048)
    for policy, known in ((gatherer(), "gatherers"), (hunter(), "hunters")):
        actor = actor_from_policy(policy, tester.num_envs, 2)
        found = mean_return(tester, actor, (), jax.random.key(0), game.params, game.env.num_steps)
        assert float(found) == pytest.approx(game.known[known], rel=0.02)  # four standard errors of 2048 episodes


def _toy():
    """A learner that counts its updates, and a score that reads the count."""
    parts = {"policy": uniform_policy(2), "params": lambda state: state, "steps_per_update": 1}
    learner = Learner(init=lambda key: jnp.float32(0), update=lambda state: (state + 1, {}), **parts)
    return learner, lambda count, key: count


def test_a_difference_is_judged_by_the_spread_of_the_runs():
    reference = presets.Reference("", 1, 0, 0.0, {}, tuple((x,) for x in (1.0, 2.0, 3.0, 2.0, 2.0)))
    error = np.sqrt(0.5 * (1 / 5 + 1 / 2))
    allowed, agrees = presets.compare([2.0, 2.0 + 7 * error], reference, 0.0)
    assert allowed == pytest.approx(4 * error)
    assert agrees
    assert not presets.compare([2.0, 2.0 + 9 * error], reference, 0.0)[1]
    same = replace(reference, curves=((7.0,),) * 5)
    assert presets.compare([7.01], same, 0.05) == (0.05, True)
    assert presets.compare([7.06], same, 0.05) == (0.05, False)


def test_mean_return_counts_finished_episodes():
    env = VectorEnv(RepeatedRPS(num_throws=2), 3)
    always = replace(uniform_policy(3), act=lambda *_: (jnp.int32(1), ()), masked=False)
    found = mean_return(env, actor_from_policy(always, 3, 2), (), jax.random.key(0), env.default_params, 2)
    assert float(found) == 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "soccer"], "unknown preset 'soccer'; did you mean 'ppo-soccer'?"),
        (["verify", "qmix-twostep"], "unknown preset 'qmix-twostep'; did you mean 'qmix-two_step'?"),
        (["verify", "qmix-two_step", "--seeds", "0"], "seeds must be an integer >= 1, got 0"),
        (["verify", "--figure", "curves.pdf"], "figure must be the name of a .png file, got 'curves.pdf'"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_presets_are_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify"])
    assert not stop.value.code
    shown = capsys.readouterr().out
    assert all(name in shown for name in presets.PRESETS)


def test_curves_on_record_are_drawn(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", "--figure", str(tmp_path / "curves.png")])
    assert not stop.value.code
    assert "curves.png" in capsys.readouterr().out
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="references must be one record or more"):
        plot_records({}, tmp_path / "none.png")


def test_other_scores_are_told(monkeypatch, tmp_path, capsys):
    rows = {
        name: vars(found) | {"curves": [[x] for x in (5.0, 5.1, 4.9, 5.0, 5.0)]}
        for name, found in presets.load_references().items()
    }
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(rows))
    monkeypatch.setattr(presets, "load_references", lambda: _read(path))
    for score, code in ((5.05, 0), (7.0, 1)):
        monkeypatch.setattr(presets, "run_scores", lambda chosen, seeds, seed, s=score: np.full(seeds, s))
        with pytest.raises(SystemExit) as stop:
            main(["verify", "vdn-two_step"])
        assert (stop.value.code or 0) == code
    assert "DIFFERS" in capsys.readouterr().out


def _read(path):
    return {name: presets.Reference(**row) for name, row in json.loads(path.read_text()).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(presets.PRESETS))
def test_presets_reach_their_records(name):
    chosen = presets.preset(name)
    scores = presets.run_scores(chosen, 3, seed=7)
    allowed, agrees = presets.compare(scores, presets.load_references()[name], chosen.slack)
    assert agrees, (name, scores, allowed)

"""PSRO whose oracle is PPO: responses beat the mixture, payoffs carry errors, runs resume bit for bit."""

import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_throw import bandit

from jaxmarl.core.policy import Policy
from jaxmarl.core.population import ProfileEnv
from jaxmarl.core.seating import Player
from jaxmarl.envs.dilemmas import IteratedMatrix
from jaxmarl.envs.rps.repeated import RepeatedRPS, RPSParams
from jaxmarl.evaluation.cross_play import cross_play
from jaxmarl.learners.ppo import PPOConfig
from jaxmarl.solvers.psro import Psro, PsroSettings
from jaxmarl.solvers.psro.environment import EnvironmentPsro, draw_profiles, newest, ppo_oracle
from jaxmarl.solvers.psro.saved import load_state, run_saved
from jaxmarl.training.errors import RunError

CONSTANT = Policy(lambda chance: (), lambda params, memory, obs, chance: (params, memory), name="constant")
# rock wins double: equilibrium (1/4, 1/2, 1/4), and every other mixture can be beaten
PAYOFFS = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-2.0, 1.0, 0.0]], np.float32)


@pytest.fixture(scope="module")
def psro():
    env = RepeatedRPS(num_throws=1)
    params = RPSParams(payoffs=jnp.asarray(PAYOFFS))
    game = EnvironmentPsro(env, bandit, updates=60, profiles=16, matches=8, episodes=300, env_params=params)
    return Psro(game, PsroSettings(capacity=6, meta_solver="nash_lp"))


@pytest.fixture(scope="module")
def folder(psro, tmp_path_factory):
    path = tmp_path_factory.mktemp("psro") / "run"
    run_saved(psro, path, seed=1)
    return path


@pytest.fixture(scope="module")
def state(psro, folder):
    return load_state(psro, folder)


def test_learned_responses_gain_and_the_population_grows(state):
    rows = state.rows()
    assert rows["size"][-1].tolist() == [6, 6]
    assert rows["nash_conv"][0] > 0.4  # uniform loses a third to rock, in either seat
    assert rows["nash_conv"][-1] < 0.15
    assert np.max(rows["meta_gap"]) < 1e-4
    assert np.all(rows["gain_error"] < 0.12)


def test_payoffs_are_within_their_errors_of_other_matches(psro, state):
    players = psro.game.players(state, 0)
    result = cross_play(psro.game.env, [players], jax.random.key(5), 200, psro.game.env_params, matches_per_call=200)
    cells = state.empirical.cells
    errors = np.sqrt(np.asarray(cells.standard_error[0]) ** 2 + result.standard_errors[..., 0] ** 2)
    assert np.all(np.abs(cells.mean[0] - result.payoffs[..., 0]) <= 4 * errors + 1e-6)
    assert np.all(np.asarray(cells.count) == 300)
    assert np.all(np.asarray(cells.mean[0]) == -np.asarray(cells.mean[1]))
    # exact payoffs of softmax strategies
    chances = np.asarray(jax.nn.softmax(players.params, axis=-1))
    exact = chances @ PAYOFFS @ chances.T
    assert np.all(np.abs(cells.mean[0] - exact) <= 4 * np.asarray(cells.standard_error[0]) + 1e-6)


def test_known_players_make_the_certificate_exact(psro, state):
    """Of one throw the three constant players are all pure strategies: the largest gain is the exploitability."""
    constants = [Player(CONSTANT, jnp.int32(move)) for move in range(3)]
    gains, errors = psro.game.gains_of(state, 0, constants, jax.random.key(2))
    mixture = np.asarray(state.mixtures[1]) @ np.asarray(jax.nn.softmax(state.populations[1], axis=-1))
    value = float(np.sum(np.asarray(state.joint) * np.asarray(state.empirical.cells.mean[0])))
    assert np.all(np.abs(gains - (PAYOFFS @ mixture - value)) <= 4 * errors)
    # what the oracle found is a bound from below
    learned, error = state.rows()["gain"][-1, 0], state.rows()["gain_error"][-1, 0]
    assert learned <= max(PAYOFFS @ mixture) + 4 * error


def test_a_stopped_run_resumes_bit_for_bit(psro, folder, state, tmp_path):
    with pytest.raises(RunError, match="already holds a run"):
        run_saved(psro, folder, seed=1)
    half = tmp_path / "half"

    class Stop(Exception):
        pass

    def stop(state):
        if int(state.iteration) == 2:
            raise Stop

    with pytest.raises(Stop):
        run_saved(psro, half, seed=1, on_iteration=stop)
    resumed = run_saved(psro, half, seed=1, resume=True)
    for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(resumed), strict=True):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(one, two)
    other = Psro(psro.game, PsroSettings(capacity=7, meta_solver="nash_lp"))
    with pytest.raises(RunError, match=r"config.*capacity"):
        run_saved(other, half, seed=1, resume=True)
    shutil.rmtree(half / "checkpoints")
    with pytest.raises(RunError, match="no checkpoint"):
        load_state(psro, half)


def test_profiles_are_drawn_as_often_as_they_are_played():
    distribution = np.array([[0.5, 0.0, 0.1], [0.0, 0.4, 0.0]], np.float32)
    rows, columns = draw_profiles(jax.random.key(0), jnp.asarray(distribution), 20)
    counts = np.zeros((2, 3))
    np.add.at(counts, (np.asarray(rows), np.asarray(columns)), 1)
    for i, j in itertools.product(range(2), range(3)):
        assert abs(counts[i, j] - 20 * distribution[i, j]) < 1 + 1e-4
    assert np.all(counts[distribution == 0] == 0)


def test_the_newest_strategy_is_the_last_that_is_there():
    population = {"a": jnp.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), "b": jnp.array([0.0, 0.0, 0.0])}
    assert newest(population)["a"].tolist() == [0.0, 2.0]


def test_the_horizon_ends_the_game_for_who_responds():
    """Payoffs are returns up to it: a response must not count on what would follow, as after a truncation."""
    game = IteratedMatrix(num_steps=2)
    env = ProfileEnv(game, (Player(CONSTANT, jnp.zeros(1, jnp.int32), members=1),), 3)
    params, key = (game.default_params, (jnp.zeros(1, jnp.int32),)), jax.random.key(0)

    @jax.jit
    def play():
        state, ends = env.reset(key, params)[1], []
        for _ in range(2):
            _, state, _, *end, _ = env.step(key, state, jnp.zeros((3, 1), jnp.int32), params)
            ends.append(end)
        return ends

    for found, over in zip(play(), (False, True), strict=True):
        terminated, truncated = found
        assert (terminated == over).all()
        assert not truncated.any()


def test_environments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="oracle must be a multiple of 3"):
        EnvironmentPsro(RepeatedRPS(num_throws=3), bandit)
    with pytest.raises(ValueError, match="oracle must be a multiple of 4"):
        EnvironmentPsro(RepeatedRPS(num_throws=4), ppo_oracle(PPOConfig(chunk_length=2)))


@pytest.mark.slow
def test_ppo_is_an_oracle():
    config = PPOConfig(
        hidden=8,
        chunk_length=1,
        minibatches=1,
        learning_rate=0.05,
        label_weight=0.0,
        entropy_weight=0.0,
        discount=1.0,
    )
    params = RPSParams(payoffs=jnp.asarray(PAYOFFS))
    env = RepeatedRPS(num_throws=1)
    game = EnvironmentPsro(env, ppo_oracle(config), updates=60, matches=8, episodes=400, env_params=params)
    rows = Psro(game, PsroSettings(capacity=6, meta_solver="nash_lp")).run(jax.random.key(0)).rows()
    # the first response throws rock, which the second one beats, in either seat
    assert rows["nash_conv"][1] > 1.8
    assert rows["nash_conv"][-1] < 0.3

"""MMD and R-NaD: their losses against closed forms on a matrix game, where they end there and on Kuhn poker."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmarl
from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.markov import tabular_game
from jaxmarl.envs.trees import KuhnPoker, behaviour_strategies
from jaxmarl.games import DenseKernel, MarkovGame
from jaxmarl.games.extensive_metrics import extensive_nash_conv
from jaxmarl.learners import MMDConfig, PPOConfig, RNaDConfig, mmd, over_seeds, ppo, rnad
from jaxmarl.learners.actions import CategoricalActions
from jaxmarl.learners.networks import FeedForwardActorCritic
from jaxmarl.learners.policy_gradient import Sequences
from jaxmarl.learners.regularised import MagneticPolicyGradient, Regularised
from jaxmarl.learners.returns import gae, turn_gae
from jaxmarl.learners.rnad import NashDynamics, finetuned

MATRIX = np.array([[0.0, -1.0, 3.0], [1.0, 0.0, -1.0], [-3.0, 1.0, 0.0]])
EQUILIBRIUM = np.array([0.2, 0.6, 0.2])
QUANTAL = {
    1.0: (0.3860221, 0.4402821, 0.1736958),
    0.5: (0.3239065, 0.5242437, 0.1518498),
    0.1: (0.2238875, 0.5956838, 0.1804287),
}


def one_shot(payoffs=MATRIX):
    """The matrix game as an environment of one step."""
    rewards = np.stack([payoffs, -payoffs])[:, None]
    return tabular_game(MarkovGame(rewards, DenseKernel(np.ones((1, 3, 3, 1))), horizon=1))


def played(learner, params):
    """What a learner of the matrix game plays."""
    return learner.policy.probabilities(params, (), MaskedObs(jnp.ones(1), jnp.ones(3, bool)))


@pytest.fixture(scope="module")
def parts():
    """Environment of ten instances, network, and parameters whose policy is given by its last bias alone."""
    env, params = one_shot()
    network = FeedForwardActorCritic(3, 1, 4)
    weights = network.init(
        jax.random.key(0), (), jnp.ones((1, 1, 1)), jnp.ones((1, 1, 3), bool), jnp.ones((1, 1), bool)
    )
    return VectorEnv(env, 10), params, network, weights


def with_logits(weights, logits):
    """Parameters of the network under which these are the logits of every observation."""
    inner = weights["params"]
    kernel = jnp.zeros_like(inner["policy"]["kernel"])
    return {"params": {**inner, "policy": {"kernel": kernel, "bias": jnp.asarray(logits, jnp.float32)}}}


def every_action(advantage, policy, counts):
    """Ten sequences of one step, in which each action occurs as often as the policy plays it: exact expectations."""
    action = jnp.repeat(jnp.arange(3), jnp.array(counts), total_repeat_length=10)[:, None]
    ones = jnp.ones((10, 1))
    seen = MaskedObs(ones[..., None], jnp.ones((10, 1, 3), bool))
    log_policy = jnp.log(jnp.asarray(policy))
    gains = jnp.asarray(advantage, jnp.float32)[action]
    return Sequences((), action[:, 0], seen, ones > 0, action, log_policy[action], 0 * ones, gains, 0 * ones)


def each(log_probs):
    return jnp.broadcast_to(jnp.asarray(log_probs, jnp.float32), (10, 1, 3))


def test_the_loss_of_mmd_is_minimised_by_its_step(parts):
    """From x = (.5, .3, .2) against y = (.2, .3, .5): `x' ∝ [x ρ^(ηα) exp(η q)]^(1 / (1 + ηα))`."""
    env, params, network, weights = parts
    x, y = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    config = MMDConfig(chunk_length=1, temperature=0.1, step_size=0.2, clip=100.0, value_weight=0.0)
    algorithm = MagneticPolicyGradient(env, config, params, network, CategoricalActions(3))
    data = Regularised(every_action(MATRIX @ y, x, (5, 3, 2)), each(np.log(x)), each(np.log(np.full(3, 1 / 3))))

    @jax.jit
    def minimised(logits):
        optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 400))

        def step(carry, _):
            logits, state = carry
            slope = jax.grad(lambda z: algorithm._loss(with_logits(weights, z), data)[0])(logits)
            updates, state = optimiser.update(slope, state)
            return (optax.apply_updates(logits, updates), state), None

        return jax.lax.scan(step, (logits, optimiser.init(logits)), length=400)[0][0]

    found = jax.nn.softmax(minimised(jnp.log(jnp.asarray(x, jnp.float32))))
    np.testing.assert_allclose(found, [0.5697703, 0.2573163, 0.1729135], atol=1e-5)


def forces(parts, config, policy, reference, counts, logits=None):
    """Forces `[10, 3]` where both play a policy, actions as often as counted, and what they should be on average."""
    env, params, network, _ = parts
    algorithm = NashDynamics(env, config, params, network, CategoricalActions(3))
    policy, reference = np.asarray(policy), np.asarray(reference)
    # what the transformed game pays for each action against the policy, of which E η log(π_j / π_reg,j) is a constant
    values = MATRIX @ policy - config.temperature * (np.log(policy) - np.log(reference))
    wanted = values - policy @ values
    data = Regularised(every_action(wanted, policy, counts), each(np.log(policy)), each(np.log(reference)))
    return np.asarray(algorithm._force(each(np.log(policy) if logits is None else logits), data))[:, 0], wanted


WIDE = RNaDConfig(chunk_length=1, temperature=0.5, window=50.0)


def test_the_force_of_rnad_is_the_advantage_in_the_transformed_game(parts):
    force, wanted = forces(parts, WIDE, (0.4, 0.4, 0.2), (0.2, 0.5, 0.3), (4, 4, 2))
    np.testing.assert_allclose(force.mean(0), wanted, atol=1e-5)


def test_fixed_points_of_rnad_are_those_of_mmd_with_its_reference_as_the_magnet(parts):
    """At the quantal response equilibrium nothing moves where the regularisation policy is uniform."""
    quantal, total = np.array(QUANTAL[0.5]), np.zeros(3)
    for action, share in enumerate(quantal):
        force, wanted = forces(parts, WIDE, quantal, np.full(3, 1 / 3), 10 * np.eye(3, dtype=int)[action])
        total += share * force.mean(0)
    np.testing.assert_allclose(wanted, 0, atol=1e-5)
    np.testing.assert_allclose(total, 0, atol=1e-5)


def test_logits_are_not_pushed_out_of_the_window(parts):
    logits = np.array([2.0, -1.0, -1.0])  # all further out than 0.5
    arguments = (0.4, 0.4, 0.2), (0.2, 0.5, 0.3), (4, 4, 2), logits
    free, _ = forces(parts, WIDE, *arguments)
    near, _ = forces(parts, replace(WIDE, window=0.5), *arguments)
    outwards = free * logits > 0
    assert outwards.any()
    assert not outwards.all()
    np.testing.assert_array_equal(near, np.where(outwards, 0, free))


@pytest.mark.parametrize(("alpha", "gap"), [(1.0, 0.424653), (0.5, 0.344113), (0.1, 0.086918)])
def test_quantal_response_equilibria_of_the_matrix_game(alpha, gap):
    quantal = np.array(QUANTAL[alpha])
    choice = np.exp(MATRIX @ quantal / alpha)
    np.testing.assert_allclose(choice / choice.sum(), quantal, atol=2e-6)
    assert 2 * (MATRIX @ quantal).max() == pytest.approx(gap, abs=2e-6)


def test_turns_without_others_are_ordinary_advantages():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, 7, 3)).astype(np.float32)
    ended = np.zeros((7, 3), bool)
    ended[[2, 6]] = True
    everybody = np.ones((7, 3), bool)
    after = np.concatenate([value[1:], value[:1]])
    wanted = gae(reward, value, after, ended, np.zeros_like(ended), 0.9, 0.7)
    np.testing.assert_allclose(turn_gae(reward, value, everybody, ended, 0.9, 0.7), wanted, atol=1e-5)


def test_advantages_lead_from_own_turn_to_own_turn():
    """Turns of one player at steps 0 and 3 of five; values elsewhere are not read."""
    reward = jnp.array([1.0, 2.0, 4.0, 8.0, 16.0])
    value = jnp.array([10.0, 999.0, 999.0, 20.0, 999.0])
    turn = jnp.array([True, False, False, True, False])
    ended = jnp.array([False, False, False, False, True])
    found = turn_gae(reward, value, turn, ended, 0.5, 0.25)
    later = 8 + 0.5 * 16 - 20
    first = 1 + 0.5 * 2 + 0.25 * 4 + 0.125 * 20 - 10 + 0.25 * 0.125 * later
    np.testing.assert_allclose(found, [first, 0, 0, later, 0], atol=1e-5)


def test_fine_tuned_probabilities_drop_mistakes_and_are_multiples():
    given = jnp.array([[0.02, 0.5, 0.48], [0.2, 0.3, 0.5], [0.01, 0.01, 0.98], [0.31, 0.36, 0.33]])
    found = np.asarray(finetuned(given))
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_allclose(found * 32, np.round(found * 32), atol=1e-5)
    assert found[0, 0] == 0
    assert found[2].tolist() == [0, 0, 1]
    np.testing.assert_allclose(found, given, atol=0.035)


def test_what_does_not_fit_is_refused():
    env = jaxmarl.make("kuhn_poker")[0]
    with pytest.raises(ValueError, match="chunk_length must be the horizon of the environment, which is None"):
        mmd(VectorEnv(env, 4), MMDConfig())
    with pytest.raises(ValueError, match="recurrent must be False"):
        RNaDConfig(recurrent=True)
    with pytest.raises(ValueError, match="a game of two players"):
        rnad(VectorEnv(KuhnPoker(3, padded=True), 4), RNaDConfig(chunk_length=5))


def trained(learner, updates, seeds, key=0):
    many = over_seeds(learner, seeds)

    @jax.jit
    def run(key):
        return many.params(jax.lax.scan(lambda s, _: (many.update(s)[0], None), many.init(key), length=updates)[0])

    return run(jax.random.key(key))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_mmd_ends_at_the_quantal_response_equilibrium(alpha):
    env, params = one_shot()
    settings = {"hidden": 16, "learning_rate": 1e-2, "anneal_updates": 1600, "magnet_rate": 0.0}
    learner = mmd(VectorEnv(env, 256), MMDConfig(chunk_length=1, temperature=alpha, **settings), params)
    found = jax.vmap(lambda p: played(learner, p))(trained(learner, 1600, 5))
    np.testing.assert_allclose(found, np.tile(QUANTAL[alpha], (5, 1)), atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("make", ["mmd", "rnad"])
def test_moving_references_end_at_the_nash_equilibrium(make):
    env, params = one_shot()
    settings = {"chunk_length": 1, "hidden": 16, "learning_rate": 1e-2, "anneal_updates": 1000}
    if make == "mmd":
        learner = mmd(VectorEnv(env, 256), MMDConfig(temperature=0.5, magnet_rate=0.02, **settings), params)
    else:
        learner = rnad(VectorEnv(env, 256), RNaDConfig(temperature=0.5, period=50, **settings), params)
    found = jax.vmap(lambda p: played(learner, p))(trained(learner, 1000, 5))
    np.testing.assert_allclose(found, np.tile(EQUILIBRIUM, (5, 1)), atol=0.05)


@pytest.mark.slow
def test_last_iterates_on_kuhn_poker_are_near_equilibrium_and_those_of_ppo_are_not():
    env = KuhnPoker(padded=True)
    batch, shared = VectorEnv(env, 128), {"chunk_length": 3, "hidden": 32, "learning_rate": 3e-3}
    learners = {
        "mmd": mmd(batch, MMDConfig(temperature=0.2, epochs=2, anneal_updates=1000, max_grad_norm=1.0, **shared)),
        "rnad": rnad(batch, RNaDConfig(anneal_updates=1000, max_grad_norm=10.0, **shared)),
        "ppo": ppo(
            batch,
            PPOConfig(recurrent=False, trace=1.0, discount=1.0, death_masking=True, minibatches=1, **shared),
        ),
    }
    gaps = {}
    for name, learner in learners.items():
        params = trained(learner, 1000, 3)

        def gap(one, learner=learner):
            return extensive_nash_conv(env.game, behaviour_strategies(env, learner.policy, one))

        gaps[name] = np.asarray(jax.vmap(gap)(params))
    assert gaps["mmd"].mean() < 0.1
    assert gaps["rnad"].mean() < 0.1
    assert gaps["ppo"].mean() > 0.2

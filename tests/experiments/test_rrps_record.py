"""The record agent: what its predictors say, that acting and training agree, and what the committed weights earn."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.rps import split_bots
from jaxmarl.evaluation.metrics import score_returns
from jaxmarl.experiments.rrps_record import network, training
from jaxmarl.experiments.rrps_record.agent import load_params, mask_of, record_agent, save_params
from jaxmarl.experiments.rrps_record.evaluation import play_matches
from jaxmarl.experiments.rrps_record.matches import SCALE, Matches, MatchPlay
from jaxmarl.experiments.rrps_record.predictors import NAMES, NUM_STATISTICS, STATISTICS, num_predictors

LIBRARY = ("copybot", "peterbot", "pibot", "randbot", "switchbot")
NUMBERS = tuple(NAMES.index(name) for name in LIBRARY)
THROWS = 200


@pytest.fixture(scope="module")
def committed():
    """The committed weights, cut to a library of five bots."""
    return network.narrowed(load_params(), NUMBERS)


@pytest.fixture(scope="module")
def play():
    return MatchPlay(LIBRARY, LIBRARY, THROWS, pairs=2)


@pytest.fixture(scope="module")
def matches(committed, play):
    return play(committed, jax.random.key(0))


def test_the_committed_agent_beats_simulated_bots_almost_at_once(matches):
    mean = dict(zip(LIBRARY, matches.returns.mean(axis=1) / THROWS, strict=True))
    for name in ("copybot", "peterbot", "pibot"):
        assert mean[name] > 0.93, mean
    assert mean["switchbot"] > 0.2
    assert abs(mean["randbot"]) < 4 * np.sqrt(2 / 3 / (4 * THROWS))


def test_clones_of_deterministic_bots_are_exact(matches):
    for name in ("copybot", "pibot"):
        k = LIBRARY.index(name)
        shown, moves = matches.predictions[k, :, :, k], matches.moves[k, ..., 1]
        assert (np.take_along_axis(shown, moves[..., None].astype(int), -1) == SCALE).all()


def test_advisers_play_the_agents_seat(matches):
    k = LIBRARY.index("copybot")
    shown, other = matches.predictions[..., len(LIBRARY) + k, :], matches.moves[..., 1].astype(int)
    # copybot beats the opponent's last move, as if it expected that move again
    np.testing.assert_array_equal(shown[:, :, 1:].argmax(-1), other[..., :-1])


def test_statistics_of_the_last_moves(matches):
    first = 2 * len(LIBRARY)
    for player, whose in enumerate(("own", "opponent's")):
        shown = matches.predictions[..., 1:, first + STATISTICS.index(f"{whose} last move"), :]
        np.testing.assert_array_equal(shown.argmax(-1), matches.moves[..., :-1, player])


def test_markov_tables_count_what_followed(matches):
    moves = matches.moves[0, 0].astype(int)
    joint = 3 * moves[:, 0] + moves[:, 1]
    row = 2 * len(LIBRARY) + STATISTICS.index("opponent's move after 1 joint")
    for t in (1, 2, 50, THROWS - 1):
        after = [moves[s + 1, 1] for s in range(t - 1) if joint[s] == joint[t - 1]]
        expected = np.bincount(after, minlength=3) / len(after) if after else np.full(3, 1 / 3)
        np.testing.assert_allclose(matches.predictions[0, 0, t, row] / SCALE, expected, atol=0.6 / SCALE)


def test_seats_are_swapped_consistently(matches):
    wins = (matches.moves[..., 0] - matches.moves[..., 1] + 1) % 3 - 1
    np.testing.assert_array_equal(wins.sum(axis=-1), matches.returns)


def test_predictions_are_distributions(matches):
    total = matches.predictions.astype(int).sum(axis=-1)
    assert np.abs(total - SCALE).max() <= 1  # rounding


def test_acting_and_training_agree(committed, matches):
    """The loss of recorded moments is the cross-entropy of the forecasts made while playing on the same predictions."""
    match, bot, moments = 1, 4, np.arange(60)
    predictions, moves = matches.predictions[bot, match], matches.moves[bot, match].astype(np.int32)

    @jax.jit
    def forecasts(predictions, moves):
        def throw(carry, now):
            record, shown, opinions, last = carry
            record = network.extend(record, shown, opinions, last)
            shown = network.masked(committed.mask, now[0])
            opinions = network.heads(committed, shown, network.context_of(last))
            return (record, shown, opinions, now[1]), network.decide(committed, record, shown, opinions)

        size = len(LIBRARY)
        start = network.new_record(size), jnp.zeros((num_predictors(size), 3)), jnp.zeros((size + 1, 3))
        return jax.lax.scan(throw, (*start, jnp.full(2, -1)), (predictions / SCALE, moves))[1]

    decisions = forecasts(predictions[moments], moves[moments])
    expected = -np.take_along_axis(np.asarray(decisions.forecast), moves[moments, 1:], 1).mean()
    one = Matches(matches.returns, matches.predictions[[bot]][:, [match]], matches.moves[[bot]][:, [match]])
    found = training.examples(one, [bot], len(moments), seed=0, num_bots=len(LIBRARY))
    records = np.asarray(training._records(predictions, moves[:, 1].astype(np.int8), moments))
    batch = found._replace(times=moments[None], predictions=predictions[moments][None], hits=records[None])
    cost = jax.jit(lambda batch: training.loss(committed, batch, jnp.zeros(1), jnp.ones(len(LIBRARY)), 0.0)[1])
    entropy = cost(batch)["cross_entropy"]
    np.testing.assert_allclose(entropy, expected, rtol=1e-4)


@pytest.mark.slow
def test_fitting_lowers_the_loss(matches, tmp_path):
    config = training.TrainConfig(batch=len(LIBRARY), moments=8, learning_rate=3e-2, left_out=0.0)
    first = Matches(*(x[:, :1] for x in matches))
    data = training.examples(first, range(len(LIBRARY)), 8, seed=0, num_bots=len(LIBRARY))
    start = network.init_params(jax.random.key(1), 8, 4, len(LIBRARY))
    notes = []
    after = training.fit(start, data, config, 50, seed=0, note=notes.append, path=tmp_path / "round0.npz")
    entropies = [float(re.search(r"cross_entropy ([\d.]+)", text)[1]) for text in notes]
    assert len(entropies) == 2
    assert entropies[1] < entropies[0] - 0.02, notes  # the mean of 50 steps against the first
    np.testing.assert_array_equal(after.mask, start.mask)
    np.savez(tmp_path / "round0_call0.npz", **data._asdict())
    (found,) = training.training_curve(tmp_path)
    assert found.throws == len(LIBRARY) * THROWS
    np.testing.assert_array_equal(found.returns, first.returns)
    assert np.mean(found.losses["cross_entropy"]) == pytest.approx(entropies[1], abs=2e-4)


@jax.jit
def played(params, predictions, moves):
    """Belief and decision after the same throw again and again, always predicted alike."""
    opinions = network.heads(params, predictions, jnp.int32(0))

    def throw(record, last):
        return network.extend(record, predictions, opinions, last), None

    record = jax.lax.scan(throw, network.new_record(2), moves)[0]
    return jax.nn.softmax(record.evidence[0]), network.decide(params, record, predictions, opinions)


@pytest.fixture(scope="module")
def untrained():
    """Untrained weights of an agent that knows two bots."""
    return jax.jit(network.init_params, static_argnums=(1, 2, 3))(jax.random.key(0), 8, 4, 2)


def uniform_but(**rows):
    """Predictions of that agent, uniform but for the clones named `first` and `second`."""
    predictions = np.full((num_predictors(2), 3), 1 / 3, np.float32)
    for name, move in rows.items():
        predictions[("first", "second").index(name)] = np.eye(3)[move]
    return predictions


def test_untrained_it_is_bayes_rule_and_identifies_a_simulated_bot(untrained):
    belief, decision = played(untrained, uniform_but(first=1, second=0), np.tile([2, 1], (8, 1)))
    assert belief[0] > 0.999
    assert np.exp(decision.forecast)[1] > 0.9
    logits = np.asarray(decision.logits)
    assert np.exp(logits[2]) / np.exp(logits).sum() > 0.95


def test_sharpness_is_limited_and_fades_where_the_match_is_lost(untrained):
    shown = uniform_but(first=1, second=0)
    won, lost = (played(untrained, shown, np.tile([own, 1], (60, 1)))[1].logits for own in (2, 0))
    assert 0 < lost[2] < 0.02 * won[2]
    blunt = replace(untrained, safety=jnp.asarray([0.5, 3.0, 0.5], jnp.float32))
    decision = played(blunt, shown, np.tile([2, 1], (60, 1)))[1]
    chance = np.exp(decision.forecast)
    np.testing.assert_allclose(decision.logits[2], 0.5 * (chance[1] - chance[0]), rtol=1e-3)


def test_where_nothing_is_known_the_move_is_uniform(untrained):
    _, decision = played(untrained, uniform_but(), np.full((8, 2), -1))
    np.testing.assert_allclose(decision.logits, 0, atol=1e-6)


def test_the_agent_is_shown_the_moves_of_the_match_and_nothing_else(untrained):
    """A throw is two integers; what the memory is made of does not change with it (it is never run here)."""
    policy = record_agent(("copybot", "pibot"))
    key = jax.random.key(0)
    memory = jax.eval_shape(policy.start, key)
    for shown in (2, 6):
        move, after = jax.eval_shape(policy.sample, key, untrained, memory, jax.ShapeDtypeStruct((shown,), jnp.int32))
        assert (move.shape, move.dtype) == ((), jnp.int32)
        assert after == memory


def test_bots_left_out_count_as_uniform_and_are_never_believed(untrained):
    _, unseen = split_bots(0)
    mask = mask_of(without_bots=unseen)
    numbers = [NAMES.index(name) for name in unseen]
    assert mask[numbers].sum() == 0
    assert mask[len(NAMES) + np.array(numbers)].sum() == 0
    assert mask.sum() == 2 * 33 + NUM_STATISTICS
    params = replace(untrained, mask=jnp.asarray([0, *np.ones(num_predictors(2) - 1)], jnp.float32))
    throws = np.tile([2, 1], (300, 1))
    _, decision = played(params, uniform_but(second=0), throws)
    np.testing.assert_allclose(decision.logits, 0, atol=1e-4)  # the one known bot never plays so: it is none
    # a head left out has the best evidence, and would turn the forecast to its logits if it were believed
    params = replace(params, context=params.context.at[0, 0, 1].set(5.0))
    _, decision = played(params, uniform_but(second=0), throws)
    np.testing.assert_allclose(decision.logits, 0, atol=1e-4)


def test_a_folder_without_training_has_no_curve(tmp_path):
    with pytest.raises(ValueError, match="finished training run"):
        training.training_curve(tmp_path)


def test_weights_are_saved_as_they_are(tmp_path):
    params = load_params()
    path = save_params(params, tmp_path / "agent.npz")
    for a, b in zip(jax.tree.leaves(load_params(path)), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_finished_matches_are_not_played_again(committed, play, matches, tmp_path):
    quiet = {"seed": 3, "matches": play, "note": lambda text: None}
    first = play_matches(committed, tmp_path, 4, **quiet)
    both = play_matches(committed, tmp_path, 8, **quiet)
    np.testing.assert_array_equal(both[:, :4], first)
    assert not np.array_equal(both[:, 4:], first)
    (path,) = tmp_path.iterdir()
    np.save(path, both + 1)
    np.testing.assert_array_equal(play_matches(committed, tmp_path, 8, **quiet), both + 1)
    with pytest.raises(ValueError, match="num_matches must be a multiple of 4"):
        play_matches(committed, tmp_path, 6, **quiet)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"without_bots": ("rokbot",)}, "unknown bot 'rokbot'"),
        ({"calls": (1, 1)}, "calls must be as many as steps"),
        ({"batch": 0}, "batch must be an integer >= 1"),
        ({"left_out": 2.0}, "left_out must be in"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=r"bot|must be") as error:
        training.TrainConfig(**settings)
    assert words in str(error.value)


@pytest.mark.slow
def test_the_whole_population_is_led():
    """AggregateScore far above the best bot's 284.5, with 8 matches a bot (standard error of the return about 2)."""
    play = MatchPlay()
    params = load_params()
    returns = np.concatenate([play(params, jax.random.key(seed)).returns for seed in range(4)], axis=1)
    score = score_returns(returns, num_bootstrap=0).plain
    assert score.aggregate_score > 450
    assert score.within_pop_expl < 30

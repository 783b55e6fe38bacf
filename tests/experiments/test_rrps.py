"""Presets of the rock-paper-scissors experiment."""

import jax
import pytest

from jaxmarl.envs.rps import BOTS, split_bots
from jaxmarl.experiments import rrps


@pytest.mark.parametrize("name", rrps.PRESETS)
def test_every_preset_traces(name):
    """Shapes fit through a whole update, without running it."""
    config = rrps.preset(name)
    learner = rrps.make_learner(config)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    after, metrics = jax.eval_shape(learner.update, state)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert {"reward", "reward_worst", "label_accuracy"} <= set(metrics)
    lanes = config.matches_per_bot * len(config.resolved().bots)
    assert learner.steps_per_update == lanes * config.ppo.chunk_length * config.ppo.chunks_per_update


def test_splits_are_seeded_and_complete():
    train, unseen = split_bots(3)
    assert (len(train), len(unseen)) == (33, 10)
    assert sorted(train + unseen) == sorted(BOTS)
    assert split_bots(3) == (train, unseen)
    assert split_bots(4)[1] != unseen
    assert rrps.RRPSConfig(held_out=10, split_seed=3).resolved().bots == train
    with pytest.raises(ValueError, match="held_out must be an integer in"):
        split_bots(0, held_out=43)

"""Learners from datasets, without playing: `OfflineLearner`, experience on disk, CFCQL.

    dataset = create_dataset(folder, {"env": "two_step_game"})                    # jaxmarl.training.dataset
    dataset.append(arrays_of(collect(env, actor, actor_params, key, num_steps)))  # as many chunks as wanted
    learner = cfcql(env, CFCQLConfig(alpha=1.0))
    state, metrics = train(learner, learner.init(key), open_dataset(folder).chunks(seed=0))

*To add a learner*: `init` and `update(state, chunk)`; `draw_sequences` samples a chunk, `team.targets.evaluate` gives
values and targets of a team.
"""

from jaxmarl.learners.offline.cfcql import CFCQLConfig, cfcql, counterfactual_penalty, deviation_weights
from jaxmarl.learners.offline.inverse_network import InverseNetwork
from jaxmarl.learners.offline.learning import OfflineLearner, arrays_of, collect, draw_sequences, steps_from, train
from jaxmarl.learners.offline.mamql import MAMQLConfig, inverse_network, mamql

__all__ = [
    "CFCQLConfig",
    "InverseNetwork",
    "MAMQLConfig",
    "OfflineLearner",
    "arrays_of",
    "cfcql",
    "collect",
    "counterfactual_penalty",
    "deviation_weights",
    "draw_sequences",
    "inverse_network",
    "mamql",
    "steps_from",
    "train",
]

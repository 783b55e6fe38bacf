"""Learners from recorded play: `OfflineLearner`, experience on disk, CFCQL, MAMQL, MAC-Flow.

    dataset = create_dataset(folder, {"env": "two_step_game"})                    # jaxmarl.training.dataset
    dataset.append(arrays_of(collect(env, actor, actor_params, key, num_steps)))  # as many chunks as wanted
    learner = cfcql(env, CFCQLConfig(alpha=1.0))
    state, metrics = train(learner, learner.init(key), open_dataset(folder).chunks(seed=0))

| what is recorded | what is learned | learner |
|---|---|---|
| discrete actions and a team's rewards | values that stay near the data | `cfcql` |
| discrete actions of experts | their policies and their rewards | `mamql` |
| continuous actions and a team's rewards | coordinated policies that stay near the data | `mac_flow` |

*To add a learner*: `init` and `update(state, chunk)`; `draw_sequences` samples a chunk, `team.targets.evaluate` gives
values and targets of a team.
"""

from jaxmarl.learners.offline.cfcql import CFCQLConfig, cfcql, counterfactual_penalty, deviation_weights
from jaxmarl.learners.offline.inverse_network import InverseNetwork
from jaxmarl.learners.offline.learning import OfflineLearner, arrays_of, collect, draw_sequences, steps_from, train
from jaxmarl.learners.offline.mac_flow import MACFlowConfig, flow_policy, mac_flow, member_student
from jaxmarl.learners.offline.mamql import MAMQLConfig, inverse_network, mamql

__all__ = [
    "CFCQLConfig",
    "InverseNetwork",
    "MACFlowConfig",
    "MAMQLConfig",
    "OfflineLearner",
    "arrays_of",
    "cfcql",
    "collect",
    "counterfactual_penalty",
    "deviation_weights",
    "draw_sequences",
    "flow_policy",
    "inverse_network",
    "mac_flow",
    "mamql",
    "member_student",
    "steps_from",
    "train",
]

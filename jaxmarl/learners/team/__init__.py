"""Learners of a team's values, on the loop and the replay of `jaxmarl.learners.value`.

| learner | call |
|---|---|
| independent Q-learning | `team_q(env, iql_config(...))` |
| VDN | `team_q(env, vdn_config(...))` |
| QMIX | `team_q(env, qmix_config(...))` |
| with memory (stored, refreshed by a burn-in) | `recurrent=True, sequence=8, burn_in=4` |
| with messages between agents (MACTAS) | `communication=Communication(...)` |
| independent and central learners with a switch (MANSA) | `mansa(env, SwitchConfig(...))` |
| PQN-VDN, without a replay | `pqn_vdn(env, PQNConfig(...))` |

Parameters are shared by all agents; `agent_id` tells them apart. Experience is `[batch, N, ...]`, sequences are time
first, `[L, batch, N, ...]`. Policies play for the whole team, as those of `mappo`; `member_policy` is one agent's.

*To add a mixer*: a flax module in `mixers.py` from values `[..., N]` and a state `[..., S]` to `[..., 1]`, and its
name in `config.MIXERS` and `make_mixer`. *To add a loss*: derive from `TeamLearning` and replace `losses`;
`targets.evaluate` gives outputs, values and targets of a batch.
"""

from jaxmarl.learners.team.communication import Messages
from jaxmarl.learners.team.config import Communication, TeamConfig, iql_config, qmix_config, vdn_config
from jaxmarl.learners.team.learning import TeamLearning, team_q
from jaxmarl.learners.team.mixers import MonotonicMixer, SumMixer
from jaxmarl.learners.team.network import TeamNetwork, group_policy, member_policy, team_actor, team_network
from jaxmarl.learners.team.parallel import pqn_vdn
from jaxmarl.learners.team.switching import SwitchConfig, mansa
from jaxmarl.learners.team.targets import TeamStep, bootstrapped

__all__ = [
    "Communication",
    "Messages",
    "MonotonicMixer",
    "SumMixer",
    "SwitchConfig",
    "TeamConfig",
    "TeamLearning",
    "TeamNetwork",
    "TeamStep",
    "bootstrapped",
    "group_policy",
    "iql_config",
    "mansa",
    "member_policy",
    "pqn_vdn",
    "qmix_config",
    "team_actor",
    "team_network",
    "team_q",
    "vdn_config",
]

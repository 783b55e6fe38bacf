"""Deep learners of returns: one replay, one loop, and a head for each way to represent what is learned.

| learner | call |
|---|---|
| DQN, double DQN | `deep_q(env, MeanHead(), config)`; `config.double`, `n_step`, `priority`, `MeanHead(dueling=True)` |
| C51 | `deep_q(env, CategoricalHead(low, high, num_atoms), config)` |
| QR-DQN | `deep_q(env, QuantileHead(num_quantiles), config)` |
| IQN | `deep_q(env, ImplicitQuantileHead(), config)` |
| FQF | `deep_q(env, FractionHead(num_quantiles), config)` |
| log-mapped and reward-decomposed Q | `deep_q(env, MappedHead(mapping, channels), config)` |
| control of `E f(stock + return)`: tails, targets | `stock_q(VectorEnv(WithStock(env, low, high), B), f, config)` |
| distributional soft actor-critic | `soft_actor_critic(env, config)`; of continuous actions `box_soft_actor_critic` |
| exponential utility | `entropic_actor_critic(env, config, aversion=a)`; `deep_q(env, EntropicHead(a), config)` |
| PQN | `pqn(env, PQNConfig(...))` |
| HL-Gauss, two-hot | `deep_q(env, HistogramHead(low, high, num_bins), config)`, `ratio=0` |

Risk enters by two hooks, `behaviour` (acting) and `target` (which next action a target bootstraps from); both take
functionals of `jaxmarl.distributional.risk`. Experience is `[batch, N, ...]`, agents after the batch, whose parameters
are shared.

To add a learner:

*Another representation or loss*: a frozen dataclass that derives from `ReturnHead` (`heads.py`). `outputs` makes the
last layers, `law` says what the outputs mean, `target` shifts and shrinks the outputs of the next action, `loss`
compares. `see` changes what the encoder reads of an observation, `prepare` a batch before its loss (relabelling),
`rates` scales learning rates of submodules. `tests/learners/test_value_learners.py` lists heads: add it there.

*Another way from outputs to losses* (mixing the agents' values, entropy, several networks): derive from
`ValueLearning` (`loop.py`) and replace `losses`, which is given `[batch, N, ...]` and both networks' parameters and
returns losses `[batch, N]` (or `[batch, 1]`, of a team); the replay, the schedule and the target network stay.

*Several optimisers, or parts that improve in turn*: replace `first_opt_state` and `_improve`, as
`jaxmarl.learners.hasac` does.

*Another way of collecting or targeting* (no replay): `ValueNetwork`, `exploring_actor`, `greedy_policy` and `steps_of`
are what PQN takes from here.
"""

from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.entropic import EntropicHead
from jaxmarl.learners.value.functionals import Functional, risk_neutral
from jaxmarl.learners.value.gaussian import GaussianHead
from jaxmarl.learners.value.heads import CategoricalHead, HistogramHead, MeanHead, QuantileHead, ReturnHead
from jaxmarl.learners.value.implicit import FractionHead, ImplicitQuantileHead
from jaxmarl.learners.value.loop import ValueLearning, ValueState, deep_q
from jaxmarl.learners.value.mapped import IdentityMap, LogLinearMap, LogMap, MappedHead, ValueMap
from jaxmarl.learners.value.play import first_returns
from jaxmarl.learners.value.pqn import PQNConfig, lambda_returns, pqn
from jaxmarl.learners.value.replay import Replay, Transition
from jaxmarl.learners.value.soft import SoftLearning, SoftNetwork, entropic_actor_critic, soft_actor_critic
from jaxmarl.learners.value.soft_box import box_soft_actor_critic
from jaxmarl.learners.value.stock import StockHead, TailStart, returns_by_stock, stock_q, tail_start
from jaxmarl.learners.value.stock_environment import StockParams, WithStock, from_stock

__all__ = [
    "CategoricalHead",
    "EntropicHead",
    "FractionHead",
    "Functional",
    "GaussianHead",
    "HistogramHead",
    "IdentityMap",
    "ImplicitQuantileHead",
    "LogLinearMap",
    "LogMap",
    "MappedHead",
    "MeanHead",
    "PQNConfig",
    "QuantileHead",
    "Replay",
    "ReturnHead",
    "SoftLearning",
    "SoftNetwork",
    "StockHead",
    "StockParams",
    "TailStart",
    "Transition",
    "ValueConfig",
    "ValueLearning",
    "ValueMap",
    "ValueState",
    "WithStock",
    "box_soft_actor_critic",
    "deep_q",
    "entropic_actor_critic",
    "first_returns",
    "from_stock",
    "lambda_returns",
    "pqn",
    "returns_by_stock",
    "risk_neutral",
    "soft_actor_critic",
    "stock_q",
    "tail_start",
]

"""An agent learns to beat three rock-paper-scissors bots, and is then scored against one it never met.

python examples/train_an_agent.py
"""

import jax

from jaxmarl import PopulationEnv
from jaxmarl.core import Player
from jaxmarl.envs.rps import RepeatedRPS, bot_players
from jaxmarl.evaluation import versus
from jaxmarl.learners import PPOConfig, ppo


def main() -> None:
    """Forty updates of PPO without memory: the last throw is all that these bots look at."""
    env = RepeatedRPS(num_throws=100)
    matches = PopulationEnv(env, bot_players(env, ("copybot", "rotatebot", "rockbot")), matches=16)
    config = PPOConfig(hidden=32, recurrent=False, chunk_length=50, chunks_per_update=2, learning_rate=1e-2)
    learner = ppo(matches, config)

    @jax.jit
    def train(key):
        return jax.lax.scan(lambda state, _: learner.update(state), learner.init(key), length=40)

    state, metrics = train(jax.random.key(0))
    print("reward a throw:", ", ".join(f"{value:.2f}" for value in metrics["reward"][::8]), "…")
    agent = Player(learner.policy, learner.params(state))
    opponents = bot_players(env, ("copybot", "rotatebot", "rockbot", "switchbot"))
    returns = versus(env, agent, opponents, jax.random.key(1), 20)
    for opponent, values in zip(opponents, returns, strict=True):
        print(f"{opponent.policy.name:10} {values.mean():7.1f} of 100")


if __name__ == "__main__":
    main()

"""The same environments and games under other libraries' interfaces, and in their files."""

from jaxmarl.interop.agent_dict import AgentDictEnv
from jaxmarl.interop.agent_dict_environment import AgentDictEnvironment, import_public
from jaxmarl.interop.gambit import read_nfg, write_nfg
from jaxmarl.interop.gymnax import GymnaxEnvironment
from jaxmarl.interop.open_spiel import normal_form_from_open_spiel, normal_form_to_open_spiel
from jaxmarl.interop.open_spiel_markov import markov_game_to_open_spiel
from jaxmarl.interop.open_spiel_policies import (
    behaviour_strategies_from_open_spiel,
    behaviour_strategies_to_open_spiel,
)
from jaxmarl.interop.open_spiel_trees import extensive_game_from_open_spiel, extensive_game_to_open_spiel
from jaxmarl.interop.payoff_files import load_game, save_game

__all__ = [
    "AgentDictEnv",
    "AgentDictEnvironment",
    "GymnaxEnvironment",
    "behaviour_strategies_from_open_spiel",
    "behaviour_strategies_to_open_spiel",
    "extensive_game_from_open_spiel",
    "extensive_game_to_open_spiel",
    "import_public",
    "load_game",
    "markov_game_to_open_spiel",
    "normal_form_from_open_spiel",
    "normal_form_to_open_spiel",
    "read_nfg",
    "save_game",
    "write_nfg",
]

"""Settings of a wrong type are refused where they are given, in a line that names them."""

from dataclasses import fields, replace

import pytest

from jaxmarl.learners import HAPPOConfig, HASACConfig, LeagueConfig, MAPPOConfig, PPOConfig, QLearningConfig
from jaxmarl.learners.lola_dice import LOLAConfig
from jaxmarl.learners.loqa_config import LOQAConfig
from jaxmarl.learners.offline import CFCQLConfig, MACFlowConfig, MAMQLConfig
from jaxmarl.learners.repeated_q import RepeatedQConfig
from jaxmarl.learners.team import Communication, SwitchConfig, TeamConfig
from jaxmarl.learners.value import PQNConfig, ValueConfig

CONFIGS = (PPOConfig, MAPPOConfig, HAPPOConfig, HASACConfig, LeagueConfig, QLearningConfig, LOLAConfig, LOQAConfig)
MORE = (CFCQLConfig, MACFlowConfig, MAMQLConfig, RepeatedQConfig, Communication, SwitchConfig, TeamConfig)


class Odd:
    """Of no type that a setting may have."""

    def __repr__(self) -> str:
        return "<odd>"


@pytest.mark.parametrize("make", [*CONFIGS, *MORE, PQNConfig, ValueConfig], ids=lambda make: make.__name__)
def test_no_setting_takes_what_is_of_no_type(make):
    plain = ("int", "float", "bool", "str", int, float, bool, str, tuple[int, ...])
    settings = [field.name for field in fields(make) if field.init and field.type in plain]
    assert settings
    config = make()
    for name in settings:
        with pytest.raises(ValueError, match=rf"^{name} must be .*<odd>[^\n]*$"):
            replace(config, **{name: Odd()})

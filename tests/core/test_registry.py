"""The registry: names, refusals, suggestions."""

import pytest

from jaxmarl.core import registry
from jaxmarl.core.registry import env_factory, list_envs, make, register
from jaxmarl.testing.probes import Recall


@pytest.fixture
def recall(monkeypatch):
    monkeypatch.setattr(registry, "_FACTORIES", {})
    register("recall")(Recall)
    return "recall"


def refusal(*args, **kwargs) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        make(*args, **kwargs)
    return str(caught.value)


def test_make_builds_with_fields_and_default_params(recall):
    env, params = make(recall, length=7)
    assert env == Recall(length=7)
    assert params == ()


def test_unknown_name_suggests_the_nearest(recall):
    message = refusal("recal")
    assert "unknown environment 'recal'; did you mean 'recall'? (known: recall)" in message
    assert "did you mean" not in refusal("zzzzzz")


def test_unknown_field_suggests_the_nearest(recall):
    assert refusal(recall, lenght=7) == (
        "recall has no field 'lenght'; did you mean 'length'? (fields: length, num_cues)"
    )


def test_a_field_of_params_is_no_field(recall):
    assert "no field 'reward'" in refusal(recall, reward=1.0)


def test_bad_value_is_refused_by_the_environment(recall):
    assert refusal(recall, length=1) == "length must be an integer >= 2, got 1"


def test_duplicates_are_refused(recall):
    with pytest.raises(ValueError, match=r"^environment 'recall' is already registered by Recall$"):
        register("recall")(Recall)
    assert env_factory("recall") is Recall


def test_functions_register_too(recall):
    @register("a_function")
    def build(length: int = 3):
        return Recall(length=length)

    assert make("a_function", length=5)[0] == Recall(length=5)
    assert "no field 'size'" in refusal("a_function", size=2)
    assert list_envs() == ["a_function", "recall"]

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from iscsiproxy.api import models

__all__: list[str] = []

MODELS = [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)]
SENT = [model for model in MODELS if model.__struct_config__.forbid_unknown_fields]


def test_every_model_is_exported() -> None:
    assert {model.__name__ for model in MODELS if not model.__name__.startswith("_")} <= set(models.__all__)


def test_what_is_sent_is_strict_and_what_is_told_may_grow() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `who`"):
        msgspec.json.decode('{"who": 1}', type=models.Kill)
    problem = msgspec.json.decode('{"error": "conflict", "message": "no", "since": 9}', type=models.Problem)
    assert problem == models.Problem(error="conflict", message="no")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_cannot_be_changed_and_is_made_by_name(model: type[msgspec.Struct]) -> None:
    assert model.__struct_config__.frozen
    made: Any = model
    with pytest.raises(TypeError, match="positional"):
        made(1)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (models.Line, "x" * 4096, ["", "x" * 4097]),
        (models.FileText, "x" * 262_144, ["", "x" * 262_145]),
        (models.Name, "x" * 200, ["", "x" * 201]),
        (models.Number, (1 << 53) - 1, [-1, 1 << 53]),
        (models.Seconds, 86_400.0, [-0.1, 86_401]),
    ],
)
def test_the_limits_of_what_is_sent(kind: Any, good: object, bad: list[object]) -> None:
    assert msgspec.convert(good, kind) == good
    assert [one for one in bad if fits(one, kind)] == []


def fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True

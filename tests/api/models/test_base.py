from __future__ import annotations

from typing import Any

import msgspec
import pytest

from iscsiproxy.api import models
from tests.api.models.wire import read, refused, said

__all__: list[str] = []

MODELS = [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)]


def test_every_model_is_exported() -> None:
    assert {model.__name__ for model in MODELS if not model.__name__.startswith("_")} <= set(models.__all__)


def test_what_is_sent_is_strict_and_what_is_told_may_grow() -> None:
    assert refused(models.Kill, who=1) == "Object contains unknown field `who`"
    problem = models.Problem(error="conflict", message="no")
    assert read(models.Problem, error="conflict", message="no", since=9) == problem


def test_a_problem_has_its_others_in_it() -> None:
    second = models.Problem(error="bad_request", message="and this", line=9, column=1)
    first = models.Problem(error="bad_request", message="this", hint="that", file="x.yaml", line=3, others=(second,))
    assert said(first)["others"] == [said(second)]
    assert read(models.Problem, **said(first)) == first


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
    box = msgspec.defstruct("Box", [("value", kind)])
    assert not refused(box, value=good)
    assert all(refused(box, value=one) for one in bad)

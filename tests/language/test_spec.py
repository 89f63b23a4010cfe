from __future__ import annotations

import dataclasses

import pytest

from iscsiproxy.language import spec

__all__: list[str] = []

CLASSES = [
    value
    for name, value in vars(spec).items()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == spec.__name__
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_tree_never_changes(kind: type) -> None:
    assert "__slots__" in vars(kind)
    assert "__setattr__" in vars(kind), "frozen"
    assert kind.__name__ in spec.__all__


def test_defaults_are_those_of_the_language() -> None:
    assert spec.Timing() == spec.Timing(quiet=1.0, hang=5.0, within=10.0)
    assert spec.Picks().per == "run"
    least = spec.Scenario(name="x", victim="target")
    assert (least.aftermath, least.version, least.sections) == ("recovers", 1, {})


def test_kinds_of_parameters_say_what_they_are() -> None:
    assert len({kind.value for kind in spec.ParamKind}) == len(spec.ParamKind)

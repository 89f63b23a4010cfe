from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from iscsiproxy.api import operations
from iscsiproxy.api.operations import OPERATIONS, Operation

__all__: list[str] = []

each = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)


def test_every_operation_is_on_the_list_once() -> None:
    there = [one for one in vars(operations).values() if isinstance(one, Operation)]
    assert there == list(OPERATIONS)
    assert set(Counter(one.name for one in OPERATIONS).values()) == {1}
    assert set(Counter((one.method, one.path) for one in OPERATIONS).values()) == {1}


@each
def test_an_operation_is_called_as_its_constant(operation: Operation[object]) -> None:
    assert getattr(operations, operation.name.upper()) is operation


@each
def test_no_path_hides_another(operation: Operation[object]) -> None:
    """`/v1/rules/check` stands beside `/v1/rules/{scenario}`: no method is at both."""
    fixed = operation.path.split("/")
    for other in OPERATIONS:
        parts = other.path.split("/")
        if other is operation or other.method != operation.method or len(parts) != len(fixed):
            continue
        assert any(one != two and "{" not in one + two for one, two in zip(fixed, parts, strict=True)), other.name


@each
def test_what_looks_changes_nothing_and_sends_no_body(operation: Operation[object]) -> None:
    assert (operation.body is None) or operation.method != "GET"
    assert (operation.query is None) or operation.method == "GET"


@each
def test_what_is_sent_is_strict(operation: Operation[object]) -> None:
    for model in (operation.query, operation.body):
        assert model is None or (issubclass(model, msgspec.Struct) and model.__struct_config__.forbid_unknown_fields)


@each
def test_what_stands_in_a_path_may_not_be_there(operation: Operation[object]) -> None:
    assert 404 in operation.refusals or not operation.arguments or operation.name == "save"


def test_arguments_are_numbers_or_names() -> None:
    (switch,) = (one for one in OPERATIONS if one.name == "switch_rule")
    assert switch.arguments == ("scenario", "rule")
    assert [Operation.is_number(one) for one in ("conn", "n", "session", "rule")] == [True, True, True, False]

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from iscsiproxy.language import syntax
from iscsiproxy.language.expressions import parse_expression
from iscsiproxy.language.parameters import Parameters
from tests.language.samples import scalar

__all__: list[str] = []

EXAMPLES = {
    "Constant": "5",
    "Name": "a.b",
    "ParameterNode": "$p",
    "AbsentWord": "absent",
    "UnaryNode": "-5",
    "BinaryNode": "a == 5",
    "InNode": "a in (5)",
    "RangeNode": "a in (5 .. 6)",
    "CallNode": "len(a)",
    "NotNode": "not a",
    "LogicNode": "a or b",
}


@pytest.mark.parametrize("kind", get_args(syntax.Node), ids=lambda kind: kind.__name__)
def test_every_kind_of_node_is_written_somehow(kind: type) -> None:
    node = parse_expression(scalar(EXAMPLES[kind.__name__]), Parameters({"p": "7"}))
    assert type(node) is kind
    assert node.where.column == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.where = node.where  # type: ignore[misc]

"""The plain sections of a file: needs, traffic, negotiate and timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iscsiproxy.language import shapes
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.checker import Checker
from iscsiproxy.language.document import Node, Scalar
from iscsiproxy.language.expressions import parse_expression
from iscsiproxy.language.keys import KEYS, is_private
from iscsiproxy.language.names import Names
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import Problems, nearest, problem
from iscsiproxy.language.spec import Absent, Expr, Literal_, Timing, ValueKind
from iscsiproxy.language.vocabulary import key_type
from iscsiproxy.wire.opcodes import End

__all__ = ["TRAFFIC", "read_needs", "read_negotiate", "read_timing", "read_traffic"]

_IO = ("verify", "read", "write", "discovery", "none")
_TRAFFIC_KEYS = ("io", "size", "depth", "luns", "offer")
#: Traffic that is not said otherwise; sizes are in bytes.
TRAFFIC: Final[Mapping[str, str | Mapping[str, str]]] = {"io": "verify", "size": "65536", "depth": "1", "luns": "1"}
_TIMING_KEYS = ("quiet", "hang", "within")


def read_needs(node: Node, parameters: Parameters, problems: Problems) -> tuple[Expr, ...]:
    """Read `needs`: a list of tests over what is known without any PDU."""
    checker = Checker(Names(Captures(), outside=True))
    found = []
    for item in shapes.as_list(node):
        with problems.part():
            found.append(checker.test(parse_expression(shapes.as_scalar(item, "a test"), parameters)))
    return tuple(found)


def read_traffic(
    node: Node | None, parameters: Parameters, problems: Problems
) -> Mapping[str, str | Mapping[str, str]]:
    """Read `traffic`; what is not given has its default, numbers are decimal and sizes in bytes."""
    traffic = dict(TRAFFIC)
    if node is None:
        return traffic
    table = shapes.as_table(node, "`traffic`")
    shapes.check_keys(table, _TRAFFIC_KEYS, "`traffic`", problems)
    for entry in table.entries:
        key, value = entry.key.text, entry.value
        with problems.part():
            if key == "io":
                traffic[key] = shapes.choice(value, _IO, "`io`", parameters)
            elif key == "offer":
                traffic[key] = _offer(value, parameters)
            elif key in TRAFFIC:
                traffic[key] = str(shapes.whole(value, f"`{key}`", parameters))
    return traffic


def _offer(node: Node, parameters: Parameters) -> Mapping[str, str]:
    return {
        entry.key.text: shapes.text_of(entry.value, f"a value for {entry.key.text}", parameters)
        for entry in shapes.entries(node, "`offer`")
    }


def read_negotiate(node: Node, parameters: Parameters, problems: Problems) -> Mapping[End, Mapping[str, Expr]]:
    """Read `negotiate`: for each end, keys and what it is told."""
    found: dict[End, Mapping[str, Expr]] = {}
    table = shapes.as_table(node, "`negotiate`")
    ends = {end.value: end for end in End}
    shapes.check_keys(table, tuple(ends), "`negotiate`", problems)
    for entry in table.entries:
        if entry.key.text in ends:
            with problems.part():
                told: dict[str, Expr] = {}
                for pair in shapes.entries(entry.value, f"`{entry.key.text}`"):
                    with problems.part():
                        told[pair.key.text] = _told(pair.key, pair.value, parameters)
                found[ends[entry.key.text]] = told
    return found


def _told(key: Scalar, node: Node, parameters: Parameters) -> Expr:
    name = key.text
    if name not in KEYS and not is_private(name):
        hint = nearest(name, KEYS) or "private keys begin with X-"
        raise problem(f"there is no text key `{name}`", key.position, hint)
    scalar = shapes.as_scalar(node, f"a value for {name}")
    if not (scalar.text.startswith("(") and scalar.text.endswith(")")):
        return Literal_(value=parameters.fill(scalar).text, kind=ValueKind.TEXT, where=scalar.position)
    names = Names(Captures(), outside=True, offer=key_type(name, name))
    typed = Checker(names).infer(parse_expression(scalar, parameters))
    if typed.kind not in (ValueKind.TEXT, ValueKind.NUMBER) or isinstance(typed.expr, Absent):
        raise problem(f"expected a text or a number, not {typed}".rstrip(","), scalar.position)
    return typed.expr


def read_timing(node: Node, parameters: Parameters, problems: Problems) -> Timing:
    """Read `timing`; what is not given has its default."""
    table = shapes.as_table(node, "`timing`")
    shapes.check_keys(table, _TIMING_KEYS, "`timing`", problems)
    given = {}
    for entry in table.entries:
        if entry.key.text in _TIMING_KEYS:
            with problems.part():
                given[entry.key.text] = shapes.duration(entry.value, f"`{entry.key.text}`", parameters)
    return Timing(**given)

"""The matrix of a scenario: axes, and one combination of their values for each run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from iscsiproxy.language import shapes
from iscsiproxy.language.document import Entry, Listing, Node, Scalar
from iscsiproxy.language.parameters import NAME, Parameters
from iscsiproxy.language.problems import nearest, problem
from iscsiproxy.language.tokens import number_value
from iscsiproxy.language.vocabulary import PDU_NAMES
from iscsiproxy.wire.opcodes import LABELS, opcode_of
from iscsiproxy.wire.reserved import reserved_bits

__all__ = ["MAX_COMBINATIONS", "combinations", "read_params"]

#: The most runs that one file may stand for
MAX_COMBINATIONS: Final = 4096
_RANGE = re.compile(r"([0-9A-Za-z]+)\.\.([0-9A-Za-z]+)")
_RESERVED = re.compile(r"reserved\(\s*([^()]*?)\s*\)")


def read_params(node: Node) -> Mapping[str, str]:
    """Read `params`: names and their defaults. Raises FileError."""
    found = {}
    for entry in shapes.as_table(node, "`params`").entries:
        _check_name(entry, {})
        found[entry.key.text] = shapes.as_scalar(entry.value, f"the default of `{entry.key.text}`").text
    return found


def _check_name(entry: Entry, taken: Mapping[str, str]) -> None:
    name = entry.key.text
    if not NAME.fullmatch(name):
        hint = f"`{name[1:]}`" if name.startswith("$") else "a letter, then letters, digits and `_`"
        raise problem(f"`{name}` cannot be the name of a parameter", entry.key.position, hint)
    if name in taken:
        raise problem(f"`{name}` is a parameter already", entry.key.position)


def combinations(node: Node | None, params: Mapping[str, str]) -> tuple[tuple[dict[str, str], frozenset[str]], ...]:
    """Give the values of all axes for each run, the last axis changing fastest, and the parameters used for them.

    Without a matrix there is one run with no axes. Raises FileError.
    """
    entries = () if node is None else shapes.entries(node, "`matrix`")
    for entry in entries:
        _check_name(entry, params)
    found = []
    for axes, used in _expand(entries, params, {}, frozenset()):
        found.append((axes, used))
        if node is not None and len(found) > MAX_COMBINATIONS:
            raise problem(f"the matrix has more than {MAX_COMBINATIONS} combinations", node.position)
    return tuple(found)


def _expand(
    entries: tuple[Entry, ...], params: Mapping[str, str], axes: dict[str, str], used: frozenset[str]
) -> Iterator[tuple[dict[str, str], frozenset[str]]]:
    if not entries:
        yield axes, used
        return
    entry, *rest = entries
    parameters = Parameters({**params, **axes})
    values = list(_values(entry, parameters))
    for value in values:
        yield from _expand(tuple(rest), params, {**axes, entry.key.text: value}, used | parameters.used)


def _values(entry: Entry, parameters: Parameters) -> Iterator[str]:
    """Give the values of one axis."""
    node = entry.value
    if isinstance(node, Listing):
        if not node.items:
            raise problem(f"the axis `{entry.key.text}` has no values", node.position)
        for item in node.items:
            yield shapes.text_of(item, "a value", parameters)
        return
    scalar = shapes.as_scalar(node, "a list of values, a range, or `reserved(PDU)`")
    text = parameters.fill(scalar).text
    if match := _RANGE.fullmatch(text):
        low, high = number_value(match[1]), number_value(match[2])
        if low is None or high is None or not low <= high < low + MAX_COMBINATIONS:
            raise problem(f"`{text}` is no range", scalar.position, "such as `1..8`")
        yield from (str(number) for number in range(low, high + 1))
    elif match := _RESERVED.fullmatch(text):
        yield from _reserved(match[1], scalar)
    else:
        yield text


def _reserved(name: str, scalar: Scalar) -> tuple[str, ...]:
    opcode = opcode_of(name)
    bits = () if opcode is None else reserved_bits(opcode)
    if not bits:
        hint = nearest(name, LABELS.values() if name not in PDU_NAMES else ())
        raise problem(f"`reserved` takes the name of one PDU, not `{name}`", scalar.position, hint)
    return bits

"""YAML as a skin: a tree of texts, lists and mappings, each with its place in the file.

Only the shape of YAML is used. Every scalar is text; what could give it another meaning (tags, anchors, aliases, merge
keys, directives) is an error, and so is what could hide something (duplicate keys, several documents). PyYAML's parser
is used below its composer, so that nothing is ever constructed and depth is bounded while reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from iscsiproxy.language.problems import problem
from iscsiproxy.language.spec import Position

__all__ = ["MAX_DEPTH", "MAX_SIZE", "Entry", "Listing", "Node", "Scalar", "Table", "read_yaml", "texts"]

#: The longest file, in characters
MAX_SIZE: Final = 256 * 1024
#: The deepest nesting
MAX_DEPTH: Final = 20

_QUOTE_HINT = "put the value in quotes, or on a line of its own"


class Scalar:
    """A text; `quoted` tells that it stood in quotes.

    `source` is the text as it stands in the file, from its first character, where it is not simply `text` on one line;
    a `fixed` one has a single place for all its characters.
    """

    __slots__ = ("_fixed", "_places", "_source", "position", "quoted", "text")

    def __init__(
        self, text: str, position: Position, *, quoted: bool = False, source: str = "", fixed: bool = False
    ) -> None:
        self.text = text
        self.position = position
        self.quoted = quoted
        self._source = source
        self._fixed = fixed
        self._places: list[Position] | None = None

    def __repr__(self) -> str:
        return f"<Scalar {self.text!r} at {self.position.line}:{self.position.column}>"

    def at(self, offset: int) -> Position:
        """Give the place of the character at `offset`."""
        where = self.position
        if self._fixed:
            return where
        if not self._source:
            return Position(where.file, where.line, where.column + offset)
        if self._places is None:
            self._places = list(_align(self.text, self._source, where))
        return self._places[min(offset, len(self._places) - 1)]


@dataclass(frozen=True, slots=True)
class Listing:
    """A YAML sequence."""

    items: tuple[Node, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A YAML mapping, in the order of the file."""

    entries: tuple[Entry, ...]
    position: Position

    def get(self, name: str) -> Node | None:
        """Give the value of a key, or None."""
        return next((entry.value for entry in self.entries if entry.key.text == name), None)


Node = Scalar | Listing | Table


def read_yaml(text: str, file: str) -> Node:
    """Read the one document of a file.

    Raises FileError for bad YAML and for the parts of YAML that the language does not use.
    """
    if len(text) > MAX_SIZE:
        raise problem(f"the file has {len(text)} characters; at most {MAX_SIZE} are read", Position(file, 1, 1))
    try:
        return _Reader(text, file).document()
    except yaml.MarkedYAMLError as error:
        raise _yaml_problem(error, file) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        where = Position(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        shown = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        raise problem(f"the character {shown} may not stand in a YAML file", where) from None
    except (ValueError, OverflowError) as error:  # PyYAML lets them through: an escape beyond Unicode, a huge version
        raise problem(f"this is not YAML: {error}", Position(file, 1, 1)) from None


def _yaml_problem(error: yaml.MarkedYAMLError, file: str) -> Exception:
    mark = error.problem_mark or error.context_mark
    where = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
    text = error.problem or error.context or "bad YAML"
    hint = None
    if error.context_mark and "quoted scalar" in (error.context or "") and "end of stream" in text:
        where = Position(file, error.context_mark.line + 1, error.context_mark.column + 1)
        return problem("this quotation is not closed", where)
    if "mapping values are not allowed" in text:
        hint = "a value that contains `: ` stands in quotes"
    elif r"'\t'" in text:
        hint = "indent with spaces"
    elif "cannot start any token" in text:
        hint = "a value that begins with this character stands in quotes"
    elif "expected ',' or" in text:
        hint = "is a closing bracket missing, or a value that should stand in quotes?"
    return problem(f"this is not YAML: {text}", where, hint)


class _Reader:
    """Builds the tree from PyYAML's events."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def document(self) -> Node:
        next(self._events)  # StreamStart
        start = next(self._events)
        if not isinstance(start, yaml.DocumentStartEvent):
            raise problem("the file is empty", Position(self._file, 1, 1), "it begins with `scenario: NAME`")
        if start.version or start.tags:
            raise problem("YAML directives are not part of the language", self._where(start))
        node = self._node(next(self._events), 0)
        next(self._events)  # DocumentEnd
        end = next(self._events)
        if not isinstance(end, yaml.StreamEndEvent):
            hint = "one file holds one scenario; a family of scenarios is a `matrix`"
            raise problem("a second YAML document begins here", self._where(end), hint)
        return node

    def _where(self, event: yaml.Event) -> Position:
        mark = event.start_mark
        assert mark is not None
        return Position(self._file, mark.line + 1, mark.column + 1)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        where = self._where(event)
        if isinstance(event, yaml.AliasEvent):
            raise problem("YAML aliases are not part of the language", where, "write the value again")
        if not isinstance(event, yaml.NodeEvent):
            raise problem("a value is missing here", where)
        if event.anchor is not None:
            raise problem("YAML anchors are not part of the language", where, "write the value again where it is used")
        if getattr(event, "tag", None) is not None:
            raise problem("YAML tags are not part of the language", where, "every value is read as text")
        if depth > MAX_DEPTH:
            raise problem(f"nested more than {MAX_DEPTH} levels deep", where)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, where)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._listing(event, where, depth)
        assert isinstance(event, yaml.MappingStartEvent)
        return self._table(event, where, depth)

    def _scalar(self, event: yaml.ScalarEvent, where: Position) -> Scalar:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            raise problem("half a surrogate pair is not a character", where)
        assert event.start_mark is not None
        assert event.end_mark is not None
        source = self._text[event.start_mark.index : event.end_mark.index]
        block = event.style in ("|", ">")
        text = event.value.rstrip("\n") if block else event.value
        quoted = event.style in ("'", '"')
        return Scalar(text, where, quoted=quoted, source="" if source == text else source)

    def _listing(self, event: yaml.SequenceStartEvent, where: Position, depth: int) -> Listing:
        items: list[Node] = []
        while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
            if event.flow_style and items:
                self._check_cut(items[-1])
            items.append(self._node(inner, depth + 1))
        return Listing(tuple(items), where)

    def _table(self, event: yaml.MappingStartEvent, where: Position, depth: int) -> Table:
        entries: list[Entry] = []
        seen: dict[str, Position] = {}
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            if event.flow_style and entries:
                self._check_cut(entries[-1].value)
            key = self._node(inner, depth + 1)
            if not isinstance(key, Scalar):
                raise problem("a key is a single word, not a list or a mapping", key.position)
            if key.text == "<<" and not key.quoted:
                raise problem("YAML merge keys are not part of the language", key.position, "write the values again")
            value = self._node(next(self._events), depth + 1)
            if event.flow_style and entries and isinstance(value, Scalar) and value.text == "" and not value.quoted:
                message = f"`{key.text}` has no value; inside {{…}} YAML ends a value at its first comma"
                raise problem(message, key.position, _QUOTE_HINT)
            if key.text in seen:
                raise problem(
                    f"the key `{key.text}` stands here twice", key.position, f"see line {seen[key.text].line}"
                )
            seen[key.text] = key.position
            entries.append(Entry(key, value))
        return Table(tuple(entries), where)

    def _check_cut(self, node: Node) -> None:
        """Find a value that YAML has cut at a comma: a parenthesis or a quotation is still open at its end."""
        if not isinstance(node, Scalar) or node.quoted:
            return
        if node.text.count("(") > node.text.count(")") or node.text.count('"') % 2:
            tail = node.text if len(node.text) < 30 else f"… {node.text[-25:]}"
            message = f"YAML cuts this value at its comma, behind `{tail}`, because it stands inside brackets"
            raise problem(message, node.position, _QUOTE_HINT)


def _align(text: str, source: str, start: Position) -> Iterator[Position]:
    """Find each character of a scalar in its source, and one place behind the last.

    Line breaks are folded and escapes resolved between the two: blanks have the place of what was before them, and a
    character that stands in an escape has the place of the escape.
    """
    begin = 0
    if source[:1] in ("|", ">"):
        begin = source.find("\n") + 1
    elif source[:1] in ("'", '"'):
        begin = 1
    line, line_start = start.line, 1 - start.column
    found = begin
    if source[:1] in ("|", ">"):
        line, line_start = start.line + 1, begin
    places: list[tuple[int, int]] = []
    scan = begin
    for character in text:
        if not character.isspace():
            at = source.find(character, scan)
            gap = source[scan:at]
            if at >= 0 and (not gap.strip() or source[:1] in ("'", '"')):
                found, scan = at, at + 1
                breaks = gap.count("\n")
                if breaks:
                    line += breaks
                    line_start = source.rfind("\n", 0, at) + 1
        places.append((line, found - line_start + 1))
    places.append((line, found - line_start + 2) if places else (line, start.column))
    for number, column in places:
        yield Position(start.file, number, column)


def texts(node: Node) -> Iterator[str]:
    """Give every text of a document, keys too."""
    if isinstance(node, Scalar):
        yield node.text
    elif isinstance(node, Listing):
        for item in node.items:
            yield from texts(item)
    else:
        for entry in node.entries:
            yield entry.key.text
            yield from texts(entry.value)

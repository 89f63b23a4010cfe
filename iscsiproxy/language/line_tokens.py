"""Cut a line of the console into words and values, each with its column.

A value ends at the first blank that stands outside of quotes and brackets. `(…)` holds a value together, `[a, b]` is a
list, `{name=a, other=b}` a mapping, `"…"` a text; a quote inside of it is written twice.
"""

from __future__ import annotations

import re
from typing import Final

from iscsiproxy.language.document import MAX_DEPTH, Entry, Listing, Node, Scalar, Table
from iscsiproxy.language.problems import problem
from iscsiproxy.language.spec import ActSpec, Item, ParamKind, Position
from iscsiproxy.language.vocabulary import ITEMS, item_of

__all__ = ["KEY", "Scanner", "begins_moment", "check_once", "held_together", "main_follows"]

#: What stands before the `=` of a parameter or a field
KEY: Final = re.compile(r"([$A-Za-z_0-9][\w$.#+-]*)=(?!=)", re.ASCII)
_WORD = re.compile(r"[^\s;=]+|=+")
#: An operator that goes on with a sum behind a blank
_GOES_ON = re.compile(r"\s+[-+*/%&]\s+(?=[^\s;])")
_PLAIN_ITEMS: Final = {re.sub(r"[^a-z0-9]", "", item.lower()): item for item in ITEMS}


class Scanner:
    """Reads one line from left to right; `at` is the offset of what comes next."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.at = 0

    def __repr__(self) -> str:
        return f"<Scanner {self.text[: self.at]!r} | {self.text[self.at :]!r}>"

    @property
    def here(self) -> Position:
        """The place of what comes next."""
        return self.where(self.at)

    def where(self, offset: int) -> Position:
        """Give the place of an offset."""
        return Position(self.file, 1, offset + 1)

    def blanks(self) -> None:
        """Go on to the next word."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self.at >= len(self.text)

    @property
    def word(self) -> str:
        """The word that comes next, up to a blank, `=` or `;`; empty at one of those, and at the end."""
        match = _WORD.match(self.text, self.at)
        return match[0] if match else ""

    def sees(self, signs: str) -> bool:
        """Tell whether one of these signs comes next."""
        return not self.ended and self.text[self.at] in signs

    def take_word(self) -> Scalar:
        """Read the word that comes next."""
        scalar = Scalar(self.word, self.here)
        self.at += len(scalar.text)
        return scalar

    def take_key(self) -> Scalar | None:
        """Read `name=` if it comes next; give the name."""
        match = KEY.match(self.text, self.at)
        if match is None:
            return None
        scalar = Scalar(match[1], self.here)
        self.at = match.end()
        return scalar

    def rest(self) -> Scalar:
        """Read all that is left, but for blanks at its end."""
        scalar = Scalar(self.text[self.at :].rstrip(), self.here)
        self.at = len(self.text)
        return scalar

    # --- values ---

    def value(self) -> Node:
        """Read one value; raises FileError for a quotation or a bracket that is not closed."""
        node = self._value("", 0)
        if not (self.ended or self.text[self.at].isspace() or self.text[self.at] == ";"):
            what = f"a blank is missing before `{self.text[self.at]}`"
            raise problem(what, self.here, "a quote inside a text is written twice")
        return node

    def _value(self, ends: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise problem(f"nested more than {MAX_DEPTH} levels deep", self.here)
        if self.sees("["):
            return self._listing(depth)
        if self.sees("{"):
            return self._table(depth)
        if self.sees("\"'"):
            return self._quoted()
        return self._plain(ends)

    def _listing(self, depth: int) -> Listing:
        start = self.at
        self.at += 1
        items: list[Node] = []
        self.blanks()
        while not self.sees("]"):
            items.append(self._value(",]", depth + 1))
            self._next("]", start)
        self.at += 1
        return Listing(tuple(items), self.where(start))

    def _table(self, depth: int) -> Table:
        start = self.at
        self.at += 1
        entries: list[Entry] = []
        self.blanks()
        while not self.sees("}"):
            key = self.take_key()
            if key is None:
                raise problem(f"expected `name=value`, not `{self.word or 'the end'}`", self.here)
            check_once(key, entries)
            entries.append(Entry(key, self._value(",}", depth + 1)))
            self._next("}", start)
        self.at += 1
        return Table(tuple(entries), self.where(start))

    def _next(self, close: str, start: int) -> None:
        """Go on behind the comma to the next item, or to the end of the list."""
        self.blanks()
        if self.sees(","):
            self.at += 1
            self.blanks()
        elif self.ended:
            raise problem(f"the `{self.text[start]}` is not closed", self.where(start))
        elif not self.sees(close):
            raise problem(f"expected `,` or `{close}`, not `{self.text[self.at]}`", self.here)

    def _quoted(self) -> Scalar:
        start, quote = self.at, self.text[self.at]
        parts: list[str] = []
        at = start + 1
        while True:
            end = self.text.find(quote, at)
            if end < 0:
                raise problem("this quotation is not closed", self.where(start))
            parts.append(self.text[at:end])
            at = end + 1
            if self.text[at : at + 1] != quote:
                break
            parts.append(quote)
            at += 1
        self.at = at
        return Scalar("".join(parts), self.where(start), quoted=True, source=self.text[start:at])

    def _plain(self, ends: str) -> Scalar:
        start = self.at
        while True:
            self._run(ends)
            more = None if ends else _GOES_ON.match(self.text, self.at)
            if more is None or self.at == start:
                break
            self.at = more.end()
        return Scalar(self.text[start : self.at].rstrip(), self.where(start))

    def _run(self, ends: str) -> None:
        """Go behind one run of characters; inside of a list blanks do not end it."""
        open_at: list[int] = []
        while not self.ended:
            character = self.text[self.at]
            if character == '"':
                self._skip_quotation()
                continue
            if character == "(":
                open_at.append(self.at)
            elif character == ")" and open_at:
                open_at.pop()
            elif not open_at and (character in ends or (not ends and (character.isspace() or character == ";"))):
                break
            self.at += 1
        if open_at:
            raise problem("this parenthesis is not closed", self.where(open_at[-1]))

    def _skip_quotation(self) -> None:
        end = self.text.find('"', self.at + 1)
        if end < 0:
            raise problem("this quotation is not closed", self.here)
        self.at = end + 1


def check_once(key: Scalar, entries: list[Entry]) -> None:
    """Make sure that a name is not given already; raises FileError."""
    if any(entry.key.text == key.text for entry in entries):
        raise problem(f"`{key.text}` stands here twice", key.position)


def begins_moment(word: str) -> bool:
    """Tell whether a word is a PDU or an event, or one that is written a little otherwise."""
    return _item_meant(word) is not None


def _item_meant(word: str) -> Item | None:
    return item_of(word) or item_of(_PLAIN_ITEMS.get(re.sub(r"[^a-z0-9]", "", word.lower()), ""))


def main_follows(spec: ActSpec, scan: Scanner) -> bool:
    """Tell whether the main parameter of an act comes next, and not a moment."""
    param = next((param for param in spec.params if param.name == spec.main), None)
    if param is None or scan.sees("([{\"'"):
        return param is not None
    word = scan.word
    item = _item_meant(word)
    if param.kind is ParamKind.PDU and item is not None:
        return bool(item.opcodes) and (param.pdus is None or item.opcodes <= param.pdus)
    return word != "when" and item is None


def held_together(node: Node) -> Node:
    """Take away the parentheses that only hold a value together."""
    if isinstance(node, Listing):
        return Listing(tuple(held_together(item) for item in node.items), node.position)
    if not isinstance(node, Scalar) or node.quoted or not _is_wrapped(node.text):
        return node
    inner = node.text[1:-1]
    offset = 1 + len(inner) - len(inner.lstrip())
    return Scalar(inner.strip(), node.at(offset))


def _is_wrapped(text: str) -> bool:
    """Tell whether the parenthesis that a text begins with is closed by its last character."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth, quoting = 0, False
    for offset, character in enumerate(text):
        quoting ^= character == '"'
        if not quoting:
            depth += (character == "(") - (character == ")")
        if depth == 0:
            return offset == len(text) - 1
    return False

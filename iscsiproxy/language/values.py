"""Read the values of acts' parameters, each by its kind, and the values that fields are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from iscsiproxy.language import shapes
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.cdbs import CDB_WORDS, build_cdb
from iscsiproxy.language.checker import NUMERIC, Checker
from iscsiproxy.language.document import Node, Scalar
from iscsiproxy.language.expressions import Cursor, parse_expression
from iscsiproxy.language.moments import check_new_name
from iscsiproxy.language.names import Hand, Names
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import UnknownNameError, nearest, problem
from iscsiproxy.language.spec import (
    Absent,
    Call,
    Cut,
    Expr,
    Literal_,
    Param,
    ParamKind,
    Place,
    Position,
    Unary,
    Value,
    ValueKind,
)
from iscsiproxy.language.syntax import Name, ParameterNode, Word
from iscsiproxy.language.syntax import Node as Written
from iscsiproxy.language.tokens import Kind, number_value, tokenize
from iscsiproxy.language.vocabulary import PDU_NAMES, Type, item_of

__all__ = ["BYTES", "Values", "pdu_opcode"]

BYTES = Type(ValueKind.BYTES)
_NUMBER = Type(ValueKind.NUMBER)
_TEXT = Type(ValueKind.TEXT)
_NO_TAG = 0xFFFFFFFF
#: The tags that name a connection or a session; `fresh` draws them in their own form.
_NAMING = ("CID", "TSIH", "ISID")
#: TotalAHSLength counts words of four bytes, in one byte (RFC 7143 11.2.1.5).
_MOST_AHS = 4 * 255

_PLACE = re.compile(r"(start|end|header-digest|header|ahs|data-digest|data|pad)(?:\+([0-9A-Za-z]+))?")
#: The last byte of the parts whose length never changes (RFC 7143 11.1)
_LAST = {"header": 47, "header-digest": 3, "data-digest": 3, "pad": 2}
_CUT = re.compile(r"([^+\s]+)\+([0-9A-Za-z]+)")


def pdu_opcode(node: Node, parameters: Parameters) -> int:
    """Read the name of a single PDU as its opcode; raises FileError."""
    scalar = shapes.as_scalar(node, "the name of a PDU")
    text = parameters.fill(scalar).text
    item = item_of(text)
    if item is None or len(item.opcodes) != 1:
        names = [name for name in PDU_NAMES if not name.endswith("-PDU")]
        what = "stands for several PDUs" if item and item.opcodes else "is not the name of a PDU"
        raise problem(f"`{text}` {what}", scalar.position, nearest(text, names))
    (opcode,) = item.opcodes
    return opcode


@dataclass
class Values:
    """Reads values in one place: `hand` is what expressions look at; `rules` and `states` are the names there are."""

    parameters: Parameters
    captures: Captures
    hand: Hand
    rules: Iterable[str] = ()
    states: Iterable[str] = ()
    checker: Checker = field(init=False)

    def __post_init__(self) -> None:
        self.checker = Checker(Names(self.captures, self.hand))

    def read(self, param: Param, node: Node) -> Value:
        """Read the value of a parameter that is no moment; raises FileError."""
        what = f"`{param.name}`"
        if param.kind is ParamKind.CHOICE:
            return shapes.choice(node, param.choices, what, self.parameters)
        if param.choices and isinstance(node, Scalar) and self.parameters.fill(node).text in param.choices:
            return self.parameters.fill(node).text
        reader = _READERS[param.kind]
        return reader(self, node, what)

    # --- fields ---

    def assigned(self, node: Node, kind: Type) -> Expr:
        """Read the value that a field is given; raises FileError."""
        scalar = shapes.as_scalar(node, f"a value for `{kind.what}`" if kind.what else "a value")
        if kind.kind is ValueKind.TEXT:
            return self.text(scalar)
        if kind.kind is ValueKind.BYTES:
            return self._bytes_expr(scalar, kind)
        written = parse_expression(scalar, self.parameters)
        if _is_fresh(written):
            if kind.kind is not ValueKind.TAG or (kind.maximum != _NO_TAG and kind.what not in _NAMING):
                raise problem(f"`fresh` is an unused tag; `{kind.what}` is none", scalar.position)
            name = Literal_(value=kind.what, kind=ValueKind.TEXT, where=scalar.position)
            arguments = () if kind.maximum == _NO_TAG else (name,)
            return Call(function="fresh", arguments=arguments, kind=ValueKind.TAG, where=scalar.position)
        typed = self.checker.infer(written, kind)
        if kind.kind is ValueKind.SENSE:
            if typed.kind is not ValueKind.SENSE or isinstance(typed.expr, Absent):
                hint = "sense is key/ASC/ASCQ in hexadecimal: B/0C/0D"
                raise problem(f"`{kind.what}` takes sense, not {typed}".rstrip(","), scalar.position, hint)
            return typed.expr
        if typed.kind not in NUMERIC or isinstance(typed.expr, Absent):
            raise problem(f"`{kind.what}` takes {_article(kind.kind)}, not {typed}".rstrip(","), scalar.position)
        if isinstance(typed.expr, Unary) and isinstance(typed.expr.operand, Literal_):
            raise problem(f"{scalar.text} does not fit `{kind.what}`, which is never negative", scalar.position)
        return typed.expr

    def text(self, scalar: Scalar) -> Expr:
        """Read a text: literal, or computed when it stands in parentheses."""
        computed = self.computed(scalar, 0)
        if computed is not None:
            return computed
        filled = self.parameters.fill(scalar)
        return Literal_(value=filled.text, kind=ValueKind.TEXT, where=scalar.position)

    def computed(self, scalar: Scalar, start: int) -> Expr | None:
        """Read the expression that stands in parentheses from `start` to the end, or give None."""
        text = scalar.text[start:]
        if not (text.startswith("(") and text.endswith(")")):
            return None
        typed = self.checker.infer(parse_expression(scalar, self.parameters, start))
        if typed.kind not in (ValueKind.TEXT, ValueKind.NUMBER) or isinstance(typed.expr, Absent):
            raise problem(f"expected a text or a number, not {typed}".rstrip(","), scalar.at(start))
        return typed.expr

    def _bytes_expr(self, scalar: Scalar, kind: Type) -> Expr:
        if kind.what == "CDB":
            text = self.parameters.fill(scalar).text
            cdb = build_cdb(text, scalar.position)
            if cdb is not None:
                return Literal_(value=cdb, kind=ValueKind.BYTES, where=scalar.position)
            if hint := nearest(text.split(" ")[0], CDB_WORDS):
                raise problem(f"`{text}` is no CDB", scalar.position, hint)
        if scalar.quoted and kind.what != "CDB":
            data = self.parameters.fill(scalar).text.encode()
            return Literal_(value=data, kind=ValueKind.BYTES, where=scalar.position)
        typed = self.checker.infer(parse_expression(scalar, self.parameters), BYTES)
        if typed.kind is not ValueKind.BYTES:
            hint = "bytes are 0x and pairs of digits, or a text in quotes"
            raise problem(f"expected bytes, not {typed}".rstrip(","), scalar.position, hint)
        if kind.what == "CDB" and isinstance(typed.expr, Literal_) and len(cast(bytes, typed.expr.value)) > 16:
            raise problem("the CDB field has 16 bytes", scalar.position)
        if kind.what == "AHS" and isinstance(typed.expr, Literal_) and len(cast(bytes, typed.expr.value)) > _MOST_AHS:
            raise problem(f"a PDU has at most {_MOST_AHS} bytes of AHS", scalar.position)
        return typed.expr

    # --- parameters ---

    def _number(self, node: Node, what: str) -> Expr:
        scalar = shapes.as_scalar(node, what)
        typed = self.checker.infer(parse_expression(scalar, self.parameters), _NUMBER)
        if typed.kind is not ValueKind.NUMBER:
            raise problem(f"{what} takes a number, not {typed}".rstrip(","), scalar.position)
        return typed.expr

    def _range(self, node: Node, what: str) -> Expr | tuple[Expr, ...]:
        scalar = shapes.as_scalar(node, what)
        cursor = Cursor(tokenize(scalar, self.parameters), self.parameters)
        if cursor.token.kind is Kind.PARAMETER and cursor.following.kind is Kind.END:
            cursor.expand()  # it may be the whole of a range
        written = [cursor.sum()]
        if cursor.takes(".."):
            written.append(cursor.sum())
        cursor.end("the number")
        found = [self.checker.infer(one, _NUMBER) for one in written]
        for typed in found:
            if typed.kind is not ValueKind.NUMBER:
                raise problem(f"{what} takes a number, not {typed}".rstrip(","), scalar.position)
        numbers = tuple(typed.expr for typed in found)
        ends = [one.value for one in numbers if isinstance(one, Literal_) and isinstance(one.value, int)]
        if len(ends) == 2 and ends[0] > ends[1]:
            raise problem(f"{what} begins behind its end", scalar.position, f"`{ends[1]}..{ends[0]}`")
        return numbers[0] if len(numbers) == 1 else numbers

    def _place(self, node: Node, what: str) -> Place:
        scalar = shapes.as_scalar(node, what)
        text = self.parameters.fill(scalar).text
        match = _PLACE.fullmatch(text)
        offset = number_value(match[2]) if match and match[2] else 0
        if match is None or offset is None or (match[2] and match[1] in ("start", "end")):
            names = ("start", "end", "header", "ahs", "header-digest", "data", "pad", "data-digest")
            hint = nearest(text.partition("+")[0], names) or "such as `start`, `end`, `header+20`, `data+0`"
            raise problem(f"`{text}` is no place in a PDU", scalar.position, hint)
        if offset > _LAST.get(match[1], 1 << 24):
            raise problem(f"the last byte of {match[1]} is `{match[1]}+{_LAST.get(match[1])}`", scalar.position)
        return Place(part=match[1], offset=offset)  # type: ignore[arg-type] # the expression has no other words

    def _text(self, node: Node, what: str) -> str:
        return shapes.text_of(node, what, self.parameters)

    def _name(self, node: Node, what: str) -> str:
        word = self.word(node, what)
        self.captures.need(word)
        return word.text

    def word(self, node: Node, what: str) -> Word:
        """Read a name."""
        scalar = shapes.as_scalar(node, what)
        return Word(self.parameters.fill(scalar).text, scalar.position)

    def _new_name(self, node: Node, what: str) -> str:
        return check_new_name(self.word(node, what))

    def _bytes(self, node: Node, what: str) -> bytes:
        expr = self._bytes_expr(shapes.as_scalar(node, what), BYTES)
        if isinstance(expr, Literal_) and isinstance(expr.value, bytes):
            return expr.value
        raise problem(f"{what} takes bytes: 0x and pairs of digits, or a text in quotes", node.position)

    def _texts(self, node: Node, what: str) -> tuple[Expr | str, ...]:
        return tuple(self._pair(item, what) for item in shapes.as_list(node))

    def _pair(self, node: Node, what: str) -> Expr | str:
        scalar = shapes.as_scalar(node, what)
        key, equals, _ = scalar.text.partition("=")
        if not key or not equals:
            hint = "the bytes of a text that is none are given with `raw`"
            raise problem(f"{what} takes KEY=VALUE, not `{scalar.text}`", scalar.position, hint)
        value = self.computed(scalar, len(key) + 1)
        if value is None:
            return self.parameters.fill(scalar).text
        key = self.parameters.fill(Scalar(key, scalar.position)).text
        name = Literal_(value=key, kind=ValueKind.TEXT, where=scalar.position)
        return Call(function="pair", arguments=(name, value), kind=ValueKind.TEXT, where=scalar.position)

    def _keys(self, node: Node, what: str) -> tuple[str, ...]:
        keys = []
        for item in shapes.as_list(node):
            word = self.word(item, what)
            if "=" in word.text:
                raise problem(f"{what} takes names of keys, not `{word.text}`", word.where)
            keys.append(word.text)
        return tuple(keys)

    def _pdu(self, node: Node, what: str) -> str:
        pdu_opcode(node, self.parameters)
        return shapes.text_of(node, "a PDU", self.parameters)

    def _state(self, node: Node, what: str) -> str:
        return self._one_of(self.word(node, what), self.states, "state of this machine")

    def _rule(self, node: Node, what: str) -> str:
        return self._one_of(self.word(node, what), self.rules, "rule with a name")

    def _one_of(self, word: Word, names: Iterable[str], what: str) -> str:
        known = list(names)
        if word.text in known:
            return word.text
        where: Position = word.where
        hint = nearest(word.text, known) or (f"there are {', '.join(known)}" if known else "there is none here")
        message = f"there is no {what} called `{word.text}`"
        place = {"file": where.file, "line": where.line, "column": where.column}
        raise UnknownNameError(message, **place, hint=hint, name=word.text)  # type: ignore[arg-type]

    def _offer(self, node: Node, what: str) -> Mapping[str, Expr]:
        found = {}
        for entry in shapes.entries(node, what):
            found[entry.key.text] = self.text(shapes.as_scalar(entry.value, f"a value for {entry.key.text}"))
        return found

    def _rounds(self, node: Node, what: str) -> Mapping[int, tuple[Expr | str, ...]]:
        found = {}
        for entry in shapes.entries(node, what):
            number = number_value(entry.key.text)
            if not number:
                raise problem(f"{what} is given by round: 1, 2 and so on", entry.key.position)
            found[number] = self._texts(entry.value, what)
        return found

    def _cuts(self, node: Node, what: str) -> tuple[Cut, ...]:
        cuts = []
        for item in shapes.as_list(node):
            word = self.word(item, what)
            match = _CUT.fullmatch(word.text)
            offset = number_value(match[2]) if match else None
            if match is None or offset is None:
                raise problem(f"{what} takes `data+N` or `KEY+N`, not `{word.text}`", word.where)
            cuts.append(Cut(key="" if match[1] == "data" else match[1], offset=offset))
        return tuple(cuts)


_READERS: Mapping[ParamKind, Callable[[Values, Node, str], Value]] = {
    ParamKind.FLAG: lambda values, node, what: shapes.yes_no(node, what, values.parameters),
    ParamKind.DURATION: lambda values, node, what: shapes.duration(node, what, values.parameters),
    ParamKind.NUMBER: Values._number,
    ParamKind.RANGE: Values._range,
    ParamKind.PLACE: Values._place,
    ParamKind.TEXT: Values._text,
    ParamKind.NAME: Values._name,
    ParamKind.NEW_NAME: Values._new_name,
    ParamKind.BYTES: Values._bytes,
    ParamKind.TEXTS: Values._texts,
    ParamKind.KEYS: Values._keys,
    ParamKind.PDU: Values._pdu,
    ParamKind.STATE: Values._state,
    ParamKind.RULE: Values._rule,
    ParamKind.OFFER: Values._offer,
    ParamKind.ROUNDS: Values._rounds,
    ParamKind.CUTS: Values._cuts,
}


def _is_fresh(node: Written) -> bool:
    if isinstance(node, ParameterNode):
        return isinstance(node.meaning, Name) and node.meaning.text == "fresh"
    return isinstance(node, Name) and node.text == "fresh"


def _article(kind: ValueKind) -> str:
    return f"a {kind.value}"

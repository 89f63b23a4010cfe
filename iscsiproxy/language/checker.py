"""Types of expressions: what may be compared with what, and which names are codes.

A name is a code where the other side of a comparison has such a code; a number takes the kind of what it is compared
with. Serial numbers are compared and added by RFC 1982, which the tree marks. What is not allowed here is an error when
the file is read, never a surprise when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iscsiproxy.errors import FileError
from iscsiproxy.language.names import Names
from iscsiproxy.language.problems import UnknownNameError, nearest, problem, quoted
from iscsiproxy.language.shapes import truth_of
from iscsiproxy.language.spec import (
    Absent,
    Binary,
    Call,
    Expr,
    In,
    Literal_,
    Logic,
    Not,
    Position,
    Range,
    Ref,
    Unary,
    ValueKind,
)
from iscsiproxy.language.syntax import (
    AbsentWord,
    BinaryNode,
    CallNode,
    Constant,
    InNode,
    LogicNode,
    Name,
    Node,
    NotNode,
    ParameterNode,
    RangeNode,
    UnaryNode,
    Word,
)
from iscsiproxy.language.tokens import meant
from iscsiproxy.language.vocabulary import FUNCTIONS, Type

__all__ = ["NUMERIC", "Checker", "Typed"]

_K = ValueKind
#: Kinds whose values are whole numbers on the wire
NUMERIC = frozenset({_K.NUMBER, _K.SERIAL, _K.TAG, _K.FLAG, _K.CODE})
_ORDERED = frozenset({_K.NUMBER, _K.SERIAL, _K.DURATION})
#: The largest number that a literal may be: no field is longer than 8 bytes
_MAX_NUMBER: Final = (1 << 64) - 1
_NONE: Final = 0xFFFFFFFF


_SHOWN = {
    _K.SERIAL: "a sequence number",
    _K.BYTES: "bytes",
    _K.TRUTH: "a test",
    _K.PRESENCE: "only there or `absent`",
    _K.SENSE: "sense",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression and what it is."""

    expr: Expr
    type: Type

    @property
    def kind(self) -> ValueKind:
        """What kind of value it is."""
        return self.type.kind

    def __str__(self) -> str:
        expr = self.expr
        if isinstance(expr, Literal_) and isinstance(expr.value, int | str):
            return f"`{expr.value}`" if isinstance(expr.value, int) else f'`"{expr.value}"`'
        if isinstance(expr, Absent):
            return "`absent`"
        kind = _SHOWN.get(self.type.kind) or f"a {self.type.kind.value}"
        return f"`{self.type.what}`, {kind}," if self.type.what else kind


class Checker:
    """Gives written expressions their types, with the names of one place of the file."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def __repr__(self) -> str:
        return f"<Checker with {self.names}>"

    def test(self, node: Node) -> Expr:
        """Check an expression that has to be true or false; a flag stands for itself."""
        typed = self.infer(node)
        if typed.kind not in (_K.TRUTH, _K.FLAG):
            raise problem(f"expected a test, not {typed}".rstrip(","), node.where, "compare it, for example with `==`")
        return typed.expr

    def infer(self, node: Node, beside: Type | None = None) -> Typed:
        """Give the type of an expression; `beside` is what it stands beside, for codes and numbers."""
        match node:
            case Constant():
                return _constant(node, beside)
            case Name():
                return self._name(node, beside)
            case ParameterNode():
                return self._parameter(node, beside)
            case AbsentWord():
                return Typed(Absent(where=node.where), Type(_K.PRESENCE))
            case UnaryNode():
                return self._negative(node)
            case BinaryNode():
                return self._binary(node)
            case InNode():
                return self._within(node)
            case RangeNode():
                return self._between(node)
            case CallNode():
                return self._call(node)
            case NotNode():
                return _truth(Not(operand=self.test(node.operand), where=node.where))
            case LogicNode():
                return _truth(Logic(op=node.op, operands=self._tests(node), where=node.where))

    def _tests(self, node: LogicNode) -> tuple[Expr, ...]:
        """Check the tests that are joined; a name that nothing binds is told only if all else is right."""
        found, unknown = [], None
        for operand in node.operands:
            try:
                found.append(self.test(operand))
            except UnknownNameError as error:
                unknown = unknown or error
        if unknown is not None:
            raise unknown
        return tuple(found)

    # --- names and literals ---

    def _name(self, node: Name, beside: Type | None) -> Typed:
        if beside is not None:
            word = _word(node, beside)
            if word is not None:
                return word
            if node.text in beside.partly:
                message = f"`{node.text}` is a {beside.what} of only some of these PDUs"
                raise problem(message, node.where, "match them in patterns of their own, or write the number")
            if (beside.words or beside.kind is _K.TEXT) and not self._known(node):
                raise _no_such_word(node.text, beside, node.where)
        if not self._known(node):
            _check_meant(node, beside)
        expr, kind = self.names.resolve(node)
        return Typed(expr, kind)

    def _known(self, node: Node) -> bool:
        """Tell whether a name is one of the state rather than a code."""
        return isinstance(node, Name) and ("." in node.text or self.names.knows(node.text))

    def _parameter(self, node: ParameterNode, beside: Type | None) -> Typed:
        meaning = node.meaning
        if beside is not None and beside.kind is _K.TEXT:
            quoted_text = isinstance(meaning, Constant) and meaning.kind == "text"
            text = meaning.value if quoted_text and isinstance(meaning, Constant) else node.text
            return _constant(Constant(str(text), "text", node.text, node.where), beside)
        if isinstance(meaning, FileError):
            message = f"`${node.name}` is `{node.text}`, which is no value here: {meaning.message}"
            raise problem(message, node.where, meaning.hint)
        return self.infer(meaning, beside)

    def _is_word(self, node: Node) -> bool:
        """Tell that a node is a bare word or a parameter, which takes its meaning from what it stands beside."""
        if isinstance(node, ParameterNode):
            return (
                isinstance(node.meaning, FileError) or not isinstance(node.meaning, Name) or self._is_word(node.meaning)
            )
        return isinstance(node, Name) and not self._known(node)

    # --- comparisons ---

    def _binary(self, node: BinaryNode) -> Typed:
        if node.op in ("+", "-", "*", "/", "%", "&"):
            return self._arithmetic(node)
        left, right = self._pair(node.left, node.right, inside=node.op in ("contains", "startswith", "like"))
        if isinstance(left.expr, Absent) or isinstance(right.expr, Absent):
            _check_absent(node, left, right)
        elif node.op in ("==", "!="):
            _check_equal(left, right, node)
        elif node.op in ("<", "<=", ">", ">="):
            if not (left.kind in _ORDERED and right.kind in _ORDERED and _alike(left.kind, right.kind)):
                raise _cannot(f"`{node.op}` orders numbers, sequence numbers and durations", left, right, node)
        else:
            textual = {_K.TEXT} if node.op == "like" else {_K.TEXT, _K.BYTES}
            if left.kind not in textual or left.kind is not right.kind:
                raise _cannot(
                    f"`{node.op}` looks into {'text' if node.op == 'like' else 'text or bytes'}", left, right, node
                )
        serial = _K.SERIAL in (left.kind, right.kind)
        expr = Binary(op=node.op, left=left.expr, right=right.expr, kind=_K.TRUTH, serial=serial, where=node.where)
        return _truth(expr)

    def _pair(self, left: Node, right: Node, *, inside: bool) -> tuple[Typed, Typed]:
        """Check two sides that stand beside each other; a bare word or a literal is read in the light of the other.

        `inside` tells that one is looked for in the other: then it is any text, not one of a few words.
        """
        weak_left = isinstance(left, Constant) or self._is_word(left)
        weak_right = isinstance(right, Constant) or self._is_word(right)
        if weak_left and not weak_right:
            second = self.infer(right)
            return self.infer(left, Type(second.kind) if inside else second.type), second
        first = self.infer(left)
        return first, self.infer(right, Type(first.kind) if inside else first.type)

    def _within(self, node: InNode) -> Typed:
        operand = self.infer(node.operand)
        items = []
        for item in node.items:
            typed = self.infer(item, operand.type)
            if isinstance(typed.expr, Absent):
                raise problem("`absent` is compared with `==` and `!=` only", item.where)
            _check_equal(operand, typed, item)
            items.append(typed.expr)
        return _truth(In(operand=operand.expr, items=tuple(items), where=node.where))

    def _between(self, node: RangeNode) -> Typed:
        operand = self.infer(node.operand)
        ends = [self.infer(end, operand.type) for end in (node.low, node.high)]
        for end, written in zip(ends, (node.low, node.high), strict=True):
            ordered = operand.kind in _ORDERED or operand.kind is _K.CODE
            if not ordered or isinstance(end.expr, Absent) or not _alike(operand.kind, end.kind):
                raise _cannot("a range is of numbers, sequence numbers, codes or durations", operand, end, written)
        low, high = ends
        serial = _K.SERIAL in (operand.kind, low.kind, high.kind)
        return _truth(Range(operand=operand.expr, low=low.expr, high=high.expr, serial=serial, where=node.where))

    # --- arithmetic ---

    def _negative(self, node: UnaryNode) -> Typed:
        operand = self.infer(node.operand)
        if operand.kind not in (_K.NUMBER, _K.DURATION):
            raise problem(f"`-` stands before a number, not {operand}".rstrip(","), node.where)
        return Typed(Unary(operand=operand.expr, kind=operand.kind, where=node.where), Type(operand.kind))

    def _arithmetic(self, node: BinaryNode) -> Typed:
        left, right = self.infer(node.left), self.infer(node.right)
        kinds = (left.kind, right.kind)
        kind: ValueKind | None = None
        if kinds == (_K.NUMBER, _K.NUMBER):
            kind = _K.NUMBER
        elif node.op in ("+", "-") and _K.SERIAL in kinds and set(kinds) <= {_K.SERIAL, _K.NUMBER}:
            kind = _K.SERIAL if node.op == "-" or kinds != (_K.SERIAL, _K.SERIAL) else None
        elif (node.op in ("+", "-") and kinds == (_K.DURATION, _K.DURATION)) or (
            node.op == "*" and set(kinds) == {_K.DURATION, _K.NUMBER}
        ):
            kind = _K.DURATION
        if kind is None or isinstance(left.expr, Absent) or isinstance(right.expr, Absent):
            raise _cannot(f"`{node.op}` reckons with numbers", left, right, node)
        serial = kind is _K.SERIAL
        expr = Binary(op=node.op, left=left.expr, right=right.expr, kind=kind, serial=serial, where=node.where)
        return Typed(expr, Type(kind))

    # --- functions ---

    def _call(self, node: CallNode) -> Typed:
        name, where = node.function, node.where
        if name not in FUNCTIONS:
            hint = nearest(name, FUNCTIONS)
            if name.isupper():
                hint = f'a text stands in double quotes, such as "{name}(10)"'
            raise problem(f"there is no function `{name}`", where, hint or f"there are {', '.join(FUNCTIONS)}")
        if name == "replica":
            return self._replica(node)
        low, high = {"len": (1, 1), "random": (2, 2), "uint": (3, 3)}.get(name, (2, 20))
        if not low <= len(node.arguments) <= high:
            count = str(low) if low == high else f"{low} or more"
            raise problem(f"`{name}` takes {count} arguments, not {len(node.arguments)}", where)
        arguments = [self.infer(argument) for argument in node.arguments]
        wanted: list[frozenset[ValueKind]] = [frozenset({_K.NUMBER})] * len(arguments)
        if name == "len":
            wanted = [frozenset({_K.TEXT, _K.BYTES})]
        elif name == "uint":
            wanted[0] = frozenset({_K.BYTES})
        elif name in ("min", "max") and arguments[0].kind is _K.DURATION:
            wanted = [frozenset({_K.DURATION})] * len(arguments)
        for written, typed, kinds in zip(node.arguments, arguments, wanted, strict=True):
            if typed.kind not in kinds or isinstance(typed.expr, Absent):
                names = " or ".join(sorted(kind.value for kind in kinds))
                raise problem(f"`{name}` takes {names} here, not {typed}".rstrip(","), written.where)
        kind = arguments[0].kind if name in ("min", "max") else _K.NUMBER
        expr = Call(function=name, arguments=tuple(typed.expr for typed in arguments), kind=kind, where=where)
        return Typed(expr, Type(kind))

    def _replica(self, node: CallNode) -> Typed:
        argument = node.arguments[0]
        if len(node.arguments) != 1 or not isinstance(argument, Name):
            raise problem("`replica` takes the name of a capture", node.where)
        known = self.names.captures.need(Word(argument.text, argument.where))
        if not self.names.hand.opcodes:
            raise problem("there is no PDU here to be a replica of another", node.where)
        if known.each or not known.opcodes:
            raise problem(f"`{known.name}` is {'a list' if known.each else known}, not a PDU", argument.where)
        ref = Ref(scope="capture", path="", kind=_K.PRESENCE, capture=argument.text, where=argument.where)
        return _truth(Call(function="replica", arguments=(ref,), kind=_K.TRUTH, where=node.where))


def _truth(expr: Expr) -> Typed:
    return Typed(expr, Type(_K.TRUTH))


def _constant(node: Constant, beside: Type | None) -> Typed:
    """Read a literal; beside bytes a hexadecimal number is bytes, beside a field a number has the field's kind."""
    where = node.where
    kind = _K(node.kind)
    value: int | float | str | bytes | tuple[int, int, int] = node.value
    if beside is not None and beside.kind is _K.BYTES and kind in (_K.NUMBER, _K.TEXT):
        value, kind = _bytes(node), _K.BYTES
    elif isinstance(value, int):
        if value > _MAX_NUMBER:
            raise problem(f"{node.text} is more than 64 bits can hold", where)
        if beside is not None and beside.kind in NUMERIC:
            kind = beside.kind
            _check_fits(value, node.text, beside, where)
    elif isinstance(value, str) and beside is not None and beside.kind is _K.TEXT:
        _check_text(value, beside, where)
    return Typed(Literal_(value=value, kind=kind, where=where), Type(kind))


def _check_fits(value: int, text: str, beside: Type, where: Position) -> None:
    if beside.maximum is not None and value > beside.maximum:
        bound = f"{beside.maximum:#x}" if beside.maximum > 0xFFFF else str(beside.maximum)
        raise problem(f"{text} does not fit `{beside.what}`, which holds 0 to {bound}", where)


def _check_text(value: str, beside: Type, where: Position) -> None:
    """Find a text that is misspelt: not one of the words of a closed set, or no known command."""
    closed = beside.closed or (beside.what == "CDB.name" and not value.startswith("CDB-0x"))
    if closed and value not in beside.words:
        raise _no_such_word(value, beside, where)


def _bytes(node: Constant) -> bytes:
    if isinstance(node.value, str):
        return node.value.encode("utf-8", "surrogatepass")
    digits = node.text[2:]
    if not node.text.startswith("0x") or len(digits) % 2:
        raise problem(f"`{node.text}` is no bytes", node.where, "bytes are 0x and pairs of digits, or a text in quotes")
    return bytes.fromhex(digits)


def _word(node: Name, beside: Type) -> Typed | None:
    """Read a bare word as a code, a word or `none`, if what it stands beside has such a one."""
    if node.text in beside.words:
        kind = Type(beside.kind, "", beside.words)
        return Typed(Literal_(value=beside.words[node.text], kind=beside.kind, where=node.where), kind)
    if node.text == "none" and beside.kind is _K.TAG:
        if beside.maximum != _NONE:
            raise problem(f"`none` is ffffffff, and `{beside.what}` is not such a tag", node.where)
        return Typed(Literal_(value=_NONE, kind=_K.TAG, where=node.where), Type(_K.TAG))
    return None


def _check_meant(node: Name, beside: Type | None) -> None:
    """Find a quantity in other units, and a flag that is said yes or no of."""
    truth = truth_of(node.text)
    if beside is not None and beside.kind is _K.FLAG and truth is not None:
        raise problem(f"a flag is 0 or 1, not `{node.text}`", node.where, f"did you mean `{int(truth)}`?")
    if (near := meant(node.text)) is not None:
        raise problem(f"`{node.text}` is no number", node.where, f"did you mean `{near}`?")


def _no_such_word(word: str, beside: Type, where: Position) -> Exception:
    names = list(beside.words)
    hint = nearest(word, names) or (f"there are {', '.join(names)}" if 0 < len(names) < 13 else None)
    if beside.kind is _K.TEXT and not beside.closed and not hint:
        return problem(f"`{word}` has no meaning here", where, f'a text stands in double quotes: "{word}"')
    what = f"`{beside.what}`" if beside.what else "the other side"
    return problem(f"{what} is never `{word}`", where, hint)


def _alike(one: ValueKind, other: ValueKind) -> bool:
    """Tell whether values of two kinds may stand beside each other: of one kind, or one of them a plain number."""
    return one is other or (_K.NUMBER in (one, other) and {one, other} <= NUMERIC)


def _check_equal(left: Typed, right: Typed, node: Node) -> None:
    testable = left.kind not in (_K.TRUTH, _K.PRESENCE)
    words = (left.type.words, right.type.words)
    codes = left.kind is right.kind is _K.CODE and all(words) and words[0] != words[1]
    if not testable or not _alike(left.kind, right.kind) or codes:
        raise _cannot("these are never equal", left, right, node)


def _check_absent(node: BinaryNode, left: Typed, right: Typed) -> None:
    if node.op not in ("==", "!="):
        raise problem("`absent` is compared with `==` and `!=` only", node.sign)
    other = right if isinstance(left.expr, Absent) else left
    if not isinstance(other.expr, Ref):
        raise problem("only a name can be `absent`", node.where)


def _cannot(why: str, left: Typed, right: Typed, node: Node) -> Exception:
    where = node.sign if isinstance(node, BinaryNode) else node.where
    kinds = {left.kind, right.kind}
    hint = None
    if kinds == {_K.TEXT, _K.NUMBER}:
        hint = "a text stands in double quotes"
    elif _K.PRESENCE in kinds:
        hint = "compare it with `absent`"
    elif _K.TRUTH in kinds:
        hint = "tests are joined by `and` and `or`"
    elif _K.TAG in kinds:
        hint = f"a tag knows {quoted(('==', '!=', 'in'))} only"
    return problem(f"{why}, not {left} and {right}".rstrip(","), where, hint)

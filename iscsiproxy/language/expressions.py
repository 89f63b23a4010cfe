"""The grammar of expressions, by recursive descent: one method for each line of it.

expr    = and { "or" and }
and     = not { "and" not }
not     = "not" not | test
test    = sum [ comparison sum ] | sum "in" "(" sum ( { "," sum } | ".." sum ) ")"
sum     = product { ( "+" | "-" ) product }
product = unary { ( "*" | "/" | "%" | "&" ) unary }
unary   = "-" unary | "(" expr ")" | FUNCTION "(" expr { "," expr } ")" | literal | NAME | $param | "absent"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from iscsiproxy.errors import FileError
from iscsiproxy.language.document import Scalar
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import problem
from iscsiproxy.language.spec import Position
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
)
from iscsiproxy.language.tokens import Kind, Token, duration_value, meant, number_value, tokenize
from iscsiproxy.language.vocabulary import HEADS, RESERVED

__all__ = ["COMPARISONS", "Cursor", "parse_expression"]

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "contains", "startswith", "like")
_SIGNS = frozenset(COMPARISONS[:6])

#: How deep parentheses, `not` and `-` may stand in each other, and how many operators one expression may have. Both
#: bound the depth of the tree, and so the stack of whoever walks it.
_MAX_NESTING: Final = 20
_MAX_OPERATORS: Final = 100


class Cursor:
    """Reads tokens one after another, and expressions out of them."""

    def __init__(self, tokens: list[Token], parameters: Parameters) -> None:
        self.tokens = tokens
        self.parameters = parameters
        self._at = 0
        self._depth = 0
        self._operators = 0

    def __repr__(self) -> str:
        return f"<Cursor {self._at} of {len(self.tokens)} at {self.token}>"

    # --- tokens ---

    @property
    def index(self) -> int:
        """How many tokens have been read."""
        return self._at

    @property
    def token(self) -> Token:
        """The token to be read next."""
        return self.tokens[self._at]

    @property
    def following(self) -> Token:
        """The token behind that."""
        return self.tokens[min(self._at + 1, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Read one token."""
        token = self.token
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def sees(self, *words: str) -> bool:
        """Tell whether one of these words or signs comes next."""
        return self.token.kind in (Kind.WORD, Kind.SYMBOL) and self.token.text in words

    def takes(self, *words: str) -> bool:
        """Read one of these words or signs if it comes next."""
        found = self.sees(*words)
        if found:
            self._at += 1
        return found

    def need(self, word: str, why: str) -> None:
        """Read a word or sign that has to come next."""
        if not self.takes(word):
            raise self.expected(f"`{word}` {why}")

    def expected(self, what: str, hint: str | None = None) -> FileError:
        """Make the error for a token that is something else."""
        return problem(f"expected {what}, not {self.token}", self.token.where, hint)

    def expand(self) -> Token:
        """Put the tokens of a parameter in its place, where the grammar takes words; give the token that comes next."""
        token = self.token
        if token.kind is Kind.PARAMETER:
            inner = tokenize(Scalar(token.value, token.where, fixed=True), Parameters({}))[:-1]
            if not inner:
                raise problem(f"the parameter {token} is empty", token.where)
            self.tokens[self._at : self._at + 1] = inner
        return self.token

    def text_since(self, start: int) -> str:
        """Give what was read since token `start`, parameters filled in and blanks made single."""
        read = self.tokens[start : self._at]
        words = [(" " if token.before else "") + (token.value or token.text) for token in read]
        return "".join(words).strip()

    def end(self, what: str) -> None:
        """Make sure that nothing is left."""
        if self.token.kind is not Kind.END:
            raise problem(f"{self.token} does not belong here, behind {what}", self.token.where, self._hint())

    def _hint(self) -> str | None:
        token = self.token
        if token.text.startswith("-") or (self._at and self.tokens[self._at - 1].text.endswith("-")):
            return "`-` subtracts only with blanks around it"
        if token.kind is Kind.TEXT:
            return "a comparison such as `==` is missing"
        return self.unit(self._at - 1)

    def unit(self, at: int) -> str | None:
        """Give the hint for a number, the token `at`, whose unit stands behind a blank."""
        if not 0 <= at < len(self.tokens) - 1:
            return None
        number, unit = self.tokens[at : at + 2]
        right = meant(f"{number.text}{unit.text}") or f"{number.text}{unit.text}"
        numeric = number.kind in (Kind.NUMBER, Kind.DECIMAL) and unit.kind is Kind.WORD
        fits = numeric and (number_value(right) is not None or duration_value(right) is not None)
        return f"units stand without a blank: `{right}`" if fits else None

    # --- expressions ---

    def expression(self) -> Node:
        """Read `expr`."""
        return self._logic("or", self._conjunction)

    def _conjunction(self) -> Node:
        return self._logic("and", self._negation)

    def _logic(self, op: Literal["and", "or"], part: Callable[[], Node]) -> Node:
        where = self.token.where
        operands = [part()]
        while self.takes(op):
            operands.append(part())
        return operands[0] if len(operands) == 1 else LogicNode(op, tuple(operands), where)

    def _negation(self) -> Node:
        if not self.sees("not"):
            return self._test()
        where = self.take().where
        return NotNode(self._nested(self._negation), where)

    def _test(self) -> Node:
        where = self.token.where
        left = self.sum()
        token = self.token
        if self.takes("in"):
            node = self._within(left, where)
        elif self._sees_comparison():
            self._count()
            self.take()
            node = BinaryNode(token.text, left, self.sum(), where, token.where)
        else:
            if self.sees("not") and self.following.text == "in":
                raise problem("`not` stands before a test", token.where, "write `not x in (…)`")
            return left
        if self._sees_comparison() or self.sees("in"):
            raise problem(f"tests do not chain: {self.token} follows a test", self.token.where, "join them with `and`")
        return node

    def _sees_comparison(self) -> bool:
        return self.sees(*COMPARISONS)

    def _within(self, operand: Node, where: Position) -> Node:
        self._count()
        self.need("(", "behind `in`")
        first = self.sum()
        if self.takes(".."):
            node: Node = RangeNode(operand, first, self.sum(), where)
        else:
            items = [first]
            while self.takes(","):
                items.append(self.sum())
            node = InNode(operand, tuple(items), where)
        self.need(")", "at the end of the values")
        return node

    def sum(self) -> Node:
        """Read `sum`."""
        where = self.token.where
        left = self._product()
        while self.sees("+", "-"):
            token = self.take()
            if token.text == "-" and not (token.before and token.after):
                raise problem("`-` subtracts only with blanks around it", token.where)
            self._count()
            left = BinaryNode(token.text, left, self._product(), where, token.where)
        return left

    def _product(self) -> Node:
        where = self.token.where
        left = self._unary()
        while self.sees("*", "/", "%", "&"):
            token = self.take()
            self._count()
            left = BinaryNode(token.text, left, self._unary(), where, token.where)
        return left

    def _unary(self) -> Node:
        token = self.token
        if self.takes("-"):
            return UnaryNode(self._nested(self._unary), token.where)
        if self.takes("("):
            inner = self._nested(self.expression)
            self.need(")", "to close the parenthesis")
            return inner
        if token.kind is Kind.PARAMETER:
            self.take()
            return ParameterNode(token.text[1:], token.value, _meaning(token, self.parameters), token.where)
        if token.kind is Kind.WORD:
            return self._word()
        return self._literal()

    def _literal(self) -> Node:
        token = self.take()
        text, where = token.text, token.where
        number, duration = number_value(text), duration_value(text)
        if token.kind is Kind.NUMBER and number is not None:
            return Constant(number, "number", text, where)
        if token.kind is Kind.DURATION and duration is not None:
            return Constant(duration, "duration", text, where)
        if token.kind is Kind.TEXT:
            return Constant(text[1:-1], "text", text, where)
        if token.kind is Kind.SENSE:
            key, asc, ascq = (int(part, 16) for part in text.split("/"))
            return Constant((key, asc, ascq), "sense", text, where)
        hint = None
        if token.kind is Kind.DECIMAL:
            hint = "numbers are whole"
        elif text in ("=", "&&", "||"):
            hint = "`==` compares"
        raise problem(f"expected a value, not {token}", where, hint)

    def _word(self) -> Node:
        token = self.take()
        if token.text == "absent":
            return AbsentWord(token.where)
        if token.text in RESERVED and token.text not in HEADS:
            raise problem(f"expected a value, not `{token.text}`, which is a word of the grammar", token.where)
        if not self.sees("("):
            return Name(token.text, token.where)
        self.take()
        arguments = [self._nested(self.expression)]
        while self.takes(","):
            arguments.append(self._nested(self.expression))
        self.need(")", f"to close `{token.text}(`")
        return CallNode(token.text, tuple(arguments), token.where)

    def _nested(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        self._count()
        if self._depth > _MAX_NESTING:
            raise problem(f"nested more than {_MAX_NESTING} levels deep", self.token.where)
        node = read()
        self._depth -= 1
        return node

    def _count(self) -> None:
        self._operators += 1
        if self._operators > _MAX_OPERATORS:
            raise problem(f"an expression has at most {_MAX_OPERATORS} operators", self.token.where)


def _meaning(token: Token, parameters: Parameters) -> Node | FileError:
    """Read the value of a parameter as one operand, so that its operators cannot mix with those around it."""
    scalar = Scalar(token.value, token.where, fixed=True)
    try:
        cursor = Cursor(tokenize(scalar, Parameters({})), parameters)
        node = cursor._unary()
        cursor.end("the value of a parameter")
    except FileError as error:
        return error
    return node


def parse_expression(scalar: Scalar, parameters: Parameters, start: int = 0) -> Node:
    """Read a whole scalar as one expression.

    Raises FileError with the place of the token that does not fit.
    """
    cursor = Cursor(tokenize(scalar, parameters, start), parameters)
    node = cursor.expression()
    cursor.end("the expression")
    return node

"""The grammar of moments and patterns, by recursive descent.

moment  = step { "then" step }
step    = DURATION [ ".." DURATION ] | "barrier" | "fault" | "released" | NAME | pattern
pattern = item { "or" item } [ "of" NAME ] [ "from" END ] [ "at" LEG ] [ "where" expr ]
          { pick } [ "as" [ "each" ] NAME ]
pick    = "after" N | "nth" N [ ".." N ] | "every" N | "mask" BITS | "chance" P% | "times" N | "per" SCOPE
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast, get_args

from iscsiproxy.language import shapes
from iscsiproxy.language.document import Node, Scalar
from iscsiproxy.language.expressions import Cursor
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import nearest, problem, quoted
from iscsiproxy.language.spec import (
    Barrier,
    Capture,
    FaultReached,
    Item,
    Per,
    Picks,
    Position,
    Released,
    Wait,
)
from iscsiproxy.language.syntax import MomentNode, NameStep, PatternNode, StepNode, Word
from iscsiproxy.language.tokens import Kind, duration_value, number_value, tokenize
from iscsiproxy.language.vocabulary import HEADS, ITEMS, RESERVED, having_field, item_of

__all__ = ["check_new_name", "moments", "parse_moment", "parse_pattern"]

_ENDS = ("initiator", "target", "victim", "proxy")
_LEGS = ("initiator", "target")
_PICKS = ("after", "nth", "every", "mask", "chance", "times", "per")
_SCOPES: tuple[Per, ...] = get_args(Per)
#: What may follow the items of a pattern, in this order.
_CLAUSES = ("of", "from", "at", "where")
_MORE = ("or", *_CLAUSES, *_PICKS, "as")
#: What is written elsewhere for the word that a test begins with
_WHERES = ("if", "when", "with", "which", "that", "having", "filter")
#: What may be given as a name: no dots, which lead to the parts of what it names
_NEW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_#-]*")


def parse_moment(scalar: Scalar, parameters: Parameters) -> MomentNode:
    """Read a whole scalar as one moment. Raises FileError."""
    reader = _Reader(tokenize(scalar, parameters), parameters)
    moment = reader.moment()
    reader.end("the moment")
    return moment


def parse_pattern(scalar: Scalar, parameters: Parameters, *, count: bool = False) -> tuple[int, PatternNode]:
    """Read a whole scalar as one pattern, with a number before it when `count` is set. Raises FileError."""
    reader = _Reader(tokenize(scalar, parameters), parameters)
    reader.expand()
    number = reader.number("how many", least=1) if count else 0
    pattern = reader.pattern()
    if reader.sees("then"):
        raise problem("one pattern stands here, not a moment", reader.token.where, "`after` and `until` take moments")
    reader.end("the pattern")
    return number, pattern


def moments(node: Node, parameters: Parameters) -> tuple[MomentNode, ...]:
    """Read one moment, or a list of them. Raises FileError."""
    found = [parse_moment(shapes.as_scalar(item, "a moment"), parameters) for item in shapes.as_list(node)]
    if not found:
        raise problem("expected a moment, or several", node.position)
    return tuple(found)


def check_new_name(word: Word) -> str:
    """Make sure that a name may be given to a capture, rule, machine or state; raises FileError."""
    name = word.text
    if name in RESERVED:
        raise problem(f"`{name}` is a word of the grammar and names nothing else", word.where)
    if not _NEW_NAME.fullmatch(name):
        raise problem(f"`{name}` cannot be a name", word.where, "a letter, then letters, digits and `_ # -`")
    return name


class _Reader(Cursor):
    """Adds the lines of the grammar above to those of expressions."""

    #: Whether the pattern that was read last has a test; None if the last step was no pattern
    _tested: bool | None = None

    def moment(self) -> MomentNode:
        start, where = self.index, self.token.where
        steps = [self._step()]
        while self.takes("then"):
            steps.append(self._step())
        return MomentNode(tuple(steps), self.text_since(start), where)

    def _step(self) -> StepNode:
        token = self.expand()
        self._tested = None
        if token.kind in (Kind.DURATION, Kind.NUMBER, Kind.DECIMAL):
            return self._wait()
        for word, step in (("barrier", Barrier()), ("fault", FaultReached()), ("released", Released())):
            if self.takes(word):
                return step
        alone = self.following.kind is Kind.END or self.following.text == "then"
        if token.kind is Kind.WORD and alone and item_of(token.text) is None and token.text not in RESERVED:
            if not token.text[0].isalpha() and token.text[0] != "_":
                hint = "a duration is a number and ms, s or min"
                raise problem(f"expected a moment, not {token}", token.where, hint)
            self.take()
            return NameStep(Word(token.text, token.where))
        return self.pattern()

    def _wait(self) -> Wait:
        low = self._duration()
        where = self.token.where
        high = self._duration() if self.takes("..") else low
        if high < low:
            raise problem("the range ends before it begins", where)
        return Wait(low=low, high=high)

    def _duration(self) -> float:
        token = self.expand()
        value = duration_value(token.text)
        if value is None:
            hint = self.unit(self.index) or "a duration is a number and ms, s or min, without a blank: `200ms`"
            raise self.expected("a duration", hint)
        self.take()
        return value

    # --- patterns ---

    def pattern(self) -> PatternNode:
        start, where = self.index, self.token.where
        items = [self._item()]
        while self.takes("or"):
            items.append(self._item())
        of = self._clause_word("of", None)
        sender = self._clause_word("from", _ENDS)
        leg = self._clause_word("at", _LEGS)
        condition = self.expression() if self.takes("where") else None
        picks, per_at = self._picks()
        capture, capture_at = self._capture()
        self._tested = condition is not None
        self._check_order()
        text = self.text_since(start)
        return PatternNode(tuple(items), of, sender, leg, condition, picks, per_at, capture, capture_at, text, where)

    def _item(self) -> Item:
        token = self.expand()
        if token.kind is not Kind.WORD:
            raise self.expected("a PDU or an event")
        item = item_of(token.text)
        if item is None:
            raise self._unknown_item(token.text)
        self.take()
        return item

    def _unknown_item(self, name: str) -> Exception:
        where = self.token.where
        if name == "nothing":
            return problem("`nothing` stands only in a line of `first:`, alone", where)
        if name in RESERVED:
            return self.expected("a PDU or an event")
        joined = f"{name}-{self.following.text}"
        hint = f"did you mean `{joined}`?" if joined in ITEMS else nearest(name, ITEMS)
        return problem(f"no PDU or event is called `{name}`", where, hint)

    def _clause_word(self, clause: str, words: tuple[str, ...] | None) -> Word | None:
        if not self.takes(clause):
            return None
        token = self.expand()
        if words is not None and token.text not in words:
            raise self.expected(f"{quoted(words)} behind `{clause}`")
        if token.kind is not Kind.WORD or (words is None and token.text in RESERVED):
            raise self.expected(f"the name of a capture behind `{clause}`")
        self.take()
        return Word(token.text, token.where)

    def _picks(self) -> tuple[Picks, Position | None]:
        picks = Picks()
        seen: set[str] = set()
        per_at = None
        while self.sees(*_PICKS):
            token = self.take()
            if token.text in seen:
                raise problem(f"`{token.text}` stands here twice", token.where)
            seen.add(token.text)
            if token.text == "per":
                per_at = self.expand().where
            picks = self._pick(token.text, picks)
        return picks, per_at

    def _pick(self, word: str, picks: Picks) -> Picks:
        self.expand()
        if word == "after":
            return replace(picks, after=self.number("how many matches to skip", least=1))
        if word == "nth":
            return replace(picks, nth=self._nth())
        if word == "every":
            return replace(picks, every=self.number("every how many matches", least=1))
        if word == "times":
            return replace(picks, times=self.number("how many times", least=1))
        if word == "mask":
            return replace(picks, mask=self._mask())
        if word == "chance":
            return replace(picks, chance=self._chance())
        if self.token.text not in _SCOPES:
            raise self.expected(f"{quoted(_SCOPES)} behind `per`", nearest(self.token.text, _SCOPES))
        return replace(picks, per=cast(Per, self.take().text))

    def number(self, what: str, *, least: int) -> int:
        """Read a whole number of at least `least`."""
        token = self.expand()
        value = number_value(token.text) if token.kind is Kind.NUMBER else None
        if value is None:
            raise self.expected(f"a number ({what})")
        if value < least:
            hint = "`never` says that" if what == "how many" and not value else "matches are counted from 1"
            raise problem(f"{what}: at least {least}, not {token.text}", token.where, hint)
        self.take()
        return value

    def _nth(self) -> tuple[int, int]:
        low = self.number("which match", least=1)
        where = self.token.where
        high = self.number("which match", least=1) if self.takes("..") else low
        if high < low:
            raise problem("the range ends before it begins", where)
        return low, high

    def _mask(self) -> tuple[bool, ...]:
        token = self.token
        if token.kind is not Kind.NUMBER or set(token.text) - {"0", "1"}:
            raise self.expected("bits, such as `1011`, behind `mask`")
        if "1" not in token.text:
            raise problem("a mask without a 1 picks nothing", token.where)
        self.take()
        return tuple(bit == "1" for bit in token.text)

    def _chance(self) -> float:
        token = self.token
        if token.kind not in (Kind.NUMBER, Kind.DECIMAL) or self.following.text != "%" or token.text.startswith("0x"):
            raise self.expected("a percentage behind `chance`", "such as `1%` or `0.5%`")
        percent = float(token.text) if len(token.text) < 20 else 101.0
        if not 0 < percent <= 100:
            raise problem(f"a chance is more than 0% and at most 100%, not {token.text}%", token.where)
        self.take()
        self.take()
        return percent / 100

    def _capture(self) -> tuple[Capture | None, Position | None]:
        if not self.takes("as"):
            return None, None
        each = self.takes("each")
        token = self.expand()
        if token.kind is Kind.END:
            raise self.expected("a new name behind `as`")
        self.take()
        return Capture(name=check_new_name(Word(token.text, token.where)), each=each), token.where

    def _hint(self) -> str | None:
        """Say what may have been meant by the token that is left over."""
        hint = super()._hint()
        token = self.token
        if hint or self._tested is None or token.kind not in (Kind.WORD, Kind.SYMBOL):
            return hint
        testing = token.text in ("and", "not", "(") or having_field(token.text) or token.text.split(".")[0] in HEADS
        if testing:
            return "tests are joined by `and` and `or`" if self._tested else "a test begins with `where`"
        if token.text.lower() in _WHERES and not self._tested:
            return "did you mean `where`?"
        return nearest(token.text, (*_MORE, "then"))

    def _check_order(self) -> None:
        """Explain a clause that stands in the wrong place; anything else that is left over is told elsewhere."""
        if not self.sees(*_MORE):
            return
        word = self.token.text
        if word == "or":
            hint = "`or` joins PDUs before `of`, `from`, `at` and `where`; another moment is another entry of a list"
            raise problem("`or` does not belong here", self.token.where, hint)
        hint = "the order is: of, from, at, where, picks, as; each at most once"
        raise problem(f"`{word}` does not belong here", self.token.where, hint)

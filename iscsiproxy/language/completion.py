"""What may come next in a line that is being typed.

A line up to the cursor is read as far as it goes, by the same words as a whole one, but nothing in it has to be right:
where it cannot be followed, nothing is known, and nothing is offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from iscsiproxy.errors import FileError
from iscsiproxy.language import candidates, glossary
from iscsiproxy.language.candidates import ANY, Candidate, Kind, words
from iscsiproxy.language.expressions import COMPARISONS
from iscsiproxy.language.line_tokens import Scanner, begins_moment, main_follows
from iscsiproxy.language.rendering import HOLD
from iscsiproxy.language.spec import ActSpec, Param, ParamKind, Per
from iscsiproxy.language.vocabulary import ANSWERS, item_of

__all__ = ["Completion", "complete"]

Form = Literal["line", "acts", "pattern"]

_TOKEN: Final = re.compile(r'"[^"]*"?|[\w#$][\w#.-]*|==|!=|<=|>=|\.\.|\S', re.ASCII)
_CLAUSES: Final = ("of", "from", "at", "where")
_PICKS: Final = ("after", "nth", "every", "mask", "chance", "times", "per")
_KEYWORDS: Final = frozenset((*_CLAUSES, *_PICKS, "as"))
_JOINS: Final = ("and", "or", "not")
_MATHS: Final = ("+", "-", "*", "/", "%", "&")
#: What stands for itself in the place of a step
_STEPS: Final = {word: glossary.MOMENTS[word] for word in ("barrier", "fault", "released")}
_OPERATORS: Final = {
    "==": "equal to",
    "!=": "not equal to",
    "<": "less than; of serial numbers by RFC 1982",
    "<=": "at most",
    ">": "more than; of serial numbers by RFC 1982",
    ">=": "at least",
    "in": "in (a, b) or in (low .. high)",
    "contains": "has this in it",
    "startswith": "begins with this",
    "like": "fits this glob",
    "and": "both",
    "or": "one of them",
}
#: What a parameter may be beside the words that are known
_OPEN: Final[Mapping[ParamKind, tuple[Kind, ...]]] = {
    ParamKind.DURATION: ("duration",),
    ParamKind.NUMBER: ("number", "name"),
    ParamKind.RANGE: ("number", "name"),
    ParamKind.TEXT: ("text",),
    ParamKind.NAME: ("capture",),
    ParamKind.BYTES: ("text",),
    ParamKind.STATE: ("state",),
    ParamKind.RULE: ("rule",),
    ParamKind.PLACE: ("number",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What may stand at the cursor, in the place of the characters from `start` on.

    `kinds` are all kinds of words that may stand there; some of them are no list but somebody's to know: a `capture`, a
    `rule` or a `state` by its name, a `number`, a `duration`, a `text`. `candidates` are the words that begin with what
    has been typed, or have it in them.
    """

    start: int
    word: str
    kinds: tuple[Kind, ...] = ()
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class _Offer:
    """Words that may stand from `start` on, and kinds of which there is no list."""

    start: int
    words: Iterable[Candidate] = ()
    open: tuple[Kind, ...] = ()


def complete(
    text: str,
    cursor: int,
    *,
    acts: Mapping[str, ActSpec],
    form: Form = "line",
    opcodes: frozenset[int] = frozenset(),
) -> Completion:
    """Say what may come next at the cursor of a line, of the `acts` of an edit, or of a `pattern` alone.

    What stands behind the cursor tells only which PDU is in hand, unless `opcodes` say so.
    """
    cursor = min(max(cursor, 0), len(text))
    before = text[:cursor]
    hand = opcodes or _opcodes_behind(text[cursor:]) or ANY
    if form == "pattern":
        offer = _moment(before, 0, steps=False)
    else:
        offer = _Line(before, {**acts}, hand, moment=form == "line").offer()
    word = before[offer.start :]
    known = tuple(dict.fromkeys(offer.words))
    kinds = tuple(dict.fromkeys((*(one.kind for one in known), *offer.open)))
    plain = word.lower()
    begin = tuple(one for one in known if one.text.lower().startswith(plain))
    found = begin or tuple(one for one in known if plain in one.text.lower())
    return Completion(start=offer.start, word=word, kinds=kinds, candidates=found)


def _opcodes_behind(text: str) -> frozenset[int]:
    found = (item_of(token) for token in _TOKEN.findall(text))
    return frozenset(opcode for item in found if item is not None for opcode in item.opcodes)


class _Line:
    """The acts of a line up to the cursor; `hand` is what may be in hand when they are done."""

    def __init__(self, before: str, acts: Mapping[str, ActSpec], hand: frozenset[int], *, moment: bool) -> None:
        self._scan = Scanner(before, "")
        self._acts = acts
        self._hand = hand
        self._moment = moment

    def __repr__(self) -> str:
        return f"<_Line {self._scan}>"

    def offer(self) -> _Offer:
        """Read to the end, and say what may stand there."""
        scan = self._scan
        while True:
            scan.blanks()
            start = scan.at
            name = scan.take_word().text
            if scan.ended:
                return _Offer(start, self._act_words())
            if (spec := self._spec(name)) is None:
                return _Offer(len(scan.text))
            offer = self._act(spec)
            if offer is not None:
                return offer

    def _act_words(self) -> Iterator[Candidate]:
        if self._moment:
            yield from candidates.acts(self._acts)
        else:
            yield from candidates.acts({name: spec for name, spec in self._acts.items() if spec.changes})

    def _spec(self, name: str) -> ActSpec | None:
        if name == HOLD and "delay" in self._acts:
            params = tuple(param for param in self._acts["delay"].params if param.name not in ("until", "at_most"))
            return ActSpec(name=HOLD, help="", params=params, events=True)
        return self._acts.get(name)

    def _act(self, spec: ActSpec) -> _Offer | None:
        """Read one act; None if another one follows."""
        scan = self._scan
        given: dict[str, str] = {}
        while True:
            scan.blanks()
            start = scan.at
            if scan.sees(";"):
                scan.at += 1
                return None
            key = scan.take_key()
            if key is not None:
                value = self._value_at_end()
                if value is None:
                    return self._valued(spec, key.text, given)
                given[key.text] = value
                continue
            word = scan.word
            if start + len(word) == len(scan.text) and not scan.sees("([{\"'"):
                return _Offer(start, self._in_act(spec, given, word), self._open(spec, given))
            if not given and main_follows(spec, scan):
                value = self._value_at_end()
                if value is None:
                    return self._valued(spec, spec.main or "", given)
                given[spec.main or ""] = value
            elif self._moment and word == "when":
                scan.take_word()
                scan.blanks()
                return _moment(scan.text, scan.at + _inside(scan.text[scan.at :]))
            elif self._moment and begins_moment(word):
                return _moment(scan.text, scan.at)
            else:
                return _Offer(len(scan.text))

    def _value_at_end(self) -> str | None:
        """Read a value; None if the cursor is in it, which is where it begins then."""
        scan = self._scan
        start = scan.at
        try:
            scan.value()
        except FileError:
            scan.at = len(scan.text)
        value = scan.text[start : scan.at]
        if scan.ended:
            scan.at = start
            return None
        return value

    def _main(self, spec: ActSpec, given: Mapping[str, str]) -> Param | None:
        return None if given or spec.main is None else _param(spec, spec.main)

    def _open(self, spec: ActSpec, given: Mapping[str, str]) -> tuple[Kind, ...]:
        param = self._main(spec, given)
        if param is None:
            return ()
        return ("duration", "capture") if param.kind is ParamKind.MOMENT else _OPEN.get(param.kind, ())

    def _in_act(self, spec: ActSpec, given: Mapping[str, str], word: str) -> Iterator[Candidate]:
        param = self._main(spec, given)
        opcodes = self._fields_of(spec, given)
        if param is not None:
            if param.kind is ParamKind.MOMENT:
                yield from words(_STEPS, "clause")
            else:
                yield from candidates.values(param, param.name, opcodes)
            if param.required:
                return
        yield from candidates.params(spec, given)
        yield from candidates.fields(spec, opcodes, given)
        if self._moment:
            yield Candidate("when", "clause", "before a moment that does not begin with a PDU or an event")
            yield from candidates.items()

    def _valued(self, spec: ActSpec, name: str, given: Mapping[str, str]) -> _Offer:
        """Say what may stand in the value in which the cursor is."""
        text, param = self._scan.text, _param(spec, name)
        start = self._scan.at + _inside(text[self._scan.at :])
        if param is not None and param.kind is ParamKind.MOMENT:
            return _moment(text, start)
        opcodes = self._fields_of(spec, given)
        kind = _OPEN.get(param.kind, ()) if param is not None else ("number", "name")
        tokens, partial = _tokens(text, start)
        if param is not None and param.kind not in (ParamKind.NUMBER, ParamKind.RANGE):
            return _Offer(start, candidates.values(param, name, opcodes), kind)
        if not tokens and "." not in text[partial:]:
            return _Offer(start, candidates.values(param, name, opcodes), kind)
        if tokens and tokens[-1] not in ("(", ",", *_MATHS):
            return _Offer(partial, words(_MATHS, "operator"))
        return _Offer(partial, candidates.names(opcodes, word=text[partial:]), kind)

    def _fields_of(self, spec: ActSpec, given: Mapping[str, str]) -> frozenset[int]:
        """Tell whose fields an act is given: those of the PDU that it makes, or of the one in hand."""
        item = item_of(given.get("pdu", "")) if spec.of == "pdu" else None
        if item is None and spec.name == "answer":
            return frozenset(ANSWERS[opcode] for opcode in self._hand if opcode in ANSWERS)
        return item.opcodes if item is not None else self._hand


def _param(spec: ActSpec, name: str) -> Param | None:
    return next((param for param in spec.params if param.name == name), None)


def _inside(value: str) -> int:
    """Give where in an unfinished value the part begins that is being typed: behind brackets, commas and quotes."""
    start, open_at, quoting = 0, 0, False
    for offset, sign in enumerate(value):
        if sign == '"':
            quoting = not quoting
            start = offset + 1 if quoting and offset == start else start
        elif not quoting and (sign in "[{" or (sign == "(" and offset == start)):
            start = offset + 1
        elif not quoting and sign in "()":
            open_at += 1 if sign == "(" else -1
        elif (not quoting and sign == "," and open_at <= 0) or (sign == " " and offset == start):
            start = offset + 1
    return start


# --- moments ---------------------------------------------------------------------------------------------------------


def _tokens(text: str, start: int) -> tuple[list[str], int]:
    """Give the whole tokens from `start` on, and where the one begins that is being typed."""
    found = list(_TOKEN.finditer(text, start))
    if found and found[-1].end() == len(text):
        last = found[-1][0]
        unfinished = last.startswith('"') and (len(last) == 1 or not last.endswith('"'))
        if unfinished or last[0].isalnum() or last[0] in "_#$":
            return [match[0] for match in found[:-1]], found[-1].start()
    return [match[0] for match in found], len(text)


def _moment(text: str, start: int, *, steps: bool = True) -> _Offer:
    """Say what may come next in a moment that begins at `start`, or in a pattern alone."""
    tokens, partial = _tokens(text, start)
    while "then" in tokens and steps:
        tokens = tokens[tokens.index("then") + 1 :]
    offer = _pattern(tokens, text[partial:], steps)
    return _Offer(partial, offer.words, offer.open)


def _pattern(tokens: Sequence[str], word: str, steps: bool) -> _Offer:
    names: list[str] = []
    rest = list(tokens)
    while rest and (not names or rest[0] == "or"):
        if names:
            rest.pop(0)
            if not rest:
                return _Offer(0, candidates.items())
        names.append(rest.pop(0))
    if not names:
        first = words(_STEPS, "clause") if steps else ()
        return _Offer(0, (*candidates.items(), *first), ("duration", "capture") if steps else ())
    if item_of(names[0]) is None:
        return _Offer(0, _then(steps))
    at = next((index for index in range(len(rest) - 1, -1, -1) if rest[index] in _KEYWORDS), None)
    if at is None:
        return _Offer(0, (*words(("or",), "clause"), *_clauses(steps)))
    return _clause(rest[at], rest[at + 1 :], names, word, steps)


def _clause(keyword: str, behind: Sequence[str], names: Sequence[str], word: str, steps: bool) -> _Offer:
    if keyword == "where":
        return _expression(behind, names, word, steps)
    if keyword == "as":
        if behind and behind != ["each"]:
            return _Offer(0, _then(steps))
        return _Offer(0, words({"each": glossary.CLAUSES["as"]} if not behind else {}, "clause"), ("capture",))
    if behind:
        return _Offer(0, _clauses(steps, keyword))
    if keyword == "of":
        return _Offer(0, (), ("capture",))
    if keyword in ("from", "at"):
        ends = ("initiator", "target") if keyword == "at" else tuple(glossary.ENDS)
        return _Offer(0, words({end: glossary.ENDS[end] for end in ends}, "value"))
    if keyword == "per":
        return _Offer(0, words(get_args(Per), "value"))
    return _Offer(0, (), ("number",))


def _clauses(steps: bool, behind: str = "") -> Iterator[Candidate]:
    """Give the clauses that may follow one; those before it may not."""
    later = _CLAUSES[_CLAUSES.index(behind) + 1 :] if behind in _CLAUSES else () if behind else _CLAUSES
    yield from words({word: glossary.CLAUSES[word] for word in later}, "clause")
    yield from words({word: help_ for word, help_ in glossary.PICKS.items() if word != behind}, "clause")
    yield Candidate("as", "clause", glossary.CLAUSES["as"])
    yield from _then(steps)


def _then(steps: bool) -> Iterator[Candidate]:
    if steps:
        yield Candidate("then", "clause", "and later this, others between")


def _expression(tokens: Sequence[str], names: Sequence[str], word: str, steps: bool) -> _Offer:
    """Say what may come next in a test of one of these PDUs or events."""
    hand = candidates.hand_of(names)
    last = tokens[-1] if tokens else ""
    if last == "in":
        return _Offer(0, words(("(",), "operator"))
    known = candidates.names(hand.opcodes, hand.events, word)
    compared = _compared(tokens)
    if compared:
        absent = words({"absent": glossary.NAMES["absent"]}, "value")
        return _Offer(0, (*candidates.compared(compared, hand), *known, *absent), ("number", "text", "capture"))
    if not last or last in ("(", ",", *_JOINS, *_MATHS):
        return _Offer(0, (*words(("not",), "operator"), *known), ("number", "capture"))
    if last == "..":
        return _Offer(0, known, ("number",))
    return _Offer(0, (*words(_OPERATORS, "operator"), *_clauses(steps, "where")))


def _compared(tokens: Sequence[str]) -> str:
    """Give the name that stands before a comparison of which the other side comes next; empty if none does."""
    if len(tokens) >= 2 and tokens[-1] in COMPARISONS:
        return tokens[-2]
    if tokens and tokens[-1] in ("(", ","):
        for index in range(len(tokens) - 1, 1, -1):
            if tokens[index] == ")":
                return ""
            if tokens[index] == "(":
                return tokens[index - 2] if tokens[index - 1] == "in" else ""
    return ""

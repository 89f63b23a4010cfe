"""Expectations: what the victim may do in a window between two moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from iscsiproxy.language import shapes
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.document import Entry, Node, Scalar, Table
from iscsiproxy.language.moments import moments, parse_pattern
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.patterns import Patterns
from iscsiproxy.language.problems import Problems, nearest, problem, quoted
from iscsiproxy.language.spec import Expectation, FaultReached, Moment, Outcome, Position, Verdict
from iscsiproxy.language.syntax import MomentNode, PatternNode

__all__ = ["ExpectationNode", "check_expectations", "collect_expectations", "read_expectations"]

_Head = Literal["first", "never", "exactly", "at_least", "at_most"]
_HEADS: Final[tuple[_Head, ...]] = get_args(_Head)
_MORE = ("after", "until", "within", "else", "note")
_VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class OutcomeNode:
    """One line of `first:`; without a pattern it is `nothing`."""

    verdict: Verdict
    pattern: PatternNode | None
    note: str


@dataclass(frozen=True, slots=True)
class ExpectationNode:
    """An expectation whose shape is right."""

    head: _Head
    outcomes: tuple[OutcomeNode, ...]
    pattern: PatternNode | None
    count: int
    after: tuple[MomentNode, ...]
    until: tuple[MomentNode, ...]
    within: float | None
    otherwise: Literal["fail", "warn"]
    note: str
    where: Position

    @property
    def patterns(self) -> tuple[PatternNode, ...]:
        """All patterns, those of the window aside."""
        lines = [outcome.pattern for outcome in self.outcomes]
        return tuple(pattern for pattern in (self.pattern, *lines) if pattern is not None)


def read_expectations(node: Node, parameters: Parameters, problems: Problems) -> tuple[ExpectationNode, ...]:
    """Read the shape of all expectations; those that are wrong are told and left out."""
    found = []
    for item in shapes.as_list(node):
        with problems.part(binds=True):
            found.append(_expectation(item, parameters, problems))
    return tuple(expectation for expectation in found if expectation is not None)


def _expectation(node: Node, parameters: Parameters, problems: Problems) -> ExpectationNode | None:
    table = shapes.as_table(node, "an expectation")
    right = shapes.check_keys(table, (*_HEADS, *_MORE), "an expectation", problems)
    heads = [entry for entry in table.entries if entry.key.text in _HEADS]
    if not heads and not right:
        return None
    if len(heads) != 1:
        which = f"has {quoted(entry.key.text for entry in heads)}" if heads else "has none"
        where = heads[1].key.position if heads else table.position
        raise problem(f"an expectation has one of {quoted(_HEADS)}; this one {which}", where)
    entry = heads[0]
    head = next(head for head in _HEADS if head == entry.key.text)
    outcomes: tuple[OutcomeNode, ...] = ()
    pattern: PatternNode | None = None
    count = 0
    if head == "first":
        outcomes = _outcomes(entry.value, parameters, problems)
        if (written := table.get("else")) is not None:
            raise problem("each line of `first` has its own verdict; it takes no `else`", written.position)
    else:
        scalar = shapes.as_scalar(entry.value, "a pattern" if head == "never" else "a number and a pattern")
        count, pattern = parse_pattern(scalar, parameters, count=head != "never")
    return ExpectationNode(
        head=head,
        outcomes=outcomes,
        pattern=pattern,
        count=count,
        after=_window(table, "after", parameters),
        until=_window(table, "until", parameters),
        within=None if (within := table.get("within")) is None else shapes.duration(within, "`within`", parameters),
        otherwise="fail"
        if (written := table.get("else")) is None
        else shapes.choice(written, ("fail", "warn"), "`else`", parameters),
        note="" if (note := table.get("note")) is None else shapes.text_of(note, "a note", parameters),
        where=table.position,
    )


def _window(table: Table, key: str, parameters: Parameters) -> tuple[MomentNode, ...]:
    node = table.get(key)
    return () if node is None else moments(node, parameters)


def _outcomes(node: Node, parameters: Parameters, problems: Problems) -> tuple[OutcomeNode, ...]:
    found = []
    nothing = False
    for item in shapes.as_list(node):
        with problems.part(binds=True):
            outcome = _outcome(item, parameters)
            if outcome.pattern is None and nothing:
                raise problem("`nothing` stands here twice", item.position)
            nothing = nothing or outcome.pattern is None
            found.append(outcome)
    return tuple(found)


def _outcome(node: Node, parameters: Parameters) -> OutcomeNode:
    table = shapes.as_table(node, "a line of `first`, `VERDICT: pattern`")
    lines: list[Entry] = []
    note = ""
    for entry in table.entries:
        if entry.key.text == "note":
            note = shapes.text_of(entry.value, "a note", parameters)
        elif entry.key.text in _VERDICTS:
            lines.append(entry)
        else:
            message = f"`{entry.key.text}` is no verdict"
            hint = nearest(entry.key.text, (*_VERDICTS, "note")) or f"verdicts are {quoted(_VERDICTS)}"
            raise problem(message, entry.key.position, hint)
    if len(lines) != 1:
        where = lines[1].key.position if lines else table.position
        raise problem("a line of `first` has one verdict", where, "each line begins with `- `")
    verdict = next(verdict for verdict in _VERDICTS if verdict == lines[0].key.text)
    scalar = parameters_filled(shapes.as_scalar(lines[0].value, "a pattern, or `nothing`"), parameters)
    if scalar.text.strip() == "nothing":
        return OutcomeNode(verdict, None, note)
    return OutcomeNode(verdict, parse_pattern(scalar, parameters)[1], note)


def parameters_filled(scalar: Scalar, parameters: Parameters) -> Scalar:
    """Fill in a parameter that is all of a text; others stay, to be read by the grammar."""
    whole = scalar.text.strip()
    return parameters.fill(scalar) if whole[:1] == "$" and whole[1:].isidentifier() else scalar


def collect_expectations(expectations: Iterable[ExpectationNode], captures: Captures, problems: Problems) -> None:
    """Note every name that expectations bind."""
    for expectation in expectations:
        with problems.part(binds=True):
            captures.add_moments((*expectation.after, *expectation.until))
            for pattern in expectation.patterns:
                captures.add_pattern(pattern)


def check_expectations(
    expectations: Iterable[ExpectationNode], patterns: Patterns, problems: Problems
) -> tuple[Expectation, ...]:
    """Check all expectations; those that are wrong are told and left out."""
    checked = []
    for expectation in expectations:
        with problems.part():
            checked.append(_check(expectation, patterns, problems))
    return tuple(checked)


def _check(node: ExpectationNode, patterns: Patterns, problems: Problems) -> Expectation:
    outcomes = []
    for outcome in node.outcomes:
        with problems.part():
            pattern = None if outcome.pattern is None else patterns.pattern(outcome.pattern)
            outcomes.append(Outcome(verdict=outcome.verdict, pattern=pattern, note=outcome.note))
    fault = Moment(steps=(FaultReached(),), text="fault", position=node.where)
    return Expectation(
        head=node.head,
        outcomes=tuple(outcomes),
        pattern=None if node.pattern is None else patterns.pattern(node.pattern),
        count=node.count,
        after=patterns.moments(node.after) or (fault,),
        until=patterns.moments(node.until),
        within=node.within,
        otherwise=node.otherwise,
        note=node.note,
        position=node.where,
    )

"""Check patterns and moments: names are resolved, the impossible is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from iscsiproxy.language.captures import Captures, opcodes_of
from iscsiproxy.language.checker import Checker
from iscsiproxy.language.names import NOTHING, Hand, Names
from iscsiproxy.language.problems import UnknownNameError, problem
from iscsiproxy.language.spec import Bound, Moment, Pattern, Position, Step
from iscsiproxy.language.syntax import MomentNode, NameStep, PatternNode, Word
from iscsiproxy.language.vocabulary import ITEMS, TASK_PDUS
from iscsiproxy.wire.opcodes import End, sender_of

__all__ = ["Patterns", "Victim", "hand_of"]

Victim = Literal["initiator", "target", "both"]
_Sender = Literal["initiator", "target", "victim", "proxy"]


def hand_of(moments: Iterable[MomentNode]) -> Hand:
    """Tell what is in hand when one of some moments is met: what their last steps match."""
    last = [moment.steps[-1] for moment in moments]
    patterns = [step for step in last if isinstance(step, PatternNode)]
    events = frozenset(item.name for pattern in patterns for item in pattern.items if not item.opcodes)
    opcodes = opcodes_of(patterns)
    gone = bool(opcodes) and not any(_arriving(pattern) for pattern in patterns)
    return Hand(opcodes, events, gone) if patterns else NOTHING


def _arriving(pattern: PatternNode) -> bool:
    """Tell whether a pattern may mean a PDU that comes in: not the proxy's own, and not only where it has gone to."""
    if pattern.sender is not None and pattern.sender.text == "proxy":
        return False
    leg = pattern.leg
    return any(leg is None or sender_of(opcode).value == leg.text for opcode in opcodes_of([pattern]))


class Patterns:
    """Checks patterns against the names of one file."""

    def __init__(self, captures: Captures, victim: Victim) -> None:
        self.captures = captures
        self.victim = victim

    def __repr__(self) -> str:
        return f"<Patterns, the victim is {self.victim}>"

    def moments(self, nodes: Iterable[MomentNode]) -> tuple[Moment, ...]:
        """Check some moments; raises FileError for the first thing that is wrong."""
        return tuple(self.moment(node) for node in nodes)

    def moment(self, node: MomentNode) -> Moment:
        """Check one moment; raises FileError."""
        steps: list[Step] = []
        for step in node.steps:
            if isinstance(step, PatternNode):
                steps.append(self.pattern(step))
            elif isinstance(step, NameStep):
                self.captures.need(step.name, also=ITEMS, what="PDU or event")
                steps.append(Bound(name=step.name.text))
            else:
                steps.append(step)
        return Moment(steps=tuple(steps), text=node.text, position=node.where)

    def pattern(self, node: PatternNode) -> Pattern:
        """Check one pattern; raises FileError."""
        hand = Hand(opcodes_of([node]), frozenset(item.name for item in node.items if not item.opcodes))
        unknown = None
        try:
            if node.of is not None and self.captures.need(node.of).each:
                raise problem(f"`{node.of.text}` collects; `of` takes a single PDU or connection", node.of.where)
        except UnknownNameError as error:
            unknown = error  # what else is wrong comes first: this may only follow from what could not be read
        sender = self._sender(node)
        where = None
        if node.condition is not None:
            where = Checker(Names(self.captures, hand)).test(node.condition)
        if node.picks.per == "task":
            _check_tasks(node)
        if unknown is not None:
            raise unknown
        return Pattern(
            items=node.items,
            of=node.of.text if node.of else None,
            sender=sender,
            leg=End(node.leg.text) if node.leg else None,
            where=where,
            picks=node.picks,
            capture=node.capture,
            text=node.text,
            position=node.where,
        )

    def _sender(self, node: PatternNode) -> _Sender | None:
        if node.sender is None:
            return None
        word = node.sender.text
        if word == "victim":
            if self.victim == "both":
                return None
            word = self.victim
        if word == "proxy":
            return "proxy"
        sender: _Sender = "initiator" if word == "initiator" else "target"
        _check_sender(node, End(sender), node.sender)
        return sender


def _check_sender(node: PatternNode, sender: End, word: Word) -> None:
    for item in node.items:
        if item.opcodes and all(sender_of(opcode) is not sender for opcode in item.opcodes):
            message = f"{item.name} is sent by the {sender.other}, never by the {sender}"
            raise problem(message, word.where, "a PDU's name says its direction; leave `from` out")


def _check_tasks(node: PatternNode) -> None:
    where: Position = node.per_at or node.where
    for item in node.items:
        if not item.opcodes & TASK_PDUS:
            raise problem(f"`per task`: {item.name} belongs to no task", where, "tasks are those of SCSI commands")

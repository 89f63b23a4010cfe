"""Write data that was not agreed on, or not asked for: a target tells so (RFC 7143 11.4.7.2, 13.11, 4.2.5.2).

A command with such data is terminated with CHECK CONDITION: unexpected unsolicited data, or an incorrect amount of it.
What was thrown away and asked for again is looked at by T-044, what is missing in the end by T-033.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Terms
from iscsiproxy.checks.scene.extents import Extents
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_GOOD: Final = codes.SCSI_STATUS.value("GOOD")


class _Rejected:
    """A task one of whose PDUs was rejected: what it held may not have counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """Data that a target has to refuse, with the clause that says so."""

    text: str
    clause: str
    proof: tuple[Note, ...]
    severity: Severity = Severity.MUST


def _is_refused(moment: Moment) -> Outcome:
    """T-084: see that a write is not GOOD when its data is other than agreed on or asked for."""
    task = moment.own
    if task is None or not task.values["W"] or task.terminal is not None or moment["Response"]:
        return None
    if not moment.terms.known or not moment.session.seen or not moment.conn.complete:
        return None
    if task.retries or task.note.conn != moment.conn.number or task.known(_Rejected) is not None:
        return None
    wrong = _wrong(task, moment.terms)
    if wrong is None or not moment.framed:
        return None
    if moment["Status"] != _GOOD:
        return FINE
    return Breach(text=f"GOOD for {wrong.text}", proof=wrong.proof, severity=wrong.severity, clause=wrong.clause)


def _wrong(task: Task, terms: Terms) -> _Wrong | None:
    """Find what is wrong with the data of a write; the common case is that it had but immediate data, or none."""
    unsolicited, immediate = task.unsolicited, task.immediate_length
    if not unsolicited.bytes and not task.r2ts and immediate <= terms.first_burst and terms.immediate_data:
        return None
    checks = (_unexpected, _too_much, _too_little, _not_asked_for)
    return next((wrong for check in checks if (wrong := check(task, terms)) is not None), None)


def _unexpected(task: Task, terms: Terms) -> _Wrong | None:
    """Find unsolicited data of a kind that was not agreed on (RFC 7143 13.10, 13.11)."""
    agreed = f"InitialR2T={_said(terms.initial_r2t)} and ImmediateData={_said(terms.immediate_data)}"
    clause = "RFC 7143 11.4.7.2" if terms.immediate_data or not terms.initial_r2t else "RFC 7143 13.11"
    if task.immediate_length and not terms.immediate_data:
        text = f"{task.immediate_length} bytes of immediate data, with {agreed}"
        return _Wrong(text=text, clause=clause, proof=(task.note,))
    burst = task.unsolicited
    if not burst.bytes or not terms.initial_r2t or burst.first is None:
        return None
    if _is_asked_again(task, burst.extents):
        return None
    text = f"{burst.bytes} bytes of unsolicited Data-Out, with {agreed}"
    return _Wrong(text=text, clause=clause, proof=(burst.first, task.note))


def _too_much(task: Task, terms: Terms) -> _Wrong | None:
    """Find more unsolicited data than FirstBurstLength (RFC 7143 4.2.5.2)."""
    came = _unsolicited(task)
    if came.total <= terms.first_burst or _is_asked_again(task, came):
        return None
    last = task.unsolicited.last
    return _Wrong(
        text=f"{came.total} bytes of unsolicited data, with FirstBurstLength={terms.first_burst}",
        clause="RFC 7143 4.2.5.2, RFC 7143 11.4.7.2",
        proof=(task.note,) if last is None else (last, task.note),
    )


def _too_little(task: Task, terms: Terms) -> _Wrong | None:
    """Find a burst of unsolicited Data-Out that ended short: the rest must have come later, or T-033 speaks.

    Where data may be recovered inside a command a target may ask for the rest (RFC 7143 7.1.4.1), where not it is no
    harm, but not what it is to report.
    """
    burst = task.unsolicited
    if burst.final is None or terms.error_recovery_level or task.edtl <= terms.first_burst:
        return None
    total = _unsolicited(task).total
    if total >= terms.first_burst or not task.out_extents.covers(0, task.edtl):
        return None
    return _Wrong(
        text=f"{total} bytes of unsolicited data, with FirstBurstLength={terms.first_burst}: the rest was asked for",
        clause="RFC 7143 11.4.7.2",
        proof=(burst.final, task.note),
        severity=Severity.SHOULD,
    )


def _not_asked_for(task: Task, terms: Terms) -> _Wrong | None:
    """Find data in the answer to an R2T that this R2T does not ask for."""
    if terms.error_recovery_level:
        return None
    for r2t in task.r2ts:
        ranges, last = list(r2t.burst.extents), r2t.burst.last
        if not ranges or last is None:
            continue
        first, behind, end = ranges[0][0], ranges[-1][1], r2t.offset + r2t.length
        again = any(one.order > r2t.order and one.offset < end and r2t.offset < one.offset + one.length
                    for one in task.r2ts)  # fmt: skip
        if not again and (first < r2t.offset or behind > end):
            text = f"bytes {first} to {behind - 1} in answer to an R2T for {r2t.offset} to {end - 1}"
            return _Wrong(text=text, clause="RFC 7143 11.4.7.2", proof=(last, r2t.note, task.note))
    return None


def _unsolicited(task: Task) -> Extents:
    """Put together what came unasked; what came twice counts once."""
    whole = Extents()
    whole.add(0, task.immediate_length)
    for start, end in task.unsolicited.extents:
        whole.add(start, end - start)
    return whole


def _is_asked_again(task: Task, extents: Extents) -> bool:
    """Tell whether R2Ts ask for all of that: then it was thrown away."""
    asked = Extents()
    for r2t in task.r2ts:
        asked.add(r2t.offset, r2t.length)
    return all(asked.covers(start, end - start) for start, end in extents)


def _said(value: bool) -> str:
    return "Yes" if value else "No"


def _was_rejected(moment: Moment) -> None:
    """Take note of the task that a rejected PDU belongs to."""
    if moment.task is not None:
        moment.task.recall(_Rejected)


FAMILY = Family(
    name="amounts",
    title="Write data other than agreed on",
    rules=(
        Rule(
            id="T-084",
            title="A write whose data is not what was agreed on or asked for ends with CHECK CONDITION",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.7.2, RFC 7143 13.11",
            check=_is_refused,
            sent=frozenset({Opcode.SCSI_RESPONSE}),
            why="Initiator and target do not count data alike: the next command may be taken for what is left over.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_was_rejected, sent=frozenset({Opcode.REJECT})),),
)

"""How long a target takes for what is no SCSI command: NOP-Out, Text, Logout, task management.

None of these waits for a medium. The standard gives no time, and a target is free to take its own; an initiator gives a
connection up when a ping stays away for some seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["FAMILY"]

_REQUESTS = frozenset({Opcode.NOP_OUT, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST, Opcode.TMF_REQUEST})
_ANSWERS = frozenset({Opcode.NOP_IN, Opcode.TEXT_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.TMF_RESPONSE, Opcode.REJECT})


def _is_prompt(moment: Moment) -> Outcome:
    """T-080: see that the answer does not keep the initiator waiting."""
    if not moment.sent:
        itt = moment["ITT"]
        if itt != NO_TAG and moment.full_feature:
            text = f"{moment.pdu.label} ITT={itt:#x} was not answered"
            still = _waits(moment.session, moment.note)
            moment.owe(itt, text, within=moment.scene.limits.slow, still=still)
        return None
    task = moment.task
    if task is None or task.opcode not in _REQUESTS:
        return None
    return FINE if moment.settle(task.itt) else None


def _waits(session: Session, note: Note) -> Callable[[], bool]:
    """Make what tells whether a request waits for the target alone.

    What is out of its turn waits for other commands (RFC 7143 4.2.2.1), and what ends tasks for their data (11.5.1).
    """

    def look() -> bool:
        task = session.tasks.get(note["ITT"])
        if task is None or task.ignored or session.book.gaps:
            return False
        return not any(one.aborting is task.note and one.r2ts_open for one in session.live())

    return look


FAMILY = Family(
    name="delays",
    title="Delays",
    rules=(
        Rule(
            id="T-080",
            title="What is no SCSI command is answered without delay",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 7.14",
            check=_is_prompt,
            sent=_ANSWERS,
            given=_REQUESTS,
            calm=True,
            why="Initiators send a ping every few seconds, and drop the connection when the answer stays away.",
        ),
    ),
)

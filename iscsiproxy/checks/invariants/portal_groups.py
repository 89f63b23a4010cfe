"""Portal groups: the one that an initiator was told of, and the one that it has come to (RFC 7143 6.3.1, 13.9).

SendTargets names a portal group tag with each address, a login names that of the portal which serves it. Where they are
not the same a portal has got into another group, and what the initiator wants with it may be another thing by now.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.talks import LISTENERS, heard
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_NAME, _ADDRESS, _GROUP = "TargetName", "TargetAddress", "TargetPortalGroupTag"
#: How many targets are remembered
_TARGETS: Final = 1024


class _Groups:
    """The portal group tags of targets, as SendTargets named them, each with the PDU that did."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Note]] = {}

    def add(self, target: str, tag: str, note: Note) -> None:
        """Note one."""
        self.of.setdefault(target, {})[tag] = note
        if len(self.of) > _TARGETS:
            del self.of[next(iter(self.of))]


class _Login:
    """The portal group that a login has come to, until the first command; `told` is where another one was named."""

    def __init__(self) -> None:
        self.note: Note | None = None
        self.text = ""
        self.told: Note | None = None


def _is_the_one(moment: Moment) -> Outcome:
    """I-065: see that the initiator uses only a portal group that it was told of."""
    login = moment.conn.known(_Login)
    if login is None or login.note is None:
        return None
    note, login.note = login.note, None
    if login.told is None:
        return FINE
    return Breach(text=login.text, proof=(note, login.told))


def _named(moment: Moment) -> None:
    """Keep what SendTargets says."""
    reading = heard(moment)
    if reading is None:
        return
    target = None
    for said in reading.said:
        if said.key == _NAME:
            target = said.value
        elif said.key == _ADDRESS and target is not None and "," in said.value:
            moment.scene.recall(_Groups).add(target, said.value.rpartition(",")[2], moment.note)


def _logged_in(moment: Moment) -> None:
    """Hold the portal group of a login against what SendTargets said."""
    reading, groups = heard(moment), moment.scene.known(_Groups)
    if reading is None or groups is None or not (reading.known and reading.final):
        return
    target, tag = reading.ledger.value(End.INITIATOR, _NAME), reading.ledger.value(End.TARGET, _GROUP)
    told = groups.of.get(target or "")
    if target is None or tag is None or not told:
        return
    login = moment.conn.recall(_Login)
    login.note = moment.note
    if tag not in told:
        tags = " and ".join(sorted(told))
        login.text = f"commands to portal group {tag} of {target}, for which SendTargets named {tags}"
        login.told = next(iter(told.values()))


FAMILY = Family(
    name="portal_groups",
    title="Portal groups",
    rules=(
        Rule(
            id="I-065",
            title="An initiator uses a portal group that SendTargets named, and no other",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 6.3.1, RFC 7143 13.9",
            check=_is_the_one,
            sent=frozenset({Opcode.SCSI_COMMAND}),
            why="To the target it is another port: reservations do not hold, and sessions are not reinstated.",
        ),
    ),
    observers=(
        *LISTENERS,
        Observer(end=End.INITIATOR, update=_named, given=frozenset({Opcode.TEXT_RESPONSE})),
        Observer(end=End.INITIATOR, update=_logged_in, given=frozenset({Opcode.LOGIN_RESPONSE})),
    ),
)

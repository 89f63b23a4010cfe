"""What a rule is shown: one event, and the state of its leg before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.scene.connections import Conn, Terms
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.journal import Record
from iscsiproxy.session.events import Closed
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt

if TYPE_CHECKING:
    from iscsiproxy.checks.debts import Debts, Scope
    from iscsiproxy.checks.rules import Rule
    from iscsiproxy.checks.scene.scene import Scene

__all__ = ["ANSWERED", "Moment", "advances_stat_sn"]

#: What each PDU of a target that belongs to a task answers (RFC 7143 11.1)
ANSWERED: Mapping[int, int] = {
    Opcode.NOP_IN: Opcode.NOP_OUT,
    Opcode.SCSI_RESPONSE: Opcode.SCSI_COMMAND,
    Opcode.TMF_RESPONSE: Opcode.TMF_REQUEST,
    Opcode.TEXT_RESPONSE: Opcode.TEXT_REQUEST,
    Opcode.DATA_IN: Opcode.SCSI_COMMAND,
    Opcode.LOGOUT_RESPONSE: Opcode.LOGOUT_REQUEST,
    Opcode.R2T: Opcode.SCSI_COMMAND,
}

#: What a fault may have changed where the end of a PDU is no more where it says
_LENGTHS = frozenset({"DataSegmentLength", "TotalAHSLength", "pad"})
_RAW = ("BHS.", "header+")


def advances_stat_sn(opcode: int, values: Mapping[str, int]) -> bool:
    """Tell whether a target's PDU takes a StatSN (RFC 7143 4.2.2.2, 11.7.3, 11.8.3, 11.19.2)."""
    if opcode == Opcode.DATA_IN:
        return bool(values["S"])
    if opcode == Opcode.NOP_IN:
        return values["ITT"] != NO_TAG
    return opcode != Opcode.R2T and "StatSN" in values


class Moment:
    """One event on one leg. The state is that before it: the scene moves on when all rules have seen it.

    `sent`: the judged end sent it; else it was given it. `pdu` and `values` are of a PDU, `closed` of an end of the
    connection; the other is absent. `task` is the one it belongs to: of a request that begins a new one there is none
    yet. `spoiled`: a digest of what was given is wrong, so that the end has to discard it.
    """

    __slots__ = ("_own", "_own_known", "at", "closed", "conn", "debts", "note", "opcode", "pdu", "profile", "record",
                 "rule", "scene", "sent", "session", "spoiled", "task", "values")  # fmt: skip

    def __init__(
        self,
        *,
        scene: Scene,
        record: Record,
        note: Note,
        conn: Conn,
        debts: Debts,
        profile: Profile,
        sent: bool,
        pdu: Pdu,
        opcode: int,
        values: Mapping[str, int],
        task: Task | None,
        spoiled: bool = False,
        closed: Closed | None = None,
    ) -> None:
        self.scene = scene
        self.record = record
        self.note = note
        self.conn = conn
        self.session: Session = conn.session
        self.debts = debts
        self.profile = profile
        self.sent = sent
        self.pdu = pdu
        self.opcode = opcode
        self.values = values
        self.task = task
        self.spoiled = spoiled
        self.closed = closed
        self.at = note.at
        self.rule: Rule | None = None  #: the one that is being asked
        self._own: Task | None = None
        self._own_known = False

    def __repr__(self) -> str:
        return f"<Moment {'sent' if self.sent else 'given'} {self.note!r}>"

    def __getitem__(self, name: str) -> int:
        """Read a field of the PDU; KeyError for one that it does not have."""
        return self.values[name]

    # --- what is known of it -----------------------------------------------------------------------------------------

    @property
    def terms(self) -> Terms:
        """What the connection has negotiated; the defaults where that was not seen (`terms.known`)."""
        return self.conn.terms

    @property
    def full_feature(self) -> bool:
        """Tell whether the connection was in full feature phase, or on its way out of it."""
        return self.conn.phase is Phase.FULL_FEATURE or self.conn.phase is Phase.LOGOUT

    @property
    def own(self) -> Task | None:
        """The task that a target's PDU surely belongs to: of the right kind, one that counts, alone with its tag."""
        if self._own_known:
            return self._own
        self._own_known = True
        task = self.task
        if task is None or task.opcode != ANSWERED.get(self.opcode) or task.ignored or task.doubtful:
            return None
        if self.full_feature:
            self._own = task
        return self._own

    @property
    def length(self) -> int:
        """The bytes in the data segment, whether they are known or not."""
        return self.values["DataSegmentLength"] if self.record.data_length == 0 else self.record.data_length

    @property
    def data(self) -> bytes | None:
        """The data segment; None if the journal does not have it."""
        data = self.pdu.data
        return data if len(data) == self.length and not self.record.withheld else None

    @property
    def from_target(self) -> bool:
        """Tell whether it goes from the target to the initiator."""
        return self.sent == (self.scene.end is End.TARGET)

    @property
    def advances(self) -> bool:
        """Tell whether this PDU of the target takes a StatSN."""
        return self.from_target and advances_stat_sn(self.opcode, self.values)

    @property
    def framed(self) -> bool:
        """Tell whether the judged end can still see where PDUs begin: no fault put a length wrong in what it was given.

        Behind such a fault it may wait for bytes that never come, and owes nobody an answer.
        """
        return self.conn.disturbed is None or not any(self._misframes(note) for note in self.conn.given if note.changed)

    def _misframes(self, note: Note) -> bool:
        added = {"header-digest"} if not self.terms.header_digest else set()
        if not self.terms.data_digest:
            added.add("data-digest")
        return any(what in _LENGTHS or what in added or what.startswith(_RAW) for what in note.changed)

    def faked(self, *names: str) -> bool:
        """Tell whether a fault changed one of these fields of what was given; without names: anything in it."""
        changed = self.note.changed
        return bool(changed) if not names else any(name in changed for name in names)

    def has_read(self, note: Note) -> bool:
        """Tell whether the judged end has surely read what it was given as `note`: PDUs may cross on the wire.

        It has if it acknowledged it, or after the slack of the judge.
        """
        return self.at - note.at > self.scene.limits.slack or self.acknowledges(note)

    def acknowledges(self, note: Note) -> bool:
        """Tell whether the judged end has acknowledged what it was given as `note`, by this PDU or before."""
        pdu = note.pdu
        if pdu is None or note.conn != self.conn.number:
            return False
        opcode = pdu.opcode
        if opcode & 0x20:
            values = {name: note[name] for name in ("ITT", "S") if name in pdu.fields} | {"StatSN": 0}
            number = note["StatSN"] if advances_stat_sn(opcode, values) else None
            acked, when = self.conn.acked, self.conn.acked_note
            mine = self.values.get("ExpStatSN") if self.sent else None
            if when is not None and when.n < note.n:
                # Some acknowledge too early: what was acknowledged before this came proves nothing.
                mine = mine if mine is not None and acked is not None and lt(acked, mine) else None
                acked = None
            known = (acked, mine)
        else:
            number = None if pdu.get("I") else pdu.get("CmdSN")
            known = (self.session.exp_cmd, self.values.get("ExpCmdSN") if self.sent else None)
        return number is not None and any(one is not None and lt(number, one) for one in known)

    # --- what has to follow ------------------------------------------------------------------------------------------

    def owe(
        self,
        key: object,
        text: str,
        *,
        within: float | None = None,
        proof: tuple[Note, ...] = (),
        scope: Scope = "connection",
        still: Callable[[], bool] | None = None,
    ) -> None:
        """Note that the judged end owes something from now on: if it is not settled in time, `text` says what is wrong.

        `key` is what it is settled by, within the rule and the `scope`: it is dropped when that has ended. `still` is
        asked when its time is up: False if there is no reason any more why it should be paid.
        """
        assert self.rule is not None
        self.debts.owe(self, self.rule, key, text, within, (self.note, *proof), scope=scope, still=still)

    def settle(self, key: object, *, scope: Scope = "connection") -> bool:
        """Note that a debt was paid; False if there was none. What was paid too late was told before."""
        assert self.rule is not None
        return self.debts.settle(self, self.rule, key, scope=scope)

    def forgive(self, key: object, *, scope: Scope = "connection") -> bool:
        """Drop a debt: there is no reason any more why it should be paid."""
        assert self.rule is not None
        return self.debts.forgive(self, self.rule, key, scope=scope)

    def owes(self, key: object, *, scope: Scope = "connection") -> bool:
        """Tell whether there is such a debt."""
        assert self.rule is not None
        return self.debts.owed(self, self.rule, key, scope=scope)

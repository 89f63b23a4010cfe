"""All rules of one end, and what came of each: how often it was seen to hold, to be broken, or to break itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iscsiproxy.checks.debts import Debts
from iscsiproxy.checks.disk import Wrong
from iscsiproxy.checks.findings import Finding, proof_of
from iscsiproxy.checks.invariants.disks import KINDS
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import Profile, cited
from iscsiproxy.checks.recovery import SILENT
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note, note_of
from iscsiproxy.checks.scene.scene import Limits, Scene
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.checks.scene.values import values_of
from iscsiproxy.checks.storage import Hashes, Storage
from iscsiproxy.errors import ScsiError
from iscsiproxy.journal import Record
from iscsiproxy.session.events import Closed, Connected, Decided, Delivered, Event, Fired, Received, Staged
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Court", "Crash"]

#: Acts that hold something up
_SLOW = frozenset({"delay", "stall", "throttle"})
#: What the end of a connection is asked for in place of a PDU
_NO_PDU = Pdu(bytes(BHS_LENGTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A check that broke, or a family, the `storage`, the `scene`: what it was to find out is not known."""

    rule: str
    n: int
    error: str


class _Docket:
    """One rule and its record."""

    __slots__ = ("check", "evidence", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.check = rule.check
        self.evidence = 0


class Court:
    """Judges the end at one leg by the rules for it; `tell` is given each finding as it is made.

    A check that raises is never asked again, and stands in `crashes`; if the state itself breaks, all that is known of
    the leg is forgotten.
    """

    def __init__(
        self,
        end: End,
        families: Iterable[Family],
        *,
        profile: Profile,
        limits: Limits,
        tell: Callable[[Finding], None],
        hashes: Hashes | None = None,
    ) -> None:
        self.end = end
        self.scene = Scene(end, limits)
        self._crashes: dict[str, Crash] = {}  # the first of each
        #: What the disks behind this leg may hold, if somebody wants to know
        self.storage = None if hashes is None else Storage(self.scene, hashes, self._wrong)
        self._profile = profile
        self._debts = Debts(limits.answer)
        self._tell = tell
        families = tuple(families)
        self._dockets = {
            rule.id: _Docket(rule)
            for family in families
            for rule in family.rules
            if rule.blame is end and profile in rule.profiles
        }
        self._observers = [one for family in families for one in family.observers if one.end is end]
        self._closed = tuple(one for one in self._dockets.values() if one.rule.closed)
        #: By opcode, who is asked and who is told
        self._sent, self._given, self._spoiled = (
            tuple(
                (
                    tuple(one for one in self._dockets.values() if opcode in getattr(one.rule, kind)),
                    tuple(one.update for one in self._observers if opcode in getattr(one, kind)),
                )
                for opcode in range(64)
            )
            for kind in ("sent", "given", "spoiled")
        )

    def __repr__(self) -> str:
        return f"<Court over the {self.end}: {len(self._dockets)} rules, {self.scene!r}>"

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """What broke, each thing once."""
        return tuple(self._crashes.values())

    @property
    def evidence(self) -> dict[str, int]:
        """How often each rule could have been broken."""
        judged = 0 if self.storage is None else self.storage.disks.counts().judged
        return {name: judged if name[0] == "D" else docket.evidence for name, docket in self._dockets.items()}

    # --- what happens ------------------------------------------------------------------------------------------------

    def take_pdu(self, record: Record, event: Received | Delivered) -> None:
        """Take note of a PDU on the leg of this end."""
        try:
            if self._whole(event):
                self._pdu(record, event)
            else:
                self._part(record, event)
        except Exception as error:  # noqa: BLE001 - the state is not right any more: nothing that rests on it is said
            self._broke("scene", event.n, error)
            self.missed()

    def take(self, record: Record, event: Event) -> None:
        """Take note of an event, of either leg."""
        if isinstance(event, Received | Delivered):
            if event.leg is self.end:
                self.take_pdu(record, event)
        elif isinstance(event, Closed):
            if event.leg is self.end:
                self._close(record, event)
        elif isinstance(event, Connected):
            self.scene.open(event.conn, event.at)
        elif isinstance(event, Fired):
            self._disturbed(record, event, slow=event.act in _SLOW, silent=event.act in SILENT)
        elif isinstance(event, Decided):
            if event.what == "held":
                self._disturbed(record, event, slow=True, silent=False)
            elif event.what in ("released", "expired", "ended"):
                self._free(event.conn)
        elif isinstance(event, Staged) and event.stage in ("aftermath", "cleared"):
            self._free(0)

    def tick(self, now: float) -> None:
        """Take note of the time: what was to be done by now was not."""
        if self._debts.soonest > now:
            return
        for debt in self._debts.overdue(now):
            docket = self._dockets[debt.rule.id]
            docket.evidence += 1
            first = debt.proof[0]
            text = f"{debt.text} within {debt.due - debt.since:g} s"
            breach = Breach(text=text, proof=debt.proof[1:])
            self._find(docket, breach, first, label="silence", at=debt.due, cdb=_cdb_of(first, None))

    def missed(self) -> None:
        """Take note that events are missing: what depends on them is not known any more."""
        self.scene.missed()
        self._debts.clear()
        if self.storage is not None:
            self.storage.gap()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _whole(self, event: Received | Delivered) -> bool:
        """Tell whether a PDU is all there now: one that was cut is none, one in two parts counts with the last."""
        if isinstance(event, Received):
            return True
        return event.sent < 0 or event.sent >= len(event.pdu)

    def _part(self, record: Record, event: Received | Delivered) -> None:
        """Take note of a PDU that was cut: it is none, but its header may have been read."""
        conn = self.scene.conns.get(event.conn)
        if conn is not None:
            conn.given.append(note_of(record, event))

    def _pdu(self, record: Record, event: Received | Delivered) -> None:
        pdu = event.pdu
        scene = self.scene
        conn = scene.conn_of(event.conn, pdu, event.at)
        sent = isinstance(event, Received)
        values, opcode = values_of(pdu.bhs), pdu.opcode
        note = note_of(record, event)
        spoiled = not sent and (record.header_digest_ok is False or record.data_digest_ok is False)
        moment = Moment(
            scene=scene,
            record=record,
            note=note,
            conn=conn,
            debts=self._debts,
            profile=self._profile,
            sent=sent,
            pdu=pdu,
            opcode=opcode,
            values=values,
            task=scene.task_of(conn, pdu, opcode, values),
            spoiled=spoiled,
        )
        if isinstance(event, Delivered):
            if event.rules or event.author:
                conn.disturbed = note
            conn.given.append(note)
        dockets, updates = (self._spoiled if spoiled else self._sent if sent else self._given)[opcode]
        self._ask(dockets, moment)
        for update in updates:
            self._update(update, moment)
        scene.observe(moment)
        if self.storage is not None:
            self._update(self.storage.take, moment)
        if scene.lapsed:
            for number, session in scene.lapsed:
                self._debts.drop(number, session)
            scene.lapsed.clear()

    def _close(self, record: Record, event: Closed) -> None:
        conn = self.scene.conns.get(event.conn)
        if conn is None:
            return
        note = note_of(record, event)
        if event.by == "fault":
            conn.disturbed = note
        moment = Moment(
            scene=self.scene,
            record=record,
            note=note,
            conn=conn,
            debts=self._debts,
            profile=self._profile,
            sent=event.by == "peer",
            pdu=_NO_PDU,
            opcode=-1,
            values={},
            task=None,
            closed=event,
        )
        self._ask(self._closed, moment)
        for observer in self._observers:
            if observer.closed:
                self._update(observer.update, moment)
        over = self.scene.closed(moment)
        if self.storage is not None:
            self._update(self.storage.take, moment)
        if over:
            session = conn.session.number
            self._debts.drop(event.conn, None if session in self.scene.sessions else session)

    def _ask(self, dockets: tuple[_Docket, ...], moment: Moment) -> None:
        for docket in dockets:
            moment.rule = docket.rule
            try:
                outcome = docket.check(moment)
            except Exception as error:  # noqa: BLE001 - what breaks proves nothing, and costs nobody a connection
                docket.check = _silent
                self._broke(docket.rule.id, moment.note.n, error)
                continue
            if outcome is None:
                continue
            docket.evidence += 1
            if outcome is not FINE:
                label = "close" if moment.closed is not None else moment.pdu.label
                cdb = _cdb_of(moment.note, moment.task)
                self._find(docket, outcome, moment.note, label=label, at=moment.at, cdb=cdb)

    def _update(self, update: Callable[[Moment], None], moment: Moment) -> None:
        try:
            update(moment)
        except Exception as error:  # noqa: BLE001 - as above; what the family knows is not right any more
            self._broke(update.__module__.rpartition(".")[2], moment.note.n, error)

    def _broke(self, what: str, n: int, error: Exception) -> None:
        self._crashes.setdefault(what, Crash(rule=what, n=n, error=repr(error)))

    def _find(self, docket: _Docket, breach: Breach, note: Note, *, label: str, at: float, cdb: str) -> None:
        rule = docket.rule
        finding = Finding(
            rule=rule.id,
            title=rule.title,
            severity=breach.severity or rule.severity,
            clause=cited(breach.clause or rule.clause, self._profile),
            blame=rule.blame,
            conn=note.conn,
            at=at,
            n=note.n,
            text=breach.text,
            label=label,
            proof=tuple(map(proof_of, (note, *breach.proof))),
            pdu=note.pdu,
            cdb=cdb,
            key=breach.key,
        )
        self._tell(finding)

    def _wrong(self, wrong: Wrong, moment: Moment) -> None:
        """Make a finding of what is wrong with the data of a disk."""
        rule = KINDS[wrong.kind]
        proof = [note for note in wrong.refs if isinstance(note, Note)]
        finding = Finding(
            rule=rule.id,
            title=rule.title,
            severity=Severity.MUST if wrong.certain else Severity.HEURISTIC,
            clause=cited(rule.clause, self._profile),
            blame=End.TARGET if self.end is End.TARGET else None,
            conn=moment.conn.number,
            at=moment.at,
            n=moment.note.n,
            text=f"LUN {wrong.disk[1]}: {wrong}" if isinstance(wrong.disk, tuple) else str(wrong),
            label=moment.pdu.label,
            proof=tuple(map(proof_of, (moment.note, *proof))),
            pdu=moment.pdu,
            cdb=_cdb_of(moment.note, moment.task),
        )
        self._tell(finding)

    def _disturbed(self, record: Record, event: Fired | Decided, *, slow: bool, silent: bool) -> None:
        conn = self.scene.conns.get(event.conn)
        if conn is None or silent:
            return
        conn.disturbed = note_of(record, event)
        if slow:
            conn.slowed = conn.disturbed

    def _free(self, number: int) -> None:
        """Take note that nothing is held up any more, on one connection or on all (0)."""
        for conn in self.scene.conns.values():
            if number in (0, conn.number):
                conn.slowed = None


def _silent(_moment: Moment) -> Outcome:
    return None


def _cdb_of(note: Note, task: Task | None) -> str:
    """Name the SCSI command that an event belongs to; empty if it is none."""
    if task is not None:
        return task.cdb.name if task.cdb is not None else ""
    pdu = note.pdu
    if pdu is None or pdu.opcode != Opcode.SCSI_COMMAND:
        return ""
    try:
        return decode_cdb(pdu.cdb).name
    except ScsiError:
        return ""

"""Header and data digests: where they have to be, and what is done about a wrong one (RFC 7143 7.8, 13.1)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import ANY, FINE, FROM_INITIATOR, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.session.events import Received
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_LOGIN_RESPONSE = frozenset({Opcode.LOGIN_RESPONSE})
_LOGIN = _LOGIN_RESPONSE | {Opcode.LOGIN_REQUEST}
_REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_ANSWERS = frozenset(
    {Opcode.NOP_IN, Opcode.SCSI_RESPONSE, Opcode.TMF_RESPONSE, Opcode.TEXT_RESPONSE, Opcode.LOGOUT_RESPONSE,
     Opcode.DATA_IN, Opcode.R2T}
)  # fmt: skip
_DATA_DIGEST_ERROR = codes.REJECT_REASON.value("DATA_DIGEST_ERROR")
#: Reasons that find fault with the PDU itself
_OF_CONTENT = frozenset({codes.REJECT_REASON.value("PROTOCOL_ERROR"), codes.REJECT_REASON.value("INVALID_PDU_FIELD")})
#: Events by which a target gives up the connection or the session, and with it the duty to reject
_ESCALATES = frozenset(
    {codes.ASYNC_EVENT.value("LOGOUT_REQUEST"), codes.ASYNC_EVENT.value("CONNECTION_DROP"),
     codes.ASYNC_EVENT.value("SESSION_DROP")}
)  # fmt: skip


class _Agreed:
    """The last Login Response of a connection: with it the digests were agreed on."""

    def __init__(self) -> None:
        self.notes: tuple[Note, ...] = ()


def _has_digests(moment: Moment) -> Outcome:
    """T-075, I-053: see that digests are there exactly when they were agreed on, and are right."""
    conn, pdu, record = moment.conn, moment.pdu, moment.record
    terms, header, data = conn.terms, False, False
    if moment.full_feature:
        if not terms.known or moment.opcode in _LOGIN:
            return None
        header = terms.header_digest
        data = terms.data_digest and moment.length > 0
    elif not conn.complete:
        return None
    text = ""
    if header is not bool(pdu.header_digest):
        text = _misplaced("header", header, moment)
    elif data is not bool(pdu.data_digest):
        if isinstance(record.entry, Received) and record.entry.partial:
            return None
        text = _misplaced("data", data, moment)
    elif record.header_digest_ok is False:
        text = f"the header digest {pdu.header_digest.hex()} is wrong"
    elif record.data_digest_ok is False:
        text = f"the data digest {pdu.data_digest.hex()} is wrong"
    if text:
        return Breach(text=text, proof=conn.recall(_Agreed).notes)
    return FINE if (header and record.header_digest_ok) or (data and record.data_digest_ok) else None


def _misplaced(which: str, wanted: bool, moment: Moment) -> str:
    if wanted:
        return f"no {which} digest, and {which.capitalize()}Digest=CRC32C was agreed on"
    if moment.full_feature:
        return f"a {which} digest, and none was agreed on"
    return f"a {which} digest before the full feature phase"


def _note_login(moment: Moment) -> None:
    """Keep the Login Response that ends the login."""
    if not moment.full_feature:
        moment.conn.recall(_Agreed).notes = (moment.note,)


# --- data that came with a wrong digest ------------------------------------------------------------------------------


class _Waiting:
    """PDUs of a connection whose data digest was wrong, and that were not rejected yet, by their header."""

    def __init__(self) -> None:
        self.notes: dict[bytes, Note] = {}


class _Discarded:
    """Requests of a session that have only come with a wrong data digest, by their Initiator Task Tag."""

    def __init__(self) -> None:
        self.notes: dict[int, Note] = {}


def _is_rejected(moment: Moment) -> Outcome:
    """T-054: see that what came with a wrong data digest is discarded, and rejected for that reason."""
    if moment.spoiled:
        _demand(moment)
        return None
    if moment.closed is not None:
        waiting = moment.conn.known(_Waiting)
        first = moment.sent and not moment.conn.ended
        return FINE if first and waiting is not None and waiting.notes else None
    if moment.opcode == Opcode.REJECT:
        return _rejects(moment)
    if moment.opcode == Opcode.ASYNC:
        if moment["AsyncEvent"] in _ESCALATES:
            _forgive(moment)
        return None
    return _answers(moment)


def _demand(moment: Moment) -> None:
    record, terms = moment.record, moment.terms
    if record.header_digest_ok is False or not (moment.full_feature and terms.known and terms.data_digest):
        return  # what has a wrong header digest too is only discarded
    moment.conn.recall(_Waiting).notes[moment.pdu.bhs] = moment.note
    moment.owe(moment.pdu.bhs, f"{moment.pdu.label} with a wrong data digest was not rejected")


def _rejects(moment: Moment) -> Outcome:
    header, waiting = rejected_header(moment.pdu), moment.conn.known(_Waiting)
    if header is None or waiting is None:
        return None
    given = waiting.notes.pop(header.bhs, None)
    if given is None:
        return None
    moment.settle(header.bhs)
    reason = moment["Reason"]
    if reason == _DATA_DIGEST_ERROR:
        return FINE
    if reason in _OF_CONTENT and not moment.session.discovery and _has_sound_header(given):
        return Breach(
            text=f"Reason={codes.REJECT_REASON.text(reason)} for {given.text}, whose data digest was wrong",
            proof=(given,),
        )
    return None


def _has_sound_header(given: Note) -> bool:
    """Tell whether nothing else can be wrong with a PDU: a request as an initiator made it, but for its data."""
    assert given.pdu is not None
    header = {*given.pdu.fields, "AHS", "PDU"}
    touched = any(name in header or name.startswith("BHS") for name in given.changed)
    return given.pdu.opcode in _REQUESTS and not given.forged and not touched


def _forgive(moment: Moment) -> None:
    waiting = moment.conn.known(_Waiting)
    if waiting is not None:
        for header in waiting.notes:
            moment.forgive(header)
        waiting.notes.clear()


def _answers(moment: Moment) -> Outcome:
    discarded = moment.session.known(_Discarded)
    if discarded is None or not discarded.notes:
        return None
    task = moment.task
    if task is not None and (task.live or moment["StatSN"] in moment.conn.statuses):
        return None
    given = discarded.notes.get(moment["ITT"])
    if given is None or not (moment.conn.complete and moment.session.complete):
        return None
    del discarded.notes[moment["ITT"]]
    return Breach(
        text=f"{moment.pdu.label} answers {given.text}, whose data digest was wrong: it had to be discarded",
        proof=(given,),
    )


def _note_spoiled(moment: Moment) -> None:
    """Keep a request that has to be discarded, unless its tag is that of a task that lives."""
    record, itt = moment.record, moment["ITT"]
    if record.header_digest_ok is not False and itt != NO_TAG and itt not in moment.session.tasks:
        moment.session.recall(_Discarded).notes[itt] = moment.note


def _note_good(moment: Moment) -> None:
    """Drop a request that has come again, whole."""
    discarded = moment.session.known(_Discarded)
    if discarded is not None:
        discarded.notes.pop(moment["ITT"], None)


FAMILY = Family(
    name="digests",
    title="Header and data digests",
    rules=(
        Rule(
            id="T-054",
            title="What came with a wrong data digest is discarded, and rejected with reason 2",
            severity=Severity.MUST,
            clause="RFC 7143 7.8",
            check=_is_rejected,
            sent=_ANSWERS | {Opcode.REJECT, Opcode.ASYNC},
            spoiled=FROM_INITIATOR,
            closed=True,
            why="Without the Reject the initiator waits for its timer; used in spite of it, corrupt data goes to disk.",
        ),
        Rule(
            id="T-075",
            title="Every PDU of the full feature phase has the digests that were agreed on, and they are right",
            severity=Severity.MUST,
            clause="RFC 7143 13.1, RFC 7143 11.2.3",
            check=_has_digests,
            sent=ANY,
            why="The initiator drops the connection, or the data is not protected.",
        ),
        Rule(
            id="I-053",
            title="Every PDU of the full feature phase has the digests that were agreed on, and they are right",
            severity=Severity.MUST,
            clause="RFC 7143 13.1, RFC 7143 11.2.3",
            check=_has_digests,
            sent=ANY,
            why="The target drops the connection, or the data is not protected.",
        ),
    ),
    observers=(
        Observer(end=End.TARGET, update=_note_login, sent=_LOGIN_RESPONSE),
        Observer(end=End.INITIATOR, update=_note_login, given=_LOGIN_RESPONSE),
        Observer(end=End.TARGET, update=_note_spoiled, spoiled=_REQUESTS),
        Observer(end=End.TARGET, update=_note_good, given=_REQUESTS),
    ),
)

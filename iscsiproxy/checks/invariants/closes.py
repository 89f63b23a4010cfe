"""How a target ends connections in full feature phase: announced, or for a reason (RFC 7143 4.2.6).

A reason is whatever a fault has done to the session, and whatever the initiator has done that a target may give a
connection up for (RFC 7143 7.7). The latter is looked for when it has closed, in the last headers that it was given.

A Text Request is none, whoever made it: what a target does not like it rejects, and what fails is the negotiation alone
(RFC 7143 6.2, 6.4, 7.12).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import ANY, FINE, FROM_INITIATOR, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn, Terms
from iscsiproxy.checks.scene.ledger import Role
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.checks.scene.talks import LISTENERS, Reading, heard
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import add

__all__ = ["FAMILY"]

_LOGIN = frozenset({Opcode.LOGIN_REQUEST})
_NOP_OUT = frozenset({Opcode.NOP_OUT})
_NOP_IN = frozenset({Opcode.NOP_IN})
_TMF = frozenset({Opcode.TMF_REQUEST})
_TEXT_REQUEST = frozenset({Opcode.TEXT_REQUEST})
_ANSWERS = frozenset({Opcode.TEXT_RESPONSE, Opcode.REJECT})
#: What may be changed on its way, or made by the proxy, and is yet no reason to end a connection; a login is another's
_HARMLESS = frozenset({Opcode.TEXT_REQUEST, Opcode.LOGIN_REQUEST})
_SEND_TARGETS = "SendTargets"
#: Task management functions behind which connections are closed (RFC 7143 11.5.1, RFC 7144 6.2)
_RESETS = frozenset({"TARGET_COLD_RESET", "I_T_NEXUS_RESET"})


class _Trouble:
    """What gives a target a reason to close the connections of a session.

    `broken`: the initiator has sent what its digest does not fit, or a login where there is none.
    """

    def __init__(self) -> None:
        self.lost = False
        self.broken = False


class _Pings:
    """The pings of the target that were not answered, by their tags."""

    def __init__(self) -> None:
        self.waiting: dict[int, float] = {}


class _Reset:
    """Whether the target was told to reset itself."""

    def __init__(self) -> None:
        self.asked = False


def _is_announced(moment: Moment) -> Outcome:
    """T-079: see that the target announces that it ends a connection, if nobody has given it a reason."""
    conn, session, scene = moment.conn, moment.session, moment.scene
    if not moment.sent or not moment.full_feature or session.discovery or not conn.complete:
        return None
    if moment.closed is not None and moment.closed.how == "timeout":
        return None  # the network has ended it
    if conn.notice is not None or conn.logout is not None:
        return FINE
    if (End.TARGET, "proxy") in conn.ended or _is_troubled(moment) or scene.recall(_Reset).asked:
        return None
    if scene.sessions.get(session.number) is not session or _is_taken_over(moment):
        return None
    pings = conn.known(_Pings)
    if pings is not None and any(moment.at - at > scene.limits.slack for at in pings.waiting.values()):
        return None
    if _is_kept_waiting(moment) or not _is_sound(conn, moment.at - scene.limits.slow):
        return None
    if isinstance(_is_answered(moment), Breach):
        return None  # T-085 says more
    assert moment.closed is not None
    text = f"the target ended a connection in full feature phase without a word ({moment.closed.how})"
    return Breach(text=text, proof=tuple(list(conn.given)[-1:]))


def _is_troubled(moment: Moment) -> bool:
    """Tell whether a fault, or a wrong digest, has touched the session."""
    trouble = moment.session.known(_Trouble)
    if trouble is not None and (trouble.lost or trouble.broken):
        return True
    conns = (moment.scene.conns.get(number) for number in moment.session.conns)
    return moment.conn.disturbed is not None or any(one is not None and one.disturbed is not None for one in conns)


def _is_taken_over(moment: Moment) -> bool:
    """Tell whether another login is under way, which may be to take the place of this session (RFC 7143 6.3.5)."""
    return any(
        other is not moment.conn and other.phase in (Phase.SECURITY, Phase.OPERATIONAL)
        for other in moment.scene.conns.values()
    )


def _is_kept_waiting(moment: Moment) -> bool:
    """Tell whether the initiator owes data or commands for so long that the target may lose its patience."""
    patience = moment.scene.limits.slow
    if moment.session.book.gaps:
        return True
    for task in moment.session.live(moment.conn.number):
        if not task.is_scsi or not task.writes:
            continue
        if any(moment.at - one.note.at > patience for one in task.r2ts_open.values()):
            return True
        if not task.values["F"] and task.unsolicited.final is None and moment.at - task.note.at > patience:
            return True
    return False


def _is_sound(conn: Conn, since: float) -> bool:
    """Tell whether nothing that was given since a time is out of order at first sight."""
    given = [note for note in conn.given if note.at >= since]
    return all(_is_in_form(note, conn.terms) for note in given) and _is_in_sequence(given)


def _is_in_form(note: Note, terms: Terms) -> bool:
    """Look at one header (RFC 7143 7.7, 11.3.1, 11.16)."""
    pdu = note.pdu
    assert pdu is not None
    opcode = pdu.opcode
    if opcode not in FROM_INITIATOR or note.length > terms.target_mrdsl:
        return False
    if opcode == Opcode.SCSI_COMMAND:
        return note["ITT"] != NO_TAG and _is_good_command(note, terms)
    if note["TotalAHSLength"] or (opcode == Opcode.SNACK and not terms.error_recovery_level):
        return False
    if opcode == Opcode.NOP_OUT:
        return note["ITT"] != NO_TAG or bool(note["I"])
    return opcode == Opcode.SNACK or note["ITT"] != NO_TAG


def _is_good_command(note: Note, terms: Terms) -> bool:
    reads, writes, length, edtl = note["R"], note["W"], note.length, note["EDTL"]
    if (
        not (writes or note["F"])
        or (edtl and not (reads or writes))
        or (reads and writes)
        or note["ATTR"] not in codes.ATTR
    ):
        return False
    unsolicited = min(terms.first_burst, edtl) if writes and terms.immediate_data else 0
    return length <= unsolicited and (bool(note["F"]) or not terms.initial_r2t)


def _is_in_sequence(given: Iterable[Note]) -> bool:
    """Look whether Data-Out follow each other as they should (RFC 7143 11.7.5, 11.7.6)."""
    ahead: dict[tuple[int, int], tuple[int, int]] = {}
    for note in given:
        assert note.pdu is not None
        if note.pdu.opcode != Opcode.DATA_OUT:
            continue
        place = note["ITT"], note["TTT"]
        found = note["DataSN"], note["BufferOffset"]
        if ahead.pop(place, found) != found:
            return False
        if not note["F"]:
            ahead[place] = add(found[0], 1), found[1] + note.length
    return True


# --- what is said in a text is no reason ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demand:
    """What a Text Request is, and which clause wants an answer to it."""

    what: str
    clause: str = "RFC 7143 4.2.6, RFC 7143 7.12"
    severity: Severity = Severity.SHOULD


class _Text:
    """The Text Request of a connection that waits for its answer; nothing if one may end the connection for it."""

    def __init__(self) -> None:
        self.note: Note | None = None
        self.demand = _Demand(what="")


def _is_answered(moment: Moment) -> Outcome:
    """T-085: see that the answer to a Text Request is not the end of the connection."""
    if moment.closed is None and not moment.sent:
        _asked(moment)
        return None
    text = moment.conn.known(_Text)
    if text is None or text.note is None:
        return None
    if moment.closed is not None:
        return _is_hung_up_on(moment, text.note, text.demand)
    header = rejected_header(moment.pdu) if moment.opcode == Opcode.REJECT else moment.pdu
    if header is None or header["ITT"] != text.note["ITT"]:
        return None
    text.note = None
    return FINE


def _asked(moment: Moment) -> None:
    """Keep a Text Request that the target has to answer."""
    text, reading = moment.conn.recall(_Text), heard(moment)
    text.note = None
    if reading is None or not _is_proper(moment, reading):
        return
    text.note, text.demand = moment.note, _demand(moment, reading)


def _is_proper(moment: Moment, reading: Reading) -> bool:
    """Tell whether a request has the right form, comes in its turn and is the only one."""
    session, terms = moment.session, moment.terms
    if not reading.known or reading.waiting or reading.strays or reading.problems or not terms.known:
        return False
    if (moment["F"] and moment["C"]) or moment["TotalAHSLength"] or moment.length > terms.target_mrdsl:
        return False
    response, request = reading.response, reading.request
    if moment["TTT"] != NO_TAG and response is not None and moment["LUN"] != response["LUN"]:
        return False
    if moment["TTT"] != NO_TAG and request is not None and moment["I"] != request["I"]:
        return False
    return bool(moment["I"]) or session.book.lowest_missing == moment["CmdSN"]


def _demand(moment: Moment, reading: Reading) -> _Demand:
    if moment["C"]:
        return _Demand(what="a Text Request with C=1", clause="RFC 7143 6.2", severity=Severity.MUST)
    discovery = reading.place.discovery
    what = f"{', '.join(map(str, reading.said)) or 'an empty Text Request'} with F={moment['F']}"
    what += f" in a {'discovery' if discovery else 'normal'} session"
    keys = [said.key for said in reading.said]
    clause = ""
    if _SEND_TARGETS in keys:
        # Everybody supports these values, each in its kind of session.
        if keys == [_SEND_TARGETS] and reading.said[0].value == ("All" if discovery else ""):
            clause = "RFC 7143 appendix C"
    elif discovery and keys:
        clause = "RFC 7143 4.3"
    elif any(said.role is Role.REPEAT for said in reading.said):
        clause = "RFC 7143 6.4"
    elif any(said.known is None for said in reading.said):
        clause = "RFC 7143 6.2"
    return _Demand(what=what, clause=clause, severity=Severity.MUST) if clause else _Demand(what=what)


def _is_hung_up_on(moment: Moment, note: Note, demand: _Demand) -> Outcome:
    conn, scene = moment.conn, moment.scene
    assert moment.closed is not None
    if not moment.sent or moment.closed.how == "timeout" or (End.TARGET, "proxy") in conn.ended:
        return None
    if conn.notice is not None or conn.logout is not None or scene.recall(_Reset).asked or _is_taken_over(moment):
        return None
    if moment.at - note.at > scene.limits.slow or not _is_calm(moment, note):
        return None
    text = f"the target ended the connection ({moment.closed.how}) at {demand.what}"
    return Breach(text=text, proof=(note,), severity=demand.severity, clause=demand.clause)


def _is_calm(moment: Moment, text: Note) -> bool:
    """Tell whether there is nothing but a text that a target could have ended its connection for."""
    conn, session = moment.conn, moment.session
    trouble, pings = session.known(_Trouble), conn.known(_Pings)
    if trouble is not None and (trouble.lost or trouble.broken):
        return False
    if pings is not None and any(moment.at - at > moment.scene.limits.slack for at in pings.waiting.values()):
        return False
    if session.book.doubtful or not moment.framed or _is_kept_waiting(moment):
        return False
    return all(map(_is_innocent, conn.given)) and _is_sound(conn, text.at - moment.scene.limits.slow)


def _is_innocent(note: Note) -> bool:
    """Tell whether a fault has no part in what was given, or one that is no reason; barriers are pings."""
    assert note.pdu is not None
    opcode = note.pdu.opcode
    if opcode in _HARMLESS:
        return True
    return not note.changed and (not note.forged or opcode == Opcode.NOP_OUT)


# --- what they know --------------------------------------------------------------------------------------------------


def _is_broken(moment: Moment) -> None:
    if moment.spoiled or moment.full_feature:
        moment.session.recall(_Trouble).broken = True


def _is_lost(moment: Moment) -> None:
    """Take note of a connection that did not end well: a target may give up those beside it."""
    if moment.conn.logout is None and (moment.conn.disturbed is not None or len(moment.session.conns) > 1):
        moment.session.recall(_Trouble).lost = True


def _pings(moment: Moment) -> None:
    if moment["ITT"] == NO_TAG and moment["TTT"] != NO_TAG:
        moment.conn.recall(_Pings).waiting[moment["TTT"]] = moment.at


def _answers(moment: Moment) -> None:
    pings = moment.conn.known(_Pings)
    if pings is not None:
        pings.waiting.pop(moment["TTT"], None)


def _resets(moment: Moment) -> None:
    if codes.TMF_FUNCTION.text(moment["Function"]) in _RESETS:
        moment.scene.recall(_Reset).asked = True


FAMILY = Family(
    name="closes",
    title="Ends of connections",
    rules=(
        Rule(
            id="T-079",
            title="A target does not end a connection in full feature phase without announcing it",
            severity=Severity.SHOULD,
            clause="RFC 7143 4.2.6",
            check=_is_announced,
            closed=True,
            why="To the initiator it is a broken link: it waits, comes back, and does again what was under way.",
        ),
        Rule(
            id="T-085",
            title="A Text Request is answered or rejected, and no reason to end the connection",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.6, RFC 7143 4.3, RFC 7143 6.2, RFC 7143 7.12",
            check=_is_answered,
            sent=_ANSWERS,
            given=_TEXT_REQUEST,
            closed=True,
            why="A question about a key, or one that the target does not know, costs a host its disks.",
        ),
    ),
    observers=(
        *LISTENERS,
        Observer(end=End.TARGET, update=_is_broken, spoiled=ANY, given=_LOGIN),
        Observer(end=End.TARGET, update=_is_lost, closed=True),
        Observer(end=End.TARGET, update=_pings, sent=_NOP_IN),
        Observer(end=End.TARGET, update=_answers, given=_NOP_OUT),
        Observer(end=End.TARGET, update=_resets, given=_TMF),
    ),
)

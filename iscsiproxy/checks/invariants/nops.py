"""NOP-Out and NOP-In: pings and their answers, in both directions (RFC 7143 11.18, 11.19).

A NOP-Out with an Initiator Task Tag is a ping of the initiator, a NOP-In with a Target Transfer Tag one of the target.
What has neither asks for nothing: it tells sequence numbers, and an answer to it would only call for the next one.
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.journal import Payload
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_NOP_OUT = frozenset({Opcode.NOP_OUT})
_NOP_IN = frozenset({Opcode.NOP_IN})
#: Behind these a target has given the connection up (RFC 7143 11.9.1)
_DROPS = frozenset({codes.ASYNC_EVENT.value("CONNECTION_DROP"), codes.ASYNC_EVENT.value("SESSION_DROP")})
#: How many pings of one connection are remembered, and how many LUNs of one tag
_PINGS = 1024
_LUNS = 4


# --- pings of the initiator -------------------------------------------------------------------------------------------


class _Echoes:
    """The data of the pings of a session, by Initiator Task Tag."""

    def __init__(self) -> None:
        self.data: dict[int, Payload | None] = {}

    def keep(self, itt: int, payload: Payload | None) -> None:
        """Note the data of a ping."""
        self.data[itt] = payload
        if len(self.data) > _PINGS:
            del self.data[next(iter(self.data))]


class _Dropped:
    """Whether the target has said that it drops the connection."""

    def __init__(self) -> None:
        self.note: Note | None = None


def _is_answered(moment: Moment) -> Outcome:
    """T-046: see that each ping of the initiator comes back, with its data as far as the initiator takes it."""
    if not moment.full_feature or moment.session.discovery:
        return None
    if not moment.sent:
        return _pinged(moment)
    if moment.opcode == Opcode.ASYNC:
        if moment["AsyncEvent"] in _DROPS:
            moment.conn.recall(_Dropped).note = moment.note
        return None
    if moment.opcode == Opcode.REJECT:
        if moment.task is not None:  # there may be too many immediate commands, or a wrong digest (RFC 7143 11.17.1)
            moment.settle(moment.task.itt)
        return None
    moment.settle(moment["ITT"])
    task = moment.own
    return _echoed(moment, task) if task is not None and task.live else None


def _pinged(moment: Moment) -> Outcome:
    """Note what the target has to answer; what it may refuse, or has to wait with, is left alone."""
    conn, itt = moment.conn, moment["ITT"]
    if itt == NO_TAG or moment.task is not None or itt in moment.session.tasks:
        return None
    moment.session.recall(_Echoes).keep(itt, moment.record.payload)
    plain = moment["TTT"] == NO_TAG and moment["F"] and not moment["TotalAHSLength"]
    fits = not moment.terms.known or moment.length <= moment.terms.target_mrdsl
    if plain and fits and conn.logout is None and moment.framed and (moment["I"] or _is_next(moment)):
        immediate, session = bool(moment["I"]), moment.session

        def still() -> bool:
            if conn.logout is not None or conn.recall(_Dropped).note is not None:
                return False
            return immediate or not any(task.opcode == Opcode.TMF_REQUEST for task in session.live())

        moment.owe(itt, f"NOP-Out ITT={itt:#x} was not answered", still=still)
    return None


def _is_next(moment: Moment) -> bool:
    """Tell whether a request is delivered at once: not behind a gap, nor beyond the window (RFC 7143 4.2.2.1).

    It may have to wait for task management before it all the same (RFC 7143 4.2.3.3).
    """
    session, cmd_sn = moment.session, moment["CmdSN"]
    if session.book.doubtful or session.book.lowest_missing != cmd_sn:
        return False
    return session.max_cmd is None or not lt(session.max_cmd, cmd_sn)


def _echoed(moment: Moment, task: Task) -> Outcome:
    ping, terms = task.note, moment.terms
    asked = ping.length or ping["DataSegmentLength"]
    due = min(asked, terms.initiator_mrdsl)
    if terms.known and moment.length != due:
        return Breach(text=f"{moment.length} bytes came back of a ping of {asked}, not {due}", proof=(ping,))
    data, back = moment.session.recall(_Echoes).data.pop(task.itt, None), moment.record.payload
    if data is not None and back is not None:
        for sent, returned in zip(data, back, strict=False):
            if sent.length == returned.length and sent.hash != returned.hash:
                where = f"{sent.start} to {sent.start + sent.length}"
                return Breach(text=f"other data came back: bytes {where} of the ping differ", proof=(ping,))
    return FINE


def _has_one_tag(moment: Moment) -> Outcome:
    """T-047: a NOP-In answers or asks, never both."""
    if moment["ITT"] != NO_TAG and moment["TTT"] != NO_TAG:
        return Breach(text=f"ITT={moment['ITT']:#x} and TTT={moment['TTT']:#x} are both valid")
    return FINE


# --- what asks for nothing --------------------------------------------------------------------------------------------


class _Silence:
    """The last one that asks for no answer, while nobody has said anything; `streak` counts pings right behind one."""

    def __init__(self) -> None:
        self.note: Note | None = None
        self.streak = 0

    def kept(self, moment: Moment, following: Note | None) -> Outcome:
        """Tell whether the silence lasted, and begin with the next one."""
        lasted = self.lasted(moment)
        self.note = following
        return FINE if lasted else None

    def lasted(self, moment: Moment) -> bool:
        """Tell whether it was so long that what comes now is no reply."""
        return self.note is not None and moment.at - self.note.at > moment.scene.limits.slack

    def broken(self, moment: Moment) -> Note | None:
        """Give what a PDU of the judged end comes right behind; None if there is something else between them."""
        note, self.note = self.note, None
        given = moment.conn.given
        return note if given and given[-1] is note else None


def _has_nothing_to_answer(moment: Moment) -> Outcome:
    """T-048: see that a NOP-Out that is no ping is not followed by a NOP-In that tells nothing new.

    One with a Target Transfer Tag may be a ping whose time has come: two of them in a row are no accident.
    """
    silence = moment.conn.recall(_Silence)
    if moment.closed is not None:
        return silence.kept(moment, None)
    if not moment.full_feature:
        return None
    if not moment.sent:
        return silence.kept(moment, moment.note) if moment["ITT"] == NO_TAG else None
    if moment["ITT"] != NO_TAG:
        return None
    if silence.lasted(moment):
        silence.streak = 0
        return silence.kept(moment, None)
    note = silence.broken(moment)
    if note is None:
        silence.streak = 0
        return None
    if moment["TTT"] != NO_TAG:
        silence.streak += 1
        if silence.streak < 2:
            return None
    elif _tells(moment):
        return None
    return Breach(text="NOP-In right behind a NOP-Out that asks for none", proof=(note,))


def _tells(moment: Moment) -> bool:
    """Tell whether a NOP-In that asks for nothing has a use: a window that moved, a status to be acknowledged."""
    conn, session = moment.conn, moment.session
    moved = moment["ExpCmdSN"] != session.exp_cmd or moment["MaxCmdSN"] != session.max_cmd
    return moved or len(session.conns) > 1 or conn.next_stat is None or conn.acked != conn.next_stat


def _needs_no_answer(moment: Moment) -> Outcome:
    """I-030: see that a NOP-In that is no ping is not followed by a NOP-Out that acknowledges nothing."""
    silence = moment.conn.recall(_Silence)
    if moment.closed is not None:
        return silence.kept(moment, None)
    if not moment.full_feature:
        return None
    if not moment.sent:
        asks = moment["ITT"] != NO_TAG or moment["TTT"] != NO_TAG
        return None if asks else silence.kept(moment, moment.note)
    if moment["ITT"] != NO_TAG or moment["TTT"] != NO_TAG:
        return None
    if silence.lasted(moment):
        return silence.kept(moment, None)
    note = silence.broken(moment)
    if note is None or moment["LUN"] or moment["ExpStatSN"] != moment.conn.acked:
        return None
    return Breach(text="NOP-Out right behind a NOP-In that asks for none, and nothing is acknowledged", proof=(note,))


# --- pings of the target ----------------------------------------------------------------------------------------------


class _Ping:
    """A Target Transfer Tag that came in a NOP-In: how often, with which LUNs, and how often it was answered."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.notes: list[Note] = []

    @property
    def luns(self) -> tuple[int, ...]:
        return tuple(note["LUN"] for note in self.notes)


class _Pings:
    """The pings of a target on one connection, by Target Transfer Tag. `complete`: no older ones were forgotten."""

    def __init__(self) -> None:
        self.by_tag: dict[int, _Ping] = {}
        self.complete = True

    def ask(self, ttt: int, note: Note) -> None:
        """Note a ping."""
        ping = self.by_tag.pop(ttt, None) or _Ping()
        self.by_tag[ttt] = ping
        ping.asked += 1
        ping.notes = [*ping.notes[1 - _LUNS :], note]
        if len(self.by_tag) > _PINGS:
            del self.by_tag[next(iter(self.by_tag))]
            self.complete = False


def _ping(moment: Moment) -> None:
    """Note a ping, or an answer to one."""
    ttt, pings = moment["TTT"], moment.conn.recall(_Pings)
    if ttt == NO_TAG:
        return
    if not moment.sent:
        pings.ask(ttt, moment.note)
    elif ttt in pings.by_tag:
        pings.by_tag[ttt].answered += 1


def _tags_are_copies(moment: Moment) -> Outcome:
    """I-028: a NOP-Out without a task is immediate; a Target Transfer Tag and its LUN come from a NOP-In."""
    if not moment.full_feature:
        return None
    if moment["ITT"] == NO_TAG and not moment["I"]:
        return Breach(text="ITT=0xffffffff without I", clause="RFC 7143 11.18.1")
    ttt = moment["TTT"]
    if ttt == NO_TAG:
        return FINE
    pings = moment.conn.recall(_Pings)
    ping = pings.by_tag.get(ttt)
    if ping is None:
        if not moment.conn.complete or not pings.complete:
            return None
        return Breach(text=f"TTT={ttt:#x} was in no NOP-In", clause="RFC 7143 11.18.2")
    if moment["LUN"] not in ping.luns:
        text = f"LUN={moment['LUN']:#x} with TTT={ttt:#x}, whose NOP-In has LUN={ping.luns[-1]:#x}"
        return Breach(text=text, proof=(ping.notes[-1],), clause="RFC 7143 11.18.2")
    return FINE


def _answers_once(moment: Moment) -> Outcome:
    """I-029: each ping of the target is answered, and once."""
    if not moment.full_feature or moment["TTT"] == NO_TAG:
        return None
    conn, ttt = moment.conn, moment["TTT"]
    if not moment.sent:
        if _deserves_an_answer(moment, conn):
            text = f"NOP-In TTT={ttt:#x} was not answered"
            moment.owe(ttt, text, still=lambda: conn.logout is None and not conn.ended)
        return None
    moment.settle(ttt)
    ping = conn.recall(_Pings).by_tag.get(ttt)
    if ping is None:
        return None
    if ping.answered >= ping.asked:
        return Breach(text=f"TTT={ttt:#x} was answered before", proof=(ping.notes[-1],))
    return FINE


def _deserves_an_answer(moment: Moment, conn: Conn) -> bool:
    """Tell whether a NOP-In is a whole and proper ping: any other may end the connection (RFC 7143 7.7, 7.9)."""
    if moment["ITT"] != NO_TAG or moment.length or moment["TotalAHSLength"] or moment.session.discovery:
        return False
    if conn.logout is not None or conn.ended:
        return False
    return conn.next_stat in (None, moment["StatSN"]) and moment.framed


FAMILY = Family(
    name="nops",
    title="NOP-Out and NOP-In",
    rules=(
        Rule(
            id="T-046",
            title="A NOP-Out with a valid ITT is answered by a NOP-In with the same tag and data",
            severity=Severity.MUST,
            clause="RFC 7143 11.18.1, RFC 7143 11.19",
            check=_is_answered,
            sent=_NOP_IN | {Opcode.REJECT, Opcode.ASYNC},
            given=_NOP_OUT,
            why="An initiator that gets no echo, or a wrong one, takes the path for dead and drops the session.",
        ),
        Rule(
            id="T-047",
            title="A NOP-In never has both a valid ITT and a valid TTT",
            severity=Severity.MUST,
            clause="RFC 7143 7.7, RFC 7143 11.19.1",
            check=_has_one_tag,
            sent=_NOP_IN,
            why="It cannot be told whether it answers or asks: an initiator has to drop the session.",
        ),
        Rule(
            id="T-048",
            title="A NOP-Out that is no ping gets no NOP-In in reply",
            severity=Severity.SHOULD,
            clause="RFC 7143 11.19",
            check=_has_nothing_to_answer,
            sent=_NOP_IN,
            given=_NOP_OUT,
            closed=True,
            why="Two ends that answer each other's answers never stop.",
        ),
        Rule(
            id="I-028",
            title="A NOP-Out without a task is immediate, and copies TTT and LUN from a NOP-In or has no TTT",
            severity=Severity.MUST,
            clause="RFC 7143 11.18.1, RFC 7143 11.18.2",
            check=_tags_are_copies,
            sent=_NOP_OUT,
            why="A target that finds its pings by TTT and LUN takes a wrong copy for no answer, or for an attack.",
        ),
        Rule(
            id="I-029",
            title="A NOP-In with a valid TTT is answered by one NOP-Out",
            severity=Severity.MUST,
            clause="RFC 7143 11.18",
            check=_answers_once,
            sent=_NOP_OUT,
            given=_NOP_IN,
            why="A target drops the connection of an initiator that does not answer its pings.",
        ),
        Rule(
            id="I-030",
            title="A NOP-In that is no ping gets no NOP-Out in reply",
            severity=Severity.SHOULD,
            clause="RFC 7143 11.18",
            check=_needs_no_answer,
            sent=_NOP_OUT,
            given=_NOP_IN,
            closed=True,
            why="Two ends that answer each other's answers never stop.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_ping, sent=_NOP_OUT, given=_NOP_IN, spoiled=_NOP_IN),),
)

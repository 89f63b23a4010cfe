"""The text of a connection as it was said: logins and Text exchanges, turn by turn (RFC 7143 6.2 to 6.4, 11.10, 11.12).

Request and response take turns. Text that goes on in the next PDU (C) is put together again, for each direction on its
own; what its keys are in their negotiation the `Ledger` says. All that a rule needs of one PDU is in its `Reading`,
which whoever asks first has made: the state before the PDU, and its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from iscsiproxy.checks.rules import Observer
from iscsiproxy.checks.scene.answers import Place
from iscsiproxy.checks.scene.ledger import Ledger, Said
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.errors import TextError
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt
from iscsiproxy.wire.text import TextJoiner, TextProblem, inspect_text

if TYPE_CHECKING:
    from iscsiproxy.checks.moment import Moment

__all__ = ["LISTENERS", "LOGINS", "RESPONSES", "Course", "Reading", "Talk", "heard"]

LOGINS = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
RESPONSES = frozenset({Opcode.LOGIN_RESPONSE, Opcode.TEXT_RESPONSE})
#: The stage behind the login (RFC 7143 11.12.3)
_FULL_FEATURE = 3
#: The longest text that is put together, in bytes: what is longer is not followed
_LONGEST = 1 << 20
#: How many requests may wait for an answer at once: an end that sends more is not followed
_MOST_WAITING = 64


class Course:
    """One login, or one Text exchange, and how far it has come. `known`: all of its text is.

    `flawed` are the ends whose text was no list of pairs, so that what it meant is open. `waiting` are the requests
    without an answer, `turns` the texts that each end has said in full in its own turn:
    nothing at all counts too, an empty PDU that only lets the other end go on does not.
    """

    __slots__ = ("first", "first_response", "flawed", "joiners", "known", "ledger", "request", "response", "turns",
                 "waiting")  # fmt: skip

    def __init__(self) -> None:
        self.first: Note | None = None
        self.first_response: Note | None = None
        self.request: Note | None = None
        self.response: Note | None = None
        self.waiting: list[Note] = []
        self.joiners = {end: TextJoiner(limit=_LONGEST) for end in End}
        self.flawed: set[End] = set()
        self.turns = dict.fromkeys(End, 0)
        self.ledger = Ledger()
        self.known = True

    def __repr__(self) -> str:
        return f"<Course {self.ledger!r}, {len(self.waiting)} requests wait>"


class Reading:
    """One Login or Text PDU; treat as immutable.

    `first`, `first_response`, `request` and `response` are the PDUs of its course before it, the last two the latest;
    `asked` is, for a response, the one request that it can be the answer to. `waiting` are the requests without an
    answer before it, `turn` counts the texts that its sender has said before.

    `said` and `problems` are of the text that became `whole` with it, the last of its `parts`. All that was said before
    is in the `ledger`, and what is in it. `known` tells that nothing of the course was missed, so that both are right;
    `flawed` that what the other end said was no list of pairs. A Text Request `strays` if its tag names no exchange.
    """

    __slots__ = ("asked", "by", "first", "first_response", "flawed", "known", "ledger", "login", "note", "parts",
                 "place", "problems", "request", "response", "said", "strays", "turn", "waiting", "whole")  # fmt: skip

    def __init__(self, moment: Moment, course: Course, *, login: bool, asked: Note | None = None) -> None:
        self.note = moment.note
        self.by = End.TARGET if moment.from_target else End.INITIATOR
        self.login = login
        self.first = course.first
        self.first_response = course.first_response
        self.request = course.request
        self.response = course.response
        self.asked = asked
        self.waiting = tuple(course.waiting)
        self.flawed = False
        self.turn = course.turns[self.by]
        self.ledger = course.ledger
        self.known = False
        self.whole = False
        self.parts = 1
        self.strays = False
        self.said: tuple[Said, ...] = ()
        self.problems: tuple[TextProblem, ...] = ()
        self.place = Place(stage=None, leading=True, discovery=moment.session.discovery)

    def __repr__(self) -> str:
        return f"<Reading of {self.note.text}: {', '.join(map(str, self.said))}>"

    @property
    def refuses(self) -> bool:
        """Tell whether it is a Login Response that ends the login without success (RFC 7143 11.13.5)."""
        return self.login and self.by is End.TARGET and self.note["Status-Class"] != 0

    @property
    def final(self) -> bool:
        """Tell whether it is the Login Response that ends the login well (RFC 7143 11.13.6)."""
        if not self.login or self.by is End.INITIATOR or self.refuses:
            return False
        return bool(self.note["T"]) and self.note["NSG"] == _FULL_FEATURE

    @property
    def closes(self) -> bool:
        """Tell whether it is a response that ends a stage or an exchange: all has to be answered by now."""
        if self.by is End.INITIATOR or self.refuses:
            return False
        return bool(self.note["T" if self.login else "F"])


class Talk:
    """All text of one connection: its login, and then one Text exchange after the other."""

    __slots__ = ("_aside", "_exchange", "_last", "_login", "_reading")

    def __init__(self) -> None:
        self._login = Course()
        self._exchange: Course | None = None
        self._last: Note | None = None
        self._reading: Reading | None = None
        self._aside = False  # an exchange was left without an end: its tag may still be used

    def __repr__(self) -> str:
        return f"<Talk {self._exchange or self._login!r}>"

    def read(self, moment: Moment) -> Reading | None:
        """Read the PDU of a moment, once; None for one that is no part of a login or a Text exchange.

        That is also a Login PDU in full feature phase, and a request that the target has to ignore.
        """
        if self._last is not moment.note:
            self._last = moment.note
            self._reading = self._read(moment)
        return self._reading

    def _read(self, moment: Moment) -> Reading | None:
        opcode, values = moment.opcode, moment.values
        if opcode in LOGINS:
            if moment.full_feature or moment.conn.phase is Phase.CLOSED:
                return None
            if opcode == Opcode.LOGIN_REQUEST:
                return self._request(moment, self._login, login=True)
            return self._response(moment, self._login, login=True)
        if not moment.full_feature:
            return None
        if opcode == Opcode.TEXT_REQUEST:
            if values["ITT"] == NO_TAG or self._ignored(moment):
                return None
            return self._request(moment, self._exchange_of(moment), login=False)
        if opcode == Opcode.TEXT_RESPONSE:
            return self._response(moment, self._exchange or _unknown(), login=False)
        if opcode == Opcode.REJECT:
            self._rejected(moment)
        return None

    def _ignored(self, moment: Moment) -> bool:
        """Tell whether a request counts for nothing: it was sent before, or is outside the window (4.2.2.1)."""
        values, session = moment.values, moment.session
        if values["I"]:
            return False
        if session.book.used(values["CmdSN"]):
            return True
        return not moment.sent and session.max_cmd is not None and lt(session.max_cmd, values["CmdSN"])

    def _exchange_of(self, moment: Moment) -> Course:
        """Find the exchange that a Text Request goes on with, or begins (RFC 7143 11.10.4)."""
        old, values = self._exchange, moment.values
        if values["TTT"] == NO_TAG:
            self._exchange = Course()
            self._aside = self._aside or (old is not None and old.response is not None and not old.response["F"])
            if old is not None:
                self._exchange.waiting += old.waiting
        elif old is None:
            self._exchange = _unknown()
        elif old.response is None or not _same_exchange(old.response, values):
            old.known = False
        assert self._exchange is not None
        return self._exchange

    def _request(self, moment: Moment, course: Course, *, login: bool) -> Reading:
        reading = Reading(moment, course, login=login)
        if not login and moment["TTT"] != NO_TAG:
            reading.strays = not (self._aside or (reading.response and _same_exchange(reading.response, moment.values)))
        if course.waiting:
            course.known = False
        course.first = course.first or moment.note
        course.request = moment.note
        course.waiting.append(moment.note)
        del course.waiting[:-_MOST_WAITING]
        self._take(moment, course, reading, lets_go_on=_continues(reading.response))
        return reading

    def _response(self, moment: Moment, course: Course, *, login: bool) -> Reading:
        itt = moment.values["ITT"]
        waiting = course.waiting if login else [note for note in course.waiting if note["ITT"] == itt]
        asked = waiting[0] if len(waiting) == 1 else None
        reading = Reading(moment, course, login=login, asked=asked)
        if asked is None or len(reading.waiting) > 1:
            course.known = False
        if waiting:
            course.waiting.remove(waiting[0])
        course.first_response = course.first_response or moment.note
        course.response = moment.note
        self._take(moment, course, reading, lets_go_on=_continues(asked))
        return reading

    def _take(self, moment: Moment, course: Course, reading: Reading, *, lets_go_on: bool) -> None:
        """Read the text of a PDU; `lets_go_on`: it has none of its own, for the other end has said only a part."""
        data = moment.data
        if data is None or not moment.conn.complete:
            course.known = False
        else:
            self._join(course, reading, data, more=bool(moment["C"]), lets_go_on=lets_go_on)
        reading.known = course.known
        reading.flawed = reading.by.other in course.flawed
        if reading.login:
            reading.place = Place(
                stage=moment["CSG"],
                leading=course.first is None or not course.first["TSIH"],
                discovery=course.ledger.value(End.INITIATOR, "SessionType") == "Discovery",
            )

    def _join(self, course: Course, reading: Reading, data: bytes, *, more: bool, lets_go_on: bool) -> None:
        joiner, ledger = course.joiners[reading.by], course.ledger
        reading.parts = joiner.count + 1
        try:
            whole = joiner.add(data, more=more)
        except TextError:
            course.known = False
            return
        if whole is None:
            return
        reading.whole = True
        pairs, reading.problems = inspect_text(whole)
        stage = reading.note["CSG"] if reading.login else None
        reading.said = ledger.hear(reading.by, pairs, reading.note, stage=stage)
        if any(not problem.key for problem in reading.problems):
            course.flawed.add(reading.by)
        course.turns[reading.by] += bool(whole) or not lets_go_on
        if ledger.full:
            course.known = False

    def _rejected(self, moment: Moment) -> None:
        """End the exchange whose request was rejected (RFC 7143 6.4)."""
        data, exchange = moment.data, self._exchange
        if data is None or exchange is None or len(data) < BHS_LENGTH:
            return
        header = Pdu(data[:BHS_LENGTH])
        if header.opcode != Opcode.TEXT_REQUEST:
            return
        left = [note for note in exchange.waiting if note["ITT"] != header["ITT"]]
        if len(left) < len(exchange.waiting):
            self._aside = True
            self._exchange = _unknown()
            self._exchange.waiting += left


def _unknown() -> Course:
    course = Course()
    course.known = False
    return course


def _same_exchange(response: Note, values: Mapping[str, int]) -> bool:
    """Tell whether a Text Request goes on where a response has asked it to."""
    return not response["F"] and response["TTT"] == values["TTT"] and response["ITT"] == values["ITT"]


def _continues(note: Note | None) -> bool:
    """Tell whether the text of a PDU goes on in the next one, so that the other end has nothing to say (6.2)."""
    return note is not None and bool(note["C"])


def heard(moment: Moment) -> Reading | None:
    """Read the Login or Text PDU of a moment."""
    return moment.conn.recall(Talk).read(moment)


def _listen(moment: Moment) -> None:
    heard(moment)


_SPOKEN = LOGINS | {Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE, Opcode.REJECT}

#: What keeps up with all text; each family that asks for readings has it.
LISTENERS = tuple(Observer(end=end, update=_listen, sent=_SPOKEN, given=_SPOKEN) for end in End)

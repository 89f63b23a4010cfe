"""Text in turns: the F and C bits, the tags of an exchange, and when there has to be no text (RFC 7143 6.2, 11.10)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import SINCE_5048
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.talks import LISTENERS, RESPONSES, Reading, heard
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_TEXT_RESPONSE = frozenset({Opcode.TEXT_RESPONSE})
_REQUESTS = frozenset({Opcode.LOGIN_REQUEST, Opcode.TEXT_REQUEST})
#: After so many seconds an initiator may give up a Text Request that a fault keeps from being answered (RFC 7143 7.12)
_GIVEN_UP = 1.0
_NEGOTIATE = codes.ASYNC_EVENT.value("NEGOTIATION_REQUEST")


# --- the target ------------------------------------------------------------------------------------------------------


def _tag_tells_the_end(moment: Moment) -> Outcome:
    """T-057: F, C and the Target Transfer Tag of a Text Response say the same; the task is that of the request."""
    if not moment.full_feature:
        return None
    final, tag = moment["F"], moment["TTT"]
    if moment["C"] and final:
        return Breach(text="F and C in one Text Response", clause="RFC 7143 11.11.2")
    if final and tag != NO_TAG:
        return Breach(text=f"TTT={tag:#x} with F=1", clause="RFC 7143 11.11.1")
    if not final and tag == NO_TAG:
        return Breach(text="TTT=0xffffffff with F=0", clause="RFC 7143 11.11.1")
    reading = heard(moment)
    if reading is not None and moment.conn.complete and len(reading.waiting) == 1 and reading.asked is None:
        request = reading.waiting[0]
        text = f"ITT={moment['ITT']:#x}, the request has {request['ITT']:#x}"
        return Breach(text=text, clause="RFC 7143 11.11.3", proof=(request,))
    return FINE


def _not_ended_alone(moment: Moment) -> Outcome:
    """T-058: a request with F=0 is not answered with F=1."""
    reading = heard(moment)
    if reading is None or reading.asked is None or reading.asked["F"] or not moment.conn.complete:
        return None
    return Breach(text="F=1 in answer to F=0", proof=(reading.asked,)) if moment["F"] else FINE


def _lets_go_on(moment: Moment) -> Outcome:
    """T-059: nothing is said to half a text."""
    reading = heard(moment)
    if reading is None or reading.refuses or not moment.conn.complete:
        return None
    if reading.asked is None or not reading.asked["C"]:
        return None
    if moment.length:
        return Breach(text=f"{moment.length} bytes in answer to C=1", proof=(reading.asked,))
    return FINE


# --- the initiator ---------------------------------------------------------------------------------------------------


def _goes_on_properly(moment: Moment) -> Outcome:
    """I-038: one Text Request at a time, with what the exchange has been begun with and the target has given."""
    login = moment.opcode == Opcode.LOGIN_REQUEST
    if not login and moment["C"] and moment["F"]:
        return Breach(text="F and C in one Text Request", clause="RFC 7143 11.10.2")
    reading = heard(moment)
    if reading is None or not moment.conn.complete:
        return None
    response = reading.response
    if login or _same_exchange(moment, reading):
        if response is not None and response["C"] and moment.length and not reading.waiting:
            text = f"{moment.length} bytes in answer to C=1"
            return Breach(text=text, clause="RFC 7143 6.2", proof=(response,))
        if login:
            return FINE if response is not None and response["C"] else None
    return _in_turn(moment, reading) or _copied(moment, reading) or FINE


def _same_exchange(moment: Moment, reading: Reading) -> bool:
    return moment["TTT"] != NO_TAG and not reading.strays


def _in_turn(moment: Moment, reading: Reading) -> Breach | None:
    """Look for an earlier request that was neither answered nor acknowledged, nor swallowed by a fault."""
    if moment.profile not in SINCE_5048:
        return None
    expected = moment.session.exp_cmd
    for note in reversed(reading.waiting):
        acknowledged = not note["I"] and (expected is None or lt(note["CmdSN"], expected))
        given_up = moment.conn.disturbed is not None and moment.at - note.at > _GIVEN_UP
        if not acknowledged and not given_up:
            return Breach(text="a second Text Request before the first was answered", proof=(note,))
    return None


def _copied(moment: Moment, reading: Reading) -> Breach | None:
    """Hold a request that goes on against the one and the response before it."""
    if moment["TTT"] == NO_TAG:
        return None
    request, response = reading.request, reading.response
    if reading.strays:
        proof = () if response is None else (response,)
        return Breach(text=f"TTT={moment['TTT']:#x} names no exchange", clause="RFC 7143 11.10.4", proof=proof)
    if request is None or response is None or request["ITT"] != moment["ITT"]:
        return None
    if moment["I"] != request["I"]:
        text = f"I={moment['I']} in an exchange with I={request['I']}"
        return Breach(text=text, clause="RFC 7143 11.10.3", proof=(request,))
    if moment["LUN"] != response["LUN"]:
        text = f"LUN={moment['LUN']:#x}, the response has {response['LUN']:#x}"
        return Breach(text=text, clause="RFC 7143 11.11.4", proof=(response,))
    return None


class _Invitation:
    """The Async Message that asks for a Text Request."""

    def __init__(self) -> None:
        self.note: Note | None = None


def _invited(moment: Moment) -> None:
    if moment["AsyncEvent"] == _NEGOTIATE:
        moment.conn.recall(_Invitation).note = moment.note


def _says_something(moment: Moment) -> Outcome:
    """I-049: an empty request only lets the target go on, asks for the next stage, or was asked for."""
    reading = heard(moment)
    if reading is None or moment.length or not moment.conn.complete:
        return None
    response = reading.response
    if moment["C"]:
        return Breach(text=f"an empty {moment.pdu.label} with C=1")
    if reading.login:
        if response is None:
            return None
        needed = response["C"] or moment["T"]
        return FINE if needed else Breach(text="an empty Login Request with T=0", proof=(response,))
    if moment["TTT"] != NO_TAG:
        return FINE if moment["F"] or (response is not None and response["C"]) else None
    if moment.conn.recall(_Invitation).note is not None:
        return FINE
    return Breach(text="an empty Text Request that begins an exchange")


FAMILY = Family(
    name="texts",
    title="Text Requests and Responses",
    rules=(
        Rule(
            id="T-057",
            title="A Text Response has F=1 and no Target Transfer Tag, or F=0 and one",
            severity=Severity.MUST,
            clause="RFC 7143 11.11",
            check=_tag_tells_the_end,
            sent=_TEXT_RESPONSE,
            why="Without a tag the initiator can only begin anew, and never gets the rest of a long answer.",
        ),
        Rule(
            id="T-058",
            title="A Text Request with F=0 is not answered with F=1",
            severity=Severity.MUST,
            clause="RFC 7143 11.11.1",
            check=_not_ended_alone,
            sent=_TEXT_RESPONSE,
            why="The target has ended a negotiation in which the initiator still has something to say.",
        ),
        Rule(
            id="T-059",
            title="Half a text (C=1) is answered with a response without data",
            severity=Severity.MUST,
            clause="RFC 7143 6.2",
            check=_lets_go_on,
            sent=RESPONSES,
            why="The target answers keys that it has only read a part of.",
        ),
        Rule(
            id="I-038",
            title="Text Requests go one at a time, and those of one exchange belong together",
            severity=Severity.MUST,
            clause="RFC 7143 6.2, RFC 7143 11.10",
            check=_goes_on_properly,
            sent=_REQUESTS,
            why="A target begins the exchange anew, or rejects the request, and what was negotiated is lost.",
        ),
        Rule(
            id="I-049",
            title="An empty Login or Text Request is sent only where there has to be one",
            severity=Severity.SHOULD,
            clause="RFC 7143 6.2",
            check=_says_something,
            sent=_REQUESTS,
            why="Both ends may go on asking each other for nothing until the login times out.",
        ),
    ),
    observers=(*LISTENERS, Observer(end=End.INITIATOR, update=_invited, given=frozenset({Opcode.ASYNC}))),
)

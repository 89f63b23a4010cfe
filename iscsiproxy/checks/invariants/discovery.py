"""Discovery sessions and SendTargets (RFC 7143 4.3, 7.4, appendix C)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import SINCE_5048
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, FROM_TARGET, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.answers import NOT_OFFERED, REJECT
from iscsiproxy.checks.scene.ledger import Role, Said
from iscsiproxy.checks.scene.talks import LISTENERS, Reading, heard
from iscsiproxy.errors import TextError
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.values import parse_number

__all__ = ["FAMILY"]

_REQUESTS = frozenset({Opcode.LOGIN_REQUEST, Opcode.TEXT_REQUEST})
_ANSWERS = frozenset({Opcode.TEXT_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.REJECT})
_SEND_TARGETS, _NAME, _ADDRESS = "SendTargets", "TargetName", "TargetAddress"
_CLOSE_SESSION = codes.LOGOUT_REASON.value("CLOSE_SESSION")
_MAX_TAG = 65535


# --- the target ------------------------------------------------------------------------------------------------------


def _lists_targets(moment: Moment) -> Outcome:
    """T-060: the answer is a list of records, each with the name first and addresses with their tags behind it."""
    reading = heard(moment)
    if reading is None or not (reading.known and reading.whole):
        return None
    asked = reading.ledger.said(End.INITIATOR, _SEND_TARGETS)
    if asked is None:
        return None
    alone = reading.ledger.keys(End.INITIATOR) == {_SEND_TARGETS}
    before = reading.ledger.said(End.TARGET, _NAME)
    named = before is not None and before.note is not moment.note
    for said in reading.said:
        if said.role is Role.REFUSAL and said.key != _SEND_TARGETS:
            continue
        if said.key == _NAME:
            named = True
            wrong = _wrong_target(moment, asked, said)
        elif said.key == _ADDRESS:
            wrong = _wrong_address(said, asked, named=named)
        elif said.key == _SEND_TARGETS:
            wrong = _wrong_refusal(reading, asked, said) if alone else None
        else:
            wrong = Breach(text=f"{said} among targets and addresses", proof=(asked.note,)) if alone else None
        if wrong is not None:
            return wrong
    return FINE if reading.said or moment["F"] else None


def _wrong_target(moment: Moment, asked: Said, said: Said) -> Breach | None:
    own = moment.session.target_name
    if moment.session.discovery or own is None:
        return None
    if said.value.casefold() != own.casefold():
        return Breach(text=f"{said} in the session with {own}", proof=(asked.note,))
    if asked.value == "All":
        # What is told is true, and known already.
        text = "SendTargets=All was answered in a normal session"
        return Breach(text=text, severity=Severity.SHOULD, proof=(asked.note,))
    return None


def _wrong_address(said: Said, asked: Said, *, named: bool) -> Breach | None:
    if not named:
        return Breach(text=f"{said} before any TargetName", proof=(asked.note,))
    _, comma, tag = said.value.rpartition(",")
    try:
        tagged = bool(comma) and parse_number(tag) <= _MAX_TAG
    except TextError:
        tagged = False
    if tagged:
        return None
    text = f"{said} without a portal group tag"
    return Breach(text=text, clause="RFC 7143 13.8, RFC 7143 appendix C", proof=(asked.note,))


def _wrong_refusal(reading: Reading, asked: Said, said: Said) -> Breach | None:
    must = "All" if reading.place.discovery else ""
    if said.role is not Role.REFUSAL or said.value != REJECT or asked.value != must:
        return None
    kind = "discovery" if reading.place.discovery else "normal"
    return Breach(text=f"{asked} was rejected in a {kind} session", proof=(asked.note,))


def _only_what_was_asked(moment: Moment) -> Outcome:
    """T-062: a target says nothing in discovery but answers."""
    if not moment.session.discovery or not moment.full_feature:
        return None
    if moment.opcode in _ANSWERS:
        return FINE
    return Breach(text=f"a {moment.pdu.label} in a discovery session")


# --- the initiator ---------------------------------------------------------------------------------------------------


def _send_targets_alone(moment: Moment) -> Outcome:
    """I-039: SendTargets is the one key of one Text Request."""
    reading = heard(moment)
    if reading is None or not (reading.known and reading.whole):
        return None
    if not any(said.key == _SEND_TARGETS for said in reading.said):
        return None
    if reading.login:
        return Breach(text="SendTargets in a login")
    if len(reading.said) > 1:
        return Breach(text=f"SendTargets with {len(reading.said) - 1} other keys")
    if reading.parts > 1:
        return Breach(text=f"SendTargets in {reading.parts} Text Requests")
    return FINE


def _only_discovers(moment: Moment) -> Outcome:
    """I-040: a discovery session is for SendTargets, and is closed as a whole."""
    if not moment.session.discovery or not moment.full_feature:
        return None
    if moment.opcode == Opcode.LOGOUT_REQUEST:
        if moment["ReasonCode"] == _CLOSE_SESSION:
            return FINE
        return Breach(text=f"logout for {codes.LOGOUT_REASON.text(moment['ReasonCode'])} in a discovery session")
    if moment.opcode == Opcode.LOGIN_REQUEST:
        return None
    if moment.opcode == Opcode.NOP_OUT and _has_to_be(moment):
        return None
    if moment.opcode != Opcode.TEXT_REQUEST:
        return Breach(text=f"a {moment.pdu.label} in a discovery session")
    reading = heard(moment)
    if reading is None or not (reading.known and reading.whole):
        return None
    for said in reading.said:
        if said.key != _SEND_TARGETS and said.value not in NOT_OFFERED:
            return Breach(text=f"{said} in a discovery session")
    return FINE


def _has_to_be(moment: Moment) -> bool:
    """Tell whether a NOP-Out answers a ping, or takes the place of what was rejected (RFC 7143 11.18, 7.3)."""
    if moment["ITT"] == NO_TAG:
        return moment["TTT"] != NO_TAG
    book = moment.session.book
    return not moment["I"] and moment["CmdSN"] != book.next and book.used(moment["CmdSN"]) is False


FAMILY = Family(
    name="discovery",
    title="Discovery sessions and SendTargets",
    rules=(
        Rule(
            id="T-060",
            title="SendTargets is answered by target records alone, each address with its portal group tag",
            severity=Severity.MUST,
            clause="RFC 7143 appendix C",
            check=_lists_targets,
            sent=frozenset({Opcode.TEXT_RESPONSE}),
            why="Initiators make their list of portals of this; an address without its target or its tag is lost or"
            " merged with another.",
        ),
        Rule(
            id="T-062",
            title="In a discovery session a target sends Text and Logout Responses, and rejects the rest",
            severity=Severity.SHOULD,
            clause="RFC 7143 7.4.3",
            check=_only_what_was_asked,
            sent=FROM_TARGET,
            profiles=SINCE_5048,
            why="Initiators have little more than a SendTargets parser for these sessions.",
        ),
        Rule(
            id="I-039",
            title="SendTargets is the only key of a single Text Request in full feature phase",
            severity=Severity.MUST,
            clause="RFC 7143 appendix C",
            check=_send_targets_alone,
            sent=_REQUESTS,
            why="What a target answers to a mixture is open, and the list of targets may be missing.",
        ),
        Rule(
            id="I-040",
            title="A discovery session is used for SendTargets only, and is logged out as a session",
            severity=Severity.MUST,
            clause="RFC 7143 4.3",
            check=_only_discovers,
            sent=FROM_INITIATOR,
            why="The target has to reject everything else.",
        ),
    ),
    observers=LISTENERS,
)

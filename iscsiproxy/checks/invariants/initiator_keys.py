"""What an initiator says of text keys: who it is, what it offers, its answers (RFC 7143 6.1 to 6.4, 12, 13)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.pairs import (
    ill_formed,
    left_open,
    repeated,
    reserved,
    wrong_answer,
    wrong_place,
    wrong_value,
)
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.answers import NOT_OFFERED
from iscsiproxy.checks.scene.ledger import Role, Said
from iscsiproxy.checks.scene.talks import LISTENERS, RESPONSES, Reading, heard
from iscsiproxy.session.params import Kind
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_LOGIN_REQUEST = frozenset({Opcode.LOGIN_REQUEST})
_REQUESTS = frozenset({Opcode.LOGIN_REQUEST, Opcode.TEXT_REQUEST})


def _read(moment: Moment) -> Reading | None:
    """Read a PDU whose text is whole, and of a negotiation that is known from its beginning."""
    reading = heard(moment)
    return reading if reading is not None and reading.known and reading.whole else None


def _says_who(moment: Moment) -> Outcome:
    """I-046: the first text of a login has the names, and says at once that the session is for discovery."""
    reading = _read(moment)
    if reading is None:
        return None
    if reading.turn:
        late = next((said for said in reading.said if str(said) == "SessionType=Discovery"), None)
        if late is None or late.role is not Role.DECLARATION:
            return None
        proof = () if reading.first is None else (reading.first,)
        return Breach(text=f"{late} after the first request", severity=Severity.SHOULD, proof=proof, key=late.key)
    keys = reading.ledger.keys(End.INITIATOR)
    if "InitiatorName" not in keys:
        return Breach(text="no InitiatorName in the first request", key="InitiatorName")
    if "TargetName" not in keys and not reading.place.discovery:
        return Breach(text="no TargetName in the first request of a normal session", key="TargetName")
    return FINE


def _negotiates(moment: Moment) -> Outcome:
    """I-047: each key once, where it may stand, with a value that it may have or that answers the target's offer."""
    reading = _read(moment)
    if reading is None:
        return None
    if not moment.sent:
        return left_open(reading, End.TARGET, known=True)
    for said in reading.said:
        if said.key == "SendTargets" and reading.login:
            continue  # I-039
        breach = repeated(said, reading) or wrong_place(said, reading)
        breach = breach or wrong_answer(said, reading, moment.profile)
        breach = breach or (None if _proposes_reserved(said) else wrong_value(said))
        if breach is not None:
            return breach
    return FINE if reading.said else None


def _proposes_reserved(said: Said) -> bool:
    """Tell whether a list has an item that may only answer (RFC 7143 6.2)."""
    if said.role is not Role.OFFER or said.known is None or said.known.kind is not Kind.LIST:
        return False
    return not NOT_OFFERED.isdisjoint(said.value.split(","))


def _uses_words_right(moment: Moment) -> Outcome:
    """I-048: text is well-formed, reserved words only answer, and what is not known is answered NotUnderstood."""
    reading = _read(moment)
    if reading is None:
        return None
    if not moment.sent:
        return left_open(reading, End.TARGET, known=False)
    breach = ill_formed(reading)
    for said in reading.said:
        breach = breach or reserved(said, reading, moment.profile)
        if breach is None and _proposes_reserved(said):
            text = f"{said} proposes a word that may only answer"
            breach = Breach(text=text, clause="RFC 7143 6.2", key=said.key)
    return breach or (FINE if reading.said else None)


FAMILY = Family(
    name="initiator_keys",
    title="Text keys of the initiator",
    rules=(
        Rule(
            id="I-046",
            title="The first text of a login names the initiator and the target, and a discovery session as such",
            severity=Severity.MUST,
            clause="RFC 7143 6.3, RFC 7143 13.21",
            check=_says_who,
            sent=_LOGIN_REQUEST,
            why="A target that does not know who comes to what cannot choose what to negotiate, and refuses.",
        ),
        Rule(
            id="I-047",
            title="An initiator says each key once, where it may stand, and answers what the target offers",
            severity=Severity.MUST,
            clause="RFC 7143 6.2, RFC 7143 6.3, RFC 7143 13",
            check=_negotiates,
            sent=_REQUESTS,
            given=RESPONSES,
            why="A target that looks refuses the login; one that does not may go on with other parameters.",
        ),
        Rule(
            id="I-048",
            title="Text is well-formed, reserved words are only answers, and unknown keys are answered NotUnderstood",
            severity=Severity.MUST,
            clause="RFC 7143 6.1, RFC 7143 6.2",
            check=_uses_words_right,
            sent=_REQUESTS,
            given=RESPONSES,
            why="The target waits for an answer, or takes a word for an offer.",
        ),
    ),
    observers=LISTENERS,
)

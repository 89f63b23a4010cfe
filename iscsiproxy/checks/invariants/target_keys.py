"""What a target says of text keys: its answers, its own offers, each key in its place (RFC 7143 6.1 to 6.4, 12, 13)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.pairs import (
    ill_formed,
    left_open,
    repeated,
    reserved,
    unknown,
    wrong_answer,
    wrong_place,
    wrong_value,
)
from iscsiproxy.checks.profiles import SINCE_5048
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.answers import IRRELEVANT, wants_answer
from iscsiproxy.checks.scene.ledger import Role, Said
from iscsiproxy.checks.scene.talks import LISTENERS, RESPONSES, Reading, heard
from iscsiproxy.session.params import KEYS
from iscsiproxy.wire.opcodes import End

__all__ = ["FAMILY"]

#: Status-Class of a login that is refused for what the initiator did (RFC 7143 11.13.5)
_INITIATOR_ERROR = 2


def _read(moment: Moment) -> Reading | None:
    """Read a response whose text is whole, and of a negotiation that is known from its beginning."""
    reading = heard(moment)
    return reading if reading is not None and reading.known and reading.whole and not reading.refuses else None


def _last_asks_nothing(moment: Moment) -> Outcome:
    """T-066: the last response of a stage or an exchange has nothing that needs an answer."""
    reading = _read(moment)
    if reading is None or not reading.closes:
        return None
    for said in reading.said:
        if said.role is Role.OFFER and said.known is not None and wants_answer(said.known, said.value):
            bit = "T" if reading.login else "F"
            clause = "RFC 7143 6.3, RFC 7143 11.13.6" if reading.login else "RFC 7143 11.11.1"
            return Breach(text=f"{said} is offered with {bit}=1", clause=clause, key=said.key)
    return FINE if reading.said else None


def _answers(moment: Moment) -> Outcome:
    """T-069: every offer is answered, with a value that it allows; what is declared is a possible value."""
    reading = _read(moment)
    if reading is None:
        return None
    for said in reading.said:
        breach = wrong_answer(said, reading, moment.profile) or wrong_value(said)
        if breach is not None:
            return breach
    breach = left_open(reading, End.INITIATOR, known=True) or _relevant_burst(reading)
    if breach is not None:
        return breach
    spoken = any(said.role in (Role.ANSWER, Role.DECLARATION, Role.OFFER) for said in reading.said)
    return FINE if spoken else None


def _relevant_burst(reading: Reading) -> Breach | None:
    """Find FirstBurstLength=Irrelevant in a session that will have unsolicited data (RFC 7143 13.14)."""
    answer = reading.ledger.answer("FirstBurstLength")
    if answer is None or answer.by is End.INITIATOR or answer.value != IRRELEVANT or not reading.final:
        return None
    if reading.place.discovery or not reading.place.leading:
        return None
    settled = {name: reading.ledger.settled(name) or KEYS[name].default for name in ("InitialR2T", "ImmediateData")}
    if settled["InitialR2T"] == "Yes" and settled["ImmediateData"] == "No":
        return None
    words = ", ".join(f"{name}={value}" for name, value in settled.items())
    clause = "RFC 7143 6.2, RFC 7143 13.14"
    return Breach(text=f"{answer} with {words}", clause=clause, proof=(answer.note,), key=answer.key)


def _once(moment: Moment) -> Outcome:
    """T-070: the target says each key once, and does not accept one that the initiator says again."""
    reading = heard(moment)
    if reading is None or not reading.known:
        return None
    again = _said_again(reading)
    if again is not None and reading.refuses:
        return FINE if moment["Status-Class"] == _INITIATOR_ERROR else None
    if again is not None:
        text = f"{again} was accepted, though the initiator had said {again.to or again.key} before"
        clause = "RFC 7143 6.3" if reading.login else "RFC 7143 6.4"
        earlier = () if again.to is None or again.to.note is again.note else (again.to.note,)
        return Breach(text=text, clause=clause, proof=(again.note, *earlier), key=again.key)
    if reading.refuses or not reading.whole:
        return None
    for said in reading.said:
        breach = repeated(said, reading)
        if breach is not None:
            return breach
    return FINE if reading.said else None


def _said_again(reading: Reading) -> Said | None:
    """Give the key that the request said again which this response answers."""
    latest = reading.ledger.latest[End.INITIATOR]
    return next((said for said in latest if said.note is reading.asked and repeated(said, reading) is not None), None)


def _understands(moment: Moment) -> Outcome:
    """T-071: what all have to know is understood, what nobody has to know is answered, and so is what was not."""
    reading = _read(moment)
    if reading is None:
        return None
    breach = _accepts_not_understood(moment, reading)
    for said in reading.said:
        breach = breach or reserved(said, reading, moment.profile)
    breach = breach or left_open(reading, End.INITIATOR, known=False)
    return breach or (FINE if reading.said else None)


def _accepts_not_understood(moment: Moment, reading: Reading) -> Breach | None:
    """Find a login that goes on though the initiator does not understand what it has to (RFC 7143 6.2)."""
    if not reading.login or moment.profile not in SINCE_5048:
        return None
    for said in reading.ledger.latest[End.INITIATOR]:
        if said.note is reading.asked and unknown(said, reading, moment.profile):
            text = f"{said} was accepted, which is a protocol error"
            return Breach(text=text, proof=(said.note,), key=said.key)
    return None


def _in_its_place(moment: Moment) -> Outcome:
    """T-072: a key is said by who may say it, in its stage, phase and kind of session."""
    reading = _read(moment)
    if reading is None or not reading.said:
        return None
    for said in reading.said:
        breach = wrong_place(said, reading)
        if breach is not None:
            return breach
    return FINE


def _well_formed(moment: Moment) -> Outcome:
    """T-073: text is a list of pairs within the limits."""
    reading = heard(moment)
    if reading is None or not (reading.known and reading.whole) or not (reading.said or reading.problems):
        return None
    return ill_formed(reading) or FINE


FAMILY = Family(
    name="target_keys",
    title="Text keys of the target",
    rules=(
        Rule(
            id="T-066",
            title="A Login Response with T=1, or a Text Response with F=1, has no key that needs an answer",
            severity=Severity.MUST,
            clause="RFC 7143 6.3, RFC 7143 11.13.6, RFC 7143 11.11.1",
            check=_last_asks_nothing,
            sent=RESPONSES,
            why="There is no request left that could answer: what holds is open.",
        ),
        Rule(
            id="T-069",
            title="Every offer of the initiator is answered, with a value that the offer allows",
            severity=Severity.MUST,
            clause="RFC 7143 6.2.1, RFC 7143 6.2.2",
            check=_answers,
            sent=RESPONSES,
            why="The two ends go on with different parameters.",
        ),
        Rule(
            id="T-070",
            title="No key is said twice in a negotiation, and a login in which the initiator does so is refused",
            severity=Severity.MUST,
            clause="RFC 7143 6.3, RFC 7143 6.4",
            check=_once,
            sent=RESPONSES,
            why="Which of the two values holds is open, and the two ends may differ.",
        ),
        Rule(
            id="T-071",
            title="NotUnderstood answers every key that is not known, and no key of the standard",
            severity=Severity.MUST,
            clause="RFC 7143 6.2",
            check=_understands,
            sent=RESPONSES,
            why="The initiator waits for an answer, or has to take a key for refused on which it depends.",
        ),
        Rule(
            id="T-072",
            title="A key is said in its stage, phase and kind of session, by an end that may say it",
            severity=Severity.MUST,
            clause="RFC 7143 6.3, RFC 7143 12, RFC 7143 13",
            check=_in_its_place,
            sent=RESPONSES,
            why="Initiators end a login over a key that they do not expect there.",
        ),
        Rule(
            id="T-073",
            title="Text is a list of key=value pairs, each with its NUL, within the limits of keys and values",
            severity=Severity.MUST,
            clause="RFC 7143 6.1",
            check=_well_formed,
            sent=RESPONSES,
            why="Parsers differ in what they make of the rest.",
        ),
    ),
    observers=LISTENERS,
)

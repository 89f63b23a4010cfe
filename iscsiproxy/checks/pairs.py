"""What may be wrong with one pair of a text, whoever says it (RFC 7143 6.1 to 6.4, 12, 13).

Each function looks for one fault and gives it as a breach without severity, or None. Sayings of keys of other standards
and of the authentication methods are looked at only as far as RFC 7143 speaks of them.
"""

from __future__ import annotations

from dataclasses import replace

from iscsiproxy.checks.profiles import SINCE_7143, Profile
from iscsiproxy.checks.rules import Breach, Severity
from iscsiproxy.checks.scene.answers import (
    MARKERS,
    NOT_OFFERED,
    NOT_UNDERSTOOD,
    flaw,
    inadmissible,
    may_be_unknown,
    method_key,
    misplaced,
)
from iscsiproxy.checks.scene.ledger import Role, Said
from iscsiproxy.checks.scene.talks import Reading
from iscsiproxy.session.params import Kind
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import MAX_KEY

__all__ = ["ill_formed", "left_open", "repeated", "reserved", "unknown", "wrong_answer", "wrong_place", "wrong_value"]

#: Prefix of the keys that no standard has (RFC 7143 13.22)
_PRIVATE = "X-"


def repeated(said: Said, reading: Reading) -> Breach | None:
    """Find a key that the same end has said in this negotiation before (RFC 7143 6.3, 6.4)."""
    if said.role is not Role.REPEAT or method_key(said.key):
        return None
    if said.key == "TargetName" and reading.ledger.said(End.INITIATOR, "SendTargets") is not None:
        return None
    proof = () if said.to is None or said.to.note is said.note else (said.to.note,)
    clause = "RFC 7143 6.3" if reading.login else "RFC 7143 6.4"
    return Breach(text=f"{said.key} was said before, as {said.to or said}", clause=clause, proof=proof, key=said.key)


def wrong_answer(said: Said, reading: Reading, profile: Profile) -> Breach | None:
    """Find an answer that the offer does not allow, and one to what is no offer (RFC 7143 6.2)."""
    key, to = said.known, said.to
    if key is None or to is None:
        return None
    proof = (to.note,)
    if said.role is Role.REFUSAL:
        refused = reading.login and said.value != NOT_UNDERSTOOD and not method_key(key.name)
        if not refused or flaw(key, to.value) or _misplaced(to, reading):
            return None
        text = f"{said} answers {to}, which is a declaration"
        return Breach(text=text, clause="RFC 7143 6.2", proof=proof, key=said.key)
    if said.role is not Role.ANSWER:
        return None
    if _misplaced(to, reading):
        return None  # what had no place there may be turned down, or not be heard at all
    wrong = inadmissible(key, to.value, said.value, place=reading.place, markers=profile not in SINCE_7143)
    if not wrong:
        return None
    clause = "RFC 7143 6.2.1" if key.kind is Kind.LIST else "RFC 7143 6.2.2"
    if key.section == "RFC 7143 13.25":
        clause = key.section
    severity = Severity.SHOULD if key.name in MARKERS else None
    return Breach(text=f"{said} answers {to}: {wrong}", clause=clause, severity=severity, proof=proof, key=said.key)


def wrong_value(said: Said) -> Breach | None:
    """Find an offer or a declaration of what the key cannot be."""
    if said.known is None or said.role not in (Role.OFFER, Role.DECLARATION):
        return None
    wrong = flaw(said.known, said.value)
    return Breach(text=f"{said}: {wrong}", clause=said.known.section, key=said.key) if wrong else None


def wrong_place(said: Said, reading: Reading) -> Breach | None:
    """Find a key at the wrong time, or from the wrong end; words that only answer may stand anywhere."""
    if said.value in NOT_OFFERED:
        return None
    if said.known is None:
        if not (said.key.startswith(_PRIVATE) and reading.place.discovery):
            return None
        return Breach(text=f"{said} in a discovery session", clause="RFC 7143 13.22", key=said.key)
    if said.role is Role.ANSWER and reading.login and said.to is not None and _misplaced(said.to, reading):
        return None  # the offer was out of its place, and has to be answered
    wrong = misplaced(said.known, said.by, reading.place)
    if not wrong:
        return None
    return Breach(text=f"{said} is {wrong}", clause=f"RFC 7143 6.3, {said.known.section}", key=said.key)


def reserved(said: Said, reading: Reading, profile: Profile) -> Breach | None:
    """Find a word that may only answer where there is nothing to answer, and NotUnderstood of what all have to know."""
    if said.role is Role.LOOSE:
        last = reading.asked if reading.by is End.TARGET else reading.response
        if reading.flawed or (last is not None and last["C"]):
            return None  # it may answer what stands in half a text, to which nothing is to be said (RFC 7143 6.2)
        text = f"{said} answers nothing that the other end has offered or declared"
        return Breach(text=text, clause="RFC 7143 6.2", key=said.key)
    if not unknown(said, reading, profile):
        return None
    assert said.to is not None
    return Breach(text=f"{said} answers {said.to}", clause="RFC 7143 6.2", proof=(said.to.note,), key=said.key)


def unknown(said: Said, reading: Reading, profile: Profile) -> bool:
    """Tell whether a saying is NotUnderstood of a key that every implementation has to understand (RFC 7143 6.2)."""
    key, to = said.known, said.to
    if said.value != NOT_UNDERSTOOD or said.role not in (Role.ANSWER, Role.REFUSAL) or key is None or to is None:
        return False
    if may_be_unknown(key.name):
        return False
    if profile is Profile.RFC3720:
        # There it counts only for keys that were used as they should be, and this one came later.
        return key.name != "TaskReporting" and not _misplaced(to, reading)
    return True


def left_open(reading: Reading, of: End, *, known: bool) -> Breach | None:
    """Find offers that nobody has answered when a stage or an exchange ends: of known keys, or of all others.

    What came with the last response itself could not be answered any more, and what had no place there need not be.
    """
    if not reading.closes or (not known and reading.flawed):
        return None
    offers = [
        said
        for said in reading.ledger.unanswered(of)
        if said.note is not reading.note
        and (said.known is not None) is known
        and not (_odd(said) or _misplaced(said, reading))
    ]
    if not offers:
        return None
    reading.ledger.give_up(offers)
    names = ", ".join(map(str, offers[:3])) + (" and more" if len(offers) > 3 else "")
    return Breach(text=f"no answer to {names}", clause="RFC 7143 6.2", proof=(offers[0].note,), key=offers[0].key)


def _misplaced(said: Said, reading: Reading) -> bool:
    """Tell whether a key was out of its place when it was said."""
    return said.known is not None and bool(misplaced(said.known, said.by, replace(reading.place, stage=said.stage)))


def _odd(said: Said) -> bool:
    """Tell whether the name of a key is none that the standard allows, so that nobody has to answer it."""
    if said.known is not None:
        return False
    return not said.key.isascii() or len(said.key) > MAX_KEY or not said.key[:1].isupper()


def ill_formed(reading: Reading) -> Breach | None:
    """Find text that is not in the format; a key that the other end has named so first is not its fault."""
    for problem in reading.problems:
        if not problem.key or reading.ledger.said(reading.by.other, problem.key) is None:
            return Breach(text=str(problem), clause="RFC 7143 6.1", key=problem.key or "")
    return None

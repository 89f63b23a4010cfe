"""What may be said of a text key: its values, the answers to an offer, and where it may stand (RFC 7143 6.2, 12, 13).

Functions that look for a fault give it in words, without the key and the value in front of it, or nothing if there is
none. What the standard leaves open is no fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from iscsiproxy.errors import TextError
from iscsiproxy.session.params import KEYS, Key, Kind, Stage, Use
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.values import parse_number

__all__ = ["INTERVALS", "IRRELEVANT", "MARKERS", "NOT_OFFERED", "NOT_UNDERSTOOD", "REJECT", "REPEATABLE", "Place",
           "flaw", "foreign", "inadmissible", "may_be_unknown", "method_key", "misplaced", "wants_answer"]  # fmt: skip

IRRELEVANT: Final = "Irrelevant"
NOT_UNDERSTOOD: Final = "NotUnderstood"
REJECT: Final = "Reject"
#: The answers that are never offered (RFC 7143 6.2)
NOT_OFFERED = frozenset({REJECT, IRRELEVANT, NOT_UNDERSTOOD})
#: The one key that may come several times (RFC 7143 6.3, 13.8)
REPEATABLE = frozenset({"TargetAddress"})
#: Obsolete keys with answers of their own (RFC 7143 13.25)
MARKERS = frozenset({"IFMarker", "OFMarker"})
INTERVALS = frozenset({"IFMarkInt", "OFMarkInt"})

#: Keys that no implementation may answer with NotUnderstood, but for these (RFC 7143 6.2, 11.12.10, 12, 13.24, 13.26)
_OPTIONAL = frozenset({"iSCSIProtocolLevel", "X#NodeArchitecture"})
_METHODS = ("CHAP_", "KRB_", "SRP_", "TargetAuth")
#: Keys that always matter in a leading login of a normal session: Irrelevant is no answer (RFC 7143 13)
_ALWAYS_RELEVANT = frozenset(
    {"AuthMethod", "HeaderDigest", "DataDigest", "InitialR2T", "ImmediateData", "MaxBurstLength", "MaxConnections",
     "ErrorRecoveryLevel"}
)  # fmt: skip
#: Keys with a simple value whose every admissible offer has to be answered with a value (RFC 7143 6.2.2)
_NEVER_REJECTED = frozenset(
    {"InitialR2T", "ImmediateData", "MaxBurstLength", "MaxConnections", "ErrorRecoveryLevel", "DefaultTime2Wait",
     "DefaultTime2Retain", "DataPDUInOrder", "DataSequenceInOrder"}
)  # fmt: skip
_NUMBERS = (Kind.MIN, Kind.MAX)
_BOOLEANS = (Kind.AND, Kind.OR)
#: The answer that an offer makes unnecessary (RFC 7143 6.2.2)
_DECIDED = {Kind.AND: "No", Kind.OR: "Yes"}
#: The longest iSCSI name, in bytes (RFC 7143 4.2.7.1)
_MAX_NAME = 223
_MAX_TAG = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a key is said: `stage` is the CSG of a login PDU, None in full feature phase; `leading`: TSIH 0."""

    stage: int | None
    leading: bool
    discovery: bool


def method_key(name: str) -> bool:
    """Tell whether a key belongs to one authentication method, which has rules of its own (RFC 7143 12.1)."""
    return name.startswith(_METHODS)


def foreign(key: Key) -> bool:
    """Tell whether a key belongs to another standard, which is not judged here (RFC 7145 6)."""
    return key.section.startswith("RFC 7145")


def may_be_unknown(name: str) -> bool:
    """Tell whether NotUnderstood may be said of a key: those that everybody has to know it may not."""
    key = KEYS.get(name)
    if key is None or foreign(key) or name in _OPTIONAL:
        return True
    return method_key(name) and not name.startswith("CHAP_")


def wants_answer(key: Key | None, offer: str) -> bool:
    """Tell whether an offer has to be answered: a declaration has not, nor a boolean that decides alone (6.2.2)."""
    if key is None:
        return True
    return key.kind is not Kind.DECLARED and not foreign(key) and _DECIDED.get(key.kind) != offer


def _number(value: str) -> int | None:
    try:
        return parse_number(value)
    except TextError:
        return None


def _bounded(key: Key, value: str) -> str:
    number = _number(value)
    if number is None:
        return "not a number"
    if key.low is not None and key.high is not None and not key.low <= number <= key.high:
        return f"not between {key.low} and {key.high}"
    return ""


def _name(value: str) -> str:
    return "" if 0 < len(value.encode("utf-8", "surrogateescape")) <= _MAX_NAME else f"not 1 to {_MAX_NAME} bytes"


def _tag(value: str) -> str:
    number = _number(value)
    return "" if number is not None and number <= _MAX_TAG else f"not a number up to {_MAX_TAG}"


#: What the declared keys may say that have no bounds
_DECLARED: dict[str, Callable[[str], str]] = {
    "SessionType": lambda value: "" if value in ("Normal", "Discovery") else "neither Normal nor Discovery",
    "InitiatorName": _name,
    "TargetName": _name,
    "TargetPortalGroupTag": _tag,
}


def flaw(key: Key, value: str) -> str:
    """Say why a value cannot be offered or declared of a key (RFC 7143 12, 13)."""
    if foreign(key) or method_key(key.name) or key.name in INTERVALS:
        return ""
    if key.kind is Kind.LIST:
        items = value.split(",")
        if "" in items:
            return "a list with an empty item"
        reserved = next((item for item in items if item in NOT_OFFERED), None)
        return f"a list that proposes {reserved}" if reserved else ""
    if key.kind in _BOOLEANS:
        return "" if value in ("Yes", "No") else "neither Yes nor No"
    if key.kind in _NUMBERS or key.low is not None:
        return _bounded(key, value)
    check = _DECLARED.get(key.name)
    return check(value) if check else ""


def inadmissible(key: Key, offer: str, answer: str, *, place: Place, markers: bool = False) -> str:
    """Say why `answer` may not be answered to `offer` of a negotiated key (RFC 7143 6.2.1, 6.2.2).

    NotUnderstood is left to who knows the profile. `markers`: the obsolete keys are still negotiated (RFC 3720).
    """
    if foreign(key) or answer == NOT_UNDERSTOOD:
        return ""
    if key.name in MARKERS | INTERVALS and not markers:
        allowed = (REJECT,) if key.name in INTERVALS else (REJECT, "No")
        return "" if answer in allowed else f"obsolete, to be answered with {' or '.join(allowed)}"
    normal = place.leading and not place.discovery
    if answer == IRRELEVANT:
        return "it matters in every normal session" if normal and key.name in _ALWAYS_RELEVANT else ""
    if answer == REJECT:
        refusable = not normal or key.name not in _NEVER_REJECTED or flaw(key, offer)
        return "" if refusable else "that is admissible"
    if key.kind is Kind.LIST:
        return _unlisted(key, offer, answer)
    if place.discovery and key.name == "ErrorRecoveryLevel":
        return "" if _number(answer) == 0 else "it is 0 in every discovery session"
    wrong = flaw(key, answer)
    if wrong:
        return wrong
    if flaw(key, offer):
        return ""
    if key.kind in _BOOLEANS:
        return f"{offer} decides it" if offer == _DECIDED[key.kind] != answer else ""
    return _beyond(key, offer, answer)


def _unlisted(key: Key, offer: str, answer: str) -> str:
    items = offer.split(",")
    if key.name in INTERVALS or answer in items:
        return ""
    number = _number(answer)
    if number is not None and any(_number(item) == number for item in items):
        return ""
    return "not one of those"


def _beyond(key: Key, offer: str, answer: str) -> str:
    offered, answered = _number(offer), _number(answer)
    if offered is None or answered is None:
        return ""
    if key.kind is Kind.MIN and answered > offered:
        return "more than that"
    return "less than that" if key.kind is Kind.MAX and answered < offered else ""


def misplaced(key: Key, by: End, place: Place) -> str:
    """Say why a key may not be said there by that end (RFC 7143 6.3, 12, 13)."""
    if foreign(key):
        return ""
    if by not in key.senders:
        return f"not for the {by} to say"
    if place.stage is None:
        at_any_time = key.use in (Use.ALL, Use.FULL_FEATURE) or (
            by is End.TARGET and key.name in ("TargetName", "TargetAddress")
        )
        return "" if at_any_time else "for a login only"
    if key.use is Use.FULL_FEATURE or (by is End.TARGET and key.name == "TargetName"):
        return "for the full feature phase only"
    if key.use is Use.LEADING and not place.leading:
        return "for the leading login of a session only"
    if key.stage is Stage.SECURITY and place.stage != 0:
        return "for the security stage only"
    return "for the operational stage only" if key.stage is Stage.OPERATIONAL and place.stage == 0 else ""

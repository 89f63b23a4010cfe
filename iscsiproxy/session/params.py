"""The text keys: what each is, and what comes out of an offer and its answer (RFC 7143 6.2, 12, 13).

A *negotiated* key is offered by one end and answered by the other; how the two values make one is its `Kind`. A
*declared* key is said by one end about itself and wants no answer. `KEYS` has every key of RFC 7143, RFC 7144 and RFC
7145, and the obsolete ones of RFC 3720; others are negotiated like lists: the answer is what holds.

Values are text. Numbers may be written as decimal or hexadecimal constants (RFC 7143 6.1); settled ones are decimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from iscsiproxy.errors import TextError
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import RESERVED_VALUES
from iscsiproxy.wire.values import parse_number

__all__ = ["KEYS", "Key", "Kind", "Scope", "Stage", "Use", "normal", "settle"]


class Kind(Enum):
    """How a key gets its value (RFC 7143 6.2.1, 6.2.2)."""

    LIST = "list"  #: the answerer picks one of what was offered
    AND = "and"  #: Yes if both say Yes
    OR = "or"  #: Yes if one says Yes
    MIN = "min"  #: the smaller number
    MAX = "max"  #: the larger number
    DECLARED = "declared"  #: what an end says holds for that end


class Scope(Enum):
    """What a key is about (RFC 7143 13)."""

    CONNECTION = "connection"
    SESSION = "session"


class Use(Enum):
    """When a key may be sent (RFC 7143 13)."""

    LEADING = "leading login only"
    LOGIN = "any login"
    ALL = "login and full feature phase"
    FULL_FEATURE = "full feature phase only"


class Stage(Enum):
    """In which login stages a key may be sent (RFC 7143 12, 13)."""

    SECURITY = "security"
    OPERATIONAL = "operational"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One text key.

    `default` holds until something else is settled or declared; None if there is none. `low` and `high` bound a number.
    `discovery` tells whether the key means anything in a Discovery session. `secret`: its value is never kept.
    """

    name: str
    kind: Kind
    use: Use
    senders: frozenset[End]
    scope: Scope
    section: str
    default: str | None = None
    low: int | None = None
    high: int | None = None
    stage: Stage = Stage.OPERATIONAL
    discovery: bool = True
    secret: bool = False


_I, _T = frozenset({End.INITIATOR}), frozenset({End.TARGET})
_BOTH = _I | _T
_LIST, _AND, _OR, _MIN, _MAX, _DECLARED = Kind
_LEADING, _LOGIN, _ALL, _FULL_FEATURE = Use
_CONNECTION, _SESSION = Scope
_SECURITY, _OPERATIONAL, _ANY = Stage
#: The longest data segment or burst (RFC 7143 13.12 to 13.14)
_LONGEST = (1 << 24) - 1


def _login(name: str, kind: Kind, senders: frozenset[End] = _BOTH, *, secret: bool = False) -> Key:
    """Make a key of an authentication method (RFC 7143 12.1)."""
    return Key(
        name=name,
        kind=kind,
        use=_LOGIN,
        senders=senders,
        scope=_CONNECTION,
        section="RFC 7143 12.1",
        stage=_SECURITY,
        secret=secret,
    )


def _said(name: str, use: Use, senders: frozenset[End], section: str, default: str | None = None) -> Key:
    """Make a declared key that every stage may have."""
    return Key(
        name=name,
        kind=_DECLARED,
        use=use,
        senders=senders,
        scope=_SESSION,
        section=section,
        default=default,
        stage=_ANY,
    )


def _digest(name: str) -> Key:
    return Key(
        name=name, kind=_LIST, use=_LOGIN, senders=_BOTH, scope=_CONNECTION, section="RFC 7143 13.1", default="None"
    )


def _operational(
    name: str,
    kind: Kind,
    section: str,
    default: str | None,
    low: int | None = None,
    high: int | None = None,
    *,
    discovery: bool = False,
) -> Key:
    """Make a key of the leading login that both ends negotiate for the session."""
    return Key(
        name=name,
        kind=kind,
        use=_LEADING,
        senders=_BOTH,
        scope=_SESSION,
        section=section,
        default=default,
        low=low,
        high=high,
        discovery=discovery,
    )


def _other(name: str, kind: Kind, section: str, senders: frozenset[End] = _BOTH, default: str | None = None) -> Key:
    """Make a key that this program lets pass and has no use for."""
    return Key(name=name, kind=kind, use=_LOGIN, senders=senders, scope=_CONNECTION, section=section, default=default)


_ROWS = (
    _login("AuthMethod", _LIST),
    _login("CHAP_A", _LIST),
    _login("CHAP_I", _DECLARED),
    _login("CHAP_C", _DECLARED, secret=True),
    _login("CHAP_N", _DECLARED),
    _login("CHAP_R", _DECLARED, secret=True),
    _login("KRB_AP_REQ", _DECLARED, _I, secret=True),
    _login("KRB_AP_REP", _DECLARED, _T, secret=True),
    _login("SRP_U", _DECLARED, _I),
    _login("SRP_GROUP", _LIST),
    _login("SRP_A", _DECLARED, _I, secret=True),
    _login("SRP_B", _DECLARED, _T, secret=True),
    _login("SRP_M", _DECLARED, _I, secret=True),
    _login("SRP_HM", _DECLARED, _T, secret=True),
    _login("SRP_s", _DECLARED, _T, secret=True),
    _login("TargetAuth", _DECLARED, _I),
    _digest("HeaderDigest"),
    _digest("DataDigest"),
    _operational("MaxConnections", _MIN, "RFC 7143 13.2", "1", 1, 65535),
    _said("SendTargets", _FULL_FEATURE, _I, "RFC 7143 13.3"),
    _said("TargetName", _LOGIN, _BOTH, "RFC 7143 13.4"),
    _said("InitiatorName", _LOGIN, _I, "RFC 7143 13.5"),
    _said("TargetAlias", _ALL, _T, "RFC 7143 13.6"),
    _said("InitiatorAlias", _ALL, _I, "RFC 7143 13.7"),
    _said("TargetAddress", _LOGIN, _T, "RFC 7143 13.8"),
    _said("TargetPortalGroupTag", _LOGIN, _T, "RFC 7143 13.9"),
    _operational("InitialR2T", _OR, "RFC 7143 13.10", "Yes"),
    _operational("ImmediateData", _AND, "RFC 7143 13.11", "Yes"),
    Key(
        name="MaxRecvDataSegmentLength",
        kind=_DECLARED,
        use=_ALL,
        senders=_BOTH,
        scope=_CONNECTION,
        section="RFC 7143 13.12",
        default="8192",
        low=512,
        high=_LONGEST,
    ),
    _operational("MaxBurstLength", _MIN, "RFC 7143 13.13", "262144", 512, _LONGEST),
    _operational("FirstBurstLength", _MIN, "RFC 7143 13.14", "65536", 512, _LONGEST),
    _operational("DefaultTime2Wait", _MAX, "RFC 7143 13.15", "2", 0, 3600, discovery=True),
    _operational("DefaultTime2Retain", _MIN, "RFC 7143 13.16", "20", 0, 3600, discovery=True),
    _operational("MaxOutstandingR2T", _MIN, "RFC 7143 13.17", "1", 1, 65535),
    _operational("DataPDUInOrder", _OR, "RFC 7143 13.18", "Yes"),
    _operational("DataSequenceInOrder", _OR, "RFC 7143 13.19", "Yes"),
    _operational("ErrorRecoveryLevel", _MIN, "RFC 7143 13.20", "0", 0, 2, discovery=True),
    _said("SessionType", _LEADING, _I, "RFC 7143 13.21", "Normal"),
    _operational("TaskReporting", _LIST, "RFC 7143 13.23", "RFC3720"),
    _operational("iSCSIProtocolLevel", _MIN, "RFC 7144 7.1.1", "1", 0, 31),
    _said("X#NodeArchitecture", _LEADING, _BOTH, "RFC 7143 13.26"),
    # Obsolete, from RFC 3720 appendix A
    _other("IFMarker", _AND, "RFC 7143 13.25", default="No"),
    _other("OFMarker", _AND, "RFC 7143 13.25", default="No"),
    _other("IFMarkInt", _LIST, "RFC 7143 13.25"),
    _other("OFMarkInt", _LIST, "RFC 7143 13.25"),
    # iSER
    _other("RDMAExtensions", _AND, "RFC 7145 6", default="No"),
    _other("InitiatorRecvDataSegmentLength", _MIN, "RFC 7145 6"),
    _other("TargetRecvDataSegmentLength", _MIN, "RFC 7145 6"),
    _other("MaxOutstandingUnexpectedPDUs", _DECLARED, "RFC 7145 6"),
    _other("MaxAHSLength", _DECLARED, "RFC 7145 6"),
    _other("TaggedBufferForSolicitedDataOnly", _DECLARED, "RFC 7145 6", _I),
    _other("iSERHelloRequired", _DECLARED, "RFC 7145 6", _I),
)

#: Every key by name.
KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for key in _ROWS})

_NUMBERS = (Kind.MIN, Kind.MAX)


def normal(key: Key, value: str) -> str | None:
    """Give the value of a key as it is compared: numbers decimal; None for one that cannot be its value.

    Bounds are not looked at: what both ends say holds, admissible or not.
    """
    if key.kind in _NUMBERS or key.low is not None:
        try:
            return str(parse_number(value))
        except TextError:
            return None
    if key.kind in (Kind.AND, Kind.OR):
        return value if value in ("Yes", "No") else None
    if value in RESERVED_VALUES and value != "None":
        return None
    return value


def settle(key: Key, offer: str, answer: str | None) -> str | None:
    """Give what an offer and its answer come to; None if nothing is settled and the default holds.

    An answer is missing as long as it has not come (None), and may stay away where the offer decides alone: No of an
    AND, Yes of an OR (RFC 7143 6.2.2). `Reject`, `Irrelevant` and `NotUnderstood` settle nothing (RFC 7143 6.2). Where
    an answer breaks the rule of its key, the rule is applied to both values, and of a list the answer holds.
    """
    offered = normal(key, offer)
    if answer is None:
        decided = {Kind.AND: "No", Kind.OR: "Yes"}.get(key.kind)
        return decided if offered == decided else None
    answered = normal(key, answer)
    if answered is None or key.kind is Kind.LIST:
        return answered
    if offered is None:
        return None
    if key.kind in _NUMBERS:
        smaller, larger = sorted((offered, answered), key=int)
        return smaller if key.kind is Kind.MIN else larger
    if key.kind is Kind.AND:
        return "Yes" if offered == answered == "Yes" else "No"
    return "Yes" if "Yes" in (offered, answered) else "No"

"""The text keys of login and full feature phase, and how each is negotiated (RFC 7143 6.2, 13).

`KEYS` is one literal table. A key is *declared* by one end and asks for no answer, or *negotiated*: the one end offers,
the other answers, and the answer settles it. `respond` is the side of the one who answers, `judge` of the one who reads
the answer to what it has offered; `settle` makes `Parameters` of what was agreed. None of this knows who is initiator
and who is target but for `Key.sender`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from iscsiproxy.errors import TextError
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.values import parse_boolean, parse_list, parse_number

__all__ = [
    "IRRELEVANT",
    "KEYS",
    "METHOD_KEYS",
    "NOT_UNDERSTOOD",
    "NO_VALUES",
    "REJECT",
    "REPEATABLE",
    "Answer",
    "Key",
    "Kind",
    "NegotiationError",
    "Use",
    "declared_number",
    "is_private",
    "judge",
    "respond",
    "settle",
]

#: The answers that are no values (RFC 7143 6.2)
REJECT = "Reject"
IRRELEVANT = "Irrelevant"
NOT_UNDERSTOOD = "NotUnderstood"
#: They answer, and are never said first (RFC 7143 6.2)
NO_VALUES = frozenset({REJECT, IRRELEVANT, NOT_UNDERSTOOD})
#: The one key that may come several times (RFC 7143 6.3, 13.8)
REPEATABLE = frozenset({"TargetAddress"})
#: The largest 24-bit length (RFC 7143 13.12)
_MAX_LENGTH = (1 << 24) - 1


class NegotiationError(TextError):
    """A key was used as the standard does not allow; the message begins with the key."""


class Kind(Enum):
    """How the outcome is found (RFC 7143 6.2, and the Result Function of each key)."""

    LIST = "the first value of the offer that the other takes"
    AND = "Yes if both say so"
    OR = "Yes if one says so"
    MINIMUM = "the lower number"
    MAXIMUM = "the higher number"
    DECLARED = "what the one says"
    OBSOLETE = "nothing: markers are gone, and this is no iSER"


class Use(Enum):
    """When a key may be used (RFC 7143 13)."""

    LEADING = "LO"  #: the leading login of a session only
    LOGIN = "IO"  #: any login
    ALL = "ALL"
    TEXT = "FFPO"  #: full feature phase only


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. `low` and `high` bound its numbers; `default` holds where nobody named it.

    `section` is one of RFC 7143, unless it names another. `sender` is the end that may send it first, None for both.
    `security` tells that it may be sent in the security stage. `discovery` is False where a discovery session answers
    it with Irrelevant. `answer` is the fixed answer of an obsolete key.
    """

    name: str
    kind: Kind
    use: Use
    section: str
    sender: End | None = None
    low: int = 0
    high: int = 0
    default: str | None = None
    security: bool = False
    discovery: bool = True
    answer: str = ""

    @property
    def negotiated(self) -> bool:
        """Whether the key asks for an answer."""
        return self.kind is not Kind.DECLARED


class Answer(NamedTuple):
    """What is said to an offer, None for nothing, and the value that both ends now have, None for no change."""

    text: str | None
    agreed: str | None


def _table(*keys: Key) -> Mapping[str, Key]:
    return {key.name: key for key in keys}


def _boolean(name: str, kind: Kind, section: str, default: str, *, discovery: bool = False) -> Key:
    return Key(name=name, kind=kind, use=Use.LEADING, section=section, default=default, discovery=discovery)


def _number(name: str, kind: Kind, section: str, low: int, high: int, default: int, *, discovery: bool = False) -> Key:
    return Key(
        name=name,
        kind=kind,
        use=Use.LEADING,
        section=section,
        low=low,
        high=high,
        default=str(default),
        discovery=discovery,
    )


def _declared(name: str, use: Use, section: str, sender: End | None, *, security: bool = True) -> Key:
    return Key(name=name, kind=Kind.DECLARED, use=use, section=section, sender=sender, security=security)


def _obsolete(name: str, section: str, answer: str) -> Key:
    return Key(name=name, kind=Kind.OBSOLETE, use=Use.LOGIN, section=section, answer=answer)


#: Every key that the standard knows, but for `METHOD_KEYS`.
KEYS: Mapping[str, Key] = _table(
    Key(name="AuthMethod", kind=Kind.LIST, use=Use.LOGIN, section="12.1", security=True),
    Key(name="HeaderDigest", kind=Kind.LIST, use=Use.LOGIN, section="13.1", default="None"),
    Key(name="DataDigest", kind=Kind.LIST, use=Use.LOGIN, section="13.1", default="None"),
    _number("MaxConnections", Kind.MINIMUM, "13.2", 1, 65535, 1),
    _declared("SendTargets", Use.TEXT, "13.3", End.INITIATOR),
    _declared("TargetName", Use.LOGIN, "13.4", None),
    _declared("InitiatorName", Use.LOGIN, "13.5", End.INITIATOR),
    _declared("TargetAlias", Use.ALL, "13.6", End.TARGET),
    _declared("InitiatorAlias", Use.ALL, "13.7", End.INITIATOR),
    _declared("TargetAddress", Use.ALL, "13.8", End.TARGET),
    _declared("TargetPortalGroupTag", Use.LOGIN, "13.9", End.TARGET),
    _boolean("InitialR2T", Kind.OR, "13.10", "Yes"),
    _boolean("ImmediateData", Kind.AND, "13.11", "Yes"),
    Key(
        name="MaxRecvDataSegmentLength",
        kind=Kind.DECLARED,
        use=Use.ALL,
        section="13.12",
        low=512,
        high=_MAX_LENGTH,
        default="8192",
    ),
    _number("MaxBurstLength", Kind.MINIMUM, "13.13", 512, _MAX_LENGTH, 262144),
    _number("FirstBurstLength", Kind.MINIMUM, "13.14", 512, _MAX_LENGTH, 65536),
    _number("DefaultTime2Wait", Kind.MAXIMUM, "13.15", 0, 3600, 2, discovery=True),
    _number("DefaultTime2Retain", Kind.MINIMUM, "13.16", 0, 3600, 20, discovery=True),
    _number("MaxOutstandingR2T", Kind.MINIMUM, "13.17", 1, 65535, 1),
    _boolean("DataPDUInOrder", Kind.OR, "13.18", "Yes"),
    _boolean("DataSequenceInOrder", Kind.OR, "13.19", "Yes"),
    _number("ErrorRecoveryLevel", Kind.MINIMUM, "13.20", 0, 2, 0, discovery=True),
    _declared("SessionType", Use.LEADING, "13.21", End.INITIATOR),
    Key(name="TaskReporting", kind=Kind.LIST, use=Use.LEADING, section="13.23", default="RFC3720", discovery=False),
    _number("iSCSIProtocolLevel", Kind.MINIMUM, "13.24", 0, 31, 1),
    _declared("X#NodeArchitecture", Use.LEADING, "13.26", None),
    # Markers are gone: no key of theirs may be answered NotUnderstood, nor agreed to (RFC 7143 13.25).
    _obsolete("IFMarker", "13.25", "No"),
    _obsolete("OFMarker", "13.25", "No"),
    _obsolete("IFMarkInt", "13.25", REJECT),
    _obsolete("OFMarkInt", "13.25", REJECT),
    # Without RDMAExtensions=Yes, which needs an RDMA transport, all other keys of iSER are irrelevant.
    _obsolete("RDMAExtensions", "RFC 7145 6", "No"),
    _obsolete("InitiatorRecvDataSegmentLength", "RFC 7145 6", IRRELEVANT),
    _obsolete("TargetRecvDataSegmentLength", "RFC 7145 6", IRRELEVANT),
    _declared("MaxOutstandingUnexpectedPDUs", Use.LEADING, "RFC 7145 6", None, security=False),
    _declared("MaxAHSLength", Use.LEADING, "RFC 7145 6", None, security=False),
    _declared("TaggedBufferForSolicitedDataOnly", Use.LEADING, "RFC 7145 6", End.INITIATOR, security=False),
    _declared("iSERHelloRequired", Use.LEADING, "RFC 7145 6", End.INITIATOR, security=False),
)

#: The keys of the authentication methods, which a method reads in its own order (RFC 7143 12.1)
METHOD_KEYS = frozenset(
    {
        *("CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"),
        *("KRB_AP_REQ", "KRB_AP_REP"),
        *("SRP_U", "SRP_GROUP", "SRP_A", "SRP_B", "SRP_M", "SRP_HM", "SRP_s"),
        "TargetAuth",
    }
)


def is_private(key: str) -> bool:
    """Tell whether a key is a private or public extension (RFC 7143 13.22, 13.26)."""
    return key.startswith(("X-", "X#"))


def declared_number(key: Key, value: str) -> int:
    """Read a declared number. Raises NegotiationError if it is none, or out of the key's range."""
    try:
        number = parse_number(value)
    except TextError as error:
        raise NegotiationError(f"{key.name}: {error}") from None
    if not key.low <= number <= key.high:
        raise NegotiationError(f"{key.name}={value}: expected {key.low}..{key.high}")
    return number


def respond(key: Key, offered: str, ours: str) -> Answer:
    """Answer an offer of the other end; `ours` is what we would have, a list for lists.

    A value that cannot be, or of which we take nothing, is answered with Reject and changes nothing (RFC 7143 6.2).
    Raises NegotiationError where the offer is one of the answers that are never offered.
    """
    if offered in NO_VALUES:
        raise NegotiationError(f"{key.name}={offered} without an offer of ours")
    if key.kind is Kind.OBSOLETE:
        return Answer(key.answer, None)
    try:
        agreed = _outcome(key, offered, ours)
    except TextError:
        return Answer(REJECT, None)
    return Answer(agreed, agreed) if agreed is not None else Answer(REJECT, None)


def _outcome(key: Key, offered: str, ours: str) -> str | None:
    if key.kind is Kind.LIST:
        acceptable = parse_list(ours)
        return next((value for value in parse_list(offered) if value in acceptable), None)
    if key.kind is Kind.AND:
        return _yes(parse_boolean(offered) and parse_boolean(ours))
    if key.kind is Kind.OR:
        return _yes(parse_boolean(offered) or parse_boolean(ours))
    theirs, mine = declared_number(key, offered), declared_number(key, ours)
    return str(min(theirs, mine) if key.kind is Kind.MINIMUM else max(theirs, mine))


def _yes(value: bool) -> str:
    return "Yes" if value else "No"


def judge(key: Key, offered: str, answer: str) -> str | None:
    """Read the answer to our offer: the value that both ends now have, or None if it changes nothing.

    Raises NegotiationError for an answer that the offer does not allow (RFC 7143 6.2.1).
    """
    if answer in NO_VALUES:
        if answer == NOT_UNDERSTOOD and key.name not in _MAY_BE_UNKNOWN and not key.section.startswith("RFC"):
            raise NegotiationError(f"{key.name}={answer}: a key that everybody has to know")
        return None
    if key.kind is Kind.OBSOLETE:
        return None
    wrong = NegotiationError(f"{key.name}={answer}: not an answer to {offered}")
    if key.kind is Kind.LIST:
        if answer not in parse_list(offered):
            raise wrong
        return answer
    try:
        if key.kind in (Kind.AND, Kind.OR):
            decided = "No" if key.kind is Kind.AND else "Yes"
            parse_boolean(answer)
            if offered == decided != answer:
                raise wrong
            return answer
        number, limit = declared_number(key, answer), parse_number(offered)
    except NegotiationError:
        raise
    except TextError as error:
        raise NegotiationError(f"{key.name}: {error}") from None
    if number > limit if key.kind is Kind.MINIMUM else number < limit:
        raise wrong
    return str(number)


#: Keys that a peer of an older standard may not know (RFC 7143 13.23, 13.24), beside those of other standards
_MAY_BE_UNKNOWN = frozenset({"TaskReporting", "iSCSIProtocolLevel", "X#NodeArchitecture"})


def settle(agreed: Mapping[str, str], *, theirs: int | None = None, ours: int | None = None) -> Parameters:
    """Make parameters of what was agreed; the other keys have their defaults.

    `theirs` and `ours` are the MaxRecvDataSegmentLength that each end declared, in bytes, None if it did not.
    Values that only make sense together are brought together: FirstBurstLength is at most MaxBurstLength (RFC 7143
    13.14).
    """
    values = {name: key.default for name, key in KEYS.items() if key.default is not None} | dict(agreed)
    numbers = {name: parse_number(values[name]) for name, key in KEYS.items() if key.high and name in values}
    maximum = numbers["MaxBurstLength"]
    default = int(KEYS["MaxRecvDataSegmentLength"].default or 0)
    return Parameters(
        header_digest=values["HeaderDigest"] == "CRC32C",
        data_digest=values["DataDigest"] == "CRC32C",
        max_connections=numbers["MaxConnections"],
        initial_r2t=values["InitialR2T"] == "Yes",
        immediate_data=values["ImmediateData"] == "Yes",
        send_segment=default if theirs is None else theirs,
        receive_segment=default if ours is None else ours,
        max_burst_length=maximum,
        first_burst_length=min(numbers["FirstBurstLength"], maximum),
        time2wait=numbers["DefaultTime2Wait"],
        time2retain=numbers["DefaultTime2Retain"],
        max_outstanding_r2t=numbers["MaxOutstandingR2T"],
        data_pdu_in_order=values["DataPDUInOrder"] == "Yes",
        data_sequence_in_order=values["DataSequenceInOrder"] == "Yes",
        error_recovery_level=numbers["ErrorRecoveryLevel"],
        task_reporting=str(values["TaskReporting"]),
        protocol_level=numbers["iSCSIProtocolLevel"],
    )

"""The text keys of the RFCs and what their values are (RFC 7143 12, 13; RFC 7144 7; RFC 7145 6).

Only what the language has to know: whether a value is a number, and which words it may be. Keys that are not here, and
private ones, have text values.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["KEYS", "is_private", "key_words"]

_NUMBER: tuple[str, ...] = ()
_BOOLEAN = ("Yes", "No")
_DIGEST = ("None", "CRC32C")

#: Key name to the words of its value; an empty tuple is a number, None any text.
KEYS: Mapping[str, tuple[str, ...] | None] = MappingProxyType(
    {
        "AuthMethod": ("CHAP", "SRP", "KRB5", "None"),
        "CHAP_A": None,
        "CHAP_C": None,
        "CHAP_I": None,
        "CHAP_N": None,
        "CHAP_R": None,
        "DataDigest": _DIGEST,
        "DataPDUInOrder": _BOOLEAN,
        "DataSequenceInOrder": _BOOLEAN,
        "DefaultTime2Retain": _NUMBER,
        "DefaultTime2Wait": _NUMBER,
        "ErrorRecoveryLevel": _NUMBER,
        "FirstBurstLength": _NUMBER,
        "HeaderDigest": _DIGEST,
        "IFMarkInt": None,
        "IFMarker": _BOOLEAN,
        "ImmediateData": _BOOLEAN,
        "InitialR2T": _BOOLEAN,
        "InitiatorAlias": None,
        "InitiatorName": None,
        "InitiatorRecvDataSegmentLength": _NUMBER,
        "KRB_AP_REP": None,
        "KRB_AP_REQ": None,
        "MaxAHSLength": _NUMBER,
        "MaxBurstLength": _NUMBER,
        "MaxConnections": _NUMBER,
        "MaxOutstandingR2T": _NUMBER,
        "MaxOutstandingUnexpectedPDUs": _NUMBER,
        "MaxRecvDataSegmentLength": _NUMBER,
        "OFMarkInt": None,
        "OFMarker": _BOOLEAN,
        "RDMAExtensions": _BOOLEAN,
        "SRP_A": None,
        "SRP_B": None,
        "SRP_GROUP": None,
        "SRP_HM": None,
        "SRP_M": None,
        "SRP_TargetAuth": _BOOLEAN,
        "SRP_U": None,
        "SRP_s": None,
        "SendTargets": None,
        "SessionType": ("Normal", "Discovery"),
        "TaggedBufferForSolicitedDataOnly": _BOOLEAN,
        "TargetAddress": None,
        "TargetAlias": None,
        "TargetAuth": _BOOLEAN,
        "TargetName": None,
        "TargetPortalGroupTag": _NUMBER,
        "TargetRecvDataSegmentLength": _NUMBER,
        "TaskReporting": ("RFC3720", "ResponseFence", "FastAbort"),
        "X#NodeArchitecture": None,
        "iSCSIProtocolLevel": _NUMBER,
        "iSERHelloRequired": _BOOLEAN,
    }
)


def is_private(key: str) -> bool:
    """Tell whether `key` is a private or extension key: X-, and X#, Y-, Z- and their kin (RFC 7143 13.22)."""
    return key[:1] in ("X", "Y", "Z") and key[1:2] in ("-", "#")


def key_words(key: str) -> tuple[str, ...] | None:
    """Give the words of a key's value: empty for a number, None for any text."""
    return KEYS.get(key)

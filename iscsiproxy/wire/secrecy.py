"""Keep CHAP answers out of everything people read (RFC 7143 12.1.3).

CHAP_R is a proof made of the secret: whoever has it and the challenge can guess the secret offline. Logs, journals and
listings show text data only behind `mask_secrets`.
"""

from __future__ import annotations

import re

__all__ = ["MASK", "SECRET_KEYS", "mask_secrets", "may_be_inside_pair"]

#: The keys whose values are never shown (RFC 7143 12.1.3)
SECRET_KEYS = frozenset({"CHAP_R"})
#: What each byte of such a value becomes
MASK = b"*"

_SECRET = re.compile(
    rb"(?:^|(?<=\0))(?:" + b"|".join(key.encode() for key in sorted(SECRET_KEYS)) + rb")=([^\0]*)", re.IGNORECASE
)
#: A key that no piece of a hexadecimal or base64 value can be taken for: it has a character of neither.
_NO_PIECE = re.compile(rb"[A-Z][^=\0]*[.\-@_#]")
#: Keys of letters and digits alone, which might be such a piece if they were not these (RFC 7143 12, 13; RFC 7145 6)
_PLAIN_KEYS = frozenset(
    b"AuthMethod DataDigest DataPDUInOrder DataSequenceInOrder DefaultTime2Retain DefaultTime2Wait ErrorRecoveryLevel"
    b" FirstBurstLength HeaderDigest IFMarkInt IFMarker ImmediateData InitialR2T InitiatorAlias InitiatorName"
    b" InitiatorRecvDataSegmentLength MaxAHSLength MaxBurstLength MaxConnections MaxOutstandingR2T"
    b" MaxOutstandingUnexpectedPDUs MaxRecvDataSegmentLength OFMarkInt OFMarker RDMAExtensions SendTargets SessionType"
    b" TaggedBufferForSolicitedDataOnly TargetAddress TargetAlias TargetAuth TargetName TargetPortalGroupTag"
    b" TargetRecvDataSegmentLength TaskReporting iSCSIProtocolLevel iSERHelloRequired".split()
)


def mask_secrets(data: bytes, *, inside_pair: bool = False) -> bytes:
    """Replace secret values in text data, byte for byte, so that lengths and offsets stay.

    `inside_pair`: the data begins in the middle of a pair that an earlier PDU began (C bit), so that all up to the
    first NUL may belong to a secret, and is masked too.
    """
    if inside_pair:
        end = data.find(b"\0")
        end = len(data) if end < 0 else end
        data = MASK * end + data[end:]
    return _SECRET.sub(lambda match: match[0][: match.start(1) - match.start()] + MASK * len(match[1]), data)


def may_be_inside_pair(data: bytes) -> bool:
    """Tell whether text data may begin inside a secret pair, for those who did not see the PDU before.

    Errs on the side of yes: only a first key that cannot be a piece of the key or the value of a secret gives no.
    """
    first = data.partition(b"\0")[0]
    key, equals, _ = first.partition(b"=")
    if not data:
        return False
    if not equals or any(secret.encode().endswith(key) and key != secret.encode() for secret in SECRET_KEYS):
        return True
    return key not in _PLAIN_KEYS and not _NO_PIECE.match(key)

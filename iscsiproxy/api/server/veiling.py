"""PDUs, and what faults have changed in them, without what must stay secret.

Whoever sees a login from its begin knows where the proof of a secret is, in whatever pieces; here single PDUs are
shown. So of a Login PDU nothing is shown that may be such a piece: of what a fault has changed, only header fields and
keys that are no secret; of its data, nothing once a fault has changed single bytes of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.journal.secrets import veil_change
from iscsiproxy.session.events import Change
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import LABELS, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.secrecy import MASK, mask_secrets, may_be_inside_pair

__all__ = ["summed_up", "veiled", "veiled_changes", "veiled_data", "veiled_pdu"]

_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)
_TEXTS = (*_LOGIN, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE)
_LABELS = tuple(LABELS[opcode] for opcode in _LOGIN)


def veiled_data(pdu: Pdu, changes: Iterable[Change] = ()) -> bytes:
    """Give the data of a PDU, byte for byte, without secrets; `changes` have made it of another one."""
    changes = tuple(changes)
    if _in_pieces(pdu, changes):
        return MASK * len(pdu.data)
    if pdu.opcode in _TEXTS:
        return mask_secrets(pdu.data, inside_pair=may_be_inside_pair(pdu.data))
    return mask_secrets(pdu.data) if _of_login(pdu, changes) else pdu.data


def veiled_pdu(pdu: Pdu, changes: Iterable[Change] = ()) -> Pdu:
    """Give a PDU that can be put into words: those hide the secrets of a text by themselves, and of no other."""
    changes = tuple(changes)
    if pdu.opcode in _TEXTS and not _in_pieces(pdu, changes):
        return pdu
    data = veiled_data(pdu, changes)
    return pdu if data == pdu.data else Pdu(pdu.bhs, pdu.ahs, pdu.header_digest, data, pdu.pad, pdu.data_digest)


def summed_up(pdu: Pdu, changes: Iterable[Change] = ()) -> str:
    """Sum up a PDU in a line."""
    return summary(veiled_pdu(pdu, changes))


def veiled(changes: Iterable[Change], pdu: Pdu) -> tuple[str, ...]:
    """Put into words what has made `pdu` of another one."""
    changes = tuple(changes)
    return tuple(str(veil_change(change, bearing=_of_login(pdu, changes))) for change in changes)


def veiled_changes(changes: Iterable[Change], label: str) -> tuple[Change, ...]:
    """Give what an act has changed; `label` sums up the PDU it had in hand."""
    return tuple(veil_change(change, bearing=label.startswith(_LABELS)) for change in changes)


def _in_pieces(pdu: Pdu, changes: tuple[Change, ...]) -> bool:
    """Tell whether the text of a login may no longer be cut where it was."""
    return _of_login(pdu, changes) and any(change.what.startswith("data+") for change in changes)


def _of_login(pdu: Pdu, changes: tuple[Change, ...]) -> bool:
    """Tell whether a PDU is of a login, or may have been before a fault gave it another opcode."""
    return pdu.opcode in _LOGIN or any(change.what in ("Opcode", "BHS.0") for change in changes)

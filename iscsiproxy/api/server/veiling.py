"""What faults have changed, in words, without what must stay secret.

A change is told by what was there before and what is there now. In a login that may be a proof of a secret, or a piece
of one, whatever the change is called; who has not seen the login from its begin cannot know. So of a Login PDU only
header fields and keys that are no secret are told.
"""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.journal.secrets import veil_change
from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import LABELS, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["veiled", "veiled_changes"]

_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)
_LABELS = tuple(LABELS[opcode] for opcode in _LOGIN)


def veiled(changes: Iterable[Change], pdu: Pdu) -> tuple[str, ...]:
    """Put into words what has made `pdu` of another one."""
    changes = tuple(changes)
    # One that has another opcode by now may have been a login.
    bearing = pdu.opcode in _LOGIN or any(change.what in ("Opcode", "BHS.0") for change in changes)
    return tuple(str(veil_change(change, bearing=bearing)) for change in changes)


def veiled_changes(changes: Iterable[Change], label: str) -> tuple[Change, ...]:
    """Give what an act has changed; `label` sums up the PDU it had in hand."""
    bearing = label.startswith(_LABELS)
    return tuple(veil_change(change, bearing=bearing) for change in changes)

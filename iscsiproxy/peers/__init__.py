"""The embedded peers: a target and an initiator of our own, conforming unless told otherwise.

They stand at the ends of the wire that the proxy is in the middle of, and share the wire format with it (`wire/`) and
nothing else: what they know of sessions, sequence numbers and negotiation they know on their own, so that a mistake in
the proxy's bookkeeping is not repeated, and hidden, in theirs.

- `stream` carries PDUs over any trio stream; it is the only thing both ends do with a socket.
- `parameters` and `keys` are what login negotiates (RFC 7143 13), `chap` how the two prove who they are.
- `scsi` is the device server behind the target: logical units, task sets, reservations. No I/O but that of its medium.
- `target` is the iSCSI target: a core without I/O that takes PDUs and gives PDUs, and a server around it.
- `initiator` is the iSCSI initiator: sessions, commands, recovery, and raw access.
- `workload` is what it does when nothing else is asked of it: a load that verifies every block.

Each deviation from the standard that a peer can be told to show is a *quirk*: one small class beside the core that
overrides one decision of its `conduct`. The core itself has no branch that deviates.

ErrorRecoveryLevel is 0 and a session has one connection.
"""

from __future__ import annotations

__all__: list[str] = []

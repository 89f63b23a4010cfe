"""The embedded target: what RFC 7143 asks of one, and nothing else unless a quirk is switched on.

The core does no I/O and reads no clock: `connection.Connection` takes PDUs and gives PDUs, `node.Node` knows the
targets and the sessions, `login` and `text` hold the negotiations, `conduct` the decisions that a quirk may change.
`server` puts it on the network.
"""

from __future__ import annotations

__all__: list[str] = []

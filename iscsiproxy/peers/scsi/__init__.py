"""The device server behind the embedded target: logical units that do what SPC-4, SBC-3 and SAM-5 say.

`command` holds what passes between the transport and the device server, `device` is its front. Nothing here knows a
PDU, a socket or the time; everything happens in the call that asks for it.
"""

from __future__ import annotations

__all__: list[str] = []

"""The embedded initiator: sessions with any target, and raw access to the wire.

`session.open_session` logs in and gives commands, task management, Text and NOP; `recovery` brings a lost session back.
`quirks` are the known ways of other initiators.
"""

from __future__ import annotations

__all__: list[str] = []

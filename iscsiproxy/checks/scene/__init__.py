"""What a judge knows of a leg: its connections, sessions and tasks, with every number and byte that rules ask for."""

from __future__ import annotations

__all__: list[str] = []

"""Scenario runs: find the files, arm them, drive the peers."""

from __future__ import annotations

__all__: list[str] = []

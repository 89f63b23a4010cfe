"""Tests of the embedded initiator: scripted targets on memory streams, and the pure parts as dialogues."""

from __future__ import annotations

__all__: list[str] = []

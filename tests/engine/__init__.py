"""Tests of the engine: feed it PDUs and events, expect what the relay would do."""

from __future__ import annotations

__all__: list[str] = []

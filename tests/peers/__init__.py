"""Tests of the embedded peers: feed them PDUs, expect theirs."""

from __future__ import annotations

__all__: list[str] = []

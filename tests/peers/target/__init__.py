"""Tests of the embedded target."""

from __future__ import annotations

__all__: list[str] = []

"""Tests of the device server: give it a command, expect its data, its status and what it did to the medium."""

from __future__ import annotations

__all__: list[str] = []

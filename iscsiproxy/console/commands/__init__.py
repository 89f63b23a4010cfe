"""The commands, a module a family: typed functions that ask the proxy, and give an answer back."""

from __future__ import annotations

__all__: list[str] = []

"""What the answers of the proxy look like: each function makes lines of a model, for a screen of so many columns."""

from __future__ import annotations

__all__: list[str] = []

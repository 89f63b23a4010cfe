"""What a run came to, told: a table for people, JUnit for machines that watch builds, JSON for everything else.

`model` has the values that are told; who made them does not matter here.
"""

from __future__ import annotations

__all__: list[str] = []

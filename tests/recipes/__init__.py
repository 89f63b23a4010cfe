"""Recipes of known faults as scenario files, one each, and the proof that each of them can be written and strikes.

`w…` are what Windows Server 2012 does otherwise than the standard, `o…` the considerations of RFC 3783, and `anchor_…`
bugs that were found in real initiators and targets.
"""

from __future__ import annotations

__all__: list[str] = []

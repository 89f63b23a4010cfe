from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Mapping[str, Proof] = {}

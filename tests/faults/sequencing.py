"""Sequence numbers, and what is lost or comes twice: the rows SEQ."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof, quirk

__all__ = ["PROOFS"]

PROOFS: Mapping[str, Proof] = {
    "data_out_lost": Proof(deviants=(quirk("tgt-holes"),)),
}

"""Logout, reinstatement, and connections that end: the rows CON and TCP."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Mapping[str, Proof] = {
    "reset_between_r2t_and_data_out": Proof(),
}

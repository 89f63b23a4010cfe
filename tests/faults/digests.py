"""Digests, padding and the format of headers: the rows DIG."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Mapping[str, Proof] = {
    "data_digest_corrupt": Proof(),
    "data_digest_corrupt_read": Proof(),
    "header_digest_corrupt": Proof(),
    "payload_corrupt_valid_digest": Proof(),
}

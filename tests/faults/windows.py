"""The rows of the Windows notes, W01 to W19."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.proof import Proof, beside, quirk

__all__ = ["PROOFS"]

PROOFS: Mapping[str, Proof] = {
    "c_bit_login_request": Proof(
        deviants=(
            beside(
                "takes no notice of C",
                "victim: target\nrules: [{when: Login-Request where C nth 1, do: {set: {C: 0, T: 1, NSG: 3}}}]\n",
            ),
        ),
    ),
    "c_bit_text_request": Proof(deviants=(quirk("W10"),)),
    "cmdsn_duplicate_write": Proof(deviants=(quirk("W12"),)),
}

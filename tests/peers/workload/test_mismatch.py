from __future__ import annotations

from dataclasses import replace

from iscsiproxy.peers.workload.mismatch import Mismatch, MismatchKind
from iscsiproxy.peers.workload.pattern import Stamp

_STALE = Mismatch(kind=MismatchKind.STALE, block=7, expected=(0, 5), found=(Stamp(1, 7, 3),), offset=16, excerpt="00ff")


def test_a_mismatch_says_what_was_due_and_what_was_there() -> None:
    assert str(_STALE) == (
        "block 7 is stale: expected what was there before or write 5, found write 3 to block 7 of run 00000001"
    )
    torn = replace(_STALE, kind=MismatchKind.TORN, found=(Stamp(1, 7, 5), Stamp(1, 7, 3)))
    assert str(torn).endswith("found write 5 to block 7 of run 00000001 and write 3 to block 7 of run 00000001")
    zeros = replace(_STALE, kind=MismatchKind.ZEROS, found=(), expected=(5,))
    assert str(zeros) == "block 7 is zeros: expected write 5, found zeros"
    assert str(replace(_STALE, found=())).endswith("found 00ff at byte 16")

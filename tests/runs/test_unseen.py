"""What the proxy adds, hides and regroups is seen by nobody: scenarios made up by a seed, played between embedded peers.

Each is a few acts that leave both legs legal, with a stage of its own: digests, windows, lengths, sessions side by side,
connections that are lost, faults that are cleared in the middle. Whatever it is, the data is right, no leg violates its
own numbers (`legality` says so, and the session's own rules do), nothing of the proxy's own reaches the other end, and
it comes to an end.

The usual run takes seconds. `ISCSIPROXY_FUZZ=N` in the environment makes it N scenarios, other ones each time:
`ISCSIPROXY_FUZZ=1000 pytest tests/runs/test_unseen.py` takes minutes, and names the seeds of those that went wrong.
"""

from __future__ import annotations

import os
from random import SystemRandom

import pytest

from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.stage import IQN
from iscsiproxy.session.events import Event
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.runs.legality import complaints
from tests.runs.scenery import Play, Seen, make_up, play, trouble

__all__: list[str] = []

PATIENT = os.environ.get("ISCSIPROXY_FUZZ")
FIRST = SystemRandom().randrange(1 << 32) if PATIENT else 0
SEEDS = range(FIRST, FIRST + int(PATIENT or 40))


@pytest.mark.parametrize("some", [SEEDS[at : at + 10] for at in range(0, len(SEEDS), 10)], ids=str)
async def test_nobody_sees_what_the_proxy_does(some: range) -> None:
    for seed in some:
        one = make_up(seed)
        seen = await play(one)
        found = trouble(one, seen)
        assert not found, "\n".join([f"seed {seed}: {one!r}", one.text, *found[:10]])

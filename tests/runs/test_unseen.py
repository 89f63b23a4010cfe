"""What the proxy adds, hides and regroups is seen by nobody: made-up scenarios, played between embedded peers.

Each is a few acts that leave both legs legal, with a stage of its own: digests, windows, lengths, sessions side by
side, connections that are lost, faults that are cleared in the middle. Whatever it is, the data is right, no leg
violates its own numbers (`legality` says so, and the session's own rules do), nothing of the proxy's own reaches the
other end, and it comes to an end.

The usual run takes seconds. `ISCSIPROXY_FUZZ=N` in the environment makes it N scenarios, other ones each time:
`ISCSIPROXY_FUZZ=1000 pytest tests/runs/test_unseen.py` takes minutes, and names the seeds of those that went wrong.
"""

from __future__ import annotations

import os
from dataclasses import replace
from random import SystemRandom

import pytest

from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.stage import IQN
from iscsiproxy.session.events import Delivered, Event, Received
from iscsiproxy.wire.opcodes import End, Opcode
from tests.runs.legality import complaints
from tests.runs.scenery import Play, make_up, play, trouble

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


def small(*rules: str, negotiate: str = "", window: int = 128, depth: int = 4, digests: bool = False) -> Play:
    """Give a play of so many rules, where writes have data of every kind."""
    offered = ("CRC32C",) if digests else ("None",)
    return Play(
        seed=7,
        rules=rules,
        negotiate=negotiate,
        initiator=InitiatorSettings(
            target=IQN,
            header_digests=offered,
            data_digests=offered,
            initial_r2t=False,
            immediate_data=True,
            first_burst_length=4096,
            max_burst_length=8192,
            max_recv_data_segment_length=4096,
            max_outstanding_r2t=1,
            time2wait=0,
            command_timeout=4.0,
        ),
        target=TargetSettings(command_window=window, max_recv_data_segment_length=1024, time2wait=0),
        depth=depth,
        sizes=((1, 1), (40, 1)),
    )


PINGED = "when: {}\n    do:\n      - inject: {{pdu: NOP-Out, I: 0}}"
#: What was seen once, and shall not be seen again
ONCE_SEEN = {
    "a command of ours waits for room before the data that makes it": small(PINGED.format("Data-Out"), window=1),
    "a command waits for room before the data of those before it": small(PINGED.format("SCSI-Command"), window=1),
    "copies wait for room": small(
        "when: SCSI-Command where R\n    do:\n      - duplicate: {ITT: fresh, numbers: translate, count: 2}", window=1
    ),
    "a request that is immediate no longer waits for room": small(
        "when: NOP-Out where I\n    do:\n      - set: {I: 0}", window=1, depth=8
    ),
    "pings do not run ahead of commands that wait": small(PINGED.format("SCSI-Command"), window=2, depth=8),
    "the rest of a PDU is of a piece with its begin": small(
        "when: SCSI-Command every 2\n    do:\n      - stall: {until: 5ms, end: target, at: header+20}",
        "when: SCSI-Command every 3\n    do:\n      - inject: NOP-In",
        "when: SCSI-Command nth 1..3\n    do:\n      - inject: {pdu: NOP-Out, I: 0}",
    ),
    "nothing stands inside a PDU": small(
        "when: SCSI-Command every 2\n    do:\n      - stall: {until: 1ms, end: target, at: header+20}",
        "when: SCSI-Command every 2\n    do:\n      - inject: {pdu: SCSI-Command, CDB: INQUIRY, R: 1, EDTL: 36}",
    ),
    "a part of an immediate request goes when others have gone": small(
        "when: Text-Request\n    do:\n      - split_text: C", depth=8
    ),
    "a part of an answer goes when others have gone": small(
        "when: Text-Response\n    do:\n      - split_text: C", depth=8
    ),
    "pieces of R2Ts go in turn, and R2Ts behind them": small("when: R2T\n    do:\n      - split: {into: 3}"),
    "each end says itself how much it takes": small(
        PINGED.format("R2T nth 1"), negotiate="{target: {MaxRecvDataSegmentLength: 512}}"
    ),
    "a PDU that is sent again with another tag has the digests of that": small(
        "when: NOP-Out where ITT != none nth 1 as c\n    do:\n      - replay: {what: c, ITT: fresh, I: 1}", digests=True
    ),
    "an answer that is another PDU by now is not split": small(
        'when: SCSI-Command where CDB.name == "TEST UNIT READY"\n    do:\n'
        "      - swap: {pdu: SCSI-Command, CDB: INQUIRY, R: 1, EDTL: 96}",
        "when: Data-In where S nth 1..4\n    do:\n      - split: {status: apart}",
    ),
}


@pytest.mark.parametrize("one", [pytest.param(one, id=name.replace(" ", "_")) for name, one in ONCE_SEEN.items()])
async def test_what_was_seen_once(one: Play) -> None:
    seen = await play(one)
    assert not trouble(one, seen)
    assert seen.fired


@pytest.mark.parametrize(
    ("opcode", "name", "said"),
    [
        (Opcode.SCSI_COMMAND, "CmdSN", "CmdSN"),
        (Opcode.SCSI_COMMAND, "ExpStatSN", "ExpStatSN"),
        (Opcode.NOP_OUT, "CmdSN", "CmdSN"),
        (Opcode.DATA_OUT, "DataSN", "DataSN"),
        (Opcode.DATA_OUT, "TTT", "no R2T"),
        (Opcode.R2T, "R2TSN", "R2TSN"),
        (Opcode.R2T, "StatSN", "StatSN"),
        (Opcode.R2T, "ITT", "answers nothing"),
        (Opcode.DATA_IN, "DataSN", "DataSN"),
        (Opcode.DATA_IN, "BufferOffset", "BufferOffset"),
        (Opcode.SCSI_RESPONSE, "StatSN", "StatSN"),
        (Opcode.SCSI_RESPONSE, "ExpDataSN", "ExpDataSN"),
        (Opcode.SCSI_RESPONSE, "ExpCmdSN", "ExpCmdSN"),
        (Opcode.NOP_IN, "ITT", "answers nothing"),
    ],
)
async def test_a_number_that_is_wrong_is_found(opcode: Opcode, name: str, said: str) -> None:
    one = small(PINGED.format("SCSI-Command every 3"))
    events = (await play(one)).events
    assert not list(complaints(events))
    at = [n for n, event in enumerate(events) if isinstance(event, Delivered) and event.pdu.opcode == opcode][2]
    event = events[at]
    assert isinstance(event, Delivered)
    wrong = event.pdu.with_fields({name: (event.pdu[name] + 77) & 0xFFFFFFFF})
    changed: list[Event] = [*events[:at], replace(event, pdu=wrong), *events[at + 1 :]]
    assert any(said in text for text in complaints(changed))


async def test_an_answer_to_the_proxy_that_is_passed_on_is_found() -> None:
    events = (await play(small(PINGED.format("SCSI-Command every 3")))).events
    own = {event.pdu["ITT"] for event in events if isinstance(event, Delivered) and event.author}
    leaked = next(event for event in events if isinstance(event, Received) and event.pdu.get("ITT") in own)
    at = events.index(leaked) + 1
    passed = Delivered(n=leaked.n, at=leaked.at, conn=leaked.conn, leg=End.INITIATOR, pdu=leaked.pdu, of=leaked.n)
    assert any("passed on" in text for text in complaints([*events[:at], passed, *events[at:]]))

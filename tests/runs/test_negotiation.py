"""A negotiation led differently on each leg, between the embedded peers: what it is for comes about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import Outcome, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.stage import BLOCK, IQN, Stage, stage
from iscsiproxy.session.events import Decided, Delivered, FullFeature, Received, Violated
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

WORKED = Path(__file__).parent.parent / "language" / "worked"
#: What a target may say to unsolicited data that it did not want, or did not want so much of (RFC 7143 11.4.7.2).
UNEXPECTED = ((0xB, 0x0C, 0x0C), (0xB, 0x0C, 0x0D))


def scenario(negotiate: str) -> Scenario:
    text = f"scenario: x\nvictim: target\nnegotiate: {negotiate}\nrules:\n  - when: SCSI-Command where W as write\n"
    return load(text, file="x.yaml", acts=SPECS)


async def write_through(
    one: Scenario,
    *,
    blocks: int = 128,
    settings: InitiatorSettings | None = None,
    target: TargetSettings | None = None,
) -> tuple[Outcome, Stage]:
    """Log in through the proxy and write; a first command takes the unit attention away."""
    with trio.fail_after(10):
        async with (
            stage(seed=1, blocks=1024, scenarios=[one], settings=target) as here,
            open_session((here.portal.host, here.portal.port), settings or InitiatorSettings(target=IQN)) as session,
        ):
            await session.command(0, commands.test_unit_ready())
            outcome = await session.command(0, commands.write10(0, blocks), data_out=b"\xa5" * BLOCK * blocks)
    return outcome, here


def keys_of(here: Stage) -> dict[End, dict[str, str]]:
    return {event.leg: dict(event.keys) for event in here.events if isinstance(event, FullFeature)}


def received(here: Stage, leg: End, opcode: Opcode) -> list[Pdu]:
    return [
        event.pdu
        for event in here.events
        if isinstance(event, Received | Delivered) and event.leg is leg and event.pdu.opcode == opcode
    ]


def missed(here: Stage) -> Sequence[str]:
    return [event.text for event in here.events if isinstance(event, Decided) and event.what in ("skipped", "failed")]


async def test_W01_a_write_carries_more_immediate_data_than_the_target_agreed_to() -> None:
    name = "immediate_data_excess"
    one = load((WORKED / f"{name}.yaml").read_text(encoding="utf-8"), file=f"{name}.yaml", acts=SPECS)
    outcome, here = await write_through(one)
    assert not missed(here)
    keys = keys_of(here)
    assert (keys[End.INITIATOR]["FirstBurstLength"], keys[End.TARGET]["FirstBurstLength"]) == ("65536", "512")
    assert keys[End.INITIATOR]["ImmediateData"] == keys[End.TARGET]["ImmediateData"] == "Yes"
    (write,) = (pdu for pdu in received(here, End.TARGET, Opcode.SCSI_COMMAND) if pdu["W"])
    assert len(write.data) > 512
    assert outcome.sense in UNEXPECTED
    assert len(write.data) <= 262144  # within what the target takes: no error of format
    # On its own leg each end keeps to what it was told; what the target sees is the fault.
    assert not [event for event in here.events if isinstance(event, Violated)]


async def test_W02a_more_unsolicited_data_than_the_target_takes() -> None:
    outcome, here = await write_through(
        scenario(
            "{target: {InitialR2T: No, ImmediateData: No, FirstBurstLength: 512},"
            " initiator: {InitialR2T: No, FirstBurstLength: 65536}}"
        ),
        settings=InitiatorSettings(target=IQN, immediate_data=False),
    )
    assert not missed(here)
    assert keys_of(here)[End.TARGET]["InitialR2T"] == "No"
    unsolicited = [pdu for pdu in received(here, End.TARGET, Opcode.DATA_OUT) if pdu["TTT"] == NO_TAG]
    assert sum(len(pdu.data) for pdu in unsolicited) > 512
    assert outcome.sense in UNEXPECTED


async def test_W02b_less_unsolicited_data_than_the_target_awaits() -> None:
    outcome, here = await write_through(
        scenario(
            "{target: {InitialR2T: No, ImmediateData: No, FirstBurstLength: 4096},"
            " initiator: {InitialR2T: No, FirstBurstLength: 512}}"
        ),
        blocks=16,
        settings=InitiatorSettings(target=IQN, immediate_data=False),
    )
    assert not missed(here)
    keys = keys_of(here)
    assert (keys[End.INITIATOR]["FirstBurstLength"], keys[End.TARGET]["FirstBurstLength"]) == ("512", "4096")
    unsolicited = [pdu for pdu in received(here, End.TARGET, Opcode.DATA_OUT) if pdu["TTT"] == NO_TAG]
    assert sum(len(pdu.data) for pdu in unsolicited) == 512
    assert outcome.sense in UNEXPECTED


@pytest.mark.parametrize("key", ["ImmediateData: Yes", "InitialR2T: No"])
async def test_W03_unsolicited_data_that_the_target_did_not_ask_for(key: str) -> None:
    outcome, here = await write_through(
        scenario(f"{{target: {{ImmediateData: No, InitialR2T: Yes}}, initiator: {{{key}}}}}")
    )
    assert not missed(here)
    unsolicited = [pdu for pdu in received(here, End.TARGET, Opcode.DATA_OUT) if pdu["TTT"] == NO_TAG]
    (write,) = (pdu for pdu in received(here, End.TARGET, Opcode.SCSI_COMMAND) if pdu["W"])
    assert write.data if key == "ImmediateData: Yes" else unsolicited
    assert outcome.sense in UNEXPECTED


@pytest.mark.parametrize("with_digests", list(End))
async def test_digests_of_one_leg_are_computed_on_that_leg_alone(with_digests: End) -> None:
    on = {True: "{HeaderDigest: CRC32C, DataDigest: CRC32C}", False: "{HeaderDigest: None, DataDigest: None}"}
    told = ", ".join(f"{end}: {on[end is with_digests]}" for end in End)
    outcome, here = await write_through(scenario(f"{{{told}}}"), blocks=1024)
    assert outcome.good
    assert not missed(here)
    for leg in End:
        digests = (leg is with_digests,) * 2
        keys = keys_of(here)[leg]
        assert (keys["HeaderDigest"] == "CRC32C", keys["DataDigest"] == "CRC32C") == digests
        # The write and all that it brought with it, both ways.
        for opcode in (Opcode.SCSI_COMMAND, Opcode.DATA_OUT, Opcode.R2T, Opcode.SCSI_RESPONSE):
            pdus = received(here, leg, opcode)
            assert pdus
            assert {bool(pdu.header_digest) for pdu in pdus} == {leg is with_digests}
            assert {bool(pdu.data_digest) for pdu in pdus if pdu.data} <= {leg is with_digests}
            assert not [pdu for pdu in pdus if False in (pdu.header_digest_ok(), pdu.data_digest_ok())]


async def test_digests_that_the_initiator_does_not_offer_are_asked_for_all_the_same() -> None:
    plain = InitiatorSettings(target=IQN, offers={"HeaderDigest": "", "DataDigest": ""})
    one = scenario("{target: {HeaderDigest: CRC32C, DataDigest: CRC32C}}")
    outcome, here = await write_through(one, settings=plain)
    assert outcome.good
    assert not missed(here)
    assert {leg: keys["DataDigest"] for leg, keys in keys_of(here).items()} == {
        End.INITIATOR: "None",
        End.TARGET: "CRC32C",
    }


async def test_what_a_target_does_not_settle_on_is_in_the_journal() -> None:
    outcome, here = await write_through(
        scenario("{target: {InitialR2T: No}, initiator: {InitialR2T: No}}"),
        settings=InitiatorSettings(target=IQN, immediate_data=False),
        target=TargetSettings(initial_r2t=True),
    )
    assert missed(here) == ["the target leg did not settle on InitialR2T=No: Yes came"]
    assert outcome.sense in UNEXPECTED  # and so the fault would be another one than was asked for


async def test_each_end_is_told_how_much_the_other_takes() -> None:
    one = scenario("{target: {MaxRecvDataSegmentLength: 512}, initiator: {MaxRecvDataSegmentLength: 1024}}")
    _, here = await write_through(one, blocks=64)
    assert not missed(here)
    assert {len(pdu.data) for pdu in received(here, End.TARGET, Opcode.DATA_OUT)} == {1024}

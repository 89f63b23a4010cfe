"""A negotiation led differently on each leg, between a real initiator and a real target: tshark reads both truths."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import initiators, tshark
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu", "tshark")

SCSI_COMMAND, LOGIN_REQUEST, LOGIN_RESPONSE = 0x01, 0x03, 0x23
WORKED = Path(__file__).parent.parent / "language" / "worked"
#: What W01 leads differently; all other keys are the same on both legs.
OFFERED = {"FirstBurstLength", "ImmediateData", "InitialR2T"}


def said(pdus: list[tshark.Pdu], opcode: int) -> dict[str, str]:
    """Give the keys of the first login."""
    return dict(pair.split("=", 1) for pdu in pdus if pdu.opcode == opcode for pair in pdu.keys)


async def test_W01_a_write_has_more_immediate_data_than_tgtd_agreed_to(tmp_path: Path) -> None:
    capture = tmp_path / "capture.pcapng"
    async with running_tgtd() as target:
        options = ("-v", "--faults", str(WORKED / "immediate_data_excess.yaml"), "--capture", str(capture))
        async with running_proxy(target, *options) as proxy:
            address = target.address(host=proxy.host, port=proxy.port)
            await initiators.qemu_io(address, "write -P 0x11 0 64k", within=20.0)
            assert await proxy.stop() == 0
        frames = await tshark.read(capture, ports=(target.port, proxy.port))
    legs = {name: tshark.pdus(frames, interface=f"{name} leg") for name in ("initiator", "target")}
    offers = {name: said(pdus, LOGIN_REQUEST) for name, pdus in legs.items()}
    answers = {name: said(pdus, LOGIN_RESPONSE) for name, pdus in legs.items()}
    assert offers["target"]["FirstBurstLength"] == answers["target"]["FirstBurstLength"] == "512"
    assert offers["target"]["ImmediateData"] == answers["target"]["ImmediateData"] == "Yes"
    assert int(offers["initiator"]["FirstBurstLength"]) > 65536
    assert answers["initiator"]["FirstBurstLength"] == "65536"
    for one in (offers, answers):
        plain = {name: {key: value for key, value in keys.items() if key not in OFFERED} for name, keys in one.items()}
        assert plain["initiator"] == plain["target"]
    # The journal says the same of both legs.
    keys = {event["leg"]: event["keys"]["FirstBurstLength"] for event in proxy.named("fullfeature")}
    assert keys == {"initiator": "65536", "target": "512"}
    writes = [pdu for pdu in legs["target"] if pdu.opcode == SCSI_COMMAND and pdu.text("iscsi.scsicommand.W") == "1"]
    assert writes
    assert max(pdu.number("iscsi.datasegmentlength") or 0 for pdu in writes) > 512

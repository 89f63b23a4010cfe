"""Texts in several rounds before a real target: tshark sees the rounds on its leg, and one on the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import initiators, tshark
from tests.real.legs import differences
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "libiscsi", "qemu", "tshark")

LOGIN_REQUEST, LOGIN_RESPONSE, TEXT_RESPONSE = 0x03, 0x23, 0x24


async def legs(rule: str, directory: Path, *, discovery: bool) -> dict[str, list[tshark.Pdu]]:
    """Run an initiator against tgtd with one rule armed; it must see nothing of it. Give what tshark saw."""
    scenario, capture = directory / "rounds.yaml", directory / "capture.pcapng"
    scenario.write_text(f"scenario: rounds\nvictim: target\nrules:\n{rule}\n")
    async with running_tgtd() as target:
        options = ("-v", "--faults", str(scenario), "--capture", str(capture))
        async with running_proxy(target, *options) as proxy:
            address = target.address(host=proxy.host, port=proxy.port)
            if discovery:
                finished, found = await initiators.targets(address)
                finished.check()
                assert [(one.iqn, one.portal) for one in found] == [(target.iqn, address.portal)]
            else:
                (await initiators.pattern(address, length=1 << 20)).check()
            assert await proxy.stop() == 0
        frames = await tshark.read(capture, ports=(target.port, proxy.port))
    assert len(proxy.named("fired")) == 1
    return {name: tshark.pdus(frames, interface=f"{name} leg") for name in ("initiator", "target")}


def those(pdus: list[tshark.Pdu], opcode: int) -> list[tshark.Pdu]:
    return [pdu for pdu in pdus if pdu.opcode == opcode]


@pytest.mark.parametrize("rounds", [2, 4])
async def test_a_login_in_rounds_ends_in_a_session_that_works(rounds: int, tmp_path: Path) -> None:
    rule = f"  - when: Login-Request where CSG == 1 nth 1\n    do: {{split_text: {{by: T, rounds: {rounds}}}}}"
    seen = await legs(rule, tmp_path, discovery=False)
    requests = {name: those(pdus, LOGIN_REQUEST) for name, pdus in seen.items()}
    assert len(requests["target"]) == len(requests["initiator"]) + rounds - 1
    assert [pdu.text("iscsi.login.T") for pdu in requests["target"]][-rounds:] == ["0"] * (rounds - 1) + ["1"]
    assert len(those(seen["initiator"], LOGIN_RESPONSE)) == len(requests["initiator"])


async def test_W04_a_text_request_without_F_is_answered_for_the_initiator(tmp_path: Path) -> None:
    rule = "  - when: Text-Request nth 1\n    do: {split_text: F}"
    seen = await legs(rule, tmp_path, discovery=True)
    # This target takes no notice of F: it ends the negotiation at once (RFC 7143 11.11.1), and so it is over.
    (difference,) = (one for one in differences(tmp_path / "capture.pcapng") if one.to_target)
    (asked,), (sent,) = difference.received, difference.delivered
    assert (asked[1], sent[1]) == (0x80, 0)
    assert asked[:1] + asked[2:] == sent[:1] + sent[2:]
    (told,) = those(seen["initiator"], TEXT_RESPONSE)
    assert told.text("iscsi.text.F") == "1"

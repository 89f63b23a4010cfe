"""A link that goes up and down between real peers: a state machine, refused connections, and no data lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import initiators
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__: list[str] = []

pytestmark = pytest.mark.peers("tgtd", "qemu")

#: Up for a while, then every connection is reset and none is accepted. libiscsi tries again after a second or two.
FLAPS = """scenario: flaps
victim: initiator
machines:
  link:
    states:
      up:
        - when: 800ms..900ms
          do: {goto: down}
      down:
        - when: 0s
          do: {close: rst}
        - when: connect
          do: refuse
        - when: 300ms
          do: {goto: up}
"""
KIB = 1024
PIECES = 8


async def test_qemu_comes_back_through_a_flapping_link_with_its_data(tmp_path: Path) -> None:
    scenario = tmp_path / "flaps.yaml"
    scenario.write_text(FLAPS)
    async with running_tgtd() as target:
        async with running_proxy(target, "-v", "--faults", str(scenario), "--seed", "1") as proxy:
            address = target.address(host=proxy.host, port=proxy.port)
            orders = []
            for piece in range(PIECES):
                orders += [f"write -P {piece + 1} {piece * 64}k 64k", "sleep 250"]
            orders += [f"read -P {piece + 1} {piece * 64}k 64k" for piece in range(PIECES)]
            finished = await initiators.qemu_io(address, *orders, within=60.0)
        finished.check()
        assert "Pattern verification failed" not in finished.output
        written = target.lun_files[0].read_bytes()[: PIECES * 64 * KIB]
    assert written == b"".join(bytes([piece + 1]) * 64 * KIB for piece in range(PIECES))
    refused, connected = proxy.named("refused"), proxy.named("connected")
    assert refused, "it never came while the link was down"
    assert len(connected) >= 3, "it came back twice at least"
    by_fault = {one["conn"] for one in proxy.named("closed") if one["by"] == "fault"}
    assert {one["conn"] for one in refused} < by_fault
    down = False
    for one in proxy.events:
        if one["event"] == "fired" and one["act"] == "goto":
            down = one["text"] == "to state down"
        assert not (down and one["event"] == "connected"), "the target saw a connection while the link was down"

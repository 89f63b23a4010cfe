from __future__ import annotations

import pytest
import trio
from trio.testing import memory_stream_pair

from iscsiproxy.cli.trace import TracedStream
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text

__all__: list[str] = []


def _bytes(pdu: Pdu) -> bytes:
    return b"".join(pdu.parts)


def _traced() -> tuple[TracedStream, trio.abc.Stream, list[str]]:
    ours, theirs = memory_stream_pair()
    shown: list[str] = []
    return TracedStream(ours, lambda pdu: shown.append(pdu.label)), theirs, shown


@pytest.mark.parametrize("digest", ["None", "CRC32C"])
async def test_every_pdu_is_shown_both_ways_with_and_without_digests(digest: str) -> None:
    stream, other, shown = _traced()
    keys = encode_text([("HeaderDigest", digest), ("DataDigest", digest)])
    with_digests = digest == "CRC32C"
    await stream.send_all(_bytes(Pdu.build(Opcode.LOGIN_REQUEST, T=1, CSG=1, NSG=3)))
    await other.send_all(_bytes(Pdu.build(Opcode.LOGIN_RESPONSE, data=keys, T=1, CSG=1, NSG=3)))
    await stream.receive_some()
    ping = Pdu.build(Opcode.NOP_OUT, data=b"ping").sealed(header=with_digests, data=with_digests)
    pong = Pdu.build(Opcode.NOP_IN, data=b"ping").sealed(header=with_digests, data=with_digests)
    await stream.send_all(_bytes(ping) * 2)
    for byte in _bytes(pong):
        await other.send_all(bytes([byte]))
        assert await stream.receive_some() == bytes([byte])
    assert [label.split()[0] for label in shown] == [
        "Login-Request", "Login-Response", "NOP-Out", "NOP-Out", "NOP-In",
    ]  # fmt: skip


async def test_what_is_no_pdu_passes_unseen() -> None:
    stream, other, shown = _traced()
    await stream.send_all(b"\xff" * 200)
    await stream.send_all(_bytes(Pdu.build(Opcode.NOP_OUT)))
    assert await other.receive_some() == b"\xff" * 200 + _bytes(Pdu.build(Opcode.NOP_OUT))
    assert len(shown) <= 2
    await stream.wait_send_all_might_not_block()
    await stream.aclose()
    assert await other.receive_some() == b""

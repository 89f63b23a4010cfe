from __future__ import annotations

from random import Random

import pytest
import trio

from iscsiproxy.proxy import Settings
from iscsiproxy.session.events import Received, Unframed
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.proxy.fakes import NONE, Peer, bench, login_request, login_response, nop_in, nop_out, scenario

_NOTE = "  - {name: seen, when: NOP-Out, do: {note: here}, optional: yes}\n"


async def _send_in_pieces(peer: Peer, data: bytes, rng: Random) -> None:
    at = 0
    while at < len(data):
        size = rng.choice((1, 7, 47, 48, 49, 4096, 70000))
        await peer.raw(data[at : at + size])
        at += size
        await trio.lowlevel.checkpoint()


def _stream(rng: Random, *, sender: int) -> bytes:
    make = nop_out if sender == Opcode.NOP_OUT else nop_in
    sizes = [rng.choice((0, 1, 2, 3, 4, 500, 8192, 40000)) for _ in range(60)]
    pdus = [make(n + 2, rng.randbytes(size)) for n, size in enumerate(sizes)]
    # Reserved bits, odd padding and unknown opcodes are nobody's business.
    odd = [Pdu(bytes([0x1C]) + rng.randbytes(3) + bytes(44)), pdus[5].with_parts(pad=b"\xff" * len(pdus[5].pad))]
    return b"".join(pdu.raw for pdu in (*pdus, *odd, *pdus))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rules", ["", _NOTE])
@pytest.mark.parametrize("pdus", [False, True])
async def test_what_nobody_touches_arrives_byte_for_byte(seed: int, rules: str, pdus: bool) -> None:
    rng = Random(seed)
    out, back = _stream(rng, sender=Opcode.NOP_OUT), _stream(rng, sender=Opcode.NOP_IN)
    async with bench(*([scenario(rules)] if rules else []), pdus=pdus) as the:
        initiator, target = await the.login()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_in_pieces, initiator, out, rng)
            nursery.start_soon(_send_in_pieces, target, back, rng)
            assert await target.exactly(len(out)) == out
            assert await initiator.exactly(len(back)) == back
        assert not the.relay.crashes


async def test_with_nothing_armed_no_PDU_is_looked_at() -> None:
    async with bench() as the:
        initiator, target = await the.login()
        pair = the.pair()
        for link in pair._links.values():
            interest = link.framer.interest
            assert interest[Opcode.NOP_OUT] is interest[Opcode.DATA_IN] is Interest.NONE
            assert interest[Opcode.TEXT_REQUEST] is interest[Opcode.TEXT_RESPONSE] is Interest.WHOLE
        await initiator.send(nop_out(2, b"abcd"))
        assert (await target.pdu()).data == b"abcd"


async def test_with_a_rule_armed_headers_are_followed_and_its_own_PDUs_assembled() -> None:
    async with bench(scenario(_NOTE)) as the:
        await the.login()
        initiator_link, target_link = the.pair()._links.values()
        assert initiator_link.framer.interest[Opcode.NOP_OUT] is Interest.WHOLE
        assert initiator_link.framer.interest[Opcode.DATA_OUT] is Interest.HEADER
        assert target_link.framer.interest[Opcode.DATA_IN] is Interest.HEADER


async def test_with_PDUs_recorded_everything_is_assembled() -> None:
    async with bench(pdus=True) as the:
        await the.login()
        assert all(link.framer.interest == EVERYTHING for link in the.pair()._links.values())


async def test_a_PDU_larger_than_the_cap_passes_and_is_told_of_as_partial() -> None:
    big, small = nop_out(2, bytes(range(256)) * 400), nop_out(3, b"x")
    async with bench(pdus=True, settings=Settings(max_pdu=10000)) as the:
        initiator, target = await the.login()
        await initiator.send(big, small)
        assert await target.exactly(len(big) + len(small)) == big.raw + small.raw
        partial = [event.pdu["ITT"] for event in the.of(Received) if event.partial]
        assert partial == [2]
        assert the.of(Received)[-1].pdu == small


async def test_garbage_at_login_passes_raw() -> None:
    async with bench() as the:
        initiator, target = await the.connect()
        garbage = b"\xff" * 200
        await initiator.raw(garbage)
        assert await target.exactly(200) == garbage
        event = await the.event(Unframed)
        assert event.leg is End.INITIATOR
        await initiator.raw(b"more")
        await target.raw(nop_in(2).raw)
        assert await target.exactly(4) == b"more"
        assert await initiator.pdu() == nop_in(2)
        await initiator.fin()
        assert await target.rest() == b""


async def test_garbage_at_login_closes_the_connection_if_wanted() -> None:
    async with bench(settings=Settings(close_on_garbage=True)) as the:
        initiator, target = await the.connect()
        await initiator.raw(b"\xff" * 200)
        assert await initiator.until_reset() == b""
        assert await target.until_reset() == b""
        await the.no_pairs()


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("data", [False, True])
async def test_digests_begin_right_behind_the_final_login_response(header: bool, data: bool) -> None:
    keys = {"HeaderDigest": "CRC32C" if header else "None", "DataDigest": "CRC32C" if data else "None"}
    async with bench(scenario(_NOTE)) as the:
        initiator, target = await the.connect()
        await initiator.send(login_request(keys))
        await target.pdu()
        target_sends = nop_in(NONE, b"early").sealed(header=header, data=data)
        # The target does not wait for anybody: its next PDU is in the same segment.
        await target.raw(login_response(keys).raw + target_sends.raw)
        target.digests(header=header, data=data)
        assert (await initiator.pdu()).opcode == Opcode.LOGIN_RESPONSE
        initiator.digests(header=header, data=data)
        assert await initiator.pdu() == target_sends
        await initiator.send(nop_out(2, b"data"))
        came = await target.pdu()
        assert came.header_digest_ok() is (True if header else None)
        assert came.data_digest_ok() is (True if data else None)
        assert the.pair()._legs[came.sender].digests == (header, data)


_DIFFERENT = """\
  - name: cheat
    when: Login-Response
    do:
      - set: {text.HeaderDigest: None}
"""


async def test_legs_with_different_digests_carry_each_its_own() -> None:
    asked = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
    async with bench(scenario(_DIFFERENT)) as the:
        initiator, target = await the.connect()
        await initiator.send(login_request(asked))
        await target.pdu()
        await target.send(login_response(asked))
        target.digests(header=True, data=True)
        answer = await initiator.pdu()
        assert b"HeaderDigest=None" in answer.data
        initiator.digests(header=False, data=True)
        await initiator.send(nop_out(2, b"there"))
        out = await target.pdu()
        assert (out.data, out.header_digest_ok(), out.data_digest_ok()) == (b"there", True, True)
        wrong = nop_in(2, b"back!").sealed(header=True, data=True).with_parts(data_digest=b"oops")
        await target.raw(wrong.raw)
        back = await initiator.pdu()
        # The header digest is gone; a wrong data digest is the target's own, and stays.
        assert (back.data, back.header_digest, back.data_digest) == (b"back!", b"", b"oops")


_ADDED = """\
  - when: NOP-Out nth 1
    do:
      - corrupt: {what: header-digest, digest: added}
      - corrupt: {what: data-digest, digest: added}
"""


async def test_a_digest_that_was_added_stays_on_a_leg_that_has_none() -> None:
    async with bench(scenario(_ADDED)) as the:
        initiator, target = await the.login()
        pdu = nop_out(2, b"there")
        await initiator.send(pdu, nop_out(3))
        sealed = pdu.sealed(header=True, data=True)
        assert await target.exactly(len(sealed)) == sealed.raw
        assert (await target.pdu())["ITT"] == 3

from __future__ import annotations

import pytest

from iscsiproxy.journal.payload import BLOCK, Payload, keeps_data, payload_of
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import data_in

__all__: list[str] = []

DATA = bytes(at * 7 + at // 256 & 0xFF for at in range(8 * BLOCK))


def placed(start: int, length: int) -> Payload:
    found = payload_of(data_in(data=DATA[start : start + length], BufferOffset=start))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("start", "length", "pieces"),
    [
        (0, 1, [(0, 1)]),
        (0, 512, [(0, 512)]),
        (0, 513, [(0, 512), (512, 1)]),
        (512, 1024, [(512, 512), (1024, 512)]),
        (100, 100, [(100, 100)]),
        (100, 412, [(100, 412)]),
        (100, 413, [(100, 412), (512, 1)]),
        (511, 514, [(511, 1), (512, 512), (1024, 1)]),
        (1000, 1600, [(1000, 24), (1024, 512), (1536, 512), (2048, 512), (2560, 40)]),
    ],
)
def test_pieces_end_where_blocks_of_the_buffer_end(start: int, length: int, pieces: list[tuple[int, int]]) -> None:
    payload = placed(start, length)
    assert [(piece.start, piece.length) for piece in payload] == pieces
    assert payload.pieces == len(pieces)
    assert len(payload.hashes) == 8 * len(pieces)


def test_whole_blocks_have_the_same_hash_however_they_came() -> None:
    def blocks(*cuts: tuple[int, int]) -> dict[int, bytes]:
        return {piece.start: piece.hash for cut in cuts for piece in placed(*cut) if piece.whole}

    at_once = blocks((0, 4096))
    assert len(at_once) == len(set(at_once.values())) == 8
    assert blocks((0, 1024), (1024, 3072)) == at_once
    assert blocks((0, 700), (700, 4096 - 700)) == {start: value for start, value in at_once.items() if start != 512}


def test_only_data_PDUs_have_an_offset() -> None:
    command = Pdu.build(Opcode.SCSI_COMMAND, DATA, EDTL=0xFFFF)
    ping = Pdu.build(Opcode.NOP_OUT, DATA)
    out = Pdu.build(Opcode.DATA_OUT, DATA, BufferOffset=4096)
    for pdu, offset in ((command, 0), (ping, 0), (out, 4096)):
        payload = payload_of(pdu)
        assert payload is not None
        assert (payload.offset, payload.length) == (offset, len(DATA))
        assert repr(payload) == f"Payload(offset={offset}, length=4096)"


def test_no_data_has_no_payload() -> None:
    assert payload_of(data_in(data=b"")) is None


def test_a_block_that_ends_with_its_own_digest_is_not_like_the_others() -> None:
    from iscsiproxy.wire.digest import digest

    blocks = [bytes([fill]) * 508 for fill in range(16)]
    data = b"".join(block + digest((block,)) for block in blocks)
    payload = payload_of(data_in(data=data))
    assert payload is not None
    assert len({piece.hash for piece in payload}) == 16


@pytest.mark.parametrize(
    ("opcode", "length", "kept"),
    [
        (Opcode.DATA_IN, 8, True),
        (Opcode.DATA_IN, 64, True),
        (Opcode.DATA_IN, 65, False),
        (Opcode.SCSI_COMMAND, 512, False),
        (Opcode.SCSI_RESPONSE, 1024, True),
        (Opcode.SCSI_RESPONSE, 1025, False),
        (Opcode.REJECT, 48, True),
        (Opcode.ASYNC, 300, True),
        (Opcode.LOGIN_REQUEST, 60000, True),
        (Opcode.TEXT_RESPONSE, 1 << 20, True),
        (0x1C, 65, False),
    ],
)
def test_what_is_kept_whole(opcode: int, length: int, kept: bool) -> None:
    assert keeps_data(opcode, length) is kept

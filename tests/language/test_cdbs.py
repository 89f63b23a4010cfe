from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.cdbs import build_cdb
from iscsiproxy.language.spec import NOWHERE
from iscsiproxy.wire.cdb import decode_cdb

__all__: list[str] = []


@pytest.mark.parametrize(
    ("text", "name", "lba", "blocks"),
    [
        ("READ lba=0 blocks=8", "READ(10)", 0, 8),
        ("WRITE blocks=16 lba=0x100", "WRITE(10)", 256, 16),
        ("READ", "READ(10)", 0, 1),
        ("WRITE lba=4294967295 blocks=65535", "WRITE(10)", 0xFFFFFFFF, 0xFFFF),
        ("READ lba=4294967296", "READ(16)", 1 << 32, 1),
        ("WRITE lba=1 blocks=65536", "WRITE(16)", 1, 65536),
        ("TEST_UNIT_READY", "TEST UNIT READY", None, None),
        ("INQUIRY", "INQUIRY", None, None),
    ],
)
def test_words_become_the_bytes_that_the_wire_reads(text: str, name: str, lba: int | None, blocks: int | None) -> None:
    cdb = build_cdb(text, NOWHERE)
    assert cdb is not None
    assert len(cdb) == 16
    decoded = decode_cdb(cdb)
    assert (decoded.name, decoded.LBA, decoded.blocks) == (name, lba, blocks)


@pytest.mark.parametrize("text", ["", "0x2a00", "n.CDB", "READ(10)"])
def test_other_texts_are_left_alone(text: str) -> None:
    assert build_cdb(text, NOWHERE) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("READ 5", "takes no `5`"),
        ("READ lab=5", "did you mean `lba`"),
        ("READ lba=x", "not one number"),
        ("READ lba=1 lba=2", "not one number"),
        ("READ blocks=4294967296", "not one number"),
        ("INQUIRY lba=0", "takes no `lba=0`"),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        build_cdb(text, NOWHERE)


def test_a_cdb_may_be_plain_hex() -> None:
    assert build_cdb("120000002400", NOWHERE) == bytes.fromhex("120000002400").ljust(16, b"\0")
    assert build_cdb("12000000240", NOWHERE) is None
    assert build_cdb("12" * 17, NOWHERE) is None

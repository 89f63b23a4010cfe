from __future__ import annotations

import pytest

from iscsiproxy.wire.digest import DIGEST_LENGTH, digest

__all__: list[str] = []

READ_10 = "01c00000 00000000 0000000000000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000"
NOP_IN = "20800000 00000000 0000000000000000 ffffffff ffffffff 00000005 0000000a 00000089 000000000000000000000000"

#: The examples of RFC 7143 A.4, and more computed by others: what is digested, the digest as on the wire
VECTORS = {
    "32 zeros": (bytes(32), "aa36918a"),
    "32 ones": (b"\xff" * 32, "43aba862"),
    "ascending": (bytes(range(32)), "4e79dd46"),
    "descending": (bytes(range(31, -1, -1)), "5cdb3f11"),
    "READ(10)": (bytes.fromhex(READ_10), "563a96d9"),
    "digits": (b"123456789", "839206e3"),
    "48 zeros": (bytes(48), "b93a8c28"),
    "4 zeros": (bytes(4), "c74b6748"),
    "text": (b"SendTargets=All\0", "b4e313bf"),
    "padded": (b"ping!\0\0\0", "8aedfc72"),
    "unpadded": (b"ping!", "ac18cd56"),
    "NOP-In": (bytes.fromhex(NOP_IN), "479ac827"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_digests_others_computed(name: str) -> None:
    data, expected = VECTORS[name]
    assert digest((data,)).hex() == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_parts_are_digested_one_after_another(kind: type[bytes | bytearray | memoryview]) -> None:
    data = bytes(range(256))
    for at in (0, 1, 48, 255, 256):
        assert digest((kind(data[:at]), kind(data[at:]))) == digest((data,))


def test_nothing_has_a_digest_too() -> None:
    assert digest(()) == bytes(DIGEST_LENGTH)


def test_a_message_with_its_digest_leaves_the_known_residue() -> None:
    """RFC 7143 11.2.3 gives 1c2d19ed, which is this number with its bits in the other order, before the final xor."""
    message = b"any bytes at all"
    residue = int.from_bytes(digest((message, digest((message,)))), "little") ^ 0xFFFFFFFF
    assert residue == 0xB798B438

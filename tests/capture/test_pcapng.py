from __future__ import annotations

import struct

import pytest

from iscsiproxy.capture import pcapng
from tests.capture.blocks import blocks

__all__: list[str] = []

HEAD = pcapng.section_header(application="iscsiproxy") + pcapng.interface("a") + pcapng.interface("b")


def packet(data: bytes, *options: bytes, original: int | None = None) -> bytes:
    head, tail = pcapng.enhanced_packet(1, 5_000_000_007, len(data), original or len(data), options)
    return head + data + tail


def test_the_head_says_who_wrote_it_and_where() -> None:
    head = pcapng.section_header(hardware="x86_64", system="Linux", application="iscsiproxy 1")
    legs = [pcapng.interface("initiator leg", "of the initiator"), pcapng.interface("target leg", snap_length=128)]
    section, first, second = blocks(head + b"".join(legs))
    assert section.options == ((2, b"x86_64"), (3, b"Linux"), (4, b"iscsiproxy 1"))
    assert first.options == ((2, b"initiator leg"), (3, b"of the initiator"))
    assert struct.unpack("<HHI", first.fixed) == (pcapng.LINKTYPE_RAW, 0, 0)
    assert second.options == ((2, b"target leg"),)
    assert struct.unpack("<HHI", second.fixed) == (pcapng.LINKTYPE_RAW, 0, 128)


@pytest.mark.parametrize("length", range(6))
def test_packets_of_any_length(length: int) -> None:
    *_, block = blocks(HEAD + packet(bytes(range(1, length + 1))))
    assert block.data == bytes(range(1, length + 1))
    assert struct.unpack("<IIIII", block.fixed) == (1, 1, 5_000_000_007 - (1 << 32), length, length)


def test_comments_and_direction() -> None:
    options = (pcapng.comment_option("ein Wört"), pcapng.comment_option(""), pcapng.direction_option(inbound=False))
    *_, block = blocks(HEAD + packet(b"data", *options, original=100))
    assert block.options == ((1, "ein Wört".encode()), (1, b""), (2, b"\2\0\0\0"))
    assert struct.unpack("<IIIII", block.fixed)[3:] == (4, 100)


def test_a_long_comment_is_cut_between_characters() -> None:
    *_, block = blocks(HEAD + packet(b"", pcapng.comment_option("ö" * 100_000)))
    [comment] = block.option(1)
    assert comment.decode() == "ö" * 2048 + "…"


def test_a_comment_of_bytes_that_are_not_UTF_8() -> None:
    *_, block = blocks(HEAD + packet(b"", pcapng.comment_option("a\udcffb")))
    assert block.option(1) == [b"a?b"]


def test_drop_counts() -> None:
    *_, block = blocks(HEAD + pcapng.drop_count(1, 5_000_000_007, 3, "slow"))
    assert struct.unpack("<III", block.fixed) == (1, 1, 5_000_000_007 - (1 << 32))
    assert block.options == ((1, b"slow"), (5, struct.pack("<Q", 3)))

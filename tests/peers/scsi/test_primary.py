"""The commands of a disk that touch no block."""

from __future__ import annotations

import pytest

from tests.peers.scsi.bench import Bench, Flushes

__all__: list[str] = []


def cdb(text: str) -> bytes:
    return bytes.fromhex(text).ljust(16, b"\0")


@pytest.mark.parametrize(
    "text",
    [
        "00 00000000 00",  # TEST UNIT READY
        "1b 00000001 00",  # START STOP UNIT, start
        "1b 01000000 00",  # stop, at once
        "1b 00000010 00",  # to active
        "1b 00000030 00",  # to standby
        "1b 00000012 00",  # LOEJ means nothing beside a power condition
        "1d 040000 00 00",  # SEND DIAGNOSTIC, default self-test
        "1d 000000 00 00",
        "1e 00000000 00",  # PREVENT ALLOW MEDIUM REMOVAL
        "1e 00000001 00",
    ],
)
def test_what_is_granted(text: str) -> None:
    bench = Bench()
    assert bench.wants(cdb(text)) == 0
    assert bench.run(cdb(text)) == b""


@pytest.mark.parametrize(
    "text",
    [
        "1b 00000002 00",  # eject a medium that cannot be ejected
        "1b 00000003 00",  # load it
        "1b 00000040 00",  # a power condition that is reserved
        "1b 000000f0 00",
        "1c 0180 00ff 00",  # a diagnostic page that is not there
        "1d 200000 00 00",  # background short self-test
        "1d 100000 08 00",  # a parameter list
        "1e 00000002 00",  # obsolete PREVENT
        "a3 4a 00000000 00000100 00 00",  # a parameter data format that is reserved
    ],
)
def test_what_is_refused(text: str) -> None:
    assert Bench().refusal(cdb(text)) == "5/24/00"


@pytest.mark.parametrize(("byte", "flushed"), [(0x01, 0), (0x00, 1), (0x30, 1)])
def test_stopping_flushes(byte: int, flushed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = Flushes().watch(monkeypatch)
    Bench().run(bytes([0x1B, 0, 0, 0, byte]) + bytes(11))
    assert flushes.count == flushed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("37 00 18 00000000 0020 00", "00 18 0000"),
        ("37 00 0d 00000000 0020 00", "00 0d 0000"),
        ("37 00 18 00000000 0002 00", "00 18"),
        ("b7 18 00000000 00000020 00 00", "00 18 0000 00000000"),
        ("b7 18 00000000 00000005 00 00", "00 18 0000 00"),
        ("1c 01 00 00ff 00", "00 00 0001 00"),
        ("1c 00 00 00ff 00", "00 00 0001 00"),
        ("1c 01 00 0004 00", "00 00 0001"),
        ("a3 0a 00000000 00000100 00 00", "0000000c 00 01 0007 00 00 00 01 0000 0007"),
        ("a3 2a 00000000 00000100 00 00", "00000010 10 00 00 00 00 01 0007 00 00 00 01 0000 0007"),
        ("a3 0a 00000000 00000004 00 00", "0000000c"),
    ],
)
def test_what_is_answered(text: str, answer: str) -> None:
    assert Bench(portal_group=7).run(cdb(text)) == bytes.fromhex(answer)

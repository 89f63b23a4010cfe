from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from iscsiproxy.wire.pdu import Pdu
from tests.cli.program import program

_PING = Pdu.build(0, b"ping!", I=1, F=1, ITT=7)


def test_hex_with_comments_and_separators_from_stdin() -> None:
    text = "# a ping\n0x" + _PING.raw.hex(":") + "  # and another\n" + _PING.raw.hex(" ")
    done = program("decode", "-s", "-", stdin=text.encode())
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["0", "NOP-Out"], ["56", "NOP-Out"]]


def xxd(raw: bytes, at: int) -> str:
    return f"{at:08x}: {raw.hex(' ', 2):39}  {''.join(chr(b) if 32 <= b < 127 else '.' for b in raw)}\n"


def hexdump(raw: bytes, at: int) -> str:
    return f"{at:08x}  {raw[:8].hex(' ')}  {raw[8:].hex(' '):23}  |................|\n"


@pytest.mark.parametrize("line", [xxd, hexdump])
def test_dumps_with_offsets(line: Callable[[bytes, int], str]) -> None:
    # The characters beside the bytes look like hex digits and blanks.
    raw = Pdu.build(0, b"deadbeef    # |a1 b2    ", I=1, F=1, ITT=7).raw
    text = "".join(line(raw[at : at + 16], at) for at in range(0, len(raw), 16))
    done = program("decode", "--json", "-", stdin=text.encode())
    assert bytes.fromhex(json.loads(done.stdout)["data"]) == b"deadbeef    # |a1 b2    "


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("data", [False, True])
def test_raw_bytes_with_digests(tmp_path: Path, header: bool, data: bool) -> None:
    file = tmp_path / "raw"
    file.write_bytes(_PING.sealed(header=header, data=data).raw)
    options = [*(["-H"] if header else []), *(["-D"] if data else [])]
    done = program("decode", "--json", *options, str(file))
    facts = json.loads(done.stdout)
    assert (facts["pdu"], facts["data"], facts["fields"]["ITT"]) == ("NOP-Out", b"ping!".hex(), 7)
    assert facts["header_digest_ok"] is (True if header else None)
    assert facts["data_digest_ok"] is (True if data else None)


def test_a_truncated_tail_is_told_of_and_gives_1() -> None:
    done = program("decode", "-", stdin=_PING.raw + _PING.raw[:20])
    assert done.returncode == 1
    assert "20 bytes at offset 56 are no whole PDU: 40 80 " in done.stderr
    assert "offset 0, 56 bytes" in done.stdout


def test_a_header_that_announces_more_than_there_is_gives_1() -> None:
    long = _PING.with_fields({"DataSegmentLength": 0xFFFFFF}).raw
    done = program("decode", "-", stdin=long + bytes(1 << 21))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{len(long) + (1 << 21)} bytes at offset 0 are no whole PDU: " in done.stderr


def test_a_file_that_is_empty_or_missing_gives_2(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    done = program("decode", str(empty))
    assert (done.returncode, done.stderr) == (2, f"iscsiproxy: {empty} is empty\n")
    done = program("decode", "nowhere")
    assert (done.returncode, done.stderr) == (2, "iscsiproxy: cannot read nowhere: No such file or directory\n")

"""`iscsiproxy decode`: raw bytes or hex, read as a stream of PDUs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from iscsiproxy.errors import UsageError
from iscsiproxy.wire.describe import full, summary
from iscsiproxy.wire.framing import NEED_DATA, Framer, Unframeable
from iscsiproxy.wire.pdu import Pdu

__all__ = ["command", "read_bytes"]

#: Hex text: digits, separators, 0x, and comments from # to the end of the line.
_COMMENT = re.compile(rb"#[^\n]*")
#: A line of `xxd` or `hexdump -C`: the offset, the bytes, the bytes as characters; and the offset at the end.
_DUMPED = re.compile(
    rb"[0-9a-f]{8}: (?P<xxd>(?:[0-9a-f]{2,4} )+) .*|[0-9a-f]{8}  (?P<hexdump>[0-9a-f ]+)\|.*\||[0-9a-f]{7,8}"
)
#: More than any PDU has: a header, its AHS, 16 MiB of data, pad and digests
_LONGEST = 1 << 25
_SEPARATORS = re.compile(rb"0x|[\s:,]")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2})+")


@click.command(name="decode")
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--header-digest", "-H", is_flag=True, help="The PDUs carry header digests.")
@click.option("--data-digest", "-D", is_flag=True, help="The PDUs carry data digests.")
@click.option("--summary", "-s", "short", is_flag=True, help="One line a PDU.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a PDU.")
def command(file: str, header_digest: bool, data_digest: bool, short: bool, as_json: bool) -> None:
    """Print FILE (raw bytes, hex with # comments, xxd, hexdump -C; - for stdin) as readable PDUs.

    Exit code 1 when bytes are left over that make no whole PDU.
    """
    data = read_bytes(file)
    framer = Framer(max_pdu=_LONGEST)
    framer.header_digest, framer.data_digest = header_digest, data_digest
    framer.receive_data(data)
    offset = 0
    while (event := framer.next_event()) is not NEED_DATA:
        if isinstance(event, Unframeable):
            break
        assert isinstance(event, Pdu)
        _print(event, offset, short=short, as_json=as_json)
        offset += len(event)
    if offset < len(data):
        rest = data[offset:]
        click.echo(
            f"iscsiproxy: {len(rest)} bytes at offset {offset} are no whole PDU: {rest[:48].hex(' ')}"
            f"{' …' if len(rest) > 48 else ''}",
            err=True,
        )
        sys.exit(1)


def read_bytes(file: str) -> bytes:
    """Read a file, or stdin for `-`; hex text becomes bytes. Raises UsageError if it cannot be read or is empty."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    if not content.strip():
        raise UsageError(f"{file} is empty")
    lines = [_DUMPED.fullmatch(line) for line in content.splitlines() if line]
    if all(lines) and lines[0] is not None and lines[0].lastgroup:
        content = b"".join(line["xxd"] or line["hexdump"] or b"" for line in lines if line is not None)
    digits = _SEPARATORS.sub(b"", _COMMENT.sub(b"", content))
    if _HEX.fullmatch(digits):
        return bytes.fromhex(digits.decode())
    return content


def _print(pdu: Pdu, offset: int, *, short: bool, as_json: bool) -> None:
    if as_json:
        facts: dict[str, Any] = {"offset": offset, "pdu": pdu.label, "length": len(pdu)}
        facts["fields"] = {name: pdu[name] for name in pdu.fields}
        facts["data"] = pdu.data.hex()
        facts["header_digest_ok"] = pdu.header_digest_ok()
        facts["data_digest_ok"] = pdu.data_digest_ok()
        click.echo(json.dumps(facts))
    elif short:
        click.echo(f"{offset:8}  {summary(pdu)}")
    else:
        click.echo(f"--- offset {offset}, {len(pdu)} bytes")
        click.echo("\n".join(full(pdu)))

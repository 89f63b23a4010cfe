from __future__ import annotations

import io

from iscsiproxy.cli.plain import make_printable
from tests.cli.program import program

__all__: list[str] = []


def _printed(text: str, encoding: str) -> bytes:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    make_printable(stream)
    stream.write(text)
    stream.flush()
    return raw.getvalue()


def test_each_sign_has_one_column_in_every_encoding() -> None:
    assert _printed("├─●─▶│ ≠ é €", "ascii") == b"|-o->| # ? ?"
    assert _printed("├─●─▶│ ≠ é €", "latin-1") == "|-o->| # é ?".encode("latin-1")


def test_utf_8_is_left_as_it_is() -> None:
    assert _printed("├─●─▶│ é", "UTF8") == "├─●─▶│ é".encode()


def test_the_demonstration_in_ascii() -> None:
    done = program("demo", "--seed", "1", env={"PYTHONIOENCODING": "ascii", "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "   |-----o------>|  SCSI-Command W F" not in done.stdout  # one column for one
    assert "   |------o------>|  SCSI-Command W F" in done.stdout

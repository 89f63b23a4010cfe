from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.cli.judging import known_lists, shipped_lists
from iscsiproxy.errors import FileError, UsageError

__all__: list[str] = []


def test_every_list_that_ships_can_be_read() -> None:
    assert shipped_lists().keys() >= {"tgt-1.0.85", "libiscsi-1.19"}
    for name in shipped_lists():
        assert known_lists([name])


def test_lists_are_read_one_behind_the_other(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("- {rule: T-047, pdu: NOP-In, clause: RFC 7143 7.7, reason: it is so}\n")
    assert [one.rule for one in known_lists([str(path), str(path)])] == ["T-047", "T-047"]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--known nothing: there is no such file or list"):
        known_lists(["nothing"])
    path = tmp_path / "mine.yaml"
    path.write_text("- rule: T-047\n")
    with pytest.raises(FileError, match=r"mine.yaml:1:3: the entry has no `pdu`"):
        known_lists([str(path)])
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot read"):
        known_lists([str(path)])

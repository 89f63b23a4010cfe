from __future__ import annotations

import re

import pytest

from iscsiproxy.wire import codes
from iscsiproxy.wire.codes import LOGIN_STATUS, SCSI_STATUS, SNACK_TYPE, CodeTable

__all__: list[str] = []

TABLES = [getattr(codes, name) for name in codes.__all__ if name != "CodeTable"]


@pytest.mark.parametrize("table", TABLES, ids=repr)
def test_a_table_reads_both_ways(table: CodeTable) -> None:
    assert len(set(table.values())) == len(table)
    for value, name in table.items():
        assert table.text(value) == name
        assert table.value(name) == value
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)
    assert table.section.startswith("RFC 7143 11.")
    assert list(table) == sorted(table)


def test_an_unknown_code_is_its_number() -> None:
    assert SCSI_STATUS.text(0x55) == "0x55"
    assert SNACK_TYPE.text(9) == "0x9"
    assert LOGIN_STATUS.text(0x0F01) == "0x0f01"
    assert SCSI_STATUS.value("FINE") is None
    with pytest.raises(KeyError):
        SCSI_STATUS[0x55]


def test_repr_says_what_it_holds() -> None:
    assert repr(SCSI_STATUS) == "<CodeTable Status of 10 codes>"

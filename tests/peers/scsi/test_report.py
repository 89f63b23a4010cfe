from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.attention import LUNS_CHANGED
from iscsiproxy.peers.scsi.report import lun_list
from tests.peers.scsi.lab import GOOD, Lab, cdb_of

__all__: list[str] = []


@pytest.mark.parametrize(
    ("select", "luns"),
    [
        ("00", ["0000000000000000", "0005000000000000", "4100000000000000"]),
        ("01", []),
        ("02", ["0000000000000000", "0005000000000000", "4100000000000000"]),
    ],
)
def test_which_logical_units_there_are(select: str, luns: list[str]) -> None:
    data = lun_list([0, 5, 256], cdb_of(f"a0 00 {select} 000000 00000100"))
    assert data == (8 * len(luns)).to_bytes(4, "big") + bytes(4) + bytes.fromhex("".join(luns))


def test_the_length_is_that_of_the_whole_list() -> None:
    assert lun_list([0, 5, 6], cdb_of("a0 00 00 000000 00000010")) == bytes([0, 0, 0, 24]) + bytes(12)


@pytest.mark.parametrize("text", ["a0 00 00 000000 0000000f", "a0 00 03 000000 00000100", "a0 00 10 000000 00000100"])
def test_what_cannot_be_asked(text: str) -> None:
    assert Lab().host("one").do(text) == "5/24/00"


def test_the_list_tells_that_it_has_changed() -> None:
    lab = Lab()
    host = lab.host("one")
    lab.unit.attentions.post(host.nexus, LUNS_CHANGED)
    assert host.do("a0 00 00 000000 00000100") == GOOD
    assert host.attentions() == []


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("03 00 0000 ff 00", "70 00 00 00000000 0a" + "00" * 10),
        ("03 01 0000 ff 00", "72" + "00" * 7),
        ("03 00 0000 04 00", "70000000"),
        ("03 00 0000 00 00", ""),
    ],
)
def test_no_sense(text: str, data: str) -> None:
    host = Lab().host("one")
    assert host.do(text) == GOOD
    assert host.data == bytes.fromhex(data)

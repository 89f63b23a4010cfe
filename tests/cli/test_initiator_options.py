from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.cli.initiator_options import io_settings, read_peer_options
from iscsiproxy.errors import UsageError
from iscsiproxy.peers.initiator.commands import Capacity
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS
from iscsiproxy.peers.initiator.settings import DEFAULT_INITIATOR, Account
from iscsiproxy.peers.workload.contents import Ordering
from iscsiproxy.peers.workload.load import WorkloadSettings

__all__: list[str] = []

_URL = "iscsi://storage:3261/iqn.2004-01.com.example:t/3"
_PEER: dict[str, Any] = {
    "initiator_name": DEFAULT_INITIATOR,
    "isid": None,
    "keys": (),
    "header_digest": None,
    "data_digest": None,
    "chap": None,
    "mutual_chap": None,
    "timeout": None,
    "quirks": (),
    "as_json": False,
    "verbose": False,
}
_IO: dict[str, Any] = {
    "seconds": None,
    "count": None,
    "depth": 8,
    "size": "mix",
    "read_percent": 50,
    "overlap": False,
    "flush": None,
    "place": None,
    "verify": True,
}


@pytest.fixture(autouse=True)
def _no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISCSIPROXY_CHAP", "ISCSIPROXY_MUTUAL_CHAP"):
        monkeypatch.delenv(name, raising=False)


# --- which target, and how -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "portal", "target", "lun"),
    [
        (_URL, ("storage", 3261), "iqn.2004-01.com.example:t", 3),
        ("iscsi://storage/iqn.2004-01.com.example:t", ("storage", 3260), "iqn.2004-01.com.example:t", None),
        ("iscsi://storage/iqn.2004-01.com.example:t/0", ("storage", 3260), "iqn.2004-01.com.example:t", 0),
        ("storage:3261", ("storage", 3261), None, None),
        ("[::1]:3261/iqn.2004-01.com.example:t/1", ("::1", 3261), "iqn.2004-01.com.example:t", 1),
        ("storage", ("storage", 3260), None, None),
    ],
)
def test_an_address_may_leave_out_what_is_to_be_found(
    url: str, portal: tuple[str, int], target: str | None, lun: int | None
) -> None:
    peer = read_peer_options(url, _PEER)
    assert (peer.portal, peer.settings.target, peer.lun) == (portal, target, lun)


def test_what_is_asked_for_becomes_settings() -> None:
    peer = read_peer_options(
        _URL,
        _PEER
        | {
            "initiator_name": "iqn.2004-01.com.example:me",
            "isid": "0x800000000001",
            "keys": ("MaxBurstLength=4096", "X-me=a=b", "TaskReporting="),
            "header_digest": "crc32c",
            "data_digest": "prefer",
            "timeout": 5.0,
        },
    )
    settings = peer.settings
    assert (settings.initiator, settings.isid) == ("iqn.2004-01.com.example:me", 0x800000000001)
    assert settings.offers == {"MaxBurstLength": "4096", "X-me": "a=b", "TaskReporting": ""}
    assert (settings.header_digests, settings.data_digests) == (("CRC32C",), ("CRC32C", "None"))
    assert settings.command_timeout == 5.0
    assert read_peer_options(_URL, _PEER | {"data_digest": "none"}).settings.data_digests == ("None",)


def test_two_that_run_at_once_are_two_initiator_ports() -> None:
    assert read_peer_options(_URL, _PEER).settings.isid != read_peer_options(_URL, _PEER).settings.isid


def test_an_account_comes_from_the_option_the_environment_or_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_peer_options("iscsi://me%secret@storage", _PEER).settings.account == Account(
        name="me", secret=b"secret"
    )
    monkeypatch.setenv("ISCSIPROXY_CHAP", "env:two:three")
    monkeypatch.setenv("ISCSIPROXY_MUTUAL_CHAP", "they:four")
    settings = read_peer_options("iscsi://me%secret@storage", _PEER).settings
    assert settings.account == Account(name="env", secret=b"two:three")
    assert settings.mutual == Account(name="they", secret=b"four")
    assert read_peer_options(_URL, _PEER | {"chap": "a:b"}).settings.account == Account(name="a", secret=b"b")


def test_quirks_and_whole_initiators_make_a_conduct() -> None:
    assert type(read_peer_options(_URL, _PEER).conduct).__mro__[1:] == (Conduct, object)
    name = next(iter(QUIRKS))
    assert isinstance(read_peer_options(_URL, _PEER | {"quirks": (name,)}).conduct, QUIRKS[name])
    for whole, quirks in PERSONALITIES.items():
        conduct = read_peer_options(_URL, _PEER | {"quirks": (whole,)}).conduct
        assert all(isinstance(conduct, QUIRKS[quirk]) for quirk in quirks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"isid": "xyz"}, "--isid 'xyz': expected 12 hexadecimal digits"),
        ({"isid": "1000000000000"}, "--isid '1000000000000': expected 12 hexadecimal digits"),
        ({"keys": ("x",)}, "-k 'x': expected KEY=VALUE"),
        ({"chap": "secret-alone"}, "--chap: expected USER:SECRET"),
        ({"mutual_chap": "a:b"}, "--mutual-chap needs --chap too"),
        (
            {"quirks": ("libiscsi-asinc",)},
            "no quirk is called 'libiscsi-asinc' (did you mean libiscsi-async?); see --list-quirks",
        ),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_peer_options(_URL, _PEER | changes)
    assert str(raised.value) == message


# --- the load --------------------------------------------------------------------------------------------------------


def _io(capacity: int = 1 << 20, block: int = 512, **changes: Any) -> WorkloadSettings:
    return io_settings(
        _IO | changes,
        lun=1,
        capacity=Capacity(blocks=capacity, block_length=block),
        ordering=Ordering.ORDERED,
    )


def test_a_load_is_what_was_asked_for() -> None:
    settings = _io(count=5, depth=3, read_percent=25, flush=7, overlap=True, verify=False, size="4k,64K")
    assert (settings.first, settings.blocks, settings.block_size) == (0, 1 << 20, 512)
    assert settings.sizes == ((8, 1), (128, 1))
    assert (settings.count, settings.seconds, settings.depth, settings.reads) == (5, None, 3, 0.25)
    assert (settings.flush_every, settings.overlap, settings.verify) == (7, True, False)


def test_without_an_end_it_takes_ten_seconds() -> None:
    assert (_io().seconds, _io(seconds=3.0).seconds, _io(seconds=3.0, count=4).count) == (10.0, 3.0, 4)


def test_a_seed_does_not_make_the_data_of_two_runs_the_same() -> None:
    assert _io().run != _io().run


@pytest.mark.parametrize(
    ("place", "first", "blocks"),
    [("2048+1024", 2048, 1024), ("1M", 0, 2048), ("4096", 0, 8), ("0+1", 0, 1), (None, 0, 1 << 20)],
)
def test_a_range_is_blocks_or_a_size(place: str | None, first: int, blocks: int) -> None:
    settings = _io(place=place, size="512")
    assert (settings.first, settings.blocks) == (first, blocks)


def test_of_a_huge_unit_a_part_is_used() -> None:
    assert _io(capacity=1 << 40).blocks == (1 << 30) // 512
    assert _io(capacity=1 << 40, block=4096).blocks == (1 << 30) // 4096


def test_a_mix_takes_what_fits() -> None:
    assert [size for size, _ in _io().sizes] == [8, 16, 128, 512]
    assert [size for size, _ in _io(place="0+16").sizes] == [8, 16]
    assert next(size for size, _ in _io(block=8192).sizes) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"place": "x"}, "--range 'x': expected LBA+BLOCKS or a size, as in 2048+1024 or 64M"),
        ({"place": "1+"}, "--range '1+': expected LBA+BLOCKS or a size, as in 2048+1024 or 64M"),
        ({"place": "0+0"}, "--range '0+0': expected 1 block or more of the 1048576 there are"),
        ({"place": "1T"}, "--range '1T': expected 1 block or more of the 1048576 there are"),
        ({"place": "1048575+2"}, "--range '1048575+2': expected 1 block or more of the 1048576 there are"),
        ({"size": "big"}, "--size 'big': expected a size like 4k, several like 4k,64k, or mix"),
        ({"size": "1000"}, "--size 1000: expected 1 to 65535 whole blocks of 512 bytes"),
        ({"size": "64M"}, "--size 64M: expected 1 to 65535 whole blocks of 512 bytes"),
        ({"size": "64k", "place": "4k"}, "--size 64k: more than the 8 blocks there are"),
    ],
)
def test_what_does_not_go_with_the_unit_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        _io(**changes)
    assert str(raised.value) == message

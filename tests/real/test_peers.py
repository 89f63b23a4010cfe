from __future__ import annotations

import pytest

from tests.real import peers

__all__: list[str] = []


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_which", lambda _name: None)


@pytest.mark.usefixtures("nothing_installed")
def test_each_missing_program_is_named() -> None:
    assert peers.missing("tgtd") == ["tgtd: tgtd is not installed", "tgtd: tgtadm is not installed"]
    assert {line.partition(":")[0] for line in peers.missing()} == set(peers.USUAL)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("unset", [None, "", "0"])
def test_a_missing_peer_skips(monkeypatch: pytest.MonkeyPatch, unset: str | None) -> None:
    if unset is None:
        monkeypatch.delenv(peers.REQUIRE, raising=False)
    else:
        monkeypatch.setenv(peers.REQUIRE, unset)
    with pytest.raises(pytest.skip.Exception, match="tshark is not installed"):
        peers.need("tshark")


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_peer_that_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(peers.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="tshark is not installed"):
        peers.need("tshark")


def test_QEMU_without_its_iSCSI_driver_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(peers, "_qemu_speaks_iscsi", lambda: False)
    assert peers.missing("qemu") == ["qemu: its iSCSI block driver is not installed"]
    assert peers.missing("tgtd") == []


@pytest.mark.peers
def test_the_peers_of_this_machine_are_complete() -> None:
    assert peers.missing() == []
    peers.need()

from __future__ import annotations

import pytest

from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.peers.initiator.url import parse_url, split_address


def test_a_URL_names_portal_target_LUN_and_account() -> None:
    url = parse_url("iscsi://me%25%40%s3cret@[::1]:3261/iqn.2026-01.example:disk/5")
    assert (url.portal, url.target, url.lun) == (("::1", 3261), "iqn.2026-01.example:disk", 5)
    assert url.account is not None
    assert url.account.name == "me"


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("iscsi://host", "host", 3260, None),
        ("iscsi://host/", "host", 3260, None),
        ("iscsi://host:1/iqn.a", "host", 1, "iqn.a"),
        ("iscsi://[fe80::1]/iqn.a/0", "fe80::1", 3260, "iqn.a"),
    ],
)
def test_what_is_left_out_has_its_default(text: str, host: str, port: int, target: str | None) -> None:
    url = parse_url(text)
    assert (url.host, url.port, url.target, url.lun, url.account) == (host, port, target, 0, None)


@pytest.mark.parametrize(
    "text",
    [
        *("host:3260", "http://host", "iscsi://", "iscsi://:3260", "iscsi://host:x", "iscsi://host:0"),
        *("iscsi://host:65536", "iscsi://[::1", "iscsi://[::1]x", "iscsi://host/iqn.a/one", "iscsi://u%secret@:1"),
    ],
)
def test_another_address_is_an_error_that_shows_no_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)


def test_a_TargetAddress_is_read_with_and_without_portal_group() -> None:
    assert split_address("10.0.0.1:3261,1") == ("10.0.0.1", 3261)
    assert split_address("host") == ("host", 3260)
    assert split_address("[::1]:99,2") == ("::1", 99)
    with pytest.raises(PeerError, match="TargetAddress"):
        split_address("host:port,1")

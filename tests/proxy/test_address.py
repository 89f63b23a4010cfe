from __future__ import annotations

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("storage:3260", "storage", 3260),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("storage", "storage", 3260),
        ("[::1]:3261", "::1", 3261),
        ("[fe80::1]", "fe80::1", 3260),
        (":3261", "127.0.0.1", 3261),
        (":0", "127.0.0.1", 0),
    ],
)
def test_reads(text: str, host: str, port: int) -> None:
    assert parse_address(text, default_host="127.0.0.1") == Address(host, port)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("::1:3260", "brackets"),
        ("[::1:3260", "[IPv6]:port"),
        ("[::1]3260", "[IPv6]:port"),
        ("[name]:1", "no IPv6 address"),
        ("host:http", "'http' is no port number"),
        ("host:65536", "no port number"),
        ("host:-1", "no port number"),
        ("host:", "port is missing"),
        ("", "host is missing"),
        (":1", "host is missing"),
    ],
)
def test_refuses(text: str, fragment: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        parse_address(text)
    assert fragment in str(caught.value)


def test_prints_what_it_reads() -> None:
    for text in ("storage:3260", "[::1]:3261"):
        assert str(parse_address(text)) == text


def test_of_socket_names() -> None:
    assert Address.of(("::ffff:10.0.0.1", 5, 0, 0)) == Address("10.0.0.1", 5)
    assert Address.of(("fe80::1%eth0", 5, 0, 2)) == Address("fe80::1", 5)


def test_wildcards() -> None:
    assert Address("0.0.0.0", 1).is_wildcard
    assert Address("::", 1).is_wildcard
    assert not Address("127.0.0.1", 1).is_wildcard
    assert not Address("storage", 1).is_wildcard

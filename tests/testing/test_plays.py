from __future__ import annotations

import socket

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy import Address
from iscsiproxy.testing.plays import held

__all__: list[str] = []


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_a_free_port_is_held_while_one_listener_follows_the_other() -> None:
    with held(Address("127.0.0.1", 0)) as address:
        for _ in range(2):
            with _listener(address.port), socket.create_connection((address.host, address.port)):
                pass
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", address.port))


def test_a_port_that_was_asked_for_is_given_as_it_is() -> None:
    address = Address("127.0.0.1", 3261)
    with held(address) as same:
        assert same is address


def test_a_host_that_is_not_here_is_told() -> None:
    with pytest.raises(UsageError, match=r"cannot listen at 192\.0\.2\.1"), held(Address("192.0.2.1", 0)):
        pass

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from iscsiproxy.api.address import ApiAddress, check_private, default_directory, is_answered, parse_api_address
from iscsiproxy.errors import UsageError

__all__: list[str] = []


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISCSIPROXY_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("/run/x.sock", ApiAddress(path=Path("/run/x.sock")), "/run/x.sock"),
        ("./x", ApiAddress(path=Path("x")), "x"),
        ("x.sock", ApiAddress(path=Path("x.sock")), "x.sock"),
        ("/tmp/a:3", ApiAddress(path=Path("/tmp/a:3")), "/tmp/a:3"),
        ("unix:x", ApiAddress(path=Path("x")), "x"),
        ("localhost:80", ApiAddress(host="localhost", port=80), "http://localhost:80"),
        (":8080", ApiAddress(host="127.0.0.1", port=8080), "http://127.0.0.1:8080"),
        ("[::1]:80", ApiAddress(host="::1", port=80), "http://[::1]:80"),
        ("http://127.0.0.1:81/", ApiAddress(host="127.0.0.1", port=81), "http://127.0.0.1:81"),
        ("http://[::1]", ApiAddress(host="::1", port=80), "http://[::1]:80"),
        ("https://lab", ApiAddress(host="lab", port=443, secure=True), "https://lab:443"),
    ],
)
def test_an_address_is_read_and_shown(text: str, address: ApiAddress, shown: str) -> None:
    assert parse_api_address(text) == address
    assert str(address) == shown
    assert parse_api_address(shown if "/" in shown or ".sock" in shown else f"unix:{shown}") == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lab",
        "unix:",
        "8080",
        "http://",
        "http://a:b",
        "http://a/v1",
        "http://a?x",
        "http://me@a",
        "http://[::1",
        "a:b",
    ],
)
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no address of an API: expected the path of a socket, unix:PATH"):
        parse_api_address(text)


def test_a_port_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"65536 is no port number \(0 to 65535\)"):
        parse_api_address(":65536")


def test_the_token_is_the_one_given_or_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISCSIPROXY_TOKEN", "theirs")
    assert parse_api_address(":1", token="mine").token == "mine"
    assert parse_api_address("http://localhost").token == "theirs"
    assert parse_api_address("/x.sock").token is None
    monkeypatch.setenv("ISCSIPROXY_TOKEN", "")
    assert parse_api_address(":1").token is None


def test_a_token_is_not_shown() -> None:
    address = ApiAddress(host="127.0.0.1", port=1, token="mine")
    assert "mine" not in f"{address} {address!r}"


def test_the_default_directory_is_that_of_the_session_or_one_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert default_directory() == Path("/run/user/7/iscsiproxy")
    ours = Path(f"/tmp/iscsiproxy-{os.getuid()}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "not/absolute")
    assert default_directory() == ours
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_directory() == ours


def test_a_directory_of_our_own_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    check_private(tmp_path)


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o755, 0o777])
def test_a_directory_that_is_open_to_others_is_not(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UsageError, match=rf"is open to others \(mode 0{mode:o}\)"):
        check_private(tmp_path)


def test_neither_is_what_is_no_directory_or_leads_elsewhere(tmp_path: Path) -> None:
    real, link, file = tmp_path / "real", tmp_path / "link", tmp_path / "file"
    real.mkdir(mode=0o700)
    link.symlink_to(real)
    file.touch(mode=0o600)
    for path in (link, file):
        with pytest.raises(UsageError, match="is not a directory"):
            check_private(path)
    with pytest.raises(FileNotFoundError):
        check_private(tmp_path / "none")


def test_a_directory_of_somebody_else_is_not_private(tmp_path: Path) -> None:
    theirs = Path("/")
    if os.getuid() == 0:
        theirs = tmp_path
        os.chown(theirs, 4711, -1)
    with pytest.raises(UsageError, match=f"belongs to user {theirs.stat().st_uid}, not to {os.getuid()}"):
        check_private(theirs)


def test_a_socket_is_answered_while_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    assert not is_answered(path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        assert not is_answered(path)
        sock.listen()
        assert is_answered(path)
    assert not is_answered(path)


def test_one_that_cannot_say_is_taken_to_be_answered(tmp_path: Path) -> None:
    assert is_answered(tmp_path / ("x" * 200))

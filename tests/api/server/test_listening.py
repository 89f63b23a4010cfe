from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from iscsiproxy.api.address import ApiAddress, is_answered
from iscsiproxy.api.server.listening import default_address, listening
from iscsiproxy.errors import UsageError

__all__: list[str] = []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


def said(address: ApiAddress) -> str:
    with pytest.raises(UsageError) as caught, listening(address):
        pass
    return str(caught.value)


# --- a Unix socket -------------------------------------------------------------------------------------------------


def test_a_socket_is_only_its_owners_and_gone_at_the_end(path: Path) -> None:
    before = os.umask(0)
    try:
        with listening(ApiAddress(path=path)) as (sock, bound):
            assert bound == ApiAddress(path=path)
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600
            assert is_answered(path)
            assert not sock.getblocking()
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_socket_that_a_dead_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(ApiAddress(path=path)):
        assert is_answered(path)


def test_a_socket_that_is_answered_is_not(path: Path) -> None:
    with listening(ApiAddress(path=path)):
        assert said(ApiAddress(path=path)) == f"cannot listen at {path}: another program answers there"
        assert is_answered(path)


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("mine")
    assert said(ApiAddress(path=path)) == f"cannot listen at {path}: there is a file that is not a socket"
    assert path.read_text() == "mine"


def test_a_link_is_left_alone_wherever_it_leads(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    assert said(ApiAddress(path=path)) == f"cannot listen at {path}: there is a file that is not a socket"
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("name", "why"), [("no/x.sock", "No such file or directory"), ("x" * 200, "AF_UNIX path too long")]
)
def test_a_path_where_no_socket_can_be(tmp_path: Path, name: str, why: str) -> None:
    assert said(ApiAddress(path=tmp_path / name)) == f"cannot listen at {tmp_path / name}: {why}"


def test_what_has_taken_our_place_meanwhile_stays(path: Path) -> None:
    with listening(ApiAddress(path=path)):
        path.unlink()
        path.write_text("theirs")
    assert path.read_text() == "theirs"


def test_a_socket_that_is_gone_already_is_no_error(path: Path) -> None:
    with listening(ApiAddress(path=path)):
        path.unlink()


# --- the default directory -----------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "iscsiproxy"


def test_the_default_is_named_by_the_process_in_a_directory_of_our_own(directory: Path) -> None:
    before = os.umask(0)
    try:
        assert default_address() == ApiAddress(path=directory / f"{os.getpid()}.sock")
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_default_directory_that_others_could_use_is_not_used(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(UsageError, match=r"is open to others \(mode 0755\): it is not used"):
        default_address()


def test_a_default_directory_that_cannot_be_made(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory / "none"))
    with pytest.raises(UsageError, match="for the socket of the API: No such file or directory"):
        default_address()


def test_what_dead_processes_left_there_is_taken_away_and_nothing_else(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    pid = int(ended.stdout)
    dead, alive, other = directory / f"{pid}.sock", directory / "1.sock", directory / "lab.sock"
    for path in (dead, alive, other):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    default_address()
    assert [path.exists() for path in (dead, alive, other)] == [False, True, True]


def test_what_is_answered_there_stays_though_its_process_is_not_seen(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    path = directory / "4194305.sock"  # above the largest pid that Linux gives
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        default_address()
        assert path.exists()
    default_address()
    assert not path.exists()


# --- loopback ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "bound_to"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")])
def test_loopback_gets_a_port_and_a_token(host: str, bound_to: str) -> None:
    with listening(ApiAddress(host=host)) as (sock, bound):
        assert (bound.host, bound.port) == (bound_to, sock.getsockname()[1])
        assert bound.port
        assert bound.token is not None
        assert len(bound.token) >= 32
        socket.create_connection((bound.host, bound.port)).close()
    with listening(ApiAddress(host=host)) as (_, again):
        assert again.token != bound.token


def test_a_token_that_was_chosen_is_kept() -> None:
    with listening(ApiAddress(host="127.0.0.1", token="mine")) as (_, bound):
        assert bound.token == "mine"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "::ffff:127.0.0.1", "", "127.1"])
def test_nothing_else_is_listened_at(host: str) -> None:
    assert "the API is served on loopback only (127.0.0.1, ::1)" in said(ApiAddress(host=host))


def test_there_is_no_tls() -> None:
    assert said(ApiAddress(host="127.0.0.1", port=1, secure=True)) == (
        "https://127.0.0.1:1: the API is served as plain HTTP, on loopback"
    )


def test_a_port_that_is_taken() -> None:
    with listening(ApiAddress(host="127.0.0.1")) as (_, bound):
        assert said(bound) == f"cannot serve the API at {bound}: Address already in use"

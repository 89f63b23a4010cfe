"""The socket that the API listens on: nobody but its owner can open it, and it is gone when it is no longer used.

A Unix socket has the mode 0600 from the moment it is there. One that is answered is never replaced, one that a dead
process left behind is; what is not a socket is left alone.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from iscsiproxy.api.address import ApiAddress, check_private, default_directory, is_answered
from iscsiproxy.errors import UsageError

__all__ = ["default_address", "listening"]

_BACKLOG = 16
#: Bytes of randomness in a token that nobody has chosen
_TOKEN_BYTES = 24
_LEFT_BEHIND = re.compile(r"([0-9]+)\.sock")


def default_address() -> ApiAddress:
    """Give the address of a proxy that was told none: `<pid>.sock` in the default directory, which is made if need be.

    Sockets that dead processes left there are taken away. Raises UsageError if the directory cannot be used safely.
    """
    directory = default_directory()
    try:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        check_private(directory)
    except OSError as error:
        raise UsageError(f"cannot make {directory} for the socket of the API: {error.strerror}") from error
    for path in directory.iterdir():
        match = _LEFT_BEHIND.fullmatch(path.name)
        # Where directories are shared by containers a process of which we know nothing may be alive.
        if match and not _is_running(int(match[1])) and not is_answered(path):
            path.unlink(missing_ok=True)
    return ApiAddress(path=directory / f"{os.getpid()}.sock")


@contextmanager
def listening(address: ApiAddress) -> Iterator[tuple[socket.socket, ApiAddress]]:
    """Listen until the end of the block; gives the socket, not blocking, and the address as it is bound.

    Loopback without a token gets one. Raises UsageError if that cannot be, or must not.
    """
    if address.path is not None:
        with _on_path(address.path) as sock:
            yield sock, address
    else:
        with _on_loopback(address) as sock:
            name = sock.getsockname()
            yield (
                sock,
                replace(
                    address, host=name[0], port=name[1], token=address.token or secrets.token_urlsafe(_TOKEN_BYTES)
                ),
            )


# --- a Unix socket -------------------------------------------------------------------------------------------------


@contextmanager
def _on_path(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        # Linux makes the file with the mode of the descriptor: there is no moment in which others could open it.
        os.fchmod(sock.fileno(), 0o600)
        _bind(sock, path)
        made = path.lstat()
        try:
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            yield sock
        finally:
            with suppress(OSError):
                if os.path.samestat(path.lstat(), made):
                    path.unlink()


def _bind(sock: socket.socket, path: Path) -> None:
    try:
        if path.is_symlink() or path.exists():
            _make_way(path)
        sock.bind(str(path))
    except OSError as error:
        raise UsageError(f"cannot listen at {path}: {error.strerror or error}") from error


def _make_way(path: Path) -> None:
    """Take a socket away that nobody answers at. Raises UsageError if it is no socket, or is answered."""
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise UsageError(f"cannot listen at {path}: there is a file that is not a socket")
    if is_answered(path):
        raise UsageError(f"cannot listen at {path}: another program answers there")
    path.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


# --- loopback ------------------------------------------------------------------------------------------------------


@contextmanager
def _on_loopback(address: ApiAddress) -> Iterator[socket.socket]:
    host = _loopback(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, address.port))
            sock.listen(_BACKLOG)
        except OSError as error:
            raise UsageError(f"cannot serve the API at {address}: {error.strerror or error}") from error
        sock.setblocking(False)
        yield sock


def _loopback(address: ApiAddress) -> str:
    """Give the address to bind. Raises UsageError for anything but loopback."""
    if address.secure:
        raise UsageError(f"{address}: the API is served as plain HTTP, on loopback")
    if address.host == "localhost":
        return "127.0.0.1"
    with suppress(ValueError):
        ip = ip_address(address.host)
        if ip.is_loopback and not (isinstance(ip, IPv6Address) and (ip.ipv4_mapped or ip.scope_id)):
            return str(ip)
    raise UsageError(
        f"{address}: the API is served on loopback only (127.0.0.1, ::1); `ssh -L` reaches it from elsewhere"
    )

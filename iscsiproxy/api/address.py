"""Where the API of a proxy is found: a Unix socket that only its owner can open, or loopback with a token.

Both ends read addresses here, so that what the server prints is what a client takes. A proxy that is told nothing puts
its socket, `<pid>.sock`, into the default directory, where clients look for it.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from iscsiproxy.errors import UsageError

__all__ = ["TOKEN_VARIABLE", "ApiAddress", "check_private", "default_directory", "is_answered", "parse_api_address"]

#: The environment variable that has the token where none is given
TOKEN_VARIABLE = "ISCSIPROXY_TOKEN"  # noqa: S105 - the name of a variable, not a token

_LOOPBACK = "127.0.0.1"
#: How long a socket has to say whether somebody answers there, in seconds
_PATIENCE = 1.0
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^/:\s]*)):(?P<port>[0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """The path of a socket; or a host (no brackets), a port and the token to show there."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    secure: bool = False
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.secure else ''}://{host}:{self.port}"


def parse_api_address(text: str, *, token: str | None = None) -> ApiAddress:
    """Read the path of a socket, `unix:PATH`, `HOST:PORT`, `:PORT` (of loopback) or `http://HOST:PORT`.

    A token that is not given is taken from the environment (`ISCSIPROXY_TOKEN`). Raises UsageError for anything else.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return ApiAddress(path=Path(text.removeprefix("unix:")))
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    if text.startswith(("http://", "https://")):
        return _of_url(text, token)
    if match := _HOST_AND_PORT.fullmatch(text):
        host = match["v6"] or match["host"] or _LOOPBACK
        return ApiAddress(host=host, port=_port(text, int(match["port"])), token=token)
    if "/" in text or text.endswith(".sock"):
        return ApiAddress(path=Path(text))
    raise _not_one(text)


def _of_url(text: str, token: str | None) -> ApiAddress:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:  # no number, or brackets that do not close
        raise _not_one(text) from None
    secure = url.scheme == "https"
    if not host or url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise _not_one(text)
    return ApiAddress(host=host, port=port or (443 if secure else 80), secure=secure, token=token)


def _port(text: str, port: int) -> int:
    if port > 65535:
        raise UsageError(f"{text!r}: {port} is no port number (0 to 65535)")
    return port


def _not_one(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is no address of an API: expected the path of a socket, unix:PATH, HOST:PORT or http://HOST:PORT"
    )


def default_directory() -> Path:
    """Give the directory where proxies of this user put their sockets; it need not be there yet."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or ".")
    # A relative path is to be passed over (XDG Base Directory Specification, "Basics").
    return runtime / "iscsiproxy" if runtime.is_absolute() else Path(f"/tmp/iscsiproxy-{os.getuid()}")  # noqa: S108 - made with care, and looked at before use


def check_private(directory: Path) -> None:
    """Make sure that nobody else can put a socket there, or open one.

    Raises UsageError that says what is wrong; FileNotFoundError if there is no such directory.
    """
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{directory} is not a directory: sockets of the API cannot be kept there")
    if status.st_uid != os.getuid():
        raise UsageError(f"{directory} belongs to user {status.st_uid}, not to {os.getuid()}: it is not used")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise UsageError(f"{directory} is open to others (mode {mode:04o}): it is not used; `chmod 700` makes it ours")


def is_answered(path: Path) -> bool:
    """Tell whether a process listens at a Unix socket; one that cannot say so is taken to be busy."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True

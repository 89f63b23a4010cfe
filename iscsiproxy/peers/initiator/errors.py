"""How an initiator's business ends when it does not end well.

Two kinds: the session is over (`ConnectionLost` and its kin), or one command is and the session goes on
(`CommandFailed` and its kin). A command that was answered has not failed, whatever its status says.
"""

from __future__ import annotations

from typing import Self

from iscsiproxy.errors import PeerError
from iscsiproxy.wire.codes import LOGIN_STATUS, REJECT_REASON

__all__ = [
    "CommandAborted",
    "CommandFailed",
    "CommandRejected",
    "CommandTimeout",
    "ConnectionLost",
    "LoginFailed",
    "ProtocolError",
    "Redirected",
]


class _RepeatableError(PeerError):
    """An error that several tasks have to hear."""

    def again(self) -> Self:
        """Make a fresh exception that says the same, for one more who has to hear it."""
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        copy.__cause__ = self
        return copy


class ConnectionLost(_RepeatableError):  # noqa: N818 -- what happened, not a fault of anybody's
    """The connection, and with it the session, is gone.

    `time2wait` is how long to wait before the next login, in seconds, if the target said so (RFC 7143 7.5).
    """

    def __init__(self, message: str, *, time2wait: int | None = None) -> None:
        self.time2wait = time2wait
        super().__init__(message)


class ProtocolError(ConnectionLost):
    """The target broke the protocol in a way that ends the session; `section` is what it broke."""

    def __init__(self, message: str, *, section: str) -> None:
        self.section = section
        super().__init__(f"{message} ({section})")


class LoginFailed(ConnectionLost):
    """The target refused the login: `status` is class << 8 | detail (RFC 7143 11.13.5)."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"login refused: {status:04x} {LOGIN_STATUS.text(status)}")

    @property
    def temporary(self) -> bool:
        """Whether another try may go better: a target error, not an initiator's (RFC 7143 11.13.5)."""
        return self.status >> 8 == 3


class Redirected(LoginFailed):
    """The target is elsewhere: `addresses` are the TargetAddress values, as they came (RFC 7143 11.13.5)."""

    def __init__(self, status: int, addresses: tuple[str, ...]) -> None:
        super().__init__(status)
        self.addresses = addresses


class CommandFailed(_RepeatableError):  # noqa: N818 -- as above
    """One command ended without an answer of its own."""


class CommandAborted(CommandFailed):
    """A task management function or the target ended the command (RFC 7143 4.2.3, 11.9.1)."""


class CommandTimeout(CommandFailed):
    """The command had no answer in time, and was aborted (RFC 7143 7.11)."""


class CommandRejected(CommandFailed):
    """The target rejected a PDU of the command: `reason` is the Reject's (RFC 7143 11.17.1)."""

    def __init__(self, reason: int) -> None:
        self.reason = reason
        super().__init__(f"rejected: {REJECT_REASON.text(reason)}")

"""What comes back from a proxy: the answer, why there is none, or that nobody is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.models import Problem
from iscsiproxy.errors import FileError, UserError

__all__ = ["ApiError", "Unreachable", "checked", "decoded", "reaching"]


class ApiError(UserError):
    """The proxy has refused what was asked, and nothing has changed; `problem` is what it says.

    It reads like an error of the command line. `others` are further errors of the same file.
    """

    def __init__(self, status: int, problem: Problem) -> None:
        self.status = status
        self.problem = problem
        self.others = tuple(ApiError(status, other) for other in problem.others)
        told = FileError(
            problem.message, file=problem.file, line=problem.line, column=problem.column, hint=problem.hint
        )
        super().__init__(str(told))

    @property
    def error(self) -> str:
        """What is wrong, for programs: `confirm`, `not_found` and so on."""
        return self.problem.error


class Unreachable(UserError):  # noqa: N818 - read as what the proxy is
    """No proxy answers there, or what does is none."""


@contextmanager
def reaching(address: ApiAddress) -> Iterator[None]:
    """Raise Unreachable where the block fails to speak to the proxy."""
    try:
        yield
    except httpx.ConnectError as error:
        raise Unreachable(f"no proxy answers at {address}: {error}") from error
    except httpx.TimeoutException as error:
        raise Unreachable(f"the proxy at {address} does not answer") from error
    except httpx.RequestError as error:
        raise Unreachable(f"the proxy at {address} has gone: {error}") from error


def checked(response: httpx.Response, address: ApiAddress) -> None:
    """Raise what a response that was read says, if that is not what was asked for."""
    if response.is_success:
        return
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreachable(f"what answers at {address} is no API of a proxy: HTTP {response.status_code}") from None
    raise ApiError(response.status_code, problem)


def decoded(content: bytes, kind: Any, address: ApiAddress) -> Any:
    """Read an answer; members that are not known are passed over. Raises Unreachable if it is of no known kind."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreachable(f"the proxy at {address} says what this version does not understand: {error}") from error

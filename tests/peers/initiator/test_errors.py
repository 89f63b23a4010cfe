from __future__ import annotations

import pytest

from iscsiproxy.errors import PeerError
from iscsiproxy.peers.initiator.errors import (
    CommandAborted,
    CommandRejected,
    ConnectionLost,
    LoginFailed,
    ProtocolError,
    Redirected,
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionLost("gone", time2wait=3), "gone"),
        (ProtocolError("StatSN 4, expected 5", section="RFC 7143 7.9"), "StatSN 4, expected 5 (RFC 7143 7.9)"),
        (LoginFailed(0x0203), "login refused: 0203 NOT_FOUND"),
        (Redirected(0x0101, ("a",)), "login refused: 0101 TARGET_MOVED_TEMPORARILY"),
        (CommandAborted("by LUN RESET"), "by LUN RESET"),
        (CommandRejected(4), "rejected: PROTOCOL_ERROR"),
    ],
)
def test_an_error_can_be_raised_again_with_all_it_says(
    error: ConnectionLost | CommandAborted | CommandRejected, said: str
) -> None:
    again = error.again()
    assert isinstance(again, PeerError)
    assert type(again) is type(error)
    assert again is not error
    assert (str(again), vars(again)) == (said, vars(error))
    assert again.__cause__ is error


def test_a_target_error_may_pass_and_an_initiator_error_does_not() -> None:
    assert LoginFailed(0x0301).temporary
    assert not LoginFailed(0x0201).temporary

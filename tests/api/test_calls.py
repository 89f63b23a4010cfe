from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.api import models, operations
from iscsiproxy.api.calls import Awaiting, Call, Method, Operations, Waiting
from iscsiproxy.api.operations import OPERATIONS

__all__: list[str] = []


class Plain(Waiting):
    """Gives back what it is asked."""

    def ask(self, call: Call[Any]) -> Any:
        return call


class Later(Awaiting):
    """Gives back what it is asked, when it is awaited."""

    async def ask(self, call: Call[Any]) -> Any:
        return call


def asked(answer: object) -> Call[Any]:
    assert isinstance(answer, Call)
    return answer


def test_every_operation_but_the_events_is_a_method() -> None:
    methods = {name: one for name, one in vars(Operations).items() if isinstance(one, Method)}
    assert {name: one.operation for name, one in methods.items()} == {
        one.name: one for one in OPERATIONS if not one.stream
    }


def test_what_stands_in_the_path_comes_first() -> None:
    call = asked(Plain().kill(3, how="fin"))
    assert (call.operation, call.path) == (operations.KILL, "/v1/connections/3/kill")
    assert (call.query, call.body) == ({}, b'{"how":"fin"}')


def test_names_in_a_path_are_quoted() -> None:
    call = asked(Plain().switch_rule("a b", "c/d#1", armed=False))
    assert call.path == "/v1/rules/a%20b/c%2Fd%231"


def test_what_has_its_default_is_not_sent() -> None:
    assert asked(Plain().kill(3, how="rst")).body == b"{}"
    assert asked(Plain().arm(line="drop any PDU", params={})).body == b'{"line":"drop any PDU"}'
    assert asked(Plain().switch_scenario("x", armed=False)).body == b'{"armed":false}'
    assert asked(Plain().clear()).body is None
    assert asked(Plain().tasks()).query == {}
    assert asked(Plain().findings(since=7, known=True)).query == {"since": "7", "known": "true"}
    assert asked(Plain().explain(rule="7")).query == {"rule": "7"}


async def test_an_asynchronous_client_awaits_the_same() -> None:
    assert asked(await Later().kill(3, how="fin")) == asked(Plain().kill(3, how="fin"))


def test_an_injection_takes_the_time_that_it_waits() -> None:
    assert asked(Plain().inject(pdu="NOP-In", wait=60)).patience == 60
    assert asked(Plain().sessions()).patience == 0


def test_what_does_not_fit_is_an_error_of_the_caller() -> None:
    plain: Any = Plain()
    with pytest.raises(TypeError, match=r"kill\(\) takes conn by place, got 0 arguments"):
        plain.kill(how="fin")
    with pytest.raises(TypeError, match=r"sessions\(\) takes only named ones by place, got 1 arguments"):
        plain.sessions(3)
    with pytest.raises(TypeError, match=r"sessions\(\) takes no 'conn'"):
        plain.sessions(conn=3)
    with pytest.raises(TypeError, match="lime"):
        plain.arm(lime="x")


def test_a_method_says_what_it_does() -> None:
    assert Plain().kill.__name__ == "kill"
    assert Plain.kill.__doc__ == Plain().kill.__doc__ == operations.KILL.help
    assert repr(Plain.kill) == "<Method kill>"
    assert Plain.kill.sends is models.Kill

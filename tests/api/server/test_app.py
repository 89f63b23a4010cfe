from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
import trio

from iscsiproxy.api.models import Arming, Kill, Problem, Recording, RuleSwitch, TaskQuery
from iscsiproxy.api.operations import OPERATIONS, Operation
from iscsiproxy.api.server.app import make_app
from iscsiproxy.api.server.asked import MOST_BYTES
from iscsiproxy.api.server.refusal import Refusal
from tests.api.fakes import FakeControl

__all__: list[str] = []

RECORDING = Recording(on=True, lines=("drop any PDU",))


def asking(control: FakeControl, token: str | None = None, **settings: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(control, token=token))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", **settings)


def problem(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == "application/json"
    return msgspec.json.decode(response.content, type=Problem)


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(recording=RECORDING)


@pytest.fixture
async def http(control: FakeControl) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(control) as client:
        yield client


# --- what is asked, and answered -----------------------------------------------------------------------------------


async def test_an_answer_is_json(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/recording")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {"on": True, "lines": ["drop any PDU"]}


@pytest.mark.parametrize(
    ("method", "path", "content", "asked"),
    [
        ("GET", "/v1/connections/3", b"", ("connection", 3)),
        ("POST", "/v1/connections/3/kill", b"", ("kill", 3, Kill())),
        ("POST", "/v1/connections/3/kill", b'{"how":"half"}', ("kill", 3, Kill(how="half"))),
        ("GET", "/v1/tasks?conn=4", b"", ("tasks", TaskQuery(conn=4))),
        ("GET", "/v1/tasks", b"", ("tasks", TaskQuery())),
        ("POST", "/v1/rules", b'{"line":"x"}', ("arm", Arming(line="x"))),
        ("POST", "/v1/rules/check", b'{"line":"x"}', ("check", Arming(line="x"))),
        ("PATCH", "/v1/rules/a%20b/c", b'{"armed":true}', ("switch_rule", "a b", "c", RuleSwitch(armed=True))),
        ("PATCH", "/v1/rules/check", b'{"armed":true}', ("switch_scenario", "check", RuleSwitch(armed=True))),
        ("DELETE", "/v1/rules/7", b"", ("remove", "7")),
        ("DELETE", "/v1/held/7", b"", ("drop", 7)),
    ],
)
async def test_what_is_asked_comes_to_the_control(
    method: str, path: str, content: bytes, asked: tuple[Any, ...]
) -> None:
    control = FakeControl(**{asked[0]: RECORDING})
    async with asking(control) as http:
        response = await http.request(method, path, content=content)
    assert control.asked == [asked]
    assert control.calls == 1
    assert response.is_success


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
async def test_every_operation_has_its_route_and_its_status(operation: Operation[Any]) -> None:
    control = FakeControl(**{operation.name: RECORDING})
    body = {one.name: True if one.type is bool else "x" for one in _required(operation)}
    path = operation.path.format_map(dict.fromkeys(operation.arguments, "1"))
    async with asking(control) as http:
        if operation.stream:
            control.events = _ended(control.events)  # type: ignore[method-assign] # that the answer ends
        response = await http.request(operation.method, path, content=msgspec.json.encode(body) if body else b"")
    assert response.status_code == operation.status, response.text
    assert [asked[0] for asked in control.asked] == [operation.name]


def _required(operation: Operation[Any]) -> list[msgspec.structs.FieldInfo]:
    fields = () if operation.body is None else msgspec.structs.fields(operation.body)
    return [one for one in fields if one.required]


def _ended(events: Callable[..., Any]) -> Callable[..., Any]:
    def opened(query: object) -> Any:
        stream = events(query)
        stream.put()
        return stream

    return opened


async def test_an_operation_may_take_its_time(control: FakeControl) -> None:
    async def later(_: object) -> Recording:
        return RECORDING

    control.answers["inject"] = later
    async with asking(control) as http:
        response = await http.post("/v1/inject", json={"pdu": "NOP-In"})
    assert (response.status_code, response.json()["on"]) == (201, True)


async def test_events_are_lines(control: FakeControl) -> None:
    control.events = _ended(control.events)  # type: ignore[method-assign] # that the answer ends
    async with asking(control) as http:
        response = await http.get("/v1/events")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
    assert control.streams[0].closed.is_set()


async def test_the_description_and_where_it_is(http: httpx.AsyncClient) -> None:
    assert (await http.get("/")).json() == {"openapi": "/v1/openapi.json"}
    document = (await http.get("/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert "security" not in document


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_what_the_control_refuses_goes_back_as_it_says(control: FakeControl, status: int) -> None:
    control.answers["arm"] = Refusal(status, "not so", error="confirm", hint="like this")
    async with asking(control) as http:
        response = await http.post("/v1/rules", json={"line": "x"})
    assert response.status_code == status
    assert problem(response) == Problem(error="confirm", message="not so", hint="like this")
    assert control.crashes == []


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/v1/tasks?con=1", b""),
        ("GET", "/v1/sessions?x", b""),
        ("GET", "/v1/sessions/x", b""),
        ("GET", "/v1/sessions", b"x"),
        ("POST", "/v1/rules", b"x"),
        ("GET", "/v1/events?where=", b""),
    ],
)
async def test_what_cannot_be_read_never_comes_to_the_control(
    control: FakeControl, http: httpx.AsyncClient, method: str, path: str, content: bytes
) -> None:
    response = await http.request(method, path, content=content)
    assert response.status_code == 400
    assert problem(response).error == "bad_request"
    assert (control.asked, control.crashes) == ([], [])


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/sessions/", "/v2/sessions", "/v1/held/1/2/3", "/v1/rules/a/b/c"])
async def test_what_there_is_not(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert response.status_code == 404
    assert problem(response) == Problem(
        error="not_found", message=f"there is no {path!r}", hint="/v1/openapi.json lists what there is"
    )


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/rules", "GET, POST"),
        ("POST", "/v1/held/1", "DELETE, GET, PATCH"),
        ("PUT", "/v1/rules/check", "DELETE, PATCH, POST"),
        ("OPTIONS", "/", "GET"),
        ("TRACE", "/v1/openapi.json", "GET"),
        ("BREW", "/v1/clear", "POST"),
    ],
)
async def test_another_method_is_told_which_there_are(
    control: FakeControl, http: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    response = await http.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert problem(response).message == f"{method} {path}: there is only {allow}"
    assert control.asked == []


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/events", "/"])
async def test_there_is_no_head_without_its_body(control: FakeControl, http: httpx.AsyncClient, path: str) -> None:
    response = await http.head(path)
    assert (response.status_code, response.headers["allow"], control.asked) == (405, "GET", [])


async def test_a_body_is_read_up_to_its_limit(http: httpx.AsyncClient, control: FakeControl) -> None:
    just, more = (b" " * (MOST_BYTES - 2 + extra) + b"{}" for extra in (0, 1))
    control.answers["kill"] = RECORDING
    assert (await http.post("/v1/connections/1/kill", content=just)).status_code == 200
    response = await http.post("/v1/connections/1/kill", content=more)
    assert (response.status_code, problem(response).error) == (413, "too_large")
    assert problem(response).message == "the body is too large: at most 524288 bytes are read"
    assert len(control.asked) == 1


async def test_a_body_without_a_length_is_counted_as_it_comes(http: httpx.AsyncClient, control: FakeControl) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1 << 16
            yield b" " * (1 << 16)

    response = await http.post("/v1/connections/1/kill", content=pieces())
    assert (response.status_code, sent, control.asked) == (413, 100 << 16, [])


# --- what goes wrong -----------------------------------------------------------------------------------------------


async def test_an_error_of_ours_is_told_to_both_and_costs_only_this_request(control: FakeControl) -> None:
    control.answers["held"] = ZeroDivisionError("by nothing")
    async with asking(control) as http:
        response = await http.get("/v1/held")
        assert response.status_code == 500
        assert problem(response) == Problem(
            error="internal", message="an error of the proxy itself: ZeroDivisionError: by nothing"
        )
        assert (await http.get("/v1/recording")).status_code == 200
    assert [str(crash) for crash in control.crashes] == ["by nothing"]


async def test_an_answer_that_cannot_be_written_is_an_error_of_ours(control: FakeControl) -> None:
    control.answers["held"] = object()
    async with asking(control) as http:
        response = await http.get("/v1/held")
    assert (response.status_code, problem(response).error, len(control.crashes)) == (500, "internal", 1)


# --- the door ------------------------------------------------------------------------------------------------------

TOKEN = "q-7_x"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_who_shows_the_token_is_let_in(control: FakeControl, scheme: str) -> None:
    async with asking(control, TOKEN) as http:
        response = await http.get("/v1/recording", headers={"Authorization": f"{scheme} {TOKEN}"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "this API wants a token: Authorization: Bearer TOKEN"),
        ({"Authorization": TOKEN}, "this API wants a token: Authorization: Bearer TOKEN"),
        ({"Authorization": f"Basic {TOKEN}"}, "this API wants a token: Authorization: Bearer TOKEN"),
        ({"Authorization": "Bearer"}, "the token is not the one of this proxy"),
        ({"Authorization": f"Bearer {TOKEN}x"}, "the token is not the one of this proxy"),
        ({"Authorization": "Bearer \xff"}, "the token is not the one of this proxy"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/recording", "/v1/openapi.json", "/nowhere", "/v1/events"])
async def test_who_does_not_is_told_nothing(control: FakeControl, path: str, headers: dict[str, str], why: str) -> None:
    async with asking(control, TOKEN) as http:
        response = await http.get(
            path, headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        )
    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Bearer realm="iscsiproxy"')
    assert problem(response) == Problem(error="unauthorized", message=why)
    assert control.asked == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8", "127.9.9.9", "[::1]:80", "[::1]"])
async def test_loopback_may_be_called_by_its_names(control: FakeControl, host: str) -> None:
    async with asking(control, TOKEN, headers=SHOWN) as http:
        assert (await http.get("/v1/recording", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "", "[::2]", "["]
)
async def test_no_other_name_leads_here(control: FakeControl, host: str) -> None:
    async with asking(control, TOKEN, headers=SHOWN) as http:
        response = await http.get("/v1/recording", headers={"Host": host})
    assert response.status_code == 400
    assert problem(response).message.startswith("the header Host: expected 127.0.0.1, localhost or [::1], got ")
    assert control.asked == []


async def test_on_a_socket_of_our_own_any_name_will_do(control: FakeControl) -> None:
    async with asking(control) as http:
        assert (await http.get("/v1/recording", headers={"Host": "x"})).status_code == 200


async def test_the_description_says_that_a_token_is_wanted(control: FakeControl) -> None:
    async with asking(control, TOKEN, headers=SHOWN) as http:
        document = (await http.get("/v1/openapi.json")).json()
    assert document["security"] == [{"token": []}]
    assert "401" in document["paths"]["/v1/rules"]["get"]["responses"]


async def test_a_websocket_is_closed(control: FakeControl) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await make_app(control, token=None)({"type": "websocket", "path": "/v1/events", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_a_client_that_goes_while_it_speaks_asks_nothing(control: FakeControl) -> None:
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/clear", "headers": [], "query_string": b""}
    await make_app(control, token=None)(scope, receive, send)
    assert control.asked == []


async def test_of_a_body_that_is_too_large_no_more_is_kept(control: FakeControl) -> None:
    piece, pieces = bytes(1 << 16), iter(range(100))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": piece, "more_body": next(pieces) < 99}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v1/clear",
        "headers": [],
        "query_string": b"",
    }
    await make_app(control, token=None)(scope, receive, send)
    assert sent[0]["status"] == 413
    assert next(pieces, None) is None
    assert max(len(one) for one in scope.values() if isinstance(one, bytes)) <= MOST_BYTES + len(piece)


async def test_an_answer_that_has_begun_is_not_begun_again(control: FakeControl) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        if not control.streams:
            return {"type": "http.request", "body": b"", "more_body": False}
        control.streams[0].fail(ZeroDivisionError("by nothing"))
        return await trio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v1/events", "headers": [], "query_string": b""}
    await make_app(control, token=None)(scope, receive, send)
    assert [message.get("status") for message in sent] == [200, None]
    assert [str(crash) for crash in control.crashes] == ["by nothing"]


# --- the control itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_the_control_has_a_method_for_every_operation(operation: Operation[Any]) -> None:
    from iscsiproxy.api.server.control import Control

    method = getattr(Control, operation.name)
    given = [*operation.arguments, *(["sent"] if operation.query or operation.body else [])]
    inspect.signature(method).bind(None, *given)
    assert inspect.iscoroutinefunction(method) == (operation.name == "inject")

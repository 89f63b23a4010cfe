from __future__ import annotations

from typing import Any

import pytest

from iscsiproxy.api import operations
from iscsiproxy.api.models import Arming, EventQuery, Kill, RuleSwitch, TaskQuery
from iscsiproxy.api.operations import Operation
from iscsiproxy.api.server.asked import MOST_BYTES, read_arguments, read_body, read_query
from iscsiproxy.api.server.refusal import Refusal

__all__: list[str] = []

_CODEC = "codec can't decode byte 0xff in position"


def refused(caught: pytest.ExceptionInfo[Refusal]) -> str:
    assert (caught.value.status, caught.value.problem.error) == (400, "bad_request")
    hint = caught.value.problem.hint
    return caught.value.problem.message + (f" ({hint})" if hint else "")


# --- paths ---------------------------------------------------------------------------------------------------------


def test_numbers_and_names_are_read_from_a_path() -> None:
    assert read_arguments(operations.SESSIONS, {}) == ()
    assert read_arguments(operations.KILL, {"conn": "007"}) == (7,)
    assert read_arguments(operations.KILL, {"conn": "9007199254740991"}) == (9007199254740991,)
    assert read_arguments(operations.SWITCH_RULE, {"rule": "7", "scenario": "a b"}) == ("a b", "7")


@pytest.mark.parametrize("text", ["x", "-1", "1.0", "", " 1", "0x1", "٣", "9007199254740992", "1" * 5000])
def test_a_number_in_a_path_that_is_none(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_arguments(operations.KILL, {"conn": text})
    assert refused(caught) == (f"`conn` in the path: expected a number from 0 to 9007199254740991, got {text[:40]!r}")


# --- queries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "read"),
    [
        (b"", EventQuery()),
        (b"since=7&follow=false&pdus=true&limit=1", EventQuery(since=7, follow=False, pdus=True, limit=1)),
        (b"where=SCSI-Command+where+CDB.LBA+%3E+7", EventQuery(where="SCSI-Command where CDB.LBA > 7")),
        (b"where=true", EventQuery(where="true")),
        (b"where=12", EventQuery(where="12")),
    ],
)
def test_a_query_is_read_by_its_types(query: bytes, read: EventQuery) -> None:
    assert read_query(operations.EVENTS, query) == read


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (b"since=x", "`since` in the query: expected `int`, got `str`"),
        (b"since=", "`since` in the query: expected `int`, got `str`"),
        (b"since=null", "`since` in the query: expected `int`, got `str`"),
        (b"since=true", "`since` in the query: expected `int`, got `bool`"),
        (b"since=1.5", "`since` in the query: expected `int`, got `float`"),
        (b"since=-1", "`since` in the query: expected `int` >= 0"),
        (b"since=%201", "`since` in the query: expected `int`, got `str`"),
        (b"since=[1]", "`since` in the query: expected `int`, got `str`"),
        (b"follow=1", "`follow` in the query: expected `bool`, got `int`"),
        (b"follow=yes", "`follow` in the query: expected `bool`, got `str`"),
        (b"where=", "`where` in the query: expected `str` of length >= 1"),
        (b"sinse=1", "the query has no 'sinse' (did you mean since?)"),
        (b"xyz=1", "the query has no 'xyz' (there are: since, follow, pdus, deliveries, where, conn, limit)"),
        (b"conn", "`conn` in the query: expected `int`, got `str`"),
        (b"conn=1&conn=2", "the query has 'conn' twice"),
        (b"where=%ff", f"the query cannot be read: 'utf-8' {_CODEC} 0: invalid start byte"),
        (b"where=\xff", f"the query cannot be read: 'ascii' {_CODEC} 6: ordinal not in range(128)"),
        (b"&".join([b"a=1"] * 40), "the query cannot be read: Max number of fields exceeded"),
    ],
)  # fmt: skip
def test_a_query_that_is_wrong_is_refused_with_its_place(query: bytes, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_query(operations.EVENTS, query)
    assert refused(caught) == said


def test_an_operation_without_a_query_takes_none() -> None:
    assert read_query(operations.SESSIONS, b"") is None
    with pytest.raises(Refusal) as caught:
        read_query(operations.SESSIONS, b"conn=1")
    assert refused(caught) == "GET /v1/sessions takes no query, got 'conn'"
    assert read_query(operations.TASKS, b"conn=1") == TaskQuery(conn=1)


# --- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "body", "read"),
    [
        (operations.KILL, b"", Kill()),
        (operations.KILL, b" {} ", Kill()),
        (operations.KILL, b'{"how": "fin"}', Kill(how="fin")),
        (operations.SWITCH_RULE, b'{"armed": false}', RuleSwitch(armed=False)),
        (operations.ARM, '{"line": "note ü"}'.encode(), Arming(line="note ü")),
        (operations.SESSIONS, b"", None),
        (operations.RESUME, b"", None),
    ],
)
def test_a_body_is_read_by_its_types(operation: Operation[Any], body: bytes, read: object) -> None:
    assert read_body(operation, body) == read


@pytest.mark.parametrize(
    ("operation", "body", "said"),
    [
        (operations.KILL, b"{", "the body is not JSON: Input data was truncated"),
        (operations.KILL, b"how=fin", "the body is not JSON: invalid character (byte 0)"),
        (operations.KILL, b"{} {}", "the body is not JSON: trailing characters (byte 4)"),
        (operations.KILL, b'{"\xff": 1}', f"the body is not JSON: 'utf-8' {_CODEC} 0: invalid start byte"),
        (operations.KILL, b"[]", "the body: expected `object`, got `array`"),
        (operations.KILL, b"null", "the body: expected `object`, got `null`"),
        (operations.KILL, b'{"how": "gently"}', "`how` in the body: expected rst or fin or half, got 'gently'"),
        (operations.KILL, b'{"how": 3}', "`how` in the body: expected `str`, got `int`"),
        (operations.KILL, b'{"hwo": "fin"}', "the body has no 'hwo' (did you mean how?)"),
        (operations.SAVE, b'{"what": "all"}', "`what` in the body: expected recorded or armed, got 'all'"),
        (operations.STALL, b'{"at_most": -1}', "`at_most` in the body: expected `float` >= 0.0"),
        (operations.STALL, b'{"at_most": NaN}', "the body is not JSON: invalid character (byte 12)"),
        (operations.SWITCH_RULE, b"", "the body lacks 'armed'"),
        (operations.ARM, b'{"params": {"nth": 1}}', "`params[...]` in the body: expected `str`, got `int`"),
        (operations.ARM, b'{"line": ""}', "`line` in the body: expected `str` of length >= 1"),
        (operations.ARM, b"[" * 100_000, "the body: expected `object`, got `array`"),
        (operations.RESUME, b"{}", "POST /v1/connections/{conn}/resume takes no body, got 2 bytes"),
    ],
)  # fmt: skip
def test_a_body_that_is_wrong_is_refused_with_its_place(operation: Operation[Any], body: bytes, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_body(operation, body)
    assert refused(caught) == said


def test_the_longest_scenario_file_fits_into_a_body() -> None:
    text = "x" * 262_144
    body = b'{"text": "' + text.encode() + b'"}'
    assert len(body) < MOST_BYTES
    assert read_body(operations.ARM, body) == Arming(text=text)

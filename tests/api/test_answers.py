from __future__ import annotations

import httpx
import pytest

from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.answers import ApiError, Unreachable, checked, decoded, reaching
from iscsiproxy.api.models import Problem, Rule
from iscsiproxy.errors import FileError, UserError

__all__: list[str] = []

HERE = ApiAddress(host="127.0.0.1", port=7)


def test_a_refusal_reads_like_an_error_of_the_command_line() -> None:
    second = Problem(error="bad_request", message="no such act", file="x.yaml", line=9)
    problem = Problem(
        error="bad_request", message="no such PDU", hint="did you mean R2T?", file="x.yaml", line=3, column=7,
        others=(second,),
    )  # fmt: skip
    error = ApiError(400, problem)
    assert isinstance(error, UserError)
    assert (error.status, error.error, error.problem) == (400, "bad_request", problem)
    told = FileError("no such PDU", file="x.yaml", line=3, column=7, hint="did you mean R2T?")
    assert str(error) == str(told) == "x.yaml:3:7: no such PDU (did you mean R2T?)"
    assert [str(other) for other in error.others] == ["x.yaml:9: no such act"]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (httpx.ConnectError("refused"), "no proxy answers at http://127.0.0.1:7: refused"),
        (httpx.ConnectTimeout(""), "the proxy at http://127.0.0.1:7 does not answer"),
        (httpx.ReadTimeout(""), "the proxy at http://127.0.0.1:7 does not answer"),
        (httpx.ReadError("reset"), "the proxy at http://127.0.0.1:7 has gone: reset"),
        (httpx.RemoteProtocolError("cut"), "the proxy at http://127.0.0.1:7 has gone: cut"),
    ],
)
def test_a_proxy_that_is_not_there_is_unreachable(raised: Exception, said: str) -> None:
    with pytest.raises(Unreachable) as caught, reaching(HERE):
        raise raised
    assert str(caught.value) == said


def test_an_answer_that_is_good_is_passed() -> None:
    checked(httpx.Response(201, content=b"whatever"), HERE)


def test_a_refusal_is_raised() -> None:
    with pytest.raises(ApiError, match=r"^no such rule$") as caught:
        checked(httpx.Response(404, content=b'{"error":"not_found","message":"no such rule"}'), HERE)
    assert caught.value.error == "not_found"


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"\xff"])
def test_what_is_no_proxy_is_unreachable(content: bytes) -> None:
    with pytest.raises(Unreachable, match=r"what answers at http://127.0.0.1:7 is no API of a proxy: HTTP 404"):
        checked(httpx.Response(404, content=content), HERE)


def test_what_a_newer_proxy_says_more_is_passed_over() -> None:
    assert decoded(b'{"error":"conflict","message":"x","new":1}', Problem, HERE).message == "x"


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"[3]", b'{"\xff":1}'])
def test_an_answer_of_no_known_kind_is_unreachable(content: bytes) -> None:
    with pytest.raises(
        Unreachable, match=r"the proxy at http://127.0.0.1:7 says what this version does not understand"
    ):
        decoded(content, Rule, HERE)

from __future__ import annotations

import pytest

from iscsiproxy.api.server.refusal import Refusal, refusal_of
from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language import load_all
from iscsiproxy.language.line import load_line

__all__: list[str] = []


@pytest.mark.parametrize(
    ("status", "error"), [(400, "bad_request"), (404, "not_found"), (409, "conflict"), (413, "too_large")]
)
def test_a_status_has_its_code(status: int, error: str) -> None:
    refusal = Refusal(status, "no")
    assert (refusal.status, refusal.problem.error, refusal.problem.message, str(refusal)) == (status, error, "no", "no")
    assert refusal.problem.hint is None


def test_a_code_may_say_more() -> None:
    refusal = Refusal(409, "no", error="confirm", hint="ask")
    assert (refusal.problem.error, refusal.problem.hint) == ("confirm", "ask")


def test_what_is_wrong_with_a_line_is_told_with_its_place() -> None:
    with pytest.raises(FileError) as caught:
        load_line("drop SCSI-Comand", name="x", acts=SPECS)
    problem = refusal_of(caught.value).problem
    assert (problem.error, problem.file, problem.line, problem.column) == ("bad_request", "line", 1, 6)
    assert problem.hint is not None
    assert "SCSI-Command" in problem.hint
    assert problem.others == ()


def test_all_that_is_wrong_with_a_file_is_told() -> None:
    text = "scenario: x\nvictim: target\nrules:\n  - when: R2T where Bogus\n    do: drop\n  - when: R2T\n    do: dorp\n"
    with pytest.raises(FileError) as caught:
        load_all(text, file="x.yaml", acts=SPECS)
    problem = refusal_of(caught.value).problem
    assert [(one.file, one.line, one.error) for one in (problem, *problem.others)] == [
        ("x.yaml", 4, "bad_request"),
        ("x.yaml", 7, "bad_request"),
    ]

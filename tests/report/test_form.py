from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.report.form import read_result, result_schema
from iscsiproxy.report.result import suite_json
from tests.report.results import run, suite

__all__: list[str] = []


def written(folder: Path) -> Path:
    (folder / "result.json").write_text(suite_json(suite(run("fail"), run("pass", "other"), interrupted=True)))
    return folder


def test_what_is_written_has_the_form_and_is_read_back(tmp_path: Path) -> None:
    folder = written(tmp_path)
    document = json.loads((folder / "result.json").read_text())
    validator = Draft202012Validator(result_schema())
    validator.check_schema(result_schema())
    assert [*validator.iter_errors(document)] == []
    del document["runs"][0]["verdict"]
    assert [*validator.iter_errors(document)] != []
    for path in (folder, folder / "result.json"):
        form = read_result(path)
        assert [one.verdict for one in form.runs] == ["fail", "pass"]
        assert form.runs[0].findings[1].evidence[0].n == 7
        assert form.interrupted


def test_every_member_that_does_not_speak_for_itself_is_described() -> None:
    facts = result_schema()["$defs"]["RunForm"]["properties"]
    assert "axis=value" in facts["name"]["description"]


def test_members_that_nobody_knows_are_no_error(tmp_path: Path) -> None:
    path = written(tmp_path) / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    assert read_result(path).seed == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is no result.json of a suite"),
        ("[]", "this is no result.json of a suite"),
        ('{"result": 2}', "expected a result of version 1, got 2"),
        ("{}", "expected a result of version 1, got None"),
        ('{"result": 1, "runs": 3}', "this is no result.json of a suite: "),
    ],
)
def test_what_is_no_result(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FileError, match=message) as raised:
        read_result(path)
    assert raised.value.file == str(path)


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*result\.json: No such file"):
        read_result(tmp_path)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from iscsiproxy.errors import FileError, UsageError
from iscsiproxy.report.html.remake import remake
from iscsiproxy.report.html.writer import write_report
from iscsiproxy.report.result import suite_json
from tests.journal.story import Story
from tests.report.html.journals import Document, broken, calm, in_file, result
from tests.report.results import suite

__all__: list[str] = []


def test_a_report_is_made_anew_where_the_directory_was_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    story = Story()
    calm(story, 3)
    lost, _ = broken(story)
    one = result(cited=(lost,), journal=in_file(story, old / "lose" / "journal.jsonl"))
    whole = suite(one, replace(result("pass", name="b"), axes={"a": "1"}))
    first = write_report(whole, old).read_text()
    (old / "result.json").write_text(suite_json(whole))
    old.rename(new)
    (new / "report.html").unlink()
    again = remake(new)
    assert again == new / "report.html"
    assert _without_time(again.read_text()) == _without_time(first)


def _without_time(page: str) -> str:
    text = Document(page).text
    return text[: text.index("Made by")]


def test_what_was_a_failure_is_one_again(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(suite_json(suite(result("warn")), fail_on_warn=True))
    assert "exit code 1" in Document(remake(tmp_path).read_text()).text


def test_without_a_result_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        remake(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(FileError):
        remake(tmp_path)

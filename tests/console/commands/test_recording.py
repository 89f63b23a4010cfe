"""From the keyboard to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.api.models import Recording
from tests.console.fake import FakeProxy
from tests.console.playing import answered, played, texts


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recording_is_begun_shown_and_ended() -> None:
    proxy = FakeProxy()
    assert answered(proxy, "record on") == ["● recording"]
    proxy.recorded = Recording(on=True, lines=("drop R2T",))
    assert answered(proxy, "record") == ["● recording", "  drop R2T"]
    assert answered(proxy, "record off") == ["not recording", "  drop R2T"]


def test_what_was_recorded_becomes_a_file_of_its_name(here: Path) -> None:
    assert answered(FakeProxy(), "save mine") == ["written mine.yaml", "  run it with: iscsiproxy test mine.yaml"]
    assert (here / "mine.yaml").read_text() == "scenario: mine\n# None\n"


def test_the_rules_that_are_armed_become_a_file(here: Path) -> None:
    answered(FakeProxy(), "save mine --armed")
    assert (here / "mine.yaml").read_text() == "scenario: mine\n# armed\n"


@pytest.mark.parametrize("line", ["save mine other/it.yaml", "save other/it.yaml"])
def test_the_file_may_be_elsewhere(here: Path, line: str) -> None:
    (here / "other").mkdir()
    answered(FakeProxy(), line)
    name = "mine" if "mine" in line else "it"
    assert (here / "other" / "it.yaml").read_text() == f"scenario: {name}\n# None\n"


def test_a_file_that_is_there_is_written_over_only_if_somebody_agrees(here: Path) -> None:
    async def no(_question: str) -> bool:
        return False

    async def yes(_question: str) -> bool:
        return True

    path = here / "mine.yaml"
    for ask, agreed, text in (
        (None, False, "old"),
        (no, False, "old"),
        (yes, False, "scenario"),
        (None, True, "scenario"),
    ):
        path.write_text("old")
        played(FakeProxy(), "save mine", ask=ask, yes=agreed)
        assert path.read_text().startswith(text)


def test_a_file_that_cannot_be_written_is_told() -> None:
    [outcome] = played(FakeProxy(), "save mine nowhere/it.yaml")
    assert texts(outcome) == ["cannot write nowhere/it.yaml: No such file or directory"]


def test_two_files_are_one_too_many() -> None:
    [outcome] = played(FakeProxy(), "save a.yaml b.yaml")
    assert texts(outcome) == ["which file? a.yaml and b.yaml are both named"]


def test_a_note_is_prose() -> None:
    proxy = FakeProxy()
    played(proxy, 'note when the "disk" failed; an R2T came')
    assert [one.line for one in proxy.armings] == ['note "when the ""disk"" failed; an R2T came"']


def test_a_note_in_quotes_is_a_rule() -> None:
    proxy = FakeProxy()
    played(proxy, 'note "it came" when R2T')
    assert [one.line for one in proxy.armings] == ['note "it came" when R2T']

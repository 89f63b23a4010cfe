"""What may come next on a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.console.complete import Choices, Suggestion
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.registry import COMMANDS
from tests.console.fake import FakeProxy, connection, held_pdu, rule, session, task
from tests.console.playing import Sheet, run


def live() -> FakeProxy:
    return FakeProxy(
        connections_={1: connection(1), 12: connection(12)},
        sessions_={3: session(3)},
        rules_=[rule("mine/strict", armed=False), rule("mine/lossy"), rule("line-1/#1")],
        held_={7: held_pdu(7), 70: held_pdu(70)},
        tasks_=[task(0x1A), task(0x2B)],
    )


def suggested(line: str, proxy: FakeProxy | None = None) -> list[Suggestion]:
    async def main() -> list[Suggestion]:
        async with (proxy or live()).client() as api:
            return await Choices(Desk(api=api, paper=Sheet(), commands=COMMANDS)).at(line)

    return run(main())


def completed(line: str, proxy: FakeProxy | None = None) -> set[str]:
    """Give the lines that come of it."""
    return {line[: one.start] + one.text for one in suggested(line, proxy)}


def test_an_empty_line_may_be_any_command_or_act() -> None:
    found = completed("")
    assert {"sessions", "drop", "delay", "exit"} <= found
    assert len(found) == len(suggested(""))


def test_commands_and_acts_are_completed_with_their_help() -> None:
    assert completed("se") == {"sessions", "set"}
    assert completed("  negot") == {"  negotiated"}
    [one] = suggested("neg")
    assert one.help == "Show what was negotiated, both legs side by side"


def test_a_comment_is_left_alone() -> None:
    assert completed("# dro") == set()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "kill ",
            {"kill 1", "kill 12", "kill rst", "kill fin", "kill half", "kill initiator", "kill target", "kill both"},
        ),
        ("kill 1", {"kill 1", "kill 12"}),
        ("kill 1 f", {"kill 1 fin"}),
        ("kill 1 fin ", {"kill 1 fin initiator", "kill 1 fin target", "kill 1 fin both"}),
        ("use ", {"use 1", "use 12"}),
        ("window ", {"window 3"}),
        ("tasks 1", {"tasks 1", "tasks 12"}),
        ("release ", {"release 7", "release 70", "release last", "release first", "release all"}),
        ("show l", {"show last"}),
        ("disarm mine", {"disarm mine", "disarm mine/strict", "disarm mine/lossy"}),
        ("remove ", {"remove mine", "remove line-1"}),
        ("record ", {"record on", "record off"}),
        ("save mine --a", {"save mine --armed"}),
        ("help neg", {"help negotiated"}),
        ("help del", {"help delay"}),
        ("watch o", {"watch off"}),
        ("wait f", {"wait fired", "wait for"}),
        ("sessions ", set()),
    ],
)
def test_arguments_are_completed_from_what_there_is(line: str, found: set[str]) -> None:
    assert completed(line) >= found
    assert all(one.startswith(line) for one in completed(line))


def test_what_was_said_is_not_offered_again() -> None:
    assert completed("kill 1 fin target ") == set()


def test_disarmed_rules_scenarios_and_files_may_be_armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lossy.yaml").touch()
    (tmp_path / "list.txt").touch()
    (tmp_path / "library").mkdir()
    assert completed("arm mine") == {"arm mine/strict"}
    assert completed("arm l") == {"arm link_flaps", "arm lossy.yaml", "arm library/"}


def test_files_are_completed_in_their_directories(tmp_path: Path) -> None:
    (tmp_path / "lossy.yaml").touch()
    assert completed(f"arm {tmp_path}/lo") == {f"arm {tmp_path}/lossy.yaml"}
    assert completed(f"arm {tmp_path}/nowhere/") == set()


@pytest.mark.parametrize(
    ("line", "asked", "form", "found"),
    [
        ("drop R2T w", "drop R2T w", "line", {"drop R2T where", "drop R2T when"}),
        ("hold SCSI-Command n", "hold SCSI-Command n", "line", {"hold SCSI-Command nth"}),
        ("watch R2T whe", "R2T whe", "pattern", {"watch R2T where", "watch R2T when"}),
        ("watch both R2T nt", "R2T nt", "pattern", {"watch both R2T nth"}),
        ("wait nt", "nt", "pattern", {"wait nth"}),
        ("inject NOP-In whe", "inject NOP-In whe", "line", {"inject NOP-In where", "inject NOP-In when"}),
        ("edit 7 nt", "set nt", "acts", {"edit 7 nth"}),
    ],
)
def test_parts_of_the_language_are_completed_by_the_proxy(line: str, asked: str, form: str, found: set[str]) -> None:
    proxy = live()
    assert completed(line, proxy) == found
    assert (proxy.completions[-1].line, proxy.completions[-1].form) == (asked, form)


def test_an_edit_is_completed_for_the_pdu_in_hand() -> None:
    proxy = live()
    completed("edit 7 corrupt h", proxy)
    assert [(one.line, one.n) for one in proxy.completions] == [("corrupt h", 7)]


def test_rules_are_offered_where_the_language_wants_one() -> None:
    assert completed("arm x; arm mine/l") == {"arm x; arm mine/lossy"}


@pytest.mark.parametrize(
    "line", ["drop R2T where ITT == ", "inject Data-Out ITT=", "hold SCSI-Command where RefTaskTag in (0x1, "]
)
def test_tags_of_tasks_are_offered(line: str) -> None:
    assert {line + "0x0000001a", line + "0x0000002b"} <= completed(line)
    assert {one for one in completed(line + "0x0000001") if "0x" in one} >= {line + "0x0000001a"}


def test_what_there_is_is_remembered_for_a_moment() -> None:
    proxy = live()
    now = [0.0]

    async def main() -> None:
        async with proxy.client() as api:
            choices = Choices(Desk(api=api, paper=Sheet(), commands=COMMANDS), clock=lambda: now[0])
            await choices.at("use ")
            await choices.at("use 1")
            assert proxy.asked.count("connections") == 1
            now[0] += 1.5
            await choices.at("use 1")
            assert proxy.asked.count("connections") == 2

    run(main())


def test_a_proxy_that_has_gone_has_nothing_to_offer() -> None:
    assert completed("use ", FakeProxy(gone=True)) == set()

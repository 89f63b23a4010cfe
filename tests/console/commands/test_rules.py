"""Rules and scenarios, armed and disarmed; and what came of an act that is done now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.fake import FakeProxy, connection, rule
from tests.console.playing import StillLive, answered, data_of, played, texts

NOTHING = FakeProxy(outcome="nothing")


def test_rules_are_listed_with_their_counters() -> None:
    proxy = FakeProxy(rules_=[rule("a/1", matched=7, fired=2, failed=1), rule("b/x", armed=False, conn=3)])
    _, first, second = answered(proxy, "rules")
    assert first.split(maxsplit=4) == ["a/1", "armed", "7", "2", "1 failed  drop Data-Out nth 1"]
    assert second.startswith("b/x   disarmed on 3")


def test_a_line_with_a_moment_is_armed_on_all_connections() -> None:
    proxy = FakeProxy()
    [_, outcome] = played(proxy, "use 1", "drop R2T nth 3")
    assert texts(outcome) == ["armed line-1/1  drop R2T nth 3"]
    assert proxy.armings[0].conn is None


def test_a_line_without_a_moment_is_done_on_the_connection_in_use_and_what_came_of_it_is_shown() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 2: connection(2)})
    [_, outcome] = played(proxy, "use 2", "close rst")
    assert proxy.armings[0].conn == 2
    assert [row.split(maxsplit=3)[3] for row in texts(outcome)] == ["FAULT line-1/1 close"]
    assert not outcome.failed
    assert [one["event"] for one in data_of(outcome)["events"]] == ["fired"]


def test_an_act_that_could_not_be_done_fails() -> None:
    [outcome] = played(FakeProxy(outcome="failed"), "close rst")
    assert texts(outcome)[0].endswith("failed line-1/1: no PDU")
    assert outcome.failed


def test_an_act_of_which_nothing_comes_is_told() -> None:
    [outcome] = played(FakeProxy(outcome="nothing"), "close rst")
    assert texts(outcome) == ["nothing came of it yet"]
    assert not outcome.failed


def test_a_prompt_shows_what_came_of_an_act_only_once() -> None:
    live = StillLive()
    [outcome] = played(FakeProxy(), "close rst", live=live)
    assert texts(outcome) == []
    assert live.reached == 1


def test_a_quiet_prompt_shows_what_came_of_an_act_all_the_same() -> None:
    [outcome] = played(FakeProxy(), "close rst", live=StillLive(quiet=True))
    assert "FAULT line-1/1 close" in texts(outcome)[0]


def test_a_scenario_that_ships_is_armed_by_its_name() -> None:
    proxy = FakeProxy()
    played(proxy, "arm data_out_lost -p nth=3 -p size=1KiB")
    assert proxy.armings[0].scenario == "data_out_lost"
    assert proxy.armings[0].params == {"nth": "3", "size": "1KiB"}


@pytest.mark.parametrize("named", ["{}", "mine.yaml"])
def test_a_file_is_read_here_and_sent_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text("scenario: mine\n")
    proxy = FakeProxy()
    played(proxy, f"arm {named.format(path)}")
    assert proxy.armings[0].text == "scenario: mine\n"
    assert proxy.armings[0].file == named.format(path)


def test_what_is_wrong_in_a_file_is_told_with_its_places(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("wrong: yes\n")
    [outcome] = played(FakeProxy(), f"arm {path}")
    assert texts(outcome) == [f"{path}:3:5: that is wrong", f"{path}:4:1: and this"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    [outcome] = played(FakeProxy(), f"arm {path}")
    assert outcome.problem is not None
    assert str(path) in outcome.problem.message


def test_a_disarmed_rule_is_armed_again_and_so_is_a_scenario() -> None:
    proxy = FakeProxy(rules_=[rule("a/1", armed=False), rule("a/2", armed=False), rule("b/1", armed=False)])
    assert answered(proxy, "arm a/2") == ["armed a/2  matched 0, fired 0"]
    assert [one.armed for one in proxy.rules_] == [False, True, False]
    played(proxy, "arm a")
    assert [one.armed for one in proxy.rules_] == [True, True, False]


def test_a_scenario_that_is_there_cannot_get_other_parameters() -> None:
    [outcome] = played(FakeProxy(rules_=[rule("a/1")]), "arm a -p nth=3")
    assert texts(outcome) == ["`a` is there already; `remove a` makes room for it with other parameters"]


@pytest.mark.parametrize(("what", "left"), [("a/1", ["a/2", "b/1"]), ("a", ["b/1"]), ("all", [])])
def test_rules_are_disarmed_one_by_one_by_scenario_or_all(what: str, left: list[str]) -> None:
    proxy = FakeProxy(rules_=[rule("a/1"), rule("a/2"), rule("b/1")])
    played(proxy, f"disarm {what}")
    assert [one.name for one in proxy.rules_ if one.armed] == left


def test_a_scenario_is_taken_out() -> None:
    proxy = FakeProxy(rules_=[rule("a/1"), rule("b/1")])
    assert answered(proxy, "remove a") == ["removed a/1  matched 0, fired 0"]
    assert [one.name for one in proxy.rules_] == ["b/1"]


def test_everything_is_cleared() -> None:
    proxy = FakeProxy(rules_=[rule("a/1"), rule("b/1")])
    assert answered(proxy, "clear") == ["cleared: 2 rules out, 0 PDUs let go, 0 stalls ended"]


def test_rules_are_explained() -> None:
    assert answered(FakeProxy(rules_=[rule("a/1")]), "explain a/1") == ["rule a/1: never fired", "  no PDU matched"]


def test_without_rules_nothing_is_explained() -> None:
    assert answered(FakeProxy(), "explain") == ["no rule is armed"]


def test_a_run_that_nobody_judges_has_no_findings() -> None:
    assert answered(FakeProxy(checked=False), "findings") == ["nobody judges this run: it was started without --check"]
    assert answered(FakeProxy(), "findings") == ["findings by rfc7143: none"]

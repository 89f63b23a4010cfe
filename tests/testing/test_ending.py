from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.proxy import Address
from iscsiproxy.report.model import Finding, RunResult
from iscsiproxy.report.model import Verdict as Word
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.targets import Target, parse_target
from iscsiproxy.testing import Proxy
from iscsiproxy.testing.ending import done_by, verdict_of
from iscsiproxy.testing.scenarios import scenario_of
from tests.testing.traffic import HOLE, read, write_and_read

__all__: list[str] = []


def _plan(folder: Path | None) -> RunPlan:
    return RunPlan(
        name="hole",
        scenario=scenario_of(HOLE),
        target=Target(spec=parse_target("embedded"), address=Address("127.0.0.1", 1), name="iqn.x"),
        initiator=parse_initiator("external"),
        seed=1,
        timeout=1.0,
        folder=folder,
    )


def _result(word: Word, about: str = "expectation") -> RunResult:
    finding = Finding(about=about, verdict=word, text="it came")
    return RunResult(name="hole", scenario="hole", verdict=word, victim="target", findings=(finding,))


def test_good_io_is_what_raises_nothing() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert done_by(lambda: False).good, "what it returns is its own business"
    bad = done_by(fail)
    assert (bad.good, bad.text) == (False, "the aftermath raised ValueError('no')")


def test_a_report_is_written_of_what_is_no_pass_or_of_everything(tmp_path: Path) -> None:
    verdict = verdict_of(_plan(tmp_path), _result("pass"))
    assert verdict.result.files == {}
    assert {path.name for path in tmp_path.iterdir()} == {"result.json"}
    verdict = verdict_of(_plan(tmp_path), _result("warn"), again="pytest tests/x.py --iscsi-seed 7")
    assert verdict.result.files == {"report": str(tmp_path / "report.html")}
    assert "pytest tests/x.py --iscsi-seed 7" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "result.json").read_text())["files"] == verdict.result.files
    assert verdict_of(_plan(tmp_path), _result("pass"), everything=True).result.files


def test_nothing_is_written_nowhere() -> None:
    assert verdict_of(_plan(None), _result("fail")).result.files == {}


def test_what_was_expected_stands_in_the_verdict() -> None:
    expected = verdict_of(_plan(None), _result("fail")).expected
    assert expected[0] == "never: SCSI-Response of lost where Status == GOOD (within 0.3 s)"
    assert "aftermath: recovers" in expected[1]
    plan = replace(_plan(None), scenario=replace(scenario_of(HOLE), aftermath="none"))
    assert len(verdict_of(plan, _result("fail")).expected) == 1


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*result\.json"):
        verdict_of(_plan(tmp_path / "gone"), _result("pass"))


def test_a_rule_that_never_fired_is_explained_as_far_as_the_journal_goes(tmp_path: Path) -> None:
    assert verdict_of(_plan(tmp_path), _result("inconclusive", "rule")).hints == (), "there is no journal"
    with Proxy(folder=tmp_path) as proxy:
        with proxy.armed(HOLE.replace("DataSN == 2", "DataSN == 200")) as run:
            write_and_read(proxy.url)
        assert any("not `DataSN == 200`: DataSN is" in line for line in run.verdict.hints), run.verdict.hints
        with proxy.armed(HOLE) as run:
            read(proxy.url)
    assert run.journal is not None
    text = run.journal.read_text().splitlines()
    run.journal.write_text("\n".join([text[0].replace('"journal"', '"else"'), *text[1:]]))
    (hint,) = verdict_of(_plan(run.folder), _result("inconclusive", "rule")).hints
    assert hint.startswith("the journal cannot be read: ")

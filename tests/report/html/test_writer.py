from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from iscsiproxy.errors import UsageError
from iscsiproxy.report.html.writer import write_report
from iscsiproxy.report.model import Finding, RunResult, Verdict
from tests.journal.story import INITIATOR, TARGET, Story, change, command, data_in, login
from tests.report.html.journals import Document, broken, calm, in_file, result
from tests.report.results import suite

__all__: list[str] = []

EVIL = '</script></style><script>alert(1)</script><img src=x onerror="alert(2)">'


def written(*runs: RunResult, folder: Path) -> tuple[Document, str]:
    page = write_report(suite(*runs), folder).read_text()
    return Document(page), page


def everything(folder: Path) -> list[RunResult]:
    """Make runs of every verdict, one with all that a journal can hold."""
    story = Story()
    story.logged_in("HeaderDigest=None", "CHAP_N=me", "CHAP_R=0x5ec4e7a5ec4e7a")
    calm(story, 20)
    lost, other = broken(story)
    renumbered = story.came(command(0x200))
    story.went(command(0x200, CmdSN=7), renumbered)
    story.went(command(9), None, rules=("s/inject",))
    story.violated(INITIATOR, INITIATOR, other, "CmdSN goes back")
    story.noted("s/n", other, "a note")
    story.unframed(TARGET, "no opcode")
    story.conn = 2
    calm(story, 10)
    story.closed(TARGET, "rst")
    story.closed(INITIATOR, by="fault")
    story.ended()
    journal = in_file(story, folder / "a b" / "journal.jsonl")
    verdicts: list[Verdict] = ["pass", "warn", "inconclusive", "skipped"]
    whole = result("fail", name="all[leg=target]", cited=(lost, other, 3, 12345), journal=journal)
    return [replace(whole, axes={"leg": "target"}), *(result(one, name=one) for one in verdicts)]


def test_the_page_is_well_formed_and_whole(tmp_path: Path) -> None:
    page, source = written(*everything(tmp_path), folder=tmp_path)
    assert source.startswith("<!DOCTYPE html>")
    assert len(page.ids) == len(set(page.ids))
    for said in ("1 failed and 1 inconclusive of 5 runs", "A command is lost", "What it is about.", "RFC 7143 7.8"):
        assert said in page.text
    for drawn in ("never-initiator", "changed-initiator", "made-initiator", "joined-None", "reset-target"):
        assert f"#{drawn}" in page.hrefs
    assert "CmdSN 257 → 300" in page.text.replace("→", " → ").replace("  ", " ")
    assert "The proxy renumbered it" in page.text
    assert "on 2 connections" in page.text


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    page, _ = written(*everything(tmp_path), folder=tmp_path)
    inner = {href[1:] for href in page.hrefs if href.startswith("#")}
    assert inner <= set(page.ids)
    outer = {href for href in page.hrefs if not href.startswith("#")}
    assert outer == {"a%20b/journal.jsonl"}, "files of the run directory, and nothing else"
    assert (tmp_path / "a b" / "journal.jsonl").is_file()


def test_it_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page, source = written(*everything(tmp_path), folder=tmp_path)
    assert page.sources == []
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(page.tags)
    for word in ("http://", "https://", "//cdn", "@import", "url("):
        assert word not in source
    assert "default-src &#39;none&#39;" in source or "default-src 'none'" in source


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    page, source = written(*everything(tmp_path), folder=tmp_path)
    assert "5ec4e7" not in source
    assert "CHAP_R" in page.text
    assert "<hidden>" in page.text


def test_what_peers_say_is_text_and_nothing_else(tmp_path: Path) -> None:
    story = Story()
    story.passed(login(f"InitiatorName={EVIL}", f"{EVIL}=1", "X\u202eY=\x1b[31m\x07"))
    n = story.came(command())
    story.fired(f"s/{EVIL}", "drop", n, EVIL, change(EVIL, EVIL, EVIL))
    story.unframed(TARGET, EVIL)
    story.full_feature(TARGET, f"A={EVIL}")
    journal = in_file(story, tmp_path / f"{EVIL.replace('/', '')}" / "journal.jsonl")
    base = result(cited=(n,), journal=journal)
    finding = Finding(about=EVIL, verdict="fail", text=EVIL)
    nasty = replace(
        base,
        name=EVIL,
        scenario=EVIL,
        title=EVIL,
        about=EVIL,
        victim=EVIL,
        file=EVIL,
        axes={EVIL: EVIL},
        params={EVIL: EVIL},
        covers=(EVIL,),
        cites=(EVIL,),
        findings=(*base.findings, finding),
    )
    plain, _ = written(base, folder=tmp_path)
    outcome = replace(suite(nasty), target=EVIL, initiator=EVIL, program=EVIL, started=EVIL)
    source = write_report(outcome, tmp_path).read_text()
    page = Document(source)
    assert page.tags.count("script") == plain.tags.count("script") == 1
    assert "img" not in page.tags
    assert EVIL in page.text
    assert "\\u202e" in source
    assert not {"\u202e", "\x1b", "\x07"} & set(source)


def test_ten_thousand_pdus_are_folded_and_counted(tmp_path: Path) -> None:
    story = Story()
    calm(story, 2500)
    lost, _ = broken(story)
    calm(story, 2500, first=5000)
    journal = in_file(story, tmp_path / "lose" / "journal.jsonl")
    page, source = written(result(cited=(lost,), journal=journal), folder=tmp_path)
    assert "10,003 PDUs on 1 connection" in page.text
    assert page.classes.count("fold") == 2
    assert "4,997 PDUs, all passed on as they came" in page.text
    assert "5,003 rows of this ladder are not in this file" in page.text
    assert f"r0-{lost}" in page.ids
    assert page.classes.count("row") == 5000
    assert page.classes.count("body") == 1000
    assert len(source) < 5_000_000


def test_hundreds_of_runs_are_a_table_and_sections(tmp_path: Path) -> None:
    story = Story()
    calm(story, 20)
    lost, _ = broken(story)
    journal = in_file(story, tmp_path / "lose" / "journal.jsonl")
    runs = [result("pass", name=f"run_{n}", cited=(lost,), journal=journal) for n in range(300)]
    page, _ = written(*runs, folder=tmp_path)
    assert page.text.startswith("All 300 passed – embedded – iscsiproxy")
    assert sum(one.startswith("run-") for one in page.ids) == 300
    inner = {href[1:] for href in page.hrefs if href.startswith("#")}
    assert inner <= set(page.ids)


def test_what_is_left_to_do_is_told(tmp_path: Path) -> None:
    path = write_report(suite(result("pass"), interrupted=True), tmp_path)
    assert "It was interrupted. 1 of 2 runs were not done." in Document(path.read_text()).text
    assert "Nothing was judged" in Document(write_report(suite(), tmp_path).read_text()).text


def test_a_report_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*report\.html: No such file"):
        write_report(suite(result("pass")), tmp_path / "gone")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*report\.html: Is a directory"):
        write_report(suite(result("pass")), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_an_older_report_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    write_report(suite(result("pass")), tmp_path)
    assert "All" not in (tmp_path / "report.html").read_text()[:20]
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_jinja_is_imported_when_it_is_needed() -> None:
    code = "import sys, iscsiproxy.report.html.writer, iscsiproxy.cli.test; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_payloads_are_not_in_it(tmp_path: Path) -> None:
    story = Story()
    story.passed(data_in(data=b"very private" * 100))
    journal = in_file(story, tmp_path / "j")
    _, source = written(result(journal=journal, cited=(1,)), folder=tmp_path)
    assert "very private" not in source
    assert b"very private".hex(" ") not in source

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from iscsiproxy.capture import Capture
from iscsiproxy.checks.catalogue import RULES
from iscsiproxy.journal import Journal
from iscsiproxy.session.events import Event
from tests.checks.dialogue import records_of
from tests.cli.program import program

__all__: list[str] = []

GOOD = "login\n> NOP-Out\n< NOP-In"
BAD = "login\n> NOP-Out\n< NOP-In TTT=5\n> NOP-Out\n< NOP-In TTT=5"
KNOWN = "- {rule: T-047, pdu: NOP-In, clause: RFC 7143 7.7, reason: it asks with each answer}\n"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the journal of a dialogue."""

    def made(text: str) -> Path:
        path = tmp_path / "journal.jsonl"
        journal = Journal(path, started=0.0)
        for record in records_of(text):
            assert isinstance(record.entry, Event)
            journal(record.entry)
        journal.close()
        return path

    return made


def test_a_clean_journal(write: Write) -> None:
    done = program("check", str(write(GOOD)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pass: 0 findings; ")


def test_a_finding_has_rule_blame_clause_and_proof(write: Write) -> None:
    path = write(BAD)
    done = program("check", str(path), "--end", "target")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    first = next(line for line in lines if "T-047" in line)
    assert first.startswith("MUST T-047 target: ITT=0x1 and TTT=0x5 are both valid (RFC 7143 7.7")
    proof = lines[lines.index(first) + 1]
    assert "conn 1, target leg: NOP-In ITT=0x00000001 TTT=0x00000005" in proof
    number = int(proof.split()[0].removeprefix("#"))
    assert any(json.loads(line).get("n") == number for line in path.read_text().splitlines())
    assert any(line.split()[:5] == ["MUST", "T-047", "NOP-In", "2", "x"] for line in lines)
    assert lines[-1].startswith("fail: ")


def test_as_json(write: Write) -> None:
    path = write(BAD)
    done = program("check", str(path), "--json", "--end", "target")
    *findings, judged = map(json.loads, done.stdout.splitlines())
    found = [one for one in findings if one["rule"] == "T-047"]
    assert [one["event"] for one in found] == ["finding", "finding"]
    assert found[0]["blame"] == "target"
    assert found[0]["severity"] == "MUST"
    line = found[0]["proof"][0]["line"]
    assert json.loads(path.read_text().splitlines()[line - 1])["n"] == found[0]["n"]
    assert judged["event"] == "judged"
    assert judged["verdict"] == "fail"
    assert judged["evidence"]["T-047"] == 2
    assert judged["evidence"].keys() == {name for name in RULES if name[0] in "TD"}


def test_known_deviations_weigh_nothing(write: Write, tmp_path: Path) -> None:
    path = write(BAD)
    known = tmp_path / "known.yaml"
    others = {one["rule"] for one in map(json.loads, program("check", str(path), "--json").stdout.splitlines()[:-1])}
    entries = [KNOWN]
    for one in map(json.loads, program("check", str(path), "--json").stdout.splitlines()[:-1]):
        if one["rule"] != "T-047":
            clause = one["clause"].split(",")[0]
            entries.append(f"- {{rule: {one['rule']}, pdu: {one['about']}, clause: {clause}, reason: as above}}\n")
    assert "T-047" in others
    known.write_text("".join(dict.fromkeys(entries)))
    done = program("check", str(path), "--known", str(known))
    assert done.returncode == 0, done.stdout
    assert "MUST T-047" not in done.stdout
    assert " known; " in done.stdout.splitlines()[-1]
    assert "known: it asks with each answer" in program("check", str(path), "--known", str(known), "-v").stdout


def test_nothing_to_judge_is_no_pass(write: Write) -> None:
    done = program("check", str(write("conn 1")))
    assert done.returncode == 3
    assert done.stdout.startswith("inconclusive: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Missing argument 'FILE'"),
        (("nothing.jsonl",), "does not exist"),
        (("{journal}", "--known", "tgt-1.0.84"), "there is no such file or list (did you mean tgt-1.0.85?)"),
        (("{journal}", "--profile", "rfc1"), "'rfc1' is not one of"),
        (("{text}",), "expected the first line of a journal"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    args: tuple[str, ...], message: str, write: Write, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("hello\n")
    journal = str(write(GOOD))
    done = program("check", *(word.format(journal=journal, text=text) for word in args))
    assert done.returncode == 2
    assert message in done.stderr


def test_the_list_has_every_rule() -> None:
    done = program("check", "--list")
    assert done.returncode == 0
    for rule in RULES.values():
        assert f"  {rule.id}  " in done.stdout
    listed = [json.loads(line) for line in program("check", "--list", "--json").stdout.splitlines()]
    assert [one["id"] for one in listed] == list(RULES)
    assert listed[0].keys() >= {"id", "family", "title", "blame", "severity", "clause", "profiles", "why"}


def test_the_reference_is_a_page_of_all_rules() -> None:
    done = program("check", "--reference")
    assert done.stdout.startswith("# The rules of the judge\n")
    assert done.stdout.count("\n- **") == len(RULES)


def test_a_journal_that_was_cut_is_judged_and_it_is_told(write: Write) -> None:
    path = write(GOOD)
    path.write_bytes(path.read_bytes()[:-20])
    done = program("check", str(path))
    assert done.returncode == 0
    assert "journal.jsonl was cut: its last line is not complete" in done.stderr
    assert any(
        json.loads(line) == {"event": "warning", "text": f"{path} was cut: its last line is not complete"}
        for line in program("check", str(path), "--json").stdout.splitlines()
    )


@pytest.mark.peers("tshark")
def test_a_capture_is_judged_like_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    capture = Capture(path, started=0.0)
    for record in records_of(BAD):
        assert isinstance(record.entry, Event)
        capture(record.entry)
    capture.close()
    done = program("check", str(path), "--json", "--end", "target")
    assert done.returncode == 1, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert {"rule": "T-047", "about": "NOP-In", "conn": 1, "known": False, "count": 2} in facts["findings"]


@pytest.mark.peers("tshark")
def test_what_is_no_capture_is_said(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcap"
    path.write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(60))
    done = program("check", str(path))
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr

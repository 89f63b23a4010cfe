from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from iscsiproxy.journal import read
from iscsiproxy.proxy import Address
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.recording import Recording
from iscsiproxy.runs.targets import Target, parse_target
from iscsiproxy.session.events import Staged
from tests.runs.playing import shipped_one

__all__: list[str] = []


def _plan(folder: Path | None) -> RunPlan:
    return RunPlan(
        name="it",
        scenario=shipped_one("data_out_lost"),
        target=Target(spec=parse_target("iscsi://me%sesame@h/i"), address=Address("h", 3260), name="i"),
        initiator=parse_initiator("embedded"),
        seed=8,
        timeout=1.0,
        folder=folder,
        capture=True,
    )


def test_nothing_is_written_unless_there_is_a_folder() -> None:
    with Recording(_plan(None), started=0.0, say=pytest.fail) as recording:
        assert (recording.sinks, recording.files) == ((), {})


def test_the_journal_knows_what_it_is_of_but_no_secret(tmp_path: Path) -> None:
    with Recording(_plan(tmp_path), started=0.0, say=pytest.fail) as recording:
        for sink in recording.sinks:
            sink.take(Staged(n=1, at=0.0, conn=0, stage="steady"))
    assert {kind: Path(path).name for kind, path in recording.files.items()} == {
        "journal": "journal.jsonl",
        "capture": "capture.pcapng",
    }
    with read(recording.files["journal"]) as reader:
        assert (reader.header.seed, reader.header.scenarios) == (8, ("data_out_lost",))
        assert reader.header.facts["target"] == "iscsi://h:3260/i"
        assert Path(reader.header.facts["file"]).is_file()
        assert len(list(reader)) == 2
        assert reader.complete
    assert "sesame" not in Path(recording.files["journal"]).read_text()


def test_without_a_capture_there_is_none(tmp_path: Path) -> None:
    with Recording(replace(_plan(tmp_path), capture=False), started=0.0, say=pytest.fail) as recording:
        assert set(recording.files) == {"journal"}
    assert not (tmp_path / "capture.pcapng").exists()


def test_what_the_disk_did_not_take_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    with Recording(_plan(tmp_path), started=0.0, say=said.append) as recording:
        journal = recording.sinks[0].take
        # What comes when the file is closed already is lost.
        journal.close()  # type: ignore[attr-defined] # a journal is a sink by being called
        journal(Staged(n=1, at=0.0, conn=0, stage="steady"))
    assert said == ["the journal of it lacks 1 records: the disk could not keep up"]

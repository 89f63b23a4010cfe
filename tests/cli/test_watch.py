from __future__ import annotations

import io
import json
import random
import subprocess
from pathlib import Path

from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.watch import Watch
from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.proxy.relay import Relay, Settings
from iscsiproxy.session.events import Event
from tests.cli.program import PROGRAM, program
from tests.journal.story import Story, command

_FILE = "scenario: mine\nvictim: target\nrules: [{when: SCSI-Command where EDTL == 1, do: drop}]\n"


def told(events: list[Event], *, as_json: bool = False, rules: list[str] | None = None) -> str:
    scenario = load(_FILE, file="mine.yaml", acts=SPECS)
    relay = Relay(scenarios=[scenario], rng=random.Random(1), sinks=[], settings=Settings(), start=0.0)
    watch = Watch([scenario], seed=1, relay=lambda: relay)
    for event in events:
        watch(event)
    out = io.StringIO()
    watch.tell(Screen(out, as_json=as_json, verbosity=0), rules)
    return out.getvalue()


async def test_rules_are_explained_at_the_end() -> None:
    story = Story()
    story.connected()
    story.passed(command())
    text = told(story.events)
    assert "rule mine/#1 (mine.yaml:3): never fired" in text
    assert "not `EDTL == 1`: EDTL is 4096" in text
    assert "in this run there were: connect 1, SCSI-Command 1" in text
    assert '"event": "explanation"' in told(story.events, as_json=True)
    assert told(story.events, rules=[]) == ""


async def test_what_goes_wrong_costs_only_the_explanation() -> None:
    assert "cannot be explained" in told([None, *Story().events])  # type: ignore[list-item]


def test_a_captive_run_says_why_a_rule_never_fired() -> None:
    args = ("run", "--listen", ":0", "--target", ":1", "--faults", "data_out_lost")
    done = program(*args, "--", "true")
    assert done.returncode == 3
    assert "rule data_out_lost/hole" in done.stderr
    assert "nothing of this kind was seen" in done.stderr
    assert "in this run there were: no PDUs at all" in done.stderr


#: Rules of many kinds; what they do leaves the traffic as it is.
_AGREE = """
scenario: agree
victim: target
rules:
  - {name: picked, when: SCSI-Command where W and not I after 2 every 3 as w, do: {note: x}}
  - {name: belonging, when: SCSI-Response of w, do: {note: x}}
  - {name: sequence, when: SCSI-Command where R nth 2 then Data-In where F per connection, do: {note: x}}
  - {name: event, when: full-feature, do: {note: x}}
  - {name: delivered, when: SCSI-Command at target where EDTL >= 4096, do: {note: x}}
  - {name: numbers, when: SCSI-Command where CmdSN == w.CmdSN + 1 and session.window > 3, do: {note: x}}
  - {name: ended, when: "Data-In where length >= 4096 mask 101", until: Data-In nth 40, do: {note: x}}
  - {name: drawn, when: 1ms..5ms, do: {note: x}}
"""


def test_what_is_explained_is_what_the_engine_did(tmp_path: Path) -> None:
    (tmp_path / "agree.yaml").write_text(_AGREE)
    target = subprocess.Popen(
        (*PROGRAM, "target", "--json", "--listen", ":0", "--lun", "16M"), stdout=subprocess.PIPE, text=True
    )
    with target:
        try:
            assert target.stdout is not None
            portal = json.loads(target.stdout.readline())["listen"][0]
            io = (*PROGRAM, "initiator", "io", "iscsi://{portal}", "--scratch", "--count", "60", "--depth", "4")
            options = ("--listen", ":0", "--target", portal, "--faults", "./agree.yaml", "--journal", "run.jsonl")
            done = program("run", "--json", "--explain", "--seed", "1", *options, "--", *io, cwd=tmp_path)
        finally:
            target.kill()
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (rules,) = [one["rules"] for one in told if one["event"] == "rules"]
    counted = {rule["rule"]: (rule["matched"], rule["fired"]) for rule in rules}
    assert {one["rule"]: (one["matched"], one["fired"]) for one in told if one["event"] == "explanation"} == counted
    assert counted["agree/picked"][0] > 3
    again = program("explain", "run.jsonl", "--faults", "./agree.yaml", "--json", cwd=tmp_path).stdout.splitlines()
    from_journal = {one["rule"]: (one["matched"], one["fired"]) for one in map(json.loads, again)}
    assert from_journal == counted

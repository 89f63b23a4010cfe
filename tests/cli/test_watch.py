from __future__ import annotations

import io

from iscsiproxy.cli.screen import Screen
from iscsiproxy.cli.watch import Watch
from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.proxy.relay import Relay, Settings
from iscsiproxy.session.events import Event
from tests.cli.program import program
from tests.journal.story import Story, command

_FILE = "scenario: mine\nvictim: target\nrules: [{when: SCSI-Command where EDTL == 1, do: drop}]\n"


def told(events: list[Event], *, as_json: bool = False, rules: list[str] | None = None) -> str:
    import random

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

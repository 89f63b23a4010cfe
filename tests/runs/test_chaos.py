from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from iscsiproxy.journal import read
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.chaos import ChaosRun, Progress, run_chaos
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.plans import read_plan
from iscsiproxy.runs.storm import Decision, decisions_in, drawn
from iscsiproxy.runs.targets import opened, parse_target
from iscsiproxy.session.events import Drawn, Fired

__all__: list[str] = []

PLAN = """plan: p
title: A short one
traffic: {io: verify, depth: 4}
phases:
  - {name: before, for: 300ms}
  - {name: storm, for: 1500ms, rate: 10/s}
  - {name: after, for: 300ms}
faults:
  - {name: twice, weight: 2, rules: [{when: SCSI-Command where not I nth 1, do: duplicate}]}
  - {name: late, rules: [{when: SCSI-Response or Data-In nth 1, do: {delay: 20ms}}]}
  - {name: reset, rules: [{when: SCSI-Command nth 1, do: close}]}
"""


async def play(
    folder: Path,
    text: str = PLAN,
    *,
    decisions: Iterable[Decision] | None = None,
    target: str = "embedded",
    initiator: str = "embedded",
    seed: int = 7,
    interrupt: trio.Event | None = None,
    seen: list[Progress] | None = None,
) -> RunResult:
    file = folder / "p.yaml"
    file.write_text(text)
    plan = read_plan(file)
    with trio.fail_after(60):
        async with opened(parse_target(target)) as there:
            return await run_chaos(
                ChaosRun(
                    plan=plan,
                    decisions=drawn(plan, seed) if decisions is None else tuple(decisions),
                    target=there,
                    initiator=parse_initiator(initiator),
                    seed=seed,
                    folder=folder,
                ),
                say=lambda _: None,
                interrupt=trio.Event() if interrupt is None else interrupt,
                watch=lambda now: seen.append(now) if seen is not None else None,
            )


def about(run: RunResult, what: str) -> list[str]:
    return [one.verdict for one in run.findings if one.about == what]


def told(run: RunResult) -> str:
    return "\n".join(f"{one.about} {one.verdict} {one.text}" for one in run.findings)


def kept(folder: Path) -> list[Drawn]:
    return [one.entry for one in read(folder / "journal.jsonl") if isinstance(one.entry, Drawn)]


async def test_conforming_peers_come_through(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run = await play(tmp_path, seen=seen)
    assert run.verdict == "pass", told(run)
    assert [about(run, what) for what in ("steady state", "storm", "workload", "aftermath")] == [["pass"]] * 4
    assert {one.phase for one in seen} == {"before", "storm", "after"}
    assert seen[-1].struck > 3
    assert seen[-1].iops >= 0
    # What was drawn is in the journal, and nothing else has fired.
    events = kept(tmp_path)
    assert [one.fault for one in events if one.what in ("armed", "missed")] == [one.fault for one in drawn_of(tmp_path)]
    fired = [one.entry for one in read(tmp_path / "journal.jsonl") if isinstance(one.entry, Fired)]
    assert {one.rule.partition("/")[0] for one in fired} == {one.fault for one in events if one.what == "fired"}


def drawn_of(folder: Path, seed: int = 7) -> tuple[Decision, ...]:
    return drawn(read_plan(folder / "p.yaml"), seed)


async def test_a_deviating_target_is_found(tmp_path: Path) -> None:
    text = PLAN[: PLAN.index("faults:")] + "faults: [{name: it, rules: [{when: Data-Out nth 1, do: drop}]}]\n"
    run = await play(tmp_path, text, target="embedded:tgt-holes")
    assert run.verdict == "fail", told(run)
    assert "fail" in about(run, "check")
    clean = await play(tmp_path, text)
    assert "fail" not in about(clean, "check"), told(clean)


async def test_data_that_is_wrong_fails_unless_a_fault_is_to_blame(tmp_path: Path) -> None:
    spoiled = "{when: Data-In where length >= 512 nth 1, do: {corrupt: data}}"
    text = PLAN[: PLAN.index("faults:")] + f"faults: [{{name: it, rules: [{spoiled}]}}]\n"
    run = await play(tmp_path, text)
    wrong = [one for one in run.findings if one.about == "workload" and "were not what was written" in one.text]
    assert [one.verdict for one in wrong] == ["pass"], told(run)
    assert run.verdict == "pass", told(run)


async def test_it_is_done_again_and_without_one_it_is_another(tmp_path: Path) -> None:
    text = PLAN.replace("for: 1500ms, rate: 10/s", "for: 3s, rate: 4/s")
    first = await play(tmp_path, text)
    decisions = decisions_in(read(tmp_path / "journal.jsonl"))
    assert len(decisions) > 2
    again = tmp_path / "again"
    again.mkdir()
    await play(again, text, decisions=decisions)
    assert [(one.number, one.fault) for one in kept(again) if one.what == "armed"] == [
        (one.number, one.fault) for one in decisions
    ]
    # Each at the command that it came with before, or hardly later.
    for before, now in zip(decisions, decisions_in(read(again / "journal.jsonl")), strict=True):
        assert before.commands is not None
        assert now.commands is not None
    less = tmp_path / "less"
    less.mkdir()
    gone = decisions[1]
    await play(less, text, decisions=[one for one in decisions if one is not gone])
    assert gone.number not in {one.number for one in kept(less)}
    assert len([one for one in kept(less) if one.what == "armed"]) == len(decisions) - 1
    assert first.verdict == "pass"


async def test_storms_that_never_strike_prove_nothing(tmp_path: Path) -> None:
    text = PLAN[: PLAN.index("faults:")] + "faults: [{name: never, rules: [{when: Opcode-0x1c, do: drop}]}]\n"
    run = await play(tmp_path, text)
    assert run.verdict == "inconclusive"
    assert about(run, "storm") == ["inconclusive"]


async def test_a_stall_that_outlasts_its_storm_has_struck(tmp_path: Path) -> None:
    text = PLAN[: PLAN.index("faults:")]
    text += "faults: [{name: stuck, rules: [{when: SCSI-Command nth 1, do: {stall: 60s}}]}]\n"
    run = await play(tmp_path, text, decisions=[Decision(number=1, fault="stuck", at=0.4)])
    assert about(run, "storm") == ["pass"], told(run)
    assert [one.what for one in kept(tmp_path)] == ["armed", "fired"]


async def test_calm_alone_is_a_pass(tmp_path: Path) -> None:
    run = await play(tmp_path, "plan: p\nphases: [{for: 300ms}]\n")
    assert run.verdict == "pass", told(run)
    assert about(run, "storm") == []


async def test_it_ends_at_any_moment_with_a_report(tmp_path: Path) -> None:
    interrupt = trio.Event()
    runs: list[RunResult] = []
    async with trio.open_nursery() as nursery:

        async def one() -> None:
            runs.append(await play(tmp_path, PLAN.replace("1500ms", "30s"), interrupt=interrupt))

        nursery.start_soon(one)
        await trio.sleep(1.0)
        interrupt.set()
    (run,) = runs
    assert run.verdict == "inconclusive"
    assert any(one.text.startswith("interrupted in ") for one in run.findings)
    assert about(run, "workload") == ["pass"]
    with read(tmp_path / "journal.jsonl") as journal:
        assert list(journal)
        assert journal.complete


async def test_a_target_that_is_not_well_proves_nothing(tmp_path: Path) -> None:
    run = await play(tmp_path, initiator="false {url}")
    assert run.verdict == "inconclusive"
    assert about(run, "steady state") == ["inconclusive"]


async def test_a_phase_is_as_long_as_the_plan_has_it(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(PLAN)
    plan = read_plan(file)
    assert plan.seconds == pytest.approx(2.1)
    assert replace(plan, phases=plan.phases[:1]).seconds == pytest.approx(0.3)

from __future__ import annotations

import socket
import sys
from pathlib import Path
from random import Random

import pytest
import trio

from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.journal import read
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.proxy import Address, Proxy, Route
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.expectations import Watch
from iscsiproxy.runs.targets import IQN, opened, parse_target
from iscsiproxy.session.events import Delivered, Fired, IoDone, Staged
from tests.runs.playing import disarmed, hastened, play, shipped_one, written

__all__: list[str] = []

_SHIPPED = (
    "c_bit_login_request",
    "c_bit_text_request",
    "cmdsn_duplicate_write",
    "data_digest_corrupt",
    "data_digest_corrupt_read",
    "data_out_lost",
    "header_digest_corrupt",
    "payload_corrupt_valid_digest",
    "reset_between_r2t_and_data_out",
)
#: Fires at once and breaks nothing
_HARMLESS = "victim: target\nrules:\n  - {name: seen, when: SCSI-Command where W nth 1, do: {note: here}}\n"


def _told(run: RunResult) -> str:
    return "\n".join(f"{one.about} {one.verdict} {one.text} {[*map(str, one.evidence)]}" for one in run.findings)


def _about(run: RunResult, about: str) -> str:
    return next(finding.verdict for finding in run.findings if finding.about == about)


@pytest.mark.parametrize("name", _SHIPPED)
async def test_the_conforming_target_passes(name: str) -> None:
    run = await play(shipped_one(name))
    assert run.verdict == "pass", _told(run)
    assert _about(run, "steady state") == _about(run, "aftermath") == "pass"
    assert all(rule.fired or rule.optional for rule in run.rules)


@pytest.mark.parametrize(
    ("name", "quirk", "why"),
    [
        ("data_out_lost", "tgt-holes", "never: SCSI-Response of lost where Status == GOOD"),
        ("cmdsn_duplicate_write", "W12", "exactly: 1 SCSI-Response of write"),
        ("c_bit_text_request", "W10", "escalation"),
    ],
)
async def test_a_deviating_target_fails_with_evidence(name: str, quirk: str, why: str) -> None:
    run = await play(shipped_one(name), target=f"embedded:{quirk}")
    assert run.verdict == "fail", _told(run)
    assert why in run.why
    assert all(evidence.n for evidence in run.reasons[0].evidence)


async def test_data_that_the_load_finds_lost_is_a_fail_though_nothing_was_expected(tmp_path: Path) -> None:
    text = "victim: target\nrules:\n  - when: Data-Out where DataSN == 2 nth 1\n    do: drop\n"
    assert (await play(written(text, tmp_path))).verdict == "pass"
    run = await play(written(text, tmp_path), target="embedded:tgt-holes")
    assert run.verdict == "fail", _told(run)
    assert _about(run, "data") == "fail"


async def test_connections_are_counted_from_the_fault_on(tmp_path: Path) -> None:
    text = "victim: target\nrules:\n  - when: SCSI-Command where conn.nth == 1 nth 1\n    do: {note: first}\n"
    expect = "expect:\n  - at_least: 1 SCSI-Response where conn.nth == 1\n"
    assert (await play(written(text + expect, tmp_path))).verdict == "pass"


async def test_a_window_that_never_opens_does_not_keep_the_run(tmp_path: Path) -> None:
    text = f"{_HARMLESS}expect:\n  - never: Reject\n    after: Async\n"
    run = await play(written(text, tmp_path))
    assert run.verdict == "inconclusive"
    assert run.seconds < 15


@pytest.mark.parametrize("name", _SHIPPED)
async def test_a_fault_that_never_fires_is_never_a_pass(name: str) -> None:
    run = await play(disarmed(shipped_one(name)))
    assert run.verdict == "inconclusive", _told(run)
    assert _about(run, "rule") == "inconclusive"
    assert not any(rule.fired for rule in run.rules)


async def test_a_run_is_recorded_from_the_steady_state_to_the_end(tmp_path: Path) -> None:
    run = await play(shipped_one("data_out_lost"), folder=tmp_path)
    assert set(run.files) == {"journal", "capture"}
    assert (tmp_path / "capture.pcapng").stat().st_size > 10_000
    with read(tmp_path / "journal.jsonl") as reader:
        events = [record.entry for record in reader]
        assert reader.complete
        assert reader.header.facts["run"] == "data_out_lost"
    stages = [event for event in events if isinstance(event, Staged)]
    assert [event.stage for event in stages] == ["steady", "fault", "aftermath", "cleared"]
    begin, end = stages[1].n, stages[2].n
    touched = [
        event.n for event in events if isinstance(event, Fired) or (isinstance(event, Delivered) and event.rules)
    ]
    assert touched
    assert all(begin < n < end for n in touched), "nothing is touched before the fault or behind it"
    assert {event.what for event in events if isinstance(event, IoDone)} >= {"good"}


async def test_not_even_rules_that_need_not_fire_make_a_pass_of_nothing(tmp_path: Path) -> None:
    text = "victim: target\nrules:\n  - {when: SCSI-Command nth 1000000, do: drop, optional: yes}\n"
    run = await play(written(text, tmp_path))
    assert (run.verdict, run.why) == ("inconclusive", "no rule has fired")


async def test_what_is_needed_and_not_there_is_skipped(tmp_path: Path) -> None:
    run = await play(written("needs: [initiator.depth >= 2]\n" + _HARMLESS, tmp_path))
    assert (run.verdict, run.why) == ("skipped", "initiator.depth >= 2: initiator.depth is 1")
    run = await play(written("needs: [key.MaxConnections >= 2]\n" + _HARMLESS, tmp_path))
    assert (run.verdict, run.why) == ("skipped", "key.MaxConnections >= 2: key.MaxConnections is 1")
    assert run.reasons[0].evidence[0].text == "full feature phase"


async def test_a_leg_that_does_not_settle_on_what_is_wanted_is_skipped(tmp_path: Path) -> None:
    text = (
        "victim: target\nnegotiate: {target: {ErrorRecoveryLevel: 1}}\n"
        "rules:\n  - {when: SCSI-Command nth 3, do: {note: here}}\nexpect:\n  - first: [{fail: Target-PDU}]\n"
    )
    run = await play(written(text, tmp_path))
    assert run.verdict == "skipped", _told(run)
    assert "did not settle on ErrorRecoveryLevel=1" in run.why


async def test_an_actor_is_played_by_our_own_initiator_only(tmp_path: Path) -> None:
    text = "victim: target\nactor:\n  - login: {as: A}\naftermath: recovers\n"
    run = await play(written(text, tmp_path), initiator="x {url}")
    assert (run.verdict, run.why) == ("skipped", "its actor is played by the embedded initiator, and by no other")


async def test_what_is_needed_and_can_be_offered_is(tmp_path: Path) -> None:
    run = await play(written("needs: [key.HeaderDigest == CRC32C]\n" + _HARMLESS, tmp_path))
    assert run.verdict == _about(run, "aftermath") == "pass", _told(run)


async def test_facts_of_the_run_are_known_to_the_rules(tmp_path: Path) -> None:
    text = (
        "victim: target\ntraffic: {depth: 3, luns: 2}\n"
        "needs: [target.LUs >= 2, initiator.kind == embedded]\n"
        "rules:\n  - when: SCSI-Command where initiator.depth == 3 and target.kind == embedded and LUN == 1 nth 1\n"
        "    do: {note: here}\n"
    )
    run = await play(written(text, tmp_path))
    assert run.verdict == "pass", _told(run)


async def test_without_a_steady_state_nothing_is_proven(tmp_path: Path) -> None:
    said = f"{sys.executable} -c 'raise SystemExit(4)' {{portal}}"
    run = await play(written(_HARMLESS, tmp_path), initiator=said)
    assert run.verdict == "inconclusive"
    assert "failed with nothing armed: exit status 4" in run.why
    assert not run.rules[0].matched


async def test_a_command_as_the_initiator_whose_status_is_not_its_own_io(tmp_path: Path) -> None:
    script = tmp_path / "io.py"
    script.write_text(_INITIATOR)
    run = await play(
        shipped_one("data_out_lost"),
        target="embedded:tgt-holes",
        initiator=f"{sys.executable} {script} {{host}} {{port}} {{iqn}}",
    )
    assert run.verdict == "fail", _told(run)
    assert _about(run, "aftermath") == "pass", _told(run)


async def test_an_initiator_that_somebody_else_sees_to(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        portal = Address("127.0.0.1", holder.getsockname()[1])
    said: list[str] = []
    runs: list[RunResult] = []

    async def come_again_and_again() -> None:
        while True:
            try:
                settings = InitiatorSettings(target=IQN, time2wait=0)
                async with open_session((portal.host, portal.port), settings) as session:
                    while True:
                        await session.command(0, commands.write10(0, 1), data_out=bytes(512))
            except PeerError:
                await trio.sleep(0.02)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_again_and_again)
            scenario = written("victim: target\nrules:\n  - {when: Login-Request nth 1, do: {note: here}}\n", tmp_path)
            runs.append(await play(scenario, initiator="external", listen=portal, said=said))
            nursery.cancel_scope.cancel()
    assert runs[0].verdict == "pass", _told(runs[0])
    assert said == [f"waiting for an initiator at {portal}"]


async def test_without_clean_io_first_the_fault_meets_the_first_login(tmp_path: Path) -> None:
    text = "victim: target\nrules:\n  - {when: Login-Request where conn.nth == 1 nth 1, do: {note: here}}\n"
    assert (await play(written(text, tmp_path), steady=False)).verdict == "pass"


async def test_a_command_that_cannot_be_run_is_the_users_to_put_right(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^cannot run /nowhere/qemu-io"):
        await play(written(_HARMLESS, tmp_path), initiator="/nowhere/qemu-io {url}")


@pytest.mark.parametrize(
    ("when", "act", "seen", "io"),
    [
        ("SCSI-Command where W nth 2", "set: {ATTR: ORDERED}", "SCSI-Command where ATTR == ORDERED", "verify"),
        ("Login-Request nth 1", "set: {CID: 7}", "Login-Request where CID == 7", "verify"),
        ("Text-Request nth 1", "set: {LUN: 7}", "Text-Request where LUN == 7", "discovery"),
    ],
)
async def test_a_victim_that_hangs_fails_where_nothing_is_expected_of_it(
    when: str, act: str, seen: str, io: str, tmp_path: Path
) -> None:
    """The target hangs at the fault, on that connection alone; a new session finds it well."""
    text = f"victim: target\ntraffic: {{io: {io}}}\nrules: [{{when: {when}, do: [{act}]}}]\n"
    stalls = f"victim: target\nrules: [{{when: {seen}, do: {{stall: 1000s}}}}]\n"
    async with opened(parse_target("embedded")) as target, trio.open_nursery() as nursery:
        route = Route(Address("127.0.0.1", 0), target.address)
        hanging = Proxy([route], scenarios=[written(stalls, tmp_path, "hanging")], rng=Random(1))
        (bound,) = await nursery.start(hanging.run)
        scenario = hastened(written(text, tmp_path), hang=0.5, within=0.2)
        run = await play(scenario, target=f"iscsi://{bound.listen}/{IQN}/0")
        sound = await play(scenario)
        nursery.cancel_scope.cancel()
    found = {one.about: one.verdict for one in run.findings}
    assert (run.verdict, found.get("hang"), found.get("aftermath")) == ("fail", "fail", "pass"), _told(run)
    assert sound.verdict == "pass", _told(sound)


async def test_the_time_is_up(tmp_path: Path) -> None:
    text = "victim: target\nrules:\n  - {when: 50s, do: {note: late}}\n"
    run = await play(written(text, tmp_path), patience=3.0)
    assert run.verdict == "inconclusive"
    assert "3 s were over before all was decided" in _told(run)


async def test_an_interrupted_run_is_cleared_and_reported(tmp_path: Path) -> None:
    text = "victim: target\nrules:\n  - {when: SCSI-Command where W nth 2, do: [{delay: 50s}]}\n"
    interrupt = trio.Event()
    runs: list[RunResult] = []

    async def run() -> None:
        runs.append(await play(written(text, tmp_path), folder=tmp_path, interrupt=interrupt))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(0.6)
        interrupt.set()
    assert runs[0].verdict == "inconclusive"
    assert "run inconclusive interrupted" in _told(runs[0])
    with read(tmp_path / "journal.jsonl") as reader:
        stages = [record.entry.stage for record in reader if isinstance(record.entry, Staged)]
        assert reader.complete
    assert stages[-1] == "cleared"


async def test_a_check_that_breaks_is_never_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_(_: Watch) -> bool:
        raise ValueError("a bug")

    monkeypatch.setattr(Watch, "decided", property(break_))
    run = await play(written(_HARMLESS, tmp_path))
    assert (run.verdict, run.crash) == ("inconclusive", True)
    assert "internal error: ValueError('a bug')" in _told(run)


_INITIATOR = """
import sys
import trio
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings

async def main(host, port, iqn):
    async with open_session((host, int(port)), InitiatorSettings(target=iqn, time2wait=0)) as session:
        for _ in range(3):
            if (await session.command(0, commands.test_unit_ready())).good:
                break
        outcome = await session.command(0, commands.write10(0, 512), data_out=bytes(512 * 512))
        sys.exit(not outcome.good)

trio.run(main, *sys.argv[1:])
"""

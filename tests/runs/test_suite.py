from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from iscsiproxy.errors import PeerError
from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address
from iscsiproxy.report.model import RunResult, SuiteResult
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.suite import Done, SuitePlan, file_name, looked, names, run_suite, seed_of, write_suite
from iscsiproxy.runs.targets import IQN, UNITS, Target, opened, parse_target
from tests.runs.playing import disarmed, shipped_one, written

__all__: list[str] = []

_HARMLESS = "victim: target\ntraffic: {io: none}\nrules:\n  - {name: seen, when: full-feature, do: {note: here}}\n"


class _Listener:
    """Keeps what it hears; with `stop` it interrupts at the first end."""

    def __init__(self, stop: trio.Event | None = None) -> None:
        self.heard: list[str] = []
        self.stages: list[str] = []
        self._stop = stop

    def begun(self, name: str, number: int, count: int) -> None:
        self.heard.append(f"{number}/{count} {name}")

    def staged(self, stage: str) -> None:
        self.stages.append(stage)

    def said(self, text: str) -> None:
        self.heard.append(text)

    def ended(self, run: RunResult) -> None:
        self.heard.append(f"{run.name} {run.verdict}")
        if self._stop is not None:
            self._stop.set()


def _plan(tmp_path: Path, *names: str, **changes: object) -> SuitePlan:
    plan = SuitePlan(
        scenarios=tuple(written(_HARMLESS, tmp_path, name) for name in names),
        target=parse_target("embedded"),
        initiator=parse_initiator("embedded"),
        seed=4,
        timeout=20.0,
    )
    return replace(plan, **changes)  # type: ignore[arg-type] # the names are checked when it runs


async def _run(plan: SuitePlan, listener: _Listener | None = None, stop: trio.Event | None = None) -> SuiteResult:
    with trio.fail_after(60):
        return await run_suite(plan, listener or _Listener(), trio.Event() if stop is None else stop)


async def test_one_after_another_as_often_as_asked(tmp_path: Path) -> None:
    listener = _Listener()
    result = await _run(_plan(tmp_path, "a", "b", repeat=2), listener)
    assert [run.name for run in result.runs] == ["a#1", "a#2", "b#1", "b#2"]
    assert {run.verdict for run in result.runs} == {"pass"}
    assert listener.heard[:2] == ["1/4 a#1", "a#1 pass"]
    assert (result.asked, result.interrupted) == (4, False)


async def test_a_seed_of_the_suite_is_a_seed_for_each_run(tmp_path: Path) -> None:
    both = await _run(_plan(tmp_path, "a", "b"))
    alone = await _run(_plan(tmp_path, "b"))
    assert both.runs[1].seed == alone.runs[0].seed == seed_of(4, "b")
    assert both.runs[0].seed != both.runs[1].seed


async def test_it_stops_when_it_is_interrupted(tmp_path: Path) -> None:
    stop = trio.Event()
    result = await _run(_plan(tmp_path, "a", "b"), _Listener(stop), stop)
    assert [run.name for run in result.runs] == ["a"]
    assert (result.asked, result.interrupted) == (2, True)


async def test_it_stops_at_what_is_no_pass_if_asked(tmp_path: Path) -> None:
    bad = disarmed(shipped_one("data_out_lost"))
    plan = _plan(tmp_path, "a")
    plan = replace(plan, scenarios=(bad, *plan.scenarios))
    assert len((await _run(plan)).runs) == 2
    assert len((await _run(replace(plan, stop_at_fail=True))).runs) == 1


async def test_everything_is_kept_where_it_is_to_be_kept(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    home.mkdir()
    result = await _run(_plan(tmp_path, "a", folder=home))
    write_suite(result, home)
    assert {path.name for path in (home / "a").iterdir()} == {"journal.jsonl", "capture.pcapng", "result.json"}
    assert json.loads((home / "a" / "result.json").read_text())["verdict"] == "pass"
    assert [run["name"] for run in json.loads((home / "result.json").read_text())["runs"]] == ["a"]
    assert (home / "junit.xml").read_bytes().startswith(b"<?xml")


async def test_a_file_that_cannot_be_written_costs_no_run(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    (home / "a" / "result.json").mkdir(parents=True)
    listener = _Listener()
    result = await _run(_plan(tmp_path, "a", "b", folder=home), listener)
    assert [run.verdict for run in result.runs] == ["pass", "pass"]
    lost = f"cannot write {home}/a/result.json: Is a directory: the verdict of a is not there"
    assert listener.heard == ["1/2 a", lost, "a pass", "2/2 b", "b pass"]


async def test_else_only_what_did_not_pass(tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    plan = _plan(tmp_path, "a", spare=spare)
    result = await _run(replace(plan, scenarios=(*plan.scenarios, disarmed(shipped_one("data_out_lost")))))
    assert result.runs[0].files == {}
    assert [path.name for path in spare.iterdir()] == ["data_out_lost"]
    assert result.runs[1].files == {"journal": str(spare / "data_out_lost" / "journal.jsonl")}
    assert Path(result.runs[1].files["journal"]).stat().st_size > 1000


async def test_the_quiet_time_can_be_another(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "a")
    slow = replace(plan.scenarios[0], timing=replace(plan.scenarios[0].timing, quiet=50.0))
    result = await _run(replace(plan, scenarios=(slow,), quiet=0.01))
    assert result.runs[0].verdict == "pass"


async def test_what_is_not_known_of_a_target_is_found_out() -> None:
    with trio.fail_after(10):
        async with opened(parse_target("embedded")) as ours:
            spec = parse_target(str(ours.address))
            target = await looked(Target(spec=spec, address=ours.address, name=None), parse_initiator("embedded"))
    assert (target.name, target.lun, target.units) == (IQN, 0, UNITS)


async def test_a_target_that_cannot_be_had() -> None:
    spec = parse_target("127.0.0.1:1")
    assert spec.address is not None
    gone = Target(spec=spec, address=spec.address, name=None)
    with trio.fail_after(10):
        with pytest.raises(PeerError, match=r"^the target 127\.0\.0\.1:1: no connection"):
            await looked(gone, parse_initiator("embedded"))
        with pytest.raises(PeerError, match=r"no connection"):
            await looked(gone, parse_initiator("x {url}"))
        assert await looked(gone, parse_initiator("x {portal}")) is gone


async def test_a_login_that_is_refused_comes_with_a_way_out() -> None:
    with trio.fail_after(10):
        async with opened(parse_target("embedded")) as ours:
            spec = parse_target(f"iscsi://{ours.address}/iqn.2026-01.example:typo/0")
            there = Target(spec=spec, address=ours.address, name=spec.name)
            with pytest.raises(PeerError, match=rf"0203 NOT_FOUND \(the portal offers {re.escape(IQN)}\)$"):
                await looked(there, parse_initiator("embedded"))


@pytest.mark.parametrize(
    ("credentials", "hint"),
    [("", "the URL names no user: iscsi://USER%PASSWORD@"), ("me%notthispassword@", "are the user and the password")],
)
async def test_a_target_that_wants_to_know_who_it_is(credentials: str, hint: str) -> None:
    unit = LogicalUnit(0, MemoryMedium(64, 512), UnitIdentity.derive(IQN, 0), target_name=IQN)
    ours = TargetSettings(accounts=(Account(name="me", secret=b"averysecretword"),))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            server = TargetServer(Node({IQN: Device({0: unit})}, ours))
            ((host, port), *_) = await nursery.start(server.serve, (("127.0.0.1", 0),))
            spec = parse_target(f"iscsi://{credentials}{host}:{port}/{IQN}/0")
            with pytest.raises(PeerError, match=rf"AUTHENTICATION_FAILURE \({hint}") as refused:
                await looked(Target(spec=spec, address=Address(host, port), name=IQN), parse_initiator("embedded"))
            nursery.cancel_scope.cancel()
    assert "notthispassword" not in str(refused.value)


def test_names(tmp_path: Path) -> None:
    scenarios = _plan(tmp_path, "a").scenarios
    assert [name for name, _ in names(scenarios)] == ["a"]
    assert [name for name, _ in names(scenarios, 2)] == ["a#1", "a#2"]


def test_a_name_of_a_run_becomes_one_of_a_file() -> None:
    assert file_name("cut[pdu=Data-Out,at=data+0]#2") == "cut.pdu=Data-Out,at=data+0#2"
    assert "/" not in file_name("x[at=a/b c]")


async def test_the_stages_of_each_run_are_told(tmp_path: Path) -> None:
    listener = _Listener()
    await _run(_plan(tmp_path, "a"), listener)
    assert listener.stages == ["steady", "fault", "aftermath", "cleared"]


async def test_what_was_done_is_there_whatever_becomes_of_the_rest(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "a", "b", "c")
    done = Done(plan)
    with trio.move_on_after(60) as scope:

        class _Ends(_Listener):
            def ended(self, run: RunResult) -> None:
                scope.cancel()

        await run_suite(plan, _Ends(), trio.Event(), done=done)
    assert scope.cancelled_caught
    assert [run.name for run in done.runs] == ["a"]
    assert (done.result(interrupted=True).interrupted, done.result(interrupted=True).asked) == (True, 3)
    left = done.give_up("nobody is there")
    assert [(run.name, run.verdict, run.why, run.seed) for run in left] == [
        (name, "inconclusive", "nobody is there", seed_of(4, name)) for name in ("b", "c")
    ]
    assert [run.name for run in done.result(interrupted=False).runs] == ["a", "b", "c"]

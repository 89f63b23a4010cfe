from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from iscsiproxy.engine.facts import Reader
from iscsiproxy.proxy import Address
from iscsiproxy.runs.initiators import parse_initiator
from iscsiproxy.runs.plan import RunPlan, known_facts
from iscsiproxy.runs.requirements import Requirements
from iscsiproxy.runs.targets import Target, parse_target
from iscsiproxy.session.events import FullFeature
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.opcodes import End
from tests.proxy.fakes import login_request, login_response
from tests.runs.playing import written

__all__: list[str] = []

LOGIN = FullFeature(n=7, at=0.5, conn=1, leg=End.INITIATOR, keys=())
ACTOR = "actor: [{login: {as: A}}]\n"


def required(folder: Path, needs: str, *, more: str = "", initiator: str = "embedded") -> Requirements:
    text = f"victim: target\nneeds: [{needs}]\n{more}rules: [{{when: SCSI-Command, do: drop}}]\n"
    plan = RunPlan(
        name="x",
        scenario=written(text, folder),
        target=Target(spec=parse_target("embedded"), address=Address("127.0.0.1", 1), name="iqn.a:t"),
        initiator=parse_initiator(initiator),
        seed=1,
        timeout=1.0,
    )
    return Requirements(plan, known_facts(plan), Random(1))


def logged_in(kind: str = "Normal", **keys: str) -> Reader:
    tracker = Tracker(End.INITIATOR)
    tracker.open(1, 0.0)
    for pdu in (login_request({"SessionType": kind, **keys}), login_response(keys)):
        tracker.observe(1, pdu, 0.1)
    return lambda conn, _leg, pdu: tracker.snapshot(conn, pdu)


def test_what_is_known_at_once_is_judged_at_once_and_nothing_else(tmp_path: Path) -> None:
    required_ = required(tmp_path, "initiator.depth >= 2, key.DataDigest == CRC32C")
    (finding,) = required_.at_once()
    assert (finding.about, finding.verdict, finding.evidence) == ("need", "skipped", ())
    assert finding.text == "initiator.depth >= 2: initiator.depth is 1"


def test_an_actor_is_played_by_the_embedded_initiator_alone(tmp_path: Path) -> None:
    assert required(tmp_path, "", more=ACTOR).at_once() == ()
    (finding,) = required(tmp_path, "", more=ACTOR, initiator="external").at_once()
    assert finding.text == "its actor is played by the embedded initiator, and by no other"


def test_the_first_login_decides_and_is_the_evidence(tmp_path: Path) -> None:
    required_ = required(tmp_path, "key.DataDigest == CRC32C")
    assert required_.at_once() == ()
    (finding,) = required_.at_login(LOGIN, logged_in(DataDigest="None"), steady=True)
    assert finding.text == "key.DataDigest == CRC32C: key.DataDigest is None"
    assert [(one.n, one.leg) for one in finding.evidence] == [(7, "initiator")]
    assert required_.at_login(LOGIN, logged_in(DataDigest="None"), steady=False) == ()


def test_a_need_that_is_met_is_no_finding(tmp_path: Path) -> None:
    required_ = required(tmp_path, "key.DataDigest == CRC32C")
    assert required_.at_login(LOGIN, logged_in(DataDigest="CRC32C"), steady=True) == ()


@pytest.mark.parametrize(
    ("more", "steady", "kind"),
    [
        ("negotiate: {target: {DataDigest: CRC32C}}\n", True, "Normal"),
        ("", False, "Discovery"),
        ("traffic: {io: discovery}\n", False, "Normal"),
    ],
)
def test_a_login_that_does_not_count_decides_nothing(tmp_path: Path, more: str, *, steady: bool, kind: str) -> None:
    required_ = required(tmp_path, "key.DataDigest == CRC32C", more=more)
    assert required_.at_login(LOGIN, logged_in(kind, DataDigest="None"), steady=steady) == ()
    other = "Discovery" if "discovery" in more else "Normal"
    assert len(required_.at_login(LOGIN, logged_in(other, DataDigest="None"), steady=False)) == 1

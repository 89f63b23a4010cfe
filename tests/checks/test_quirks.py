"""Each known deviation of the embedded peers, live: provoked, and found by the rule that is meant for it.

What provokes it is played twice, on the deviating peer and on a conforming one, and what the judge makes of the journal
is asserted of both: the rule's finding is there, and with the conforming peer there is none at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.judge import Judge
from iscsiproxy.checks.scene.scene import Limits
from iscsiproxy.errors import PeerError
from iscsiproxy.journal import Record, read, record_of
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.conduct import with_quirks
from iscsiproxy.peers.initiator.quirks import QUIRKS as INITIATOR
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.quirks import QUIRKS as TARGET
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.library import every
from iscsiproxy.runs.stage import IQN, stage
from iscsiproxy.session.events import Fired
from iscsiproxy.wire.opcodes import End
from tests.runs.playing import Own, hastened, play, written

__all__: list[str] = []

#: The patience of the judge where something has to stay away, in seconds; a run goes on for a little longer
_SLOW = 0.5
#: One that agrees to unsolicited Data-Out, and one that wants to be left alone for a while
_UNASKED = TargetSettings(initial_r2t=False, max_recv_data_segment_length=8192, time2wait=0)
_PATIENT = TargetSettings(initial_r2t=True, max_recv_data_segment_length=8192, time2wait=2)

_Drive = Callable[[Sequence[str], Path], Awaitable[Sequence[Record]]]


async def _other_group(quirks: Sequence[str], folder: Path) -> Sequence[Record]:
    """Discover a target, and log in to where a fault says that it is in another portal group."""
    text = "victim: initiator\nrules:\n  - when: Login-Response where text.TargetPortalGroupTag != absent nth 1\n"
    scenario = written(f"{text}    do: {{set: {{text.TargetPortalGroupTag: 2}}}}\n", folder)
    conduct = with_quirks(INITIATOR[name] for name in quirks)
    async with stage(seed=1, blocks=256, scenarios=[scenario]) as here:
        portal = (here.portal.host, here.portal.port)
        async with open_session(portal, InitiatorSettings(target=None), conduct=conduct) as session:
            (record,) = await session.send_targets()
        ((_, _, tag),) = [address.rpartition(",") for address in record.addresses]
        settings = InitiatorSettings(target=IQN, portal_group=int(tag))
        with suppress(PeerError):
            async with open_session(portal, settings, conduct=conduct) as session:
                await session.command(0, commands.test_unit_ready())
    return [record_of(event) for event in here.events]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What provokes a quirk, and which rule finds it.

    `by` is a scenario that ships, or the text of one; `target` is a target of its own.
    `awaited`: the rule waits for something, so that the run has to go on behind the fault. `within` is how long the
    scenario waits at the most, in seconds.
    """

    rule: str
    by: str = ""
    within: float = 2.5
    target: TargetSettings | None = None
    awaited: bool = False
    drive: _Drive | None = None

    def __str__(self) -> str:
        return f"{self.rule} {self.by.split()[0] if self.by else ''}"

    def scenario(self, folder: Path) -> Scenario:
        """Read it, with short times."""
        name = self.by
        if "\n" in self.by:
            file = folder / "x.yaml"
            name = str(file)
            within = 2 * _SLOW if self.awaited else 0.3
            expected = f"expect: [{{never: Text-Response, within: {within}s}}]"
            file.write_text(f"scenario: x\nvictim: initiator\n{self.by}{expected}\naftermath: none\n")
        scenario = every([name], {})[-1]
        return hastened(scenario, within=self.within)


def _rule(when: str, act: str, *, io: str = "{io: verify}") -> str:
    return f"traffic: {io}\nrules:\n  - when: {when}\n    do: {act}\n"


_READ = "{io: read, size: 64KiB}"
_REJECT = "{inject: {pdu: Reject, Reason: COMMAND_NOT_SUPPORTED}}"
#: A text that is cut behind an offer of the target
_HALF = "{by: C, at: X-com.example.proxy+22, add: {1: [X-com.example.proxy=1]}}"

#: Keys that are negotiated twice in one login, each in another way
_TWICE = (
    "immediate_data_negotiated_twice",
    "max_burst_length_negotiated_twice",
    "data_digest_negotiated_twice",
    "key_twice_in_one_request",
    "initiator_name_declared_twice",
)

CASES: Mapping[str, tuple[Case, ...]] = {
    # --- targets
    "W01": (Case(rule="T-084", by="immediate_data_excess"),),
    "W02": (
        Case(rule="T-084", by="unsolicited_data_out_excess", target=_UNASKED),
        Case(rule="T-033", by="unsolicited_data_out_short", target=_UNASKED),
        Case(rule="T-033", by="r2t_answered_short"),
    ),
    "W03": (
        Case(rule="T-084", by="immediate_data_unexpected"),
        Case(rule="T-084", by="unsolicited_data_out_unexpected"),
    ),
    "W04": (Case(rule="T-057", by="text_response_partial"),),
    "W05": (Case(rule="T-085", by="text_request_partial"),),
    "W06": (Case(rule="T-085", by="discovery_declares_segment_length"),),
    "W07": (Case(rule="T-085", by="send_targets_empty_in_discovery"), Case(rule="T-085", by="send_targets_empty")),
    "W08": (Case(rule="T-085", by="send_targets_all"),),
    "W09": (Case(rule="T-085", by="text_negotiation_unfinished"),),
    "W10": (Case(rule="T-085", by="text_request_continued"), Case(rule="T-085", by="c_bit_text_request")),
    "W11": (Case(rule="T-064", by="tsih_before_login_ends"),),
    "W12": (
        Case(rule="T-083", by="cmdsn_duplicate_write", awaited=True),
        Case(rule="T-083", by="cmdsn_duplicate_other_tag", awaited=True),
        Case(rule="T-082", by="cmdsn_out_of_order", within=0.6),
    ),
    "W13": (Case(rule="T-049", by="abort_task_never_sent"),),
    "W14": (Case(rule="T-077", by="discovery_logout_for_recovery"),),
    "W15": (Case(rule="T-077", by="logout_unknown_cid"),),
    "W16": (Case(rule="T-071", by="portal_group_tag_not_understood"),),
    "W17": tuple(Case(rule="T-070", by=name) for name in _TWICE),
    "W18": (Case(rule="T-009", by="snack_reject_statsn"),),
    "W19": (Case(rule="T-071", by="x_key_across_c_bit"),),
    "tgt-holes": (Case(rule="T-033", by="data_out_lost"),),
    # --- initiators
    "libiscsi-statsn-gaps": (Case(rule="I-014", by=_rule("SCSI-Response nth 4", "drop", io="{io: verify, depth: 4}")),),
    "libiscsi-datasn": (
        Case(rule="I-064", by=_rule("Data-In where DataSN == 1 nth 1", "{set: {DataSN: 5}}", io=_READ), awaited=True),
        Case(
            rule="I-063",
            by=f"traffic: {_READ}\nrules:\n"
            "  - {when: Data-In where DataSN == 1 nth 1 as wrong, do: {set: {DataSN: 5}}}\n"
            "  - {when: Data-In of wrong where DataSN > 1, do: drop}\n",
            awaited=True,
        ),
    ),
    "libiscsi-offset": (
        Case(
            rule="I-064",
            by=_rule("Data-In where DataSN == 1 nth 1", "{set: {BufferOffset: BufferOffset + 4096}}", io=_READ),
            awaited=True,
        ),
    ),
    "libiscsi-a-bit": (Case(rule="I-037", by=_rule("Data-In where DataSN == 1 nth 1", "{set: {A: 1}}", io=_READ)),),
    "libiscsi-async": (
        Case(rule="I-044", by=_rule("SCSI-Response nth 3", "[{inject: {pdu: Async, AsyncEvent: 248, as: told}}]")),
    ),
    "libiscsi-expstatsn": (Case(rule="I-011", by=_rule("R2T nth 1", "{note: plain traffic}")),),
    "libiscsi-reject": (
        Case(
            rule="I-058",
            by=_rule("SCSI-Command where not I nth 12", f"[drop, {_REJECT}]"),
            awaited=True,
        ),
    ),
    "libiscsi-ping-lun": (Case(rule="I-028", by="nop_in_lun_not_echoed"),),
    "libiscsi-login-keys": (
        Case(rule="I-050", by="key_answered_twice"),
        Case(rule="I-050", by=_rule("Login-Response nth 1", "{set: {text.MaxBurstLength: 16777215}}")),
    ),
    "libiscsi-transit": (Case(rule="I-050", by=_rule("Login-Response where T nth 1", "{set: {CSG: 0}}")),),
    "libiscsi-c-bit": (Case(rule="I-038", by=_rule("Login-Response nth 1", f"[{{split_text: {_HALF}}}]")),),
    "libiscsi-offers": (Case(rule="I-047", by=_rule("Login-Response nth 1", "[{split_text: T}]")),),
    "libiscsi-reconnect": (Case(rule="I-056", by=_rule("SCSI-Response nth 4", "close"), target=_PATIENT),),
    "open-iscsi-tpgt": (Case(rule="I-065", drive=_other_group),),
}

#: Ways that break no rule, with the reason why none can find them
ALLOWED: Mapping[str, str] = {
    "libiscsi-unknown-task": "a stray answer is the target's error (RFC 7143 7.10): what to do about it is left open",
    "libiscsi-login-rounds": "RFC 7143 6.3 does not say how many rounds an initiator has to go through",
    "open-iscsi-tsih": "with TSIH 0 the session is reinstated, which is any initiator's good right (RFC 7143 6.3.5)",
}


def _end(name: str) -> End:
    return End.TARGET if name in TARGET else End.INITIATOR


async def _findings(case: Case, name: str, folder: Path, *, deviating: bool) -> Sequence[Finding]:
    """Play a case and judge its journal."""
    quirks = (name,) if deviating else ()
    if case.drive is not None:
        with trio.fail_after(20):
            return _judged(await case.drive(quirks, folder), case)
    ours = f"embedded:{','.join(quirks)}" if quirks else "embedded"
    at_target = _end(name) is End.TARGET
    target: str | Own = ours if at_target else "embedded"
    if case.target is not None:
        target = Own(settings=case.target, quirks=quirks if at_target else ())
    scenario = case.scenario(folder)
    run = await play(scenario, target=target, initiator="embedded" if at_target else ours, steady=False, folder=folder)
    assert [rule.rule for rule in run.rules if not rule.fired and not rule.optional] == []
    with read(folder / "journal.jsonl") as records:
        return _judged(records, case)


def _judged(records: Iterable[Record], case: Case) -> Sequence[Finding]:
    judge = Judge(limits=Limits(slow=_SLOW) if case.awaited else None)
    fired = Counter[str]()
    for record in records:
        judge.take(record)
        if isinstance(record.entry, Fired):
            fired[record.entry.rule] += 1
    assert judge.crashes == ()
    assert case.drive is None or fired
    return judge.findings


_PAIRS = [pytest.param(name, case, id=f"{name} {case}") for name, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), _PAIRS)
async def test_a_quirk_is_found_by_its_rule(name: str, case: Case, tmp_path: Path) -> None:
    found = await _findings(case, name, tmp_path, deviating=True)
    mine = [finding for finding in found if finding.rule == case.rule]
    assert mine, [*map(str, found)]
    assert {finding.blame for finding in found if finding.blame} == {_end(name)}, [*map(str, found)]
    assert all(finding.proof and finding.proof[0].leg is _end(name) and finding.text for finding in mine)


@pytest.mark.parametrize(("name", "case"), _PAIRS)
async def test_a_conforming_peer_breaks_no_rule_where_another_shows_its_quirk(
    name: str, case: Case, tmp_path: Path
) -> None:
    assert [*map(str, await _findings(case, name, tmp_path, deviating=False))] == []


async def test_what_is_allowed_breaks_no_rule(tmp_path: Path) -> None:
    stray = Case(rule="", by=_rule("SCSI-Response nth 1", "[{inject: {pdu: SCSI-Response, ITT: 0x7777}}]"))
    for name in ALLOWED:
        (folder := tmp_path / name).mkdir()
        assert [*map(str, await _findings(stray, name, folder, deviating=True))] == []


def test_every_quirk_has_its_case() -> None:
    assert CASES.keys() | ALLOWED.keys() == TARGET.keys() | INITIATOR.keys()
    assert not CASES.keys() & ALLOWED.keys()

"""Every worked scenario of the language, played: what came on the wire, and the verdict that it decided.

| scenario | conforming | what decides | deviating | what decides |
|---|---|---|---|---|
| abort_task_plugs_hole | pass | TMF-Response 0, ExpCmdSN behind the hole | W12 | what is behind it has no answer |
| abort_task_set_order | pass | TMF-Response 0 behind the command it covers | – | |
| async_connection_drop | pass | comes back behind Parameter2 | one that comes at once | connect |
| cmdsn_duplicate_write | pass | one SCSI-Response, no Reject | W12 | the write has no answer |
| cmdsn_out_of_order | pass | n, then n + 1 are answered | W12 | n + 1 has no answer |
| cut_inside_pdu | pass | good I/O in a new session | – | |
| data_out_lost | pass | good I/O | – | there is no expectation to break |
| digests_corrupt | pass | good I/O | – | |
| immediate_data_excess | pass | SCSI-Response B/0C/0C | W01 | SCSI-Response GOOD |
| link_flaps | pass | good I/O in a new session | – | |
| logout_unknown_cid | pass | Logout-Response 1 | W15 | Logout-Response 0 |
| order_after_connection_loss | refused | two connections in a session are not built | | |
| r2t_answered_short | pass | SCSI-Response B/0C/0D | W02 | GOOD, and bytes are missing |
| reserved_bits | pass | SCSI-Response GOOD, no Reject | – | |
| scsi_response_lost | pass | ABORT TASK when its time is up | libiscsi-statsn-gaps | nothing, though StatSN has a gap |
| status_snack | skipped | ErrorRecoveryLevel=0 in the Login-Response | | |
| text_response_partial | pass | Text-Response with F=0 and a tag | W04 | ... without a tag |
| x_key_across_c_bit | pass | Login-Response with NotUnderstood | W19 | T=1 without it |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.report.model import Finding, RunResult
from iscsiproxy.runs.initiators import InitiatorSpec
from iscsiproxy.runs.library import every
from tests.language.samples import WORKED, worked
from tests.runs.playing import hastened, play

__all__: list[str] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One run. `because` is in the finding that decides, `wire` in its evidence; `edits` shorten waits of the file."""

    verdict: str = "pass"
    because: str = ""
    wire: str = ""
    target: str = "embedded"
    initiator: str | InitiatorSpec = "embedded"
    axes: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, str] = field(default_factory=dict)
    within: float = 0.6
    window: float | None = None  #: seconds of the longest window, if it is not `within`


class _Back(Conduct):
    """Come back at once, whatever a target says."""

    def reconnect_after(self, time2wait: float, *, told: bool) -> float:
        return 0.0


class _Hasty(InitiatorSpec):
    """An initiator with a conduct of this test."""

    __slots__ = ()

    @property
    def conduct(self) -> Conduct:
        return _Back()


_RECOVERED = "recovers: good I/O works again"
_SURVIVED = "survives: the connection that met the fault does good I/O"
_SOON = {"Parameter2: 3": "Parameter2: 1", "within: 2900ms": "within: 900ms"}

_CASES: Mapping[str, tuple[_Case, ...]] = {
    "abort_task_plugs_hole": (
        _Case(because="TMF-Response of abort where Response == 0", wire="Response=FUNCTION_COMPLETE"),
        _Case(target="embedded:W12", verdict="fail", because="exactly: 1 Status-PDU of m"),
    ),
    "abort_task_set_order": (_Case(because="at_least: 1 TMF-Response", wire="Response=FUNCTION_COMPLETE"),),
    "async_connection_drop": (
        _Case(edits=_SOON, within=3.0, because="at_least: 1 full-feature", wire="full feature phase"),
        _Case(
            edits=_SOON,
            within=3.0,
            initiator=_Hasty(kind="embedded", shown="hasty"),
            verdict="fail",
            because="never: connect from initiator",
            wire="connect",
        ),
    ),
    "cmdsn_duplicate_write": (
        _Case(because="exactly: 1 SCSI-Response of write", wire="Status=GOOD"),
        _Case(target="embedded:W12", verdict="fail", because="only 0 of 1 came"),
    ),
    "cmdsn_out_of_order": (
        _Case(because="exactly: 1 Status-PDU of m", wire="Status=GOOD"),
        _Case(target="embedded:W12", verdict="fail", because="exactly: 1 Status-PDU of m"),
    ),
    "cut_inside_pdu": (
        _Case(axes={"pdu": "SCSI-Command", "at": "header+20"}, because=_RECOVERED, wire="Status=GOOD"),
        _Case(axes={"pdu": "SCSI-Command", "at": "end"}, because=_RECOVERED, wire="Status=GOOD"),
        _Case(axes={"pdu": "Data-Out", "at": "start"}, because=_RECOVERED, wire="Status=GOOD"),
        _Case(axes={"pdu": "Data-Out", "at": "data+100"}, because=_RECOVERED, wire="Status=GOOD"),
    ),
    "data_out_lost": (_Case(because=_RECOVERED, wire="Status=GOOD"),),
    "digests_corrupt": (
        _Case(axes={"what": "header-digest"}, because=_RECOVERED, wire="Status=GOOD"),
        _Case(axes={"what": "data-digest"}, because=_RECOVERED, wire="Status=GOOD"),
    ),
    "immediate_data_excess": (
        _Case(because="sense in (B/0C/0C, B/0C/0D)", wire="sense=B/0C/0C"),
        _Case(
            target="embedded:W01",
            verdict="fail",
            because="SCSI-Response of write where Status == GOOD",
            wire="Status=GOOD",
        ),
    ),
    "link_flaps": (
        _Case(edits={"3s..6s": "100ms..200ms", "when: 5s": "when: 300ms"}, because=_RECOVERED, wire="Status=GOOD"),
    ),
    "logout_unknown_cid": (
        _Case(because="Response == 1", wire="Response=CID_NOT_FOUND"),
        _Case(
            target="embedded:W15",
            verdict="fail",
            because="Logout-Response of odd",
            wire="Response=CLOSED_SUCCESSFULLY",
        ),
    ),
    "r2t_answered_short": (
        _Case(because="sense == B/0C/0D", wire="sense=B/0C/0D"),
        _Case(target="embedded:W02", verdict="fail", because="task.received < task.EDTL", wire="Status=GOOD"),
    ),
    "reserved_bits": (
        _Case(axes={"pdu": "SCSI-Command", "bit": "BHS.1.3"}, because=_SURVIVED, wire="Status=GOOD"),
        _Case(axes={"pdu": "NOP-Out", "bit": "BHS.47.7"}, because=_SURVIVED, wire="Status=GOOD"),
        _Case(axes={"pdu": "Data-Out", "bit": "BHS.1.7"}, because=_SURVIVED, wire="Status=GOOD"),
    ),
    "scsi_response_lost": (
        _Case(window=10.0, because="TMF-Request where RefTaskTag", wire="Function=ABORT_TASK"),
        _Case(edits={"nth 5": "nth 3"}, because="close from initiator", wire="closed by the initiator"),
        _Case(
            edits={"nth 5": "nth 3"},
            initiator="embedded:libiscsi-statsn-gaps",
            verdict="fail",
            because="nothing: 0.6 s have passed",
        ),
    ),
    "status_snack": (_Case(verdict="skipped", because="did not settle on ErrorRecoveryLevel=1"),),
    "text_response_partial": (
        _Case(because="Text-Response of asked where not F and TTT != none", wire="TTT="),
        _Case(target="embedded:W04", verdict="fail", because="cannot be continued", wire="Text-Response"),
    ),
    "x_key_across_c_bit": (
        _Case(because="Login-Response of login", wire="Login-Response"),
        _Case(target="embedded:W19", verdict="fail", because="Login-Response of login where T"),
    ),
}
#: What says why it cannot be played
_REFUSED = {"order_after_connection_loss": "a second connection of one session, is part of the language but not built"}


def _read(name: str, case: _Case, folder: Path) -> Scenario:
    text = (WORKED / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in case.edits.items():
        assert old in text
        text = text.replace(old, new)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (scenario,) = every([str(folder / f"{name}.yaml")], case.axes)
    hasty = hastened(scenario, hang=1.5, within=case.within)
    if case.window is None:
        return hasty
    return replace(hasty, expect=tuple(replace(one, within=case.window) for one in hasty.expect))


def _deciding(run: RunResult, because: str) -> Finding:
    return next(finding for finding in run.findings if because in finding.text)


def _told(run: RunResult) -> str:
    return "\n".join(f"{one.about} {one.verdict} {one.text} {[*map(str, one.evidence)]}" for one in run.findings)


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}-{n}") for name, cases in _CASES.items() for n, case in enumerate(cases)],
)
async def test_a_worked_scenario(name: str, case: _Case, tmp_path: Path) -> None:
    run = await play(_read(name, case, tmp_path), target=case.target, initiator=case.initiator)
    assert run.verdict == case.verdict, _told(run)
    assert not run.crash
    assert case.because in _told(run)
    finding = _deciding(run, case.because)
    assert finding.verdict == case.verdict, _told(run)
    assert any(case.wire in one.text for one in finding.evidence), _told(run)


@pytest.mark.parametrize(("name", "why"), _REFUSED.items())
def test_one_that_cannot_be_played_yet_says_why(name: str, why: str) -> None:
    with pytest.raises(FileError, match=why):
        every([str(WORKED / f"{name}.yaml")], {})


def test_every_worked_scenario_is_here() -> None:
    assert {path.stem for path in worked()} == _CASES.keys() | _REFUSED.keys()

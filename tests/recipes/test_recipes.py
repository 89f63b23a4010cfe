"""Every recipe loads, has nothing in it that can never happen, and is played.

`_PLAYED` are played on the embedded peers, where every rule has to fire; the verdict is that of the conforming peers.
`_DEVIATING` are those that a deviating peer has to fail. `_SPOKEN` is played on a scripted dialogue, since no peer of
ours sends what it waits for. `_WAITING` says what the others need before they can be played.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language import load_all
from iscsiproxy.language.never import never
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.chap import Account
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.report.model import RunResult
from iscsiproxy.runs.library import check, every
from iscsiproxy.wire.opcodes import End, Opcode
from tests.engine.dialogue import Dialogue, data_out, r2t, scsi_response, tmf, write
from tests.runs.playing import Own, hastened, play
from tests.session.dialogue import response

__all__: list[str] = []

_HERE = Path(__file__).parent
_FILES = {path.stem: path for path in sorted(_HERE.glob("*.yaml"))}
_ACCOUNT = Account(name="user", secret=b"sesamesesame")
#: One that keeps a session for a while without a connection
_KEEPING = TargetSettings(initial_r2t=True, time2wait=0, time2retain=20)
#: One that agrees to unsolicited Data-Out
_UNASKED = TargetSettings(initial_r2t=False, max_recv_data_segment_length=8192, time2wait=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Play:
    """How a recipe is played; `verdict` may depend on the run of a matrix. Times are seconds."""

    verdict: str | Mapping[str, str] = "pass"
    target: str | Own = "embedded"
    initiator: str = "embedded"
    within: float = 0.6
    hang: float = 2.0
    patience: float = 20.0

    def expected(self, scenario: Scenario) -> str:
        """Give the verdict of this run."""
        if isinstance(self.verdict, str):
            return self.verdict
        return self.verdict[next(iter(scenario.axes.values()))]


def _own(settings: TargetSettings, *quirks: str) -> Own:
    return Own(settings=settings, quirks=quirks)


_CHAP = Own(settings=TargetSettings(accounts=(_ACCOUNT,), time2wait=0), account=_ACCOUNT)
#: Of an initiator, an answer that does not come in time is given up soon
_SOON = _Play(within=2.5, hang=0.8)

_OTHERWISE: Mapping[str, _Play] = {
    "anchor_11": _Play(target=_CHAP),
    "anchor_24": _SOON,
    "anchor_25": _SOON,
    "anchor_36": _SOON,
    "anchor_37": _Play(target=_CHAP),
    "anchor_45": _Play(verdict={"0": "pass", "0x0001000000000000": "warn"}),
    "o09": _Play(verdict="skipped"),
    "o10": _Play(verdict="skipped", patience=2.0),
    "o11": _Play(target=_own(_KEEPING), verdict="skipped"),
    "o12": _Play(target=_own(_KEEPING)),
    "o13": _Play(target=_own(_KEEPING)),
    "w02a": _Play(target=_own(_UNASKED)),
    "w02b": _Play(target=_own(_UNASKED), verdict="pass"),
}
_SPOKEN = ("o16",)
_JOIN = "a second connection in one session is not built"
_WAITING: Mapping[str, str] = {
    "o03": _JOIN,
    "o17": _JOIN,
    "o18": _JOIN,
    "o20": "somebody has to start the target again",
}
_PLAYED = {name: _OTHERWISE.get(name, _Play()) for name in _FILES if name not in _SPOKEN and name not in _WAITING}


def _quirk(*names: str) -> _Play:
    return _Play(target=f"embedded:{','.join(names)}", verdict="fail")


def _ways(*names: str) -> _Play:
    return _Play(initiator=f"embedded:{','.join(names)}", verdict="fail")


_DEVIATING: Mapping[str, _Play] = {
    "anchor_28": _ways("libiscsi-ping-lun"),
    "anchor_47a": _ways("libiscsi-datasn", "libiscsi-offset"),
    "anchor_47b": _ways("libiscsi-datasn", "libiscsi-offset"),
    "w01": _quirk("W01"),
    "w02a": _Play(target=_own(_UNASKED, "W02"), verdict="fail"),
    "w02c": _quirk("W02"),
    "w03a": _quirk("W03"),
    "w03b": _quirk("W03"),
    "w04": _quirk("W04"),
    "w05a": _quirk("W05"),
    "w06": _quirk("W06"),
    "w07d": _quirk("W07"),
    "w07n": _quirk("W07"),
    "w08": _quirk("W08"),
    "w09a": _quirk("W09"),
    "w10a": _quirk("W10"),
    "w11": _quirk("W11"),
    "w12a": _quirk("W12"),
    "w12b": _quirk("W12"),
    "w12c": _quirk("W12"),
    "w13a": _quirk("W13"),
    "w14": _quirk("W14"),
    "w15": _quirk("W15"),
    "w16": _quirk("W16"),
    "w17a": _quirk("W17"),
    "w17b": _quirk("W17"),
    "w17c": _quirk("W17"),
    "w17d": _quirk("W17"),
    "w17e": _quirk("W17"),
    "w17i": _ways("libiscsi-login-keys"),
    "w18": _quirk("W18"),
    "w19": _quirk("W19"),
}


async def _play(scenario: Scenario, how: _Play) -> RunResult:
    hasty = hastened(scenario, within=how.within, hang=how.hang)
    return await play(
        hasty,
        target=how.target,
        initiator=how.initiator,
        patience=how.patience,
        steady=bool(scenario.actor),
    )


def _told(run: RunResult) -> str:
    return "\n".join(f"{one.about} {one.verdict} {one.text} {[*map(str, one.evidence)]}" for one in run.findings)


@pytest.mark.parametrize("name", _FILES)
def test_it_loads_and_nothing_in_it_can_never_happen(name: str) -> None:
    path = _FILES[name]
    assert check(path, built=_WAITING.get(name) != _JOIN) == ()
    text = path.read_text(encoding="utf-8")
    scenarios = load_all(text, file=str(path), acts=SPECS, built=_WAITING.get(name) != _JOIN)
    assert never(scenarios, text) == ()
    assert all(one.name == name and one.title and one.cites for one in scenarios)


@pytest.mark.parametrize(("name", "how"), _PLAYED.items())
async def test_it_strikes_and_conforming_peers_get_their_verdict(name: str, how: _Play) -> None:
    for scenario in every([str(_FILES[name])], {}):
        run = await _play(scenario, how)
        assert not [rule.rule for rule in run.rules if not rule.fired and not rule.optional], _told(run)
        assert run.verdict == how.expected(scenario), _told(run)


@pytest.mark.parametrize(("name", "how"), _DEVIATING.items())
async def test_a_deviating_peer_fails(name: str, how: _Play) -> None:
    (scenario,) = every([str(_FILES[name])], {})
    run = await _play(scenario, how)
    assert run.verdict == "fail", _told(run)


def test_an_initiator_answers_r2ts_while_it_aborts() -> None:
    talk = Dialogue(_FILES["o16"].read_text(encoding="utf-8"))
    abort = tmf(3, 11, 2, 0xFFFFFFFF)
    talk.say(write(2, 10), r2t(2, 7), abort)
    answer = response(Opcode.TMF_RESPONSE, 3, 101)
    assert talk.say(answer) == []
    late = data_out(2, 0, bytes(1024), ttt=7, F=1)
    assert talk.say(late) == [late]
    assert talk.tick(1.0) == [answer]
    assert talk.say(scsi_response(2, 102)) != []
    assert [sent.pdu for sent in talk.sent(End.INITIATOR)][-2:][0] == answer
    for rule in talk.scenario.rules:
        assert talk.counts(rule.name)["matched"] == talk.counts(rule.name)["fired"] == 1


@pytest.mark.parametrize("name", [name for name, why in _WAITING.items() if why == _JOIN])
def test_what_is_not_built_is_refused(name: str) -> None:
    with pytest.raises(FileError, match="not built yet"):
        every([str(_FILES[name])], {})


def test_all_of_them_are_there() -> None:
    assert len(_FILES) == len(_PLAYED) + len(_SPOKEN) + len(_WAITING)
    rows = {name[: 3 if name[0] in "ow" else 9] for name in _FILES}
    assert rows == {
        *(f"w{n:02}" for n in range(1, 20)),
        *(f"o{n:02}" for n in range(1, 21)),
        *(f"anchor_{n:02}" for n in range(1, 54)),
    }

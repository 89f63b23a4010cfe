from __future__ import annotations

from dataclasses import replace

import pytest

from iscsiproxy.checks.court import Court
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Severity
from iscsiproxy.checks.scene.scene import Limits
from iscsiproxy.journal import record_of
from iscsiproxy.session.events import Delivered, Event
from iscsiproxy.wire.opcodes import End, Opcode
from tests.checks.dialogue import records_of
from tests.checks.watching import family, rule, tried

__all__: list[str] = []

PINGED = "login\n> NOP-Out as ping\n< NOP-In"


def never_odd(moment: Moment) -> Outcome:
    if not moment.full_feature:
        return None
    return Breach(text=f"ITT {moment['ITT']} is odd", proof=(moment.note,)) if moment["ITT"] & 1 else FINE


def test_evidence_is_counted_and_a_breach_becomes_a_finding() -> None:
    court, found = tried("login\n> NOP-Out ITT=2\n< NOP-In ITT=2\n> NOP-Out ITT=3", rule(never_odd))
    assert court.evidence == {"T-999": 3}
    (finding,) = found
    assert finding.text == "ITT 3 is odd"
    assert (finding.rule, finding.severity, finding.clause) == ("T-999", Severity.MUST, "RFC 7143 1")
    assert finding.blame is End.TARGET
    assert finding.label == "NOP-Out"
    assert [proof.n for proof in finding.proof] == [finding.n, finding.n]
    assert finding.pdu is not None


def test_a_finding_is_about_the_text_key_that_the_breach_names() -> None:
    _, found = tried("login", rule(lambda _: Breach(text="x", key="DataDigest")))
    assert {one.key for one in found} == {"DataDigest"}


def test_a_rule_judges_only_its_own_end_and_leg() -> None:
    for end, name in ((End.TARGET, "T-999"), (End.INITIATOR, "I-999")):
        seen: list[bool] = []
        tried(PINGED, rule(lambda moment, seen=seen: seen.append(moment.sent), name), end=end)  # type: ignore[misc]
        assert len(seen) == 4
        assert tried(PINGED, rule(never_odd, "I-999" if end is End.TARGET else "T-999"), end=end)[0].evidence == {}


def test_a_rule_is_asked_only_at_what_it_says() -> None:
    seen: list[str] = []

    def look(moment: Moment) -> None:
        seen.append(f"{'sent' if moment.sent else 'given'} {moment.pdu.label}")

    tried(PINGED, rule(look, sent=frozenset({Opcode.NOP_IN})))
    tried(PINGED, rule(look, given=frozenset({Opcode.NOP_OUT})))
    assert seen == ["sent NOP-In", "given NOP-Out"]


def test_what_is_given_with_a_wrong_digest_is_seen_only_as_spoiled() -> None:
    text = "login HeaderDigest=CRC32C\n> NOP-Out ! spoil=header"
    seen: list[str] = []
    opcodes = frozenset({Opcode.NOP_OUT})
    tried(text, rule(lambda moment: seen.append(f"given {moment.at}"), given=opcodes))
    tried(text, rule(lambda moment: seen.append(f"spoiled {moment.spoiled}"), spoiled=opcodes))
    assert seen == ["spoiled True"]


def test_a_pdu_that_a_fault_cut_was_not_given() -> None:
    records = records_of("login\n> NOP-Out data=16")
    event = records[-1].entry
    assert isinstance(event, Event)
    seen: list[Moment] = []
    assert isinstance(event, Delivered)
    cut = [replace(event, sent=20), replace(event, start=20)]
    for parts, times in ((cut[:1], 0), (cut, 1)):
        seen.clear()
        court = Court(
            End.TARGET,
            [family(rule(seen.append, given=frozenset({Opcode.NOP_OUT})))],
            profile=Profile.RFC7143,
            limits=Limits(),
            tell=print,
        )
        for record in [*records[:-1], *map(record_of, parts)]:
            assert isinstance(record.entry, Event)
            court.take(record, record.entry)
        assert len(seen) == times


def test_the_end_of_a_connection_is_a_moment() -> None:
    ends: list[tuple[str, str, bool]] = []

    def look(moment: Moment) -> None:
        assert moment.closed is not None
        ends.append((moment.closed.how, moment.closed.by, moment.sent))

    tried("login\nclose target", rule(look, closed=True))
    assert ends == [("fin", "peer", True), ("fin", "proxy", False)]


def test_a_check_that_breaks_is_told_and_not_asked_again() -> None:
    calls: list[int] = []

    def broken(moment: Moment) -> Outcome:
        calls.append(moment.note.n)
        raise KeyError("nothing")

    court, found = tried(PINGED, rule(broken))
    assert len(calls) == 1
    assert not found
    (crash,) = court.crashes
    assert crash.rule == "T-999"
    assert "nothing" in crash.error


def test_an_observer_runs_behind_the_rules_and_before_the_state() -> None:
    order: list[str] = []

    def look(moment: Moment) -> None:
        order.append(f"rule {len(list(moment.session.live()))}")

    def follow(moment: Moment) -> None:
        order.append(f"observer {len(list(moment.session.live()))}")

    opcodes = frozenset({Opcode.NOP_OUT})
    made = Family(
        name="x",
        title="x",
        rules=(rule(look, given=opcodes),),
        observers=(
            Observer(end=End.TARGET, update=follow, given=opcodes),
            Observer(end=End.INITIATOR, update=follow, sent=opcodes),
        ),
    )
    court = Court(End.TARGET, [made], profile=Profile.RFC7143, limits=Limits(), tell=print)
    for record in records_of(PINGED):
        assert isinstance(record.entry, Event)
        court.take(record, record.entry)
    assert order == ["rule 0", "observer 0"]
    assert len(list(court.scene.conns[1].session.live())) == 0


def test_a_profile_leaves_rules_out_and_cites_its_own_sections() -> None:
    only = frozenset({Profile.RFC3720})
    for profile, count in ((Profile.RFC3720, 1), (Profile.RFC7143, 0)):
        found: list[Finding] = []
        court = Court(
            End.TARGET,
            [family(rule(never_odd, profiles=only, clause="RFC 7143 11.18"))],
            profile=profile,
            limits=Limits(),
            tell=found.append,
        )
        for record in records_of("login\n> NOP-Out ITT=3"):
            assert isinstance(record.entry, Event)
            court.take(record, record.entry)
        assert [finding.clause for finding in found] == ["RFC 3720 10.18"] * count


def test_faults_disturb_a_connection_and_some_slow_it() -> None:
    for act, disturbed, slowed in (("drop", True, False), ("delay", True, True), ("note", False, False)):
        conn = tried(f"login\nfired {act}")[0].scene.conns[1]
        assert (conn.disturbed is not None) is disturbed
        assert (conn.slowed is not None) is slowed
    assert tried("login\nfired stall\nstaged cleared")[0].scene.conns[1].slowed is None
    assert tried("login\n>> NOP-Out")[0].scene.conns[1].disturbed is not None
    assert tried("login\n> NOP-Out")[0].scene.conns[1].disturbed is None


def test_an_observer_that_breaks_is_told_once() -> None:
    def broken(moment: Moment) -> None:
        raise KeyError(moment.note.n)

    observer = Observer(end=End.TARGET, update=broken, given=frozenset({Opcode.NOP_OUT}))
    made = Family(name="x", title="x", rules=(rule(never_odd),), observers=(observer,))
    court = Court(End.TARGET, [made], profile=Profile.RFC7143, limits=Limits(), tell=print)
    for record in records_of("login\n> NOP-Out\n> NOP-Out"):
        assert isinstance(record.entry, Event)
        court.take(record, record.entry)
    assert len(court.crashes) == 1
    assert court.evidence["T-999"] > 0, "the rules go on"


def test_a_state_that_breaks_is_told_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    records = records_of("login\n> NOP-Out\n< NOP-In\n> NOP-Out")
    court = Court(End.TARGET, [family(rule(never_odd))], profile=Profile.RFC7143, limits=Limits(), tell=print)
    for record in records:
        assert isinstance(record.entry, Event)
        if isinstance(record.entry, Delivered) and record.entry.pdu.opcode == Opcode.NOP_OUT:
            monkeypatch.setattr("iscsiproxy.checks.scene.scene.Scene.observe", broken)
        court.take(record, record.entry)
    assert [crash.rule for crash in court.crashes] == ["scene"]
    assert not court.scene.conns[1].complete

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.engine import Engine
from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.framing import Interest
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import (
    Dialogue,
    data_in,
    data_out,
    nop_out,
    r2t,
    read,
    scsi_response,
    text_request,
    write,
)

FAULTS = Path(__file__).parents[2] / "faults"
CRC = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


# --- what the relay has to show ---


def test_nothing_armed_wants_nothing() -> None:
    engine = Dialogue("rules:\n  - when: SCSI-Command\n    do: drop").engine
    assert engine.interest(End.INITIATOR)[Opcode.SCSI_COMMAND] is Interest.WHOLE
    assert engine.interest(End.INITIATOR)[Opcode.DATA_OUT] is Interest.HEADER
    assert set(engine.interest(End.TARGET)) == {Interest.HEADER}
    engine.end(1.0)
    assert set(engine.interest(End.INITIATOR)) == {Interest.NONE}
    assert set(Engine([], rng=Random(1), state=Dialogue.state).interest(End.TARGET)) == {Interest.NONE}  # type: ignore[arg-type]


def test_moments_of_acts_and_tags_of_captures_are_watched() -> None:
    engine = Dialogue("rules:\n  - when: R2T as r\n  - when: Data-Out of r\n    do: {delay: Logout-Request}").engine
    whole = {opcode for opcode, interest in enumerate(engine.interest(End.INITIATOR)) if interest is Interest.WHOLE}
    assert whole >= {Opcode.DATA_OUT, Opcode.LOGOUT_REQUEST, Opcode.SCSI_COMMAND, Opcode.NOP_OUT}


# --- composition ---


def test_changes_add_up_in_the_order_of_the_file() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command
    do: {set: {EDTL: 1, LUN: 1}}
  - when: SCSI-Command where EDTL == 4096
    do: {set: {EDTL: EDTL + 10}}
  - when: SCSI-Command
    do: {corrupt: data-digest}
""",
        connect=False,
    )
    talk.connect(keys=CRC)
    pdu = write(2, 10, b"abcd")
    (out,) = talk.say(pdu)
    assert out.with_parts(data_digest=b"") == pdu.with_fields({"EDTL": 11, "LUN": 1 << 48}).sealed(
        header=True, data=False
    )
    assert talk.sent(End.TARGET)[-1].rules == ("x/#1", "x/#2", "x/#3")
    assert [change.what for change in talk.sent(End.TARGET)[-1].changes] == ["EDTL", "LUN", "EDTL", "data-digest"]


def test_the_first_fate_wins_and_the_second_is_shadowed() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command
    do: drop
  - when: SCSI-Command
    do: [drop, note: on]
  - when: SCSI-Command
    do: {set: {LUN: 1}}
"""
    )
    assert talk.say(write(2, 10)) == []
    assert talk.counts("#1") == {"matched": 1, "fired": 1}
    assert talk.counts("#2") == talk.counts("#3") == {"matched": 1, "shadowed": 1}
    assert talk.told("shadowed") == [
        "#2: drop: x/#1 has settled the PDU's fate",
        "#3: set: x/#1 has settled the PDU's fate",
    ]
    assert talk.told("noted") == ["#2: on"]


def test_delays_of_several_rules_run_one_after_another() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {delay: 1s}\n  - when: SCSI-Command\n    do: {delay: 2s}")
    pdu = write(2, 10)
    assert talk.say(pdu) == []
    assert talk.tick(2.9) == []
    assert talk.tick(0.2) == [pdu]
    assert talk.counts("#2") == {"matched": 1, "fired": 1}


def test_a_rule_does_not_see_what_another_made_nor_what_it_binds() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1 as n
    do: {set: {PRI: 7}}
  - when: SCSI-Command where PRI == 7
    do: {note: changed}
  - when: SCSI-Command of n
    do: {note: bound}
  - when: SCSI-Command
    do: {set: {EDTL: n.EDTL + PRI}}
"""
    )
    talk.say(write(2, 10))
    assert talk.told("noted") == []
    assert talk.sent(End.TARGET)[-1].pdu["EDTL"] == 4103  # acts see captures, and what earlier acts left


def test_an_error_leaves_what_other_rules_did() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command
    do: {set: {LUN: 7}}
  - when: SCSI-Command
    do:
      - drop
      - note: dropped
      - close: {conn: late}
  - when: close as late
"""
    )
    (out,) = talk.say(write(2, 10))
    assert out["LUN"] >> 48 == 7
    assert talk.counts("#2") == {"matched": 1, "failed": 1}
    assert len(talk.told("fired")) == 1


# --- what does not fit, and the end ---


def test_a_pdu_that_is_not_whole_is_left_alone_but_captured() -> None:
    talk = Dialogue(
        """
rules:
  - when: Data-Out nth 1 as big
    do: {set: {DataSN: 9}}
  - when: Data-Out
    do: {note: seen}
  - when: SCSI-Response of big
    do: {note: answered}
"""
    )
    pdu = data_out(2, 0).with_fields({"DataSegmentLength": 1 << 23})
    assert talk.say(pdu, partial=True) == [pdu]
    assert talk.counts("#1") == {"matched": 1, "failed": 1}
    talk.say(scsi_response(2, 101))
    assert talk.told("noted") == ["#2: seen", "#3: answered"]


def test_the_end_clears_everything() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command
    do: {delay: Logout-Request}
  - when: 5s
    do: close
  - when: Data-In
    do: {stall: {until: Logout-Request, end: initiator}}
"""
    )
    talk.say(write(2, 10), write(3, 11))
    talk.say(data_in(9, 0))
    talk.end()
    assert talk.open_slots == []
    assert [one.pdu["ITT"] for one in talk.sent(End.TARGET)][1:] == [2, 3]
    assert talk.sent(End.INITIATOR)[-1].pdu["ITT"] == 9
    assert talk.say(write(4, 12)) == [write(4, 12)]
    talk.tick(10)
    assert "rst both" not in talk.wire


CHANCES = """
rules:
  - when: Data-Out chance 40%
    do: {corrupt: {what: data, bits: 3}}
  - when: NOP-Out
    do: [delay: 10ms..90ms]
  - when: SCSI-Command chance 30%
    do: {duplicate: {ITT: fresh}}
"""


def test_the_same_seed_gives_the_same_commands() -> None:
    def commands(seed: int) -> str:
        talk = Dialogue(CHANCES, seed=seed)
        for index in range(20):
            talk.say(write(index, 10 + index), data_out(index, 0), nop_out(99, 10, I=1))
            talk.tick(0.05)
        return repr([one.pdu.raw for one in talk.sent(End.TARGET)]) + repr(talk.commands)

    assert commands(1) == commands(1)
    assert commands(1) != commands(2)


# --- the library ---

SAMPLES = {
    "c_bit_login_request": [],
    "c_bit_text_request": [text_request(2, 10, {"SendTargets": "All"})],
    "cmdsn_duplicate_write": [write(2, 10, b"abcd"), write(3, 11, b"efgh"), write(4, 12)],
    "data_digest_corrupt": [write(2, 10), write(3, 11, bytes(32)), data_out(3, 0)],
    "data_digest_corrupt_read": [read(2, 10), data_in(2, 0, b"x" * 36), data_in(2, 1), data_in(2, 2)],
    "data_out_lost": [write(2, 10), *(data_out(2, sn) for sn in range(4))],
    "header_digest_corrupt": [read(itt, 8 + itt) for itt in range(2, 12)],
    "payload_corrupt_valid_digest": [read(2, 10), data_in(2, 0, b"x" * 16), data_in(2, 1), data_in(2, 2)],
    "reset_between_r2t_and_data_out": [write(2, 10), r2t(2, 5), data_out(2, 0, ttt=5), data_out(2, 1, ttt=5)],
}


def played(name: str, *, armed: bool = True) -> tuple[Dialogue, list[Pdu]]:
    (path,) = FAULTS.rglob(f"{name}.yaml")
    text = path.read_text()
    if not armed:
        text = f"scenario: {name}\nvictim: both\nrules:\n  - when: Opcode-0x1c\n    do: drop\n"
    talk = Dialogue(text, connect=False)
    talk.connect(keys=CRC)
    talk.say(*SAMPLES[name])
    talk.tick(60)
    return talk, [one.sealed(header=True, data=True) for one in SAMPLES[name]]


def different(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_scenario_fires_and_is_silent_when_it_is_not_armed(name: str) -> None:
    talk, said = played(name)
    assert talk.engine.unfired() == ()
    assert talk.told("failed") == []
    assert talk.open_slots == []
    silent, _ = played(name, armed=False)
    assert silent.told("fired") == []
    for leg in End:
        own = [one for one in said if one.sender is not leg]
        assert silent.bytes_to(leg).endswith(b"".join(one.raw for one in own))
    assert talk.wire != silent.wire


def to_target(name: str) -> tuple[list[Pdu], list[Pdu]]:
    """Give what was said to the target behind the login, and what reached it."""
    talk, said = played(name)
    return [one for one in said if one.sender is End.INITIATOR], [one.pdu for one in talk.sent(End.TARGET)][1:]


@pytest.mark.parametrize("name", ["data_digest_corrupt", "header_digest_corrupt"])
def test_exactly_one_bit_of_the_digest_is_wrong(name: str) -> None:
    said, came = to_target(name)
    (index,) = [index for index, (one, other) in enumerate(zip(said, came, strict=True)) if one != other]
    one, other = said[index], came[index]
    assert different(one.raw, other.raw) == 1
    if name.startswith("data"):
        assert index == 1  # the first with data
        assert other.with_parts(data_digest=one.data_digest) == one
        assert different(other.data_digest, digest((bytes(32),))) == 1
    else:
        assert index == 7  # the eighth
        assert other.with_parts(header_digest=one.header_digest) == one


def test_the_read_data_is_whole_under_a_wrong_digest() -> None:
    talk, said = played("data_digest_corrupt_read")
    came = [one.pdu for one in talk.sent(End.INITIATOR)][1:]
    assert came[0] == said[1]  # too short for blocks of a disk
    assert came[2] == said[3]
    assert came[1].with_parts(data_digest=said[2].data_digest) == said[2]
    assert different(came[1].data_digest, said[2].data_digest) == 1
    assert not came[1].data_digest_ok()


def test_the_payload_is_corrupt_under_a_right_digest() -> None:
    talk, said = played("payload_corrupt_valid_digest")
    came = [one.pdu for one in talk.sent(End.INITIATOR)][1:]
    one, other = said[2], came[1]
    assert came[0] == said[1]
    assert came[2] == said[3]
    assert other.bhs == one.bhs
    assert other.header_digest == one.header_digest
    assert different(one.data, other.data) == 3
    assert other.data_digest_ok()


def test_the_second_write_comes_twice() -> None:
    said, came = to_target("cmdsn_duplicate_write")
    assert came == [said[0], said[1], said[1], said[2]]


def test_the_third_data_out_is_missing() -> None:
    said, came = to_target("data_out_lost")
    assert came == [*said[:3], said[4]]


def test_the_text_goes_on() -> None:
    said, came = to_target("c_bit_text_request")
    assert came == [said[0].with_fields({"C": 1, "F": 0}).sealed(header=True, data=True)]


def test_the_login_goes_on() -> None:
    talk, _ = played("c_bit_login_request")
    (login,) = [one for one in talk.sent(End.TARGET) if one.rules]
    assert (login.pdu["C"], login.pdu["T"], login.pdu["NSG"], login.pdu["CSG"]) == (1, 0, 0, 1)


def test_the_connection_is_reset_before_the_first_data_out() -> None:
    talk, said = played("reset_between_r2t_and_data_out")
    assert talk.wire.index("rst both") == [*talk.wire].index(talk.sent(End.INITIATOR)[1]) + 1
    first = said[2]
    before = [one for one in talk.wire[: talk.wire.index("rst both")] if not isinstance(one, str)]
    assert first not in [one.pdu for one in before]


# --- any traffic ---

SCENARIOS = {
    "delay": "rules:\n  - when: SCSI-Command every 2\n    do: {delay: 50ms}",
    "overtake": "rules:\n  - when: Data-Out every 3\n    do:\n      - delay: {until: NOP-Out, overtake: yes}",
    "chain": """
rules:
  - when: SCSI-Command every 2 as n
    do: [set: {LUN: 1}, delay: 30ms]
  - when: Data-Out every 3
    do: drop
  - when: Any-PDU chance 10%
    do: [duplicate, delay: 10ms..40ms]
  - when: NOP-Out
    do: {stall: {until: 20ms, at: header+20}}
  - when: Target-PDU of n
    do: {delay: {until: [SNACK, fault], at_most: 100ms}}
""",
}
ONE = st.one_of(
    st.builds(write, st.integers(2, 5), st.integers(10, 30)),
    st.builds(data_out, st.integers(2, 5), st.integers(0, 3)),
    st.builds(nop_out, st.integers(50, 60), st.integers(10, 30)),
    st.builds(scsi_response, st.integers(2, 5), st.integers(100, 120)),
    st.builds(data_in, st.integers(2, 5), st.integers(0, 3)),
)
STEPS = st.lists(st.one_of(ONE, st.floats(0.001, 0.2)), max_size=40)


@pytest.mark.parametrize("name", SCENARIOS)
@given(steps=STEPS)
def test_whatever_passes_keeps_its_order_and_every_slot_is_finished(name: str, steps: list[Pdu | float]) -> None:
    talk = Dialogue(SCENARIOS[name])
    said: dict[End, list[Pdu]] = {end: [] for end in End}
    for step in steps:
        if isinstance(step, float):
            talk.tick(step)
        else:
            said[step.sender.other].append(step)
            talk.say(step)
    talk.tick(0.001)
    talk.end()
    assert talk.open_slots == []
    for leg in End:
        sent = talk.sent(leg)[1:]
        whole = [one for one in sent if one.stop is None]
        untouched = [one.of or 0 for one in whole if not one.rules]
        if name != "overtake":
            assert untouched == sorted(untouched)
        if name == "delay":
            assert [one.pdu for one in whole] == said[leg]
        if name == "overtake":
            assert sorted(one.pdu.raw for one in whole) == sorted(one.raw for one in said[leg])


def test_at_a_leg_a_rule_sees_the_state_before_the_pdu() -> None:
    text = "rules:\n  - when: SCSI-Response at initiator where conn.outstanding == 1\n    do: {note: the last}\n"
    talk = Dialogue(text)
    talk.say(read(1, 10), read(2, 11), scsi_response(1, 101))
    assert talk.told("noted") == []
    talk.say(scsi_response(2, 102))
    assert talk.told("noted") == ["#1: the last"]


def test_full_feature_is_when_both_the_connection_and_the_rules_are_ready() -> None:
    talk = Dialogue("rules:\n  - when: full-feature as c\n    do: [note: ready, close: rst]\n", connect=False)
    talk.engine = Engine([talk.scenario], rng=Random(1), state=talk.state, armed=False)
    talk.connect(1)
    talk.connect(2, login=False)
    talk.connect(3, ISID=0x800000000003)
    talk.closed(End.TARGET, "rst", conn=3)
    assert talk.told("noted") == []
    talk._carry_out(talk.engine.start(talk.now))
    assert [one.conn for one in talk.reports if one.kind == "noted"] == [1]


def test_what_does_not_touch_the_pdu_needs_no_data() -> None:
    talk = Dialogue(
        "rules:\n  - name: other\n    when: NOP-Out\n    do: {note: still there}\n"
        "  - when: Data-Out nth 1\n    do: {disarm: other}\n"
    )
    talk.say(data_out(2, 0), partial=True)
    talk.say(nop_out(9, 10))
    assert (talk.told("failed"), talk.told("noted")) == ([], [])
    assert talk.counts("#2") == {"matched": 1, "fired": 1}

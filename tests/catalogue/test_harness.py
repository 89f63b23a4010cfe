"""The harness: each of its assertions holds where it has to, and fails where it has to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import Session
from iscsiproxy.runs.stage import BLOCK
from iscsiproxy.wire.opcodes import End
from tests.catalogue.acted import acted
from tests.catalogue.harness import (
    Claims,
    On,
    Played,
    also,
    altered,
    at_initiator,
    at_target,
    live,
    moved,
    play,
    runs_of,
)
from tests.catalogue.wired import wired
from tests.engine.dialogue import Dialogue, data_out, nop_in, nop_out, read, scsi_response, write
from tests.real.process import run

__all__: list[str] = []

ROOT = Path(__file__).parent.parent.parent
DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
ONE, TWO, THREE = write(2, 10, b"abcd"), nop_out(3, 11), data_out(2, 0)

#: What is played, what is true of it, and what is not.
ASSERTIONS: list[tuple[str, Callable[[Played], None], Callable[[Played], None]]] = [
    (
        "- {when: SCSI-Command, do: {set: {EDTL: 7}}}",
        lambda played: played.assert_changed(ONE, {"EDTL": 7}),
        lambda played: played.assert_changed(ONE, {"EDTL": 8}),
    ),
    (
        "- {when: SCSI-Command, do: {set: {EDTL: 7, LUN: 1}}}",
        lambda played: played.assert_changed(ONE, {"EDTL": 7, "LUN": 1 << 48}),
        lambda played: played.assert_changed(ONE, {"EDTL": 7}),
    ),
    (
        "- {when: SCSI-Command or NOP-Out, do: {set: {CmdSN: 5}}}",
        lambda played: played.assert_changed(ONE, {"CmdSN": 5}, (TWO, {"CmdSN": 5})),
        lambda played: played.assert_changed(ONE, {"CmdSN": 5}),
    ),
    (
        "- {when: NOP-Out, do: drop}",
        lambda played: played.assert_missing(TWO),
        lambda played: played.assert_missing(ONE),
    ),
    (
        "- {when: NOP-Out, do: {duplicate: {ITT: 9}}}",
        lambda played: played.assert_added(TWO, altered(TWO, {"ITT": 9})),
        lambda played: played.assert_added(TWO, TWO),
    ),
    (
        "- {when: SCSI-Command, do: {delay: {until: Data-Out, overtake: yes}}}",
        lambda played: played.assert_order(TWO, ONE),
        lambda played: played.assert_order(TWO, THREE, ONE),
    ),
    (
        "- {when: Data-Out, do: {corrupt: {what: data, bits: 3}}}",
        lambda played: played.assert_corrupted(THREE, "data", 3),
        lambda played: played.assert_corrupted(THREE, "data", 2),
    ),
    (
        "- {when: Data-Out, do: {corrupt: {what: data, digest: keep}}}",
        lambda played: played.assert_corrupted(THREE, "data", digest="keep"),
        lambda played: played.assert_corrupted(THREE, "data"),
    ),
    (
        "- {when: Data-Out, do: {corrupt: data-digest}}",
        lambda played: played.assert_corrupted(THREE, "data-digest"),
        lambda played: played.assert_corrupted(THREE, "header-digest"),
    ),
    (
        "- {when: NOP-Out, do: {close: {how: rst, at: header+20}}}",
        lambda played: played.assert_cut(TWO, 20),
        lambda played: played.assert_cut(TWO, 19),
    ),
    (
        "- {when: NOP-Out, do: {close: fin}}",
        lambda played: played.assert_cut(TWO, None, "fin"),
        lambda played: played.assert_cut(TWO, None, "rst"),
    ),
    (
        "- {when: NOP-Out, do: {close: fin}}",
        lambda played: played.assert_got(ONE, TWO, ended="fin"),
        lambda played: played.assert_got(ONE, TWO, ended="rst"),
    ),
    (
        "- {when: NOP-Out, do: drop}",
        lambda played: played.assert_got(ONE, THREE),
        lambda played: played.assert_got(ONE, THREE, ended="fin"),
    ),
    (
        "- {when: NOP-Out, do: {throttle: {rate: 7, slice: 1}}}",
        lambda played: played.assert_throttled(7, 1),
        lambda played: played.assert_throttled(7, 2),
    ),
    (
        "- {when: NOP-Out, do: {delay: 2s}}",
        lambda played: played.assert_late(TWO, 2.0),
        lambda played: played.assert_late(TWO, 1.0),
    ),
    (
        "- {when: NOP-Out, do: {stall: {until: 2s, at: header+3}}}",
        lambda played: played.assert_late(TWO, 2.0, at=3),
        lambda played: played.assert_late(TWO, 2.0),
    ),
    (
        "- {when: NOP-Out, do: {set: {Opcode: 0x1c}}}",
        lambda played: played.assert_changed(TWO, {"Opcode": 0x1C}),
        lambda played: played.assert_missing(TWO),
    ),
]


@pytest.mark.parametrize(("text", "right", "wrong"), ASSERTIONS)
def test_an_assertion_holds_and_can_fail(
    text: str, right: Callable[[Played], None], wrong: Callable[[Played], None]
) -> None:
    played = at_target(text, ONE, TWO, THREE, 5, keys=DIGESTS)
    Claims.begin()
    with pytest.raises(AssertionError):
        wrong(played)
    assert Claims.made == set()
    right(played)
    assert Claims.made == {End.TARGET}


def test_what_was_not_said_or_said_twice_has_no_place() -> None:
    played = at_target("- {when: NOP-Out nth 1, do: drop}", TWO, TWO)
    with pytest.raises(AssertionError, match="came 0 times towards the target"):
        played.assert_missing(ONE)
    one = nop_out(3, 11)
    with pytest.raises(AssertionError, match="came 0 times"):
        played.assert_missing(one)


def test_a_value_that_it_has_anyway_is_no_change() -> None:
    played = at_target("- {when: NOP-Out, do: drop}", ONE, TWO)
    with pytest.raises(AssertionError, match="has these values anyway"):
        played.assert_changed(ONE, {"EDTL": 4096})
    with pytest.raises(AssertionError, match="this is what was sent"):
        played.assert_got(ONE, TWO)
    played.assert_got(ONE)


def test_a_rule_that_never_fires_and_an_act_that_fails() -> None:
    with pytest.raises(AssertionError):
        at_target("- {when: Data-Out, do: drop}", ONE)
    with pytest.raises(AssertionError):
        at_target("- {when: NOP-Out, do: {corrupt: data}}", ONE, nop_out(3, 11, b"ping"), TWO)


def test_both_legs_and_a_script_that_answers() -> None:
    text = "- {when: NOP-Out, do: {set: {LUN: 1}}}\n- {when: NOP-In, do: {set: {LUN: 2}}}"
    ping = nop_out(3, 11)
    echo = nop_in(3, 101)
    played = play(text, ping, lambda talk: echo if talk.sent(End.TARGET) else None)
    Claims.begin()
    played.assert_changed(ping, {"LUN": 1 << 48})
    assert Claims.made == {End.TARGET}
    played.at(End.INITIATOR).assert_changed(echo, {"LUN": 2 << 48})
    assert Claims.made == set(End)
    assert (played.sender[-1], played.at(End.INITIATOR).sender[-1]) == (ping, echo)
    assert played.victim[-1] != ping


def test_two_connections_and_a_leg_that_is_none_the_wiser() -> None:
    first, second, third = nop_out(3, 11), nop_out(4, 12), nop_out(5, 13)
    text = "- {when: NOP-Out nth 2, do: drop}"
    script = (first, lambda talk: talk.connect(2, ISID=5), second, On(1, third))
    played = at_target(text, *script)
    played.assert_missing(second)
    assert played.talk is not None
    assert [one.conn for one in played.talk.sent(End.TARGET, 2)] == [2]
    assert [one.pdu for one in played.talk.sent(End.TARGET, 1)][-2:] == [first, third]
    played.at(End.INITIATOR).assert_same()
    with pytest.raises(AssertionError):
        played.assert_same()
    assert played.authored == []


def test_what_an_end_counts_behind_something_added() -> None:
    rules = "- when: SCSI-Command nth 2\n  do:\n    - inject: {pdu: NOP-Out, I: 0, as: mine}\n"
    first, second, echo = read(2, 10), read(3, 11), nop_in(9, 101)
    played = at_target(rules, first, second, also(echo))
    mine = nop_out(played.authored[0]["ITT"], 11)
    played.assert_got(first, mine, moved(second, CmdSN=1))
    with pytest.raises(AssertionError):
        played.assert_added(first, mine)
    assert moved(second, CmdSN=-12)["CmdSN"] == 0xFFFFFFFF
    assert echo in played.at(End.INITIATOR).sender
    assert played.disarmed
    assert not any(getattr(one, "pdu", None) == echo for one in played.disarmed)


def test_what_was_said_instead() -> None:
    calm, stormy = nop_in(3, 101), nop_in(3, 101, b"stormy")
    played = at_target("- {when: NOP-Out, do: {set: {LUN: 1}}}", TWO, also(stormy, instead=calm))
    assert stormy in played.at(End.INITIATOR).sender
    assert calm not in played.at(End.INITIATOR).sender


def test_connections_that_are_refused() -> None:
    def connect(talk: Dialogue) -> None:
        talk.connect(1 + max(conn for conn, _ in talk.digests), login=False)

    played = at_initiator("- {when: connect after 1 times 2, do: refuse}", *[connect] * 3, login=False)
    played.assert_refused(2, 3)
    for wrong in ((2,), (2, 3, 4), (1, 2, 3)):
        with pytest.raises(AssertionError):
            played.assert_refused(*wrong)


def test_how_late_everything_is() -> None:
    first, second = nop_out(3, 11), nop_out(4, 12)
    played = at_target("- {when: NOP-Out nth 2, do: {delay: 2s}}", first, 1.0, second, 5.0)
    assert played.lateness() == [0, 2]
    with pytest.raises(AssertionError):
        at_target("- {when: NOP-Out nth 2, do: drop}", first, second).lateness()


async def test_wired_bytes_come_as_they_were_said() -> None:
    ping = nop_out(2, 1, bytes(100))
    slow = "rules:\n- {when: full-feature, do: {throttle: {rate: 1MiB, slice: 100}}}"
    Claims.begin()
    assert sum(len(one.data) for one in await wired(slow, ping)) == len(ping)
    assert Claims.made == {End.TARGET}
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        await wired("rules:\n- {when: NOP-Out, do: {set: {LUN: 1}}}", ping)


async def test_an_actor_whose_rules_change_nothing(tmp_path: Path) -> None:
    text = "victim: target\nactor:\n  - login: {as: A}\n  - send: {pdu: NOP-Out, I: 0, as: p}\n  - delay: NOP-In of p\n"
    text += "rules:\n  - when: NOP-Out of p\n    do: DO\naftermath: none\n"
    (event,) = [one for one in await acted(text.replace("DO", "{note: here}"), tmp_path) if one.pdu.label == "NOP-Out"]
    assert event.pdu["I"] == 0
    with pytest.raises(AssertionError):
        await acted(text.replace("DO", "{set: {LUN: 1}}"), tmp_path)


def test_what_comes_before_the_script() -> None:
    ping = nop_out(3, 11)
    played = at_target("- {when: NOP-Out nth 1, do: {duplicate: {ITT: 9}}}", ping)
    assert played.talk is not None
    wrong = altered(ping, {"ITT": 9})
    with pytest.raises(AssertionError):
        played.assert_added(None, wrong)
    played.assert_got(ping, wrong)


def test_a_scenario_by_name_and_one_with_a_matrix() -> None:
    pdus = [data_out(2, sn, F=int(sn == 3)) for sn in range(4)]
    at_target("data_out_lost", write(2, 10), *pdus).assert_missing(pdus[2])
    text = "matrix: {bit: ['0', '1']}\nrules:\n  - {when: SCSI-Response, do: {set: {U: $bit}}}"
    assert runs_of(text, "initiator") == [{"bit": "0"}, {"bit": "1"}]
    command, answer = read(2, 10), scsi_response(2, 101)
    at_initiator(text, command, answer, axes={"bit": "1"}).assert_changed(answer, {"U": 1})


async def test_live_between_the_embedded_peers() -> None:
    async def write_and_read(session: Session) -> None:
        await session.command(0, commands.test_unit_ready())  # the nexus is new
        data = b"\xa5" * BLOCK * 128
        await session.command(0, commands.write10(0, 128), data_out=data)

    played = await live("- {when: SCSI-Command where W, do: {set: {LUN: 5}}}", write_and_read, victim="target")
    Claims.begin()
    command = played.pick("SCSI-Command", 1)
    played.assert_changed(command, {"LUN": 5 << 48})
    with pytest.raises(AssertionError):
        played.assert_changed(command, {"LUN": 6 << 48})
    assert Claims.made == {End.TARGET}
    with pytest.raises(AssertionError):
        await live("- {when: SNACK, do: drop}", write_and_read, victim="target")


async def test_a_marked_test_that_proves_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "from tests.catalogue.harness import at_target, row\n"
        "from tests.engine.dialogue import nop_out\n"
        "PING = nop_out(3, 10)\n"
        "def lost():\n"
        "    return at_target('- {when: NOP-Out, do: drop}', PING)\n"
        "@row('NOP-11')\n"
        "def test_good():\n    lost().assert_missing(PING)\n"
        "@row('NOP-11')\n"
        "def test_says_nothing():\n    lost()\n"
        "@row('NOP-11', 'SCS-01')\n"
        "def test_wrong_victim():\n    lost().assert_missing(PING)\n"
        "@row('NOP-11')\n@pytest.mark.skip\n"
        "def test_skipped():\n    lost().assert_missing(PING)\n"
        "@row('NOP-11')\n@pytest.mark.xfail\n"
        "def test_expected_to_fail():\n    assert False\n"
        "def test_not_marked():\n    pass\n"
    )
    arguments = ("-m", "pytest", "-p", "tests.catalogue.conftest", "--rootdir", str(tmp_path), "-q", str(tmp_path))
    finished = await run(sys.executable, *arguments, cwd=ROOT)
    assert "3 failed, 2 passed, 1 error" in finished.stdout
    assert "leg of the victim of SCS-01" in finished.stdout
    assert "leg of the victim of NOP-11" in finished.stdout
    assert finished.stdout.count("a test that is skipped proves nothing") >= 2

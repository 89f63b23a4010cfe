"""Garbage and resources."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import LABELS, End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.catalogue.harness import Fields, altered, at_initiator, at_target, play, row, runs_of
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    nop_in,
    nop_out,
    read,
    scsi_response,
    text_request,
    text_response,
    write,
)
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, request, response

__all__: list[str] = []

PING, ECHO = nop_out(2, 10), nop_in(2, 101)
#: What a PDU of each kind has to have to be let through, and nothing else.
SAMPLES = {
    opcode: Pdu.build(opcode).with_fields(
        {
            name: value
            for name, value in {"ITT": 2, "TTT": NO_TAG, "F": 1, "StatSN": 101, "CmdSN": 10}.items()
            if name in Pdu.build(opcode).fields
        }
    )
    for opcode in LABELS
}


@row("GAR-01")
def test_opcodes_that_an_initiator_has_not() -> None:
    scenario = """
    matrix: {opcode: [0x07, 0x08, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x25, 0x31, 0x3f]}
    rules:
      - when: NOP-Out nth 1
        do: {set: {Opcode: $opcode}}
    """
    for axes in runs_of(scenario):
        ping = nop_out(2, 10)
        at_target(scenario, ping, axes=axes).assert_changed(ping, {"Opcode": int(axes["opcode"], 0)})


@row("GAR-02")
def test_opcodes_that_a_target_has_not() -> None:
    scenario = """
    matrix: {opcode: [0x27, 0x33, 0x3c, 0x3d, 0x3e, 0x00, 0x01, 0x05]}
    rules:
      - when: NOP-In nth 1
        do: {set: {Opcode: $opcode}}
    """
    for axes in runs_of(scenario, "initiator"):
        played = at_initiator(scenario, PING, ECHO, axes=axes)
        played.assert_changed(ECHO, {"Opcode": int(axes["opcode"], 0)})


@row("GAR-03")
@pytest.mark.parametrize("opcode", LABELS, ids=LABELS.values())
def test_every_reserved_bit(opcode: int) -> None:
    label = LABELS[opcode]
    scenario = f"""
    matrix: {{bit: reserved({label})}}
    rules:
      - when: {label} nth 1
        do:
          - set: {{$bit: 1}}
    """
    pdu = SAMPLES[Opcode(opcode)]
    runs = runs_of(scenario)
    assert len(runs) > 2
    login = opcode not in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)
    play_it = at_target if pdu.sender is End.INITIATOR else at_initiator
    for axes in runs:
        _, byte, bit = axes["bit"].split(".")
        played = play_it(scenario, pdu, axes=axes, login=login)
        played.assert_changed(pdu, {f"BHS.{byte}": pdu.bhs[int(byte)] | 0x80 >> int(bit)})


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param("W: 0, F: 0", {"W": 0, "F": 0}, marks=row("GAR-04")),
        *(pytest.param(f"ATTR: {attr}", {"ATTR": attr}, marks=row("GAR-05")) for attr in (5, 6, 7)),
        pytest.param("ITT: none", {"ITT": NO_TAG}, marks=row("GAR-07")),
    ],
)
def test_a_command_is_wrong(fields: str, changes: Fields) -> None:
    command, other = write(2, 10, b"abcd"), read(3, 11)
    played = at_target(f"- {{when: SCSI-Command nth 1, do: {{set: {{{fields}}}}}}}", command, other)
    played.assert_changed(command, changes)


@row("GAR-06")
def test_the_tag_of_a_live_task() -> None:
    rules = """
    - when: SCSI-Command nth 1 as first
    - when: SCSI-Command nth 2
      do: {set: {ITT: first.ITT}}
    """
    first, second = write(2, 10), read(3, 11)
    at_target(rules, first, second).assert_changed(second, {"ITT": 2})


@row("GAR-08")
def test_bytes_that_are_no_pdu() -> None:
    played = at_target("- {when: NOP-Out nth 1, do: {corrupt: {what: header, bits: 190}}}", PING)
    played.assert_corrupted(PING, "header", 190)


@row("GAR-08")
@pytest.mark.parametrize(("place", "at"), [("header+20", 20), ("data+100", 148)])
def test_the_last_pdu_is_cut_short(place: str, at: int) -> None:
    command = write(2, 10, bytes(512))
    played = at_target(f"- {{when: SCSI-Command, do: {{close: {{how: fin, at: {place}}}}}}}", command)
    played.assert_cut(command, at, "fin")


@row("GAR-09")
def test_a_segment_as_long_as_can_be_comes_slowly() -> None:
    rules = """
    - when: SCSI-Command nth 1
      do:
        - set: {DataSegmentLength: 0xffffff}
        - throttle: {rate: 100, slice: 1}
    """
    command, other = write(2, 10, b"abcd"), read(3, 11)
    played = at_target(rules, command, other)
    played.assert_changed(command, {"DataSegmentLength": 0xFFFFFF})
    played.assert_throttled(100, 1)


@row("GAR-10")
def test_many_more_commands_than_the_window_has_room_for() -> None:
    # Three hundred and more, where the window has room for thirty; each has a tag and a CmdSN of its own.
    rules = """
    - when: SCSI-Command where not I as each command
      do:
        - duplicate: {count: 10, ITT: fresh, CmdSN: "session.MaxCmdSN + random(1, 1000000)"}
    """
    commands = [read(n, n + 8) for n in range(2, 33)]
    played = at_target(rules, *commands)
    got = [pdu for pdu in played.victim if pdu.label == "SCSI-Command"]
    assert len(got) == 11 * len(commands)
    copies = iter([pdu for pdu in got if pdu["ITT"] > 40])
    expected: list[Pdu] = []
    for command in commands:
        of_this = [next(copies) for _ in range(10)]
        expected += [command, *(altered(command, {name: one[name] for name in ("ITT", "CmdSN")}) for one in of_this)]
    played.assert_got(*expected)
    assert len({pdu["ITT"] for pdu in got}) == len({pdu["CmdSN"] for pdu in got}) == len(got)
    assert {pdu["CmdSN"] > 40 for pdu in got if pdu["ITT"] > 40} == {True}


@row("GAR-11")
@pytest.mark.parametrize(("cycles", "kind"), [(1000, "Normal"), (200, "Discovery")])
def test_a_thousand_logins_and_logouts(cycles: int, kind: str) -> None:
    # The initiator comes back whenever it has lost its connection.
    rules = f"""
    - when: full-feature where session.type == {kind} times {cycles}
      do:
        - probe: {{pdu: Logout-Request, ReasonCode: 0}}
        - close: fin
    """
    names = {**NAMES, "SessionType": kind}

    def cycle(talk: Dialogue) -> None:
        conn = 1 + max((conn for conn, _ in talk.digests), default=0)
        talk.connect(conn, login=False)
        talk.say(login_request(names), login_response(TPGT, TSIH=conn), conn=conn)
        if talk.reports:
            asked = talk.sent(End.TARGET, conn)[-1].pdu
            talk.say(response(Opcode.LOGOUT_RESPONSE, asked["ITT"], 101), conn=conn)

    played = at_target(rules, *[cycle] * cycles, read(2, 10), login=False)
    leaving = [pdu for pdu in played.victim if pdu.label == "Logout-Request"]
    assert len(leaving) == cycles
    bye = request(Opcode.LOGOUT_REQUEST, 0, 10, I=1)
    cycle_of = [(login_request(names), altered(bye, {"ITT": one["ITT"]})) for one in leaving]
    played.assert_got(*(pdu for pair in cycle_of for pdu in pair), ended="fin")


ASKED = text_request(2, 10, {"SendTargets": "All"})
RECORD = (("TargetName", "iqn.2001-04.example:disk"), ("TargetAddress", "192.0.2.1:3260,1"))
TOLD = text_response(2, 101, encode_text(RECORD))


@row("GAR-13")
@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ("TTT: 5", {"TTT": 5}),
        ("F: 0", {"F": 0}),
        ("C: 1", {"C": 1}),
        ("C: 1, F: 0", {"C": 1, "F": 0}),
    ],
)
def test_flags_and_tags_that_contradict_each_other(fields: str, changes: Fields) -> None:
    played = at_initiator(f"- {{when: Text-Response nth 1, do: {{set: {{{fields}}}}}}}", ASKED, TOLD)
    played.assert_changed(TOLD, changes)


@row("GAR-13")
def test_the_answer_to_an_unfinished_request_is_final() -> None:
    asked = text_request(2, 10, {"X-a": "1"}, F=0)
    told = text_response(2, 101, F=0, TTT=7)
    played = at_initiator("- {when: Text-Response where not F, do: {set: {F: 1, TTT: none}}}", asked, told)
    played.assert_changed(told, {"F": 1, "TTT": NO_TAG})


@row("GAR-14")
@pytest.mark.parametrize(
    ("act", "pairs"),
    [
        (
            '{text: {raw: "TargetAddress=192.0.2.1:3260,1\\0TargetName=iqn.2001-04.example:disk\\0"}}',
            RECORD[::-1],
        ),
        ("{text: {add: X-com.example=1}}", (*RECORD, ("X-com.example", "1"))),
        ("{set: {text.TargetAddress: '192.0.2.1:3260'}}", (RECORD[0], ("TargetAddress", "192.0.2.1:3260"))),
        ("{set: {text.TargetAddress: '[2001:db8::1:3260,1'}}", (RECORD[0], ("TargetAddress", "[2001:db8::1:3260,1"))),
        (
            f"{{set: {{text.TargetName: 'iqn.2001-04.example:{'x' * 204}'}}}}",
            (("TargetName", f"iqn.2001-04.example:{'x' * 204}"), RECORD[1]),
        ),
    ],
)
def test_discovery_records_that_are_wrong(act: str, pairs: tuple[tuple[str, str], ...]) -> None:
    played = at_initiator(f"- {{when: Text-Response nth 1, do: {act}}}", ASKED, TOLD)
    played.assert_changed(TOLD, {"data": encode_text(pairs)})


@row("GAR-15")
def test_bits_flip_at_random_and_the_same_seed_flips_the_same() -> None:
    rules = "- {when: SCSI-Response or NOP-Out chance 30%, do: {corrupt: {what: header, at: 32, bits: 2}}}"
    digests = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
    script = [pdu for n in range(2, 22) for pdu in (nop_out(n, 10), nop_in(n, 101), read(n, 10), scsi_response(n, 101))]
    streams = []
    for seed in (1, 1, 2):
        played = play(rules, *script, keys=digests, seed=seed)
        for leg in End:
            here = played.at(leg)
            struck = [came for came, got in zip(here.sender, here.victim, strict=True) if came != got]
            assert 2 <= len(struck) <= 12
            here.assert_corrupted(struck[0], "header", 2, *struck[1:])
        streams.append([pdu.raw for pdu in played.victim])
    assert streams[0] == streams[1] != streams[2]


RECORDS = [
    f"{key}={value}"
    for n in range(1000)
    for key, value in (("TargetName", f"iqn.2001-04.example:disk{n:03}"), RECORD[1])
]


@row("GAR-12")
def test_a_very_long_text_response() -> None:
    rules = "- {when: Text-Response nth 1, do: {text: {fill: 65536, long: yes}}}"
    played = at_initiator(rules, ASKED, TOLD)
    text = played.victim[-1].data
    assert (len(text), text[: len(TOLD.data)]) == (65536, TOLD.data)
    assert {pair[:14] for pair in text[len(TOLD.data) : -1].split(b"\0")} == {b"X-pad.example."}
    played.assert_changed(TOLD, {"data": text})


@row("GAR-12")
def test_a_thousand_targets_in_pieces() -> None:
    many = TOLD.data + b"".join(one.encode() + b"\0" for one in RECORDS)
    size = (len(many) - len(TOLD.data)) // 10
    cuts = range(len(TOLD.data) + size, len(many), size)
    rules = f"""
    - when: Text-Response nth 1
      do:
        - text:
            add: [{", ".join(f"'{one}'" for one in RECORDS)}]
            long: yes
        - split_text: {{by: F, at: [{", ".join(f"data+{cut}" for cut in cuts)}]}}
    """

    def go_on(talk: Dialogue) -> Pdu | None:
        asked = talk.sent(End.INITIATOR)[-1].pdu
        return None if asked["F"] else text_request(2, 10 + asked["StatSN"] - 100, b"", TTT=asked["TTT"])

    told = altered(TOLD, {"ExpCmdSN": 11, "MaxCmdSN": 41})
    played = at_initiator(rules, ASKED, told, *[go_on] * len(cuts))
    pieces = [many[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(many)], strict=True)]
    assert len(pieces) == 10
    tag = played.victim[1]["TTT"]
    assert tag != NO_TAG
    # The requests for more are hidden from the target: it is the proxy that opens the window for them.
    window = [{"ExpCmdSN": 11 + n, "MaxCmdSN": 41 + n} for n in range(10)]
    more = [
        altered(told, {"data": piece, "StatSN": 101 + n, "F": 0, "TTT": tag, **window[n]})
        for n, piece in enumerate(pieces[:-1])
    ]
    played.assert_got(*more, altered(told, {"data": pieces[-1], "StatSN": 110, **window[9]}))
    played.at(End.TARGET).assert_got(ASKED)

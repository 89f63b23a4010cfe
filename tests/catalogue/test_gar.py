"""Garbage and resources."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import LABELS, End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.catalogue.harness import Fields, at_initiator, at_target, play, row, runs_of
from tests.engine.dialogue import NO_TAG, nop_in, nop_out, read, scsi_response, text_request, text_response, write

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
    # All runs are read; every fifth is played, so that each byte and each place in a byte has its turn.
    for axes in runs[::5]:
        _, byte, bit = axes["bit"].split(".")
        played = play_it(scenario, pdu, axes=axes, login=login)
        played.assert_changed(pdu, {f"BHS.{byte}": pdu.bhs[int(byte)] | 0x80 >> int(bit)})


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param("W: 0, F: 0", {"W": 0, "F": 0}, marks=row("GAR-04")),
        *(pytest.param(f"ATTR: {attr}", {"ATTR": attr}, marks=row("GAR-05")) for attr in (5, 6, 7)),
        pytest.param("ITT: none", {"ITT": NO_TAG}, marks=row("GAR-07")),
        pytest.param("DataSegmentLength: 0xffffff", {"DataSegmentLength": 0xFFFFFF}, marks=row("GAR-09")),
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

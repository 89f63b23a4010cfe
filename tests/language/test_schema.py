from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from iscsiproxy.engine import SPECS
from iscsiproxy.language import STEPS, lint
from iscsiproxy.language.document import Listing, Node, Scalar, read_yaml
from iscsiproxy.language.keys import KEYS
from iscsiproxy.language.schema import field_help, key_help, schema
from tests.language.samples import WORKED

SCHEMA = schema(SPECS)
VALIDATOR = Draft7Validator(SCHEMA)
FAULTS = Path(__file__).parents[2] / "faults"
FILES = sorted([*WORKED.glob("*.yaml"), *FAULTS.rglob("*.yaml")])
_CORE = {"true": True, "false": False, "null": None, "~": None, "": None}


def plain(node: Node) -> Any:
    """Give what an editor sees: values typed as the core schema of YAML 1.2 has them."""
    if isinstance(node, Scalar):
        if node.quoted:
            return node.text
        if node.text.lower() in _CORE:
            return _CORE[node.text.lower()]
        try:
            return (
                int(node.text, 0) if node.text[:2] == "0x" else float(node.text) if "." in node.text else int(node.text)
            )
        except ValueError:
            return node.text
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {entry.key.text: plain(entry.value) for entry in node.entries}


def refused(value: Any) -> str:
    """Say what the schema has against a file; empty if nothing."""
    return "; ".join(error.message for error in VALIDATOR.iter_errors(value))


def wrong(text: str) -> str:
    """Say what the reader has against a file; empty if nothing."""
    return "; ".join(error.message for error in lint(text, file="x.yaml", acts=SPECS, built=False))


def whole(text: str) -> str:
    head = "" if text.startswith("scenario:") else "scenario: x\n"
    rules = (
        "" if any(word in text for word in ("rules:", "machines:", "actor:")) else "rules: [{when: R2T, do: drop}]\n"
    )
    return f"{head}{rules}{text}"


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_scenario_is_right(file: Path) -> None:
    assert refused(plain(read_yaml(file.read_text(), file.name))) == ""


#: Shapes of every kind of value, right both for the schema and for the reader.
RIGHT = [
    "rules: {when: SCSI-Command nth 1, do: pass}",
    "rules: [{when: [SCSI-Command, 5s], do: {close: fin}, optional: yes, name: a}]",
    "params: {n: 1}\nrules: [{when: SCSI-Command nth $n, do: drop}]",
    "params: {end: target}\nrules: [{when: SCSI-Command, do: {stall: {until: 1s, end: $end}}}]",
    "matrix: {what: [header, data]}\nrules: [{when: Data-Out, do: {corrupt: $what}}]",
    "matrix: {bit: reserved(NOP-Out)}\nrules: [{when: NOP-Out, do: {set: {$bit: 1}}}]",
    "rules: [{when: Login-Request, do: {set: {text.InitialR2T: No, BHS.3: 0x10, BHS.1.6: 1}}}]",
    "rules: [{when: SCSI-Command, do: [{set: {CDB.LBA: 1, CDB.blocks: 8}}, {delay: {until: released, at_most: no}}]}]",
    "rules: [{when: Login-Request, do: {text: {add: [X-a=1, InitialR2T=No], remove: InitialR2T}}}]",
    "rules: [{when: SCSI-Command, do: {split_text: F}}]".replace("SCSI-Command", "Text-Request"),
    "rules: [{when: Text-Request, do: {split_text: {by: C, at: [SendTargets+3], add: {1: a=b}}}}]",
    "rules: [{when: NOP-Out where ITT != none, do: {swap: {pdu: TMF-Request, Function: LUN_RESET, as: reset}}}]",
    "rules: [{when: full-feature, do: {probe: {pdu: NOP-In, TTT: 0x12345678}}}]\nvictim: initiator",
    "rules: [{when: SCSI-Command, do: [pass: {}, delay: {until: [1s, barrier], overtake: yes}]}]",
    "negotiate: {target: {ErrorRecoveryLevel: 1, X-org.example.a: b}}\nvictim: target",
    "traffic: {io: write, size: 64KiB, depth: 4, luns: 1, offer: {MaxConnections: 2, any: thing}}\nvictim: target",
    "timing: {quiet: 100ms, hang: 2s, within: 1min}\nvictim: target",
    "expect: {first: [{pass: Reject, note: x}, {fail: nothing}], after: fault, within: 2s}\nvictim: target",
    "expect: [{exactly: 1 R2T or Reject, else: warn}, {never: $e}]\nparams: {e: escalation}\nvictim: target",
    "machines: {m: {per: session, states: {a: {when: 1s, do: {goto: b}}, b: []}}}\nvictim: target",
    "actor: [{login: {as: A}}, {send: {conn: A, pdu: NOP-Out, data: none}}, io: read, {delay: 1s}, {close: {conn: A}}]",
    "victim: both\nversion: 1\naftermath: ends\ncovers: [W12a]\ncites: RFC 7143 1\nneeds: initiator.depth > 1",
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_right_for_both(text: str) -> None:
    text = whole(text)
    assert wrong(text) == ""
    assert refused(plain(read_yaml(text, "x.yaml"))) == ""


#: Each of these the schema refuses, and so does the reader.
WRONG = [
    "scenario: 1x\nrules: [{when: R2T, do: drop}]",
    "scenario: x",
    "version: 2",
    "victim: nobody",
    "titel: x",
    "aftermath: survive",
    "traffic: {io: reed}",
    "traffic: {deepth: 1}",
    "negotiate: {both: {DataDigest: None}}",
    "negotiate: {target: {DataDigst: None}}",
    "negotiate: {target: {}}",
    "timing: {quiet: 1}",
    "timing: {silence: 1s}",
    "params: {1n: 1}",
    "params: {n: [1]}",
    "matrix: {}",
    "rules: [{do: drop}]",
    "rules: [{when: R2T, then: drop}]",
    "rules: [{when: R2T, do: dorp}]",
    "rules: [{when: R2T, do: [drop, {dleay: 1s}]}]",
    "rules: [{when: R2T, do: {drop: {}, pass: {}}}]",
    "rules: [{when: R2T, do: delay}]",
    "rules: [{when: R2T, do: {delay: {overtake: yes}}}]",
    "rules: [{when: R2T, do: {delay: {until: 1s, overtake: maybe}}}]",
    "rules: [{when: R2T, do: {delay: {until: 1s, at_most: 5}}}]",
    "rules: [{when: R2T, do: {set: {Buffer-Offset: 1}}}]",
    "rules: [{when: R2T, do: {set: {texts.A: 1}}}]",
    "rules: [{when: R2T, do: {corrupt: footer}}]",
    "rules: [{when: R2T, do: {close: {at: middle}}}]",
    "rules: [{when: R2T, do: {close: {how: [rst]}}}]",
    "rules: [{when: {R2T: 1}, do: drop}]",
    "rules: [{when: R2T, do: drop, optional: true}]",
    "rules: [{when: R2T, do: drop, name: 1}]",
    "rules: [{when: Text-Request, do: {text: {add: novalue}}}]",
    "rules: [{when: Text-Request, do: {split_text: {by: D}}}]",
    "rules: [{when: Text-Request, do: {split_text: {by: C, at: data}}}]",
    "rules: [{when: Text-Request, do: {split_text: {by: C, add: {one: a=b}}}}]",
    "rules: [{when: NOP-Out, do: {swap: {Function: 1}}}]",
    "rules: [{when: NOP-Out, do: {swap: {pdu: Target-PDU}}}]",
    "machines: {m: {}}",
    "machines: {m: {states: {}}}",
    "machines: {m: {states: {a: []}, per: task}}",
    "actor: [{logon: {}}]",
    "actor: [drop]",
    "actor: [{send: {pdu: NOP-Out, to: A}}]",
    "expect: [{within: 1s}]",
    "expect: [{never: R2T, exactly: 1 R2T}]",
    "expect: [{never: SCSI-Respones}]",
    "expect: [{exactly: SCSI-Response}]",
    "expect: [{first: [{pass: R2T, fail: Reject}]}]",
    "expect: [{first: [{ok: R2T}]}]",
    "expect: [{first: [{pass: R2T}], else: warn}]",
    "expect: [{never: R2T, else: pass}]",
    "expect: [{never: R2T, within: long}]",
    "- scenario: x",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_shape_is_wrong_for_both(text: str) -> None:
    if text[0] != "-":
        text = whole(text) if text != "scenario: x" else text
    assert refused(plain(read_yaml(text, "x.yaml")))
    assert wrong(text)


#: What only the reader knows: meaning, not shape.
STRICTER = [
    "rules: [{when: R2T where DataSN == 1, do: drop}]",
    "rules: [{when: R2T of nobody, do: drop}]",
    "rules: [{when: R2D, do: drop}]",
    "rules: [{when: R2T, do: {set: {CmdSN: 1}}}]",
    "rules: [{when: R2T nth 0, do: drop}]",
    "rules: [{when: R2T, do: [drop, drop]}]",
    "rules: [{when: R2T}]",
]


@pytest.mark.parametrize("text", STRICTER)
def test_meaning_is_for_the_reader(text: str) -> None:
    text = whole(text)
    assert refused(plain(read_yaml(text, "x.yaml"))) == ""
    assert wrong(text)


TREES = [plain(read_yaml(whole(text), "x.yaml")) for text in RIGHT] + [
    plain(read_yaml(file.read_text(), file.name)) for file in sorted(WORKED.glob("*.yaml"))
]
WORDS = [
    "",
    "x",
    "1",
    2,
    0x20,
    True,
    "5s",
    "drop",
    "SCSI-Command",
    "nothing",
    "yes",
    "$x",
    "a=b",
    [],
    {},
    ["R2T"],
    {"set": {"F": 1}},
]


def spoil(draw: st.DrawFn, value: Any) -> Any:
    """Change one thing somewhere in a file."""
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        how = draw(st.sampled_from(["in", "in", "in", "drop", "rename", "add"]))
        if how == "in":
            return {**value, key: spoil(draw, value[key])}
        rest = {one: other for one, other in value.items() if one != key}
        if how == "drop":
            return rest
        other = draw(
            st.sampled_from(["when", "do", "note", "at", "first", "never", "pass", "F", "text.A", "Status", "$x", "zz"])
        )
        return {**rest, other: value[key]} if how == "rename" else {**value, other: draw(st.sampled_from(WORDS))}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], spoil(draw, value[at]), *value[at + 1 :]]
    return draw(st.sampled_from([*WORDS, [value]]))


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    return spoil(draw, draw(st.sampled_from(TREES)))


@given(spoilt())
def test_what_the_schema_refuses_the_reader_refuses(value: Any) -> None:
    message = refused(value)
    if message:
        name = value.get("scenario", "x") if isinstance(value, dict) else "x"
        text = json.dumps(value)
        assert lint(text, file=f"{name}.yaml", acts=SPECS, built=False), message


def test_every_act_and_parameter_has_its_help() -> None:
    definitions = SCHEMA["definitions"]
    for spec in SPECS.values():
        shape = definitions[f"act-{spec.name}"]
        table = shape["anyOf"][1] if spec.main else shape
        assert shape["description"] == spec.help
        assert all(param.help in table["properties"][param.name]["description"] for param in spec.params)
    assert {f"step-{name}" for name in STEPS} <= set(definitions)


def test_fields_and_keys_say_what_they_are() -> None:
    assert field_help("BegRun") == "number; a field of SNACK"
    assert field_help("DataSegmentLength") == "number; a field of every PDU"
    assert key_help("ErrorRecoveryLevel") == "a number, 0 to 2; 0 if nothing is said; RFC 7143 13.20"
    assert key_help("HeaderDigest").startswith("None, CRC32C; None if nothing is said")
    assert all(map(key_help, KEYS))

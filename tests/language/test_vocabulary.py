from __future__ import annotations

import pytest

from iscsiproxy.language.spec import ValueKind
from iscsiproxy.language.vocabulary import (
    ANSWERS,
    EVENTS,
    FUNCTIONS,
    HEADS,
    ITEMS,
    RESERVED,
    RUN_NAMES,
    STATE,
    describe,
    field_names,
    having_field,
    item_of,
    key_type,
    owners,
    shared_field,
)
from iscsiproxy.session.snapshot import ConnectionView, SessionView
from iscsiproxy.wire.codes import SCSI_STATUS
from iscsiproxy.wire.fields import FIELDS
from iscsiproxy.wire.opcodes import GROUPS, LABELS, Opcode, sender_of

__all__: list[str] = []


@pytest.mark.parametrize("name", ITEMS)
def test_every_item_stands_for_something(name: str) -> None:
    item = item_of(name)
    assert item is not None
    assert item.name == name
    assert bool(item.opcodes) != (name in EVENTS)


def test_unassigned_opcodes_have_names() -> None:
    item = item_of("Opcode-0x1c")
    assert item is not None
    assert item.opcodes == {0x1C}
    assert item_of("Opcode-0x01") is None
    assert item_of("nothing") is None


def test_words_of_the_grammar_name_nothing_else() -> None:
    names = {*ITEMS, *FUNCTIONS, *RUN_NAMES, *field_names(GROUPS["Any-PDU"])}
    assert not RESERVED & names


def test_codes_are_no_fields_or_items() -> None:
    fields = set(field_names(GROUPS["Any-PDU"]))
    codes = {
        word
        for opcode in LABELS
        for name in field_names(frozenset({opcode}))
        if (shared := shared_field(frozenset({opcode}), name))
        for word in shared.type.words
    }
    assert "CHECK_CONDITION" in codes
    assert not codes & fields
    assert not codes & set(ITEMS)


def test_every_field_of_the_wire_is_known_with_its_kind() -> None:
    for opcode, table in FIELDS.items():
        for name, field in table.items():
            shared = shared_field(frozenset({int(opcode)}), name)
            assert shared is not None
            assert shared.type.kind.value == field.kind.value
            assert shared.same


def test_a_code_of_one_pdu() -> None:
    shared = shared_field(frozenset({int(Opcode.SCSI_RESPONSE)}), "Status")
    assert shared is not None
    assert shared.type.words == {name: value for value, name in SCSI_STATUS.items()}
    assert shared.type.maximum == 0xFF


def test_a_code_that_several_pdus_share() -> None:
    shared = shared_field(GROUPS["Target-PDU"], "Status")
    assert shared is not None
    assert shared.same
    assert shared.type.words["BUSY"] == 8


def test_a_code_that_differs() -> None:
    shared = shared_field(frozenset({int(Opcode.SCSI_RESPONSE), int(Opcode.TMF_RESPONSE)}), "Response")
    assert shared is not None
    assert not shared.same
    assert not shared.type.words
    assert "FUNCTION_COMPLETE" in shared.type.partly


def test_response_is_the_only_field_that_differs() -> None:
    everything = GROUPS["Any-PDU"]
    differing = [name for name in field_names(everything) if not getattr(shared_field(everything, name), "same", True)]
    assert differing == ["Response"]


def test_a_field_that_nobody_has() -> None:
    assert shared_field(GROUPS["Any-PDU"], "Nonsense") is None
    assert shared_field(frozenset(), "CmdSN") is None


def test_owners_of_a_field() -> None:
    assert having_field("DataSN") == ("Data-Out", "Data-In", "Reject")
    assert owners("DataSN") == "it is a field of Data-Out, Data-In, Reject"
    assert owners("CmdSN").endswith("and others")


def test_pdus_are_described_shortly() -> None:
    assert describe({int(Opcode.R2T)}) == "R2T"
    assert describe({int(Opcode.R2T), int(Opcode.DATA_OUT)}) == "Data-Out or R2T"
    assert describe(GROUPS["Target-PDU"]) == "Target-PDU"
    assert describe(range(6)) == "NOP-Out, SCSI-Command, TMF-Request and 3 others"


def test_state_names_are_those_of_the_snapshots() -> None:
    for name in STATE:
        head, _, rest = name.partition(".")
        if name != "conn.age":
            view: type[ConnectionView | SessionView] = ConnectionView if head == "conn" else SessionView
            assert rest in view.__dataclass_fields__
    assert {name.partition(".")[0] for name in STATE} <= set(HEADS)


def test_keys_have_types() -> None:
    assert key_type("MaxBurstLength", "x").kind is ValueKind.NUMBER
    assert key_type("InitialR2T", "x").words == {"Yes": "Yes", "No": "No"}
    assert key_type("TargetAlias", "x").kind is ValueKind.TEXT


def test_answers_come_from_the_other_end() -> None:
    for request, response in ANSWERS.items():
        assert sender_of(request) is sender_of(response).other

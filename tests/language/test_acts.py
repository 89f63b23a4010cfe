from __future__ import annotations

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language.acts import ActReader
from iscsiproxy.language.document import read_yaml
from iscsiproxy.language.loader import lint, load
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.problems import Problems
from iscsiproxy.language.spec import Act, Call, Literal_, Place, ValueKind
from tests.language.samples import ACTS, errors_of, read

__all__: list[str] = []


def acts(written: str, when: str = "SCSI-Command", more: str = "") -> tuple[Act, ...]:
    return read(f"rules:\n  - when: {when}\n    do: {written}\n{more}").rules[0].do


def real(written: str, when: str = "SCSI-Command", more: str = "") -> tuple[Act, ...]:
    text = f"scenario: x\nvictim: target\nrules:\n  - when: {when}\n    do: {written}\n{more}"
    return load(text, file="x.yaml", acts=SPECS).rules[0].do


def errors(written: str, when: str = "SCSI-Command", more: str = "") -> list[FileError]:
    return errors_of(f"rules:\n  - when: {when}\n    do: {written}\n{more}")


def test_an_act_may_be_one_word() -> None:
    (act,) = acts("drop")
    assert (act.name, act.params, act.fields, act.text) == ("drop", {"numbers": "raw"}, {}, "drop")
    assert (act.position.line, act.position.column) == (5, 9)


def test_an_act_may_have_its_main_parameter() -> None:
    (act,) = acts("{close: fin}")
    assert act.params == {"how": "fin", "end": "both", "at": None, "conn": None}
    assert act.text == "close fin"
    assert (act.position.line, act.position.column) == (5, 10)


def test_an_act_may_have_parameters_and_fields() -> None:
    (act,) = acts("{duplicate: {ITT: fresh, EDTL: EDTL + 1, as: copy, numbers: translate}}")
    assert act.params == {"numbers": "translate", "as": "copy"}
    assert list(act.fields) == ["ITT", "EDTL"]
    assert isinstance(act.fields["ITT"], Call)
    assert act.text == "duplicate ITT=fresh EDTL=(EDTL + 1) as=copy numbers=translate"


def test_a_main_parameter_may_be_a_list_of_moments() -> None:
    (act,) = acts("{delay: [5s, R2T as r]}")
    until = act.params["until"]
    assert isinstance(until, tuple)
    assert len(until) == 2
    assert act.params["at_most"] == 60.0
    assert act.text == "delay [5s, (R2T as r)]"


def test_acts_are_a_list_or_one() -> None:
    assert [act.name for act in acts("[pass, {note: hi}]")] == ["pass", "note"]
    assert [act.name for act in acts("pass")] == ["pass"]


def test_set_takes_addresses_of_all_kinds() -> None:
    (act,) = acts(
        "{set: {F: 0, BHS.1.6: 1, BHS.47: 0xff, data: 'abc', pad: 0x00, text.A: Yes, fix: none}}",
        "Login-Request or SCSI-Command",
    )
    assert act.params["fix"] == "none"
    kinds = {name: expr.kind for name, expr in act.fields.items()}
    assert kinds == {
        "F": ValueKind.FLAG,
        "BHS.1.6": ValueKind.FLAG,
        "BHS.47": ValueKind.NUMBER,
        "data": ValueKind.BYTES,
        "pad": ValueKind.BYTES,
        "text.A": ValueKind.TEXT,
    }


def test_set_takes_sense_AHS_and_places_inside_the_data() -> None:
    (act,) = real("{set: {sense: B/0C/0D, AHS: 0x0001ff00, data+0x10: 'abc', data+1KiB: 0xff}}", "SCSI-Response")
    kinds = {name: expr.kind for name, expr in act.fields.items()}
    assert kinds == {
        "sense": ValueKind.SENSE,
        "AHS": ValueKind.BYTES,
        "data+16": ValueKind.BYTES,
        "data+1024": ValueKind.BYTES,
    }
    (act,) = real("{answer: {Status: CHECK_CONDITION, sense: 6/29/00}}")
    assert act.fields["sense"].kind is ValueKind.SENSE
    (act,) = real("{inject: {pdu: Async, AsyncEvent: 0, sense: n.sense}}", "Data-Out", "  - when: SCSI-Response as n\n")
    assert act.fields["sense"].kind is ValueKind.SENSE


def test_set_takes_the_numbers_of_a_CDB() -> None:
    (act,) = real("{set: {CDB.LBA: CDB.LBA + 1, CDB.blocks: 8}}", "SCSI-Command")
    assert {name: expr.kind for name, expr in act.fields.items()} == {
        "CDB.LBA": ValueKind.NUMBER,
        "CDB.blocks": ValueKind.NUMBER,
    }
    assert act.text == "set CDB.LBA=(CDB.LBA + 1) CDB.blocks=8"


#: act, PDU in hand, part of the message, part of the hint
BAD_PARTS = [
    ("{set: {CDB.name: x}}", "SCSI-Command", "a CDB has a name by what it is", "`CDB` is given as a whole"),
    ("{set: {CDB.LBA: 1}}", "Data-Out", "Data-Out has no CDB", "SCSI-Command has it"),
    ("{set: {CDB.lba: 1}}", "SCSI-Command", "there is no `CDB.lba`", "did you mean `CDB.LBA`?"),
    ("{duplicate: {CDB.LBA: 1}}", "SCSI-Command", "`duplicate` has no parameter or field `CDB.LBA`", "`CDB`"),
    ("{set: {sense: 6/29/00}}", "R2T", "R2T has no sense data", "SCSI-Response or Async"),
    ("{inject: {pdu: NOP-In, sense: 6/29/00}}", "R2T", "NOP-In has no sense data", "SCSI-Response or Async"),
    ("{set: {sense: 5}}", "Async", "`sense` takes sense, not `5`", "B/0C/0D"),
    ("{set: {sense: absent}}", "Async", "`sense` takes sense, not `absent`", "B/0C/0D"),
    ("{set: {sense: StatSN}}", "Async", "`sense` takes sense, not `StatSN`, a sequence number", "B/0C/0D"),
    ("{set: {sens: 6/29/00}}", "Async", "no parameter or field `sens`", "`sense`"),
    ("{set: {AHS: 5}}", "R2T", "`5` is no bytes", "0x"),
    ("{set: {AHS: 0x" + "00" * 1024 + "}}", "R2T", "at most 1020 bytes of AHS", ""),
    ("{set: {data+x: 0xff}}", "R2T", "`data+x` is no place in a data segment", "data+0"),
    ("{set: {data+16MiB: 0xff}}", "R2T", "`data+16MiB` is no place", "data+0"),
    ("{set: {data+16: 0xff, data+0x10: 0xff}}", "R2T", "`data+16` is given twice", ""),
    ("{set: {data+0: 5}}", "R2T", "`5` is no bytes", "0x"),
    ("{corrupt: {what: data, data+0: 0xff}}", "R2T", "no parameter `data+0`", ""),
]


@pytest.mark.parametrize(("act", "pdu", "message", "hint"), BAD_PARTS)
def test_a_part_that_cannot_be_set_so(act: str, pdu: str, message: str, hint: str) -> None:
    scenario = f"scenario: x\nvictim: target\nrules:\n  - {{when: {pdu}, do: [{act}]}}\n"
    (error,) = lint(scenario, file="x.yaml", acts=SPECS)
    assert message in error.message
    assert hint in (error.hint or "")


def test_a_parameter_may_be_an_address() -> None:
    scenario = read("params: {bit: BHS.1.3}\nrules: [{when: R2T, do: {set: {$bit: 1}}}]")
    assert list(scenario.rules[0].do[0].fields) == ["BHS.1.3"]


def test_places_and_numbers() -> None:
    (act,) = acts("{corrupt: {what: data, at: data+8, bits: 2, digest: keep}}")
    assert act.params["at"] == Place(part="data", offset=8)
    assert isinstance(act.params["bits"], Literal_)


def test_a_template_has_the_fields_of_its_pdu() -> None:
    assert acts("{inject: NOP-In}")[0].params["pdu"] == "NOP-In"
    (act,) = acts("{inject: {pdu: SNACK, Type: STATUS, BegRun: CmdSN, RunLength: 1, as: s}}")
    assert act.params["pdu"] == "SNACK"
    assert list(act.fields) == ["Type", "BegRun", "RunLength"]


def test_an_answer_is_the_response_to_what_is_in_hand() -> None:
    (act,) = acts("{answer: {Status: BUSY}}")
    assert isinstance(act.fields["Status"], Literal_)
    (act,) = acts("{answer: {pdu: Reject, Reason: PROTOCOL_ERROR}}")
    assert list(act.fields) == ["Reason"]


def test_a_replay_has_the_fields_of_its_capture() -> None:
    (act,) = acts("{replay: {what: r, StatSN: StatSN}}", "SCSI-Response", "  - when: R2T as r\n")
    assert list(act.fields) == ["StatSN"]


def test_an_act_inside_an_act() -> None:
    (act,) = acts("{swap: {pdu: Text-Request, text: ['SendTargets=All'], split_text: {by: C, rounds: 3}}}", "NOP-Out")
    inner = act.params["split_text"]
    assert isinstance(inner, Act)
    assert inner.params["by"] == "C"
    assert inner.params["finish"] is True


def test_the_pieces_of_a_split_are_names() -> None:
    scenario = read(
        "rules:\n"
        "  - {when: Data-Out, do: {split: {size: 512, as: p}}}\n"
        "  - {when: R2T where BufferOffset == p.2.BufferOffset then p.1, do: {note: x}}\n"
    )
    assert len(scenario.rules) == 2


def test_a_copy_of_a_name_that_is_bound_below() -> None:
    scenario = read(
        "rules:\n"
        "  - {when: SCSI-Response of n, do: {replay: {what: n, as: again}}}\n"
        "  - {when: SCSI-Command as n}\n"
        "  - {when: R2T where task.CmdSN == again.CmdSN, do: pass}\n"
    )
    assert len(scenario.rules) == 3


def test_settled_is_what_comes_last() -> None:
    assert [act.name for act in acts("[{set: {F: 1}}, {delay: 5s}, drop, {note: gone}]")] == [
        "set",
        "delay",
        "drop",
        "note",
    ]
    assert len(acts("[pass, {delay: 20s}, {close: fin}]")) == 3
    assert len(acts("[drop, close]")) == 2


def test_acts_on_one_of_several_pdus_are_allowed() -> None:
    assert len(acts("{text: {remove: [A]}}", "SCSI-Command or Text-Request")) == 1


#: acts, moment, column, part of the message, part of the hint
WRONG = [
    ("dorp", "SCSI-Command", 9, "there is no act `dorp`", "`drop`"),
    ("hold", "SCSI-Command", 9, "there is no act `hold`", "`delay`"),
    ("delay 200ms", "SCSI-Command", 9, "`delay 200ms` is no act", "in a file it is `delay: …`"),
    ("[[drop]]", "SCSI-Command", 10, "expected an act, not a list", ""),
    ("{drop: {}, note: x}", "SCSI-Command", 20, "an act is one name with its parameters", "a list"),
    ("{}", "SCSI-Command", 9, "an act is one name", ""),
    ("{drop: raw}", "SCSI-Command", 16, "`drop` takes its parameters by name", "`drop: {…}`"),
    ("{pass: now}", "SCSI-Command", 16, "`pass` takes no parameter", "write `pass`"),
    ("{drop: {numbrs: raw}}", "SCSI-Command", 17, "`drop` has no parameter `numbrs`", "`numbers`"),
    ("{drop: {CmdSN: 1}}", "SCSI-Command", 17, "`drop` takes no fields, such as `CmdSN`", ""),
    ("{close: {foo: 1}}", "SCSI-Command", 18, "`close` has no parameter `foo`", "it takes `how`"),
    ("{drop: {numbers: rwa}}", "SCSI-Command", 26, "`numbers` is `raw` or `translate`", "`raw`"),
    ("{close: rts}", "SCSI-Command", 17, "`how` is `rst`, `fin` or `half`, not `rts`", "`rst`"),
    ("delay", "SCSI-Command", 9, "`delay` needs `until`", "until then"),
    ("{corrupt: {at: data}}", "SCSI-Command", 10, "`corrupt` needs `what`", ""),
    ("inject", "SCSI-Command", 9, "`inject` needs `pdu`", ""),
    ("{inject: {pdu: SNACK, Tipe: 1}}", "SCSI-Command", 31, "`inject` has no parameter or field `Tipe`", "`Type`"),
    ("{inject: {pdu: SNACK, CmdSN: 1}}", "SCSI-Command", 31, "SNACK has no field `CmdSN`", "it is a field of"),
    ("{set: {Final: 1}}", "SCSI-Command", 16, "no parameter or field `Final`", "`F`"),
    ("{set: {DataSN: 1}}", "SCSI-Command", 16, "SCSI-Command has no field `DataSN`", "Data-Out"),
    ("{set: {F: 3}}", "SCSI-Command", 19, "3 does not fit `F`", ""),
    ("{set: {BHS.48: 1}}", "SCSI-Command", 16, "no place in the header", ""),
    ("{set: {text.A: 1}}", "SCSI-Command", 16, "SCSI-Command has no text keys", ""),
    ("{set: {text: 1}}", "Login-Request", 16, "no parameter or field `text`", "`text.KEY`"),
    ("{set: {data.x: 1}}", "SCSI-Command", 16, "no parameter or field `data.x`", ""),
    ("{set: {Response: TARGET_FAILURE}}", "SCSI-Response or TMF-Response", 26, "only some of these PDUs", ""),
    ("{set: {CmdSN: n.CmdSN}}", "SCSI-Command", 23, "nothing in the file binds the name `n`", ""),
    ("{text: {add: [A=1]}}", "SCSI-Command", 10, "`text` acts on Login-Request or Text-Request", ""),
    ("{split: 512}", "SCSI-Command", 10, "`split` acts on", ""),
    ("{set: {F: 1}}", "close", 10, "`set` needs a PDU in hand, and this is close", "end in a PDU"),
    ("drop", "5s", 9, "`drop` needs a PDU in hand, and there is none", ""),
    ("refuse", "close", 9, "`refuse` acts on `connect` only", ""),
    ("refuse", "SCSI-Command", 9, "`refuse` acts on `connect` only", ""),
    ("refuse", "5s", 9, "`refuse` acts on `connect` only", ""),
    ("[drop, {set: {F: 1}}]", "SCSI-Command", 17, "`set` would change a PDU that `drop` has settled", "before"),
    ("[pass, {corrupt: data}]", "SCSI-Command", 17, "`corrupt` would change a PDU that `pass` has settled", ""),
    ("[{answer: {Status: BUSY}}, {resize: 0}]", "SCSI-Command", 37, "that `answer` has settled", ""),
    ("[{swap: {pdu: Text-Request}}, {set: {I: 1}}]", "NOP-Out", 40, "that `swap` has settled", ""),
    ("[drop, pass]", "SCSI-Command", 16, "`pass` is never done: `drop` has settled the PDU", ""),
    ("[drop, drop]", "SCSI-Command", 16, "`drop` is never done", ""),
    ("[close, drop]", "SCSI-Command", 17, "`drop` is never done: the list ends with `close`", ""),
    ("{goto: up}", "SCSI-Command", 16, "there is no state of this machine called `up`", ""),
    ("{arm: x}", "SCSI-Command", 15, "there is no rule with a name called `x`", ""),
    ("{close: {conn: A}}", "SCSI-Command", 24, "nothing in the file binds the name `A`", ""),
    ("{duplicate: {as: R2T}}", "SCSI-Command", 26, "`R2T` is a PDU or an event", ""),
    ("{swap: {pdu: Text-Request, split_text: {by: X}}}", "NOP-Out", 53, "`by` is `C`, `T` or `F`", ""),
]


@pytest.mark.parametrize(("written", "when", "column", "message", "hint"), WRONG)
def test_what_an_act_does_not_allow(written: str, when: str, column: int, message: str, hint: str) -> None:
    (error,) = errors(written, when)
    assert message in error.message
    assert (error.line, error.column) == (5, column)
    assert hint in (error.hint or "")


def test_every_wrong_value_of_an_act_is_told() -> None:
    found = errors("{close: {how: x, end: y, at: z}}")
    assert [error.column for error in found] == [23, 31, 38]


def test_the_reader_leaves_out_what_is_wrong() -> None:
    problems = Problems()
    reader = ActReader(ACTS, Parameters({}))
    found = reader.acts_of(read_yaml("[drop, dorp, pass]", "f"), problems)
    assert [act.spec.name for act in found] == ["drop", "pass"]
    assert len(problems.found) == 1


def test_a_number_is_not_given_where_a_copy_takes_one_of_its_own() -> None:
    for fields in ("CmdSN: 5", "CmdSN: CmdSN + 1, ITT: fresh"):
        with pytest.raises(FileError, match="a copy that is hidden has a CmdSN of its own") as caught:
            real(f"{{duplicate: {{numbers: translate, {fields}}}}}")
        assert caught.value.column == 42
        real(f"{{duplicate: {{{fields}}}}}")
    real("{duplicate: {numbers: translate, ITT: fresh}}")


@pytest.mark.parametrize(
    ("written", "column", "why"),
    [
        ("{swap: Data-Out}", 16, "`swap` takes NOP-Out, SCSI-Command, TMF-Request and 2 others, not Data-Out"),
        ("{swap: {pdu: NOP-In}}", 22, "`swap` takes NOP-Out, SCSI-Command, TMF-Request and 2 others, not NOP-In"),
        ("{answer: {pdu: NOP-Out}}", 24, "`answer` takes Target-PDU, not NOP-Out"),
        ("{answer: Opcode-0x1c}", 18, "`answer` takes Target-PDU, not Opcode-0x1c"),
        ("{inject: {pdu: SCSI-Command, CDB: 'REED lba=0'}}", 43, "`REED lba=0` is no CDB"),
        ("{inject: {pdu: SCSI-Command, CDB: read lba=0}}", 43, "`read lba=0` is no CDB"),
        ("{inject: {pdu: SCSI-Command, CDB: 'anything'}}", 44, "`anything` has no meaning on NOP-Out"),
    ],
)
def test_what_an_act_can_send(written: str, column: int, why: str) -> None:
    with pytest.raises(FileError, match=why) as caught:
        real(written, "NOP-Out")
    assert caught.value.column == column


def test_a_cdb_is_hexadecimal_in_quotes_too() -> None:
    (act,) = real("{inject: {pdu: SCSI-Command, CDB: '0x120000002400'}}")
    assert act.fields["CDB"] == Literal_(
        value=bytes.fromhex("120000002400"), kind=ValueKind.BYTES, where=act.fields["CDB"].where
    )


@pytest.mark.parametrize(
    ("written", "when", "why"),
    [
        ("{answer: {with: n}}", "SCSI-Command as n", "`answer` takes Target-PDU, not `n`, which is SCSI-Command"),
        ("{answer: {to: n}}", "SCSI-Response as n", "`answer` takes Initiator-PDU, not `n`, which is SCSI-Response"),
        ("{replay: n}", "connect as n", "`replay` takes Any-PDU, not `n`, which is no PDU"),
    ],
)
def test_what_a_name_stands_for_is_what_the_act_can_use(written: str, when: str, why: str) -> None:
    more = f"  - when: {when}\n"
    with pytest.raises(FileError, match=why) as caught:
        real(written, "NOP-Out", more)
    assert caught.value.line == 5
    real(written, "NOP-Out", more.replace(when, f"{when.replace(' as n', '')} or Any-PDU as n"))

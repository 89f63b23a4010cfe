from __future__ import annotations

import pytest

from iscsiproxy.errors import FileError
from iscsiproxy.language.captures import Captures, opcodes_of
from iscsiproxy.language.moments import parse_moment, parse_pattern
from iscsiproxy.language.spec import Position
from iscsiproxy.language.syntax import Word
from iscsiproxy.wire.opcodes import Opcode
from tests.language.samples import NO_PARAMETERS, scalar

__all__: list[str] = []

HERE = Position("f", 4, 2)


def captures(*moments: str) -> Captures:
    found = Captures()
    found.add_moments(parse_moment(scalar(text), NO_PARAMETERS) for text in moments)
    return found


def test_every_step_may_bind() -> None:
    found = captures("SCSI-Command as n then R2T of n as r then 5s", "close as c")
    assert list(found) == ["n", "r", "c"]
    known = found.find("c")
    assert known is not None
    assert known.events == {"close"}


def test_a_name_is_bound_to_all_that_may_bind_it() -> None:
    known = captures("SCSI-Command as n", "Data-Out or connect as n").find("n")
    assert known is not None
    assert known.opcodes == {Opcode.SCSI_COMMAND, Opcode.DATA_OUT}
    assert str(known) == "SCSI-Command or Data-Out or connect"


def test_pieces_have_numbers() -> None:
    found = Captures()
    found.add("p", HERE, opcodes=[int(Opcode.R2T)], pieces=True)
    found.add("n", HERE)
    assert found.find("p.1") is found.find("p")
    for name in ("p.0", "p.x", "n.1", "q.1"):
        assert found.find(name) is None


@pytest.mark.parametrize("name", ["R2T", "close", "CDB", "text", "conn", "key", "min", "none", "fresh", "profile"])
def test_a_name_that_is_taken(name: str) -> None:
    with pytest.raises(FileError, match="a capture needs another name"):
        Captures().add(name, HERE)


@pytest.mark.parametrize("name", ["A", "F", "BUSY", "Status"])
def test_fields_and_codes_may_be_names(name: str) -> None:
    Captures().add(name, HERE)


def test_a_name_collects_or_not() -> None:
    found = captures("SCSI-Command as each n")
    with pytest.raises(FileError) as caught:
        found.add("n", HERE)
    assert "can be only one of them" in caught.value.message
    assert caught.value.hint == "see line 1"
    assert (caught.value.line, caught.value.column) == (4, 2)


def test_an_unknown_name_has_a_hint() -> None:
    found = captures("SCSI-Command as write")
    assert found.need(Word("write", HERE)).name == "write"
    with pytest.raises(FileError) as caught:
        found.need(Word("wirte", HERE))
    assert caught.value.message == "nothing in the file binds the name `wirte`"
    assert caught.value.hint == "did you mean `write`?"


def test_the_opcodes_of_patterns() -> None:
    pattern = parse_pattern(scalar("R2T or close or Data-In"), NO_PARAMETERS)[1]
    assert opcodes_of([pattern]) == {Opcode.R2T, Opcode.DATA_IN}

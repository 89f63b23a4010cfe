from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.checks.scene.values import values_of
from iscsiproxy.wire.fields import BHS_LENGTH, FieldKind, fields_of
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []


@pytest.mark.parametrize("opcode", range(64))
@given(rest=st.binary(min_size=BHS_LENGTH - 1, max_size=BHS_LENGTH - 1), high=st.sampled_from([0, 0x40, 0x80, 0xC0]))
def test_every_field_is_read_as_the_offset_table_says(opcode: int, rest: bytes, high: int) -> None:
    bhs = bytes([opcode | high]) + rest
    pdu = Pdu(bhs)
    wanted = {name: pdu[name] for name, field in fields_of(opcode).items() if field.kind is not FieldKind.BYTES}
    assert values_of(bhs) == wanted

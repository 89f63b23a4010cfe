from __future__ import annotations

import pytest

from iscsiproxy.engine.actions.places import offset_of
from iscsiproxy.engine.work import ActError
from iscsiproxy.language.spec import Place
from tests.engine.dialogue import data_out

PDU = data_out(2, 0, bytes(10)).with_ahs(bytes(8)).sealed(header=True, data=True)


@pytest.mark.parametrize(
    ("part", "offset", "bytes_before"),
    [
        ("start", 0, 0),
        ("header", 0, 0),
        ("header", 20, 20),
        ("ahs", 0, 48),
        ("header-digest", 1, 57),
        ("data", 0, 60),
        ("data", 10, 70),
        ("pad", 0, 70),
        ("data-digest", 0, 72),
        ("end", 0, 76),
        ("data-digest", 4, 76),
    ],
)
def test_a_place_is_so_many_bytes_from_the_beginning(part: str, offset: int, bytes_before: int) -> None:
    assert offset_of(Place(part=part, offset=offset), PDU) == bytes_before  # type: ignore[arg-type]


def test_a_place_behind_the_end_is_refused() -> None:
    with pytest.raises(ActError, match="behind the end of this PDU of 76 bytes"):
        offset_of(Place(part="data", offset=17), PDU)

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, data_out

DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
@pytest.mark.parametrize(("to", "data"), [(5, b"abcde"), (10, b"abcdefgh\xff\xff"), (0, b""), (8, b"abcdefgh")])
def test_lengths_padding_and_digests_follow(keys: dict[str, str], to: int, data: bytes) -> None:
    talk = Dialogue(f"rules:\n  - when: Data-Out\n    do: {{resize: {{to: {to}, fill: 255}}}}", connect=False)
    talk.connect(keys=keys)
    pdu = data_out(2, 0, b"abcdefgh")
    on = bool(keys)
    (sent,) = talk.say(pdu)
    assert sent == pdu.with_data(data).sealed(header=on, data=on)
    assert talk.sent(End.TARGET)[-1].rules == ("x/#1",)


@pytest.mark.parametrize("act", ["{to: 16777216}", "{to: 4, fill: 256}", "{to: 4 - length}"])
def test_what_does_not_fit_leaves_the_pdu_alone(act: str) -> None:
    talk = Dialogue(f"rules:\n  - when: Data-Out\n    do:\n      - resize: {act}")
    pdu = data_out(2, 0, b"abcdefgh")
    assert talk.say(pdu) == [pdu]
    assert talk.counts() == {"matched": 1, "failed": 1}

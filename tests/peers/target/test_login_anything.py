"""Whatever comes is answered or refused."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.peers.keys import KEYS, METHOD_KEYS
from iscsiproxy.wire.text import encode_text
from tests.peers.target.desk import NAMES, login_request, status
from tests.peers.target.logins import GUARDED, PLAIN, begin, one

__all__: list[str] = []


ODD_KEYS = st.sampled_from([*sorted(KEYS), *sorted(METHOD_KEYS), "X-a", "Foo", "x"])
ODD_VALUES = st.one_of(
    st.sampled_from(["Yes", "No", "None", "CHAP", "CHAP,None", "CRC32C", "Normal", "Discovery", "Reject", "0x200"]),
    st.sampled_from(["NotUnderstood", "Irrelevant", "5", "7,5", "512", "16777215", "0x", "0b", "alice"]),
    st.text(max_size=10),
)
ODD_TEXT = st.one_of(
    st.binary(max_size=60),
    st.lists(st.tuples(ODD_KEYS, ODD_VALUES), max_size=4).map(encode_text),
)
STEP = st.tuples(ODD_TEXT, st.booleans(), st.booleans(), st.sampled_from([0, 1]), st.integers(0, 3))


@settings(max_examples=300)
@given(st.lists(STEP, max_size=6), st.booleans(), st.booleans())
def test_whatever_comes_is_answered_or_refused(
    steps: list[tuple[bytes, bool, bool, int, int]], named: bool, guarded: bool
) -> None:
    login = begin(GUARDED if guarded else PLAIN)
    if named:
        login.receive(login_request(NAMES, CSG=steps[0][3] if steps else 0, T=0))
    for text, transit, continues, csg, nsg in steps:
        over = login.failed or login.logged_in is not None
        responses = login.receive(login_request(text, T=transit, C=continues, CSG=csg, NSG=nsg))
        assert len(responses) == (not over)
        for found in responses:
            one((found,))
            assert (status(found) != 0) is login.failed
            assert (found["T"] == 1 and found["NSG"] == 3) is (login.logged_in is not None)
    assert not (guarded and login.logged_in is not None and not login.logged_in.identity.discovery)


@given(st.binary(max_size=200))
def test_any_text_at_all(text: bytes) -> None:
    one(begin().receive(login_request(text)))

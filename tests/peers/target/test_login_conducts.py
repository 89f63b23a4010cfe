"""Logins as targets hold them that deviate."""

from __future__ import annotations

import pytest

from iscsiproxy.peers.target.conduct import Conduct, Disconnect, with_quirks
from iscsiproxy.peers.target.quirks import W11, W16, W17, W19
from iscsiproxy.wire.text import encode_text
from tests.peers.target.desk import NAMES, TSIH, login_request, said
from tests.peers.target.logins import ask, begin, done, refused, say_in_parts

__all__: list[str] = []


def test_quirk_the_TSIH_comes_early() -> None:
    login = begin(conduct=with_quirks([W11]))
    assert ask(login, NAMES, T=0)["TSIH"] == TSIH
    assert ask(login)["TSIH"] == TSIH


def test_quirk_NotUnderstood_for_the_portal_group_tag() -> None:
    login = begin(conduct=with_quirks([W16]))
    ask(login, NAMES, T=0)
    ask(login, {"TargetPortalGroupTag": "NotUnderstood"})
    done(login)
    other = begin(conduct=with_quirks([W16]))
    ask(other, NAMES, T=0)
    assert refused(other, {"MaxBurstLength": "NotUnderstood"}) == 0x0200


def test_quirk_keys_are_negotiated_again() -> None:
    login = begin(conduct=with_quirks([W17]))
    ask(login, NAMES | {"MaxBurstLength": "262144", "DataDigest": "None"}, T=0)
    answers = said(ask(login, [("MaxBurstLength", "32524"), ("DataDigest", "None"), ("DataDigest", "CRC32C")]))
    assert answers == {"MaxBurstLength": "32524", "DataDigest": "CRC32C"}
    parameters = done(login).parameters
    assert (parameters.max_burst_length, parameters.data_digest) == (32524, True)


def test_quirk_an_unknown_key_in_parts_is_passed_over() -> None:
    text = encode_text((NAMES | {"X-com.example.proxy": "1"}).items())
    for parts, expected in (([text[:-8], text[-8:]], False), ([text], True)):
        login = begin(conduct=with_quirks([W19]))
        assert ("X-com.example.proxy" in said(say_in_parts(login, parts))) is expected


def test_quirk_a_text_in_parts_does_not_tell_on_the_next() -> None:
    login = begin(conduct=with_quirks([W19]))
    text = encode_text(NAMES.items())
    ask(login, text[:5], C=1, T=0)
    ask(login, text[5:], T=0)
    assert said(ask(login, {"X-com.example.proxy": "1"})) == {"X-com.example.proxy": "NotUnderstood"}


def test_a_conduct_may_close_the_connection() -> None:
    class Rude(Conduct):
        def answers_unknown_key(self, key: str, *, continued: bool) -> bool:
            raise Disconnect

    with pytest.raises(Disconnect):
        begin(conduct=Rude()).receive(login_request(NAMES | {"X-k": "1"}))

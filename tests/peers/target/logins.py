"""The initiator's side of a login, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from iscsiproxy.peers.chap import Account, Challenge, parse_challenge
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.settings import LoggedIn, TargetSettings
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.desk import NAMES, Desk, login_request, said, status

__all__ = [
    "ALICE",
    "BOB",
    "GUARDED",
    "ITT",
    "OFFERS",
    "PLAIN",
    "TARGET_ACCOUNT",
    "ask",
    "begin",
    "challenged",
    "done",
    "one",
    "refused",
    "say_in_parts",
]

#: Of every Login Request made here
ITT = 0x11
PLAIN = TargetSettings(alias="")
ALICE, BOB = Account(name="alice", secret=b"alice has a secret"), Account(name="bob", secret=b"bob has another one")
TARGET_ACCOUNT = Account(name="disk", secret=b"and so has the disk")
GUARDED = replace(PLAIN, accounts=(BOB, ALICE), mutual=TARGET_ACCOUNT)
#: What an initiator offers that offers everything
OFFERS = {
    "HeaderDigest": "CRC32C,None",
    "DataDigest": "None,CRC32C",
    "MaxConnections": "4",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "65536",
    "MaxBurstLength": "0x80000",
    "FirstBurstLength": "131072",
    "DefaultTime2Wait": "0",
    "DefaultTime2Retain": "60",
    "MaxOutstandingR2T": "4",
    "DataPDUInOrder": "No",
    "DataSequenceInOrder": "No",
    "ErrorRecoveryLevel": "2",
    "TaskReporting": "RFC3720,ResponseFence,FastAbort",
    "iSCSIProtocolLevel": "2",
}


def begin(settings: TargetSettings = PLAIN, conduct: Conduct | None = None, refuse: int | None = None) -> Login:
    """Make a login whose challenges are all 5a."""
    desk = Desk(settings, conduct or Conduct(), turned_away=refuse)
    return Login(desk, random_bytes=lambda count: bytes([0x5A]) * count)


def one(responses: tuple[Pdu, ...]) -> Pdu:
    """Take the only response, and hold it against what every response has to be (RFC 7143 11.13)."""
    (found,) = responses
    assert found.opcode == Opcode.LOGIN_RESPONSE
    assert (found["Version-max"], found["Version-active"]) == (0, 0)
    assert len(found.data) <= 8192
    assert not (found["T"] and found["C"])
    assert found["NSG"] == 0 or found["T"]
    return found


def ask(login: Login, text: dict[str, str] | Iterable[tuple[str, str]] | bytes = b"", **values: int) -> Pdu:
    """Say one request and take the response, which has to be its own and no refusal."""
    request = login_request(text, **values)
    found = one(login.receive(request))
    assert (status(found), login.failed, login.reason) == (0, False, "")
    assert [found[name] for name in ("ITT", "ISID", "CSG")] == [request[name] for name in ("ITT", "ISID", "CSG")]
    return found


def refused(login: Login, text: dict[str, str] | Iterable[tuple[str, str]] | bytes = b"", **values: int) -> int:
    """Say a request that ends the login, and give the status."""
    found = one(login.receive(login_request(text, **values)))
    assert status(found) != 0
    assert (found["T"], found["C"], found["CSG"], found["NSG"], found.data) == (0, 0, 0, 0, b"")
    assert login.failed
    assert login.reason
    assert login.logged_in is None
    assert login.receive(login_request(NAMES)) == ()
    return status(found)


def done(login: Login) -> LoggedIn:
    """See that the login is over, and give what came of it."""
    assert login.logged_in is not None
    assert login.receive(login_request(NAMES)) == ()
    return login.logged_in


def say_in_parts(login: Login, parts: list[bytes]) -> Pdu:
    """Say a text with the C bit in all parts but the last, which has T."""
    for part in parts[:-1]:
        empty = ask(login, part, C=1, T=0)
        assert (empty["T"], empty["C"], empty.data) == (0, 0, b"")
    return ask(login, parts[-1])


def challenged(login: Login, names: dict[str, str] = NAMES, algorithms: str = "7,6,5") -> Challenge:
    """Go as far as the target's challenge."""
    found = ask(login, names | {"AuthMethod": "CHAP,None"}, CSG=0, T=0)
    assert said(found)["AuthMethod"] == "CHAP"
    answers = said(ask(login, {"CHAP_A": algorithms}, CSG=0, T=0))
    assert sorted(answers) == ["CHAP_A", "CHAP_C", "CHAP_I"]
    return parse_challenge(int(answers["CHAP_A"]), answers["CHAP_I"], answers["CHAP_C"])

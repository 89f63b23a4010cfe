from __future__ import annotations

import pytest

from iscsiproxy.proxy.address import Address
from iscsiproxy.proxy.portals import Portals, TextAddresses
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

HERE = Address("127.0.0.1", 4000)
TARGET = Address("10.0.0.1", 3260)
SECOND = Address("10.0.0.2", 3260)
MAPPED = Address("127.0.0.1", 4001)


class Opener:
    def __init__(self, *, refuse: bool = False) -> None:
        self.asked: list[tuple[str, Address]] = []
        self.refuse = refuse

    def __call__(self, host: str, target: Address) -> Address | None:
        self.asked.append((host, target))
        return None if self.refuse else Address(host, 5000 + len(self.asked))


def addresses(opener: Opener | None = None, here: Address = HERE) -> TextAddresses:
    portals = Portals({HERE: TARGET, MAPPED: SECOND}, opener or Opener())
    return TextAddresses(portals, here, TARGET)


def answer(data: bytes, *, final: bool = True, more: bool = False) -> Pdu:
    return Pdu.build(Opcode.TEXT_RESPONSE, data=data, F=int(final), C=int(more))


@pytest.mark.parametrize(
    ("announced", "given"),
    [
        (b"10.0.0.1:3260,1", b"127.0.0.1:4000,1"),  # the target itself
        (b"10.0.0.1,1", b"127.0.0.1:4000,1"),  # its port left out
        (b"0.0.0.0:3260,7", b"127.0.0.1:4000,7"),  # a wildcard means the target
        (b"[::]:3260,7", b"127.0.0.1:4000,7"),
        (b"10.0.0.2:3260,2", b"127.0.0.1:4001,2"),  # a portal that is mapped
        (b"[2001:db8::1]:860,3", b"127.0.0.1:5001,3"),  # a foreign portal gets a listener
        (b"!!", b"!!:3260,1"),
    ],
)
def test_each_portal_leads_through_the_proxy(announced: bytes, given: bytes) -> None:
    if announced == b"!!":
        announced, given = b"a:b:c,1", b"a:b:c,1"  # nobody can follow it: left as it came
    pdu, changes = addresses().rewrite(answer(b"TargetName=t\0TargetAddress=" + announced + b"\0"), limit=8192)
    assert pdu.data == b"TargetName=t\0TargetAddress=" + given + b"\0"
    assert pdu["DataSegmentLength"] == len(pdu.data)
    assert len(changes) == (announced != given)


def test_a_redirect_has_no_tag() -> None:
    opener = Opener()
    pdu = Pdu.build(Opcode.LOGIN_RESPONSE, data=b"TargetAddress=10.9.9.9:3260\0").with_fields({"Status-Class": 1})
    changed, _ = addresses(opener).rewrite(pdu, limit=8192)
    assert changed.data == b"TargetAddress=127.0.0.1:5001\0"
    assert opener.asked == [("127.0.0.1", Address("10.9.9.9", 3260))]


def test_ipv6_keeps_its_brackets() -> None:
    pdu, _ = addresses(here=Address("::1", 4000)).rewrite(answer(b"TargetAddress=10.0.0.1:3260,1\0"), limit=8192)
    assert pdu.data == b"TargetAddress=[::1]:4000,1\0"


def test_doubles_that_the_rewriting_makes_are_left_out() -> None:
    data = b"TargetName=t\0TargetAddress=10.0.0.1:3260,1\0TargetAddress=0.0.0.0:3260,1\0"
    pdu, _ = addresses().rewrite(answer(data), limit=8192)
    assert pdu.data == b"TargetName=t\0TargetAddress=127.0.0.1:4000,1\0"


def test_no_listener_to_be_had_leads_here() -> None:
    pdu, _ = addresses(Opener(refuse=True)).rewrite(answer(b"TargetAddress=10.9.9.9:1,1\0"), limit=8192)
    assert pdu.data == b"TargetAddress=127.0.0.1:4000,1\0"


def test_a_pair_that_straddles_pdus() -> None:
    rewriter = addresses()
    first, _ = rewriter.rewrite(answer(b"TargetName=t\0TargetAddr", final=False, more=True), limit=8192)
    second, _ = rewriter.rewrite(answer(b"ess=10.0.0.1:3260,1\0"), limit=8192)
    assert first.data == b"TargetName=t\0"
    assert second.data == b"TargetAddress=127.0.0.1:4000,1\0"


def test_a_text_that_would_be_too_long_loses_its_addresses() -> None:
    data = b"TargetName=t\0TargetAddress=10.0.0.1,1\0"
    pdu, _ = addresses().rewrite(answer(data), limit=len(data))
    assert pdu.data == b"TargetName=t\0"


def test_other_text_stays_as_it_came() -> None:
    pdu = answer(b"MaxRecvDataSegmentLength=8192\0")
    assert addresses().rewrite(pdu, limit=8192) == (pdu, ())


def test_digests_are_right_afterwards_and_wrong_ones_stay() -> None:
    right = answer(b"TargetAddress=10.0.0.1:3260,1\0").sealed(header=True, data=True)
    changed, _ = addresses().rewrite(right, limit=8192)
    assert changed.header_digest_ok() is True
    assert changed.data_digest_ok() is True
    wrong = right.with_parts(data_digest=b"\0\0\0\0")
    assert addresses().rewrite(wrong, limit=8192) == (wrong, ())

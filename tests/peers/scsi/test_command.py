from __future__ import annotations

from iscsiproxy.peers.scsi.command import Attribute, CheckCondition, Command, Nexus, Result, Status
from iscsiproxy.wire.sense import SenseCode

__all__: list[str] = []


def test_a_nexus_is_its_ports() -> None:
    nexus = Nexus("iqn.2024-01.example:host", 0x23D000001)
    assert nexus == Nexus("iqn.2024-01.example:host", 0x23D000001, 1)
    assert nexus != Nexus("iqn.2024-01.example:host", 0x23D000001, 2)
    assert str(nexus) == "iqn.2024-01.example:host,i,0x00023d000001"


def test_commands_are_told_apart_though_they_look_alike() -> None:
    def command() -> Command:
        return Command(
            nexus=Nexus("iqn.2024-01.example:host", 1),
            lun=0,
            cdb=bytes(16),
            attribute=Attribute.SIMPLE,
            tag=1,
            on_enabled=lambda: None,
            on_cleared=lambda _: None,
        )

    first = command()
    assert first != command()
    assert len({first, command(), first}) == 2


def test_a_result_is_GOOD_unless_it_says_otherwise() -> None:
    result = Result()
    assert (result.status, result.data, result.sense, result.wanted) == (Status.GOOD, b"", b"", 0)


def test_a_check_condition_has_its_code() -> None:
    failure = CheckCondition(0xE, 0x1D, information=7)
    assert failure.code == SenseCode(0xE, 0x1D, 0)
    assert (str(failure), failure.information) == ("E/1D/00", 7)
    assert CheckCondition(5, 0x24).information is None

"""REPORT SUPPORTED OPERATION CODES, compared with the registry it reports."""

from __future__ import annotations

from iscsiproxy.peers.scsi.opcodes import cdb_length, cdb_usage
from iscsiproxy.wire.cdb import decode_cdb
from tests.peers.scsi.bench import COMMANDS, Bench

__all__: list[str] = []

RCTD = 0x80
TIMEOUTS = bytes([0, 10]) + bytes(10)


def report(option: int = 0, opcode: int = 0, action: int = 0, room: int = 0xFFFF) -> bytes:
    return bytes([0xA3, 0x0C, option, opcode]) + action.to_bytes(2, "big") + room.to_bytes(4, "big") + bytes(6)


def listed(data: bytes, size: int) -> list[tuple[int, int | None, int, int]]:
    """Take a list of all commands apart: operation code, service action, CDB length, CTDP."""
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    found = []
    for at in range(4, len(data), size):
        one = data[at : at + size]
        action = int.from_bytes(one[2:4], "big")
        assert one[5] & 1 or not action
        found.append((one[0], action if one[5] & 1 else None, int.from_bytes(one[6:8], "big"), one[5] & 2))
        assert one[8:] == (TIMEOUTS if size == 20 else b"")
    return found


def test_all_commands_are_listed() -> None:
    plain = listed(Bench().run(report()), 8)
    assert {(opcode, action) for opcode, action, _, _ in plain} == set(COMMANDS)
    assert len(plain) == len(COMMANDS)
    assert plain == sorted(plain, key=lambda one: (one[0], one[1] or 0))
    assert {flag for *_, flag in plain} == {0}
    timed = listed(Bench().run(report(RCTD)), 20)
    assert [(*one[:3], 2) for one in plain] == timed


def test_the_list_is_cut_to_the_allocation_length() -> None:
    whole = Bench().run(report())
    assert [Bench().run(report(room=room)) for room in (0, 4, 100)] == [whole[:0], whole[:4], whole[:100]]


def test_one_command_by_operation_code() -> None:
    bench = Bench()
    assert bench.run(report(1, 0x28)) == bytes.fromhex("00 03 000a 28 f8 ffffffff 00 ffff 04")
    assert bench.run(report(1 | RCTD, 0x28)) == bytes.fromhex("00 83 000a 28 f8 ffffffff 00 ffff 04") + TIMEOUTS
    assert bench.refusal(report(2, 0x28)) == "5/24/00"
    assert bench.refusal(report(1, 0x9E)) == "5/24/00"
    assert bench.run(report(1, 0x28, room=5)) == bytes.fromhex("00 03 000a 28")


def test_one_command_by_service_action() -> None:
    bench = Bench()
    usage = "9e 10 ffffffffffffffff ffffffff 00 04"
    assert bench.run(report(2, 0x9E, 0x10)) == bytes.fromhex(f"00 03 0010 {usage}")
    assert bench.run(report(2, 0x9E, 0x1F)) == bytes.fromhex("00 01 0000")


def test_one_command_either_way() -> None:
    bench = Bench()
    assert bench.run(report(3, 0x28)) == bench.run(report(1, 0x28))
    assert bench.run(report(3, 0x9E, 0x12)) == bench.run(report(2, 0x9E, 0x12))
    assert bench.run(report(3, 0x28, 1))[1] == 1
    assert bench.run(report(3, 0x9E, 1))[1] == 1


def test_a_command_that_is_not_there() -> None:
    for option in (1, 2, 3):
        assert Bench().run(report(option, 0x04)) == bytes.fromhex("00 01 0000")


def test_reserved_options_are_refused() -> None:
    for option in (4, 5, 6, 7):
        assert Bench().refusal(report(option, 0x28)) == "5/24/00"


def test_every_command_has_usage_data_as_long_as_its_cdb() -> None:
    for opcode, action in COMMANDS:
        usage = cdb_usage(opcode, action)
        assert (usage[0], len(usage)) == (opcode, cdb_length(opcode))
        assert usage[-1] == 0x04
        if action is not None:
            assert usage[1] & 0x1F == action


def test_usage_data_covers_where_a_command_goes() -> None:
    for opcode, action in COMMANDS:
        usage = cdb_usage(opcode, action)
        known = decode_cdb(usage.ljust(16, b"\0"))
        if COMMANDS[opcode, action].footprint and opcode != 0x42:
            assert known.LBA is not None
            assert known.LBA in {(1 << 21) - 1, (1 << 32) - 1, (1 << 64) - 1}, known.name
        if known.blocks is not None:
            assert known.blocks in {(1 << 8) - 1, (1 << 16) - 1, (1 << 32) - 1}, known.name


def test_usage_data_of_an_unknown_command_is_everything() -> None:
    assert cdb_usage(0x3C, None) == bytes.fromhex("3c ffffffffffffffff 04")
    assert cdb_length(0x7F) == 16

"""What CDBs do to a disk."""

from __future__ import annotations

import pytest

from iscsiproxy.checks.disk.commands import END, Action, Effect, effect_of
from iscsiproxy.checks.disk.counts import Reason


def cdb(text: str) -> bytes:
    return bytes.fromhex(text)


def effect(text: str, edtl: int, block_size: int | None = 512, *, data: bytes = b"", sends: bool = False) -> Effect:
    found = effect_of(cdb(text), edtl, block_size, data=data, sends=sends)
    assert found is not None
    return found


#: CDB, EDTL with 4096-byte blocks -> action, range in sectors, length
PLAIN = [
    ("08 000010 02 00", 8192, Action.READ, (128, 144), 8192),
    ("28 00 00000010 00 0002 00", 8192, Action.READ, (128, 144), 8192),
    ("a8 00 00000010 00000002 00 00", 8192, Action.READ, (128, 144), 8192),
    ("88 00 0000000000000010 00000002 00 00", 8192, Action.READ, (128, 144), 8192),
    (
        "7f 00 00000000 0018 0009 00 00 0000000000000010 00000000 0000 0000 00000002",
        8192,
        Action.READ,
        (128, 144),
        8192,
    ),
    ("0a 000010 00 00", 1 << 20, Action.WRITE, (128, 2176), 1 << 20),
    ("2a 00 00000010 00 0002 00", 8192, Action.WRITE, (128, 144), 8192),
    ("2a 08 00000010 00 0002 00", 4096, Action.WRITE, (128, 144), 4096),
    ("2a 00 00000010 00 0002 00", 9999, Action.WRITE, (128, 144), 8192),
    ("aa 00 00000010 00000002 00 00", 8192, Action.WRITE, (128, 144), 8192),
    ("8a 00 0000000000000010 00000002 00 00", 8192, Action.WRITE, (128, 144), 8192),
    (
        "7f 00 00000000 0018 000b 00 00 0000000000000010 00000000 0000 0000 00000002",
        8192,
        Action.WRITE,
        (128, 144),
        8192,
    ),
    ("2e 02 00000010 00 0002 00", 8192, Action.WRITE, (128, 144), 8192),
    ("9c 00 0000000000000010 0000 0002 00 00", 8192, Action.WRITE, (128, 144), 8192),
    ("8f 02 0000000000000010 00000002 00 00", 8192, Action.COMPARE, (128, 144), 8192),
    ("89 00 0000000000000010 000000 02 00 00", 16384, Action.COMPARE_AND_WRITE, (128, 144), 16384),
]


@pytest.mark.parametrize(("text", "edtl", "action", "place", "length"), PLAIN)
def test_plain_commands(text: str, edtl: int, action: Action, place: tuple[int, int], length: int) -> None:
    found = effect(text, edtl, 4096)
    assert (found.action, found.ranges, found.length, found.EDTL, found.period) == (action, (place,), length, edtl, 0)
    assert found.write_at == (16 if action is Action.COMPARE_AND_WRITE else 0)


@pytest.mark.parametrize(
    "text",
    [
        "00 00 00 00 00 00",  # TEST UNIT READY
        "28 00 00000010 00 0000 00",  # READ(10) of nothing
        "2a 00 00000010 00 0000 00",
        "89 00 0000000000000010 000000 00 00 00",
        "8f 00 0000000000000010 00000002 00 00",  # VERIFY that looks at the medium only
        "8f 04 0000000000000010 00000002 00 00",  # VERIFY with a reserved BYTCHK
        "8f 02 0000000000000010 00000000 00 00",
        "8b 00 0000000000000010 00000000 00 00",
        "35 00 00000000 00 0000 00",  # SYNCHRONIZE CACHE(10)
        "9e 12 0000000000000000 00000020 00 00",  # GET LBA STATUS(16)
        "42 00 00000000 00 0000 00",  # UNMAP of nothing
        "83 10 0000000000000000 00000000 00 00",  # POPULATE TOKEN
        "85 08 0e 00 0000 0000 0000 0000 00 00 ec 00",  # ATA PASS-THROUGH(16), from the device
        "85 06 20 00 0000 0000 0000 0000 00 00 e5 00",  # without data
        "c1 00 00 00 00 00",  # nobody's
        "28 00 0000",  # cut short
        "",
    ],
)
def test_commands_that_do_nothing_to_a_disk(text: str) -> None:
    assert effect_of(cdb(text), 512, 512) is None


@pytest.mark.parametrize(
    "text",
    [
        "04 00 00 00 00 00",
        "07 00 00 00 00 00",
        "48 01 000000000000 0000 00",
        "83 11 0000000000000000 00000100 00 00",
        "94 04 0000000000000000 00000000 00 00",
        "9f 12 00000000 00000000 00000000 00 00",
        "b5 00 0000 00 00 00000100 00 00",
        "85 0c 06 00 0000 0000 0000 0000 00 00 06 00",  # ATA PASS-THROUGH(16), to the device
        "c1 00 00 00 00 00",
    ],
)
def test_commands_that_may_write_anywhere(text: str) -> None:
    found = effect(text, 512, sends=True)
    assert (found.action, found.ranges, found.elsewhere) == (Action.RELEASE, ((0, END),), False)


def test_a_copy_may_write_to_other_units() -> None:
    assert effect("83 01 0000000000000000 00000100 00 00", 256).elsewhere


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("8b 00 0000000000000010 00000002 00 00", 2),
        ("53 00 00000010 00 0002 00", 2),
        ("3f 00 00000010 00 0200 00", 1),
    ],
)
def test_commands_that_leave_what_the_wire_does_not_tell(text: str, blocks: int) -> None:
    found = effect(text, 1024)
    assert (found.action, found.ranges, found.length) == (Action.SCRAMBLE, ((16, 16 + blocks),), 0)


def test_write_same() -> None:
    found = effect("93 00 0000000000000010 00000003 00 00", 4096, 4096)
    assert (found.action, found.ranges, found.length, found.period, found.zeros) == (
        Action.SAME,
        ((128, 152),),
        4096,
        8,
        False,
    )
    found = effect("93 01 0000000000000010 00000003 00 00", 0, 4096)
    assert (found.action, found.length, found.period, found.zeros) == (Action.SAME, 0, 8, True)
    long = effect("7f 00 00000000 0018 000d 01 00 0000000000000010 00000000 0000 0000 00000003", 0)
    assert (long.ranges, long.zeros) == (((16, 19),), True), "a long CDB has its flags in byte 10"


@pytest.mark.parametrize(
    ("text", "action", "place"),
    [
        ("93 08 0000000000000010 00000003 00 00", Action.RELEASE, (16, 19)),
        ("41 08 00000010 00 0003 00", Action.RELEASE, (16, 19)),
        ("41 04 00000010 00 0003 00", Action.SCRAMBLE, (16, 19)),
        ("41 01 00000010 00 0003 00", Action.SAME, (16, 19)),
        ("93 00 0000000000000010 00000000 00 00", Action.SCRAMBLE, (16, END)),
        ("93 20 0000000000000010 00000003 00 00", Action.SCRAMBLE, (16, 19)),
        ("93 00 0000000000000010 10000000 00 00", Action.SCRAMBLE, (16, 16 + (1 << 28))),
    ],
)
def test_write_same_of_other_kinds(text: str, action: Action, place: tuple[int, int]) -> None:
    found = effect(text, 512)
    assert (found.action, found.ranges) == (action, (place,))


def test_verify_of_one_block_with_each() -> None:
    found = effect("8f 06 0000000000000010 00000003 00 00", 512)
    assert (found.action, found.ranges, found.length, found.period) == (Action.COMPARE, ((16, 19),), 512, 1)
    assert effect("8f 06 0000000000000010 00000003 00 00", 512, None).unplaced is Reason.SIZE


UNMAP = "42 00 00000000 00 0028 00"
PARAMETERS = "0026 0020 00000000 0000000000000010 00000002 00000000 0000000000000100 00000001 00000000"


def test_unmap_is_where_its_parameters_say() -> None:
    data = cdb(PARAMETERS)
    assert effect(UNMAP, 40, 512, data=data).ranges == ((16, 18), (256, 257))
    assert effect(UNMAP, 40, 4096, data=data).ranges == ((128, 144), (2048, 2056))
    assert effect(UNMAP, 40, 512, data=data[:39]).ranges == ((0, END),), "not all of it is known"
    assert effect(UNMAP, 40, 512).ranges == ((0, END),)
    assert effect(UNMAP, 40, None, data=data).ranges == ((0, END),)
    assert effect(UNMAP, 24, 512, data=data[:24]).ranges == ((16, 18),), "EDTL cuts it"
    assert effect(UNMAP, 40, 512, data=cdb("0016 0000 00000000")).ranges == ()


def test_a_block_size_is_implied_where_disks_have_it() -> None:
    read = "28 00 00000010 00 0002 00"
    assert effect(read, 1024, None).ranges == ((16, 18),)
    found = effect(read, 8192, None)
    assert (found.block_size, found.implied, found.ranges) == (4096, 4096, ((128, 144),))
    found = effect(read, 1040, None)
    assert (found.implied, found.unplaced, found.ranges, found.length) == (0, Reason.SIZE, (), 1040)
    assert effect(read, 1040, 520).unplaced is Reason.SIZE
    assert effect("89 00 0000000000000010 000000 01 00 00", 1024, None).implied == 512


def test_writes_whose_place_is_not_known_leave_all_in_doubt() -> None:
    found = effect("2a 00 00000010 00 0002 00", 1040, None)
    assert (found.action, found.ranges) == (Action.SCRAMBLE, ((0, END),))
    assert effect("8b 00 0000000000000010 00000002 00 00", 1024, None).ranges == ((0, END),)


def test_protection_information_hides_the_blocks() -> None:
    assert effect("28 20 00000010 00 0002 00", 1040).unplaced is Reason.PROTECTION
    found = effect("2a 20 00000010 00 0002 00", 1040)
    assert (found.action, found.ranges) == (Action.SCRAMBLE, ((16, 18),))
    long = "7f 00 00000000 0018 0009 20 00 0000000000000010 00000000 0000 0000 00000002"
    assert effect(long, 1040).unplaced is Reason.PROTECTION


def test_what_is_very_large_is_not_followed() -> None:
    assert effect("88 00 0000000000000000 00020001 00 00", 0x20001 * 512).unplaced is Reason.LARGE
    assert effect("88 00 0000000000000000 00020000 00 00", 0x20000 * 512).unplaced is None
    assert effect("8a 00 0000000000000000 00020001 00 00", 0x20001 * 512).action is Action.SCRAMBLE


def test_what_an_effect_is_called() -> None:
    assert str(effect("28 00 00000010 00 0002 00", 1024)) == "READ(10) of LBA 16-17"
    assert str(effect("28 00 00000010 00 0001 00", 512)) == "READ(10) of LBA 16"
    assert str(effect("04 00 00 00 00 00", 0)) == "FORMAT UNIT"


def test_what_is_done_nobody_knows_where() -> None:
    assert effect("28 00 00000010 00 0002 00", 1024).anywhere().unplaced is Reason.SIZE
    write = effect("2a 00 00000010 00 0002 00", 1024).anywhere()
    assert (write.action, write.ranges) == (Action.SCRAMBLE, ((0, END),))
    assert effect(UNMAP, 40).anywhere().action is Action.RELEASE

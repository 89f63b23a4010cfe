"""Pages of hashes: any range, many disks, a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.checks.disk.pages import PAGE, Pages, known


def hashes(number: int, sectors: int) -> bytes:
    return b"".join((number << 32 | at + 1).to_bytes(8, "big") for at in range(sectors))


_RANGE = st.tuples(st.integers(0, 3 * PAGE + 5), st.integers(1, 2 * PAGE + 5))


@given(st.lists(st.tuples(st.sampled_from(["write", "clear", "read"]), st.integers(0, 1), _RANGE), max_size=12))
def test_pages_are_one_long_list_a_disk(steps: list[tuple[str, int, tuple[int, int]]]) -> None:
    pages = Pages()
    assert [pages.enlist(), pages.enlist()] == [0, 1]
    flat = [[bytes(8)] * (6 * PAGE) for _ in range(2)]
    for number, (what, disk, (first, count)) in enumerate(steps):
        end = first + count
        if what == "write":
            new = hashes(number, count)
            pages.write(disk, first, new)
            flat[disk][first:end] = [new[at : at + 8] for at in range(0, len(new), 8)]
        elif what == "clear":
            assert pages.clear(disk, first, end) == sum(any(one) for one in flat[disk][first:end])
            flat[disk][first:end] = [bytes(8)] * count
        assert pages.read(disk, first, end) == b"".join(flat[disk][first:end])
    assert pages.forgotten == 0


def test_a_range_without_end_is_cleared_at_once() -> None:
    pages = Pages()
    one, other = pages.enlist(), pages.enlist()
    for disk in (one, other):
        pages.write(disk, 5, hashes(1, 3 * PAGE))
    assert pages.clear(one, PAGE, 1 << 80) == 2 * PAGE + 5
    assert pages.read(one, 5, PAGE) == hashes(1, PAGE - 5)
    assert known(pages.read(one, PAGE, 5 * PAGE)) == 0
    assert known(pages.read(other, 0, 5 * PAGE)) == 3 * PAGE


def test_the_pages_used_least_recently_are_forgotten() -> None:
    pages = Pages(2)
    disk = pages.enlist()
    pages.write(disk, 0, hashes(1, 3))
    pages.write(disk, PAGE, hashes(2, 4))
    pages.read(disk, 0, 1)
    pages.write(disk, 2 * PAGE, hashes(3, 5))
    assert (pages.forgotten, len(pages)) == (4, 2)
    assert known(pages.read(disk, 0, 3 * PAGE)) == 8
    assert repr(pages) == "<Pages: 2 of 2, 1 disks>"


def test_what_is_not_known_takes_no_page() -> None:
    pages = Pages()
    disk = pages.enlist()
    pages.write(disk, 0, bytes(8 * PAGE))
    assert len(pages) == 0

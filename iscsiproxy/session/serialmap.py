"""Two counts of the same things that differ by what one of them does not know.

A source numbers what it sends, and a destination knows the same things by other numbers, because somewhere between them
things were *inserted*, which have a number only at the destination, or *removed*, which have one only at the source.
A `SerialMap` remembers each such place as long as it can matter. A number older than a place keeps the shift it had
then, and so a thing that is sent again has the number it had the first time.

Acknowledgements come the other way round. They are cumulative: what was removed is acknowledged together with what was
before it, what was inserted does not acknowledge anything. Beyond what is known the map is a straight line, for real
peers acknowledge what they have not been sent yet.

Numbers go round at 2^32 (RFC 1982).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from iscsiproxy.wire.serial import distance, ge, gt, lt

__all__ = ["KEPT", "Acknowledged", "Numbering", "SerialMap"]

#: How many places are remembered. A number from before the oldest one is translated as if it came right behind that.
KEPT = 1024
#: Places this far back are forgotten, long before serial numbers would take them for places ahead.
_FAR = 1 << 30
#: How many numbers that were left out are remembered at once.
_MAX_HOLES = 1024
_TOP = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the counts part: `source` and `destination` are the next numbers of both sides just before."""

    source: int
    destination: int
    inserted: bool


class SerialMap:
    """Translates between the numbers of a source and those of a destination."""

    __slots__ = ("_places", "_shift")

    def __init__(self) -> None:
        self._places: deque[_Place] = deque()
        self._shift = 0  # of the newest numbers

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shift:+d}, {len(self._places)} places>"

    @property
    def identity(self) -> bool:
        """Every number is the same on both sides."""
        return not self._places and not self._shift

    def insert(self, source: int) -> int:
        """Give what exists only at the destination a number there, right before the source's number `source`.

        Raises ValueError if the counts have parted again behind that.
        """
        self._must_be_last(source)
        destination = (source + self._shift) & _TOP
        self._add(_Place(source, destination, inserted=True), 1)
        return destination

    def remove(self, source: int) -> None:
        """Take a source's number out of the destination's count.

        Raises ValueError if the counts have parted behind it.
        """
        self._must_be_last(source)
        self._add(_Place(source, (source + self._shift) & _TOP, inserted=False), -1)

    def removed(self, source: int) -> bool:
        """Tell whether a source's number was taken out."""
        return any(place.source == source and not place.inserted for place in reversed(self._places))

    def forward(self, source: int, *, coming: bool = False) -> int:
        """Give the destination's number for the source's.

        One that was removed has none: it gets that of what was before it, or, if `coming` (it is only told as the next
        one to come), that of what comes behind it.
        """
        shift = self._shift
        for place in reversed(self._places):
            if source == place.source and not place.inserted:
                return self.forward((source + 1) & _TOP, coming=True) if coming else (place.destination - 1) & _TOP
            if ge(source, place.source):
                break
            shift += -1 if place.inserted else 1
        return (source + shift) & _TOP

    def back(self, destination: int) -> int:
        """Give the source's number for the destination's; for an inserted one that of what is before it."""
        shift = self._shift
        for place in reversed(self._places):
            if place.inserted and destination == place.destination:
                return (place.source - 1) & _TOP
            if ge(destination, place.destination):
                break
            shift += -1 if place.inserted else 1
        return (destination - shift) & _TOP

    def back_expected(self, destination: int) -> int:
        """Translate a cumulative acknowledgement, the next number that the destination expects, for the source.

        Everything removed right behind what is acknowledged is acknowledged too.
        """
        shift = self._shift
        for place in reversed(self._places):
            if gt(destination, place.destination) or (destination == place.destination and not place.inserted):
                break
            shift += -1 if place.inserted else 1
        return (destination - shift) & _TOP

    def back_max(self, destination: int) -> int:
        """Translate the last number that the destination takes for the source."""
        return (self.back_expected((destination + 1) & _TOP) - 1) & _TOP

    def age(self, source: int) -> None:
        """Forget the places that are far behind this number of the source."""
        while self._places and distance(self._places[0].source, source) > _FAR:
            self._places.popleft()

    def _must_be_last(self, source: int) -> None:
        if self._places:
            last = self._places[-1]
            if lt(source, last.source) or (source == last.source and not last.inserted):
                raise ValueError(f"the counts have parted at {last.source:#x}, which is not before {source:#x}")

    def _add(self, place: _Place, step: int) -> None:
        self._places.append(place)
        self._shift += step
        if len(self._places) > KEPT:
            self._places.popleft()


class Numbering(SerialMap):
    """A map whose source has used its numbers one by one; `next` is the one it uses next, None if that is not known."""

    __slots__ = ("_holes", "next")

    def __init__(self) -> None:
        super().__init__()
        self.next: int | None = None
        self._holes: set[int] = set()  # left out so far: they come late, or never

    @property
    def coming(self) -> int | None:
        """The destination's number for what comes next."""
        return None if self.next is None else self.forward(self.next)

    def fresh(self, source: int) -> bool:
        """Tell whether the source has not used a number before."""
        return self.next is None or not lt(source, self.next) or source in self._holes

    def use(self, source: int) -> None:
        """Note that the source has used a number."""
        following = self.next
        if source == following or following is None:
            self.next = (source + 1) & _TOP
            if self._places:
                self.age(source)
        elif lt(following, source):
            self._leave_out(following, source)
            self.next = (source + 1) & _TOP
        else:
            self._holes.discard(source)

    def hint(self, source: int) -> None:
        """Note that the source tells its next number. Where it is known, what was used counts, not what is told."""
        if self.next is None:
            self.next = source

    def forget(self) -> None:
        """Take the next number as unknown: numbers were used unseen."""
        self.next = None
        self._holes.clear()

    def borrow(self) -> int:
        """Give a number that only the destination knows of, before the source's next.

        Raises ValueError if that is not known.
        """
        if self.next is None:
            raise ValueError("the next number is not known")
        return self.insert(self.next)

    def hide(self, source: int) -> None:
        """Take out a number that the source has used and the destination does not get.

        One that was used or taken out before changes nothing. Raises ValueError if a later one has gone already.
        """
        if self.next is not None and lt(source, self.next):
            if source in self._holes:
                raise ValueError(f"{(self.next - 1) & _TOP:#x} has gone before {source:#x}")
            return
        self.remove(source)
        self.use(source)

    def skip(self, source: int, *, hidden: bool) -> None:
        """Note a number that the source has used and the destination does not get: it misses it, or it is hidden.

        Raises ValueError if it cannot be hidden.
        """
        if hidden:
            self.hide(source)
        elif self.next is None or not lt(source, self.next):
            self.use(source)
            self._leave_out(source, (source + 1) & _TOP)

    def _leave_out(self, first: int, behind: int) -> None:
        count = (behind - first) & _TOP
        if count <= _MAX_HOLES - len(self._holes):
            self._holes.update((first + step) & _TOP for step in range(count))


class Acknowledged:
    """A cumulative number on its way through a map: it never goes back unless its sender goes back.

    `heard` is the highest one its sender has said, `told` the highest one that was made of those that went further.
    """

    __slots__ = ("_passed", "heard", "told")

    def __init__(self) -> None:
        self.heard: int | None = None
        self._passed: int | None = None  # the highest one that went further
        self.told: int | None = None

    def __repr__(self) -> str:
        return f"<Acknowledged heard={self.heard} told={self.told}>"

    def start(self, heard: int, told: int) -> None:
        """Begin with these."""
        self.heard, self._passed, self.told = heard, heard, told

    def forget(self) -> None:
        """Take both as unknown."""
        self.heard = self._passed = self.told = None

    def hear(self, number: int) -> None:
        """Note what the sender has said; it goes no further."""
        if self.heard is None or lt(self.heard, number):
            self.heard = number

    def say(self, number: int) -> None:
        """Note what the receiver has been told."""
        if self.told is None or lt(self.told, number):
            self.told = number

    def tell(self, number: int, translate: Callable[[int], int]) -> int:
        """Translate what the sender says now, for the receiver to be told."""
        value = translate(number)
        if self._passed is not None and lt(number, self._passed):
            return value
        self._passed = number
        self.hear(number)
        self.say(value)
        assert self.told is not None
        return self.told

    def again(self, translate: Callable[[int], int]) -> int | None:
        """Give what the receiver has to be told now, even if its sender has nothing to say."""
        return None if self.heard is None else self.tell(self.heard, translate)

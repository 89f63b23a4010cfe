"""The model of contents against one that tries all that may have happened, over histories made at random."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import event, given
from hypothesis import strategies as st

from iscsiproxy.checks.disk import Action, Counts, Disk, Effect, Kind, Op, Outcome, Pages
from iscsiproxy.checks.disk.contents import Contents
from iscsiproxy.checks.disk.history import History
from tests.checks.disk.naive import UNKNOWN, Sector
from tests.checks.disk.play import ORDERED, Play, data, kinds, payload, read_16

_BASE = "!"
_ALIEN = "%"
_OUTCOMES = ("good", "good", "good", "void", "maybe", "maybe", "lost")


@dataclass
class Flying:
    """A command in flight, as both models know it."""

    op: Op
    number: int
    first: int
    end: int
    session: str


@dataclass
class Match:
    """Both models of a few sectors, fed with the same history."""

    draw: st.DataObject
    sectors: int
    known: bool
    ordered: bool
    restricted: bool
    #: CmdSNs may come out of order, as over several connections.
    shuffled: bool
    flying: list[Flying] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, list[int]] = field(default_factory=dict)
    sessions: Counter[str] = field(default_factory=Counter)
    number: int = 0

    def __post_init__(self) -> None:
        self.disk = Disk("disk", block_size=512)
        self.disk.tell_restricted(restricted=self.restricted)
        base = _BASE if self.known else None
        self.naive = [Sector(restricted=self.restricted, base=base) for _ in range(self.sectors)]
        if self.known:
            op = self._begin("z", None, 0, self.sectors, Action.READ, ordered=False)
            op.data(payload(data(_BASE * self.sectors)))
            assert self.disk.end(op, Outcome.GOOD) == ()

    def _begin(self, session: str, order: int | None, first: int, end: int, action: Action, *, ordered: bool) -> Op:
        length = (end - first) * 512
        effect = Effect(action=action, name=action.value, ranges=((first, end),), length=length, EDTL=length)
        return self.disk.begin(effect, session=session, order=order, attribute=ORDERED * ordered, ref=self.number)

    def _order(self, session: str) -> int | None:
        if self.draw.draw(st.integers(0, 6)) == 0:
            return None
        waiting = self.skipped.setdefault(session, [])
        if self.draw.draw(st.booleans()) and waiting:
            return waiting.pop()
        if self.shuffled and self.draw.draw(st.integers(0, 2)) == 0:
            waiting.append(self._next(session))
        return self._next(session)

    def _next(self, session: str) -> int:
        self.numbers[session] += 1
        return (self.numbers[session] - 3) & 0xFFFFFFFF

    def begin(self) -> None:
        self.number += 1
        name = self.draw.draw(st.sampled_from("ab"))
        session = f"{name}{self.sessions[name]}"
        order = self._order(session)
        ordered = self.ordered and self.draw.draw(st.booleans())
        first = self.draw.draw(st.integers(0, self.sectors - 1))
        end = self.draw.draw(st.integers(first + 1, self.sectors))
        letter = None
        action = Action.READ
        if self.draw.draw(st.booleans()):
            action = Action.WRITE
            # Now and then two writes bring the same.
            letter = self.draw.draw(st.sampled_from([chr(ord("a") + self.number), "P", "Q"]))
        op = self._begin(session, order, first, end, action, ordered=ordered)
        if letter is not None:
            op.data(payload(data(letter * (end - first))))
        for sector in self.naive[first:end]:
            sector.begin(self.number, session, order, letter, ordered=ordered)
        self.flying.append(Flying(op, self.number, first, end, session))

    def gone(self) -> None:
        name = self.draw.draw(st.sampled_from("ab"))
        session = f"{name}{self.sessions[name]}"
        self.sessions[name] += 1
        self.disk.session_gone(session)
        for sector in self.naive:
            sector.gone(session)
        self.flying = [one for one in self.flying if one.session != session]

    def end(self, *, honest: bool) -> tuple[bool, bool]:
        """End a command; tell whether it was wrong, for the disk and for the naive model."""
        one = self.draw.draw(st.sampled_from(self.flying))
        self.flying.remove(one)
        touched = self.naive[one.first : one.end]
        if one.op.writes:
            return self._written(one, touched, honest=honest)
        letters = [self._picked(one, sector, honest=honest) for sector in touched]
        if None in letters:
            self.disk.end(one.op, Outcome.MAYBE)
            for sector in touched:
                sector.dropped(one.number)
            return False, False
        text = "".join(letter for letter in letters if letter is not None)
        one.op.data(payload(data(text)))
        wrong = bool(self.disk.end(one.op, Outcome.GOOD))
        fine = [sector.found(one.number, letter) for sector, letter in zip(touched, text, strict=True)]
        return wrong, not all(fine)

    def _written(self, one: Flying, touched: list[Sector], *, honest: bool) -> tuple[bool, bool]:
        outcome = self.draw.draw(st.sampled_from(_OUTCOMES))
        if honest and outcome in ("good", "void"):
            wanted = outcome == "good"
            possible = [{one.number in world.done for world in sector.worlds} for sector in touched]
            if not all(wanted in each for each in possible):
                outcome = "maybe"
        wrong = bool(self.disk.end(one.op, Outcome(outcome)))
        fine = [sector.written(one.number, outcome) for sector in touched]
        return wrong, not all(fine)

    def _picked(self, one: Flying, sector: Sector, *, honest: bool) -> str | None:
        """Draw what a read finds in a sector; None where it has to end without data, or finds a mixture."""
        possible = sorted(sector.possible(one.number) - {""})
        letters = sorted({command.content for command in sector.commands.values() if command.content})
        anything = [_BASE, _ALIEN, *letters]
        choice = possible if honest else possible + anything
        if not choice:
            return None
        letter = self.draw.draw(st.sampled_from(choice))
        if letter == UNKNOWN:
            return self.draw.draw(st.sampled_from(anything))
        mixture = letter in (_BASE, _ALIEN) and not {letter, UNKNOWN}.intersection(possible)
        return None if mixture and sector.races(one.number) else letter


def run(match: Match, *, honest: bool) -> tuple[bool, bool]:
    """Play until something is wrong for one of the models; tell for which."""
    for _ in range(match.draw.draw(st.integers(4, 14))):
        what = match.draw.draw(st.integers(0, 20))
        busy = len(match.flying) + len({number for sector in match.naive for number in sector.lost})
        if what == 0:
            match.gone()
        elif match.flying and (what < 11 or busy > 4):
            ended = match.end(honest=honest)
            if any(ended):
                return ended
        elif busy <= 4:
            match.begin()
    return False, False


@given(st.data(), st.integers(1, 3), st.booleans(), st.booleans(), st.booleans())
def test_what_may_be_is_never_called_wrong(
    draw: st.DataObject, sectors: int, known: bool, ordered: bool, restricted: bool
) -> None:
    match = Match(draw, sectors, known, ordered, restricted, shuffled=not ordered)
    assert run(match, honest=True) == (False, False)


@given(st.data(), st.integers(1, 3), st.booleans())
def test_what_cannot_be_is_found_and_nothing_else(draw: st.DataObject, sectors: int, restricted: bool) -> None:
    match = Match(draw, sectors, known=True, ordered=False, restricted=restricted, shuffled=False)
    wrong, impossible = run(match, honest=False)
    assert wrong == impossible
    event("impossible" if impossible else "possible")


@given(st.data(), st.integers(1, 3), st.booleans(), st.booleans(), st.booleans())
def test_where_less_is_known_only_what_cannot_be_is_found(
    draw: st.DataObject, sectors: int, known: bool, ordered: bool, restricted: bool
) -> None:
    match = Match(draw, sectors, known, ordered, restricted, shuffled=not ordered)
    wrong, impossible = run(match, honest=False)
    assert impossible or not wrong


# --- histories that random ones reach too seldom ----------------------------------------------------------------------


def started(text: str = "a") -> Play:
    """Make a disk that holds that."""
    play = Play()
    play.disk.tell_restricted(restricted=True)
    play.write(0, text, session="z")
    return play


def test_a_refused_write_was_seen_whatever_else_is_in_flight() -> None:
    play = started()
    other, write = play.writing(0, "x", session="c"), play.writing(0, "y", order=2)
    assert play.read(0, "y", session="b") == ()
    assert kinds(play.end(write, Outcome.VOID)) == [Kind.REFUSED]
    assert play.end(other) == ()


def test_a_refused_write_of_the_same_content_was_not_seen() -> None:
    play = started("q")
    write = play.writing(0, "q")
    assert play.read(0, "q", session="b") == ()
    later = play.writing(0, "x", session="b")
    assert play.end(write, Outcome.VOID) == play.end(later) == play.read(0, "x") == ()


def test_a_read_shows_that_lower_numbers_in_flight_have_been_overtaken() -> None:
    play = started()
    low, high = play.writing(0, "x", order=1), play.writing(0, "y", order=2)
    assert play.read(0, "y", session="b") == ()
    (wrong,) = play.read(0, "x", session="b")
    assert (wrong.kind, wrong.certain) == (Kind.MISORDERED, True)
    assert play.end(low) == play.end(high) == ()


def test_a_higher_number_that_was_over_and_not_there_was_never_done() -> None:
    play = started()
    low = play.writing(0, "x", order=1)
    early = play.reading(0, 1, session="b")
    high = play.writing(0, "y", order=2)
    assert play.end(high, Outcome.MAYBE) == play.read(0, "x", session="c") == ()
    assert kinds(play.found(early, "y")) == [Kind.MISORDERED], "also for a read that was in flight"
    assert play.end(low) == ()


def test_of_two_that_brought_the_same_the_later_may_be_what_was_found() -> None:
    play = started()
    early, other = play.reading(0, 1, session="b"), play.writing(0, "q", order=1)
    play.end(play.writing(0, "q", order=None), Outcome.MAYBE)
    between = play.reading(0, 1, session="b")
    assert play.found(early, "q") == play.found(between, "a") == play.end(other) == ()
    assert play.read(0, "q") == ()


def test_what_was_seen_to_be_done_does_not_come_again() -> None:
    play = started()
    play.end(play.writing(0, "x"), Outcome.LOST)
    assert play.read(0, "x", session="b") == ()
    play.write(0, "y", session="b")
    assert kinds(play.read(0, "x", session="b")) == [Kind.STALE]


def test_where_numbers_and_reads_tell_different_orders_both_are_right() -> None:
    for found in "xy":
        play = started()
        play.end(play.writing(0, "x", order=5), Outcome.LOST)
        assert play.read(0, "x", session="b") == ()
        play.write(0, "y", order=4)
        assert play.read(0, found, session="b") == ()


def test_a_read_beside_one_part_of_a_span_keeps_all_of_it() -> None:
    play = Play()
    write, early, short = play.writing(0, "xxx"), play.reading(1, 1, session="b"), play.reading(2, 1, session="b")
    assert play.end(write) == play.found(short, "x") == play.found(early, "a") == ()


def test_when_all_is_over_what_was_found_is_there_whoever_brought_it() -> None:
    play = Play()
    play.end(play.begin(b"\x8b" + read_16(0, 1)[1:], 512), Outcome.MAYBE)
    assert play.read(0, "x") == ()
    assert kinds(play.read(0, "y")) == [Kind.CORRUPTION]
    play = started("q")
    play.write(0, "q", Outcome.MAYBE)
    assert play.read(0, "q") == ()
    assert repr(play.disk) == "<Disk disk: 0 in flight, 0 spans unsure>"


def test_a_model_says_what_it_is() -> None:
    contents = Contents(Pages(), History(), Counts())
    assert repr(contents) == "<Contents: 0 spans, 0 reads in flight>"

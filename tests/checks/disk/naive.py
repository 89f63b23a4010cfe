"""One sector and everything that may have happened to it: a model that tries all of it, for small histories.

A world is what the sector holds, which writes have taken effect, which never will as one that comes after them has,
and what the reads in flight have picked up. Between any two events each write in flight may take effect, once, and each
read may pick up what is there. A history is impossible when no world is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from iscsiproxy.wire.serial import lt

__all__ = ["UNKNOWN", "Command", "Sector"]

#: What the sector held before everything
BASE = 0
#: A content that nobody knows yet: anything will do.
UNKNOWN = "?"


@dataclass(eq=False)
class Command:
    """A write of `content`, or a read (None). `order` is its CmdSN."""

    number: int
    session: str
    order: int | None
    ordered: bool
    content: str | None
    issued: int
    over: int | None = None

    def apart(self, other: Command) -> bool:
        """Tell whether the two were not in flight together."""
        return (self.over is not None and self.over < other.issued) or (
            other.over is not None and other.over < self.issued
        )

    def before(self, other: Command) -> bool:
        """Tell whether CmdSN puts this first, of two that were in flight together."""
        return (
            self.order is not None
            and other.order is not None
            and self.session == other.session
            and lt(self.order, other.order)
            and not self.apart(other)
        )

    def strictly_before(self, other: Command) -> bool:
        """Tell whether a read and a write keep to that."""
        return self.ordered and other.ordered and self.before(other)


class World(NamedTuple):
    """What may be so. `base` is what was there before everything, once it was seen."""

    holds: int
    done: frozenset[int]
    skipped: frozenset[int]
    picked: frozenset[tuple[int, int]]
    base: str | None


@dataclass
class Sector:
    """All worlds that agree with what was seen."""

    restricted: bool = True
    base: str | None = None
    commands: dict[int, Command] = field(default_factory=dict)
    flying: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    tick: int = 0
    worlds: set[World] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.worlds = {World(BASE, frozenset(), frozenset(), frozenset(), self.base)}

    def begin(self, number: int, session: str, order: int | None, content: str | None, *, ordered: bool) -> None:
        self.tick += 1
        command = self.commands[number] = Command(number, session, order, ordered, content, self.tick)
        # A target waits for the lower CmdSN. If it is seen that it did not, the worlds stay.
        waited = {
            world for world in self.worlds if not any(self._first(command, self.commands[one]) for one in world.done)
        }
        self.worlds = waited or self.worlds
        self.flying.add(number)
        self._move()

    def written(self, number: int, outcome: str) -> bool:
        """End a write; False if no world is left."""
        self.tick += 1
        self.flying.discard(number)
        if outcome == "lost":
            self.lost.add(number)
        else:
            self.commands[number].over = self.tick
        if outcome in ("good", "void"):
            self.worlds = {world for world in self.worlds if (number in world.done) == (outcome == "good")}
        self._move()
        return bool(self.worlds)

    def dropped(self, number: int) -> None:
        """End a read that gave no data."""
        self.tick += 1
        self.flying.discard(number)
        self.commands[number].over = self.tick
        self._forget(number)

    def possible(self, number: int) -> set[str]:
        """Give what a read in flight may have found; UNKNOWN if it was there before all commands."""
        return {self._said(world, number) for world in self.worlds}

    def found(self, number: int, content: str) -> bool:
        """End a read with what it found; False if no world is left."""
        self.tick += 1
        self.flying.discard(number)
        self.commands[number].over = self.tick
        kept = set()
        for world in self.worlds:
            picked = dict(world.picked).get(number)
            if picked is None:
                continue
            if picked == BASE and world.base is None:
                kept.add(world._replace(base=content))
            elif self._said(world, number) == content:
                kept.add(world)
        self.worlds = kept
        self._forget(number)
        return bool(kept)

    def gone(self, session: str) -> None:
        self.tick += 1
        for number in [one for one in self.flying if self.commands[one].session == session]:
            if self.commands[number].content is None:
                self.dropped(number)
            else:
                self.written(number, "maybe")
        for number in [one for one in self.lost if self.commands[one].session == session]:
            self.lost.discard(number)
            self.commands[number].over = self.tick
        self._move()

    def races(self, number: int) -> bool:
        """Tell whether a write was in flight at any time while this read was."""
        read = self.commands[number]
        return any(one.content is not None and not one.apart(read) for one in self.commands.values())

    # --- worlds ---------------------------------------------------------------------------------------------------

    def _said(self, world: World, number: int) -> str:
        picked = dict(world.picked).get(number)
        if picked is None:
            return ""
        if picked == BASE:
            return world.base or UNKNOWN
        return self.commands[picked].content or ""

    def _forget(self, number: int) -> None:
        self.worlds = {
            world._replace(picked=frozenset(one for one in world.picked if one[0] != number)) for world in self.worlds
        }
        self._move()

    def _move(self) -> None:
        """Add all worlds that can come about while nothing is seen."""
        todo = list(self.worlds)
        while todo:
            for world in self._steps(todo.pop()):
                if world not in self.worlds:
                    self.worlds.add(world)
                    todo.append(world)

    def _steps(self, world: World) -> Iterable[World]:
        picked = {one[0] for one in world.picked}
        for number in self.flying | self.lost:
            command = self.commands[number]
            if command.content is None:
                if number not in picked and not self._waits(command, world):
                    yield world._replace(picked=world.picked | {(number, world.holds)})
            elif number not in world.done | world.skipped and not self._awaited(command, picked):
                yield self._effect(command, world)

    def _effect(self, write: Command, world: World) -> World:
        # One that came late, with a lower CmdSN than one that is done, leaves nothing.
        hidden = any(self._first(write, self.commands[one]) for one in world.done)
        pending = (self.flying | self.lost) - world.done
        skipped = {
            one for one in pending if self.commands[one].content is not None and self._first(self.commands[one], write)
        }
        return world._replace(
            holds=world.holds if hidden else write.number,
            done=world.done | {write.number},
            skipped=world.skipped | skipped,
        )

    def _first(self, write: Command, other: Command) -> bool:
        """Tell whether a write has to come before another that is done, and so leaves nothing."""
        return write.content is not None and (self.restricted or write.ordered or other.ordered) and write.before(other)

    def _waits(self, read: Command, world: World) -> bool:
        """Tell whether a read has to wait for a write in flight that comes before it."""
        return any(
            self.commands[one].content is not None
            and one not in world.done
            and self.commands[one].strictly_before(read)
            for one in self.flying
        )

    def _awaited(self, write: Command, picked: set[int]) -> bool:
        """Tell whether a write has to wait for a read in flight that comes before it."""
        return any(
            self.commands[one].content is None and one not in picked and self.commands[one].strictly_before(write)
            for one in self.flying
        )

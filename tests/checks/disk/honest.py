"""A target that does what it should, in any order that it may, with commands of every kind at random; or does not."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from iscsiproxy.checks.disk import Action, Disk, Effect, Op, Outcome, Wrong
from iscsiproxy.checks.disk.commands import END
from tests.checks.disk.play import data, payload

__all__ = ["Honest"]

_SESSIONS = ("a", "b")


@dataclass(eq=False)
class Task:
    """A command and what the target has made of it; `text` is its data, `found` what it has read."""

    op: Op
    session: str
    order: int | None
    first: int
    end: int
    text: str = ""
    found: str = ""
    done: bool = False
    equal: bool = True


@dataclass
class Honest:
    """A medium of a few sectors, and the disk that has to believe it. `lies` is how often a write is not stored."""

    seed: int
    disk: Disk
    size: int = 24
    lies: float = 0
    tasks: list[Task] = field(default_factory=list)
    lost: list[Task] = field(default_factory=list)
    wrongs: list[Wrong] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.medium = list("!" * self.size)
        self.numbers = dict.fromkeys(_SESSIONS, 0xFFFFFFF0)
        self.incarnation = dict.fromkeys(_SESSIONS, 0)
        self.letters = 0

    def run(self, steps: int) -> list[Wrong]:
        for _ in range(steps):
            dice = self.rng.random()
            if dice < 0.4 and len(self.tasks) < 6:
                self.begin()
            elif dice < 0.6 and self.tasks + self.lost:
                self.execute(self.rng.choice(self.tasks + self.lost))
            elif dice < 0.96 and self.tasks:
                self.end(self.rng.choice(self.tasks))
            elif dice < 0.98:
                self.gone(self.rng.choice(_SESSIONS))
            elif dice < 0.985:
                self.disk.gap()
        return self.wrongs

    def _text(self, sectors: int) -> str:
        self.letters += 1
        return "".join(
            self.rng.choice("0PQ") if self.rng.random() < 0.1 else chr(0x100 + self.letters % 0x4000)
            for _ in range(sectors)
        )

    def begin(self) -> None:
        name = self.rng.choice(_SESSIONS)
        session = f"{name}{self.incarnation[name]}"
        order = None
        if self.rng.random() < 0.9:
            order = self.numbers[name] = (self.numbers[name] + 1) & 0xFFFFFFFF
        first = self.rng.randrange(self.size)
        end = self.rng.randint(first + 1, self.size)
        action = self.rng.choices(list(Action), [8, 6, 1, 1, 1, 1, 1])[0]
        count = end - first
        ranges: tuple[tuple[int, int], ...] = ((first, end),)
        if action is Action.RELEASE and self.rng.random() < 0.3:
            ranges = ((0, END),)
        halves = 2 if action is Action.COMPARE_AND_WRITE else 1
        period = 1 if action is Action.SAME or (action is Action.COMPARE and self.rng.random() < 0.3) else 0
        sectors = (period or count) * halves
        effect = Effect(
            action=action,
            name=action.name,
            LBA=first,
            blocks=count,
            ranges=ranges,
            length=0 if action in (Action.SCRAMBLE, Action.RELEASE) else 512 * sectors,
            EDTL=512 * sectors,
            write_at=count * (halves - 1),
            period=period,
        )
        op = self.disk.begin(effect, session=session, order=order, attribute=1, ref=None)
        task = Task(op, session, order, first, end)
        if action in (Action.WRITE, Action.SAME):
            task.text = self._text(sectors)
        elif action is Action.COMPARE_AND_WRITE:
            task.text = self._guess(first, end) + self._text(count)
        elif action is Action.COMPARE:
            task.text = self._guess(first, first + 1 if period else end)
        if task.text:
            self._pass(op, task.text)
        if ranges[0][1] == END:
            self.disk.narrow(op, effect._replace(ranges=((first, end),)))
        self.tasks.append(task)

    def _guess(self, first: int, end: int) -> str:
        return "".join(self.medium[first:end])

    def _pass(self, op: Op, text: str) -> None:
        """Let data pass in pieces, now and then one of them twice, not at all, or cut in the middle of a sector."""
        content = data(text)
        cuts = sorted(self.rng.sample(range(1, len(text) * 512), min(2, len(text) * 512 - 1)))
        if self.rng.random() < 0.8:
            cuts = sorted({cut - cut % 512 for cut in cuts} - {0})
        for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True):
            for _ in range(self.rng.choices([1, 2, 0], [20, 1, 1])[0]):
                op.data(payload(content[start:stop], start))

    def execute(self, task: Task) -> None:
        """Do a command, and those of its session before it that write to the same place."""
        if task.done:
            return
        for other in self.tasks + self.lost:
            if other is not task and not other.done and _before(other, task):
                self.execute(other)
        task.done = True
        effect = task.op.effect
        there = "".join(self.medium[task.first : task.end])
        count = task.end - task.first
        if effect.action is Action.READ:
            task.found = there
        elif effect.action in (Action.WRITE, Action.SAME):
            self._store(task, task.text * count if effect.period else task.text)
        elif effect.action is Action.COMPARE:
            task.equal = there == (task.text * count if effect.period else task.text)
        elif effect.action is Action.COMPARE_AND_WRITE:
            task.equal = there == task.text[:count]
            if task.equal:
                self._store(task, task.text[count:])
        else:
            self._store(task, self._text(count))

    def _store(self, task: Task, text: str) -> None:
        if self.rng.random() >= self.lies:
            self.medium[task.first : task.end] = text

    def end(self, task: Task) -> None:
        self.tasks.remove(task)
        dice = self.rng.random()
        outcome, residual = Outcome.GOOD, 0
        if dice < 0.1 and not task.done:
            outcome = Outcome.VOID
        elif dice < 0.2:
            outcome = Outcome.MAYBE
        elif dice < 0.28:
            outcome = Outcome.LOST
            self.lost.append(task)
        else:
            self.execute(task)
            if not task.equal:
                outcome = Outcome.VOID if task.op.writes else Outcome.MAYBE
            elif task.found:
                self._pass(task.op, task.found)
            if dice > 0.95 and task.op.effect.action is Action.READ:
                residual = self.rng.randrange(task.op.effect.length)
        before = self._counted()
        self.wrongs += self.disk.end(task.op, outcome, residual=residual)
        told = task.op.reads and outcome is Outcome.GOOD
        assert self._counted() - before == (task.op.sectors if told else 0), "each sector is judged or left out"

    def _counted(self) -> int:
        return self.disk.counts.judged + sum(self.disk.counts.left_out.values())

    def gone(self, name: str) -> None:
        session = f"{name}{self.incarnation[name]}"
        self.incarnation[name] += 1
        self.disk.session_gone(session)
        self.tasks = [task for task in self.tasks if task.session != session]
        self.lost = [task for task in self.lost if task.session != session]


def _before(one: Task, other: Task) -> bool:
    return (
        one.op.writes
        and other.op.writes
        and one.session == other.session
        and one.order is not None
        and other.order is not None
        and 0 < (other.order - one.order) % (1 << 32) < 1 << 31
        and one.first < other.end
        and other.first < one.end
    )

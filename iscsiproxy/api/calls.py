"""The operations as methods of a client, each written once for the one that waits and the one that awaits.

`kill = asks(operations.KILL, of=int, sends=Kill)` is a method whose first argument stands in the path and whose others
are the members of `Kill`, by name. On a plain client it gives the answer, on an asynchronous one an awaitable of it;
mypy knows the type of either, and of every argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload
from urllib.parse import quote

import msgspec

from iscsiproxy.api import models, operations
from iscsiproxy.api.operations import Operation

__all__ = ["Awaiting", "Call", "Method", "Operations", "Waiting"]

A = TypeVar("A")
P = ParamSpec("P")
X = TypeVar("X", int, str)
Y = TypeVar("Y", int, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[A]):
    """One operation with all that is sent; members that have their defaults are left out."""

    operation: Operation[A]
    arguments: tuple[int | str, ...] = ()
    sent: msgspec.Struct | None = None

    @property
    def path(self) -> str:
        """The path, with its arguments."""
        texts = (quote(str(one), safe="") for one in self.arguments)
        return self.operation.path.format_map(dict(zip(self.operation.arguments, texts, strict=True)))

    @property
    def query(self) -> Mapping[str, str]:
        """What goes into the query."""
        if self.operation.query is None:
            return {}
        given = self._given().items()
        return {name: one if isinstance(one, str) else msgspec.json.encode(one).decode() for name, one in given}

    @property
    def body(self) -> bytes | None:
        """What goes into the body; None: there is none."""
        return None if self.operation.body is None else msgspec.json.encode(self._given())

    @property
    def patience(self) -> float:
        """The time that the proxy may take by itself, in seconds."""
        return float(getattr(self.sent, "wait", 0.0))

    def _given(self) -> dict[str, Any]:
        if self.sent is None:
            return {}
        values = ((one, getattr(self.sent, one.name)) for one in msgspec.structs.fields(self.sent))
        return {one.name: value for one, value in values if one.required or value != _default(one)}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


# --- methods -------------------------------------------------------------------------------------------------------


class Method(Generic[P, A]):
    """An operation as a method of both clients."""

    def __init__(self, operation: Operation[A], sends: Callable[..., msgspec.Struct] | None) -> None:
        self.operation = operation
        self.sends = sends
        self.__doc__ = operation.help

    def __repr__(self) -> str:
        return f"<Method {self.operation.name}>"

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[A]:
        """Make the call."""
        arguments: tuple[Any, ...] = args
        if len(arguments) != len(self.operation.arguments):
            wanted = ", ".join(self.operation.arguments) or "only named ones"
            raise TypeError(f"{self.operation.name}() takes {wanted} by place, got {len(arguments)} arguments")
        if self.sends is None and kwargs:
            raise TypeError(f"{self.operation.name}() takes no {next(iter(kwargs))!r}")
        sent = None if self.sends is None else self.sends(**kwargs)
        return Call(operation=self.operation, arguments=arguments, sent=sent)

    @overload
    def __get__(self, client: None, owner: type[object]) -> Method[P, A]: ...
    @overload
    def __get__(self, client: Waiting, owner: type[object]) -> Callable[P, A]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type[object]) -> Callable[P, Awaitable[A]]: ...

    def __get__(self, client: Waiting | Awaiting | None, owner: type[object]) -> Any:
        if client is None:
            return self
        ask = client.ask

        @wraps(self.call)
        def asked(*args: P.args, **kwargs: P.kwargs) -> Any:
            return ask(self.call(*args, **kwargs))

        asked.__name__, asked.__doc__ = self.operation.name, self.__doc__
        return asked


@overload
def asks(operation: Operation[A]) -> Method[[], A]: ...
@overload
def asks(operation: Operation[A], *, sends: Callable[P, msgspec.Struct]) -> Method[P, A]: ...
@overload
def asks(operation: Operation[A], *, of: type[X]) -> Method[[X], A]: ...
@overload
def asks(
    operation: Operation[A], *, of: type[X], sends: Callable[P, msgspec.Struct]
) -> Method[Concatenate[X, P], A]: ...
@overload
def asks(
    operation: Operation[A], *, of: tuple[type[X], type[Y]], sends: Callable[P, msgspec.Struct]
) -> Method[Concatenate[X, Y, P], A]: ...
def asks(
    operation: Operation[A],
    *,
    of: type[Any] | tuple[type[Any], ...] = (),
    sends: Callable[..., msgspec.Struct] | None = None,
) -> Method[..., A]:
    """Make a method: `of` are the types of what stands in the path, `sends` makes what else is sent."""
    kinds = of if isinstance(of, tuple) else (of,)
    assert kinds == tuple(int if Operation.is_number(one) else str for one in operation.arguments)
    assert sends is (operation.query or operation.body)
    return Method(operation, sends)


class Operations:
    """What can be asked of a proxy; `operations` has the paths, and the events are the client's own."""

    proxy = asks(operations.PROXY)
    sessions = asks(operations.SESSIONS)
    session = asks(operations.SESSION, of=int)
    connections = asks(operations.CONNECTIONS)
    connection = asks(operations.CONNECTION, of=int)
    kill = asks(operations.KILL, of=int, sends=models.Kill)
    stall = asks(operations.STALL, of=int, sends=models.Stall)
    resume = asks(operations.RESUME, of=int)
    tasks = asks(operations.TASKS, sends=models.TaskQuery)
    rules = asks(operations.RULES)
    arm = asks(operations.ARM, sends=models.Arming)
    check = asks(operations.CHECK, sends=models.Arming)
    switch_scenario = asks(operations.SWITCH_SCENARIO, of=str, sends=models.RuleSwitch)
    switch_rule = asks(operations.SWITCH_RULE, of=(str, str), sends=models.RuleSwitch)
    remove = asks(operations.REMOVE, of=str)
    clear = asks(operations.CLEAR)
    held = asks(operations.HELD)
    held_pdu = asks(operations.HELD_PDU, of=int)
    edit = asks(operations.EDIT, of=int, sends=models.Edit)
    release = asks(operations.RELEASE, of=int)
    drop = asks(operations.DROP, of=int)
    step = asks(operations.STEP, of=int)
    inject = asks(operations.INJECT, sends=models.Injection)
    pdu = asks(operations.PDU, of=int)
    findings = asks(operations.FINDINGS, sends=models.FindingQuery)
    explain = asks(operations.EXPLAIN, sends=models.ExplanationQuery)
    recording = asks(operations.RECORDING)
    record = asks(operations.RECORD, sends=models.RecordingSwitch)
    save = asks(operations.SAVE, of=str, sends=models.Saving)
    complete = asks(operations.COMPLETE, sends=models.CompletionQuery)
    vocabulary = asks(operations.VOCABULARY)


class Waiting(Operations, ABC):
    """A client whose methods give the answer."""

    @abstractmethod
    def ask(self, call: Call[A]) -> A:
        """Do a call, and give its answer."""


class Awaiting(Operations, ABC):
    """A client whose methods are awaited."""

    @abstractmethod
    async def ask(self, call: Call[A]) -> A:
        """Do a call, and give its answer."""

"""Pickle interpreter that builds only plain containers and records, and executes no code.

A restricted `pickle.Unpickler` imports no classes, but the file still controls what it hashes,
resizes and calls. This interpreter processes the opcodes itself: it represents a class by its name,
and a call by a record of the name and the arguments.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from ...errors import WeightsError

__all__ = ["Call", "Name", "Persistent", "load"]


@dataclass(frozen=True, eq=False)
class Name:
    """Name of a class or function in the pickle, as `module.name`."""

    name: str


@dataclass(frozen=True, eq=False)
class Persistent:
    """Reference to data outside the pickle."""

    id: object


@dataclass(eq=False)
class Call:
    """Record of an object that unpickling would build by calling `name` with `args`."""

    name: str
    args: tuple[object, ...]
    state: object = None
    items: dict[object, object] = field(default_factory=dict)


def load(stream: BinaryIO) -> tuple[object, list[Persistent]]:
    """Read the pickle at the current position of a stream, and move the stream to its end.

    Returns:
        The object of the pickle, and its references to data outside the pickle, in order.

    Raises:
        WeightsError: The pickle uses an opcode that weights files do not need, or is malformed.
            Other malformed pickles raise the errors of the standard library.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            break
        if opcode.name in _CONSTANTS:
            machine.stack.append(_CONSTANTS[opcode.name])
        elif opcode.name in _LITERALS:
            machine.stack.append(argument)
        elif opcode.name in _ACTIONS:
            _ACTIONS[opcode.name](machine, argument)
        else:
            msg = f"the pickle uses the opcode {opcode.name}, which weights files do not need"
            raise WeightsError(msg)
    return machine.stack.pop(), machine.references


class _Machine:
    """Stack, marks and memo of the pickle that is being read."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[object, object] = {}
        self.references: list[Persistent] = []
        self._marks: list[int] = []

    def skip(self, _: object) -> None:
        """Do nothing: the opcode only helps other readers."""

    def mark(self, _: object = None) -> None:
        self._marks.append(len(self.stack))

    def take(self, count: int) -> list[object]:
        """Remove the topmost `count` objects from the stack, and return them."""
        if count > len(self.stack):
            msg = f"the pickle removes {count} objects from a stack of {len(self.stack)}"
            raise WeightsError(msg)
        start = len(self.stack) - count
        objects = self.stack[start:]
        del self.stack[start:]
        return objects

    def to_mark(self) -> list[object]:
        """Remove the objects above the topmost mark, and the mark; return the objects."""
        return self.take(len(self.stack) - self._marks.pop())

    def update(self, pairs: list[object]) -> None:
        """Add alternating keys and values to the dict on top of the stack."""
        target = self.stack[-1]
        mapping = target.items if isinstance(target, Call) else target
        if not isinstance(mapping, dict):
            return
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # Keys of weights are strings or numbers. A file could make hashing others slow.
            if isinstance(key, str | int | float):
                mapping[key] = value

    def extend(self, values: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)

    def call(self, count: int) -> None:
        """Record the call of an object with the `count - 1` arguments above it."""
        function, args, *_ = self.take(count)
        name = function.name if isinstance(function, Name) else ""
        self.stack.append(Call(name, args if isinstance(args, tuple) else ()))

    def build(self, _: object) -> None:
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, Call):
            target.state = state

    def refer(self, _: object) -> None:
        (identity,) = self.take(1)
        self.references.append(Persistent(identity))
        self.stack.append(self.references[-1])

    def stack_global(self, _: object) -> None:
        module, name = self.take(2)
        # Only strings: the repr of nested tuples can be exponentially longer than the pickle.
        if isinstance(module, str) and isinstance(name, str):
            self.stack.append(Name(f"{module}.{name}"))
        else:
            self.stack.append(Name(""))

    def put(self, index: object) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]


_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}

_LITERALS = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"}
    | {"BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)

_ACTIONS: dict[str, Callable[[_Machine, object], None]] = {
    "PROTO": _Machine.skip,
    "FRAME": _Machine.skip,
    "MARK": _Machine.mark,
    "POP": lambda m, _: _ignore(m.take(1)),
    "POP_MARK": lambda m, _: _ignore(m.to_mark()),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_SET": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "LIST": lambda m, _: m.stack.append(m.to_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.to_mark())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.take(3))),
    "FROZENSET": lambda m, _: m.stack.append(m.to_mark()),
    "APPEND": lambda m, _: m.extend(m.take(1)),
    "APPENDS": lambda m, _: m.extend(m.to_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.to_mark()),
    "SETITEM": lambda m, _: m.update(m.take(2)),
    "SETITEMS": lambda m, _: m.update(m.to_mark()),
    "GLOBAL": lambda m, name: m.stack.append(Name(str(name).replace(" ", "."))),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": lambda m, _: m.call(2),
    "NEWOBJ": lambda m, _: m.call(2),
    "NEWOBJ_EX": lambda m, _: m.call(3),
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "PUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": lambda m, index: m.stack.append(m.memo[index]),
    "LONG_BINGET": lambda m, index: m.stack.append(m.memo[index]),
    "GET": lambda m, index: m.stack.append(m.memo[index]),
}


def _ignore(_: object) -> None:
    """Discard objects that were taken from the stack."""

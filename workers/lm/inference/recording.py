"""A forward pass as the flat list of operations that it came down to, to be done again.

A model of a hundred small modules spends as long in Python as in arithmetic when it computes a few
rows. What the modules call for so many rows is always the same, so it is watched once and done
again without them. Whatever depends on more than the shapes is refused: then the modules go on.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .calls import Call, Value, shortened, values_in

_KNOWN = frozenset({"aten", "mkldnn", "mkl", "onednn", "quantized"})
_REFUSED_TAGS = (
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.nondeterministic_seeded,
)
#: Operations that make nothing new and are left out where they give back what they got.
_SAME = frozenset({"aten.detach.default", "aten.alias.default", "aten.lift_fresh.default"})


class NotRepeatable(Exception):
    """The pass does something that the same shapes may not lead to again."""


class _Here(threading.local):
    recorder: Recorder | None = None


_here = _Here()


def opaque(function: Callable[..., torch.Tensor], *args: Any) -> torch.Tensor:
    """Compute something that does not come down to operations of torch, one step of any recording.

    It must depend on nothing but its arguments and what never changes.
    """
    recorder = _here.recorder
    return function(*args) if recorder is None else recorder.note(function, *args)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operations while it is entered; `note` for what counts as one."""

    def __init__(self, inputs: tuple[Any, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kinds = (torch.Tensor, *map(type, inputs))
        self.calls: list[Call] = []
        self._resting = False
        self._values: dict[int, Value] = {}
        #: Tensors stay alive meanwhile, so that none is taken for another.
        self._alive: list[Any] = []
        self._count = 0
        for given in inputs:
            self._new(given)
        self._inputs = self._count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._resting:
            return func(*args, **kwargs)
        _check(func, args)
        out = func(*args, **kwargs)
        name = str(func)
        if name in _SAME and id(args[0]) in self._values:
            self._values[id(out)] = self._values[id(args[0])]
            self._alive.append(out)
        elif args and out is args[0] and not func._schema.is_mutable:
            pass
        elif name == "aten.slice.Tensor" and not kwargs and (len(args) < 5 or args[4] == 1):
            self._narrow(args[0], args[1] if len(args) > 1 else 0, out)
        else:
            self._note(name, _quick(func), args, kwargs, out)
        return out

    def _narrow(self, whole: torch.Tensor, dim: int, out: torch.Tensor) -> None:
        """A slice, by the cheapest call; one of everything is nothing."""
        dim = dim - whole.dim() if dim >= 0 else dim
        length = out.shape[dim]
        if length == whole.shape[dim] and id(whole) in self._values:
            self._values[id(out)] = self._values[id(whole)]
            self._alive.append(out)
            return
        start = (out.storage_offset() - whole.storage_offset()) // max(1, whole.stride(dim))
        name = "rest" if start + length == whole.shape[dim] else "narrow"
        self._note(name, torch.narrow, (whole, dim, start, length), {}, out)

    def __enter__(self) -> Recorder:
        super().__enter__()  # type: ignore[no-untyped-call]
        _here.recorder = self
        return self

    def __exit__(self, *told: Any) -> None:
        _here.recorder = None
        super().__exit__(*told)  # type: ignore[no-untyped-call]

    def note(self, function: Callable[..., torch.Tensor], *args: Any) -> torch.Tensor:
        """Do this and count it as one operation, whatever it does inside."""
        if self._resting:
            return function(*args)
        self._resting = True
        try:
            out = function(*args)
        finally:
            self._resting = False
        self._note(function.__name__, function, args, {}, out)
        return out

    def recording(self, result: torch.Tensor) -> Recording:
        """All of it, to be done again for other inputs."""
        value = self._values.get(id(result))
        if value is None:
            raise NotRepeatable("its result comes from nowhere")
        return Recording(shortened(self.calls, value, self._count), value, self._inputs)

    def _note(
        self, name: str, function: Callable[..., Any], args: Any, kwargs: Any, out: Any
    ) -> None:
        args = tuple(self._seen(value) for value in args)
        kwargs = {key: self._seen(value) for key, value in kwargs.items()}
        if isinstance(out, torch.Tensor):
            known = self._values.get(id(out))
            self.calls.append(Call(name, function, args, kwargs, known or self._new(out)))
        elif isinstance(out, tuple | list) and all(isinstance(one, torch.Tensor) for one in out):
            whole = self._new(out)
            self.calls.append(Call(name, function, args, kwargs, whole))
            for index, one in enumerate(out):
                if id(one) not in self._values:
                    taken = self._new(one)
                    self.calls.append(Call("item", operator.getitem, (whole, index), {}, taken))
        else:
            raise NotRepeatable(f"{name} gives no tensor")

    def _new(self, made: Any) -> Value:
        value = self._values[id(made)] = Value(self._count)
        self._alive.append(made)
        self._count += 1
        return value

    def _seen(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(self._seen(one) for one in value)
        return self._values.get(id(value), value) if isinstance(value, self._kinds) else value


def _check(func: Any, args: Any) -> None:
    if func.namespace not in _KNOWN:
        raise NotRepeatable(f"{func} is not known to depend on nothing but its arguments")
    if func._schema.name.startswith(("aten::index", "aten::_index")):
        # Tagged for its masks; with numbers it gives what it is asked for.
        for value in args[1] if isinstance(args[1], list | tuple) else ():
            if value is not None and value.dtype in (torch.bool, torch.uint8):
                raise NotRepeatable(f"{func} picks by a mask")
    elif any(tag in func.tags for tag in _REFUSED_TAGS):
        raise NotRepeatable(f"{func} depends on more than shapes")


def _quick(func: Any) -> Callable[..., Any]:
    """The same operation by the way that costs least to call."""
    name = func._schema.name.partition("::")[2]
    if func.namespace == "aten":
        for home in (torch, torch.nn.functional, torch._C._nn, torch.Tensor):
            found: Any = getattr(home, name, None)
            if type(found).__name__ in ("builtin_function_or_method", "method_descriptor"):
                return found  # type: ignore[no-any-return]
    return func  # type: ignore[no-any-return]


class Recording:
    """Operations over numbered places; a place is used again when nobody needs what lies in it."""

    def __init__(self, calls: list[Call], result: Value, inputs: int) -> None:
        self._last = {value.number: at for at, call in enumerate(calls) for value in call.uses}
        self._last[result.number] = len(calls)
        self._home: dict[int, int] = {}
        self._free: list[int] = []
        self._start: list[Any] = []
        self._constants: dict[int, int] = {}
        self._steps: list[tuple[Callable[..., Any], Callable[[list[Any]], Any], bool, int]] = []
        self._inputs = inputs
        for number in range(self._inputs):
            self._home[number] = self._place()
        for at, call in enumerate(calls):
            self._add(at, call)
        self._result = self._home[result.number]

    def run(self, inputs: tuple[Any, ...]) -> torch.Tensor:
        """Do it for inputs of the same shapes, given in the same order."""
        places = self._start.copy()
        places[: len(inputs)] = inputs
        for function, take, many, out in self._steps:
            places[out] = function(*take(places)) if many else function(take(places))
        found: torch.Tensor = places[self._result]
        return found

    def _add(self, at: int, call: Call) -> None:
        function, args = _flat(call)
        sources = [self._source(value) for value in args]
        out = self._home.get(call.out.number)
        for value in {value.number for value in call.uses}:
            if self._last[value] == at and value >= self._inputs and value != call.out.number:
                self._free.append(self._home[value])
        if out is None:
            out = self._home[call.out.number] = self._place()
        if call.out.number not in self._last:
            self._last[call.out.number] = at
            self._free.append(out)
        take: Any = operator.itemgetter(*sources)
        self._steps.append((function, take, len(sources) > 1, out))

    def _source(self, value: Any) -> int:
        if isinstance(value, Value):
            return self._home[value.number]
        # Alive as long as this is, so its identity is its own.
        if id(value) not in self._constants:
            self._constants[id(value)] = len(self._start)
            self._start.append(value)
        return self._constants[id(value)]

    def _place(self) -> int:
        if self._free:
            return self._free.pop()
        self._start.append(None)
        return len(self._start) - 1


def _flat(call: Call) -> tuple[Callable[..., Any], list[Any]]:
    """The operation as a function of plain arguments, at least one, none of them a list."""
    function, args = call.function, list(call.args)
    if values_in(call.kwargs.values()):
        names = list(call.kwargs)
        args += call.kwargs.values()
        function = partial(_by_name, function, len(call.args), names)
    elif call.kwargs:
        function = partial(function, **call.kwargs)
    for at, value in enumerate(args):
        if isinstance(value, list | tuple) and values_in(value):
            function = partial(_gathered, function, at, len(value), type(value))
            args[at : at + 1] = value
            break
    if any(isinstance(value, list | tuple) and values_in(value) for value in args):
        raise NotRepeatable(f"{call.name} takes lists of lists")
    return (function, args) if args else (partial(_nothing, function), [None])


def _by_name(function: Any, count: int, names: list[str], *args: Any) -> Any:
    return function(*args[:count], **dict(zip(names, args[count:], strict=True)))


def _gathered(function: Any, at: int, count: int, kind: Any, *args: Any) -> Any:
    return function(*args[:at], kind(args[at : at + count]), *args[at + count :])


def _nothing(function: Any, ignored: None) -> Any:
    return function()

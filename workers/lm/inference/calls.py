"""One operation of a forward pass, and lists of them made shorter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

#: They only look at what is there: done twice, they see the same. A "rest" is a "narrow" that
#: reaches the end.
_VIEWS = frozenset(
    {"aten.unsqueeze.default", "aten.view.default", "aten.transpose.int", "narrow", "rest"}
)


@dataclass(frozen=True, slots=True)
class Value:
    """What an operation has made, by number; or an input of the pass."""

    number: int


@dataclass(slots=True)
class Call:
    """One operation: `args` hold values in place of tensors that the pass itself has made."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Value

    @property
    def uses(self) -> list[Value]:
        """All values that it reads."""
        return [*values_in(self.args), *values_in(self.kwargs.values())]


def values_in(args: Iterable[Any]) -> list[Value]:
    found: list[Value] = []
    for value in args:
        if isinstance(value, Value):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += values_in(value)
    return found


def shortened(calls: list[Call], result: Value, count: int) -> list[Call]:
    """The same numbers by fewer operations; `count` values have been made so far."""
    return _needed(_turned(_seen_once(calls), count), result)


def _seen_once(calls: list[Call]) -> list[Call]:
    """Every view is taken once."""
    known: dict[Any, Value] = {}
    same: dict[Value, Value] = {}
    kept = []
    for call in calls:
        call = _with(call, same)
        if call.name in _VIEWS and not call.kwargs and isinstance(call.args[0], Value):
            key = (call.name, repr(call.args))
            if key in known:
                same[call.out] = known[key]
                continue
            known[key] = call.out
        kept.append(call)
    return kept


def _with(call: Call, same: dict[Value, Value]) -> Call:
    def put(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(put(one) for one in value)
        return same.get(value, value) if isinstance(value, Value) else value

    kwargs = {key: put(value) for key, value in call.kwargs.items()}
    return Call(call.name, call.function, put(call.args), kwargs, same.get(call.out, call.out))


def _turned(calls: list[Call], count: int) -> list[Call]:
    """Rotary positions: halves that are cut, one of them negated, and joined the other way round
    are one shift, and the sign goes to the sines, which all layers share. The same to the bit.
    """
    made = {call.out: call for call in calls}
    uses: dict[Value, int] = {}
    for call in calls:
        for value in call.uses:
            uses[value] = uses.get(value, 0) + 1
    turns = {call.out: turn for call in calls if uses.get(call.out) == 1
             and (turn := _turn(call, made)) is not None}  # fmt: skip
    signed: dict[tuple[Value, int], Value] = {}
    kept: list[Call] = []
    for call in calls:
        turn = turns.get(call.args[0]) if call.name == "aten.mul.Tensor" else None
        if turn is not None and isinstance(call.args[1], Value):
            source, half = turn
            sines = call.args[1]
            if (sines, half) not in signed:
                signed[sines, half] = Value(count)
                kept.append(Call("signed", _signed, (sines, half), {}, Value(count)))
                count += 1
            shifted = Value(count)
            count += 1
            kept.append(Call("aten.roll.default", torch.roll, (source, half, -1), {}, shifted))
            call = Call(call.name, call.function, (shifted, signed[sines, half]), {}, call.out)
        kept.append(call)
    return kept


def _turn(call: Call, made: dict[Value, Call]) -> tuple[Value, int] | None:
    """(x, half) where this joins -x[half:] and x[:half] along the last dimension."""
    if call.name != "aten.cat.default" or len(call.args[0]) != 2:
        return None
    second, first = (made.get(value) for value in call.args[0])
    if second is None or first is None or second.name != "aten.neg.default":
        return None
    second = made.get(second.args[0])
    if second is None or second.name != "rest" or first.name != "narrow":
        return None
    source, dim, half, length = second.args
    whole = first.args == (source, dim, 0, half) and length == half
    return (source, half) if whole and dim == -1 and call.args[1:] == (-1,) else None


def _signed(sines: torch.Tensor, half: int) -> torch.Tensor:
    signs = torch.ones(sines.shape[-1], dtype=sines.dtype)
    signs[:half] = -1
    return sines * signs


def _needed(calls: list[Call], result: Value) -> list[Call]:
    """Without what nobody reads; whatever changes something stays."""
    wanted, kept = {result}, []
    for call in reversed(calls):
        pure = call.name.startswith("aten.") and not call.name.split(".")[1].endswith("_")
        if call.out in wanted or not (pure or call.name in ("narrow", "rest", "item", "signed")):
            wanted.update(call.uses)
            kept.append(call)
    return kept[::-1]

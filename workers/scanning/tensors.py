"""Safetensors files by their header: every byte belongs to one tensor, and none is missing.

The header is read with bounds and never trusted; the numbers are only looked at for infinities.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from workers.scanning.content import is_pointer
from workers.scanning.limits import HEADER_BYTES
from workers.scanning.pickles import pickle_in
from workers.scanning.report import Report

#: Bytes of one number of each type.
WIDTHS = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "U16": 2, "U32": 4, "U64": 8, "BOOL": 1,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16")
#: Where the exponent of a number lies: all ones means infinite or not a number.
EXPONENTS = {"F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0xFF << 23), "F16": ("<u2", 0x1F << 10),
             "BF16": ("<u2", 0xFF << 7)}  # fmt: skip
STEP = 8 << 20
MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Tensor:
    """One tensor as the header tells it; `begin` and `end` count from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int
    #: Path of the file in its version.
    file: str = ""

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


class BadHeader(Exception):
    """(rule, sentence)"""


def read_header(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises BadHeader for anything that does not fit the file exactly."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if is_pointer(head + file.read(64)):
            raise BadHeader("text.pointer", "The file holds a pointer, not the weights.")
        if len(head) < 8:
            raise BadHeader("weights.header", f"The file has only {len(head)} bytes.")
        length = int.from_bytes(head, "little")
        if length > min(HEADER_BYTES, size - 8):
            said = f"The header claims {length:,} bytes; the file has {size:,}"
            raise BadHeader("weights.header", f"{said}, and {HEADER_BYTES:,} are the most.")
        file.seek(8)
        values = _parsed(file.read(length))
    return _tensors(values, 8 + length, size)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadHeader("weights.header", f"The header is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise BadHeader("weights.header", "The header is not a JSON object.")
    return values


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _tensors(values: dict[str, Any], start: int, size: int) -> dict[str, Tensor]:
    extra = values.pop("__metadata__", {})
    if not isinstance(extra, dict) or not all(isinstance(text, str) for text in extra.values()):
        raise BadHeader("weights.header", "__metadata__ must be an object of strings.")
    found = {name: _tensor(name, entry, start, size) for name, entry in values.items()}
    at = start
    for tensor in sorted(found.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != at:
            how = "overlaps the one before it" if tensor.begin < at else "leaves a gap before it"
            raise BadHeader("weights.layout", f"The tensor {tensor.name[:120]} {how}.")
        at = tensor.end
    if at != size:
        said = f"Behind the last tensor there are {size - at:,} bytes that belong to none."
        raise BadHeader("weights.layout", said)
    return found


def _tensor(name: str, entry: Any, start: int, size: int) -> Tensor:
    short = name[:120]
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise BadHeader("weights.header", f"The entry of {short} is not dtype, shape and offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in WIDTHS:
        known = ", ".join(WIDTHS)
        raise BadHeader("weights.type", f"{short} is of type {str(dtype)[:20]!r}; known: {known}.")
    if not _whole(shape, MOST_DIMENSIONS) or not _whole(offsets, 2) or len(offsets) != 2:
        raise BadHeader("weights.header", f"Shape or offsets of {short} are not whole numbers.")
    begin, end = offsets
    wanted = math.prod(shape) * WIDTHS[dtype]
    if not 0 <= begin <= end or end - begin != wanted:
        said = (
            f"{short} needs {wanted:,} bytes for {shape} of {dtype}; its place has {end - begin:,}"
        )
        raise BadHeader("weights.layout", f"{said}.")
    if start + end > size:
        said = f"{short} ends {start + end - size:,} bytes behind the end of the file (cut short?)."
        raise BadHeader("weights.layout", said)
    return Tensor(name, dtype, tuple(shape), start + begin, start + end)


def _whole(values: Any, most: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= most
        and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
    )


def check_weights(
    path: Path, name: str, report: Report, *, finite: bool = True
) -> dict[str, Tensor]:
    """Tensors of one file; what is wrong goes into the report, and then there are none.

    `finite`: their numbers must be; whoever says no looks at them otherwise.
    """
    try:
        tensors = read_header(path)
    except BadHeader as error:
        rule, said = error.args
        with path.open("rb") as file:
            hidden = pickle_in(file)
        if hidden:
            report.add("code.pickle", name, f"It is no safetensors file. {hidden}")
        else:
            report.add(rule, name, said)
        return {}
    with path.open("rb") as file:
        for tensor in tensors.values():
            if finite and tensor.dtype in EXPONENTS and not _finite(file, tensor):
                said = f"The tensor {tensor.name[:120]} holds NaN or infinity."
                report.add("weights.finite", name, said)
                break
    return {key: replace(tensor, file=name) for key, tensor in tensors.items()}


def _finite(file: BinaryIO, tensor: Tensor) -> bool:
    import numpy

    kind, mask = EXPONENTS[tensor.dtype]
    file.seek(tensor.begin)
    left = tensor.end - tensor.begin
    while left:
        data = file.read(min(STEP, left))
        if not data:
            return True
        left -= len(data)
        numbers = numpy.frombuffer(data, dtype=kind)
        if bool(((numbers & numbers.dtype.type(mask)) == mask).any()):
            return False
    return True

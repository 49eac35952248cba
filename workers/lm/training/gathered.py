"""Tensors that are put together one by one, written to a safetensors file as they come.

The memory of a sharded model is shared by several processes; its file must not need all of it in
one of them. The bytes are those that `safetensors` writes of the same tensors.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

#: How the format calls the types that weights and moments have.
_TYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNMENT = 8


@dataclass(frozen=True)
class Part:
    """One tensor to come; `whole` is a collective call that every process makes in turn."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    whole: Callable[[], torch.Tensor]

    @property
    def size(self) -> int:
        """Bytes of the whole tensor."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


class Gathered:
    """Parts by name, in the order in which all processes put them together."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.parts = {
            name: parts[name]
            for name in sorted(parts, key=lambda name: (-parts[name].dtype.itemsize, name))
        }

    def take_part(self) -> None:
        """Give one's own share of every tensor to whoever writes them."""
        for part in self.parts.values():
            part.whole()

    def bytes(self) -> Iterator[memoryview | bytes]:
        """The file's content, piece by piece."""
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        place = 0
        for name, part in self.parts.items():
            header[name] = {
                "dtype": _TYPES[part.dtype],
                "shape": list(part.shape),
                "data_offsets": [place, place + part.size],
            }
            place += part.size
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        yield len(text).to_bytes(8, "little") + text
        for part in self.parts.values():
            whole = part.whole().detach().cpu().contiguous()
            yield whole.flatten().view(torch.uint8).numpy().data if part.size else b""


def save_file(tensors: dict[str, torch.Tensor] | Gathered, path: Path) -> None:
    """Write tensors that are at hand, or that come one by one."""
    if isinstance(tensors, dict):
        safetensors.torch.save_file(tensors, path)
        return
    with path.open("wb") as file:
        for piece in tensors.bytes():
            file.write(piece)


class Stored(Mapping[str, torch.Tensor]):
    """The tensors of a file, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._file = safetensors.safe_open(path, "pt")
        self._names = frozenset(self._file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: torch.Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)

"""One process's part of a model that several processes hold together.

Of each block the first products are cut by their outputs and the last by their inputs; the rows of
embedding and head are dealt out. A process reads only the bytes of its own part, so that none ever
needs the memory of the whole.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.lm.compute.memory import read_shape
from workers.lm.errors import InvalidTraining
from workers.lm.training.distributed.plans import Plan, check_cut, plan_of

from .cuts import Cut, Span
from .errors import ModelRefused

_auto_model: Any = AutoModelForCausalLM
INDEX, FILE = "model.safetensors.index.json", "model.safetensors"
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
#: Bytes that are read at once where only some columns of each row are wanted.
_BLOCK = 4 << 20
_HEADER_LIMIT = 64 << 20


class PartReader:
    """Reads pieces of the tensors of a folder without mapping or reading the rest."""

    def __init__(self, folder: Path) -> None:
        self._places: dict[str, tuple[Path, torch.dtype, tuple[int, ...], int]] = {}
        for name in _files(folder):
            self._add(folder / name)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @property
    def names(self) -> set[str]:
        """Of all tensors."""
        return set(self._places)

    @property
    def total(self) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(shape) for _, _, shape, _ in self._places.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the whole tensor."""
        return self._places[name][2]

    def read(self, name: str, dim: int = 0, spans: Sequence[Span] | None = None) -> torch.Tensor:
        """The tensor, or its pieces along `dim` put together; dimensions 0 and 1 of a matrix."""
        path, dtype, shape, start = self._places[name]
        row = dtype.itemsize
        for size in shape[1:]:
            row *= size
        with path.open("rb") as stream:
            if spans is None or dim == 0:
                pieces = [
                    self._rows(stream, dtype, (last - first, *shape[1:]), start + first * row)
                    for first, last in spans or [(0, shape[0] if shape else 1)]
                ]
                whole = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
                return whole if shape else whole.reshape(())
            return self._columns(stream, dtype, shape, start, spans)

    def _rows(
        self, stream: Any, dtype: torch.dtype, shape: tuple[int, ...], at: int
    ) -> torch.Tensor:
        found = torch.empty(shape, dtype=dtype)
        raw: Any = found.reshape(-1).view(torch.uint8).numpy()
        view = memoryview(raw)
        stream.seek(at)
        if stream.readinto(view) != len(view):
            raise ModelRefused(f"{Path(stream.name).name} is not whole.")
        return found

    def _columns(
        self,
        stream: Any,
        dtype: torch.dtype,
        shape: tuple[int, ...],
        start: int,
        spans: Sequence[Span],
    ) -> torch.Tensor:
        rows, columns = shape
        found = torch.empty(rows, sum(last - first for first, last in spans), dtype=dtype)
        row = columns * dtype.itemsize
        step = max(1, _BLOCK // row)
        for first in range(0, rows, step):
            last = min(rows, first + step)
            block = self._rows(stream, dtype, (last - first, columns), start + first * row)
            at = 0
            for left, right in spans:
                found[first:last, at : at + right - left] = block[:, left:right]
                at += right - left
        return found

    def _add(self, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                if length > _HEADER_LIMIT:
                    raise ValueError("a header that long is none")
                header = json.loads(stream.read(length))
            for name, entry in header.items():
                if name == "__metadata__":
                    continue
                shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
                if entry["dtype"] not in _DTYPES:
                    raise ModelRefused(f"{name} is {entry['dtype']}, which is not served in parts.")
                self._places[name] = (path, _DTYPES[entry["dtype"]], shape, 8 + length + begin)
                if path.stat().st_size < 8 + length + end:
                    raise ValueError("it ends too early")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelRefused(f"{path.name} is missing, damaged or not whole.") from error


def _files(folder: Path) -> list[str]:
    index = folder / INDEX
    if not index.exists():
        return [FILE]
    return sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))


# ---- layers --------------------------------------------------------------------------------


class RowPart(nn.Module):
    """The last product of half a block: everybody's share of the inputs, added up."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.linear(x, self.weight)
        dist.all_reduce(out)
        return out if self.bias is None else out + self.bias


class TokenPart(nn.Module):
    """Some rows of the embedding; `weight` has the shape of the whole and no memory."""

    def __init__(self, part: torch.Tensor, first: int, total: int) -> None:
        super().__init__()
        self.part = nn.Parameter(part, requires_grad=False)
        self.first = first
        self.weight = part.new_zeros(1).expand(total, part.shape[1])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mine = ids - self.first
        here = (mine >= 0) & (mine < self.part.shape[0])
        out = functional.embedding(mine.where(here, 0), self.part)
        out = out.masked_fill(~here[..., None], 0)
        dist.all_reduce(out)
        return out


class HeadPart(nn.Module):
    """Logits of some tokens, then everybody's side by side."""

    def __init__(self, part: nn.Parameter, total: int, world: int) -> None:
        super().__init__()
        self.part, self.total, self.world = part, total, world
        self.weight = part.new_zeros(1).expand(total, part.shape[1])
        self.bias = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mine = functional.linear(x, self.part)
        width = -(-self.total // self.world)
        mine = functional.pad(mine, (0, width - mine.shape[-1])).contiguous()
        everyone = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(everyone, mine)
        return torch.cat(everyone, dim=-1)[..., : self.total]


# ---- putting it together -------------------------------------------------------------------


def check_parts(config: Any, world: int) -> None:
    """Raises ModelRefused for a model that cannot be cut into so many parts."""
    values = config.to_dict()
    try:
        check_cut(values["model_type"], read_shape(values), world)
    except InvalidTraining as error:
        raise ModelRefused(f"It cannot be split over {world} processes: {error}") from error


def load_part(
    folder: Path, config: Any, *, dtype: torch.dtype, device: str, rank: int, world: int
) -> tuple[PreTrainedModel, int]:
    """The model with this process's part of its weights, and how many weights the whole has.

    The group must have met.
    """
    check_parts(config, world)
    reader = PartReader(folder)
    with _without_memory(nn.Linear, nn.Embedding, Conv1D):
        model = _auto_model.from_config(config, dtype=dtype, trust_remote_code=False)
    _Filling(model, reader, dtype, device, rank, world).fill()
    model.eval()
    model.requires_grad_(False)
    return model, reader.total


@contextmanager
def _without_memory(*kinds: type[nn.Module]) -> Iterator[None]:
    """Layers of these kinds are made on the device `meta`; norms and tables are made for real."""
    with ExitStack() as stack:
        for kind in kinds:
            stack.callback(setattr, kind, "__init__", kind.__init__)
            kind.__init__ = _on_meta(kind.__init__)  # type: ignore[method-assign]
        yield


def _on_meta(make: Any) -> Any:
    def made(*args: Any, **kwargs: Any) -> None:
        with torch.device("meta"):
            make(*args, **kwargs)

    return made


class _Filling:
    """Puts the weights of one rank into a model that has none."""

    def __init__(
        self,
        model: Any,
        reader: PartReader,
        dtype: torch.dtype,
        device: str,
        rank: int,
        world: int,
    ) -> None:
        self.model, self.reader, self.dtype, self.device = model, reader, dtype, device
        self.rank, self.world = rank, world
        self.plan: Plan = plan_of(model.config.model_type)
        self.used: set[str] = set()
        #: What of each layer is here, for adapters that change it.
        self.cuts: dict[str, Cut] = {}

    def fill(self) -> None:
        tied = bool(self.model.config.tie_word_embeddings)
        for name, module in list(self.model.named_modules()):
            if any(name.endswith(f".{row}") for row in self.plan.rows):
                self._put(name, self._row_part(name, module))
            elif any(name.endswith(f".{row}") for row in self.plan.columns):
                self._cut_columns(name, module)
            elif hasattr(module, "split_size"):  # GPT-2 splits its fused product by this width
                module.split_size //= self.world
        self._deal_tokens(tied)
        for name, parameter in list(self.model.named_parameters()):
            if name not in self.used and not name.endswith(".part"):
                self._set(name, self._piece(name))
            elif parameter.device.type == "meta":
                raise ModelRefused(f"The weight {name} was not read.")
        left = {name for name in self.reader.names - self.used if not _ignored(self.model, name)}
        if left:
            raise ModelRefused(
                f"The weights do not match the configuration: {len(left)} unexpected keys,"
                f" first {min(left)}."
            )
        self.model.to(self.device)
        self.model.layer_cuts = self.cuts

    def _piece(self, name: str, dim: int = 0, spans: Sequence[Span] | None = None) -> torch.Tensor:
        if name not in self.reader:
            raise ModelRefused(f"The weight {name} is missing.")
        self.used.add(name)
        found = self.reader.read(name, dim, spans)
        if not bool(torch.isfinite(found).all()):
            raise ModelRefused(f"The weight {name} holds numbers that are not finite.")
        return found.to(self.dtype)

    def _spans(self, size: int, groups: int = 1) -> list[Span]:
        """This rank's share of each of the groups that lie side by side."""
        each = size // groups
        mine = each // self.world
        return [
            (group * each + self.rank * mine, group * each + (self.rank + 1) * mine)
            for group in range(groups)
        ]

    def _cut_columns(self, name: str, module: Any) -> None:
        groups = 3 if any(name.endswith(f".{one}") for one in self.plan.fused) else 1
        shape = self.reader.shape(f"{name}.weight") if f"{name}.weight" in self.reader else ()
        dim = 1 if isinstance(module, Conv1D) else 0
        if len(shape) != 2:
            raise ModelRefused(f"The weight {name}.weight is missing.")
        spans = self._spans(shape[dim], groups)
        self._cut(name, shape, dim == 0, spans, sums=False)
        self._set(f"{name}.weight", self._piece(f"{name}.weight", dim, spans))
        if module.bias is not None:
            self._set(f"{name}.bias", self._piece(f"{name}.bias", 0, spans))
        width = sum(last - first for first, last in spans)
        if isinstance(module, Conv1D):
            module.nf = width
        else:
            module.out_features = width

    def _cut(
        self, name: str, shape: tuple[int, ...], plain: bool, spans: list[Span], *, sums: bool
    ) -> None:
        """`plain` where the weight is [outputs, inputs], and not the other way round."""
        outputs, inputs = shape if plain else reversed(shape)
        self.cuts[name] = Cut(outputs, inputs, tuple(spans), sums)

    def _row_part(self, name: str, module: Any) -> RowPart:
        weight = f"{name}.weight"
        if weight not in self.reader:
            raise ModelRefused(f"The weight {weight} is missing.")
        dim = 0 if isinstance(module, Conv1D) else 1
        shape = self.reader.shape(weight)
        spans = self._spans(shape[dim])
        self._cut(name, shape, dim == 1, spans, sums=True)
        part = self._piece(weight, dim, spans)
        if isinstance(module, Conv1D):
            part = part.t().contiguous()
        bias = None if module.bias is None else self._piece(f"{name}.bias")
        if bias is not None:
            self.used.add(f"{name}.bias")
        return RowPart(part, bias)

    def _deal_tokens(self, tied: bool) -> None:
        names = {id(module): name for name, module in self.model.named_modules()}
        entry, head = self.model.get_input_embeddings(), self.model.get_output_embeddings()
        if type(entry) is not nn.Embedding or type(head) is not nn.Linear or head.bias is not None:
            raise ModelRefused("Its embedding or its head is of a kind that is not split.")
        total = entry.weight.shape[0]
        width = -(-total // self.world)
        first = min(total, self.rank * width)
        spans = [(first, min(total, first + width))]
        tokens = TokenPart(self._piece(f"{names[id(entry)]}.weight", 0, spans), first, total)
        if tied:
            part = tokens.part
            self.used.add(f"{names[id(head)]}.weight")
        else:
            rows = self._piece(f"{names[id(head)]}.weight", 0, spans)
            part = nn.Parameter(rows, requires_grad=False)
        self._put(names[id(entry)], tokens)
        self._put(names[id(head)], HeadPart(part, total, self.world))

    def _put(self, name: str, module: nn.Module) -> None:
        parent, _, leaf = name.rpartition(".")
        setattr(self.model.get_submodule(parent) if parent else self.model, leaf, module)

    def _set(self, name: str, value: torch.Tensor) -> None:
        parent, _, leaf = name.rpartition(".")
        module = self.model.get_submodule(parent) if parent else self.model
        setattr(module, leaf, nn.Parameter(value, requires_grad=False))


def _ignored(model: Any, name: str) -> bool:
    """Whether the model itself says that such a tensor may lie in its files and means nothing."""
    patterns = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    return any(re.search(pattern, name) for pattern in patterns)

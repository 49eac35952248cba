"""LoRA adapters beside one base: read from peft's files, applied row by row in a packed step.

A step has rows of many sequences, each with an adapter or none. Of every layer that any adapter
changes, the factors of all of them lie side by side: one product with all of A, one mask that keeps
of each row what is its own adapter's, and one product with all of B serve any mixture.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.lm.int8 import Int8Linear

from .cuts import Cut, cuts_of
from .parts import RowPart

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
#: Layers that are changed before the next step of the engine is computed.
AT_ONCE = 32
#: Above so many groups of rows in a step one masked product costs less than one for each group.
_FEW = 2
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")
#: What changes more than the two factors of a layer; empty values are no use of it.
_UNSERVED = {
    "use_dora": "DoRA",
    "modules_to_save": "whole modules of its own",
    "trainable_token_indices": "tokens of its own",
    "layer_replication": "layers of the base used twice",
    "target_parameters": "parameters that are no layers",
    "alora_invocation_tokens": "a beginning that switches it on",
    "lora_bias": "biases of its own",
    "auto_mapping": "code of its own",
    "arrow_config": "a mixture of adapters",
    "megatron_config": "Megatron's layers",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal factors",
}
#: Ways to begin that change the base: without that change the factors mean nothing.
_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


class AdapterRefused(Exception):
    """The adapter cannot be served beside this base; the message says why."""


@dataclass(frozen=True)
class Factors:
    """Of one layer: `down` is [rank, in], `up` is [rank, out] with the scale in it."""

    down: torch.Tensor
    up: torch.Tensor


@dataclass(frozen=True)
class Place:
    """Which outputs of which module a name stands for; in a fused one some of them.

    With a `cut` the module has only part of the layer that the name stands for in the whole model.
    """

    module: nn.Module
    start: int
    inputs: int
    outputs: int
    cut: Cut | None = None

    @property
    def whole(self) -> tuple[int, int]:
        """(inputs, outputs) of the whole layer."""
        if self.cut is None:
            return self.inputs, self.outputs
        return self.cut.inputs, self.cut.outputs


@dataclass(frozen=True)
class Adapter:
    """Factors of every layer that it changes, by the layer's name in the base."""

    factors: dict[str, Factors]

    @property
    def bytes(self) -> int:
        """Of all its factors."""
        return sum(
            tensor.numel() * tensor.element_size()
            for row in self.factors.values()
            for tensor in (row.down, row.up)
        )


def places_of(model: PreTrainedModel) -> dict[str, Place]:
    """Every linear layer inside the model, also those that are one fused module now.

    A fused module says with `slices` which of its outputs are whose: {name: (start, stop)}.
    """
    whole_model: Any = model
    head = whole_model.get_output_embeddings()
    cuts = cuts_of(model)
    found = {}
    for name, module in model.named_modules():
        if module is head:
            continue
        slices: dict[str, tuple[int, int]] = getattr(module, "slices", None) or {}
        shape = _shape(module)
        if shape is None:
            continue
        inputs, outputs = shape
        if not slices:
            found[name] = Place(module, 0, inputs, outputs, cuts.get(name))
        parent = name.rpartition(".")[0]
        for leaf, (start, stop) in slices.items():
            whole = f"{parent}.{leaf}" if parent else leaf
            found[whole] = Place(module, start, inputs, stop - start, cuts.get(whole))
    return found


def _shape(module: nn.Module) -> tuple[int, int] | None:
    """(inputs, outputs) of a linear layer, None for anything else."""
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    if isinstance(module, nn.Linear | Int8Linear | RowPart) or hasattr(module, "slices"):
        weight: Any = module.weight
        return int(weight.shape[1]), int(weight.shape[0])
    return None


# ---- reading -------------------------------------------------------------------------------


def read_adapter(folder: Path, model: PreTrainedModel, places: dict[str, Place]) -> Adapter:
    """Everything checked against the base, in its number format, on its device.

    Raises AdapterRefused with the reason. Only safetensors and JSON are read.
    """
    config = _config(folder)
    pairs = _pairs(folder)
    factors = {}
    for name, pair in sorted(pairs.items()):
        factors[name] = _checked(name, pair, config, places, model)
    if not factors:
        raise AdapterRefused("It changes no layer at all.")
    return Adapter(factors)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except FileNotFoundError:
        raise AdapterRefused(f"There is no {CONFIG}.") from None
    except (ValueError, RecursionError) as error:
        raise AdapterRefused(f"{CONFIG} is not JSON.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise AdapterRefused("Only LoRA adapters are served beside a base.")
    for name, said in _UNSERVED.items():
        if config.get(name):
            raise AdapterRefused(f"It uses {said} ({name}); deploy it by itself.")
    if config.get("bias", "none") != "none":
        raise AdapterRefused("It changes biases of the base; deploy it by itself.")
    begun = str(config.get("init_lora_weights", "")).lower()
    if begun.startswith(_OTHER_BASE):
        raise AdapterRefused(f"It began with {begun}, which changes the base; deploy it by itself.")
    rank = config.get("r")
    if not isinstance(rank, int) or rank < 1:
        raise AdapterRefused(f"{CONFIG} gives no rank.")
    return config


def _pairs(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise AdapterRefused(f"{WEIGHTS} is missing, damaged or not whole.") from error
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            what = "the embedding of tokens" if "embedding" in key else f"{key[:120]}"
            raise AdapterRefused(f"It changes {what}, which is not served beside a base.")
        pairs.setdefault(match["module"], {})[match["factor"]] = tensor
    return pairs


def _checked(
    name: str,
    pair: dict[str, torch.Tensor],
    config: dict[str, Any],
    places: dict[str, Place],
    model: PreTrainedModel,
) -> Factors:
    if set(pair) != {"A", "B"}:
        raise AdapterRefused(f"Of {name} one of its two factors is missing.")
    place = places.get(name)
    if place is None:
        raise AdapterRefused(f"It changes {name}, which is no linear layer inside this base.")
    down, up = pair["A"], pair["B"]
    rank = down.shape[0]
    inputs, outputs = place.whole
    if down.shape != (rank, inputs) or up.shape != (outputs, rank):
        raise AdapterRefused(
            f"Its factors of {name} are {list(down.shape)} and {list(up.shape)};"
            f" the layer has {inputs} inputs and {outputs} outputs."
        )
    if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
        raise AdapterRefused(f"Its factors of {name} hold numbers that are not finite.")
    scale = _scale(name, rank, config)
    if place.cut is not None:
        down, up = place.cut.own(down, up)
    where: Any = {"device": model.device, "dtype": model.dtype}
    # Scaled in 32 bits, then rounded once to what the server computes in.
    scaled = (up.float() * scale).to(**where)
    return Factors(down.to(**where).contiguous(), scaled.t().contiguous())


def _scale(name: str, rank: int, config: dict[str, Any]) -> float:
    """alpha / rank, or alpha / √rank; patterns name layers that have others."""
    wanted = _of_pattern(config.get("rank_pattern"), name, config["r"])
    if wanted != rank:
        raise AdapterRefused(f"{CONFIG} says rank {wanted} of {name}, its factors have {rank}.")
    alpha = float(_of_pattern(config.get("alpha_pattern"), name, config.get("lora_alpha", 8)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of_pattern(pattern: Any, name: str, otherwise: Any) -> Any:
    """As peft reads it: the first key that is the end of the name, as a regular expression."""
    for key, value in (pattern or {}).items():
        try:
            if re.match(rf"(.*\.)?({key})$", name):
                return value
        except re.error as error:
            raise AdapterRefused(f"{CONFIG} has a pattern that is none: {key[:80]}") from error
    return otherwise


# ---- applying ------------------------------------------------------------------------------


@dataclass(slots=True)
class Rows:
    """Which rows of a step are whose: filled for each step, read by every layer."""

    total: int
    #: The one adapter of all rows, if they have but one.
    whole: str = ""
    groups: list[tuple[str, slice]] = field(default_factory=list)
    owners: torch.Tensor | None = None
    masks: dict[Any, torch.Tensor] = field(default_factory=dict)

    def mask(self, columns: torch.Tensor, layout: Any) -> torch.Tensor:
        """[rows, columns]: where a column is of the row's own adapter."""
        if layout not in self.masks:
            assert self.owners is not None
            self.masks[layout] = self.owners[:, None] == columns[None]
        return self.masks[layout]


class Stack:
    """The factors of all adapters of one layer, side by side."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ranks: dict[str, int] = {}
        self.spans: dict[str, slice] = {}
        self.down: torch.Tensor
        self.up: torch.Tensor
        self.columns: torch.Tensor
        self.layout: Any = ()

    def put(self, key: str, factors: Factors, number: int) -> None:
        """One adapter more."""
        ids = torch.full((factors.down.shape[0],), number, device=factors.down.device)
        if self.ranks:
            self.down = torch.cat([self.down, factors.down])
            self.up = torch.cat([self.up, factors.up])
            self.columns = torch.cat([self.columns, ids])
        else:
            self.down, self.up, self.columns = factors.down, factors.up, ids
        self.ranks[key] = factors.down.shape[0]
        self._lay()

    def drop(self, key: str) -> None:
        """One adapter less; its memory is given back."""
        kept = torch.ones_like(self.columns, dtype=torch.bool)
        kept[self.spans[key]] = False
        self.down, self.up = self.down[kept], self.up[kept]
        self.columns = self.columns[kept]
        del self.ranks[key]
        self._lay()

    def _lay(self) -> None:
        at, self.spans = 0, {}
        for key, rank in self.ranks.items():
            self.spans[key] = slice(at, at + rank)
            at += rank
        self.layout = tuple(self.ranks.items())

    def add(self, x: torch.Tensor, y: torch.Tensor, rows: Rows) -> None:
        """y += what each row's adapter adds; x is [rows, in], y [rows, out]."""
        if rows.whole:
            span = self.spans.get(rows.whole)
            if span is not None:
                y.addmm_(self._inner(x, self.down[span]), self.up[span])
        elif len(rows.groups) <= _FEW:
            for key, part in rows.groups:
                span = self.spans.get(key)
                if span is not None:
                    y[part].addmm_(self._inner(x[part], self.down[span]), self.up[span])
        else:
            inner = self._inner(x, self.down)
            # Not times zero: a number that is not finite must stay with its own row.
            inner = inner.masked_fill(~rows.mask(self.columns, self.layout), 0)
            y.addmm_(inner, self.up)

    def _inner(self, x: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        inner = x @ down.t()
        return inner if self.place.cut is None else self.place.cut.whole(inner)


class AdapterBank:
    """The adapters that a model has loaded, and which rows of the step they are for.

    All of it belongs to the thread that computes, but for `read`, which touches nothing.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._places: dict[str, Place] = {}
        self._stacks: dict[str, Stack] = {}
        self._hooks: dict[nn.Module, tuple[Any, dict[str, Stack]]] = {}
        self._numbers: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._next = 1
        self._rows: Rows | None = None

    @property
    def bytes(self) -> int:
        """Memory of all factors."""
        return sum(self._sizes.values())

    @property
    def active(self) -> bool:
        """Whether any row of the step at hand has an adapter."""
        return self._rows is not None

    def read(self, folder: Path) -> Adapter:
        """From its folder, checked against the base. On any thread."""
        # Not sooner: layers may be fused after the runner was made.
        self._places = self._places or places_of(self._model)
        return read_adapter(folder, self._model, self._places)

    def put(self, key: str, adapter: Adapter) -> Iterator[None]:
        """Beside the others, a few layers at a time; usable when it has come to its end."""
        self._numbers[key], self._next = self._next, self._next + 1
        self._sizes[key] = adapter.bytes
        for count, (name, factors) in enumerate(adapter.factors.items(), 1):
            stack = self._stacks.get(name)
            if stack is None:
                stack = self._stacks[name] = Stack(self._places[name])
                self._hook(name, stack)
            stack.put(key, factors, self._numbers[key])
            if count % AT_ONCE == 0:
                yield

    def drop(self, key: str) -> Iterator[None]:
        """Away with it, a few layers at a time. No row may have it any more."""
        for count, (name, stack) in enumerate(list(self._stacks.items()), 1):
            if key in stack.ranks:
                if len(stack.ranks) == 1:
                    del self._stacks[name]
                    self._unhook(name, stack)
                else:
                    stack.drop(key)
            if count % AT_ONCE == 0:
                yield
        self._numbers.pop(key, None)
        self._sizes.pop(key, None)

    def begin(self, spans: list[tuple[str, int]]) -> None:
        """Say whose the rows of the next forward pass are: (adapter or "", how many), in order."""
        names = {key for key, _ in spans}
        if not self._numbers or names <= {""}:
            self._rows = None
            return
        rows = self._rows = Rows(sum(count for _, count in spans))
        if len(names) == 1:
            rows.whole = names.pop()
            return
        at = 0
        for key, count in spans:
            last = rows.groups[-1] if rows.groups else None
            if key and last and last[0] == key and last[1].stop == at:
                rows.groups[-1] = (key, slice(last[1].start, at + count))
            elif key:
                rows.groups.append((key, slice(at, at + count)))
            at += count
        if len(rows.groups) > _FEW:
            owners = [self._numbers.get(key, 0) for key, count in spans for _ in range(count)]
            rows.owners = torch.tensor(owners, device=self._model.device)

    def end(self) -> None:
        """The forward pass is over."""
        self._rows = None

    def _hook(self, name: str, stack: Stack) -> None:
        module = stack.place.module
        if module not in self._hooks:
            stacks: dict[str, Stack] = {}

            def add(layer: nn.Module, given: Any, out: torch.Tensor) -> None:
                if self._rows is not None:
                    self._apply(stacks, given[0], out, self._rows)

            self._hooks[module] = (module.register_forward_hook(add), stacks)
        self._hooks[module][1][name] = stack

    def _unhook(self, name: str, stack: Stack) -> None:
        handle, stacks = self._hooks[stack.place.module]
        del stacks[name]
        if not stacks:
            handle.remove()
            del self._hooks[stack.place.module]

    def _apply(
        self, stacks: dict[str, Stack], x: torch.Tensor, out: torch.Tensor, rows: Rows
    ) -> None:
        flat, wide = x.reshape(-1, x.shape[-1]), out.view(-1, out.shape[-1])
        if flat.shape[0] != rows.total:
            raise RuntimeError(
                f"a layer with adapters got {flat.shape[0]} rows in a step of {rows.total}"
            )
        for stack in stacks.values():
            start = stack.place.start
            stack.add(flat, wide[:, start : start + stack.place.outputs], rows)
